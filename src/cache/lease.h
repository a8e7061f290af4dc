/*
 * The trust lease: the steward's word, good for half a second, that this host may trust the cache, and which one: the
 * epoch of the keys and the run_id of the Redis that holds them. (Gray and Cheriton, "Leases", 1989.) It stands in
 * shared memory; the steward is its only writer. Nobody renews it: it lapses, and the host goes around the cache, which
 * is safe.
 *
 * The life of a lease counts from before the steward's query began. Whoever waits LEASE_DEAD_MS after a change of
 * cache_control was committed knows that no lease given before it is alive anywhere.
 */
#ifndef BP_CACHE_LEASE_H
#define BP_CACHE_LEASE_H

#include "base/seqlock.h"

enum { RUN_ID_SIZE = 41 };

struct lease_content {
	uint64_t epoch;
	int64_t until_boot_ms;
	bool unconfirmed; /* MySQL cannot be asked: hits may be stale, and say so; no writer may rely on it */
	char run_id[RUN_ID_SIZE];
};

struct lease {
	struct seqlock lock;
	struct lease_content content;
};

void lease_give(struct lease *lease, const struct lease_content *content);
/* False when it has lapsed or cannot be read. */
bool lease_look(const struct lease *lease, struct lease_content *ret_content);

#endif
