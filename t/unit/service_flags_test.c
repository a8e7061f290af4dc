/* The rollout flags: who is in a share, what a value may be, and that what cannot be read serves nobody. */
#include "service/flags.h"

#include <stdio.h>

#include "tap.h"

enum { PLAYERS = 20000 };

static struct str
player(char id[32], int number)
{
	return (struct str){id, (size_t)snprintf(id, 32, "player-%d", number)};
}

static struct cache_flags
share(int64_t per_cent)
{
	return (struct cache_flags){.revision = 1, .values = {[FLAG_CACHE_SHARE] = per_cent, [FLAG_CACHE] = 1}};
}

static int
served(const struct cache_flags *flags)
{
	char id[32];
	int count = 0;

	for (int i = 0; i < PLAYERS; i++)
		count += flags_serve(flags, player(id, i));
	return count;
}

static void
a_share_is_that_share_of_the_players(void)
{
	for (int64_t per_cent = 0; per_cent <= 100; per_cent += 10) {
		struct cache_flags flags = share(per_cent);
		int count = served(&flags);

		CU_ASSERT_TRUE(count >= PLAYERS * (per_cent - 1) / 100 && count <= PLAYERS * (per_cent + 1) / 100);
	}
	struct cache_flags none = share(0);
	struct cache_flags all = share(100);

	CU_ASSERT_EQUAL(served(&none), 0);
	CU_ASSERT_EQUAL(served(&all), PLAYERS);
	all.values[FLAG_CACHE] = 0;
	CU_ASSERT_EQUAL(served(&all), 0);
}

static void
a_greater_share_takes_nobody_out(void)
{
	char id[32];

	for (int64_t per_cent = 1; per_cent <= 100; per_cent++) {
		struct cache_flags less = share(per_cent - 1);
		struct cache_flags more = share(per_cent);
		int lost = 0;

		for (int i = 0; i < 2000; i++)
			lost += flags_serve(&less, player(id, i)) && !flags_serve(&more, player(id, i));
		CU_ASSERT_EQUAL(lost, 0);
	}
}

/* Hosts of different builds must agree: the hash never changes. */
static void
the_hash_stays(void)
{
	static const struct {
		const char *id;
		int64_t from; /* the smallest share that has this player in it */
	} known[] = {{"a", 30}, {"p-1", 7}, {"demo-1", 72}, {"player-12345", 36}};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		struct cache_flags in = share(known[i].from);
		struct cache_flags out = share(known[i].from - 1);

		CU_ASSERT_TRUE(flags_serve(&in, str_from(known[i].id)));
		CU_ASSERT_FALSE(flags_serve(&out, str_from(known[i].id)));
	}
}

static void
values_are_read_as_people_write_them(void)
{
	static const struct {
		enum flag flag;
		const char *text;
		int64_t value; /* -1: refused */
	} texts[] = {
		{FLAG_CACHE_SHARE, "0", 0},    {FLAG_CACHE_SHARE, "100", 100},
		{FLAG_CACHE_SHARE, "101", -1}, {FLAG_CACHE_SHARE, "", -1},
		{FLAG_CACHE_SHARE, "-1", -1},  {FLAG_CACHE_SHARE, "5%", -1},
		{FLAG_CACHE_SHARE, "on", -1},  {FLAG_CACHE, "on", 1},
		{FLAG_CACHE, "off", 0},        {FLAG_CACHE, "true", 1},
		{FLAG_CACHE, "1", -1},         {FLAG_AUDITOR, "1000", 1000},
		{FLAG_AUDITOR, "1001", -1},    {FLAG_AUDITOR, "99999999999999999999", -1},
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		int64_t value = -1;
		bool taken = flag_parse(texts[i].flag, str_from(texts[i].text), &value);

		CU_ASSERT_EQUAL(taken, texts[i].value >= 0);
		CU_ASSERT_EQUAL(value, texts[i].value);
	}
}

static void
names_are_found(void)
{
	enum flag flag;

	for (int i = 0; i < FLAG_COUNT; i++) {
		CU_ASSERT_TRUE(flag_find(str_from(flag_form((enum flag)i)->name), &flag));
		CU_ASSERT_EQUAL(flag, i);
	}
	CU_ASSERT_FALSE(flag_find(STR("cach"), &flag));
}

static void
what_was_never_published_cannot_be_read(void)
{
	static struct flags flags;
	struct cache_flags content = share(40);
	struct cache_flags seen;

	CU_ASSERT_FALSE(flags_look(&flags, &seen));
	flags_publish(&flags, &content);
	CU_ASSERT_TRUE(flags_look(&flags, &seen));
	CU_ASSERT_EQUAL(seen.values[FLAG_CACHE_SHARE], 40);
	seqlock_write_begin(&flags.lock); /* its writer has died */
	CU_ASSERT_FALSE(flags_look(&flags, &seen));
	flags_publish(&flags, &content);
	CU_ASSERT_TRUE(flags_look(&flags, &seen));
}

static void
printed_as_json(void)
{
	struct cache_flags flags = share(7);
	struct buf text;

	buf_init(&text);
	flags_print(&flags, &text);
	CU_ASSERT_STRING_EQUAL(buf_text(&text), "\"revision\":\"1\",\"cache_share\":7,\"cache\":true,\"warming\":false,"
						"\"auditor_checks_per_s\":0");
	buf_release(&text);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"a share is that share of the players", a_share_is_that_share_of_the_players},
		{"a greater share takes nobody out", a_greater_share_takes_nobody_out},
		{"the hash stays", the_hash_stays},
		{"values are read as people write them", values_are_read_as_people_write_them},
		{"names are found", names_are_found},
		{"what was never published cannot be read", what_was_never_published_cannot_be_read},
		{"printed as JSON", printed_as_json},
		CU_TEST_INFO_NULL,
	};

	return tap_main("service/flags", tests);
}
