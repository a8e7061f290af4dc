/*
 * The vitals chore: says in gauges what Redis holds, and what private memory all processes of this host have.
 */
#ifndef BP_COURIER_VITALS_CHORE_H
#define BP_COURIER_VITALS_CHORE_H

#include "cache/vitals.h"
#include "courier/errand.h"

enum { VITALS_MS = 5000 };

struct vitals_chore {
	struct vitals *redis;
	int64_t due_boot_ms;
};

void vitals_chore_init(struct vitals_chore *chore, const struct conf *conf);
void vitals_chore_release(struct vitals_chore *chore);
void vitals_chore_run(struct vitals_chore *chore);
int64_t vitals_chore_due_boot_ms(const struct vitals_chore *chore);

#endif
