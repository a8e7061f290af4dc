/*
 * A sequence lock for one writer and many readers in shared memory: readers never block and never write. A writer that
 * dies in the middle leaves the sequence odd: readers then see "nothing" (false) until the next writer has written,
 * which seqlock_write_begin() allows from an odd sequence too. There must be one writer at a time.
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
