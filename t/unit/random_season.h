/*
 * Random seasons for the domain's properties: every one is well-formed as season.h demands, from one tier with nothing
 * in it to long steep curves. The same state gives the same season.
 */
#ifndef BP_T_UNIT_RANDOM_SEASON_H
#define BP_T_UNIT_RANDOM_SEASON_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "domain/season.h"

enum { RANDOM_TIERS_MAX = 120, RANDOM_REWARDS_MAX = 200, RANDOM_PASSES_MAX = 6, RANDOM_ID_SIZE = 16 };

struct random_season {
	struct season season;
	uint64_t tier_xp[RANDOM_TIERS_MAX + 1];
	uint64_t tier_xp_total[RANDOM_TIERS_MAX + 1];
	struct pass passes[RANDOM_PASSES_MAX];
	char pass_ids[RANDOM_PASSES_MAX][RANDOM_ID_SIZE];
	struct reward rewards[RANDOM_REWARDS_MAX];
	char reward_ids[RANDOM_REWARDS_MAX][RANDOM_ID_SIZE];
	uint32_t tier_rewards[RANDOM_TIERS_MAX + 2];
	uint32_t reward_by_id[RANDOM_REWARDS_MAX];
};

/* Splitmix64. */
static inline uint64_t
random_next(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

/* 0 to below - 1. */
static inline uint64_t
random_below(uint64_t *state, uint64_t below)
{
	return random_next(state) % below;
}

/* 1 to most, of any order of magnitude with the same chance. */
static inline uint64_t
random_magnitude(uint64_t *state, uint64_t most)
{
	uint64_t value = 1 + (random_next(state) >> random_below(state, 64)) % most;

	return value <= most ? value : most;
}

static inline void
random_curve(struct random_season *random, uint64_t *state)
{
	uint64_t steepest = random_magnitude(state, XP_MAX / (RANDOM_TIERS_MAX + 1));
	uint32_t count = (uint32_t)(1 + random_below(state, RANDOM_TIERS_MAX));

	random->tier_xp[0] = random->tier_xp_total[0] = 0;
	for (uint32_t tier = 1; tier <= count; tier++) {
		random->tier_xp[tier] = 1 + random_below(state, steepest);
		random->tier_xp_total[tier] = random->tier_xp_total[tier - 1] + random->tier_xp[tier];
	}
	random->season.tier_count = count;
	random->season.tier_xp = random->tier_xp;
	random->season.tier_xp_total = random->tier_xp_total;
}

/* A price above that of all in the same currency that it includes. */
static inline struct price
random_price(const struct random_season *random, uint32_t includes, uint64_t *state)
{
	static const char *const currencies[] = {"gems", "gold"};
	struct price price = {currencies[random_below(state, 4) == 0], random_magnitude(state, 5000)};

	for (uint32_t i = 0; i < RANDOM_PASSES_MAX; i++) {
		const struct price *other = &random->passes[i].price;

		if ((includes >> i & 1) && other->currency == price.currency && other->amount >= price.amount)
			price.amount = other->amount + 1 + random_below(state, 3);
	}
	return price;
}

static inline void
random_passes(struct random_season *random, uint64_t *state)
{
	uint32_t count = (uint32_t)(1 + random_below(state, RANDOM_PASSES_MAX));

	for (uint32_t i = 0; i < count; i++) {
		struct pass *pass = &random->passes[i];

		snprintf(random->pass_ids[i], RANDOM_ID_SIZE, "p%u", i);
		*pass = (struct pass){.id = random->pass_ids[i], .free = i == 0, .includes = UINT32_C(1) << i};
		/* Includes point backwards and take over what those include, so they are closed and without cycle. */
		for (uint32_t k = 1; k < i; k++) {
			if (random_below(state, 3) == 0)
				pass->includes |= random->passes[k].includes;
		}
		/* A pass has its bit in its own includes and no price yet. */
		if (i > 0)
			pass->price = random_price(random, pass->includes, state);
	}
	random->season.passes = random->passes;
	random->season.pass_count = count;
}

static inline void
random_rewards(struct random_season *random, uint64_t *state)
{
	struct season *season = &random->season;
	uint32_t count = 0;
	uint32_t scramble = (uint32_t)random_next(state) | 1;

	random->tier_rewards[0] = 0;
	for (uint32_t tier = 1; tier <= season->tier_count; tier++) {
		random->tier_rewards[tier] = count;
		for (uint64_t more = random_below(state, 4); more > 0 && count < RANDOM_REWARDS_MAX; more--, count++) {
			/* An odd factor keeps the ids apart and their order unlike that of the tiers. */
			snprintf(random->reward_ids[count], RANDOM_ID_SIZE, "r%x", (count + 1) * scramble);
			random->rewards[count] = (struct reward){
				.id = random->reward_ids[count],
				.tier = tier,
				.pass = (uint32_t)random_below(state, season->pass_count),
			};
		}
	}
	random->tier_rewards[season->tier_count + 1] = count;
	for (uint32_t i = 0; i < count; i++) {
		uint32_t at = i;

		for (; at > 0 && strcmp(random->rewards[random->reward_by_id[at - 1]].id, random->reward_ids[i]) > 0;
		     at--)
			random->reward_by_id[at] = random->reward_by_id[at - 1];
		random->reward_by_id[at] = i;
	}
	season->rewards = random->rewards;
	season->reward_count = count;
	season->tier_rewards = random->tier_rewards;
	season->reward_by_id = random->reward_by_id;
}

static inline void
random_season(struct random_season *random, uint64_t *state)
{
	memset(random, 0, sizeof(*random));
	random->season.id = "random";
	random->season.stored_state = SEASON_PUBLISHED;
	random_curve(random, state);
	random_passes(random, state);
	random_rewards(random, state);
	random->season.overflow.policy = (enum overflow_policy)random_below(state, 3);
	if (random->season.overflow.policy != OVERFLOW_NONE)
		random->season.overflow.every = random_magnitude(state, XP_GRANT_MAX);
	if (random->season.overflow.policy == OVERFLOW_REPEAT) {
		random->season.overflow.times = (uint32_t)(1 + random_below(state, SEASON_OVERFLOW_UNITS_MAX));
		random->season.overflow.reward = (struct reward){
			.id = "extra",
			.tier = random->season.tier_count,
			.pass = (uint32_t)random_below(state, random->season.pass_count),
		};
	}
	if (random_below(state, 4))
		random->season.tier_price = (struct price){"gems", random_magnitude(state, 1000000000)};
}

#endif
