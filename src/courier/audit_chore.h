/*
 * The auditor: compares what the cache holds of players written lately with the database, as often as a flag says.
 * Nothing is to be found, ever: what is found is logged, counted, and taken away by a fence. What is not equal at the
 * first look is looked at once more a moment later: writes go on meanwhile.
 */
#ifndef BP_COURIER_AUDIT_CHORE_H
#define BP_COURIER_AUDIT_CHORE_H

#include "courier/errand.h"

enum {
	AUDIT_TICK_MS = 100,
	AUDIT_AGAIN_MS = 50, /* when what was not equal is looked at again */
	AUDIT_SUSPECTS = 16,
};

struct audit_suspect {
	struct recent_item item; /* player empty: none */
	uint64_t change;         /* of cache_control */
	uint64_t cached;         /* the revision seen */
	int64_t due_boot_ms;
};

struct audit_chore {
	int64_t due_boot_ms;
	int64_t credit; /* tenths of checks that are due */
	struct audit_suspect suspects[AUDIT_SUSPECTS];
};

void audit_chore_init(struct audit_chore *chore);
void audit_chore_run(struct audit_chore *chore, struct courier *courier);
int64_t audit_chore_due_boot_ms(const struct audit_chore *chore, const struct courier *courier);

#endif
