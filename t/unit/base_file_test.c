/* Whole files: read to the last byte, refused when too large, and every failure with its errno. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tap.h"

static struct arena arena;
static char path[] = "/tmp/battlepass-file-XXXXXX";

static void
write_file(size_t size)
{
	FILE *file = fopen(path, "w");

	if (!file)
		abort();
	for (size_t i = 0; i < size; i++)
		fputc((int)(i * 31 % 251), file);
	fclose(file);
}

static bool
is_whole(struct str text, size_t size)
{
	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.ptr[i] != i * 31 % 251)
			return false;
	return text.len == size;
}

static void
test_sizes(void)
{
	static const size_t sizes[] = {0, 1, 4095, 65535, 65536, 65537, 131072, 300001};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct str text = STR("untouched");

		write_file(sizes[i]);
		CU_ASSERT_EQUAL(file_read(path, sizes[i], &arena, &text), ERR_OK);
		CU_ASSERT_TRUE(is_whole(text, sizes[i]));
		if (sizes[i] == 0)
			continue;
		text = STR("untouched");
		errno = 0;
		CU_ASSERT_EQUAL(file_read(path, sizes[i] - 1, &arena, &text), ERR_SYSTEM);
		CU_ASSERT_EQUAL(errno, EFBIG);
		CU_ASSERT(str_equal(text, STR("untouched")));
	}
	arena_reset(&arena);
}

static void
test_failures(void)
{
	struct str text = STR("untouched");

	errno = 0;
	CU_ASSERT_EQUAL(file_read("/nonexistent/file", 10, &arena, &text), ERR_SYSTEM);
	CU_ASSERT_EQUAL(errno, ENOENT);
	errno = 0;
	CU_ASSERT_EQUAL(file_read("/tmp", 10, &arena, &text), ERR_SYSTEM);
	CU_ASSERT_EQUAL(errno, EISDIR);
	CU_ASSERT(str_equal(text, STR("untouched")));
	/* One that never ends is cut off. */
	errno = 0;
	CU_ASSERT_EQUAL(file_read("/dev/zero", 1000, &arena, &text), ERR_SYSTEM);
	CU_ASSERT_EQUAL(errno, EFBIG);
}

/* No descriptor is left behind, whatever happens. */
static void
test_no_leak(void)
{
	struct str text;
	int before = open("/dev/null", O_RDONLY);

	close(before);
	write_file(10);
	for (int i = 0; i < 20; i++) {
		file_read(path, 10, &arena, &text);
		file_read(path, 1, &arena, &text);
		file_read("/tmp", 1, &arena, &text);
	}
	int after = open("/dev/null", O_RDONLY);

	CU_ASSERT_EQUAL(before, after);
	close(after);
	arena_reset(&arena);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"files of many sizes", test_sizes},
		{"failures", test_failures},
		{"no descriptor is left behind", test_no_leak},
		CU_TEST_INFO_NULL,
	};
	int fd = mkstemp(path);

	if (fd < 0)
		abort();
	close(fd);
	arena_init(&arena);
	int status = tap_main("base/file", tests);

	arena_release(&arena);
	unlink(path);
	return status;
}
