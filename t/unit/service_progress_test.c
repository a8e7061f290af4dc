/*
 * Reading progress, on a store and a cache in memory: where each answer comes from, what is put into the cache
 * afterwards, and what is not.
 */
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "fake_service.h"
#include "tap.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static struct fake_service fake;

static void
open_fake(bool cache_on)
{
	fake_service_init(&fake, cache_on, 16);
}

static void
close_fake(void)
{
	fake_store_check(&fake.store);
	if (fake.faults.broken[0])
		printf("# %s\n", fake.faults.broken);
	CU_ASSERT_STRING_EQUAL(fake.faults.broken, "");
	fake_service_release(&fake);
}

static void
expect_trace(const char *trace)
{
	if (strcmp(fake.faults.trace, trace) != 0)
		printf("# got:  %s\n# want: %s\n", fake.faults.trace, trace);
	CU_ASSERT_STRING_EQUAL(fake.faults.trace, trace);
	fake_faults_restart(&fake.faults);
}

/* A turn of one read; the read is good until the next turn. */
static const struct progress_read *
read_one(const char *player, const char *season)
{
	fake_service_begin(&fake);
	const struct progress_read *read = fake_service_read(&fake, player, season);

	fake_service_run(&fake);
	return read;
}

static void
expect_read(const struct progress_read *read, enum source source, uint64_t revision, const char *body)
{
	CU_ASSERT_EQUAL(read->err, ERR_OK);
	CU_ASSERT_EQUAL(read->source, source);
	CU_ASSERT_EQUAL(read->revision, revision);
	CU_ASSERT(str_equal(read->body, str_from(body)));
	CU_ASSERT_FALSE(read->needs_store);
}

static void
expect_cached(const char *player, const char *season, char kind, uint64_t revision, const char *body)
{
	const struct fake_entry *entry = fake_cache_entry(&fake.cache, 2, str_from(player), season);

	CU_ASSERT_EQUAL(entry ? entry->kind : '-', kind);
	CU_ASSERT_EQUAL(entry ? entry->revision : 0, revision);
	CU_ASSERT_STRING_EQUAL(entry ? entry->body : "", body);
}

/* p has 30 XP at revision 2 in s1, and the cache has forgotten it. */
static void
give_p(void)
{
	fake_service_give(&fake, "p", "s1", "a", 10);
	fake_service_give(&fake, "p", "s1", "b", 20);
	while (fake.cache.entry_count)
		fake_cache_evict(&fake.cache, 0);
	fake_faults_restart(&fake.faults);
}

static void
test_miss_fill_hit(void)
{
	open_fake(true);
	give_p();
	expect_read(read_one("p", "s1"), SOURCE_STORE, 2, "{p s1 2 30}");
	expect_trace("view lookup load fill");
	expect_cached("p", "s1", 'V', 2, "{p s1 2 30}");
	expect_read(read_one("p", "s1"), SOURCE_CACHE, 2, "{p s1 2 30}");
	expect_trace("view lookup");
	close_fake();
}

/* A read writes nothing to the store, and what it says of nobody is cached, too. */
static void
test_unknown_player(void)
{
	open_fake(true);
	expect_read(read_one("nobody", "s2"), SOURCE_STORE, 0, "{nobody s2 0 0}");
	expect_read(read_one("nobody", "s2"), SOURCE_CACHE, 0, "{nobody s2 0 0}");
	CU_ASSERT_EQUAL(fake.store.player_count, 0);
	close_fake();
}

static void
test_without_trust(void)
{
	open_fake(false);
	fake_service_give(&fake, "p", "s1", "a", 10);
	fake_cache_put(&fake.cache, 1, STR("p"), "s1", 'V', 9, FAKE_SEASON_REVISION, "lies");
	fake_faults_restart(&fake.faults);
	expect_read(read_one("p", "s1"), SOURCE_STORE, 1, "{p s1 1 10}");
	expect_trace("view load");
	close_fake();
}

/* The lane that never opens the database: hits, and for the rest the way to another lane; it leaves no token. */
static void
test_lane_without_store(void)
{
	open_fake(true);
	fake.service.rooms.store = NULL;
	fake_cache_put(&fake.cache, 2, STR("p"), "s1", 'V', 3, FAKE_SEASON_REVISION, "body");
	fake_service_begin(&fake);
	const struct progress_read *hit = fake_service_read(&fake, "p", "s1");
	const struct progress_read *miss = fake_service_read(&fake, "q", "s1");

	fake_service_run(&fake);
	expect_read(hit, SOURCE_CACHE, 3, "body");
	CU_ASSERT(miss->needs_store && miss->err == ERR_OK && miss->source == SOURCE_NONE);
	expect_cached("q", "s1", '-', 0, "");
	expect_trace("view lookup");
	fake.cache.gone = true;
	CU_ASSERT_TRUE(read_one("p", "s1")->needs_store);
	expect_trace("view");
	close_fake();
}

/* A value made under another revision of the season is a miss. Over an older one is filled, over a newer one is not. */
static void
test_other_season_revision(void)
{
	open_fake(true);
	give_p();
	fake_cache_put(&fake.cache, 2, STR("p"), "s1", 'V', 2, FAKE_SEASON_REVISION - 1, "old");
	expect_read(read_one("p", "s1"), SOURCE_STORE, 2, "{p s1 2 30}");
	expect_cached("p", "s1", 'V', 2, "{p s1 2 30}");
	fake_cache_put(&fake.cache, 2, STR("p"), "s1", 'V', 2, FAKE_SEASON_REVISION + 1, "new");
	expect_read(read_one("p", "s1"), SOURCE_STORE, 2, "{p s1 2 30}");
	expect_cached("p", "s1", 'V', 2, "new");
	close_fake();
}

/* s1 gets its next revision at this moment. */
static void
publish_s1(int64_t at_ms)
{
	static struct directory_content content;

	fake_service_begin(&fake);
	content = fake.service.published;
	content.version++;
	content.seasons[0].next = (struct season_switch){FAKE_SEASON_REVISION + 1, at_ms, content.seasons[0].times};
	directory_publish(&fake.directory, &content);
	fake_faults_restart(&fake.faults);
}

static uint64_t
cached_season_revision(const char *player)
{
	return fake_cache_entry(&fake.cache, 2, str_from(player), "s1")->season_revision;
}

/* From its moment on the new revision counts, and what the cache holds of the old one is a miss. */
static void
test_season_switch(void)
{
	open_fake(true);
	give_p();
	read_one("p", "s1");
	publish_s1(fake.now_ms + 3);
	expect_read(read_one("p", "s1"), SOURCE_CACHE, 2, "{p s1 2 30}");
	expect_read(read_one("p", "s1"), SOURCE_CACHE, 2, "{p s1 2 30}");
	expect_read(read_one("p", "s1"), SOURCE_STORE, 2, "{p s1 2 30}");
	CU_ASSERT_EQUAL(cached_season_revision("p"), FAKE_SEASON_REVISION + 1);
	expect_read(read_one("p", "s1"), SOURCE_CACHE, 2, "{p s1 2 30}");
	/* A host whose clock is behind reads the database, and leaves the newer value alone. */
	fake.now_ms = FAKE_NOW_MS;
	expect_read(read_one("p", "s1"), SOURCE_STORE, 2, "{p s1 2 30}");
	CU_ASSERT_EQUAL(cached_season_revision("p"), FAKE_SEASON_REVISION + 1);
	close_fake();
}

/* A write of a turn that began before the moment ends after it: what it confirms costs a read, and no more. */
static void
test_write_across_a_switch(void)
{
	open_fake(true);
	give_p();
	publish_s1(fake.now_ms + 2);
	fake_service_begin(&fake);
	fake_service_grant(&fake, "p", "s1", "c", 5);
	fake_cache_put(&fake.cache, 2, STR("p"), "s1", 'V', 2, FAKE_SEASON_REVISION + 1, "{p s1 2 30}");
	fake_service_run(&fake);
	expect_cached("p", "s1", 'V', 3, "{p s1 3 35}");
	CU_ASSERT_EQUAL(cached_season_revision("p"), FAKE_SEASON_REVISION);
	expect_read(read_one("p", "s1"), SOURCE_STORE, 3, "{p s1 3 35}");
	CU_ASSERT_EQUAL(cached_season_revision("p"), FAKE_SEASON_REVISION + 1);
	expect_read(read_one("p", "s1"), SOURCE_CACHE, 3, "{p s1 3 35}");
	close_fake();
}

/* The definition is there before its moment, so that the first turn that needs it does not load it. */
static void
test_look_ahead(void)
{
	int64_t at_ms = clock_unix_ms() + 3600000;

	open_fake(true);
	give_p();
	publish_s1(at_ms);
	service_look_ahead(&fake.service); /* not due yet, or with nothing to wait for */
	clock_sleep_ms(service_look_ahead_due_boot_ms(&fake.service) - clock_boot_ms());
	service_look_ahead(&fake.service);
	CU_ASSERT(service_look_ahead_due_boot_ms(&fake.service) > clock_boot_ms());
	CU_ASSERT_EQUAL(fake_count(&fake.faults, CALL_DOCUMENT), 1);
	clock_sleep_ms(service_look_ahead_due_boot_ms(&fake.service) - clock_boot_ms());
	service_look_ahead(&fake.service);
	fake.now_ms = at_ms;
	expect_read(read_one("p", "s1"), SOURCE_STORE, 2, "{p s1 2 30}");
	CU_ASSERT_EQUAL(cached_season_revision("p"), FAKE_SEASON_REVISION + 1);
	CU_ASSERT_EQUAL(fake_count(&fake.faults, CALL_DOCUMENT), 1);
	close_fake();
}

static void
test_over_a_fence(void)
{
	static const struct {
		char kind;
		uint64_t revision;
		char kind_after;
		uint64_t revision_after;
		const char *body;
	} cases[] = {
		{'T', 1, 'V', 2, "{p s1 2 30}"},
		{'T', 2, 'V', 2, "{p s1 2 30}"},
		{'T', 3, 'T', 3, "fence"}, /* a writer is about to commit 3 */
		{'L', 0, 'L', 0, "fence"}, /* another reader is filling */
	};

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		open_fake(true);
		give_p();
		fake_cache_put(&fake.cache, 2, STR("p"), "s1", cases[i].kind, cases[i].revision, 0, "fence");
		expect_read(read_one("p", "s1"), SOURCE_STORE, 2, "{p s1 2 30}");
		expect_cached("p", "s1", cases[i].kind_after, cases[i].revision_after, cases[i].body);
		close_fake();
	}
}

/* A write between the read of the database and the fill: the fill comes too late. */
static void
test_late_fill(void)
{
	static const struct {
		char kind;
		uint64_t revision;
	} between[] = {{'V', 3}, {'T', 3}, {'T', 2}, {'L', 0}};

	for (size_t i = 0; i < COUNT_OF(between); i++) {
		open_fake(true);
		give_p();
		fake_service_begin(&fake);
		fake_service_read(&fake, "p", "s1");
		turn_run(&fake.turn);
		fake_cache_put(&fake.cache, 2, STR("p"), "s1", between[i].kind, between[i].revision,
			       FAKE_SEASON_REVISION, "newer");
		turn_fill(&fake.turn);
		expect_cached("p", "s1", between[i].kind, between[i].revision, "newer");
		close_fake();

		/* And where everything was evicted meanwhile, nothing is put. */
		open_fake(true);
		give_p();
		fake_service_begin(&fake);
		fake_service_read(&fake, "p", "s1");
		turn_run(&fake.turn);
		fake_cache_evict(&fake.cache, 0);
		turn_fill(&fake.turn);
		expect_cached("p", "s1", '-', 0, "");
		close_fake();
	}
}

/* Redis fails in the middle: nothing that it said counts, all is asked of the store, and not filled. */
static void
test_lookup_fails(void)
{
	static const enum fake_fault lookup_faults[] = {FAULT_LOST, FAULT_UNHEARD, FAULT_HALF};

	for (size_t i = 0; i < COUNT_OF(lookup_faults); i++) {
		open_fake(true);
		give_p();
		read_one("p", "s1");
		fake_faults_restart(&fake.faults);
		fake.faults.only = CALL_LOOKUP;
		fake.faults.fault = lookup_faults[i];
		fake_service_begin(&fake);
		const struct progress_read *first = fake_service_read(&fake, "p", "s1");
		const struct progress_read *second = fake_service_read(&fake, "q", "s1");

		fake_service_run(&fake);
		expect_read(first, SOURCE_STORE, 2, "{p s1 2 30}");
		expect_read(second, SOURCE_STORE, 0, "{q s1 0 0}");
		CU_ASSERT_EQUAL(fake_count(&fake.faults, CALL_FILL), 0);
		close_fake();
	}
}

static void
test_store_unavailable(void)
{
	open_fake(true);
	fake_cache_put(&fake.cache, 2, STR("p"), "s1", 'V', 3, FAKE_SEASON_REVISION, "body");
	fake.faults.only = CALL_LOAD;
	fake.faults.fault = FAULT_UNAVAILABLE;
	fake_service_begin(&fake);
	const struct progress_read *hit = fake_service_read(&fake, "p", "s1");
	const struct progress_read *miss = fake_service_read(&fake, "q", "s1");

	fake_service_run(&fake);
	expect_read(hit, SOURCE_CACHE, 3, "body");
	CU_ASSERT_EQUAL(miss->err, ERR_STORE_UNAVAILABLE);
	CU_ASSERT_EQUAL(fake_count(&fake.faults, CALL_FILL), 0);
	close_fake();
}

static void
test_unreadable_season(void)
{
	open_fake(true);
	fake.store.unreadable_season = "s2";
	fake_service_begin(&fake);
	const struct progress_read *good = fake_service_read(&fake, "p", "s1");
	const struct progress_read *bad = fake_service_read(&fake, "p", "s2");

	fake_service_run(&fake);
	expect_read(good, SOURCE_STORE, 0, "{p s1 0 0}");
	CU_ASSERT_EQUAL(bad->err, ERR_INTERNAL);
	expect_cached("p", "s1", 'V', 0, "{p s1 0 0}");
	expect_cached("p", "s2", 'L', 0, "");
	close_fake();
}

/* All misses of a turn are one read of the database, a player who is asked for twice included. */
static void
test_many_at_once(void)
{
	static const char *const players[] = {"p", "q", "p", "r", "p"};
	const struct progress_read *reads[COUNT_OF(players)];

	open_fake(true);
	give_p();
	fake_service_begin(&fake);
	for (size_t i = 0; i < COUNT_OF(players); i++)
		reads[i] = fake_service_read(&fake, players[i], "s1");
	fake_service_run(&fake);
	expect_trace("view lookup load fill");
	for (size_t i = 0; i < COUNT_OF(players); i++)
		CU_ASSERT(reads[i]->err == ERR_OK && reads[i]->source == SOURCE_STORE);
	CU_ASSERT(str_equal(reads[4]->body, STR("{p s1 2 30}")));
	expect_cached("p", "s1", 'V', 2, "{p s1 2 30}");
	expect_cached("r", "s1", 'V', 0, "{r s1 0 0}");
	close_fake();
}

/* Grants of a turn come before its reads. */
static void
test_grant_and_read_in_one_turn(void)
{
	open_fake(true);
	fake_service_begin(&fake);
	const struct progress_read *read = fake_service_read(&fake, "p", "s1");

	fake_service_grant(&fake, "p", "s1", "k", 10);
	fake_service_run(&fake);
	expect_read(read, SOURCE_CACHE, 1, "{p s1 1 10}");
	close_fake();
}

static void
test_empty_turn(void)
{
	open_fake(true);
	fake_service_begin(&fake);
	fake_service_run(&fake);
	expect_trace("view");
	close_fake();
}

/* Guards against "no such season" from a host that has just started and has not read the directory yet. */
static void
test_directory_never_read(void)
{
	static const struct directory never_read;
	const struct season_entry *entry;

	open_fake(true);
	fake.service.rooms.directory = &never_read;
	memset(&fake.service.seasons, 0, sizeof(fake.service.seasons));
	fake_service_begin(&fake);
	CU_ASSERT_EQUAL(turn_season(&fake.turn, STR("s1"), &entry), ERR_STORE_UNAVAILABLE);
	CU_ASSERT_EQUAL(turn_season(&fake.turn, STR("current"), &entry), ERR_STORE_UNAVAILABLE);
	close_fake();
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"miss, fill, hit", test_miss_fill_hit},
		{"an unknown player", test_unknown_player},
		{"without trust the cache is not asked", test_without_trust},
		{"a lane without a store", test_lane_without_store},
		{"a value of another season revision", test_other_season_revision},
		{"a season's next revision", test_season_switch},
		{"a write across its moment", test_write_across_a_switch},
		{"loaded ahead of its moment", test_look_ahead},
		{"over a fence or a token", test_over_a_fence},
		{"a fill that comes too late", test_late_fill},
		{"the lookup fails", test_lookup_fails},
		{"the store is unavailable", test_store_unavailable},
		{"an unreadable season fails alone", test_unreadable_season},
		{"many reads are one", test_many_at_once},
		{"a grant and a read in one turn", test_grant_and_read_in_one_turn},
		{"an empty turn", test_empty_turn},
		{"the directory was never read", test_directory_never_read},
		CU_TEST_INFO_NULL,
	};

	log_set_level(LOG_ERROR);
	return tap_main("service/progress", tests);
}
