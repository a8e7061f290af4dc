/* Tests of domain/progress.c: boundaries, and properties over random seasons and histories. Linked with the domain
 * alone. */
#include "domain/progress.h"

#include "random_season.h"
#include "tap.h"

enum { RANDOM_HISTORIES = 300, RANDOM_GRANTS = 300, RANDOM_QUESTIONS = 300 };

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static uint64_t seed;

static const uint64_t tier_xp[] = {0, 100, 200, 300};
static const uint64_t tier_xp_total[] = {0, 100, 300, 600};
static const struct pass passes[] = {{.id = "free", .free = true, .includes = 1}, {.id = "premium", .includes = 2}};
static const struct reward rewards[] = {{.id = "r1", .tier = 1, .pass = 0}, {.id = "r2", .tier = 2, .pass = 1}};

static const struct season small = {
	.id = "small",
	.tier_count = 3,
	.tier_xp = tier_xp,
	.tier_xp_total = tier_xp_total,
	.passes = passes,
	.pass_count = COUNT_OF(passes),
	.rewards = rewards,
	.reward_count = COUNT_OF(rewards),
	.overflow = {.policy = OVERFLOW_REPEAT, .every = 50, .times = 2},
};

static void
test_standing_boundaries(void)
{
	static const struct {
		uint64_t xp;
		struct standing standing;
	} cases[] = {
		{0, {0, 0, 100, false, 0}},
		{99, {0, 99, 1, false, 0}},
		{100, {1, 0, 200, false, 0}},
		{101, {1, 1, 199, false, 0}},
		{299, {1, 199, 1, false, 0}},
		{300, {2, 0, 300, false, 0}},
		{599, {2, 299, 1, false, 0}},
		{600, {3, 0, 0, true, 0}},
		{649, {3, 49, 0, true, 0}},
		{650, {3, 50, 0, true, 1}},
		{700, {3, 100, 0, true, 2}},
		{750, {3, 150, 0, true, 2}},
		{XP_MAX - 1, {3, XP_MAX - 601, 0, true, 2}},
	};

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct standing standing = progress_standing(&small, cases[i].xp);

		CU_ASSERT_EQUAL(standing.tier, cases[i].standing.tier);
		CU_ASSERT_EQUAL(standing.xp_into_tier, cases[i].standing.xp_into_tier);
		CU_ASSERT_EQUAL(standing.xp_to_next_tier, cases[i].standing.xp_to_next_tier);
		CU_ASSERT_EQUAL(standing.completed, cases[i].standing.completed);
		CU_ASSERT_EQUAL(standing.overflow_units, cases[i].standing.overflow_units);
	}
}

static void
check_standing(const struct season *season, uint64_t xp)
{
	struct standing standing = progress_standing(season, xp);
	struct standing more = progress_standing(season, xp + 1);

	CU_ASSERT_EQUAL(season->tier_xp_total[standing.tier] + standing.xp_into_tier, xp);
	CU_ASSERT_EQUAL(standing.completed, standing.tier == season->tier_count);
	if (standing.completed) {
		CU_ASSERT_EQUAL(standing.xp_to_next_tier, 0);
	} else {
		CU_ASSERT_EQUAL(standing.xp_into_tier + standing.xp_to_next_tier, season->tier_xp[standing.tier + 1]);
		CU_ASSERT_TRUE(standing.xp_to_next_tier > 0);
		CU_ASSERT_EQUAL(standing.overflow_units, 0);
	}
	CU_ASSERT_TRUE(more.tier == standing.tier || more.tier == standing.tier + 1);
	CU_ASSERT_EQUAL(more.tier > standing.tier, standing.xp_to_next_tier == 1);
	CU_ASSERT_TRUE(more.overflow_units == standing.overflow_units ||
		       more.overflow_units == standing.overflow_units + 1);
	if (season->overflow.policy == OVERFLOW_REPEAT)
		CU_ASSERT_TRUE(more.overflow_units <= season->overflow.times);
}

static void
test_standing_adds_up(void)
{
	struct random_season random;
	uint64_t state = seed;

	for (int i = 0; i < RANDOM_HISTORIES; i++) {
		random_season(&random, &state);
		for (int k = 0; k < RANDOM_QUESTIONS; k++)
			check_standing(&random.season, random_magnitude(&state, XP_MAX - 2));
		for (uint32_t tier = 1; tier <= random.season.tier_count; tier++) {
			check_standing(&random.season, random.season.tier_xp_total[tier] - 1);
			check_standing(&random.season, random.season.tier_xp_total[tier]);
		}
	}
}

static const struct season_times times = {
	.starts_at_ms = 1000,
	.purchase_closes_at_ms = 2000,
	.ends_at_ms = 3000,
	.claim_until_ms = 4000,
	.late_window_ms = 500,
};

static void
test_admit_boundaries(void)
{
	static const struct {
		int64_t occurred_at_ms;
		int64_t now_ms;
		enum err err;
	} cases[] = {
		{999, 999, ERR_SEASON_NOT_ACTIVE},
		{1000, 999, ERR_SEASON_NOT_ACTIVE},
		{999, 1000, ERR_SEASON_NOT_ACTIVE},
		{1000, 1000, ERR_OK},
		{1999, 1999, ERR_OK},
		{2000, 2000, ERR_OK},
		{2999, 2999, ERR_OK},
		{1000, 2999, ERR_OK},
		{3000, 2999, ERR_SEASON_NOT_ACTIVE},
		{3000, 3000, ERR_SEASON_NOT_ACTIVE},
		{2999, 3000, ERR_OK},
		{2999, 3499, ERR_OK},
		{2999, 3500, ERR_SEASON_NOT_ACTIVE},
		{1000, 3499, ERR_OK},
		{999, 3499, ERR_SEASON_NOT_ACTIVE},
		{3000, 3499, ERR_SEASON_NOT_ACTIVE},
		{2999, INT64_MAX, ERR_SEASON_NOT_ACTIVE},
		{INT64_MIN, 1500, ERR_SEASON_NOT_ACTIVE},
		{INT64_MAX, 1500, ERR_SEASON_NOT_ACTIVE},
	};

	for (size_t i = 0; i < COUNT_OF(cases); i++)
		CU_ASSERT_EQUAL(grant_admit(SEASON_PUBLISHED, &times, cases[i].occurred_at_ms, cases[i].now_ms),
				cases[i].err);
}

static void
test_admit_late_window(void)
{
	struct season_times none = times;
	struct season_times past_claims = times;

	none.late_window_ms = 0;
	CU_ASSERT_EQUAL(grant_admit(SEASON_ACTIVE, &none, 2999, 2999), ERR_OK);
	CU_ASSERT_EQUAL(grant_admit(SEASON_ACTIVE, &none, 2999, 3000), ERR_SEASON_NOT_ACTIVE);
	past_claims.late_window_ms = 5000;
	CU_ASSERT_EQUAL(grant_admit(SEASON_ACTIVE, &past_claims, 2999, 3999), ERR_OK);
	CU_ASSERT_EQUAL(grant_admit(SEASON_ACTIVE, &past_claims, 2999, 4000), ERR_SEASON_NOT_ACTIVE);
}

static void
test_admit_states(void)
{
	static const struct {
		enum season_state stored;
		enum err running;
		enum err late;
	} cases[] = {
		{SEASON_DRAFT, ERR_SEASON_NOT_ACTIVE, ERR_SEASON_NOT_ACTIVE},
		{SEASON_PUBLISHED, ERR_OK, ERR_OK},
		{SEASON_ACTIVE, ERR_OK, ERR_OK},
		{SEASON_PURCHASE_CLOSED, ERR_OK, ERR_OK},
		{SEASON_ENDED, ERR_SEASON_NOT_ACTIVE, ERR_SEASON_NOT_ACTIVE},
		{SEASON_ARCHIVED, ERR_SEASON_NOT_ACTIVE, ERR_SEASON_NOT_ACTIVE},
	};

	CU_ASSERT_EQUAL(COUNT_OF(cases), SEASON_STATE_COUNT);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CU_ASSERT_EQUAL(grant_admit(cases[i].stored, &times, 1500, 1500), cases[i].running);
		CU_ASSERT_EQUAL(grant_admit(cases[i].stored, &times, 1500, 3100), cases[i].late);
	}
}

static void
test_apply_effect(void)
{
	struct grant_effect effect;

	CU_ASSERT_EQUAL_FATAL(grant_apply(&small, 99, 601, &effect), ERR_OK);
	CU_ASSERT_EQUAL(effect.xp_before, 99);
	CU_ASSERT_EQUAL(effect.xp_after, 700);
	CU_ASSERT_EQUAL(effect.tier_before, 0);
	CU_ASSERT_EQUAL(effect.tier_after, 3);
	CU_ASSERT_EQUAL(effect.overflow_before, 0);
	CU_ASSERT_EQUAL(effect.overflow_after, 2);
	CU_ASSERT_EQUAL_FATAL(grant_apply(&small, 100, 199, &effect), ERR_OK);
	CU_ASSERT_EQUAL(effect.tier_before, 1);
	CU_ASSERT_EQUAL(effect.tier_after, 1);
}

static void
test_apply_limits(void)
{
	static const struct {
		uint64_t xp;
		uint64_t amount;
		enum err err;
	} cases[] = {
		{0, 0, ERR_INVALID_FIELD},
		{0, 1, ERR_OK},
		{0, XP_GRANT_MAX, ERR_OK},
		{0, XP_GRANT_MAX + 1, ERR_INVALID_FIELD},
		{0, UINT64_MAX, ERR_INVALID_FIELD},
		{XP_MAX - 2, 1, ERR_OK},
		{XP_MAX - 2, 2, ERR_INVALID_FIELD},
		{XP_MAX - 1, 1, ERR_INVALID_FIELD},
		{XP_MAX, 1, ERR_INVALID_FIELD},
		{UINT64_MAX, 1, ERR_INVALID_FIELD},
		{XP_MAX - XP_GRANT_MAX - 1, XP_GRANT_MAX, ERR_OK},
		{XP_MAX - XP_GRANT_MAX, XP_GRANT_MAX, ERR_INVALID_FIELD},
	};

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct grant_effect effect = {.xp_after = 77};

		CU_ASSERT_EQUAL(grant_apply(&small, cases[i].xp, cases[i].amount, &effect), cases[i].err);
		CU_ASSERT_EQUAL(effect.xp_after, cases[i].err == ERR_OK ? cases[i].xp + cases[i].amount : 77);
	}
}

/* One player's history: what was granted adds up, and each tier and overflow unit is reported once, in order. */
static void
check_history(const struct season *season, uint64_t *state)
{
	uint64_t largest = random_magnitude(state, XP_GRANT_MAX);
	uint64_t xp = random_below(state, 4) ? 0 : XP_MAX - 1 - random_below(state, XP_GRANT_MAX);
	uint64_t granted = xp;
	uint32_t next_tier = season_tier_at(season, xp) + 1;
	uint64_t units = season_overflow_units(season, xp);

	for (int i = 0; i < RANDOM_GRANTS; i++) {
		uint64_t amount = random_below(state, largest + 2);
		struct grant_effect effect;

		if (grant_apply(season, xp, amount, &effect) != ERR_OK) {
			CU_ASSERT_TRUE(amount == 0 || amount > XP_GRANT_MAX || xp + amount >= XP_MAX);
			continue;
		}
		granted += amount;
		CU_ASSERT_EQUAL(effect.xp_before, xp);
		CU_ASSERT_EQUAL(effect.tier_before + 1, next_tier);
		CU_ASSERT_EQUAL(effect.overflow_before, units);
		CU_ASSERT_TRUE(effect.overflow_after >= units);
		for (uint32_t tier = effect.tier_before + 1; tier <= effect.tier_after; tier++, next_tier++) {
			CU_ASSERT_TRUE(season->tier_xp_total[tier] > effect.xp_before);
			CU_ASSERT_TRUE(season->tier_xp_total[tier] <= effect.xp_after);
		}
		xp = effect.xp_after;
		units = effect.overflow_after;
		CU_ASSERT_TRUE(xp < XP_MAX);
	}
	CU_ASSERT_EQUAL(xp, granted);
	CU_ASSERT_EQUAL(next_tier, progress_standing(season, xp).tier + 1);
	CU_ASSERT_EQUAL(units, progress_standing(season, xp).overflow_units);
}

static void
test_random_histories(void)
{
	struct random_season random;
	uint64_t state = seed;

	for (int i = 0; i < RANDOM_HISTORIES; i++) {
		random_season(&random, &state);
		check_history(&random.season, &state);
	}
}

/* Many small grants and one large one of the same sum come to the same. */
static void
test_splitting_changes_nothing(void)
{
	struct random_season random;
	uint64_t state = seed;

	for (int i = 0; i < RANDOM_HISTORIES; i++) {
		struct grant_effect whole, first, second;
		uint64_t xp = random_magnitude(&state, XP_MAX - 2 * XP_GRANT_MAX);
		uint64_t amount = 1 + random_magnitude(&state, XP_GRANT_MAX - 1);
		uint64_t part = 1 + random_below(&state, amount - 1);

		random_season(&random, &state);
		CU_ASSERT_EQUAL_FATAL(grant_apply(&random.season, xp, amount, &whole), ERR_OK);
		CU_ASSERT_EQUAL_FATAL(grant_apply(&random.season, xp, part, &first), ERR_OK);
		CU_ASSERT_EQUAL_FATAL(grant_apply(&random.season, xp + part, amount - part, &second), ERR_OK);
		CU_ASSERT_EQUAL(first.tier_before, whole.tier_before);
		CU_ASSERT_EQUAL(first.tier_after, second.tier_before);
		CU_ASSERT_EQUAL(second.tier_after, whole.tier_after);
		CU_ASSERT_EQUAL(first.overflow_after, second.overflow_before);
		CU_ASSERT_EQUAL(second.overflow_after, whole.overflow_after);
		CU_ASSERT_EQUAL(second.xp_after, whole.xp_after);
	}
}

static void
test_tiers_boundaries(void)
{
	/* A long tier, two short ones, and a long one again. */
	static const uint64_t cost[] = {0, 1000, 10, 20, 500};
	static const uint64_t total[] = {0, 1000, 1010, 1030, 1530};
	static const struct season uneven = {.tier_count = 4, .tier_xp = cost, .tier_xp_total = total};
	static const struct {
		uint64_t xp;
		uint64_t tiers;
		enum err err;
		uint64_t after;
	} cases[] = {
		{0, 1, ERR_OK, 1000},
		{9, 1, ERR_OK, 1009},
		{10, 1, ERR_OK, 1009}, /* 1010 would be a tier more */
		{999, 1, ERR_OK, 1009},
		{999, 2, ERR_OK, 1029},
		{19, 2, ERR_OK, 1029},
		{18, 2, ERR_OK, 1028},
		{999, 3, ERR_OK, 1529},
		{499, 3, ERR_OK, 1529},
		{498, 3, ERR_OK, 1528},
		{999, 4, ERR_OK, 2529}, /* behind the last there is none to cross */
		{1000, 1, ERR_OK, 1010},
		{1009, 1, ERR_OK, 1019},
		{1029, 1, ERR_OK, 1049},
		{1529, 1, ERR_OK, 2029},
		{1530, 1, ERR_TOO_MANY_TIERS, 0},
		{1029, 3, ERR_TOO_MANY_TIERS, 0},
		{0, 5, ERR_TOO_MANY_TIERS, 0},
		{0, UINT64_MAX, ERR_TOO_MANY_TIERS, 0},
		{0, UINT64_C(0x100000001), ERR_TOO_MANY_TIERS, 0},
		{0, 0, ERR_INVALID_FIELD, 0},
		{1530, 0, ERR_INVALID_FIELD, 0},
		{UINT64_MAX, 1, ERR_TOO_MANY_TIERS, 0},
	};

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		uint64_t xp = 77;

		CU_ASSERT_EQUAL(tiers_apply(&uneven, cases[i].xp, cases[i].tiers, &xp), cases[i].err);
		CU_ASSERT_EQUAL(xp, cases[i].err == ERR_OK ? cases[i].after : 77);
	}
}

static void
test_tiers_reach_xp_max(void)
{
	static const uint64_t cost[] = {0, 1000, XP_MAX - 1001};
	static const uint64_t total[] = {0, 1000, XP_MAX - 1};
	static const struct season steep = {.tier_count = 2, .tier_xp = cost, .tier_xp_total = total};
	uint64_t xp = 77;

	CU_ASSERT_EQUAL(tiers_apply(&steep, 1, 2, &xp), ERR_INVALID_FIELD);
	CU_ASSERT_EQUAL(tiers_apply(&steep, XP_MAX - 2, 1, &xp), ERR_INVALID_FIELD);
	CU_ASSERT_EQUAL(xp, 77);
	CU_ASSERT_EQUAL(tiers_apply(&steep, 1000, 1, &xp), ERR_OK);
	CU_ASSERT_EQUAL(xp, XP_MAX - 1);
}

/* The tiers that were given and not one more; XP grows by their cost, or by less only to stay below the next tier. */
static void
check_tiers(const struct season *season, uint64_t xp, uint64_t tiers)
{
	uint32_t before = season_tier_at(season, xp);
	uint64_t after = xp;
	enum err err = tiers_apply(season, xp, tiers, &after);

	CU_ASSERT_EQUAL(err, tiers == 0                            ? ERR_INVALID_FIELD
			     : before + tiers > season->tier_count ? ERR_TOO_MANY_TIERS
								   : ERR_OK);
	if (err != ERR_OK) {
		CU_ASSERT_EQUAL(after, xp);
		return;
	}
	struct standing then = progress_standing(season, after);
	uint64_t cost = season->tier_xp_total[before + tiers] - season->tier_xp_total[before];

	CU_ASSERT_EQUAL(then.tier, before + tiers);
	CU_ASSERT_TRUE(after - xp == cost || (after - xp < cost && then.xp_to_next_tier == 1));
}

static void
test_random_tiers(void)
{
	struct random_season random;
	uint64_t state = seed;

	for (int i = 0; i < RANDOM_HISTORIES; i++) {
		random_season(&random, &state);
		for (int k = 0; k < RANDOM_QUESTIONS; k++)
			check_tiers(&random.season,
				    random_below(&state, random.season.tier_xp_total[random.season.tier_count] + 2),
				    random_below(&state, random.season.tier_count + 2));
	}
}

static void
test_correction_limits(void)
{
	static const struct {
		uint64_t xp;
		int64_t amount;
		enum err err;
	} cases[] = {
		{0, 0, ERR_INVALID_FIELD},
		{5, 0, ERR_INVALID_FIELD},
		{0, 1, ERR_OK},
		{0, -1, ERR_INVALID_FIELD},
		{1, -1, ERR_OK},
		{1, -2, ERR_INVALID_FIELD},
		{0, (int64_t)XP_GRANT_MAX, ERR_OK},
		{0, (int64_t)XP_GRANT_MAX + 1, ERR_INVALID_FIELD},
		{XP_MAX - 1, -(int64_t)XP_GRANT_MAX, ERR_OK},
		{XP_MAX - 1, -(int64_t)XP_GRANT_MAX - 1, ERR_INVALID_FIELD},
		{XP_GRANT_MAX, -(int64_t)XP_GRANT_MAX, ERR_OK},
		{XP_GRANT_MAX - 1, -(int64_t)XP_GRANT_MAX, ERR_INVALID_FIELD},
		{XP_MAX - 2, 1, ERR_OK},
		{XP_MAX - 1, 1, ERR_INVALID_FIELD},
		{XP_MAX - XP_GRANT_MAX, (int64_t)XP_GRANT_MAX, ERR_INVALID_FIELD},
		{XP_MAX, -1, ERR_INVALID_FIELD},
		{UINT64_MAX, -1, ERR_INVALID_FIELD},
		{5, INT64_MIN, ERR_INVALID_FIELD},
		{5, INT64_MAX, ERR_INVALID_FIELD},
	};

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		uint64_t xp = 77;

		CU_ASSERT_EQUAL(correction_apply(cases[i].xp, cases[i].amount, &xp), cases[i].err);
		CU_ASSERT_EQUAL(xp, cases[i].err == ERR_OK ? cases[i].xp + (uint64_t)cases[i].amount : 77);
	}
}

/* What was put on can be taken off again, and the sum of what was taken is what is there. */
static void
test_random_corrections(void)
{
	uint64_t state = seed;

	for (int i = 0; i < RANDOM_HISTORIES; i++) {
		uint64_t start = random_magnitude(&state, XP_MAX - 1);
		int64_t sum = (int64_t)start;
		uint64_t xp = start;

		for (int k = 0; k < RANDOM_GRANTS; k++) {
			int64_t amount = (int64_t)random_magnitude(&state, XP_GRANT_MAX);
			uint64_t before = xp;
			uint64_t back;

			amount = random_below(&state, 2) ? amount : -amount;
			if (correction_apply(before, amount, &xp) != ERR_OK) {
				CU_ASSERT_TRUE(sum + amount < 0 || sum + amount >= (int64_t)XP_MAX);
				continue;
			}
			sum += amount;
			CU_ASSERT_EQUAL(correction_apply(xp, -amount, &back), ERR_OK);
			CU_ASSERT_EQUAL(back, before);
		}
		CU_ASSERT_EQUAL((int64_t)xp, sum);
	}
}

static void
test_reward_unlocked(void)
{
	CU_ASSERT_FALSE(reward_unlocked(&small, 0, 0, 1));
	CU_ASSERT_TRUE(reward_unlocked(&small, 0, 1, 1));
	CU_ASSERT_TRUE(reward_unlocked(&small, 0, 3, 3));
	CU_ASSERT_FALSE(reward_unlocked(&small, 0, 3, 2));
	CU_ASSERT_FALSE(reward_unlocked(&small, 1, 2, 1));
	CU_ASSERT_FALSE(reward_unlocked(&small, 1, 1, 3));
	CU_ASSERT_TRUE(reward_unlocked(&small, 1, 2, 3));
}

/* A reward once unlocked stays so with more XP and more passes; all are unlocked at the end with all passes. */
static void
test_unlocking_never_goes_back(void)
{
	struct random_season random;
	uint64_t state = seed;

	for (int i = 0; i < RANDOM_HISTORIES; i++) {
		random_season(&random, &state);
		for (uint32_t reward = 0; reward < random.season.reward_count; reward++) {
			uint32_t tier = (uint32_t)random_below(&state, random.season.tier_count + 1);
			uint32_t open = season_open_passes(&random.season, (uint32_t)random_next(&state));
			bool unlocked = reward_unlocked(&random.season, reward, tier, open);

			CU_ASSERT_TRUE(!unlocked || reward_unlocked(&random.season, reward, tier + 1, open));
			CU_ASSERT_TRUE(!unlocked || reward_unlocked(&random.season, reward, tier, UINT32_MAX));
			CU_ASSERT_TRUE(reward_unlocked(&random.season, reward, random.season.tier_count, UINT32_MAX));
			CU_ASSERT_FALSE(reward_unlocked(&random.season, reward, 0, UINT32_MAX));
		}
	}
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"standing at each boundary of a curve", test_standing_boundaries},
		{"standing adds up and moves by single steps on random curves", test_standing_adds_up},
		{"grants are admitted to the millisecond", test_admit_boundaries},
		{"the late window, none and one longer than the claims", test_admit_late_window},
		{"stored states that take no XP", test_admit_states},
		{"what a grant changes", test_apply_effect},
		{"limits of a grant", test_apply_limits},
		{"random histories lose nothing and report each tier once", test_random_histories},
		{"a grant in two parts is the same as whole", test_splitting_changes_nothing},
		{"tiers that are given keep what was earned within one", test_tiers_boundaries},
		{"tiers that would reach the limit of XP", test_tiers_reach_xp_max},
		{"as many tiers as were given, on random curves", test_random_tiers},
		{"limits of a correction", test_correction_limits},
		{"random corrections add up", test_random_corrections},
		{"rewards unlock by tier and pass", test_reward_unlocked},
		{"unlocking never goes back", test_unlocking_never_goes_back},
		CU_TEST_INFO_NULL,
	};

	seed = tap_seed();
	return tap_main("domain/progress", tests);
}
