/*
 * The host chore: says in the database which Redis this host reaches, at once when that changes and every second
 * besides, and is the relay: it gives players that a cut-off host made everybody distrust back to the cache, one host
 * at a time.
 */
#ifndef BP_COURIER_HOST_CHORE_H
#define BP_COURIER_HOST_CHORE_H

#include "cache/shared.h"
#include "courier/errand.h"

enum {
	HOST_LOOK_MS = 100,
	HOST_SAY_MS = 1000,
	HOST_FORGET_MS = 600 * 1000,
	RELAY_LOOK_MS = 200,
	RELAY_HOLD_MS = 5000,
	RELAY_PAGE = 64,
	/* A distrusted player stays so for a while: a host that is cut off would wait again for each of its writes. Not
	 * where there are so many that soon nobody could be trusted any more. */
	RELAY_AFTER_MS = 5000,
	RELAY_AFTER_CROWDED_MS = 1000,
	RELAY_CROWD = LEASE_DISTRUSTED_MAX / 3,
};

struct host_chore {
	struct cache_shared *cache;
	char said[REDIS_ID_SIZE];
	int64_t look_due_boot_ms;
	int64_t say_due_boot_ms;
	int64_t forget_due_boot_ms;
	int64_t relay_due_boot_ms;
};

void host_chore_init(struct host_chore *chore, struct cache_shared *cache);
void host_chore_run(struct host_chore *chore, struct courier *courier);
int64_t host_chore_due_boot_ms(const struct host_chore *chore, const struct courier *courier);

#endif
