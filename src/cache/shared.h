/*
 * What the processes of a host share about the cache: the lease, the breaker, and which Redis the steward reaches. In
 * shared memory, zeroed at first.
 */
#ifndef BP_CACHE_SHARED_H
#define BP_CACHE_SHARED_H

#include "base/breaker.h"
#include "cache/lease.h"

struct cache_shared {
	struct lease lease;     /* written by the steward */
	struct breaker breaker; /* of all calls of Redis */
	struct reached {
		struct seqlock lock;
		char run_id[RUN_ID_SIZE]; /* "" while the steward reaches none */
	} reached;                        /* written by the steward */
	uint32_t distrusted_count;        /* rows of cache_distrust, as the steward saw them last */
};

static inline void
reached_say(struct reached *reached, const char *run_id)
{
	size_t length = strnlen(run_id, RUN_ID_SIZE - 1);

	seqlock_write_begin(&reached->lock);
	memset(reached->run_id, 0, RUN_ID_SIZE);
	memcpy(reached->run_id, run_id, length);
	seqlock_write_end(&reached->lock);
}

/* False when it cannot be read; run_id is untouched then. */
static inline bool
reached_look(const struct reached *reached, char run_id[RUN_ID_SIZE])
{
	char copy[RUN_ID_SIZE];

	if (!seqlock_read(&reached->lock, copy, reached->run_id, RUN_ID_SIZE))
		return false;
	memcpy(run_id, copy, RUN_ID_SIZE);
	return true;
}

#endif
