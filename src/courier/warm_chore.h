/*
 * Warming: loads the players active last into a cache that is new, or when an operator asks; newest first, by the
 * ordinary read of the service, so that what it fills can never be older than what is there. One courier at a time does
 * it, as fast as its configuration allows, and not while the lanes are busy. A page of ids is held at a time, and how
 * far it has come stands in the database: another courier goes on from there.
 */
#ifndef BP_COURIER_WARM_CHORE_H
#define BP_COURIER_WARM_CHORE_H

#include "courier/errand.h"

enum {
	WARM_LOOK_MS = 250,    /* how often is asked whether there is something to do */
	WARM_HOLD_MS = 5000,   /* whoever does not go on for so long is followed by another */
	WARM_PAGE = 100,       /* players in one turn at most: Redis answers nobody else meanwhile */
	WARM_PAGES_PER_S = 20, /* where the rate allows pages of more than one */
	LANES_BUSY_PERCENT = 50,
	LANES_SAMPLE_MS = 100,
};

/* How busy the store lane is: the share of its processes' time that they have lately spent in turns. */
struct lane_load {
	uint64_t busy_us; /* by the counter, at the last sample */
	int64_t at_boot_ms;
	bool busy;
};

/* Samples the counter, where the last sample is old enough; is live load to go first? */
bool lane_load_busy(struct lane_load *load, uint64_t busy_us, size_t processes, int64_t now_boot_ms);

struct warm_chore {
	int64_t due_boot_ms;
	struct lane_load load;
};

void warm_chore_init(struct warm_chore *chore);
/* One page of players at most. */
void warm_chore_run(struct warm_chore *chore, struct courier *courier);
int64_t warm_chore_due_boot_ms(const struct warm_chore *chore, const struct courier *courier);

#endif
