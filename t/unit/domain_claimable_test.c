/*
 * Tests of domain/claimable.c: ids, locks, and what is left to claim, against a naive derivation over random seasons
 * and histories. Linked with the domain alone.
 */
#include "domain/claimable.h"

#include "domain/progress.h"
#include "random_season.h"
#include "tap.h"

enum { RANDOM_SEASONS = 200, RANDOM_QUESTIONS = 20, HISTORY_STEPS = 100 };

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
#define ID_59           "iiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiii"
/* What any season can have, and one behind it. */
enum { LIST_MAX = RANDOM_REWARDS_MAX + SEASON_OVERFLOW_UNITS_MAX + 1 };

static uint64_t seed;

static const uint64_t tier_xp[] = {0, 100, 200, 300};
static const uint64_t tier_xp_total[] = {0, 100, 300, 600};
static const struct pass passes[] = {{.id = "free", .free = true, .includes = 1}, {.id = "premium", .includes = 2}};
static const struct reward rewards[] = {
	{.id = "r1", .tier = 1, .pass = 0},
	{.id = "p1", .tier = 1, .pass = 1},
	{.id = "r2", .tier = 2, .pass = 0},
	{.id = "x.7", .tier = 3, .pass = 1},
};
static const uint32_t tier_rewards[] = {0, 0, 2, 3, 4};
static const uint32_t reward_by_id[] = {1, 0, 2, 3};

static const struct season small = {
	.id = "small",
	.tier_count = 3,
	.tier_xp = tier_xp,
	.tier_xp_total = tier_xp_total,
	.passes = passes,
	.pass_count = COUNT_OF(passes),
	.rewards = rewards,
	.reward_count = COUNT_OF(rewards),
	.tier_rewards = tier_rewards,
	.reward_by_id = reward_by_id,
	.overflow = {.policy = OVERFLOW_REPEAT,
		     .every = 50,
		     .times = 100,
		     .reward = {.id = "ex.a", .tier = 3, .pass = 1}},
};

static void
test_ids(void)
{
	static const struct {
		const char *reward;
		uint64_t unit;
		const char *id;
	} cases[] = {
		{"r1", 0, "r1"},           {"ex.a", 1, "ex.a.1"},        {"ex.a", 10, "ex.a.10"},
		{"ex.a", 909, "ex.a.909"}, {ID_59, 1000, ID_59 ".1000"}, {ID_59 ".1000", 0, ID_59 ".1000"},
	};

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct reward reward = {.id = cases[i].reward};
		struct claimable claimable = {&reward, cases[i].unit};
		char id[CLAIMABLE_ID_SIZE];

		memset(id, 'x', sizeof(id));
		CU_ASSERT_EQUAL(claimable_id(&claimable, id), strlen(cases[i].id));
		CU_ASSERT_STRING_EQUAL(id, cases[i].id);
	}
}

/* Looks for it in memory that ends with it, so that a sanitizer sees who looks behind the end. */
static bool
found(const struct season *season, const char *id)
{
	struct claimable claimable = {NULL, 77};
	size_t len = strlen(id);
	char *exact = malloc(len + (len == 0));

	CU_ASSERT_PTR_NOT_NULL_FATAL(exact);
	memcpy(exact, id, len);
	bool is_found = claimable_find(season, exact, len, &claimable);

	free(exact);
	CU_ASSERT_EQUAL(is_found, claimable.reward != NULL);
	CU_ASSERT_TRUE(is_found || claimable.unit == 77);
	return is_found;
}

static void
test_find(void)
{
	struct claimable claimable;

	CU_ASSERT_TRUE_FATAL(claimable_find(&small, "p1...", 2, &claimable));
	CU_ASSERT_PTR_EQUAL(claimable.reward, &rewards[1]);
	CU_ASSERT_EQUAL(claimable.unit, 0);
	CU_ASSERT_TRUE_FATAL(claimable_find(&small, "x.7", 3, &claimable));
	CU_ASSERT_PTR_EQUAL(claimable.reward, &rewards[3]);
	CU_ASSERT_TRUE_FATAL(claimable_find(&small, "ex.a.100", 8, &claimable));
	CU_ASSERT_PTR_EQUAL(claimable.reward, &small.overflow.reward);
	CU_ASSERT_EQUAL(claimable.unit, 100);
	CU_ASSERT_TRUE_FATAL(claimable_find(&small, "ex.a.100", 7, &claimable));
	CU_ASSERT_EQUAL(claimable.unit, 10);
}

static void
test_find_none(void)
{
	static const char *const none[] = {
		"",
		"r",
		"r11",
		"R1",
		"ex.a",
		"ex.a.",
		"ex.a.0",
		"ex.a.01",
		"ex.a.101",
		"ex.a.+1",
		"ex.a.-1",
		"ex.a. 1",
		"ex.a.1 ",
		"ex.a.1.",
		"ex.a.1.1",
		"ex.b.1",
		"ex_a.1",
		"ex.a-1",
		"ex.a.1a",
		"ex.a.1e1",
		"ex.a.0x1",
		"xex.a.1",
		"ex.a.00",
		"1",
		"ex.a.18446744073709551617",
		"ex.a.184467440737095516170000000000000000000000001",
	};

	for (size_t i = 0; i < COUNT_OF(none); i++)
		CU_ASSERT_FALSE(found(&small, none[i]));
	CU_ASSERT_FALSE(found(&small, "ex.a.1\xff"));
	CU_ASSERT_FALSE(found(&small, "ex.a.1:"));
	CU_ASSERT_FALSE(found(&small, "ex.a.1/"));
	struct claimable claimable;

	/* A NUL is a byte like any other. */
	CU_ASSERT_FALSE(claimable_find(&small, "r1", 3, &claimable));
	CU_ASSERT_FALSE(claimable_find(&small, "ex.a.1", 7, &claimable));
	/* Nor is what stands behind the end looked at. */
	CU_ASSERT_FALSE(claimable_find(&small, "ex.a.1", 5, &claimable));
	CU_ASSERT_FALSE(claimable_find(&small, "ex.a.1", 4, &claimable));
}

/* Only a repeated reward has units: that of the currency policy has no id at all. */
static void
test_find_without_repeat(void)
{
	struct season season = small;

	season.overflow = (struct overflow){.policy = OVERFLOW_CURRENCY, .every = 50, .reward = {.kind = "currency"}};
	CU_ASSERT_TRUE(found(&season, "r1"));
	CU_ASSERT_FALSE(found(&season, "ex.a.1"));
	season.overflow = (struct overflow){.policy = OVERFLOW_NONE};
	CU_ASSERT_FALSE(found(&season, "ex.a.1"));
}

static void
test_lock(void)
{
	static const struct {
		const char *id;
		uint64_t xp;
		uint32_t open_passes;
		struct claim_lock lock;
	} cases[] = {
		{"r1", 99, 1, {true, false}},          {"r1", 100, 1, {false, false}},
		{"p1", 99, 1, {true, true}},           {"p1", 100, 1, {false, true}},
		{"p1", 100, 3, {false, false}},        {"p1", 99, 2, {true, false}},
		{"x.7", 599, 3, {true, false}},        {"x.7", 600, 3, {false, false}},
		{"ex.a.1", 649, 3, {true, false}},     {"ex.a.1", 650, 3, {false, false}},
		{"ex.a.1", 650, 1, {false, true}},     {"ex.a.2", 650, 3, {true, false}},
		{"ex.a.1", 0, 0, {true, true}},        {"ex.a.100", 5599, 3, {true, false}},
		{"ex.a.100", 5600, 3, {false, false}}, {"ex.a.100", XP_MAX - 1, 3, {false, false}},
	};

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct claimable claimable;

		CU_ASSERT_TRUE_FATAL(claimable_find(&small, cases[i].id, strlen(cases[i].id), &claimable));
		struct claim_lock lock = claimable_lock(&small, &claimable, cases[i].xp, cases[i].open_passes);

		CU_ASSERT_EQUAL(lock.tier, cases[i].lock.tier);
		CU_ASSERT_EQUAL(lock.pass, cases[i].lock.pass);
	}
}

/* Every reward and unit is found under its own id, and no two have the same. */
static void
test_find_what_id_says(void)
{
	struct random_season random;
	uint64_t state = seed;

	for (int i = 0; i < RANDOM_SEASONS; i++) {
		struct claimed_set seen = {0};

		random_season(&random, &state);
		const struct season *season = &random.season;
		uint32_t count = season->reward_count + season->overflow.times;

		for (uint32_t k = 0; k < count; k++) {
			struct claimable each = {&season->rewards[k], 0};
			struct claimable again = {NULL, 0};
			char id[CLAIMABLE_ID_SIZE];

			if (k >= season->reward_count)
				each = (struct claimable){&season->overflow.reward, k - season->reward_count + 1};
			size_t len = claimable_id(&each, id);

			CU_ASSERT_TRUE_FATAL(claimable_find(season, id, len, &again));
			CU_ASSERT_TRUE(again.reward == each.reward && again.unit == each.unit);
			CU_ASSERT_FALSE(claimed_has(&seen, season, &each));
			claimed_add(&seen, season, id, len);
			CU_ASSERT_TRUE(claimed_has(&seen, season, &each));
		}
	}
}

/* The largest season: the last bits of a set are within it. */
static void
test_set_ends(void)
{
	static struct reward many[SEASON_REWARDS_MAX];
	struct season season = {
		.rewards = many,
		.reward_count = SEASON_REWARDS_MAX,
		.overflow = {.policy = OVERFLOW_REPEAT, .every = 1, .times = SEASON_OVERFLOW_UNITS_MAX},
	};
	const struct claimable ends[] = {
		{&many[0], 0},
		{&many[SEASON_REWARDS_MAX - 1], 0},
		{&season.overflow.reward, 1},
		{&season.overflow.reward, SEASON_OVERFLOW_UNITS_MAX},
	};
	struct claimed_set set = {0};

	for (size_t i = 0; i < COUNT_OF(ends); i++) {
		CU_ASSERT_FALSE(claimed_has(&set, &season, &ends[i]));
		claimed_put(&set, &season, &ends[i]);
		for (size_t k = 0; k < COUNT_OF(ends); k++)
			CU_ASSERT_EQUAL(claimed_has(&set, &season, &ends[k]), k <= i);
	}
}

static void
test_unknown_claims(void)
{
	static const char *const gone[] = {"old", "ex.a.101", "ex.a.0", "", "ex.b.1"};
	static const struct claimed_set none;
	struct claimed_set set = {0};

	for (size_t i = 0; i < COUNT_OF(gone); i++)
		claimed_add(&set, &small, gone[i], strlen(gone[i]));
	CU_ASSERT_EQUAL(memcmp(&set, &none, sizeof(set)), 0);
}

/* One player: the claims are kept as ids, as the store has them. */
struct player {
	uint64_t xp;
	uint32_t owned;
	char claims[2 * LIST_MAX][CLAIMABLE_ID_SIZE];
	size_t claim_count;
};

static bool
has_claimed(const struct player *player, const char *id)
{
	for (size_t i = 0; i < player->claim_count; i++) {
		if (strcmp(player->claims[i], id) == 0)
			return true;
	}
	return false;
}

/* Ids of what is left to claim, told without any of the functions under test. */
static size_t
list_naively(const struct season *season, const struct player *player, char (*ids)[CLAIMABLE_ID_SIZE])
{
	uint32_t open = season_open_passes(season, player->owned);
	uint32_t tier = season_tier_at(season, player->xp);
	size_t count = 0;

	for (uint32_t i = 0; i < season->reward_count; i++) {
		if (reward_unlocked(season, i, tier, open) && !has_claimed(player, season->rewards[i].id))
			snprintf(ids[count++], CLAIMABLE_ID_SIZE, "%s", season->rewards[i].id);
	}
	if (season->overflow.policy != OVERFLOW_REPEAT || !(open >> season->overflow.reward.pass & 1))
		return count;
	for (uint64_t unit = 1; unit <= season_overflow_units(season, player->xp); unit++) {
		snprintf(ids[count], CLAIMABLE_ID_SIZE, "%s.%llu", season->overflow.reward.id,
			 (unsigned long long)unit);
		if (!has_claimed(player, ids[count]))
			count++;
	}
	return count;
}

static struct claimed_set
claimed_by(const struct season *season, const struct player *player)
{
	struct claimed_set set = {0};

	for (size_t i = 0; i < player->claim_count; i++)
		claimed_add(&set, season, player->claims[i], strlen(player->claims[i]));
	return set;
}

static size_t
list_by_next(const struct season *season, const struct player *player, char (*ids)[CLAIMABLE_ID_SIZE])
{
	struct claimed_set claimed = claimed_by(season, player);
	uint32_t open = season_open_passes(season, player->owned);
	struct claimable at = {0};
	size_t count = 0;

	while (count < LIST_MAX && claimable_next(season, &claimed, player->xp, open, &at)) {
		struct claim_lock lock = claimable_lock(season, &at, player->xp, open);

		CU_ASSERT_FALSE(lock.tier || lock.pass);
		CU_ASSERT_FALSE(claimed_has(&claimed, season, &at));
		claimable_id(&at, ids[count++]);
	}
	/* It stays at the end. */
	CU_ASSERT_FALSE(claimable_next(season, &claimed, player->xp, open, &at));
	return count;
}

/* Around what matters: the end of the curve, a few units behind it, or anywhere. */
static uint64_t
random_xp(const struct season *season, uint64_t *state)
{
	uint64_t last = season->tier_xp_total[season->tier_count];

	switch (random_below(state, 3)) {
	case 0:
		return random_below(state, last + 2);
	case 1:
		return last + random_below(state, 50 * season->overflow.every + 2);
	default:
		return random_magnitude(state, XP_MAX - 1);
	}
}

static char naive[LIST_MAX][CLAIMABLE_ID_SIZE];
static char listed[LIST_MAX][CLAIMABLE_ID_SIZE];

static size_t
check_lists(const struct season *season, const struct player *player)
{
	size_t count = list_naively(season, player, naive);

	CU_ASSERT_EQUAL_FATAL(list_by_next(season, player, listed), count);
	for (size_t i = 0; i < count; i++)
		CU_ASSERT_STRING_EQUAL(listed[i], naive[i]);
	return count;
}

static void
claim(struct player *player, const char *id)
{
	memcpy(player->claims[player->claim_count++], id, strlen(id) + 1);
}

/* Some of what is there to claim, one that the season does not have, and one that may not be unlocked (any more). */
static void
claim_some(const struct season *season, struct player *player, uint64_t *state)
{
	size_t count = list_naively(season, player, naive);

	for (size_t i = 0; i < count; i++) {
		if (random_below(state, 2))
			claim(player, naive[i]);
	}
	claim(player, "gone");
	if (season->reward_count > 0)
		claim(player, season->rewards[random_below(state, season->reward_count)].id);
}

static void
test_next_is_the_naive_list(void)
{
	static struct player player;
	struct random_season random;
	uint64_t state = seed;
	size_t total = 0;

	for (int i = 0; i < RANDOM_SEASONS; i++) {
		random_season(&random, &state);
		for (int k = 0; k < RANDOM_QUESTIONS; k++) {
			player.claim_count = 0;
			player.xp = random_xp(&random.season, &state);
			player.owned = (uint32_t)random_next(&state);
			if (random_below(&state, 4))
				claim_some(&random.season, &player, &state);
			player.owned &= (uint32_t)random_next(&state);
			total += check_lists(&random.season, &player);
		}
	}
	CU_ASSERT_TRUE(total > 1000);
}

static void
claim_all(const struct season *season, struct player *player)
{
	struct claimed_set claimed = claimed_by(season, player);
	uint32_t open = season_open_passes(season, player->owned);
	struct claimable at = {0};

	while (claimable_next(season, &claimed, player->xp, open, &at)) {
		char id[CLAIMABLE_ID_SIZE];

		claimable_id(&at, id);
		CU_ASSERT_FALSE(has_claimed(player, id));
		claimed_put(&claimed, season, &at);
		claim(player, id);
	}
	CU_ASSERT_EQUAL(list_naively(season, player, naive), 0);
}

/*
 * XP up and down, passes bought and taken away, everything claimed in between: no reward is claimed twice, and with all
 * XP and passes nothing is missing in the end.
 */
static void
check_history(const struct season *season, uint64_t *state)
{
	static struct player player;

	player.claim_count = 0;
	for (int step = 0; step < HISTORY_STEPS; step++) {
		player.xp = random_xp(season, state);
		player.owned = (uint32_t)(random_next(state) & random_next(state));
		claim_all(season, &player);
	}
	player.xp = XP_MAX - 1;
	player.owned = UINT32_MAX;
	claim_all(season, &player);
	CU_ASSERT_EQUAL(player.claim_count, season->reward_count + (season->overflow.policy == OVERFLOW_REPEAT
									    ? season_overflow_units(season, player.xp)
									    : 0));
}

static void
test_histories_claim_each_once(void)
{
	struct random_season random;
	uint64_t state = seed;

	for (int i = 0; i < RANDOM_SEASONS / 10; i++) {
		random_season(&random, &state);
		check_history(&random.season, &state);
	}
}

/* A premium pass bought late makes every reward below claimable at once. */
static void
test_bought_late(void)
{
	static struct player player = {.xp = 700, .owned = 0};
	static const char *const wanted[] = {"p1", "x.7", "ex.a.1", "ex.a.2"};

	claim_all(&small, &player);
	CU_ASSERT_EQUAL(player.claim_count, 2);
	player.owned = 2;
	CU_ASSERT_EQUAL_FATAL(list_by_next(&small, &player, listed), COUNT_OF(wanted));
	for (size_t i = 0; i < COUNT_OF(wanted); i++)
		CU_ASSERT_STRING_EQUAL(listed[i], wanted[i]);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"ids", test_ids},
		{"what is found", test_find},
		{"what is not found", test_find_none},
		{"units without a repeated reward", test_find_without_repeat},
		{"what keeps a reward locked", test_lock},
		{"each is found under its own id", test_find_what_id_says},
		{"the ends of a set", test_set_ends},
		{"claims that the season no longer has", test_unknown_claims},
		{"what is left is the naive list, in its order", test_next_is_the_naive_list},
		{"random histories claim each reward once", test_histories_claim_each_once},
		{"a pass bought late", test_bought_late},
		CU_TEST_INFO_NULL,
	};

	seed = tap_seed();
	return tap_main("domain/claimable", tests);
}
