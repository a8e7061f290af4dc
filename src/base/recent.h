/*
 * Who was written to lately: a ring in shared memory that many processes note in and any may take samples of. Without
 * locks and by best effort: nobody waits, a note may be lost, and the oldest are written over. What is read was noted
 * as it stands.
 */
#ifndef BP_BASE_RECENT_H
#define BP_BASE_RECENT_H

#include <stdint.h>

#include "base/seqlock.h"
#include "base/str.h"

enum { RECENT_TEXT_MAX = 64, RECENT_SLOTS = 1024 };

struct recent_item {
	char player[RECENT_TEXT_MAX + 1];
	char season[RECENT_TEXT_MAX + 1];
};

struct recent_slot {
	struct seqlock lock;
	struct recent_item item;
};

/* Zeroed: empty. */
struct recent {
	uint64_t noted; /* so far; the slot of the next one */
	struct recent_slot slots[RECENT_SLOTS];
};

/* Texts longer than RECENT_TEXT_MAX are not noted. */
void recent_note(struct recent *recent, struct str player, struct str season);
/* The one that the number chooses among those that are there; false: there is none, or it is just being written. */
bool recent_sample(const struct recent *recent, uint64_t number, struct recent_item *ret_item);

#endif
