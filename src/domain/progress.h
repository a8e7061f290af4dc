/*
 * A player's progress in a season and what a grant, tiers that are given and a correction do to it. Pure: level, tiers
 * crossed and claimable rewards are derived from XP, the curve, the passes owned and the claims made, and never stored.
 */
#ifndef BP_DOMAIN_PROGRESS_H
#define BP_DOMAIN_PROGRESS_H

#include "domain/season.h"

/* Where an XP total stands on the curve. */
struct standing {
	uint32_t tier;
	uint64_t xp_into_tier;    /* past the last tier: all XP beyond it */
	uint64_t xp_to_next_tier; /* 0 when completed */
	bool completed;           /* the last tier is reached */
	uint64_t overflow_units;
};

struct standing progress_standing(const struct season *season, uint64_t xp);

/* What a grant changed. */
struct grant_effect {
	uint64_t xp_before;
	uint64_t xp_after;
	uint32_t tier_before;
	uint32_t tier_after; /* tiers tier_before + 1 .. tier_after were crossed */
	uint64_t overflow_before;
	uint64_t overflow_after;
};

/*
 * May XP that occurred then be granted now? ERR_OK; ERR_SEASON_NOT_ACTIVE: before the start, after the end (unless it
 * occurred before the end and the late window is open), or in a state that takes none.
 */
enum err grant_admit(enum season_state stored, const struct season_times *times, int64_t occurred_at_ms,
		     int64_t now_ms);

/*
 * Adds amount to xp. ERR_INVALID_FIELD: amount is 0 or above XP_GRANT_MAX, or the total would reach XP_MAX; *ret_effect
 * is untouched then.
 */
enum err grant_apply(const struct season *season, uint64_t xp, uint64_t amount, struct grant_effect *ret_effect);

/*
 * The XP after this many tiers more: their cost is added, so that what was earned within the tier is kept, but never
 * so much that yet another tier is reached. ERR_TOO_MANY_TIERS: past the last tier; ERR_INVALID_FIELD: 0 tiers, or the
 * total would reach XP_MAX; *ret_xp is untouched then.
 */
enum err tiers_apply(const struct season *season, uint64_t xp, uint64_t tiers, uint64_t *ret_xp);

/*
 * Adds a correction, or takes it off. ERR_INVALID_FIELD: amount is 0 or further from it than XP_GRANT_MAX, or the
 * total would be below 0 or reach XP_MAX; *ret_xp is untouched then.
 */
enum err correction_apply(uint64_t xp, int64_t amount, uint64_t *ret_xp);

/*
 * Is the reward (an index) unlocked for somebody at this tier to whom these passes are open (season_open_passes)?
 * Claimed or not is not asked here.
 */
bool reward_unlocked(const struct season *season, uint32_t reward, uint32_t tier, uint32_t open_passes);

#endif
