/* Claimable rewards: see claimable.h. Only arithmetic over what the caller holds: no memory, no clock. */
#include "domain/claimable.h"

#include <string.h>

static size_t
put_number(char *to, uint64_t number)
{
	char backwards[20];
	size_t len = 0;

	for (; number > 0; number /= 10)
		backwards[len++] = (char)('0' + number % 10);
	for (size_t i = 0; i < len; i++)
		to[i] = backwards[len - 1 - i];
	return len;
}

size_t
claimable_id(const struct claimable *claimable, char id[CLAIMABLE_ID_SIZE])
{
	size_t len = strlen(claimable->reward->id);

	memcpy(id, claimable->reward->id, len);
	if (claimable->unit > 0) {
		id[len++] = '.';
		len += put_number(id + len, claimable->unit);
	}
	id[len] = '\0';
	return len;
}

/* A number of 1 to most, all digits and without leading zero; 0: it is none. */
static uint64_t
parse_unit(const char *digits, size_t len, uint64_t most)
{
	uint64_t unit = 0;

	if (len == 0 || digits[0] == '0')
		return 0;
	for (size_t i = 0; i < len; i++) {
		if (digits[i] < '0' || digits[i] > '9')
			return 0;
		unit = unit * 10 + (uint64_t)(digits[i] - '0');
		if (unit > most)
			return 0;
	}
	return unit;
}

/* The unit that "<repeated reward>.<unit>" names; 0: none. */
static uint64_t
find_unit(const struct season *season, const char *id, size_t len)
{
	const struct overflow *overflow = &season->overflow;

	if (overflow->policy != OVERFLOW_REPEAT)
		return 0;
	size_t head = strlen(overflow->reward.id);

	if (len <= head || memcmp(id, overflow->reward.id, head) != 0 || id[head] != '.')
		return 0;
	return parse_unit(id + head + 1, len - head - 1, overflow->times);
}

bool
claimable_find(const struct season *season, const char *id, size_t len, struct claimable *ret_claimable)
{
	int reward = season_find_reward(season, id, len);
	uint64_t unit = reward < 0 ? find_unit(season, id, len) : 0;

	if (reward < 0 && unit == 0)
		return false;
	*ret_claimable = (struct claimable){
		.reward = reward < 0 ? &season->overflow.reward : &season->rewards[reward],
		.unit = unit,
	};
	return true;
}

static bool
tier_reached(const struct season *season, const struct reward *reward, uint64_t xp)
{
	return season->tier_xp_total[reward->tier] <= xp;
}

static bool
pass_open(const struct reward *reward, uint32_t open_passes)
{
	return open_passes >> reward->pass & 1;
}

struct claim_lock
claimable_lock(const struct season *season, const struct claimable *claimable, uint64_t xp, uint32_t open_passes)
{
	return (struct claim_lock){
		.tier = claimable->unit > 0 ? claimable->unit > season_overflow_units(season, xp)
					    : !tier_reached(season, claimable->reward, xp),
		.pass = !pass_open(claimable->reward, open_passes),
	};
}

static bool
has_bit(const uint64_t *words, uint64_t bit)
{
	return words[bit / 64] >> bit % 64 & 1;
}

static void
set_bit(uint64_t *words, uint64_t bit)
{
	words[bit / 64] |= UINT64_C(1) << bit % 64;
}

static uint64_t
reward_index(const struct season *season, const struct claimable *claimable)
{
	return (uint64_t)(claimable->reward - season->rewards);
}

void
claimed_add(struct claimed_set *set, const struct season *season, const char *id, size_t len)
{
	struct claimable claimable;

	if (claimable_find(season, id, len, &claimable))
		claimed_put(set, season, &claimable);
}

void
claimed_put(struct claimed_set *set, const struct season *season, const struct claimable *claimable)
{
	if (claimable->unit > 0)
		set_bit(set->units, claimable->unit);
	else
		set_bit(set->rewards, reward_index(season, claimable));
}

bool
claimed_has(const struct claimed_set *set, const struct season *season, const struct claimable *claimable)
{
	return claimable->unit > 0 ? has_bit(set->units, claimable->unit)
				   : has_bit(set->rewards, reward_index(season, claimable));
}

static bool
next_reward(const struct season *season, const struct claimed_set *claimed, uint64_t xp, uint32_t open_passes,
	    struct claimable *at)
{
	uint64_t i = at->reward ? reward_index(season, at) + 1 : 0;

	/* Rewards are sorted by tier: behind the first that is not reached none is. */
	for (; i < season->reward_count && tier_reached(season, &season->rewards[i], xp); i++) {
		if (pass_open(&season->rewards[i], open_passes) && !has_bit(claimed->rewards, i)) {
			at->reward = &season->rewards[i];
			return true;
		}
	}
	return false;
}

static bool
next_unit(const struct season *season, const struct claimed_set *claimed, uint64_t xp, uint32_t open_passes,
	  struct claimable *at)
{
	const struct overflow *overflow = &season->overflow;

	if (overflow->policy != OVERFLOW_REPEAT || !pass_open(&overflow->reward, open_passes))
		return false;
	uint64_t last = season_overflow_units(season, xp);

	for (uint64_t unit = at->unit + 1; unit <= last; unit++) {
		if (!has_bit(claimed->units, unit)) {
			*at = (struct claimable){.reward = &overflow->reward, .unit = unit};
			return true;
		}
	}
	return false;
}

bool
claimable_next(const struct season *season, const struct claimed_set *claimed, uint64_t xp, uint32_t open_passes,
	       struct claimable *at)
{
	return (at->unit == 0 && next_reward(season, claimed, xp, open_passes, at)) ||
	       next_unit(season, claimed, xp, open_passes, at);
}
