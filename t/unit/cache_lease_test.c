/* The lease and whom it does not cover: what a process sees of it, and when it sees nothing. */
#include "cache/lease.h"

#include <stdio.h>

#include "base/clock.h"
#include "tap.h"

static struct lease lease;
static struct distrusted copy;
static struct lease_content seen;

static void
give(uint64_t epoch, const char *const players[], uint32_t count)
{
	struct lease_content content = {.epoch = epoch, .until_boot_ms = clock_boot_ms() + 60000};
	uint64_t hashes[LEASE_DISTRUSTED_MAX];

	for (uint32_t i = 0; i < count; i++)
		hashes[i] = distrusted_hash(str_from(players[i]), STR("s1"));
	lease_give(&lease, &content, hashes, count);
}

static void
open_lease(void)
{
	memset(&lease, 0, sizeof(lease));
	memset(&copy, 0, sizeof(copy));
	memset(&seen, 0, sizeof(seen));
}

static bool
names(const char *player)
{
	return distrusted_names(&copy, str_from(player), STR("s1"));
}

static void
test_names(void)
{
	open_lease();
	CU_ASSERT_FALSE(lease_look(&lease, &seen, &copy));
	give(3, (const char *const[]){"c", "a", "b"}, 3);
	CU_ASSERT_TRUE(lease_look(&lease, &seen, &copy));
	CU_ASSERT_EQUAL(seen.epoch, 3);
	CU_ASSERT(names("a") && names("b") && names("c") && !names("d") && !names(""));
	CU_ASSERT_FALSE(distrusted_names(&copy, STR("a"), STR("s2")));
	/* What stands in which of the two cannot be mixed up. */
	CU_ASSERT_NOT_EQUAL(distrusted_hash(STR("ab"), STR("c")), distrusted_hash(STR("a"), STR("bc")));
	give(3, NULL, 0);
	CU_ASSERT_TRUE(lease_look(&lease, &seen, &copy));
	CU_ASSERT_FALSE(names("a"));
}

/* A lease renewed ten times a second with the same list costs nobody a copy of it. */
static void
test_same_list_keeps_its_version(void)
{
	open_lease();
	give(3, (const char *const[]){"a", "b"}, 2);
	CU_ASSERT_TRUE(lease_look(&lease, &seen, &copy));
	uint64_t version = copy.version;

	give(4, (const char *const[]){"b", "a"}, 2);
	CU_ASSERT_TRUE(lease_look(&lease, &seen, &copy));
	CU_ASSERT(seen.epoch == 4 && copy.version == version);
	give(4, (const char *const[]){"b", "c"}, 2);
	CU_ASSERT_TRUE(lease_look(&lease, &seen, &copy));
	CU_ASSERT(copy.version != version && names("c") && !names("a"));
}

static void
test_full_list(void)
{
	static char names_of[LEASE_DISTRUSTED_MAX][8];
	const char *players[LEASE_DISTRUSTED_MAX];
	uint32_t named = 0;

	open_lease();
	for (int i = 0; i < LEASE_DISTRUSTED_MAX; i++) {
		snprintf(names_of[i], sizeof(names_of[i]), "p%d", i);
		players[i] = names_of[i];
	}
	give(3, players, LEASE_DISTRUSTED_MAX);
	CU_ASSERT_TRUE(lease_look(&lease, &seen, &copy));
	for (int i = 0; i < LEASE_DISTRUSTED_MAX; i++)
		named += names(players[i]);
	CU_ASSERT_EQUAL(named, LEASE_DISTRUSTED_MAX);
	CU_ASSERT_FALSE(names("q"));
}

/* A lease never counts with a list that is not its own. */
static void
test_list_of_another_lease(void)
{
	open_lease();
	give(3, (const char *const[]){"a"}, 1);
	lease.content.list++;
	CU_ASSERT_FALSE(lease_look(&lease, &seen, &copy));
	give(3, (const char *const[]){"a"}, 1);
	CU_ASSERT_TRUE(lease_look(&lease, &seen, &copy));
}

/* The steward died while it wrote the list: nothing is known until the next one has written both. */
static void
test_writer_died(void)
{
	open_lease();
	give(3, (const char *const[]){"a"}, 1);
	lease.list_lock.sequence |= 1;
	CU_ASSERT_FALSE(lease_look(&lease, &seen, &copy));
	give(3, (const char *const[]){"a"}, 1);
	CU_ASSERT_TRUE(lease_look(&lease, &seen, &copy));
	CU_ASSERT_TRUE(names("a"));
}

static void
test_lapsed(void)
{
	struct lease_content content = {.epoch = 3, .until_boot_ms = clock_boot_ms()};

	open_lease();
	lease_give(&lease, &content, NULL, 0);
	CU_ASSERT_FALSE(lease_look(&lease, &seen, &copy));
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"it names whom it does not cover", test_names},
		{"the same list keeps its version", test_same_list_keeps_its_version},
		{"a full list", test_full_list},
		{"a list that is not its own", test_list_of_another_lease},
		{"its writer died", test_writer_died},
		{"lapsed", test_lapsed},
		CU_TEST_INFO_NULL,
	};

	return tap_main("cache/lease", tests);
}
