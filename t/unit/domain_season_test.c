/* Tests of domain/season.c; linked with the domain alone. */
#include "domain/season.h"

#include "random_season.h"
#include "tap.h"

enum { RANDOM_SEASONS = 300, RANDOM_QUESTIONS = 200, RANDOM_HEADERS = 20000 };

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static uint64_t seed;

static const struct season_times times = {
	.starts_at_ms = 1000,
	.purchase_closes_at_ms = 2000,
	.ends_at_ms = 3000,
	.claim_until_ms = 4000,
	.late_window_ms = 500,
};

static void
test_state_names(void)
{
	enum season_state state;

	for (unsigned i = 0; i < SEASON_STATE_COUNT; i++) {
		state = SEASON_STATE_COUNT;
		CU_ASSERT_TRUE(season_state_parse(season_state_name((enum season_state)i), &state));
		CU_ASSERT_EQUAL(state, i);
	}
	CU_ASSERT_STRING_EQUAL(season_state_name(SEASON_PURCHASE_CLOSED), "purchase_closed");
	CU_ASSERT_STRING_EQUAL(season_state_name(SEASON_STATE_COUNT), "unknown");
	state = SEASON_ENDED;
	CU_ASSERT_FALSE(season_state_parse("Active", &state));
	CU_ASSERT_FALSE(season_state_parse("", &state));
	CU_ASSERT_EQUAL(state, SEASON_ENDED);
}

static void
test_state_at_boundaries(void)
{
	static const struct {
		int64_t now_ms;
		enum season_state state;
	} cases[] = {
		{INT64_MIN, SEASON_PUBLISHED}, {999, SEASON_PUBLISHED},        {1000, SEASON_ACTIVE},
		{1999, SEASON_ACTIVE},         {2000, SEASON_PURCHASE_CLOSED}, {2999, SEASON_PURCHASE_CLOSED},
		{3000, SEASON_ENDED},          {3999, SEASON_ENDED},           {4000, SEASON_ARCHIVED},
		{INT64_MAX, SEASON_ARCHIVED},
	};
	static const enum season_state moving[] = {SEASON_PUBLISHED, SEASON_ACTIVE, SEASON_PURCHASE_CLOSED};
	static const enum season_state fixed[] = {SEASON_DRAFT, SEASON_ENDED, SEASON_ARCHIVED};

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		for (size_t k = 0; k < COUNT_OF(moving); k++)
			CU_ASSERT_EQUAL(season_state_at(moving[k], &times, cases[i].now_ms), cases[i].state);
		for (size_t k = 0; k < COUNT_OF(fixed); k++)
			CU_ASSERT_EQUAL(season_state_at(fixed[k], &times, cases[i].now_ms), fixed[k]);
	}
}

static void
test_state_skips_empty_spans(void)
{
	struct season_times short_times = {10, 20, 20, 20, 0};

	CU_ASSERT_EQUAL(season_state_at(SEASON_PUBLISHED, &short_times, 19), SEASON_ACTIVE);
	CU_ASSERT_EQUAL(season_state_at(SEASON_PUBLISHED, &short_times, 20), SEASON_ARCHIVED);
}

static void
test_id_valid(void)
{
	char longest[SEASON_ID_MAX + 1];

	memset(longest, 'x', sizeof(longest));
	CU_ASSERT_TRUE(id_valid("a", 1));
	CU_ASSERT_TRUE(id_valid("A-z_0.9", 7));
	CU_ASSERT_TRUE(id_valid(longest, SEASON_ID_MAX));
	CU_ASSERT_FALSE(id_valid(longest, SEASON_ID_MAX + 1));
	CU_ASSERT_FALSE(id_valid("", 0));
	CU_ASSERT_FALSE(id_valid(NULL, 0));
	for (int c = 0; c < 256; c++) {
		const char id[] = {'a', (char)c, 'b'};
		bool allowed = c != 0 && strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-", c);

		CU_ASSERT_EQUAL(id_valid(id, sizeof(id)), allowed);
	}
}

static uint32_t
count_reached(const struct season *season, uint64_t xp)
{
	uint32_t tier = 0;

	while (tier < season->tier_count && season->tier_xp_total[tier + 1] <= xp)
		tier++;
	return tier;
}

static void
test_tier_at(void)
{
	struct random_season random;
	uint64_t state = seed;

	for (int i = 0; i < RANDOM_SEASONS; i++) {
		random_season(&random, &state);
		const struct season *season = &random.season;

		CU_ASSERT_EQUAL(season_tier_at(season, 0), 0);
		CU_ASSERT_EQUAL(season_tier_at(season, XP_MAX - 1), season->tier_count);
		for (uint32_t tier = 1; tier <= season->tier_count; tier++) {
			CU_ASSERT_EQUAL(season_tier_at(season, season->tier_xp_total[tier]), tier);
			CU_ASSERT_EQUAL(season_tier_at(season, season->tier_xp_total[tier] - 1), tier - 1);
		}
		for (int k = 0; k < RANDOM_QUESTIONS; k++) {
			uint64_t xp = random_magnitude(&state, XP_MAX - 1);

			CU_ASSERT_EQUAL(season_tier_at(season, xp), count_reached(season, xp));
		}
	}
}

static void
test_overflow_units(void)
{
	static const uint64_t tier_xp_total[] = {0, 100};
	struct season season = {.tier_count = 1, .tier_xp_total = tier_xp_total};

	season.overflow = (struct overflow){.policy = OVERFLOW_NONE};
	CU_ASSERT_EQUAL(season_overflow_units(&season, XP_MAX - 1), 0);
	season.overflow = (struct overflow){.policy = OVERFLOW_REPEAT, .every = 10, .times = 3};
	CU_ASSERT_EQUAL(season_overflow_units(&season, 0), 0);
	CU_ASSERT_EQUAL(season_overflow_units(&season, 99), 0);
	CU_ASSERT_EQUAL(season_overflow_units(&season, 100), 0);
	CU_ASSERT_EQUAL(season_overflow_units(&season, 109), 0);
	CU_ASSERT_EQUAL(season_overflow_units(&season, 110), 1);
	CU_ASSERT_EQUAL(season_overflow_units(&season, 129), 2);
	CU_ASSERT_EQUAL(season_overflow_units(&season, 130), 3);
	CU_ASSERT_EQUAL(season_overflow_units(&season, 140), 3);
	CU_ASSERT_EQUAL(season_overflow_units(&season, XP_MAX - 1), 3);
	season.overflow = (struct overflow){.policy = OVERFLOW_CURRENCY, .every = 10};
	CU_ASSERT_EQUAL(season_overflow_units(&season, 99), 0);
	CU_ASSERT_EQUAL(season_overflow_units(&season, 140), 4);
	CU_ASSERT_EQUAL(season_overflow_units(&season, XP_MAX - 1), (XP_MAX - 1 - 100) / 10);
	season.overflow.every = 1;
	CU_ASSERT_EQUAL(season_overflow_units(&season, 100), 0);
	CU_ASSERT_EQUAL(season_overflow_units(&season, 101), 1);
}

static void
test_find_pass(void)
{
	static const struct pass passes[] = {{.id = "premium"}, {.id = "premium-plus"}, {.id = "free"}};
	struct season season = {.passes = passes, .pass_count = COUNT_OF(passes)};

	CU_ASSERT_EQUAL(season_find_pass(&season, "premium", 7), 0);
	CU_ASSERT_EQUAL(season_find_pass(&season, "premium-plus and more", 12), 1);
	CU_ASSERT_EQUAL(season_find_pass(&season, "free", 4), 2);
	CU_ASSERT_EQUAL(season_find_pass(&season, "fre", 3), -1);
	CU_ASSERT_EQUAL(season_find_pass(&season, "free\0", 5), -1);
	CU_ASSERT_EQUAL(season_find_pass(&season, "", 0), -1);
}

static void
test_find_reward(void)
{
	struct random_season random;
	uint64_t state = seed;

	for (int i = 0; i < RANDOM_SEASONS; i++) {
		random_season(&random, &state);
		const struct season *season = &random.season;

		for (uint32_t k = 0; k < season->reward_count; k++) {
			char longer[RANDOM_ID_SIZE + 1];
			size_t len = strlen(season->rewards[k].id);

			snprintf(longer, sizeof(longer), "%s~", season->rewards[k].id);
			CU_ASSERT_EQUAL(season_find_reward(season, longer, len), (int)k);
			CU_ASSERT_EQUAL(season_find_reward(season, longer, len + 1), -1);
			/* The NUL counts: it makes another id. */
			CU_ASSERT_EQUAL(season_find_reward(season, season->rewards[k].id, len + 1), -1);
		}
		CU_ASSERT_EQUAL(season_find_reward(season, "", 0), -1);
		CU_ASSERT_EQUAL(season_find_reward(season, "zzz", 3), -1);
	}
}

static void
test_open_passes(void)
{
	static const struct pass passes[] = {
		{.id = "free", .free = true, .includes = 1},
		{.id = "premium", .includes = 2},
		{.id = "plus", .includes = 4 | 2},
		{.id = "event", .free = true, .includes = 8},
	};
	struct season season = {.passes = passes, .pass_count = COUNT_OF(passes)};

	CU_ASSERT_EQUAL(season_free_passes(&season), 1 | 8);
	CU_ASSERT_EQUAL(season_open_passes(&season, 0), 1 | 8);
	CU_ASSERT_EQUAL(season_open_passes(&season, 2), 1 | 2 | 8);
	CU_ASSERT_EQUAL(season_open_passes(&season, 4), 1 | 2 | 4 | 8);
	CU_ASSERT_EQUAL(season_open_passes(&season, UINT32_MAX), 1 | 2 | 4 | 8);
}

/* Opening passes is closed: what is open opens nothing more, and more owned never opens less. */
static void
test_open_passes_random(void)
{
	struct random_season random;
	uint64_t state = seed;

	for (int i = 0; i < RANDOM_SEASONS; i++) {
		random_season(&random, &state);
		for (uint32_t owned = 0; owned < UINT32_C(1) << random.season.pass_count; owned++) {
			uint32_t open = season_open_passes(&random.season, owned);
			uint32_t fewer = owned & (uint32_t)random_next(&state);

			CU_ASSERT_EQUAL(open & owned, owned);
			CU_ASSERT_EQUAL(season_open_passes(&random.season, open), open);
			CU_ASSERT_EQUAL(season_open_passes(&random.season, fewer) & ~open, 0);
		}
	}
}

static const struct localized languages[] = {
	{"en", "English"}, {"de", "Deutsch"}, {"pt-br", "Brasil"}, {"pt", "Portugal"}, {"zh-hant", "Traditional"},
};
static const struct texts texts = {languages, COUNT_OF(languages)};

static void
test_texts_pick(void)
{
	static const struct {
		const char *header;
		const char *language;
	} cases[] = {
		{NULL, "en"},
		{"", "en"},
		{"de", "de"},
		{"DE", "de"},
		{"de-CH", "de"},
		{"de-CH-1996, en", "de"},
		{"fr, de", "de"},
		{"fr", "en"},
		{"pt-BR", "pt-br"},
		{"pt-PT", "pt"},
		{"pt", "pt"},
		/* Lookup shortens the range, never the language that we have. */
		{"zh", "en"},
		{"zh-Hant-TW", "zh-hant"},
		/* A single letter goes together with what followed it. */
		{"de-x-dialect", "de"},
		{"en;q=0.5, de", "de"},
		{"en;q=0.5, de;q=0.4", "en"},
		{"en;q=0.001, de;q=0.002", "de"},
		{"en;q=0.5,de;q=0.50", "en"},
		{"de;q=1.000, en;q=0.999", "de"},
		{"de ; Q=0.9\t,\ten;q=0.8", "de"},
		{"  ,, de ,", "de"},
		/* "*" is every language that the header does not name. */
		{"*", "en"},
		{"en;q=0.1, *", "de"},
		{"*, de;q=0.5", "en"},
		{"fr, *;q=0.5", "en"},
		{"en;q=0, *", "de"},
		{"en;q=0, de;q=0, pt;q=0, *", "zh-hant"},
		{"*;q=0, de;q=0.1", "de"},
		/* Quality 0 refuses, what a longer range says of a longer tag aside. */
		{"de;q=0, de-CH", "en"},
		{"pt;q=0, pt-BR;q=0.5", "pt-br"},
		{"pt-BR;q=0, pt", "pt"},
		{"en;q=0", "en"},
		{"*;q=0", "en"},
		{"en;q=0, *;q=0", "en"},
		{"pt-BR-AO, pt, pt-BR;q=0", "pt"},
		/* What breaks the grammar is passed over, the rest counts. */
		{"de;q=2, pt", "pt"},
		{"de;q=, pt", "pt"},
		{"de;q=0.1234, pt;q=0.1", "pt"},
		{"de;q=1.001, pt", "pt"},
		{"de;q=-1, pt", "pt"},
		{"de;q=.5, pt", "pt"},
		{"de;level=1, pt", "pt"},
		{"de;q=0.5;x=1, pt;q=0.1", "pt"},
		{"de pt, en", "en"},
		{"de_DE, pt", "pt"},
		{"de--CH, pt", "pt"},
		{"-de, pt", "pt"},
		{"de-, pt", "pt"},
		{"*-de, pt", "pt"},
		{"abcdefghi, pt", "pt"},
		{"\xff\xfe, pt", "pt"},
		{";;;;", "en"},
		{"de;", "en"},
		{";q=1", "en"},
	};

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		const struct localized *picked = texts_pick(&texts, cases[i].header);

		CU_ASSERT_PTR_NOT_NULL_FATAL(picked);
		CU_ASSERT_STRING_EQUAL(picked->language, cases[i].language);
		if (strcmp(picked->language, cases[i].language) != 0)
			printf("# Accept-Language: %s gave %s\n", cases[i].header, picked->language);
	}
}

/* RFC 4647 section 3.4: "de-x" is no step on the way from "de-x-dialect" to "de". */
static void
test_texts_pick_single_letters(void)
{
	static const struct localized some[] = {{"en", "English"}, {"de-x", "cut"}, {"de", "Deutsch"}};
	struct texts with_cut = {some, COUNT_OF(some)};

	CU_ASSERT_PTR_EQUAL(texts_pick(&with_cut, "de-x-dialect"), &some[2]);
	CU_ASSERT_PTR_EQUAL(texts_pick(&with_cut, "de-x"), &some[1]);
}

static void
test_texts_pick_none(void)
{
	struct texts none = {NULL, 0};

	CU_ASSERT_PTR_NULL(texts_pick(&none, "en"));
	CU_ASSERT_PTR_NULL(texts_pick(&none, NULL));
}

/* A header may have any length and any number of ranges: one of the texts is always picked. */
static void
test_texts_pick_long_headers(void)
{
	enum { SIZE = 200000 };
	static const char *const patterns[] = {"fr,", "a-", ",", " ", "*,", "q=0,", "xx;q=0.5,", "-", "de;q=0,"};
	char *header = malloc(SIZE + 1);

	CU_ASSERT_PTR_NOT_NULL_FATAL(header);
	for (size_t i = 0; i < COUNT_OF(patterns); i++) {
		size_t len = strlen(patterns[i]);

		for (size_t at = 0; at < SIZE; at++)
			header[at] = patterns[i][at % len];
		header[SIZE] = '\0';
		CU_ASSERT_PTR_EQUAL(texts_pick(&texts, header), &languages[0]);
	}
	free(header);
}

static void
test_texts_pick_random_headers(void)
{
	static const char *const pieces[] = {"de", "en", "pt-BR", "pt", "*", ",", ", ", ";q=",  "0", "0.5",
					     "1",  "0.", "-",     ";",  " ", "x", "\t", "\x80", "q", "zh-hant"};
	uint64_t state = seed;

	for (int i = 0; i < RANDOM_HEADERS; i++) {
		char header[256] = "";
		uint64_t count = random_below(&state, 20);

		while (count-- > 0)
			strcat(header, pieces[random_below(&state, COUNT_OF(pieces))]);
		const struct localized *picked = texts_pick(&texts, header);

		CU_ASSERT_TRUE(picked >= languages && picked < languages + COUNT_OF(languages));
	}
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"states have names", test_state_names},
		{"time moves the state, each boundary to the millisecond", test_state_at_boundaries},
		{"spans without length are skipped", test_state_skips_empty_spans},
		{"ids", test_id_valid},
		{"the tier of any XP on random curves", test_tier_at},
		{"overflow units, each policy at its boundaries", test_overflow_units},
		{"passes are found by id", test_find_pass},
		{"rewards are found by id", test_find_reward},
		{"open passes", test_open_passes},
		{"open passes are closed and grow with what is owned", test_open_passes_random},
		{"the text for an Accept-Language", test_texts_pick},
		{"no range is cut behind a single letter", test_texts_pick_single_letters},
		{"no text from no texts", test_texts_pick_none},
		{"long hostile Accept-Language headers", test_texts_pick_long_headers},
		{"random Accept-Language headers", test_texts_pick_random_headers},
		CU_TEST_INFO_NULL,
	};

	seed = tap_seed();
	return tap_main("domain/season", tests);
}
