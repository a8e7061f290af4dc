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
		char redis_id[REDIS_ID_SIZE]; /* "" while the steward reaches none */
	} reached;                            /* written by the steward */
	uint32_t distrusted_count;            /* rows of cache_distrust, as the steward saw them last */
};

static inline void
reached_say(struct reached *reached, const char *redis_id)
{
	size_t length = strlen(redis_id);

	if (length >= REDIS_ID_SIZE)
		length = REDIS_ID_SIZE - 1;
	seqlock_write_begin(&reached->lock);
	memset(reached->redis_id, 0, REDIS_ID_SIZE);
	memcpy(reached->redis_id, redis_id, length);
	seqlock_write_end(&reached->lock);
}

/* False when it cannot be read; redis_id is untouched then. */
static inline bool
reached_look(const struct reached *reached, char redis_id[REDIS_ID_SIZE])
{
	char copy[REDIS_ID_SIZE];

	if (!seqlock_read(&reached->lock, copy, reached->redis_id, REDIS_ID_SIZE))
		return false;
	memcpy(redis_id, copy, REDIS_ID_SIZE);
	return true;
}

#endif
