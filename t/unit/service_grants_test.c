/*
 * Granting XP, on a store and a cache in memory: the order of the calls, what each fault at each of them comes to, and
 * over random histories that every acknowledged grant is there exactly once and no reader sees what was before it.
 */
#include <limits.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "fake_service.h"
#include "random_season.h"
#include "service/relay.h"
#include "tap.h"

enum { ATTEMPTS = 8, MOST = 64 };

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static struct fake_service fake;
static uint64_t seed;

static void
open_fake(bool cache_on)
{
	fake_service_init(&fake, cache_on, MOST);
}

/* Ends a test: nothing was broken, and what is stored adds up. */
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
}

static void
restart(void)
{
	fake_faults_restart(&fake.faults);
}

/* The definition is read once; from then on traces are without it. */
static void
warm_up(void)
{
	fake_service_give(&fake, "warm", "s1", "w", 1);
	fake_service_give(&fake, "warm", "s2", "w", 1);
	restart();
}

static void
expect_player(const char *player, const char *season, uint64_t xp, uint64_t revision)
{
	const struct fake_player *stored = fake_store_player(&fake.store, str_from(player), season);

	CU_ASSERT_EQUAL(stored ? stored->xp : 0, xp);
	CU_ASSERT_EQUAL(stored ? stored->revision : 0, revision);
}

/* What the cache holds in epoch 2: '-' is nothing. */
static void
expect_cached(const char *player, const char *season, char kind, uint64_t revision)
{
	const struct fake_entry *entry = fake_cache_entry(&fake.cache, 2, str_from(player), season);

	CU_ASSERT_EQUAL(entry ? entry->kind : '-', kind);
	CU_ASSERT_EQUAL(entry ? entry->revision : 0, revision);
}

static void
test_one_grant(void)
{
	open_fake(true);
	const struct grant_command *grant = fake_service_give(&fake, "p", "s1", "k", 120);

	expect_trace("view document begin lock save fence commit confirm");
	CU_ASSERT_EQUAL(grant->write.err, ERR_OK);
	CU_ASSERT_FALSE(grant->write.replayed);
	CU_ASSERT(grant->row.effect.xp_before == 0 && grant->row.effect.xp_after == 120);
	CU_ASSERT(grant->row.effect.tier_before == 0 && grant->row.effect.tier_after == 1);
	CU_ASSERT_EQUAL(grant->row.revision, 1);
	CU_ASSERT_EQUAL(grant->row.granted_at_ms, FAKE_NOW_MS);
	CU_ASSERT(str_equal(grant->row.unlocked, STR("0-1")));
	expect_player("p", "s1", 120, 1);
	expect_cached("p", "s1", 'V', 1);
	CU_ASSERT_STRING_EQUAL(fake_cache_entry(&fake.cache, 2, STR("p"), "s1")->body, "{p s1 1 120}");
	CU_ASSERT_EQUAL(fake_cache_entry(&fake.cache, 2, STR("p"), "s1")->season_revision, FAKE_SEASON_REVISION);
	close_fake();
}

static void
test_cache_off_and_settled(void)
{
	open_fake(false);
	CU_ASSERT_EQUAL(fake_service_give(&fake, "p", "s1", "k", 10)->write.err, ERR_OK);
	expect_trace("view document begin lock save commit");
	CU_ASSERT_EQUAL(fake.cache.entry_count, 0);
	restart();
	CU_ASSERT_TRUE(fake_service_give(&fake, "p", "s1", "k", 10)->write.replayed);
	expect_trace("view begin lock save rollback begin lock find rollback");
	close_fake();
}

/* A replay is an acknowledgement, too: it is confirmed, and gives the first answer. */
static void
test_replay(void)
{
	open_fake(true);
	struct uuid first = fake_service_give(&fake, "p", "s1", "k", 10)->row.id;

	fake_service_give(&fake, "p", "s1", "other", 500);
	fake_cache_evict(&fake.cache, 0);
	restart();
	const struct grant_command *again = fake_service_give(&fake, "p", "s1", "k", 10);

	expect_trace("view begin lock save rollback begin lock find rollback confirm");
	CU_ASSERT_EQUAL(again->write.err, ERR_OK);
	CU_ASSERT_TRUE(again->write.replayed);
	CU_ASSERT_EQUAL(memcmp(&again->row.id, &first, sizeof(first)), 0);
	CU_ASSERT(again->row.revision == 1 && again->row.effect.xp_after == 10);
	expect_player("p", "s1", 510, 2);
	expect_cached("p", "s1", 'T', 2);
	close_fake();
}

static void
test_reused_key(void)
{
	open_fake(true);
	fake_service_give(&fake, "p", "s1", "k", 10);
	const struct grant_command *other = fake_service_give(&fake, "p", "s1", "k", 11);

	CU_ASSERT_EQUAL(other->write.err, ERR_IDEMPOTENCY_KEY_REUSED);
	CU_ASSERT_EQUAL(other->row.amount, 11);
	expect_player("p", "s1", 10, 1);
	/* The same key of another player, or in another season, is another key. */
	CU_ASSERT_EQUAL(fake_service_give(&fake, "q", "s1", "k", 11)->write.err, ERR_OK);
	CU_ASSERT_EQUAL(fake_service_give(&fake, "p", "s2", "k", 12)->write.err, ERR_OK);
	close_fake();
}

static void
test_twins_in_one_turn(void)
{
	open_fake(true);
	fake_service_begin(&fake);
	const struct grant_command *first = fake_service_grant(&fake, "p", "s1", "k", 10);
	const struct grant_command *between = fake_service_grant(&fake, "p", "s1", "x", 5);
	const struct grant_command *twin = fake_service_grant(&fake, "p", "s1", "k", 10);
	const struct grant_command *reuse = fake_service_grant(&fake, "p", "s1", "k", 11);

	fake_service_run(&fake);
	CU_ASSERT(first->write.err == ERR_OK && !first->write.replayed && first->row.revision == 1);
	CU_ASSERT(between->write.err == ERR_OK && between->row.revision == 2 && between->row.effect.xp_after == 15);
	CU_ASSERT(twin->write.err == ERR_OK && twin->write.replayed && twin->row.revision == 1);
	CU_ASSERT_EQUAL(memcmp(&twin->row.id, &first->row.id, sizeof(twin->row.id)), 0);
	CU_ASSERT_EQUAL(reuse->write.err, ERR_IDEMPOTENCY_KEY_REUSED);
	expect_player("p", "s1", 15, 2);
	expect_cached("p", "s1", 'V', 2);
	close_fake();
}

/* The first of two twins is refused: the second stands for itself. */
static void
test_twin_of_a_refused_one(void)
{
	open_fake(true);
	fake_service_begin(&fake);
	struct grant_command *early = fake_service_grant(&fake, "p", "s1", "k", 10);
	const struct grant_command *right = fake_service_grant(&fake, "p", "s1", "k", 10);

	early->row.occurred_at_ms = -1;
	fake_service_run(&fake);
	CU_ASSERT_EQUAL(early->write.err, ERR_SEASON_NOT_ACTIVE);
	CU_ASSERT(right->write.err == ERR_OK && !right->write.replayed);
	expect_player("p", "s1", 10, 1);
	close_fake();
}

static void
test_players_and_seasons_share_a_transaction(void)
{
	open_fake(true);
	warm_up();
	fake_service_begin(&fake);
	/* Not in the order in which rows are locked. */
	const struct grant_command *grants[] = {
		fake_service_grant(&fake, "q", "s2", "k", 1),   fake_service_grant(&fake, "p", "s2", "k", 20),
		fake_service_grant(&fake, "q", "s1", "k", 300), fake_service_grant(&fake, "p", "s1", "k", 40),
		fake_service_grant(&fake, "q", "s2", "l", 5),
	};

	fake_service_run(&fake);
	expect_trace("view begin lock save fence commit confirm");
	for (size_t i = 0; i < COUNT_OF(grants); i++)
		CU_ASSERT_EQUAL(grants[i]->write.err, ERR_OK);
	expect_player("p", "s1", 40, 1);
	expect_player("q", "s1", 300, 1);
	expect_player("p", "s2", 20, 1);
	expect_player("q", "s2", 6, 2);
	expect_cached("q", "s2", 'V', 2);
	expect_cached("p", "s1", 'V', 1);
	close_fake();
}

static void
test_share_of_a_transaction(void)
{
	fake_service_init(&fake, true, 2);
	fake_service_begin(&fake);
	for (int i = 0; i < 5; i++)
		fake_service_grant(&fake, "p", "s1", i % 2 ? "odd" : "even", 7);
	fake_service_run(&fake);
	CU_ASSERT_EQUAL(fake_count(&fake.faults, CALL_BEGIN), 5);
	CU_ASSERT_EQUAL(fake_count(&fake.faults, CALL_COMMIT), 1);
	CU_ASSERT_EQUAL(fake_count(&fake.faults, CALL_CONFIRM), 3);
	expect_player("p", "s1", 14, 2);
	close_fake();
}

static void
test_refused_beside_granted(void)
{
	open_fake(true);
	fake_service_begin(&fake);
	const struct grant_command *over = fake_service_grant(&fake, "p", "over", "k", 10);
	const struct grant_command *zero = fake_service_grant(&fake, "p", "s1", "z", 0);
	const struct grant_command *much = fake_service_grant(&fake, "p", "s1", "m", XP_GRANT_MAX + 1);
	const struct grant_command *good = fake_service_grant(&fake, "p", "s1", "k", 10);

	fake_service_run(&fake);
	CU_ASSERT_EQUAL(over->write.err, ERR_SEASON_NOT_ACTIVE);
	CU_ASSERT_EQUAL(zero->write.err, ERR_INVALID_FIELD);
	CU_ASSERT_EQUAL(much->write.err, ERR_INVALID_FIELD);
	CU_ASSERT(good->write.err == ERR_OK && good->row.revision == 1);
	expect_player("p", "over", 0, 0);
	expect_player("p", "s1", 10, 1);
	close_fake();
}

static void
test_nothing_to_commit_is_rolled_back(void)
{
	open_fake(true);
	CU_ASSERT_EQUAL(fake_service_give(&fake, "p", "over", "k", 10)->write.err, ERR_SEASON_NOT_ACTIVE);
	expect_trace("view document begin lock rollback begin lock find rollback confirm");
	CU_ASSERT_EQUAL(fake.store.player_count, 0);
	close_fake();
}

/* A clock that was set back does not make a row older. */
static void
test_updated_at_never_goes_back(void)
{
	open_fake(true);
	fake_service_give(&fake, "p", "s1", "a", 1);
	fake.now_ms -= 1000;
	fake_service_give(&fake, "p", "s1", "b", 1);
	CU_ASSERT_EQUAL(fake_store_player(&fake.store, STR("p"), "s1")->updated_at_ms, FAKE_NOW_MS);
	close_fake();
}

/* The whole transaction again, from the locks on: what was worked out from the old rows is forgotten. */
static void
test_retry_at_each_store_call(void)
{
	static const struct {
		enum fake_call call;
		const char *before;
	} cases[] = {
		{CALL_BEGIN, "view begin "},
		{CALL_LOCK, "view begin lock rollback "},
		{CALL_SAVE, "view begin lock save rollback "},
		{CALL_COMMIT, "view begin lock save fence commit "},
	};

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		char trace[256];

		open_fake(true);
		warm_up();
		fake.faults.only = cases[i].call;
		fake.faults.fault = FAULT_RETRY;
		const struct grant_command *grant = fake_service_give(&fake, "p", "s1", "k", 10);

		snprintf(trace, sizeof(trace), "%sbegin lock save fence commit confirm", cases[i].before);
		expect_trace(trace);
		CU_ASSERT(grant->write.err == ERR_OK && !grant->write.replayed && grant->row.revision == 1);
		expect_player("p", "s1", 10, 1);
		close_fake();
	}
}

/* Having seen a known key, a transaction that is tried again goes on looking. */
static void
test_retry_of_a_replay(void)
{
	open_fake(true);
	warm_up();
	fake.faults.only = CALL_FIND;
	fake.faults.fault = FAULT_RETRY;
	CU_ASSERT_TRUE(fake_service_give(&fake, "warm", "s1", "w", 1)->write.replayed);
	expect_trace("view begin lock save rollback begin lock find rollback begin lock find rollback "
		     "confirm");
	close_fake();
}

/* The ledger is asked before a refusal: what was granted before the season ended is still answered as granted. */
static void
test_replay_of_what_would_be_refused(void)
{
	open_fake(true);
	struct uuid first = fake_service_give(&fake, "p", "s1", "k", 10)->row.id;

	fake.now_ms = 93000;
	fake_service_begin(&fake);
	struct grant_command *again = fake_service_grant(&fake, "p", "s1", "k", 10);
	const struct grant_command *late = fake_service_grant(&fake, "p", "s1", "late", 10);

	again->row.occurred_at_ms = FAKE_NOW_MS;
	fake_service_run(&fake);
	CU_ASSERT(again->write.err == ERR_OK && again->write.replayed);
	CU_ASSERT_EQUAL(memcmp(&again->row.id, &first, sizeof(first)), 0);
	CU_ASSERT_EQUAL(late->write.err, ERR_SEASON_NOT_ACTIVE);
	expect_player("p", "s1", 10, 1);
	close_fake();
}

static void
test_retries_end(void)
{
	open_fake(true);
	warm_up();
	fake.faults.only = CALL_SAVE;
	fake.faults.fault = FAULT_RETRY;
	fake.faults.stays = true;
	enum err err = fake_service_give(&fake, "p", "s1", "k", 10)->write.err;

	CU_ASSERT(err == ERR_STORE_RETRY || err == ERR_STORE_UNAVAILABLE);
	CU_ASSERT_EQUAL(fake_count(&fake.faults, CALL_BEGIN), ATTEMPTS);
	expect_player("p", "s1", 0, 0);
	close_fake();
}

static void
test_unavailable_is_not_retried(void)
{
	static const enum fake_call calls[] = {CALL_BEGIN, CALL_LOCK, CALL_SAVE, CALL_COMMIT, CALL_DOCUMENT};

	for (size_t i = 0; i < COUNT_OF(calls); i++) {
		open_fake(true);
		fake.faults.only = calls[i];
		fake.faults.fault = FAULT_UNAVAILABLE;
		CU_ASSERT_EQUAL(fake_service_give(&fake, "p", "s1", "k", 10)->write.err, ERR_STORE_UNAVAILABLE);
		CU_ASSERT_EQUAL(fake_count(&fake.faults, CALL_BEGIN), calls[i] != CALL_DOCUMENT);
		expect_player("p", "s1", 0, 0);
		close_fake();
	}
}

/* The connection is lost at COMMIT: the ledger tells, once the rows are locked again. */
static void
test_outcome_unknown(void)
{
	static const struct {
		enum fake_fault fault;
		const char *rest;
	} cases[] = {
		{FAULT_COMMITTED, "begin lock find rollback confirm"},
		{FAULT_VANISHED, "begin lock find save fence commit confirm"},
	};

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		char trace[256];

		open_fake(true);
		warm_up();
		fake.faults.only = CALL_COMMIT;
		fake.faults.fault = cases[i].fault;
		const struct grant_command *grant = fake_service_give(&fake, "p", "s1", "k", 10);

		snprintf(trace, sizeof(trace), "view begin lock save fence commit %s", cases[i].rest);
		expect_trace(trace);
		/* It is this call's own grant that was found: not a replay. */
		CU_ASSERT(grant->write.err == ERR_OK && !grant->write.replayed);
		CU_ASSERT(grant->row.revision == 1 && grant->row.effect.xp_after == 10);
		expect_player("p", "s1", 10, 1);
		close_fake();
	}
}

static void
test_only_the_guilty_fails(void)
{
	static const char *const sources[] = {"poison", "stuck"};

	for (size_t guilty = 0; guilty < 2 * 5; guilty++) {
		open_fake(true);
		fake_service_begin(&fake);
		struct grant_command *grants[] = {
			fake_service_grant(&fake, "a", "s1", "k", 10), fake_service_grant(&fake, "b", "s1", "k", 10),
			fake_service_grant(&fake, "b", "s1", "l", 10), fake_service_grant(&fake, "c", "s2", "k", 10),
			fake_service_grant(&fake, "d", "s2", "k", 10),
		};

		grants[guilty % 5]->row.source = str_from(sources[guilty / 5]);
		fake_service_run(&fake);
		for (size_t i = 0; i < COUNT_OF(grants); i++)
			CU_ASSERT_EQUAL(grants[i]->write.err == ERR_OK, i != guilty % 5);
		CU_ASSERT(guilty >= 5 || grants[guilty % 5]->write.err == ERR_INTERNAL);
		CU_ASSERT_EQUAL(fake.store.ledger_count, 4);
		close_fake();
	}
}

static void
test_unreadable_season_fails_alone(void)
{
	open_fake(true);
	fake.store.unreadable_season = "s2";
	fake_service_begin(&fake);
	const struct grant_command *good = fake_service_grant(&fake, "a", "s1", "k", 10);
	const struct grant_command *bad = fake_service_grant(&fake, "a", "s2", "k", 10);

	fake_service_run(&fake);
	CU_ASSERT_EQUAL(good->write.err, ERR_OK);
	CU_ASSERT_EQUAL(bad->write.err, ERR_INTERNAL);
	expect_player("a", "s1", 10, 1);
	close_fake();
}

/* Redis refuses the fence: nobody may trust the cache any more before this commits. */
static void
test_fence_refused(void)
{
	static const enum fake_fault faults[] = {FAULT_LOST, FAULT_UNHEARD, FAULT_HALF};

	for (size_t i = 0; i < COUNT_OF(faults); i++) {
		open_fake(true);
		warm_up();
		fake.faults.only = CALL_FENCE;
		fake.faults.fault = faults[i];
		int64_t before_ms = clock_boot_ms();

		CU_ASSERT_EQUAL(fake_service_give(&fake, "p", "s1", "k", 10)->write.err, ERR_OK);
		expect_trace("view begin lock save fence find_distrust rollback others switch_off gate settle "
			     "begin lock save commit");
		CU_ASSERT_FALSE(fake.store.gate.enabled);
		CU_ASSERT_TRUE(clock_boot_ms() - before_ms >= 550);
		expect_player("p", "s1", 10, 1);
		restart();
		before_ms = clock_boot_ms();
		/* Who finds it off waits for nothing. */
		CU_ASSERT_EQUAL(fake_service_give(&fake, "p", "s1", "l", 10)->write.err, ERR_OK);
		expect_trace("view begin lock save commit");
		CU_ASSERT_EQUAL(clock_boot_ms(), before_ms);
		close_fake();
	}
}

static void
test_confirmation_refused(void)
{
	static const enum fake_fault faults[] = {FAULT_LOST, FAULT_UNHEARD, FAULT_HALF};

	for (size_t i = 0; i < COUNT_OF(faults); i++) {
		open_fake(true);
		warm_up();
		fake.faults.only = CALL_CONFIRM;
		fake.faults.fault = faults[i];
		const struct grant_command *grant = fake_service_give(&fake, "p", "s1", "k", 10);

		CU_ASSERT(grant->write.err == ERR_OK && !grant->write.replayed);
		expect_trace("view begin lock save fence commit confirm others switch_off gate settle");
		CU_ASSERT(!fake.store.gate.enabled && fake.store.gate.settled);
		expect_player("p", "s1", 10, 1);
		close_fake();
	}
}

/* Committed, but neither confirmed nor the cache turned off: this must not be called a success. The repeat is a replay.
 */
static void
test_never_answered_unconfirmed(void)
{
	static const enum fake_call calls[] = {CALL_SWITCH_OFF, CALL_GATE, CALL_SETTLE};

	for (size_t i = 0; i < COUNT_OF(calls); i++) {
		open_fake(true);
		warm_up();
		fake_service_begin(&fake);
		const struct grant_command *grant = fake_service_grant(&fake, "p", "s1", "k", 10);

		fake.cache.confirms_fail = true;
		fake.faults.only = calls[i];
		fake.faults.fault = FAULT_UNAVAILABLE;
		fake_service_run(&fake);
		CU_ASSERT_EQUAL(grant->write.err, ERR_STORE_UNAVAILABLE);
		CU_ASSERT_TRUE(fake.faults.struck);
		expect_player("p", "s1", 10, 1);
		grant = fake_service_give(&fake, "p", "s1", "k", 10);
		CU_ASSERT(grant->write.err == ERR_OK && grant->write.replayed);
		CU_ASSERT(!fake.store.gate.enabled && fake.store.gate.settled);
		expect_player("p", "s1", 10, 1);
		close_fake();
	}
}

/* A change of cache_control that old leases may outlive: wait until none can. */
static void
test_gate_not_settled(void)
{
	open_fake(true);
	warm_up();
	fake_store_set_gate(&fake.store, 3, true, fake_redis_id);
	int64_t before_ms = clock_boot_ms();

	CU_ASSERT_EQUAL(fake_service_give(&fake, "p", "s1", "k", 10)->write.err, ERR_OK);
	expect_trace("view begin rollback gate settle begin lock save fence commit confirm");
	CU_ASSERT_TRUE(clock_boot_ms() - before_ms >= 550);
	CU_ASSERT_PTR_NOT_NULL(fake_cache_entry(&fake.cache, 3, STR("p"), "s1"));
	close_fake();
}

static void
test_other_redis(void)
{
	open_fake(true);
	fake.cache.redis_id[0] = 'f';
	CU_ASSERT_EQUAL(fake_service_give(&fake, "p", "s1", "k", 10)->write.err, ERR_OK);
	expect_trace("view document begin lock save fence find_distrust rollback others switch_off gate settle "
		     "begin lock save commit");
	close_fake();
}

/* Another server answers in the database's place: the cache may know of commits that this one has lost. */
static void
test_other_database(void)
{
	open_fake(true);
	warm_up();
	fake.store.gate.same_database = false;
	CU_ASSERT_EQUAL(fake_service_give(&fake, "p", "s1", "k", 10)->write.err, ERR_OK);
	expect_trace("view begin rollback switch_off gate settle begin lock save commit");
	close_fake();
}

/* A writer needs no lease: the gate's epoch stays as it is until COMMIT, and its Redis is the one that it names. */
static void
test_no_lease_needed(void)
{
	open_fake(true);
	warm_up();
	fake.cache.frozen_until_boot_ms = INT64_MAX;
	clock_sleep_ms(LEASE_MS);
	CU_ASSERT_EQUAL(fake_service_give(&fake, "p", "s1", "k", 10)->write.err, ERR_OK);
	expect_trace("view begin lock save fence commit confirm");
	expect_cached("p", "s1", 'V', 1);
	close_fake();
}

/* Others go on with this Redis: only this player is distrusted, once, and the cache stays on for everybody else. */
static void
test_cut_off(void)
{
	open_fake(true);
	warm_up();
	fake.store.others_reach_until_boot_ms = INT64_MAX;
	fake.cache.gone = true;
	int64_t before_ms = clock_boot_ms();

	CU_ASSERT_EQUAL(fake_service_give(&fake, "p", "s1", "k", 10)->write.err, ERR_OK);
	expect_trace("view begin lock save fence find_distrust rollback others distrust "
		     "gate others settle_distrust begin lock save fence find_distrust commit");
	CU_ASSERT(clock_boot_ms() - before_ms >= LEASE_DEAD_MS && clock_boot_ms() - before_ms < LEASE_DEAD_MS + 50);
	CU_ASSERT(fake.store.gate.enabled && fake.store.gate.change == 2);
	expect_player("p", "s1", 10, 1);
	restart();
	before_ms = clock_boot_ms();
	CU_ASSERT_EQUAL(fake_service_give(&fake, "p", "s1", "l", 10)->write.err, ERR_OK);
	expect_trace("view begin lock save fence find_distrust commit");
	/* A replay is acknowledged without a wait, too. */
	CU_ASSERT_TRUE(fake_service_give(&fake, "p", "s1", "l", 10)->write.replayed);
	CU_ASSERT_EQUAL(clock_boot_ms(), before_ms);
	close_fake();
}

/* Committed, and then cut off: everybody distrusts the player before this is answered. */
static void
test_cut_off_before_confirmation(void)
{
	open_fake(true);
	warm_up();
	fake.store.others_reach_until_boot_ms = INT64_MAX;
	fake.cache.confirms_fail = true;
	int64_t before_ms = clock_boot_ms();

	CU_ASSERT_EQUAL(fake_service_give(&fake, "p", "s1", "k", 10)->write.err, ERR_OK);
	expect_trace("view begin lock save fence commit confirm others find_distrust distrust gate others "
		     "settle_distrust");
	CU_ASSERT_TRUE(clock_boot_ms() - before_ms >= LEASE_DEAD_MS);
	CU_ASSERT_TRUE(fake_store_distrust(&fake.store, "p/s1")->settled);
	CU_ASSERT_TRUE(fake.store.gate.enabled);
	close_fake();
}

/* The wait is beside the turn: it is over at once, and the write has its result when it is continued. */
static void
test_put_off(void)
{
	open_fake(true);
	warm_up();
	fake.store.others_reach_until_boot_ms = INT64_MAX;
	fake.cache.gone = true;
	fake_service_begin(&fake);
	fake.turn.puts_off = true;
	const struct grant_command *grant = fake_service_grant(&fake, "p", "s1", "k", 10);
	int64_t before_ms = clock_boot_ms();

	turn_run(&fake.turn);
	CU_ASSERT(grant->write.put_off && clock_boot_ms() == before_ms);
	CU_ASSERT_PTR_NULL(fake_store_player(&fake.store, STR("p"), "s1"));
	while (grant->write.put_off) {
		clock_sleep_ms(turn_due_boot_ms(&fake.turn) - clock_boot_ms());
		turn_continue(&fake.turn);
	}
	CU_ASSERT(clock_boot_ms() - before_ms >= LEASE_DEAD_MS && clock_boot_ms() - before_ms < LEASE_DEAD_MS + 50);
	CU_ASSERT(grant->write.err == ERR_OK && !grant->write.replayed);
	expect_player("p", "s1", 10, 1);
	CU_ASSERT_EQUAL(turn_due_boot_ms(&fake.turn), INT64_MAX);
	close_fake();
}

/* What is put off later must not push back the look that an earlier one waits for. */
static void
test_put_off_one_after_another(void)
{
	open_fake(true);
	warm_up();
	fake.store.others_reach_until_boot_ms = INT64_MAX;
	fake.cache.gone = true;
	fake_service_begin(&fake);
	fake.turn.puts_off = true;
	const struct grant_command *first = fake_service_grant(&fake, "p", "s1", "k", 10);
	int64_t before_ms = clock_boot_ms();
	unsigned more = 0;

	turn_run(&fake.turn);
	while (first->write.put_off && clock_boot_ms() - before_ms < LEASE_DEAD_MS * 2) {
		const char *player = more % 2 ? "q" : "r";
		struct str key = arena_format(fake.turn.arena, "k%u", more++);

		clock_sleep_ms(5);
		fake_service_grant(&fake, player, "s1", key.ptr, 10);
		turn_run(&fake.turn);
		turn_continue(&fake.turn);
	}
	CU_ASSERT(clock_boot_ms() - before_ms < LEASE_DEAD_MS + 50);
	CU_ASSERT(first->write.err == ERR_OK && more > 20);
	fake.cache.gone = false;
	while (turn_due_boot_ms(&fake.turn) != INT64_MAX) {
		clock_sleep_ms(turn_due_boot_ms(&fake.turn) - clock_boot_ms());
		turn_continue(&fake.turn);
	}
	close_fake();
}

/* The same after COMMIT: it is not made again, and its result is the first one's. */
static void
test_acknowledgement_put_off(void)
{
	open_fake(true);
	warm_up();
	fake.store.others_reach_until_boot_ms = INT64_MAX;
	fake.cache.confirms_fail = true;
	fake_service_begin(&fake);
	fake.turn.puts_off = true;
	const struct grant_command *grant = fake_service_grant(&fake, "p", "s1", "k", 10);
	int64_t before_ms = clock_boot_ms();

	turn_run(&fake.turn);
	CU_ASSERT(grant->write.put_off && clock_boot_ms() == before_ms);
	expect_player("p", "s1", 10, 1);
	while (grant->write.put_off) {
		clock_sleep_ms(turn_due_boot_ms(&fake.turn) - clock_boot_ms());
		turn_continue(&fake.turn);
	}
	CU_ASSERT(clock_boot_ms() - before_ms >= LEASE_DEAD_MS && clock_boot_ms() - before_ms < LEASE_DEAD_MS + 50);
	CU_ASSERT(grant->write.err == ERR_OK && !grant->write.replayed);
	CU_ASSERT_EQUAL(grant->row.revision, 1);
	CU_ASSERT_TRUE(fake_store_distrust(&fake.store, "p/s1")->settled);
	expect_player("p", "s1", 10, 1);
	close_fake();
}

/* While it is waited for the others fall, too: one wait for all players is shorter than one for each. */
static void
test_cut_off_becomes_an_outage(void)
{
	open_fake(true);
	warm_up();
	fake.store.others_reach_until_boot_ms = clock_boot_ms() + 100;
	fake.cache.gone = true;
	CU_ASSERT_EQUAL(fake_service_give(&fake, "p", "s1", "k", 10)->write.err, ERR_OK);
	CU_ASSERT(!fake.store.gate.enabled && fake.store.gate.settled);
	restart();
	CU_ASSERT_EQUAL(fake_service_give(&fake, "q", "s1", "k", 10)->write.err, ERR_OK);
	expect_trace("view begin lock save commit");
	close_fake();
}

static size_t relayed;

static void
expect_relayed(enum err expected, bool there)
{
	struct distrust_row row = {.player = STR("p"), .season = "s1"};

	fake_service_begin(&fake);
	CU_ASSERT_EQUAL(relay_run(&fake.turn, &row, 1, &relayed), expected);
	CU_ASSERT_EQUAL(fake_store_distrust(&fake.store, "p/s1") != NULL, there);
	CU_ASSERT_FALSE(fake.store.open);
}

/* The relay gives the player back to the cache once a fence stands there. */
static void
test_relay(void)
{
	open_fake(true);
	warm_up();
	fake.store.others_reach_until_boot_ms = INT64_MAX;
	fake.cache.gone = true;
	fake_service_give(&fake, "p", "s1", "k", 10);
	expect_relayed(ERR_CACHE_UNAVAILABLE, true);
	fake.cache.gone = false;
	fake.store.gate.same_database = false;
	expect_relayed(ERR_OK, true);
	fake.store.gate.same_database = true;
	fake.store.gate.settled = false;
	expect_relayed(ERR_OK, true);
	fake_store_settle(&fake.store);
	restart();
	expect_relayed(ERR_OK, false);
	expect_trace("view begin lock fence forget_distrust commit");
	expect_cached("p", "s1", 'T', 1);
	/* Without a cache nobody trusts anything, and no fence is needed. */
	fake.cache.gone = true;
	fake_service_give(&fake, "p", "s1", "l", 10);
	fake_store_set_gate(&fake.store, 2, false, fake_redis_id);
	fake_store_settle(&fake.store);
	expect_relayed(ERR_OK, false);
	close_fake();
}

/* Also a player of a season that is not in the directory (any more): his row must not stand before the others' for
 * ever. */
static void
test_relay_of_an_unknown_season(void)
{
	struct distrust_row rows[] = {{.player = STR("p"), .season = "gone"}, {.player = STR("p"), .season = "s1"}};

	open_fake(true);
	warm_up();
	CU_ASSERT_EQUAL(fake.store.port.distrust(&fake.store, rows, 2), ERR_OK);
	fake_service_begin(&fake);
	CU_ASSERT_EQUAL(relay_run(&fake.turn, rows, 2, &relayed), ERR_OK);
	CU_ASSERT_EQUAL(relayed, 2);
	CU_ASSERT_PTR_NULL(fake_store_distrust(&fake.store, "p/s1"));
	CU_ASSERT_PTR_NULL(fake_store_distrust(&fake.store, "p/gone"));
	close_fake();
}

/* Random histories. */

enum { TURNS = 10, KEYS = 6, HISTORIES = 40, STORMS = 1500 };

static const char *const players[] = {"a", "b", "c"};
static const char *const seasons[] = {"s1", "s2", "over"};

struct asked {
	const struct grant_command *command;
	const char *player;
	const char *season;
};

struct history {
	uint64_t random;
	uint64_t acknowledged[COUNT_OF(players)][COUNT_OF(seasons)]; /* revisions; only ever up */
	unsigned failures_allowed;
};

static void
random_grant(struct history *history, struct asked *asked)
{
	uint64_t *random = &history->random;
	uint64_t key = random_below(random, KEYS);
	char text[8];

	snprintf(text, sizeof(text), "k%llu", (unsigned long long)key);
	asked->player = players[random_below(random, COUNT_OF(players))];
	asked->season = seasons[random_below(random, 8) ? random_below(random, 2) : 2];
	/* Mostly the same request under the same key. */
	asked->command = fake_service_grant(&fake, asked->player, asked->season, text,
					    10 * (key + 1) + (random_below(random, 10) == 0));
}

/* What a document says is what the ledger says at its revision. */
static void
check_document(const struct progress_read *read, uint64_t at_least)
{
	uint64_t xp = 0;
	char body[FAKE_BODY_MAX];

	for (size_t i = 0; i < fake.store.ledger_count; i++) {
		const struct grant_row *row = &fake.store.ledger[i];

		if (str_equal(row->player, read->player) && strcmp(row->season, read->season->id) == 0 &&
		    row->revision == read->revision)
			xp = row->effect.xp_after;
	}
	snprintf(body, sizeof(body), "{%.*s %s %llu %llu}", STR_ARGS(read->player), read->season->id,
		 (unsigned long long)read->revision, (unsigned long long)xp);
	if (!str_equal(read->body, str_from(body)))
		fake_broken(&fake.faults, "document \"%.*s\", the ledger says \"%s\"", STR_ARGS(read->body), body);
	if (read->revision < at_least)
		fake_broken(&fake.faults, "a stale read: %s, revision %llu was acknowledged", body,
			    (unsigned long long)at_least);
}

static void
check_granted(const struct grant_command *command, const struct grant_row *row)
{
	if (!row) {
		fake_broken(&fake.faults, "an acknowledged grant is lost");
	} else if (memcmp(row->request_hash, command->row.request_hash, sizeof(row->request_hash)) != 0 ||
		   memcmp(&row->id, &command->row.id, sizeof(row->id)) != 0 || row->revision != command->row.revision ||
		   row->effect.xp_after != command->row.effect.xp_after ||
		   !str_equal(row->unlocked, command->row.unlocked)) {
		fake_broken(&fake.faults, "a grant's answer is not what the ledger says");
	}
}

/* The answer of a grant against the ledger; own: it is this command that made it. */
static void
check_answer(struct history *history, const struct asked *asked, bool own)
{
	const struct grant_command *command = asked->command;
	const struct grant_row *row =
		fake_store_grant(&fake.store, command->write.player, asked->season, command->write.idempotency_key);

	switch (command->write.err) {
	case ERR_OK:
		check_granted(command, row);
		if (command->write.replayed == own)
			fake_broken(&fake.faults, "replayed is told wrongly");
		break;
	case ERR_IDEMPOTENCY_KEY_REUSED:
		if (!row || memcmp(row->request_hash, command->write.request_hash, sizeof(row->request_hash)) == 0)
			fake_broken(&fake.faults, "called a reuse without being one");
		break;
	case ERR_SEASON_NOT_ACTIVE:
		if (strcmp(asked->season, "over") != 0 || row)
			fake_broken(&fake.faults, "refused without reason");
		break;
	default:
		if (history->failures_allowed-- == 0)
			fake_broken(&fake.faults, "failed with %s", err_code(command->write.err));
	}
}

/* No value that a reader may trust is older than what was acknowledged. */
static void
check_cache(struct history *history, size_t player, size_t season)
{
	const struct write_gate *gate = &fake.store.gate;
	const struct fake_entry *entry =
		fake_cache_entry(&fake.cache, gate->epoch, str_from(players[player]), seasons[season]);
	char key[16];

	snprintf(key, sizeof(key), "%s/%s", players[player], seasons[season]);
	if (fake_store_distrust(&fake.store, key))
		return;
	if (gate->enabled && entry && entry->kind != 'L' && entry->revision < history->acknowledged[player][season])
		fake_broken(&fake.faults, "%c%llu is left where %llu was acknowledged", entry->kind,
			    (unsigned long long)entry->revision,
			    (unsigned long long)history->acknowledged[player][season]);
}

static void
acknowledge(struct history *history, const struct asked *asked)
{
	for (size_t p = 0; p < COUNT_OF(players); p++)
		for (size_t s = 0; s < COUNT_OF(seasons); s++)
			if (asked->command->write.err == ERR_OK && asked->player == players[p] &&
			    asked->season == seasons[s] && history->acknowledged[p][s] < asked->command->row.revision)
				history->acknowledged[p][s] = asked->command->row.revision;
}

/* Whatever is distrusted, or some of it, by a host that may reach Redis or not. */
static void
random_relay(uint64_t *random)
{
	struct distrust_row rows[COUNT_OF(players)];

	for (size_t i = 0; i < COUNT_OF(players); i++)
		rows[i] = (struct distrust_row){.player = str_from(players[i]),
						.season = seasons[random_below(random, 2)]};
	fake_service_begin(&fake);
	relay_run(&fake.turn, rows, 1 + random_below(random, COUNT_OF(rows)), &relayed);
}

/* What happens between turns: evictions, Redis or the steward away, other hosts that reach it, a relay, a new epoch. */
static void
random_event(struct history *history)
{
	uint64_t *random = &history->random;
	const struct write_gate *gate = &fake.store.gate;

	fake.cache.gone = random_below(random, 12) == 0;
	fake.cache.frozen_until_boot_ms =
		random_below(random, 10) == 0 ? clock_boot_ms() + (int64_t)random_below(random, 900) : 0;
	fake.store.others_reach_until_boot_ms =
		clock_boot_ms() + (random_below(random, 3) ? (int64_t)random_below(random, 3000) : 0);
	if (random_below(random, 4) == 0)
		random_relay(random);
	if (random_below(random, 3) == 0)
		fake_cache_evict(&fake.cache, random_next(random));
	clock_sleep_ms((int64_t)random_below(random, 300));
	if (!gate->enabled && gate->settled && random_below(random, 2)) {
		fake_store_set_gate(&fake.store, gate->epoch + 1, true, fake_redis_id);
		if (random_below(random, 2)) {
			clock_sleep_ms(550);
			fake_store_settle(&fake.store);
		}
	}
}

/*
 * Did this command make the grant that it was answered with? It has the id that the command was given, and was not in
 * the ledger before this turn. Of several under one key any may be the one: writes that were put off come later.
 */
static bool
made_by(const struct grant_command *command, size_t committed)
{
	for (size_t i = committed; i < fake.store.ledger_count; i++)
		if (memcmp(&fake.store.ledger[i].id, &command->write.id, sizeof(command->write.id)) == 0)
			return true;
	return false;
}

/* As a lane does that lets other turns run meanwhile. */
static void
run_and_continue(void)
{
	turn_run(&fake.turn);
	for (int64_t due_ms; (due_ms = turn_due_boot_ms(&fake.turn)) != INT64_MAX;) {
		if (due_ms > clock_boot_ms())
			clock_sleep_ms(due_ms - clock_boot_ms());
		turn_continue(&fake.turn);
	}
	turn_fill(&fake.turn);
}

static void
random_turn(struct history *history)
{
	struct asked asked[8];
	const struct progress_read *reads[COUNT_OF(players)];
	uint64_t at_least[COUNT_OF(players)];
	size_t count = random_below(&history->random, COUNT_OF(asked) + 1);
	size_t season = random_below(&history->random, 2);

	fake_service_begin(&fake);
	size_t committed = fake.store.ledger_count;

	for (size_t i = 0; i < count; i++)
		random_grant(history, &asked[i]);
	for (size_t i = 0; i < COUNT_OF(players); i++) {
		reads[i] = fake_service_read(&fake, players[i], seasons[season]);
		at_least[i] = history->acknowledged[i][season];
	}
	fake.turn.puts_off = random_below(&history->random, 2) == 0;
	run_and_continue();
	for (size_t i = 0; i < count; i++) {
		check_answer(history, &asked[i], made_by(asked[i].command, committed));
		acknowledge(history, &asked[i]);
	}
	for (size_t i = 0; i < COUNT_OF(players); i++) {
		if (reads[i]->err == ERR_OK)
			check_document(reads[i], at_least[i]);
		else if (history->failures_allowed-- == 0)
			fake_broken(&fake.faults, "a read failed with %s", err_code(reads[i]->err));
	}
	for (size_t p = 0; p < COUNT_OF(players); p++)
		for (size_t s = 0; s < COUNT_OF(seasons); s++)
			check_cache(history, p, s);
}

/* The faults are set up before; returns true if nothing was broken. */
static bool
run_history(uint64_t from, unsigned failures_allowed)
{
	struct history history = {.random = from, .failures_allowed = failures_allowed};

	for (int i = 0; i < TURNS; i++) {
		random_event(&history);
		random_turn(&history);
	}
	fake_store_check(&fake.store);
	return fake.faults.broken[0] == '\0';
}

static bool
run_with_fault(uint64_t from, unsigned at, enum fake_fault fault)
{
	fake_service_init(&fake, true, 1 + from % 5);
	fake.faults.at = at;
	fake.faults.fault = fault;
	/* Nobody falls with a neighbour: an internal error can only hit a grant that is alone by then. */
	bool good = run_history(from, fault == FAULT_UNAVAILABLE ? UINT_MAX : fault == FAULT_INTERNAL);

	if (!good)
		printf("# history %llu, fault %s at call %u: %s\n", (unsigned long long)from, fake_fault_name(fault),
		       at, fake.faults.broken);
	CU_ASSERT(fault == FAULT_NONE || fake.faults.struck);
	return good;
}

/* One fault, of every kind, at every call of a history. */
static bool
every_fault_of(uint64_t from)
{
	static unsigned char sequence[FAKE_CALLS_MAX];
	bool good = run_with_fault(from, FAKE_NOWHERE, FAULT_NONE);
	unsigned calls = fake.faults.calls;

	memcpy(sequence, fake.faults.sequence, sizeof(sequence));
	fake_service_release(&fake);
	for (unsigned at = 0; at < calls && at < FAKE_CALLS_MAX && good; at++) {
		for (int fault = FAULT_NONE + 1; fault < FAULT_COUNT && good; fault++) {
			if (!fake_fault_applies((enum fake_call)sequence[at], (enum fake_fault)fault))
				continue;
			good = run_with_fault(from, at, (enum fake_fault)fault);
			fake_service_release(&fake);
		}
	}
	return good;
}

static void
test_every_fault_at_every_call(void)
{
	bool good = true;

	for (unsigned i = 0; i < HISTORIES && good; i++)
		good = every_fault_of(random_next(&seed));
	CU_ASSERT_TRUE(good);
}

/* Many faults in one history. */
static void
test_storms(void)
{
	bool good = true;

	for (unsigned i = 0; i < STORMS && good; i++) {
		uint64_t from = random_next(&seed);
		uint64_t random = from ^ 1;

		fake_service_init(&fake, true, 1 + from % 5);
		fake.faults.random = &random;
		fake.faults.rarity = 2 + (unsigned)(from % 30);
		good = run_history(from, UINT_MAX);
		if (!good)
			printf("# storm %llu: %s\n", (unsigned long long)from, fake.faults.broken);
		fake_service_release(&fake);
	}
	CU_ASSERT_TRUE(good);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"one grant: order of the calls, answer, cache", test_one_grant},
		{"cache off and settled: no fence, no confirmation", test_cache_off_and_settled},
		{"a replay gives the first answer, confirmed", test_replay},
		{"a reused key", test_reused_key},
		{"twins in one turn", test_twins_in_one_turn},
		{"the twin of a refused grant", test_twin_of_a_refused_one},
		{"players and seasons share a transaction", test_players_and_seasons_share_a_transaction},
		{"a turn larger than a transaction", test_share_of_a_transaction},
		{"refused beside granted", test_refused_beside_granted},
		{"nothing to commit is rolled back", test_nothing_to_commit_is_rolled_back},
		{"updated_at never goes back", test_updated_at_never_goes_back},
		{"a retry at each call of the store", test_retry_at_each_store_call},
		{"a retry of a replay", test_retry_of_a_replay},
		{"a replay of what would be refused now", test_replay_of_what_would_be_refused},
		{"retries end", test_retries_end},
		{"an unavailable store is not asked again", test_unavailable_is_not_retried},
		{"outcome of the commit unknown", test_outcome_unknown},
		{"only the guilty fails", test_only_the_guilty_fails},
		{"an unreadable season fails alone", test_unreadable_season_fails_alone},
		{"fence refused: the cache goes off first", test_fence_refused},
		{"confirmation refused: the cache goes off before the answer", test_confirmation_refused},
		{"never answered unconfirmed", test_never_answered_unconfirmed},
		{"cache_control not settled", test_gate_not_settled},
		{"another Redis", test_other_redis},
		{"another database", test_other_database},
		{"a writer needs no lease", test_no_lease_needed},
		{"cut off: the player is distrusted", test_cut_off},
		{"cut off before the confirmation", test_cut_off_before_confirmation},
		{"cut off: the write is put off", test_put_off},
		{"cut off: one put off after another", test_put_off_one_after_another},
		{"cut off after COMMIT: the acknowledgement is put off", test_acknowledgement_put_off},
		{"cut off, and then all are", test_cut_off_becomes_an_outage},
		{"the relay", test_relay},
		{"the relay and a season that is not known", test_relay_of_an_unknown_season},
		{"every fault at every call of random histories", test_every_fault_at_every_call},
		{"storms of faults", test_storms},
		CU_TEST_INFO_NULL,
	};

	log_set_level(LOG_ERROR);
	seed = tap_seed();
	return tap_main("service/grants", tests);
}
