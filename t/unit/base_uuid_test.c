/* UUIDs: their form, their order, their text there and back; random bytes that a child does not repeat. */
#include "base/uuid.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "tap.h"

enum { IDS = 20000 };

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static int
compare(const struct uuid *a, const struct uuid *b)
{
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

static int64_t
time_of(const struct uuid *uuid)
{
	int64_t ms = 0;

	for (int i = 0; i < 6; i++)
		ms = ms << 8 | uuid->bytes[i];
	return ms;
}

static void
test_form(void)
{
	int64_t now_ms = clock_unix_ms() + 1000;

	for (int i = 0; i < 1000; i++) {
		struct uuid uuid = uuid_new(now_ms + i);

		CU_ASSERT_EQUAL(uuid.bytes[6] >> 4, 7);
		CU_ASSERT_EQUAL(uuid.bytes[8] >> 6, 2);
		CU_ASSERT_EQUAL(time_of(&uuid), now_ms + i);
	}
}

/* Ids of one process ascend: within a millisecond, over many, and when the clock is set back. */
static void
test_order(void)
{
	int64_t ms = clock_unix_ms() + 100000;
	struct uuid last = uuid_new(ms);

	srandom((unsigned)tap_seed());
	for (int i = 0; i < IDS; i++) {
		switch (random() % 400) {
		case 0:
			ms += random() % 5;
			break;
		case 1:
			ms -= random() % 5000;
			break;
		default:
			break;
		}
		struct uuid next = uuid_new(ms);

		CU_ASSERT(compare(&last, &next) < 0);
		CU_ASSERT_EQUAL(next.bytes[6] >> 4, 7);
		last = next;
	}
	/* However many there are in one millisecond, the time they say hardly runs ahead. */
	CU_ASSERT(time_of(&last) <= clock_unix_ms() + 100000 + IDS);
}

static void
test_text_there_and_back(void)
{
	for (int i = 0; i < 2000; i++) {
		struct uuid uuid;
		struct uuid back;
		char text[UUID_TEXT_SIZE];

		random_bytes(&uuid, sizeof(uuid));
		uuid_format(&uuid, text);
		CU_ASSERT_EQUAL(strlen(text), UUID_TEXT_SIZE - 1);
		CU_ASSERT_TRUE(uuid_parse(str_from(text), &back));
		CU_ASSERT_EQUAL(compare(&uuid, &back), 0);
	}
}

static void
test_text_forms(void)
{
	static const struct {
		const char *text;
		bool good;
	} cases[] = {
		{"018bcfe5-687b-7abc-8def-0123456789ab", true},  {"018BCFE5-687B-7ABC-8DEF-0123456789AB", true},
		{"00000000-0000-0000-0000-000000000000", true},  {"ffffffff-ffff-ffff-ffff-ffffffffffff", true},
		{"018bcfe5-687b-7abc-8def-0123456789a", false},  {"018bcfe5-687b-7abc-8def-0123456789abc", false},
		{"018bcfe5687b7abc8def0123456789abcdef", false}, {"018bcfe5-687b-7abc-8def-0123456789ag", false},
		{"018bcfe5-687b-7abc-8def_0123456789ab", false}, {"018bcfe56-87b-7abc-8def-0123456789ab", false},
		{"-18bcfe5-687b-7abc-8def-0123456789ab", false}, {"{18bcfe5-687b-7abc-8def-0123456789a}", false},
		{"018bcfe5-687b-7abc-8def-0123456789 b", false}, {"", false},
	};
	struct uuid uuid;
	char text[UUID_TEXT_SIZE];

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		memset(&uuid, 0x55, sizeof(uuid));
		CU_ASSERT_EQUAL(uuid_parse(str_from(cases[i].text), &uuid), cases[i].good);
		CU_ASSERT(cases[i].good || uuid.bytes[0] == 0x55);
	}
	CU_ASSERT_TRUE(uuid_parse(str_from(cases[1].text), &uuid));
	uuid_format(&uuid, text);
	CU_ASSERT_STRING_EQUAL(text, cases[0].text);
}

/* A child goes on with bytes of its own. */
static void
test_child_does_not_repeat(void)
{
	int ends[2];
	uint64_t own = random_u64();
	uint64_t childs = 0;
	int status;

	CU_ASSERT_EQUAL_FATAL(pipe(ends), 0);
	pid_t child = fork();

	if (child == 0) {
		childs = random_u64();
		_exit(write(ends[1], &childs, sizeof(childs)) == sizeof(childs) ? 0 : 1);
	}
	own = random_u64();
	CU_ASSERT_EQUAL(read(ends[0], &childs, sizeof(childs)), sizeof(childs));
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		continue;
	CU_ASSERT_NOT_EQUAL(own, childs);
	close(ends[0]);
	close(ends[1]);
}

/* Any size, over the edge of the buffer: every byte is written, none beside. */
static void
test_sizes(void)
{
	static unsigned char bytes[5000];

	for (size_t size = 0; size < sizeof(bytes) - 1; size += 97) {
		size_t zeros = 0;

		memset(bytes, 0, sizeof(bytes));
		random_bytes(bytes, size);
		for (size_t i = 0; i < size; i++)
			zeros += bytes[i] == 0;
		CU_ASSERT(zeros < 8 + size / 50);
		CU_ASSERT_EQUAL(bytes[size], 0);
	}
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"form", test_form},
		{"order", test_order},
		{"text there and back", test_text_there_and_back},
		{"forms of the text", test_text_forms},
		{"a child does not repeat its parent's bytes", test_child_does_not_repeat},
		{"random bytes of any size", test_sizes},
		CU_TEST_INFO_NULL,
	};

	return tap_main("base/uuid", tests);
}
