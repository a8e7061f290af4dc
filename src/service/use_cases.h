/* The use cases that a turn is made of; private to this folder. */
#ifndef BP_SERVICE_USE_CASES_H
#define BP_SERVICE_USE_CASES_H

#include "service/turn.h"

void progress_run(struct turn *turn);
/* Runs these writes; each has its result when it returns. */
void writes_run(struct turn *turn, struct write *writes, size_t count);

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
/*
 * Outside a transaction that began at this gate: makes all hosts stop trusting the cache about these players, or, where
 * nobody else reaches its Redis, about everybody, and returns when no lease from before is alive.
 */
enum err turn_distrust(struct turn *turn, const struct write_gate *gate, struct cache_write *const writes[],
		       size_t count);
/* Turns the cache off for everybody if it is still at this change, and waits until no lease from before is alive. */
enum err turn_cache_off(struct turn *turn, uint64_t change);
/* Waits until no lease given before the last change of cache_control is alive. */
enum err wait_until_settled(struct turn *turn);

#endif
