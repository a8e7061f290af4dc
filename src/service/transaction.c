/* One try of one transaction: see transaction.h. */
#include "service/transaction.h"

#include "base/crash.h"
#include "base/metrics.h"
#include "base/mutant.h"

static bool
same_target(const struct target *target, const struct write *write)
{
	return target->row.season == write->season && str_equal(target->row.player, write->player);
}

enum err
transaction_init(struct attempt *attempt, struct turn *turn, struct write *const writes[], size_t count)
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

void
transaction_publish(const struct attempt *attempt)
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

enum err
transaction_try(struct attempt *attempt, struct lease_wait *wait)
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
	err = confirm(attempt, wait);
	attempt->committed = err == ERR_OK || err == ERR_CACHE_OFF_PENDING;
	if (err == ERR_OK)
		crash_point("confirmed");
	return err;
}
