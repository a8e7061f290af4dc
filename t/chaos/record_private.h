/* What record.c remembers and judge.c compares with the ledger. */
#ifndef CHAOS_RECORD_PRIVATE_H
#define CHAOS_RECORD_PRIVATE_H

#include "record.h"

enum { REVISIONS_MAX = 10 * 1000 * 1000 };

/* A revision as the first answer showed it. */
struct seen {
	uint64_t hash;
	uint64_t xp;
	uint16_t tier;
	uint8_t class;
	bool known;
};

struct player {
	struct bound bound;
	struct seen *seen; /* by revision */
	size_t seen_room;
	/* Of the ledger, as far as it was read. */
	uint32_t revision;
	uint64_t xp;
};

extern struct player players[PLAYERS_MAX];
extern size_t player_count;

#endif
