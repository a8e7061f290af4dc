/*
 * What can be claimed. A reward of a tier is claimed under its own id; the repeated reward of the overflow can be
 * claimed once for each unit, under "<reward>.<unit>". What is claimable is derived from XP, the open passes and what
 * was claimed, and never stored: buying late, refunding, correcting and resetting can then lose and double nothing.
 */
#ifndef BP_DOMAIN_CLAIMABLE_H
#define BP_DOMAIN_CLAIMABLE_H

#include "domain/season.h"

/* A reward that can be claimed. It points into its season. */
struct claimable {
	const struct reward *reward;
	uint64_t unit; /* 0: of a tier; n: the n-th unit of the repeated reward of the overflow */
};

enum { CLAIMABLE_ID_SIZE = SEASON_ID_MAX + 1 };

/* The id under which it is claimed, with a NUL; returns its length. */
size_t claimable_id(const struct claimable *claimable, char id[CLAIMABLE_ID_SIZE]);
/*
 * The reward with this id (not NUL-terminated). False: the season has none; *ret_claimable is untouched. A unit has one
 * spelling only: "r.01", "r.0" and "r.+1" are none, nor is one that the overflow never comes to.
 */
bool claimable_find(const struct season *season, const char *id, size_t len, struct claimable *ret_claimable);

/* What keeps it locked; both false: it is unlocked. */
struct claim_lock {
	bool tier; /* not reached yet; of a unit: not earned yet */
	bool pass; /* not open */
};

/* For somebody with this XP to whom these passes are open (season_open_passes). Claimed or not is not asked here. */
struct claim_lock claimable_lock(const struct season *season, const struct claimable *claimable, uint64_t xp,
				 uint32_t open_passes);

/* The rewards that a player has claimed; one that the season no longer has is not in it. Begin with a zeroed one. */
struct claimed_set {
	uint64_t rewards[SEASON_REWARDS_MAX / 64 + 1];      /* bit per reward index */
	uint64_t units[SEASON_OVERFLOW_UNITS_MAX / 64 + 1]; /* bit per unit */
};

void claimed_add(struct claimed_set *set, const struct season *season, const char *id, size_t len);
/* The same for one that was found. */
void claimed_put(struct claimed_set *set, const struct season *season, const struct claimable *claimable);
bool claimed_has(const struct claimed_set *set, const struct season *season, const struct claimable *claimable);

/*
 * The next reward that is unlocked and not claimed, in the order of the season, overflow units last. Begin with a
 * zeroed *at; false after the last. From the first to the last costs one walk over the rewards.
 */
bool claimable_next(const struct season *season, const struct claimed_set *claimed, uint64_t xp, uint32_t open_passes,
		    struct claimable *at);

#endif
