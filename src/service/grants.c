/*
 * XP grants, as many as a turn holds, in transactions that several of them share:
 *
 *   lock the players' rows -> rules -> save -> FENCE -> COMMIT -> CONFIRM -> results
 *
 * Nearly every grant is new, so the first try does not look into the ledger: saving fails where a key is there already.
 * Then, and where a rule would refuse a grant (which may have been made before), the transaction is tried again with a
 * look into the ledger first: what is there is a replay.
 *
 * Never a commit without a fence (unless the cache is off and settled), never an answer without a confirmation. A
 * transaction that fails is tried again whole; one that cannot succeed is taken apart, so that nobody falls with a
 * neighbour.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "service/use_cases.h"

enum {
	TRIES_TOGETHER = 8,
	TRIES_ALONE = 3, /* the outcome unknown, or a key known already, may each cost one */
	PATIENCE_MS = 4000,
	RETRIES_JITTER_MS = 10,
};

/* One player in one season, touched by one or more grants of the attempt. */
struct target {
	struct progress_row row;
	const struct season *season;
	struct cache_write write;
};

/* One grant within an attempt; becomes its command's result only when the attempt has succeeded. */
struct work {
	struct grant_command *command;
	struct target *target;
	struct grant_row row;
	enum err err;
	bool replayed;
	bool fresh; /* to be written */
};

struct attempt {
	struct turn *turn;
	bool looks_up; /* into the ledger, before the rules */
	struct write_gate gate;
	struct work *works;
	size_t work_count;
	struct target *targets;
	size_t target_count;
	size_t fresh_count;
	struct cache_write **writes; /* one a target */
};

static int
compare_commands(const void *a, const void *b)
{
	const struct grant_command *x = *(struct grant_command *const *)a;
	const struct grant_command *y = *(struct grant_command *const *)b;
	int order = strcmp(x->row.season, y->row.season);

	if (order == 0)
		order = str_compare(x->row.player, y->row.player);
	/* Of one player in the order in which they came: ids ascend. */
	return order ? order : memcmp(&x->row.id, &y->row.id, sizeof(x->row.id));
}

static bool
same_target(const struct target *target, const struct grant_command *command)
{
	return target->row.season == command->season && str_equal(target->row.player, command->row.player);
}

/* Commands come sorted, so one player's stand together. */
static enum err
attempt_init(struct attempt *attempt, struct turn *turn, struct grant_command *const commands[], size_t count)
{
	*attempt = (struct attempt){.turn = turn, .work_count = count};
	attempt->works = ARENA_ARRAY(turn->arena, count, struct work);
	attempt->targets = ARENA_ARRAY(turn->arena, count, struct target);
	for (size_t i = 0; i < count; i++) {
		struct target *target = &attempt->targets[attempt->target_count];

		if (i > 0 && same_target(target - 1, commands[i])) {
			target--;
		} else {
			enum err err = turn_definition(turn, commands[i]->season, &target->season);

			if (err != ERR_OK)
				return err;
			target->row.player = commands[i]->row.player;
			target->row.season = commands[i]->season;
			attempt->target_count++;
		}
		attempt->works[i] = (struct work){.command = commands[i], .target = target, .row = commands[i]->row};
	}
	return ERR_OK;
}

static enum err
lock_targets(struct attempt *attempt)
{
	const struct store_port *store = attempt->turn->service->store;
	struct progress_row **rows = ARENA_ARRAY(attempt->turn->arena, attempt->target_count, struct progress_row *);

	for (size_t i = 0; i < attempt->target_count; i++)
		rows[i] = &attempt->targets[i].row;
	return store->lock(store->self, rows, attempt->target_count, attempt->turn->arena);
}

/* The answer was given before (replay), to another request (reuse), or by this very command in an attempt whose end is
 * unknown. */
static void
judge_known(struct work *work, const struct grant_row *stored)
{
	const struct grant_row *asked = &work->command->row;

	if (memcmp(stored->request_hash, asked->request_hash, sizeof(asked->request_hash)) != 0)
		work->err = ERR_IDEMPOTENCY_KEY_REUSED;
	work->replayed = memcmp(&stored->id, &asked->id, sizeof(asked->id)) != 0;
	work->row = *stored;
}

/* An earlier grant of the same attempt with the same key, or NULL. */
static const struct work *
earlier_twin(const struct attempt *attempt, const struct work *work)
{
	for (const struct work *each = work; each-- > attempt->works && each->target == work->target;)
		if (each->fresh && str_equal(each->row.idempotency_key, work->row.idempotency_key))
			return each;
	return NULL;
}

static void
apply(struct attempt *attempt, struct work *work)
{
	struct turn *turn = attempt->turn;
	struct target *target = work->target;
	struct progress_row *row = &target->row;
	const struct season_entry *entry = row->season;
	struct buf unlocked;

	work->err = grant_admit(entry->stored_state, &entry->times, work->row.occurred_at_ms, turn->now_ms);
	if (work->err == ERR_OK)
		work->err = grant_apply(target->season, row->xp, work->row.amount, &work->row.effect);
	if (work->err != ERR_OK)
		return;
	row->xp = work->row.effect.xp_after;
	row->revision++;
	if (row->updated_at_ms < turn->now_ms)
		row->updated_at_ms = turn->now_ms;
	work->row.revision = row->revision;
	work->row.granted_at_ms = turn->now_ms;
	buf_init(&unlocked);
	turn->service->codec->render_unlocked(target->season, row, &work->row.effect, &unlocked);
	work->row.unlocked = arena_str(turn->arena, buf_view(&unlocked));
	buf_release(&unlocked);
	work->fresh = true;
	target->write.changed = true;
	attempt->fresh_count++;
}

/* The ledger rows that are there already, into the works' stored rows. */
static enum err
look_up(struct attempt *attempt, struct grant_row *stored, bool found[])
{
	const struct store_port *store = attempt->turn->service->store;
	struct grant_row **pointers = ARENA_ARRAY(attempt->turn->arena, attempt->work_count, struct grant_row *);

	for (size_t i = 0; i < attempt->work_count; i++) {
		stored[i] = attempt->works[i].row;
		pointers[i] = &stored[i];
	}
	return store->find_grants(store->self, pointers, attempt->work_count, found, attempt->turn->arena);
}

/* What each grant comes to, given the locked rows and, where it was looked into, the ledger. */
static enum err
judge_all(struct attempt *attempt)
{
	struct arena *arena = attempt->turn->arena;
	struct grant_row *stored = ARENA_ARRAY(arena, attempt->work_count, struct grant_row);
	bool *found = ARENA_ARRAY(arena, attempt->work_count, bool);
	enum err err = attempt->looks_up ? look_up(attempt, stored, found) : ERR_OK;

	for (size_t i = 0; i < attempt->work_count && err == ERR_OK; i++) {
		struct work *work = &attempt->works[i];
		const struct work *twin = found[i] ? NULL : earlier_twin(attempt, work);

		if (found[i])
			judge_known(work, &stored[i]);
		else if (twin)
			judge_known(work, &twin->row);
		else
			apply(attempt, work);
		/* Only a grant that was never made may be refused: the ledger must be asked. */
		if (work->err != ERR_OK && !attempt->looks_up)
			err = ERR_STORE_DUPLICATE;
	}
	return err;
}

static enum err
save_all(struct attempt *attempt)
{
	const struct store_port *store = attempt->turn->service->store;
	struct arena *arena = attempt->turn->arena;
	struct progress_row **rows = ARENA_ARRAY(arena, attempt->target_count, struct progress_row *);
	const struct grant_row **grants = ARENA_ARRAY(arena, attempt->work_count, const struct grant_row *);
	size_t row_count = 0;
	size_t grant_count = 0;

	for (size_t i = 0; i < attempt->target_count; i++)
		if (attempt->targets[i].write.changed)
			rows[row_count++] = &attempt->targets[i].row;
	for (size_t i = 0; i < attempt->work_count; i++)
		if (attempt->works[i].fresh)
			grants[grant_count++] = &attempt->works[i].row;
	return store->save(store->self, rows, row_count, grants, grant_count);
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
			attempt->turn->service->codec->render_progress(target->season, &target->row, &body);
			write->body = arena_str(arena, buf_view(&body));
		}
		attempt->writes[i] = write;
	}
	buf_release(&body);
}

/* FENCE -> COMMIT; the transaction is over when it returns. */
static enum err
fence_and_commit(struct attempt *attempt)
{
	const struct store_port *store = attempt->turn->service->store;
	const struct cache_port *cache = attempt->turn->service->cache;

	if (attempt->gate.enabled) {
		enum err err = cache->fence(cache->self, &attempt->gate, attempt->writes, attempt->target_count);

		if (err != ERR_OK) {
			cache->unfence(cache->self, &attempt->gate, attempt->writes, attempt->target_count);
			store->rollback(store->self);
			return err;
		}
	}
	return store->commit(store->self);
}

/* A writer that slept may have lost its lease, and the cache it fenced in may be another one by now. */
static bool
still_trusts(struct attempt *attempt)
{
	const struct cache_port *cache = attempt->turn->service->cache;
	struct cache_view view = cache->view(cache->self);

	return view.trusted && !view.unconfirmed && view.epoch == attempt->gate.epoch;
}

/* CONFIRM, also for players whose answer is a replay: that is an acknowledgement, too. */
static enum err
confirm(struct attempt *attempt)
{
	const struct cache_port *cache = attempt->turn->service->cache;

	if (!attempt->gate.enabled)
		return ERR_OK;
	if (still_trusts(attempt) &&
	    cache->confirm(cache->self, &attempt->gate, attempt->writes, attempt->target_count) == ERR_OK)
		return ERR_OK;
	return turn_cache_off(attempt->turn, attempt->gate.change);
}

/* Everything inside the transaction, up to what is to be written. The transaction is rolled back on failure. */
static enum err
work_out(struct attempt *attempt)
{
	const struct store_port *store = attempt->turn->service->store;
	enum err err = lock_targets(attempt);

	if (err == ERR_OK)
		err = judge_all(attempt);
	if (err == ERR_OK && attempt->fresh_count)
		err = save_all(attempt);
	if (err != ERR_OK) {
		store->rollback(store->self); /* where the store has not done so */
		return err;
	}
	prepare_cache_writes(attempt);
	if (attempt->fresh_count)
		return fence_and_commit(attempt);
	store->rollback(store->self);
	return ERR_OK;
}

static void
publish(const struct attempt *attempt)
{
	uint64_t counts[3] = {0};

	for (size_t i = 0; i < attempt->work_count; i++) {
		const struct work *work = &attempt->works[i];

		work->command->err = work->err;
		work->command->replayed = work->replayed;
		if (work->err == ERR_OK)
			work->command->row = work->row;
		counts[work->err != ERR_OK ? 0 : work->replayed ? 1 : 2]++;
	}
	metrics_add(METRIC_XP_GRANTS_REJECTED, counts[0]);
	metrics_add(METRIC_XP_GRANTS_REPLAYED, counts[1]);
	metrics_add(METRIC_XP_GRANTS, counts[2]);
	metrics_add(METRIC_STORE_TRANSACTIONS, attempt->fresh_count != 0);
}

/*
 * One try of one transaction. ERR_CACHE_OFF_PENDING: old leases may be alive, wait; ERR_CACHE_UNAVAILABLE: Redis cannot
 * be fenced (ret_change says at which state of cache_control).
 */
static enum err
attempt_once(struct turn *turn, struct grant_command *const commands[], size_t count, bool looks_up,
	     uint64_t *ret_change)
{
	const struct store_port *store = turn->service->store;
	struct attempt attempt;
	enum err err = attempt_init(&attempt, turn, commands, count);

	attempt.looks_up = looks_up;
	if (err != ERR_OK || (err = store->begin(store->self, &attempt.gate)) != ERR_OK)
		return err;
	*ret_change = attempt.gate.change;
	if (!attempt.gate.settled) {
		store->rollback(store->self);
		return ERR_CACHE_OFF_PENDING;
	}
	if (attempt.gate.enabled && !attempt.gate.same_database) {
		store->rollback(store->self);
		return ERR_CACHE_UNAVAILABLE; /* what the cache holds may be of commits that this database has lost */
	}
	if (attempt.gate.enabled && !still_trusts(&attempt)) {
		store->rollback(store->self);
		return writer_reaches_cache(turn, &attempt.gate) == ERR_OK ? ERR_STORE_RETRY : ERR_CACHE_UNAVAILABLE;
	}
	err = work_out(&attempt);
	if (err == ERR_OK)
		err = confirm(&attempt);
	if (err == ERR_OK)
		publish(&attempt);
	return err;
}

/* What to do about a failed try; ERR_OK: try again. */
static enum err
recover(struct turn *turn, enum err err, uint64_t change)
{
	switch (err) {
	case ERR_STORE_DUPLICATE:
		return ERR_OK;
	case ERR_STORE_RETRY:
	case ERR_STORE_UNKNOWN: /* the ledger will tell, once the rows are locked */
		metrics_add(METRIC_STORE_RETRIES, 1);
		clock_sleep_ms((int64_t)(random_u64() % RETRIES_JITTER_MS));
		return ERR_OK;
	case ERR_CACHE_UNAVAILABLE:
		return turn_cache_off(turn, change);
	case ERR_CACHE_OFF_PENDING:
		return wait_until_settled(turn);
	default:
		return err;
	}
}

/* At most so many tries, and no new one after PATIENCE_MS. ERR_STORE_RETRY: given up. */
static enum err
transact(struct turn *turn, struct grant_command *const commands[], size_t count, int tries)
{
	int64_t give_up_at_ms = clock_boot_ms() + PATIENCE_MS;
	bool looks_up = false;

	while (tries-- > 0 && clock_boot_ms() < give_up_at_ms) {
		uint64_t change = 0;
		enum err err = attempt_once(turn, commands, count, looks_up, &change);

		if (err == ERR_OK)
			return ERR_OK;
		looks_up |= err == ERR_STORE_DUPLICATE || err == ERR_STORE_UNKNOWN;
		err = recover(turn, err, change);
		if (err != ERR_OK)
			return err;
	}
	log_warning("a transaction of %zu grants was given up", count);
	return ERR_STORE_RETRY;
}

/* A transaction that cannot succeed as a whole is taken apart: only the guilty fail. */
static void
transact_or_split(struct turn *turn, struct grant_command *const commands[], size_t count)
{
	enum err err = transact(turn, commands, count, TRIES_TOGETHER);
	bool split = count > 1 && (err == ERR_INTERNAL || err == ERR_STORE_RETRY);

	if (err == ERR_OK)
		return;
	for (size_t i = 0; i < count; i++) {
		enum err own = split ? transact(turn, &commands[i], 1, TRIES_ALONE) : err;

		if (own != ERR_OK)
			commands[i]->err = own;
	}
}

void
grants_run(struct turn *turn)
{
	struct grant_command **sorted = ARENA_ARRAY(turn->arena, turn->grant_count, struct grant_command *);
	size_t share = turn->service->transaction_grants;
	size_t count = 0;

	for (struct grant_command *command = turn->grants; command; command = command->next) {
		command->row.id = uuid_new(turn->now_ms);
		sorted[count++] = command;
	}
	qsort(sorted, count, sizeof(sorted[0]), compare_commands);
	for (size_t from = 0; from < count; from += share)
		transact_or_split(turn, sorted + from, count - from < share ? count - from : share);
}
