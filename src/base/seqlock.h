/*
 * A sequence lock for many readers in shared memory: readers never block and never write. A writer that dies in the
 * middle leaves the sequence odd: readers then see "nothing" (false).
 *
 * With seqlock_write_begin() there must be one writer at a time, and the next one writes over what a dead one left.
 * With seqlock_try_write_begin() several may try; what a dead one left is lost for good.
 */
#ifndef BP_BASE_SEQLOCK_H
#define BP_BASE_SEQLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct seqlock {
	uint32_t sequence; /* odd while a writer writes */
};

static inline void
seqlock_write_begin(struct seqlock *lock)
{
	__atomic_store_n(&lock->sequence, lock->sequence | 1u, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* False: another one is writing, or has died doing so; nothing may be written then. */
static inline bool
seqlock_try_write_begin(struct seqlock *lock)
{
	uint32_t sequence = __atomic_load_n(&lock->sequence, __ATOMIC_RELAXED);

	if (sequence & 1u || !__atomic_compare_exchange_n(&lock->sequence, &sequence, sequence + 1, false,
							  __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
		return false;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return true;
}

/* Somebody is writing, or has died doing so. */
static inline bool
seqlock_is_held(const struct seqlock *lock)
{
	return __atomic_load_n(&lock->sequence, __ATOMIC_RELAXED) & 1u;
}

static inline void
seqlock_write_end(struct seqlock *lock)
{
	__atomic_store_n(&lock->sequence, lock->sequence + 1u, __ATOMIC_RELEASE);
}

/* Copies size bytes of what the lock guards; false when no stable copy could be had. */
static inline bool
seqlock_read(const struct seqlock *lock, void *to, const void *from, size_t size)
{
	for (int tries = 0; tries < 1000; tries++) {
		uint32_t before = __atomic_load_n(&lock->sequence, __ATOMIC_ACQUIRE);

		if (before & 1u)
			continue;
		memcpy(to, from, size);
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (__atomic_load_n(&lock->sequence, __ATOMIC_RELAXED) == before)
			return true;
	}
	return false;
}

#endif
