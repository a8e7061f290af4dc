/*
 * The lease chore: ten times a second asks the database whether the cache may be trusted, and whom not to trust it
 * about, and tells the host. It probes Redis, also when the breaker keeps everybody else from it, and begins new
 * epochs: when the cache was off and Redis is well again, when Redis is another one, when the database is another one.
 *
 * Two hosts may see different ones behind one address (a failover that one of them has missed): as long as another host
 * reaches the Redis of the epoch, this host is the one that is cut off, and begins nothing.
 */
#ifndef BP_STEWARD_LEASE_CHORE_H
#define BP_STEWARD_LEASE_CHORE_H

#include "base/conf.h"
#include "cache/probe.h"
#include "cache/shared.h"
#include "store/store.h"

enum {
	/* How long Redis must have been well before the cache is turned on again; doubled each time an epoch was short.
	 */
	CALM_FIRST_MS = 1000,
	CALM_MAX_MS = 60000,
	SHORT_EPOCH_MS = 10000,
	/* A lease given while MySQL cannot be asked lives over one more question that fails. */
	UNCONFIRMED_MS = 3000,
};

struct lease_chore {
	const struct conf *conf;
	struct uuid host;
	struct cache_shared *shared;
	struct probe *probe;
	/* Times of CLOCK_BOOTTIME; 0: not so. */
	int64_t well_since_ms;     /* Redis answers as it must */
	int64_t off_since_ms;      /* the cache is off */
	int64_t epoch_since_ms;    /* this steward began an epoch */
	int64_t calm_ms;           /* how long Redis must be well this time */
	uint64_t unsettled_change; /* the change of cache_control that is waited for */
	int64_t unsettled_since_ms;
	struct lease_content last; /* the lease in force; epoch 0: none */
	enum breaker_state reported;
	uint64_t entered[BREAKER_STATE_COUNT]; /* how often, as counted so far */
	int64_t spent_ms[BREAKER_STATE_COUNT]; /* the same */
};

void lease_chore_init(struct lease_chore *chore, const struct conf *conf, struct uuid host,
		      struct cache_shared *shared);
void lease_chore_release(struct lease_chore *chore);
/* control: what the database said to a query begun at asked_at_boot_ms, or NULL if it did not answer. */
void lease_chore_run(struct lease_chore *chore, struct store *store, const struct store_control *control,
		     int64_t asked_at_boot_ms);

#endif
