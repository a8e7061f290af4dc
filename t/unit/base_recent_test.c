/* Who was written to lately: what is read was noted as it stands, also while many processes write. */
#include "base/recent.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/uuid.h"
#include "tap.h"

static struct recent *recent;

static void
note(int number)
{
	char player[32];
	char season[32];

	snprintf(player, sizeof(player), "player-%d", number);
	snprintf(season, sizeof(season), "season-%d", number);
	recent_note(recent, str_from(player), str_from(season));
}

static bool
is_whole(const struct recent_item *item)
{
	return strncmp(item->player, "player-", 7) == 0 && strncmp(item->season, "season-", 7) == 0 &&
	       strcmp(item->player + 7, item->season + 7) == 0;
}

static void
test_empty(void)
{
	struct recent_item item;

	memset(recent, 0, sizeof(*recent));
	CU_ASSERT_FALSE(recent_sample(recent, 5, &item));
}

static void
test_what_was_noted(void)
{
	struct recent_item item;

	memset(recent, 0, sizeof(*recent));
	for (int i = 0; i < 3; i++)
		note(i);
	for (uint64_t i = 0; i < 100; i++) {
		CU_ASSERT_TRUE_FATAL(recent_sample(recent, i, &item));
		CU_ASSERT_TRUE(is_whole(&item));
		CU_ASSERT_EQUAL(strtoul(item.player + 7, NULL, 10), i % 3);
	}
	for (int i = 0; i < 3 * RECENT_SLOTS; i++)
		note(i);
	CU_ASSERT_TRUE(recent_sample(recent, 0, &item));
	CU_ASSERT_TRUE(strtol(item.player + 7, NULL, 10) >= 2 * RECENT_SLOTS - 3);
}

static void
test_too_long(void)
{
	struct recent_item item;
	char text[RECENT_TEXT_MAX + 2];

	memset(recent, 0, sizeof(*recent));
	memset(text, 'a', sizeof(text));
	recent_note(recent, (struct str){text, RECENT_TEXT_MAX + 1}, STR("s"));
	CU_ASSERT_FALSE(recent_sample(recent, 0, &item));
	recent_note(recent, (struct str){text, RECENT_TEXT_MAX}, STR("s"));
	CU_ASSERT_TRUE(recent_sample(recent, 1, &item));
	CU_ASSERT_EQUAL(strlen(item.player), RECENT_TEXT_MAX);
}

static void
test_a_writer_that_died(void)
{
	struct recent_item item;

	memset(recent, 0, sizeof(*recent));
	for (int i = 0; i < RECENT_SLOTS; i++)
		note(i);
	recent->slots[7].lock.sequence++;
	CU_ASSERT_FALSE(recent_sample(recent, 7, &item));
	for (int i = 0; i < RECENT_SLOTS; i++)
		note(i);
	CU_ASSERT_FALSE(recent_sample(recent, 7, &item));
	CU_ASSERT_TRUE(recent_sample(recent, 8, &item));
}

static void
test_many_writers(void)
{
	enum { WRITERS = 4, NOTES = 100000, SAMPLES = 300000 };
	struct recent_item item;
	int torn = 0;
	int seen = 0;

	memset(recent, 0, sizeof(*recent));
	for (int writer = 0; writer < WRITERS; writer++) {
		if (fork() != 0)
			continue;
		for (int i = 0; i < NOTES; i++)
			note(i * (writer % 2 ? 1 : 100003));
		_exit(0);
	}
	for (int i = 0; i < SAMPLES; i++) {
		if (!recent_sample(recent, random_u64(), &item))
			continue;
		seen++;
		torn += !is_whole(&item);
	}
	while (wait(NULL) > 0)
		continue;
	CU_ASSERT_TRUE(seen > 0);
	CU_ASSERT_EQUAL(torn, 0);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"empty", test_empty},
		{"what was noted", test_what_was_noted},
		{"too long", test_too_long},
		{"a writer that died", test_a_writer_that_died},
		{"many writers", test_many_writers},
		CU_TEST_INFO_NULL,
	};

	recent = mmap(NULL, sizeof(*recent), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (recent == MAP_FAILED)
		abort();
	return tap_main("base/recent", tests);
}
