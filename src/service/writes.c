/*
 * The writes of a turn, in transactions that several of them share: sorted, so that all processes lock in one order,
 * and cut into shares. A transaction that fails is tried again whole; one that cannot succeed is taken apart, so that
 * nobody falls with a neighbour; one that has to wait for leases to end is put off, and the turn goes on without it.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "service/transaction.h"

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
		enum err err = transaction_init(attempt, turn, writes, count);

		*pause = (struct pause){.committed = NULL};
		attempt->looks_up |= looks_up;
		if (err == ERR_OK)
			err = transaction_try(attempt, &pause->wait);
		pause->committed = attempt->committed ? attempt : NULL;
		looks_up |= err == ERR_STORE_DUPLICATE || err == ERR_STORE_UNKNOWN;
		if (err != ERR_OK)
			err = recover(attempt, err, pause);
		if (!turn->puts_off)
			err = lease_wait_end(turn, &pause->wait, err);
		if (err != ERR_OK)
			return err;
		if (pause->committed) {
			transaction_publish(attempt);
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
	transaction_publish(later->pause.committed);
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
