/* The use cases that a turn is made of; private to this folder. */
#ifndef BP_SERVICE_USE_CASES_H
#define BP_SERVICE_USE_CASES_H

#include "service/turn.h"

void progress_run(struct turn *turn);
void grants_run(struct turn *turn);

/* cache_control, seen from a writer (cache_off.c). */

/*
 * Takes a transaction's view of the cache at its word: may this writer fence in the gate's epoch? Waits a moment for a
 * lease that is only just due. Call it without locks. ERR_CACHE_UNAVAILABLE: it cannot: turn the cache off.
 */
enum err writer_reaches_cache(struct turn *turn, const struct write_gate *gate);
/* Turns the cache off for everybody if it is still at this change, and waits until no lease from before is alive. */
enum err turn_cache_off(struct turn *turn, uint64_t change);
/* Waits until no lease given before the last change of cache_control is alive. */
enum err wait_until_settled(struct turn *turn);

#endif
