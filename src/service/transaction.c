/*
 * Writes, as many as a turn holds, in transactions that several of them share:
 *
 *   lock the players' rows -> rules -> save -> FENCE -> COMMIT -> CONFIRM -> results
 *
 * Nearly every XP grant and claim is new, so the first try does not look into ledger and audit log: saving fails where
 * a key is there already. Then, and where a rule would refuse a write (which may have been made before), the
 * transaction is tried again with a look first: what is there is a replay.
 *
 * Never a commit without a fence, never an answer without a confirmation, unless the cache is off and settled, or the
 * players are distrusted by everybody. No lease is asked for: cache_control is held under a share lock until COMMIT, so
 * the epoch fenced in is the one that readers trust, and the Redis written to is known by its identity. A transaction
 * that fails is tried again whole; one that cannot succeed is taken apart, so that nobody falls with a neighbour.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/crash.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/mutant.h"
#include "service/rules.h"
#include "service/use_cases.h"

enum {
	TRANSACTION_ROWS = 8000, /* so that statements stay far below what a server takes (max_allowed_packet) */
	TRIES_TOGETHER = 8,
	TRIES_ALONE = 3, /* the outcome unknown, or a key known already, may each cost one */
	PATIENCE_MS = 4000,
	RETRIES_JITTER_MS = 10,
};

/* How writes go on when a wait is over. */
struct pause {
	struct lease_wait wait;
	int64_t due_boot_ms;       /* when it is looked at, whoever looks before */
	struct attempt *committed; /* what came of them is told; NULL: they are run again */
};

struct put_off {
	struct put_off *next;
	struct write **writes; /* sorted */
	size_t count;
	struct pause pause;
};

static int
compare_writes(const void *a, const void *b)
{
	const struct write *x = *(struct write *const *)a;
	const struct write *y = *(struct write *const *)b;
	int order = strcmp(x->season->id, y->season->id);

	if (order == 0)
		order = str_compare(x->player, y->player);
	/* Of one player in the order in which they came: ids ascend. */
	return order ? order : memcmp(&x->id, &y->id, sizeof(x->id));
}

static bool
same_target(const struct target *target, const struct write *write)
{
	return target->row.season == write->season && str_equal(target->row.player, write->player);
}

/* Writes come sorted, so one player's stand together. */
static enum err
attempt_init(struct attempt *attempt, struct turn *turn, struct write *const writes[], size_t count)
{
	*attempt = (struct attempt){.turn = turn, .work_count = count};
	attempt->works = ARENA_ARRAY(turn->arena, count, struct work);
	attempt->targets = ARENA_ARRAY(turn->arena, count, struct target);
	for (size_t i = 0; i < count; i++) {
		struct target *target = &attempt->targets[attempt->target_count];

		if (i > 0 && same_target(target - 1, writes[i])) {
			target--;
		} else {
			enum err err = turn_definition(turn, writes[i]->season, &target->season);

			if (err != ERR_OK)
				return err;
			target->row.player = writes[i]->player;
			target->row.season = writes[i]->season;
			attempt->target_count++;
		}
		work_init(&attempt->works[i], writes[i], target);
		attempt->looks_up |= write_seldom_new(writes[i]);
	}
	return ERR_OK;
}

static enum err
lock_targets(struct attempt *attempt)
{
	const struct store_port *store = attempt->turn->service->rooms.store;
	struct progress_row **rows = ARENA_ARRAY(attempt->turn->arena, attempt->target_count, struct progress_row *);

	for (size_t i = 0; i < attempt->target_count; i++)
		rows[i] = &attempt->targets[i].row;
	return store->lock(store->self, rows, attempt->target_count, attempt->turn->arena);
}

static enum err
save_all(struct attempt *attempt)
{
	const struct store_port *store = attempt->turn->service->rooms.store;
	struct arena *arena = attempt->turn->arena;
	struct progress_row **rows = ARENA_ARRAY(arena, attempt->target_count, struct progress_row *);
	const struct grant_row **grants = ARENA_ARRAY(arena, attempt->work_count, const struct grant_row *);
	struct write_set set = {.rows = rows, .grants = grants, .changes = attempt->changes};

	for (size_t i = 0; i < attempt->target_count; i++)
		if (attempt->targets[i].touched)
			rows[set.row_count++] = &attempt->targets[i].row;
	for (size_t i = 0; i < attempt->work_count; i++)
		if (attempt->works[i].fresh && write_is_grant(attempt->works[i].write))
			grants[set.grant_count++] = &attempt->works[i].grant;
	return store->save(store->self, &set);
}

/* Each locked player's part in the cache protocol: its revision, and the new document where there is one. */
static void
prepare_cache_writes(struct attempt *attempt)
{
	struct arena *arena = attempt->turn->arena;
	struct buf body;

	attempt->writes = ARENA_ARRAY(arena, attempt->target_count, struct cache_write *);
	buf_init(&body);
	for (size_t i = 0; i < attempt->target_count; i++) {
		struct target *target = &attempt->targets[i];
		struct cache_write *write = &target->write;

		write->player = target->row.player;
		write->season = target->row.season->id;
		write->revision = target->row.revision;
		write->season_revision = target->row.season->revision;
		if (write->changed) {
			buf_clear(&body);
			attempt->turn->service->rooms.codec->render_progress(target->season, &target->row, &body);
			write->body = arena_str(arena, buf_view(&body));
		}
		attempt->writes[i] = write;
	}
	buf_release(&body);
}

/* ERR_CACHE_UNAVAILABLE: neither fenced nor distrusted; ERR_CACHE_AHEAD. The transaction is rolled back then. */
static enum err
fence(struct attempt *attempt)
{
	const struct store_port *store = attempt->turn->service->rooms.store;
	const struct cache_port *cache = attempt->turn->service->rooms.cache;
	enum err err = ERR_OK;

	if (!attempt->gate.enabled || mutant(MUTANT_NO_FENCE))
		return ERR_OK;
	err = cache->fence(cache->self, &attempt->gate, attempt->writes, attempt->target_count);
	if (err == ERR_OK)
		return ERR_OK;
	if (mutant(MUTANT_BREAKER_SKIPS_FENCE)) {
		attempt->unfenced = true;
		return ERR_OK;
	}
	if (err == ERR_CACHE_UNAVAILABLE) {
		err = writes_are_distrusted(attempt->turn, attempt->writes, attempt->target_count, &attempt->unfenced);
		if (err == ERR_OK && !attempt->unfenced)
			err = ERR_CACHE_UNAVAILABLE;
	}
	if (err != ERR_OK)
		store->rollback(store->self); /* where the store has not done so */
	return err;
}

/* FENCE -> COMMIT; the transaction is over when it returns. */
static enum err
fence_and_commit(struct attempt *attempt)
{
	const struct store_port *store = attempt->turn->service->rooms.store;
	enum err err = fence(attempt);

	if (err != ERR_OK)
		return err;
	crash_point("fenced");
	return store->commit(store->self);
}

/*
 * CONFIRM, also for players whose answer is a replay: that is an acknowledgement, too. It goes to the epoch and the
 * Redis of the gate: whoever still trusts that epoch sees it, and a later one began after the commit.
 */
static enum err
confirm(struct attempt *attempt, struct lease_wait *wait)
{
	const struct cache_port *cache = attempt->turn->service->rooms.cache;

	if (!attempt->gate.enabled || attempt->unfenced || mutant(MUTANT_NO_CONFIRM))
		return ERR_OK;
	if (cache->confirm(cache->self, &attempt->gate, attempt->writes, attempt->target_count) == ERR_OK)
		return ERR_OK;
	return lease_wait_begin(attempt->turn, &attempt->gate, attempt->writes, attempt->target_count, wait);
}

/* Everything inside the transaction, up to what is to be written. The transaction is rolled back on failure. */
static enum err
work_out(struct attempt *attempt)
{
	const struct store_port *store = attempt->turn->service->rooms.store;
	enum err err = lock_targets(attempt);

	crash_point("locked");
	if (err == ERR_OK)
		err = judge_all(attempt);
	if (err == ERR_OK && attempt->fresh_count)
		err = save_all(attempt);
	if (err != ERR_OK) {
		store->rollback(store->self); /* where the store has not done so */
		return err;
	}
	crash_point("saved");
	prepare_cache_writes(attempt);
	if (attempt->fresh_count)
		return fence_and_commit(attempt);
	store->rollback(store->self);
	return ERR_OK;
}

static void
publish_grant(const struct work *work, uint64_t counts[3])
{
	if (work->err == ERR_OK)
		((struct grant_command *)work->write)->row = work->grant;
	counts[work->err != ERR_OK ? 0 : work->replayed ? 1 : 2]++;
}

static void
count_purchase(const struct work *work)
{
	const struct purchase_row *purchase = &work->purchase;

	_Static_assert((int)METRIC_PURCHASE_COUNT == PURCHASE_STATE_COUNT &&
			       (int)METRIC_PURCHASE_GRANTED == PURCHASE_GRANTED &&
			       (int)METRIC_PURCHASE_STUCK == PURCHASE_STUCK,
		       "the label's values are the states");
	metrics_add_at(METRIC_PURCHASES, purchase->state, 0, 1);
	metrics_add(METRIC_CONVERSIONS,
		    purchase->state == PURCHASE_GRANTED && purchase->pass.len && work->target->row.pass_count == 1);
}

/* What was made of operations. */
static void
count_operation(const struct work *work)
{
	if (!work->fresh)
		return;
	switch (work->write->kind) {
	case WRITE_CLAIM:
	case WRITE_AUTO_CLAIM:
		metrics_add(METRIC_CLAIMS, 1);
		break;
	case WRITE_RESET:
		metrics_add(METRIC_RESETS, 1);
		break;
	case WRITE_PURCHASE:
	case WRITE_REFUND:
	case WRITE_SETTLEMENT:
	case WRITE_PURCHASE_CLOSE:
		count_purchase(work);
		break;
	default:
		break;
	}
}

static uint64_t
rewards_claimed(const struct attempt *attempt)
{
	uint64_t count = 0;

	for (const struct claim_row *claim = attempt->changes.claims; claim; claim = claim->next)
		count++;
	return count;
}

static void
publish(const struct attempt *attempt)
{
	uint64_t counts[3] = {0};

	for (size_t i = 0; i < attempt->work_count; i++) {
		const struct work *work = &attempt->works[i];

		work->write->err = work->err;
		work->write->replayed = work->replayed;
		if (write_is_grant(work->write)) {
			publish_grant(work, counts);
		} else {
			operation_of(work)->entry = work->entry;
			operation_of(work)->purchase = work->purchase;
			count_operation(work);
		}
	}
	metrics_add(METRIC_XP_GRANTS_REJECTED, counts[0]);
	metrics_add(METRIC_XP_GRANTS_REPLAYED, counts[1]);
	metrics_add(METRIC_XP_GRANTS, counts[2]);
	metrics_add(METRIC_CLAIMED_REWARDS, rewards_claimed(attempt));
	if (attempt->fresh_count == 0)
		return;
	metrics_add(METRIC_STORE_TRANSACTIONS, 1);
	metrics_observe(METRIC_STORE_TRANSACTION_WRITES, 0, 0, attempt->fresh_count);
}

/*
 * One try of one transaction; *attempt stays for who has to recover. ERR_CACHE_OFF_PENDING: old leases may be alive,
 * wait, and then begin again, or where *pause says that it is committed, publish it; ERR_CACHE_UNAVAILABLE: Redis
 * cannot be fenced; ERR_CACHE_AHEAD: what it holds is of another past than the database's.
 */
static enum err
attempt_once(struct attempt *attempt, struct pause *pause)
{
	const struct store_port *store = attempt->turn->service->rooms.store;
	enum err err = store->begin(store->self, &attempt->gate);

	if (err != ERR_OK)
		return err;
	if (!attempt->gate.settled) {
		store->rollback(store->self);
		return ERR_CACHE_OFF_PENDING;
	}
	if (attempt->gate.enabled && !attempt->gate.same_database) {
		store->rollback(store->self);
		return ERR_CACHE_UNAVAILABLE; /* what the cache holds may be of commits that this database has lost */
	}
	err = work_out(attempt);
	if (err != ERR_OK)
		return err;
	crash_point("committed");
	err = confirm(attempt, &pause->wait);
	if (err == ERR_OK || err == ERR_CACHE_OFF_PENDING)
		pause->committed = attempt;
	if (err == ERR_OK)
		crash_point("confirmed");
	return err;
}

/* What to do about a failed try; ERR_OK: go on; ERR_CACHE_OFF_PENDING: when that wait is over. */
static enum err
recover(const struct attempt *attempt, enum err err, struct pause *pause)
{
	struct turn *turn = attempt->turn;

	switch (err) {
	case ERR_STORE_DUPLICATE:
		return ERR_OK;
	case ERR_STORE_RETRY:
	case ERR_STORE_UNKNOWN: /* the ledger will tell, once the rows are locked */
		metrics_add(METRIC_STORE_RETRIES, 1);
		clock_sleep_ms((int64_t)(random_u64() % RETRIES_JITTER_MS));
		return ERR_OK;
	case ERR_CACHE_UNAVAILABLE:
		return lease_wait_begin(turn, &attempt->gate, attempt->writes,
					attempt->writes ? attempt->target_count : 0, &pause->wait);
	case ERR_CACHE_AHEAD:
		return lease_wait_of_all(turn, &attempt->gate, &pause->wait);
	case ERR_CACHE_OFF_PENDING:
		return pause->committed ? err : lease_wait_look(turn, &pause->wait);
	default:
		return err;
	}
}

/*
 * At most so many tries, and no new one after PATIENCE_MS. ERR_STORE_RETRY: given up. ERR_CACHE_OFF_PENDING, in a turn
 * that puts off: again when the wait is over.
 */
static enum err
transact(struct turn *turn, struct write *const writes[], size_t count, int tries, struct pause *pause)
{
	int64_t give_up_at_ms = clock_boot_ms() + PATIENCE_MS;
	bool looks_up = false;

	while (tries-- > 0 && clock_boot_ms() < give_up_at_ms) {
		struct attempt *attempt = ARENA_NEW(turn->arena, struct attempt);
		enum err err = attempt_init(attempt, turn, writes, count);

		*pause = (struct pause){.committed = NULL};
		attempt->looks_up |= looks_up;
		if (err == ERR_OK)
			err = attempt_once(attempt, pause);
		looks_up |= err == ERR_STORE_DUPLICATE || err == ERR_STORE_UNKNOWN;
		if (err != ERR_OK)
			err = recover(attempt, err, pause);
		if (!turn->puts_off)
			err = lease_wait_end(turn, &pause->wait, err);
		if (err != ERR_OK)
			return err;
		if (pause->committed) {
			publish(attempt);
			return ERR_OK;
		}
	}
	log_warning("a transaction of %zu writes was given up", count);
	return ERR_STORE_RETRY;
}

static void
finish(struct write *const writes[], size_t count, enum err err)
{
	for (size_t i = 0; i < count; i++) {
		writes[i]->put_off = false;
		if (err != ERR_OK)
			writes[i]->err = err;
	}
}

/*
 * They are run again when the wait is over; the turn goes on without them. Each is looked at when its time has passed.
 * Before, whoever has waited longest looks for all of this process now and then: others may have waited for him.
 */
static void
put_off(struct turn *turn, struct write *const writes[], size_t count, const struct pause *pause)
{
	struct service *service = turn->service;
	struct put_off *later = ARENA_NEW(turn->arena, struct put_off);
	int64_t now_ms = clock_boot_ms();
	int64_t over_ms = lease_wait_over_boot_ms(&pause->wait);

	later->writes = ARENA_ARRAY(turn->arena, count, struct write *);
	later->count = count;
	later->pause = *pause;
	later->pause.due_boot_ms = over_ms > now_ms ? over_ms : now_ms + LEASE_WAIT_POLL_MS;
	for (size_t i = 0; i < count; i++) {
		later->writes[i] = writes[i];
		writes[i]->put_off = true;
		if (writes[i]->put_off_at_boot_ms == 0)
			writes[i]->put_off_at_boot_ms = now_ms;
	}
	later->next = turn->put_offs;
	turn->put_offs = later;
	if (service->put_offs++ == 0)
		service->look_for_all_boot_ms = now_ms + LEASE_WAIT_POLL_MS;
}

/* A transaction that cannot succeed as a whole is taken apart: only the guilty fail. */
static void
transact_or_split(struct turn *turn, struct write *const writes[], size_t count)
{
	struct pause pause;
	enum err err = transact(turn, writes, count, TRIES_TOGETHER, &pause);
	bool split = count > 1 && (err == ERR_INTERNAL || err == ERR_STORE_RETRY);

	if (err == ERR_CACHE_OFF_PENDING)
		put_off(turn, writes, count, &pause);
	else if (!split)
		finish(writes, count, err);
	for (size_t i = 0; split && i < count; i++) {
		err = transact(turn, &writes[i], 1, TRIES_ALONE, &pause);
		if (err == ERR_CACHE_OFF_PENDING)
			put_off(turn, &writes[i], 1, &pause);
		else
			finish(&writes[i], 1, err);
	}
}

/* Old leases have ended: what was committed then may be told. */
static void
complete(const struct put_off *later)
{
	publish(later->pause.committed);
	finish(later->writes, later->count, ERR_OK);
}

static bool
has_patience(const struct put_off *later)
{
	return clock_boot_ms() - later->writes[0]->put_off_at_boot_ms < PATIENCE_MS;
}

/* ERR_CACHE_OFF_PENDING: not over, or not looked at. */
static enum err
look(struct turn *turn, struct put_off *later)
{
	struct service *service = turn->service;
	int64_t now_ms = clock_boot_ms();
	enum err err;

	if (now_ms < later->pause.due_boot_ms && now_ms < service->look_for_all_boot_ms)
		return ERR_CACHE_OFF_PENDING;
	err = lease_wait_look(turn, &later->pause.wait);
	if (err == ERR_CACHE_OFF_PENDING)
		service->look_for_all_boot_ms = now_ms + LEASE_WAIT_POLL_MS;
	return err;
}

static void
wait_on(struct turn *turn, struct put_off *later)
{
	later->next = turn->put_offs;
	turn->put_offs = later;
	if (clock_boot_ms() >= later->pause.due_boot_ms)
		later->pause.due_boot_ms = clock_boot_ms() + LEASE_WAIT_POLL_MS;
}

void
writes_continue(struct turn *turn)
{
	struct put_off *later = turn->put_offs;

	turn->put_offs = NULL;
	for (struct put_off *next; later; later = next) {
		enum err err = look(turn, later);

		next = later->next;
		if (err == ERR_CACHE_OFF_PENDING && has_patience(later)) {
			wait_on(turn, later);
			continue;
		}
		turn->service->put_offs--;
		if (err == ERR_CACHE_OFF_PENDING)
			finish(later->writes, later->count, ERR_STORE_RETRY);
		else if (err == ERR_STORE_UNAVAILABLE)
			finish(later->writes, later->count, err);
		else if (err == ERR_OK && later->pause.committed)
			complete(later);
		else if (!has_patience(later))
			finish(later->writes, later->count, ERR_STORE_RETRY);
		else /* what failed in the wait is nobody's fault yet */
			transact_or_split(turn, later->writes, later->count);
	}
}

int64_t
writes_due_boot_ms(const struct turn *turn)
{
	int64_t due_ms = turn->put_offs ? turn->service->look_for_all_boot_ms : INT64_MAX;

	for (const struct put_off *later = turn->put_offs; later; later = later->next)
		if (later->pause.due_boot_ms < due_ms)
			due_ms = later->pause.due_boot_ms;
	return due_ms;
}

/* About how many rows a write may leave; what is claimed all at once is bounded by the season only. */
static size_t
weight_of(struct turn *turn, const struct write *write)
{
	const struct operation *operation = (const struct operation *)write;
	const struct season *season;

	if (write->kind != WRITE_CLAIM && write->kind != WRITE_AUTO_CLAIM)
		return 1;
	if (operation->rewards)
		return operation->reward_count;
	return turn_definition(turn, write->season, &season) == ERR_OK ? season->reward_count : 1;
}

/* How many of the sorted writes go into the next transaction. */
static size_t
share_of(struct turn *turn, struct write *const sorted[], size_t count)
{
	size_t most = turn->service->limits.transaction_writes;
	size_t weight = weight_of(turn, sorted[0]);
	size_t share = 1;

	for (; share < count && share < most; share++) {
		const struct write *before = sorted[share - 1];
		const struct write *next = sorted[share];
		bool same_player = before->season == next->season && str_equal(before->player, next->player);

		weight += weight_of(turn, next);
		if (weight > TRANSACTION_ROWS || (same_player && (write_alone(before) || write_alone(next))))
			break;
	}
	return share;
}

void
writes_run(struct turn *turn, struct write *writes, size_t count)
{
	struct write **sorted = ARENA_ARRAY(turn->arena, count, struct write *);
	size_t added = 0;

	for (struct write *write = writes; write; write = write->next) {
		write->id = uuid_new(turn->now_ms);
		sorted[added++] = write;
	}
	qsort(sorted, count, sizeof(struct write *), compare_writes);
	for (size_t from = 0, share; from < count; from += share) {
		share = share_of(turn, sorted + from, count - from);
		transact_or_split(turn, sorted + from, share);
	}
}
