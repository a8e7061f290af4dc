/*
 * The directory of seasons: found by id, `current` means one and one only, and a copy that cannot be had leaves the
 * last one whole.
 */
#include "service/directory.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tap.h"

static struct directory *directory; /* in pages of its own */
static size_t page_size;

static void
add(struct directory_content *content, const char *id, int64_t starts_at_ms, enum season_state state)
{
	struct season_entry *entry = &content->seasons[content->count++];

	snprintf(entry->id, sizeof(entry->id), "%s", id);
	entry->revision = content->version;
	entry->stored_state = state;
	entry->times =
		(struct season_times){starts_at_ms, starts_at_ms + 100, starts_at_ms + 200, starts_at_ms + 300, 0};
}

static void
fill_up(struct directory_content *content, uint64_t version)
{
	char id[SEASON_ID_MAX + 1];

	content->version = version;
	content->count = 0;
	for (int i = 0; i < DIRECTORY_SEASONS_MAX; i++) {
		snprintf(id, sizeof(id), "s%d", i);
		add(content, id, 1000, SEASON_PUBLISHED);
	}
}

static void
test_publish_and_refresh(void)
{
	static struct directory_content content;
	static struct directory_content copy;

	memset(directory, 0, sizeof(*directory));
	CU_ASSERT_TRUE(directory_refresh(directory, &copy));
	CU_ASSERT(copy.version == 0 && copy.count == 0);
	fill_up(&content, 5);
	directory_publish(directory, &content);
	CU_ASSERT_TRUE(directory_refresh(directory, &copy));
	CU_ASSERT(copy.version == 5 && copy.count == DIRECTORY_SEASONS_MAX);
	CU_ASSERT_STRING_EQUAL(copy.seasons[DIRECTORY_SEASONS_MAX - 1].id, "s255");
	/* Nothing is copied while the version stands. */
	copy.seasons[0].revision = 77;
	CU_ASSERT_TRUE(directory_refresh(directory, &copy));
	CU_ASSERT_EQUAL(copy.seasons[0].revision, 77);
	content.version = 6;
	content.count = 1;
	directory_publish(directory, &content);
	CU_ASSERT_TRUE(directory_refresh(directory, &copy));
	CU_ASSERT(copy.version == 6 && copy.count == 1 && copy.seasons[0].revision == 5);
}

static void
test_find(void)
{
	static struct directory_content content;

	fill_up(&content, 1);
	CU_ASSERT_PTR_EQUAL(directory_find(&content, STR("s0")), &content.seasons[0]);
	CU_ASSERT_PTR_EQUAL(directory_find(&content, STR("s255")), &content.seasons[255]);
	CU_ASSERT_PTR_NULL(directory_find(&content, STR("s256")));
	CU_ASSERT_PTR_NULL(directory_find(&content, STR("S0")));
	CU_ASSERT_PTR_NULL(directory_find(&content, STR("")));
	CU_ASSERT_PTR_NULL(directory_find(&content, STR_NONE));
	CU_ASSERT_PTR_NULL(directory_find(&content, STR("s0\0")));
	content.count = 1;
	CU_ASSERT_PTR_NULL(directory_find(&content, STR("s1")));
}

static void
test_current(void)
{
	static struct directory_content content = {.version = 1};
	const struct season_entry *found = NULL;

	CU_ASSERT_EQUAL(directory_current(&content, 1000, &found), ERR_SEASON_NOT_FOUND);
	add(&content, "ended", 1000, SEASON_ENDED);
	add(&content, "one", 1000, SEASON_PUBLISHED);
	add(&content, "two", 1150, SEASON_PUBLISHED);
	CU_ASSERT_EQUAL(directory_current(&content, 999, &found), ERR_SEASON_NOT_FOUND);
	CU_ASSERT_PTR_NULL(found);
	CU_ASSERT_EQUAL(directory_current(&content, 1000, &found), ERR_OK);
	CU_ASSERT_STRING_EQUAL(found->id, "one");
	/* Purchases closed: it still counts XP. */
	CU_ASSERT_EQUAL(directory_current(&content, 1120, &found), ERR_OK);
	CU_ASSERT_STRING_EQUAL(found->id, "one");
	CU_ASSERT_EQUAL(directory_current(&content, 1150, &found), ERR_SEASON_AMBIGUOUS);
	CU_ASSERT_EQUAL(directory_current(&content, 1199, &found), ERR_SEASON_AMBIGUOUS);
	CU_ASSERT_EQUAL(directory_current(&content, 1200, &found), ERR_OK);
	CU_ASSERT_STRING_EQUAL(found->id, "two");
	CU_ASSERT_EQUAL(directory_current(&content, 1350, &found), ERR_SEASON_NOT_FOUND);
}

/* The reader's copying has come to the last page: now a writer begins, changes everything, and dies. */
static void
write_and_die(int signal_number)
{
	(void)signal_number;
	mprotect(directory, sizeof(*directory), PROT_READ | PROT_WRITE);
	seqlock_write_begin(&directory->lock);
	for (uint32_t i = 0; i < DIRECTORY_SEASONS_MAX; i++)
		directory->content.seasons[i].revision = 9;
}

static void
test_failed_refresh_leaves_the_last_copy(void)
{
	static struct directory_content content;
	static struct directory_content copy;
	struct sigaction act = {.sa_handler = write_and_die};
	struct sigaction before;
	unsigned wrong = 0;
	char *last_page = (char *)directory + (sizeof(*directory) - 1) / page_size * page_size;

	memset(directory, 0, sizeof(*directory));
	fill_up(&content, 5);
	directory_publish(directory, &content);
	CU_ASSERT_TRUE(directory_refresh(directory, &copy));
	fill_up(&content, 6);
	directory_publish(directory, &content);
	sigaction(SIGSEGV, &act, &before);
	mprotect(last_page, page_size, PROT_NONE);
	CU_ASSERT_FALSE(directory_refresh(directory, &copy));
	sigaction(SIGSEGV, &before, NULL);
	mprotect(directory, sizeof(*directory), PROT_READ | PROT_WRITE);
	CU_ASSERT_EQUAL(copy.version, 5);
	for (uint32_t i = 0; i < DIRECTORY_SEASONS_MAX; i++)
		wrong += copy.seasons[i].revision != 5;
	CU_ASSERT_EQUAL(wrong, 0);
	/* The next writer makes it good again, even with the same version. */
	directory_publish(directory, &content);
	CU_ASSERT_TRUE(directory_refresh(directory, &copy));
	wrong = 0;
	for (uint32_t i = 0; i < DIRECTORY_SEASONS_MAX; i++)
		wrong += copy.seasons[i].revision != 6;
	CU_ASSERT_EQUAL(wrong, 0);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"publish and refresh", test_publish_and_refresh},
		{"find", test_find},
		{"current", test_current},
		{"a failed refresh leaves the last copy", test_failed_refresh_leaves_the_last_copy},
		CU_TEST_INFO_NULL,
	};

	page_size = (size_t)sysconf(_SC_PAGESIZE);
	directory = mmap(NULL, (sizeof(*directory) + page_size) / page_size * page_size, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (directory == MAP_FAILED)
		abort();
	return tap_main("service/directory", tests);
}
