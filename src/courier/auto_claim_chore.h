/*
 * When a season's claims have closed: claims for its players what they have left, as the season's passes say. One
 * courier at a time does a page of players and leaves a mark how far it has come; a page that is done twice does
 * nothing the second time. Once a season is done it stays done.
 */
#ifndef BP_COURIER_AUTO_CLAIM_CHORE_H
#define BP_COURIER_AUTO_CLAIM_CHORE_H

#include "courier/errand.h"

enum {
	AUTO_CLAIM_LOOK_MS = 5000,
	AUTO_CLAIM_HOLD_MS = 10000,
	AUTO_CLAIM_PAGE = 64, /* players in one turn: nothing else may wait long for it */
	/* After claim_until: grants and claims that were let in before it have been committed or given up by then. */
	AUTO_CLAIM_GRACE_MS = 6000,
};

struct auto_claim_chore {
	int64_t due_boot_ms;
	uint32_t next; /* the season of the directory that is looked at next */
	/* Seasons in which nothing is left to do at this revision. */
	uint32_t finished_count;
	struct finished_season {
		char id[SEASON_ID_MAX + 1];
		uint64_t revision;
	} finished[DIRECTORY_SEASONS_MAX];
};

void auto_claim_chore_init(struct auto_claim_chore *chore);
/* One page of players at most. */
void auto_claim_chore_run(struct auto_claim_chore *chore, struct courier *courier);
int64_t auto_claim_chore_due_boot_ms(const struct auto_claim_chore *chore, const struct courier *courier);

#endif
