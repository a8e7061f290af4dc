/* Progress: see progress.h. Only arithmetic over what the caller holds: no memory, no clock, no stored results. */
#include "domain/progress.h"

struct standing
progress_standing(const struct season *season, uint64_t xp)
{
	uint32_t tier = season_tier_at(season, xp);
	bool completed = tier == season->tier_count;

	return (struct standing){
		.tier = tier,
		.xp_into_tier = xp - season->tier_xp_total[tier],
		.xp_to_next_tier = completed ? 0 : season->tier_xp_total[tier + 1] - xp,
		.completed = completed,
		.overflow_units = season_overflow_units(season, xp),
	};
}

/*
 * Which seasons take XP: running ones, and those that time has ended while the late window is open. One that an admin
 * ended takes none: when it ended is not known here, and XP earned after that moment must not slip in.
 */
static bool
takes_xp(enum season_state stored, const struct season_times *times, int64_t now_ms)
{
	switch (season_state_at(stored, times, now_ms)) {
	case SEASON_ACTIVE:
	case SEASON_PURCHASE_CLOSED:
		return true;
	case SEASON_ENDED:
		return stored != SEASON_ENDED && now_ms - times->ends_at_ms < times->late_window_ms;
	default:
		return false;
	}
}

enum err
grant_admit(enum season_state stored, const struct season_times *times, int64_t occurred_at_ms, int64_t now_ms)
{
	bool occurred_in_season = occurred_at_ms >= times->starts_at_ms && occurred_at_ms < times->ends_at_ms;

	return occurred_in_season && takes_xp(stored, times, now_ms) ? ERR_OK : ERR_SEASON_NOT_ACTIVE;
}

enum err
grant_apply(const struct season *season, uint64_t xp, uint64_t amount, struct grant_effect *ret_effect)
{
	if (amount == 0 || amount > XP_GRANT_MAX || xp >= XP_MAX || amount >= XP_MAX - xp)
		return ERR_INVALID_FIELD;
	*ret_effect = (struct grant_effect){
		.xp_before = xp,
		.xp_after = xp + amount,
		.tier_before = season_tier_at(season, xp),
		.tier_after = season_tier_at(season, xp + amount),
		.overflow_before = season_overflow_units(season, xp),
		.overflow_after = season_overflow_units(season, xp + amount),
	};
	return ERR_OK;
}

enum err
tiers_apply(const struct season *season, uint64_t xp, uint64_t tiers, uint64_t *ret_xp)
{
	const uint64_t *reached_at = season->tier_xp_total;
	uint32_t tier = season_tier_at(season, xp);

	if (tiers == 0)
		return ERR_INVALID_FIELD;
	if (tiers > season->tier_count - tier)
		return ERR_TOO_MANY_TIERS;
	uint32_t wanted = tier + (uint32_t)tiers;
	uint64_t total = xp + (reached_at[wanted] - reached_at[tier]);

	/* What was earned within a long tier may be worth a short one whole, which was not given. */
	if (wanted < season->tier_count && total >= reached_at[wanted + 1])
		total = reached_at[wanted + 1] - 1;
	if (total >= XP_MAX)
		return ERR_INVALID_FIELD;
	*ret_xp = total;
	return ERR_OK;
}

enum err
correction_apply(uint64_t xp, int64_t amount, uint64_t *ret_xp)
{
	const int64_t most = (int64_t)XP_GRANT_MAX;

	if (amount == 0 || amount < -most || amount > most || xp >= XP_MAX)
		return ERR_INVALID_FIELD;
	/* Below 10^15 + 10^9 either way, so it fits. */
	int64_t total = (int64_t)xp + amount;

	if (total < 0 || (uint64_t)total >= XP_MAX)
		return ERR_INVALID_FIELD;
	*ret_xp = (uint64_t)total;
	return ERR_OK;
}

bool
reward_unlocked(const struct season *season, uint32_t reward, uint32_t tier, uint32_t open_passes)
{
	const struct reward *wanted = &season->rewards[reward];

	return wanted->tier <= tier && (open_passes >> wanted->pass & 1);
}
