/*
 * The outbox: sends deliveries, at least once and with their own key, until the economy takes or rejects them or they
 * have been tried often enough; then an admin decides. Two couriers never have the same delivery under way.
 */
#ifndef BP_COURIER_DELIVERY_CHORE_H
#define BP_COURIER_DELIVERY_CHORE_H

#include "courier/errand.h"

enum { DELIVERY_ERRANDS = 32 };

struct delivery_errand {
	struct errand errand;
	struct delivery_row row;
};

struct delivery_chore {
	struct look look;
	/* How many may be sent now; it fills with time. */
	int64_t budget;
	int64_t budget_boot_ms;
	int64_t end_boot_ms; /* when what was answered is written down; INT64_MAX: nothing was */
	struct delivery_errand errands[DELIVERY_ERRANDS];
};

void delivery_chore_init(struct delivery_chore *chore);
/* What is under way stays held until its time is over: the economy may be at it still. */
void delivery_chore_release(struct delivery_chore *chore, struct courier *courier);
/* Goes on with what was answered, and looks for more if it is time for it. */
void delivery_chore_run(struct delivery_chore *chore, struct courier *courier);
/* Before the economy is driven. */
void delivery_chore_drop_late(struct delivery_chore *chore, const struct courier *courier);
int64_t delivery_chore_due_boot_ms(const struct delivery_chore *chore, const struct courier *courier);
bool delivery_chore_is_idle(const struct delivery_chore *chore);

#endif
