/*
 * The lease chore: ten times a second asks the database whether the cache may be trusted and tells the host. It also
 * begins new epochs: when the cache was off and Redis is well again, when Redis is another one, when the database is
 * another one.
 */
#ifndef BP_STEWARD_LEASE_CHORE_H
#define BP_STEWARD_LEASE_CHORE_H

#include "base/conf.h"
#include "cache/lease.h"
#include "cache/redis.h"
#include "store/store.h"

enum {
	REDIS_WELL_MS = 1000, /* Redis must have answered for so long before the cache is turned on again */
};

struct lease_chore {
	const struct conf *conf;
	struct lease *lease;
	struct redis *redis;
	int64_t well_since_boot_ms; /* 0: Redis is not well */
	uint64_t unsettled_change;  /* the change of cache_control that is waited for */
	int64_t unsettled_since_boot_ms;
	struct lease_content last; /* the last lease given; epoch 0: none */
};

/* control: what the database said to a query begun at asked_at_boot_ms, or NULL if it did not answer. */
void lease_chore_run(struct lease_chore *chore, struct store *store, const struct store_control *control,
		     int64_t asked_at_boot_ms);

#endif
