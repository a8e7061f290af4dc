/*
 * The purchases that no request waits for any more: asks the economy until it has proven an outcome, and settles what
 * is proven. It asks with the purchase's own key only, never after the economy may have forgotten it, and begins no
 * debit after sales have closed.
 */
#ifndef BP_COURIER_PURCHASE_CHORE_H
#define BP_COURIER_PURCHASE_CHORE_H

#include "courier/errand.h"

enum { PURCHASE_ERRANDS = 32 };

struct purchase_errand {
	struct errand errand;
	struct purchase_row row;
	bool proven; /* or decided by ourselves */
	enum purchase_event event;
	struct operation *settlement; /* of the step that settles it */
};

struct purchase_chore {
	struct look look;
	struct purchase_errand errands[PURCHASE_ERRANDS];
};

void purchase_chore_init(struct purchase_chore *chore);
/* Gives back what is held, due at once: asking again with the same key does no harm. */
void purchase_chore_release(struct purchase_chore *chore, struct courier *courier);
/* Goes on with what was answered, and looks for more if it is time for it. */
void purchase_chore_run(struct purchase_chore *chore, struct courier *courier);
/* Before the economy is driven. */
void purchase_chore_drop_late(struct purchase_chore *chore, const struct courier *courier);
int64_t purchase_chore_due_boot_ms(const struct purchase_chore *chore, const struct courier *courier);
bool purchase_chore_is_idle(const struct purchase_chore *chore);

#endif
