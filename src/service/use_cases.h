/* The use cases that a turn is made of; private to this folder. */
#ifndef BP_SERVICE_USE_CASES_H
#define BP_SERVICE_USE_CASES_H

#include "service/turn.h"

void progress_run(struct turn *turn);
/* Runs these writes; each has its result when it returns, but for those that are put off. */
void writes_run(struct turn *turn, struct write *writes, size_t count);
/* Goes on with those that were put off and whose time it is. */
void writes_continue(struct turn *turn);
int64_t writes_due_boot_ms(const struct turn *turn);

/* What waits for the economy (payments.c). */

/* Calls the economy for those of these writes that were decided for it. */
void payments_begin(struct turn *turn, const struct write *writes);
/* Takes those out of the turn whose call has an outcome or whose time is up; NULL: none. */
struct payment *payments_collect(struct turn *turn);
/* Adds the writes that settle them to the turn; payments_publish() then copies what came of it. */
void payments_settle(struct turn *turn, struct payment *finished);
void payments_publish(struct payment *finished);

/* What a writer does that cannot fence (unfenced.c). */

/*
 * Within the transaction that has locked these players: does everybody distrust each of them, so that it may commit
 * without a fence and answer without a confirmation?
 */
enum err writes_are_distrusted(struct turn *turn, struct cache_write *const writes[], size_t count, bool *ret_all);
enum { LEASE_WAIT_POLL_MS = 20, LEASE_WAIT_MOST_MS = 4000 };

/* A row of cache_distrust that is waited for, and since when it was seen. */
struct watched {
	struct uuid id;
	int64_t since_ms;
};

/* Waiting until no lease from before is alive. Zeroed: until the last change of cache_control is settled. */
struct lease_wait {
	uint64_t change;
	int64_t since_ms;
	/* Where there are any: until these players are distrusted by everybody. */
	size_t count;
	struct write_gate gate;
	struct distrust_row *rows, *ripe;
	struct watched *watched;
};

/*
 * Outside a transaction that began at this gate: makes all hosts stop trusting the cache about these players, or, where
 * nobody else reaches its Redis, about everybody. ERR_CACHE_OFF_PENDING: leases from before may be alive, and *wait,
 * which was zeroed, says what to wait for; ERR_OK: none is.
 */
enum err lease_wait_begin(struct turn *turn, const struct write_gate *gate, struct cache_write *const writes[],
			  size_t count, struct lease_wait *wait);
/* The same about everybody, because the cache is of another past than the database. */
enum err lease_wait_of_all(struct turn *turn, const struct write_gate *gate, struct lease_wait *wait);
/* Looks whether it is over: the same results. The more often, the sooner is known that others have waited. */
enum err lease_wait_look(struct turn *turn, struct lease_wait *wait);
/* When it has waited long enough by itself. */
int64_t lease_wait_over_boot_ms(const struct lease_wait *wait);
/* Waits as long as err is ERR_CACHE_OFF_PENDING; ERR_STORE_RETRY after LEASE_WAIT_MOST_MS. */
enum err lease_wait_end(struct turn *turn, struct lease_wait *wait, enum err err);

#endif
