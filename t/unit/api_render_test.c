/*
 * What is written out of a player's progress: over random seasons and rows it is JSON, and says what the domain says.
 */
#include "api/render.h"

#include <stdio.h>

#include "base/json.h"
#include "random_season.h"
#include "tap.h"

enum { ROUNDS = 400, CLAIMS_MAX = 40, OWNED_MAX = RANDOM_PASSES_MAX + 1 };

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static uint64_t seed;

struct random_row {
	struct progress_row row;
	struct owned_pass passes[OWNED_MAX];
	struct str claims[CLAIMS_MAX];
	char units[CLAIMS_MAX][32];
};

/* Passes that are not owned for certain, a pass that the season no longer has, claims of rewards and of overflow units.
 */
static void
random_row(struct random_row *random, const struct season *season, const struct season_entry *entry)
{
	struct progress_row *row = &random->row;
	uint64_t last = season->tier_xp_total[season->tier_count];

	*row = (struct progress_row){.player = STR("p-1"), .season = entry, .exists = true};
	row->passes = random->passes;
	row->claims = random->claims;
	row->xp = random_below(&seed, 4) ? random_below(&seed, last + 2) : random_magnitude(&seed, XP_MAX - 1);
	row->revision = random_below(&seed, 3) ? random_magnitude(&seed, 1000000) : 0;
	row->updated_at_ms = (int64_t)random_below(&seed, 4000000000000);
	for (uint32_t i = 1; i < season->pass_count; i++)
		if (random_below(&seed, 2))
			random->passes[row->pass_count++] =
				(struct owned_pass){str_from(season->passes[i].id), 5, random_below(&seed, 4) != 0};
	if (random_below(&seed, 4) == 0)
		random->passes[row->pass_count++] = (struct owned_pass){STR("gone"), 5, true};
	for (uint32_t i = 0; i < season->reward_count && row->claim_count < CLAIMS_MAX - 1; i++)
		if (random_below(&seed, 3) == 0)
			random->claims[row->claim_count++] = str_from(season->rewards[i].id);
	/* What the season no longer has, and the store's order is any. */
	for (uint64_t i = random_below(&seed, 4); i > 0 && row->claim_count < CLAIMS_MAX - 1; i--) {
		char *text = random->units[i];

		snprintf(text, sizeof(random->units[i]), "gone-%c", (int)('z' - i));
		random->claims[row->claim_count++] = str_from(text);
	}
	if (season->overflow.policy == OVERFLOW_REPEAT) {
		char *text = random->units[0];

		snprintf(text, sizeof(random->units[0]), "again.%d", 1 + (int)random_below(&seed, 3));
		random->claims[row->claim_count++] = str_from(text);
	}
	for (uint32_t i = row->claim_count; i > 1; i--) {
		uint64_t other = random_below(&seed, i);
		struct str swapped = random->claims[i - 1];

		random->claims[i - 1] = random->claims[other];
		random->claims[other] = swapped;
	}
}

static void
make_season(struct random_season *random)
{
	random_season(random, &seed);
	random->season.revision = 1 + random_below(&seed, 1000);
	random->season.overflow.reward =
		(struct reward){.id = "again", .pass = (uint32_t)random_below(&seed, random->season.pass_count)};
}

static uint32_t
open_passes_of(const struct season *season, const struct progress_row *row)
{
	uint32_t owned = 0;

	for (uint32_t i = 0; i < row->pass_count; i++) {
		int pass = season_find_pass(season, row->passes[i].pass.ptr, row->passes[i].pass.len);

		if (pass >= 0 && row->passes[i].active)
			owned |= UINT32_C(1) << pass;
	}
	return season_open_passes(season, owned);
}

static bool
is_claimed(const struct progress_row *row, const char *id)
{
	for (uint32_t i = 0; i < row->claim_count; i++)
		if (str_equal(row->claims[i], str_from(id)))
			return true;
	return false;
}

/* How often an array of texts has this one. */
static unsigned
occurrences(const struct json *array, const char *text)
{
	unsigned count = 0;
	struct str item;

	for (const struct json *each = json_first(array); each; each = json_next(each))
		count += json_get_string(each, &item) && str_equal(item, str_from(text));
	return count;
}

static int64_t
number_of(const struct json *object, const char *name)
{
	int64_t value = -1;

	CU_ASSERT_TRUE(json_get_integer(json_member(object, name), &value));
	return value;
}

/* A decimal number in a text. */
static uint64_t
text_number_of(const struct json *object, const char *name)
{
	struct str text = STR("none");
	unsigned long long value = 0;

	CU_ASSERT_TRUE(json_get_string(json_member(object, name), &text));
	CU_ASSERT_EQUAL(sscanf(text.ptr, "%llu", &value), 1);
	return value;
}

/* Where a claimed id stands in the fixed order: the season's rewards, then units, then what it no longer has. */
static long
place_of(const struct season *season, const struct json *item)
{
	struct claimable claimable;
	struct str id = STR_NONE;

	CU_ASSERT_TRUE(json_get_string(item, &id));
	if (!claimable_find(season, id.ptr, id.len, &claimable))
		return 1000000;
	return claimable.unit ? 10000 + (long)claimable.unit : claimable.reward - season->rewards;
}

static void
check_claimed_order(const struct json *claimed, const struct season *season)
{
	const struct json *last = NULL;

	for (const struct json *each = json_first(claimed); each; last = each, each = json_next(each)) {
		struct str before;
		struct str after;

		if (!last)
			continue;
		CU_ASSERT(place_of(season, last) <= place_of(season, each));
		if (place_of(season, each) == 1000000 && place_of(season, last) == 1000000)
			CU_ASSERT(json_get_string(last, &before) && json_get_string(each, &after) &&
				  str_compare(before, after) < 0);
	}
}

static void
check_rewards(const struct json *progress, const struct season *season, const struct progress_row *row)
{
	const struct json *claimable = json_member(progress, "claimable");
	uint32_t open = open_passes_of(season, row);
	struct standing standing = progress_standing(season, row->xp);
	size_t expected = 0;
	char unit_id[32];

	for (uint32_t i = 0; i < season->reward_count; i++) {
		const char *id = season->rewards[i].id;
		unsigned due = reward_unlocked(season, i, standing.tier, open) && !is_claimed(row, id);

		CU_ASSERT_EQUAL(occurrences(claimable, id), due);
		expected += due;
	}
	for (uint64_t unit = 1; season->overflow.policy == OVERFLOW_REPEAT && unit <= standing.overflow_units; unit++) {
		bool due = open >> season->overflow.reward.pass & 1;

		snprintf(unit_id, sizeof(unit_id), "again.%llu", (unsigned long long)unit);
		due = due && !is_claimed(row, unit_id);
		expected += due;
		CU_ASSERT(unit > 3 || occurrences(claimable, unit_id) == due);
	}
	CU_ASSERT_EQUAL(json_count(claimable), expected);
	CU_ASSERT_EQUAL(json_count(json_member(progress, "claimed")), row->claim_count);
	check_claimed_order(json_member(progress, "claimed"), season);
	for (uint32_t i = 0; i < row->claim_count; i++)
		CU_ASSERT_EQUAL(occurrences(json_member(progress, "claimed"), row->claims[i].ptr), 1);
}

static void
check_progress(const struct json *progress, const struct season *season, const struct progress_row *row)
{
	struct standing standing = progress_standing(season, row->xp);
	struct str text;
	bool completed = !standing.completed;

	CU_ASSERT(json_get_string(json_member(progress, "player"), &text) && str_equal(text, row->player));
	CU_ASSERT(json_get_string(json_member(progress, "season"), &text) && str_equal(text, STR("random")));
	CU_ASSERT_EQUAL(text_number_of(progress, "revision"), row->revision);
	CU_ASSERT_EQUAL(text_number_of(progress, "season_revision"), season->revision);
	CU_ASSERT_EQUAL(number_of(progress, "xp"), (int64_t)row->xp);
	CU_ASSERT_EQUAL(number_of(progress, "tier"), standing.tier);
	CU_ASSERT_EQUAL(number_of(progress, "tier_count"), season->tier_count);
	CU_ASSERT_EQUAL(number_of(progress, "xp_into_tier"), (int64_t)standing.xp_into_tier);
	CU_ASSERT_EQUAL(number_of(progress, "xp_to_next_tier"), (int64_t)standing.xp_to_next_tier);
	CU_ASSERT(json_get_bool(json_member(progress, "completed"), &completed) && completed == standing.completed);
	if (season->overflow.policy == OVERFLOW_NONE) {
		CU_ASSERT_PTR_NULL(json_member(progress, "overflow_units"));
	} else {
		CU_ASSERT_EQUAL(number_of(progress, "overflow_units"), (int64_t)standing.overflow_units);
	}
	CU_ASSERT_EQUAL(json_count(json_member(progress, "passes")),
			(size_t)__builtin_popcount(open_passes_of(season, row)));
	CU_ASSERT_EQUAL(json_type(json_member(progress, "updated_at")), row->revision ? JSON_STRING : JSON_NULL);
}

/* Parses what a buffer holds and empties it; the caller frees it. */
static struct json *
parse(struct buf *out)
{
	struct json *root = NULL;
	char detail[JSON_DETAIL_SIZE];

	if (json_parse(buf_view(out), &root, detail) != ERR_OK)
		printf("# %s in %.300s\n", detail, buf_text(out));
	CU_ASSERT_PTR_NOT_NULL_FATAL(root);
	buf_clear(out);
	return root;
}

static void
test_progress(void)
{
	static struct random_season random;
	static struct random_row row;
	static const struct season_entry entry = {.id = "random"};
	struct buf out;

	buf_init(&out);
	for (int i = 0; i < ROUNDS; i++) {
		make_season(&random);
		random_row(&row, &random.season, &entry);
		render_codec.render_progress(&random.season, &row.row, &out);
		struct json *progress = parse(&out);

		check_progress(progress, &random.season, &row.row);
		check_rewards(progress, &random.season, &row.row);
		json_free(progress);
	}
	buf_release(&out);
}

/* Nobody: 0 XP, revision "0" and the free passes. */
static void
test_nobody(void)
{
	static struct random_season random;
	static const struct season_entry entry = {.id = "random"};
	struct progress_row row = {.player = STR("x"), .season = &entry};
	struct buf out;

	buf_init(&out);
	make_season(&random);
	render_codec.render_progress(&random.season, &row, &out);
	struct json *progress = parse(&out);

	check_progress(progress, &random.season, &row);
	CU_ASSERT_EQUAL(json_count(json_member(progress, "passes")), 1);
	CU_ASSERT_EQUAL(json_count(json_member(progress, "claimed")), 0);
	json_free(progress);
	buf_release(&out);
}

/* Every crossed tier once, with the rewards that it unlocks for this player, and no other. */
static void
check_tiers(const struct json *tiers, const struct season *season, const struct grant_effect *effect, uint32_t open)
{
	uint32_t tier = effect->tier_before;

	for (const struct json *each = json_first(tiers); each; each = json_next(each)) {
		const struct json *unlocked = json_member(each, "unlocked");
		size_t expected = 0;

		CU_ASSERT_EQUAL(number_of(each, "tier"), ++tier);
		for (uint32_t i = 0; i < season->reward_count; i++) {
			bool due = season->rewards[i].tier == tier && (open >> season->rewards[i].pass & 1);

			CU_ASSERT(season->rewards[i].tier != tier ||
				  occurrences(unlocked, season->rewards[i].id) == due);
			expected += due;
		}
		CU_ASSERT_EQUAL(json_count(unlocked), expected);
	}
	CU_ASSERT_EQUAL(tier, effect->tier_after);
}

static void
check_overflow(const struct json *overflow, const struct season *season, const struct grant_effect *effect,
	       uint32_t open)
{
	uint64_t units = effect->overflow_after - effect->overflow_before;
	bool due = season->overflow.policy == OVERFLOW_REPEAT && (open >> season->overflow.reward.pass & 1);
	char unit_id[32];

	if (units == 0) {
		CU_ASSERT_PTR_NULL(overflow);
		return;
	}
	CU_ASSERT_EQUAL(number_of(overflow, "units_before"), (int64_t)effect->overflow_before);
	CU_ASSERT_EQUAL(number_of(overflow, "units_after"), (int64_t)effect->overflow_after);
	CU_ASSERT_EQUAL(json_count(json_member(overflow, "unlocked")), due ? units : 0);
	snprintf(unit_id, sizeof(unit_id), "again.%llu", (unsigned long long)effect->overflow_after);
	CU_ASSERT_EQUAL(occurrences(json_member(overflow, "unlocked"), unit_id), due);
}

static void
test_unlocked(void)
{
	static struct random_season random;
	static struct random_row row;
	static const struct season_entry entry = {.id = "random"};
	struct buf out;

	buf_init(&out);
	for (int i = 0; i < ROUNDS; i++) {
		struct grant_effect effect;

		make_season(&random);
		random_row(&row, &random.season, &entry);
		if (grant_apply(&random.season, row.row.xp, random_magnitude(&seed, XP_GRANT_MAX), &effect) != ERR_OK)
			continue;
		row.row.xp = effect.xp_after;
		buf_char(&out, '{');
		render_codec.render_unlocked(&random.season, &row.row, &effect, &out);
		buf_char(&out, '}');
		struct json *unlocked = parse(&out);
		uint32_t open = open_passes_of(&random.season, &row.row);

		check_tiers(json_member(unlocked, "tiers"), &random.season, &effect, open);
		check_overflow(json_member(unlocked, "overflow"), &random.season, &effect, open);
		json_free(unlocked);
	}
	buf_release(&out);
}

/* What two grants in a row unlock is what one grant of their sum does: nothing is told twice or left out. */
static void
test_unlocked_adds_up(void)
{
	static struct random_season random;
	static const struct season_entry entry = {.id = "random"};
	struct progress_row row = {.player = STR("x"), .season = &entry};
	struct buf out;

	buf_init(&out);
	for (int i = 0; i < ROUNDS; i++) {
		struct grant_effect first;
		struct grant_effect second;
		size_t tiers = 0;

		make_season(&random);
		row.xp = 0;
		CU_ASSERT_EQUAL(grant_apply(&random.season, 0, random_magnitude(&seed, XP_GRANT_MAX), &first), ERR_OK);
		CU_ASSERT_EQUAL(
			grant_apply(&random.season, first.xp_after, random_magnitude(&seed, XP_GRANT_MAX), &second),
			ERR_OK);
		for (int part = 0; part < 2; part++) {
			buf_char(&out, '{');
			render_codec.render_unlocked(&random.season, &row, part ? &second : &first, &out);
			buf_char(&out, '}');
			struct json *unlocked = parse(&out);

			tiers += json_count(json_member(unlocked, "tiers"));
			json_free(unlocked);
		}
		CU_ASSERT_EQUAL(tiers, season_tier_at(&random.season, second.xp_after));
	}
	buf_release(&out);
}

static void
test_grant(void)
{
	struct grant_row row = {
		.player = STR("p-1"),
		.season = "s1",
		.amount = 50,
		.effect = {.xp_before = 980, .xp_after = 1030, .tier_before = 0, .tier_after = 1},
		.unlocked = STR("\"tiers\":[{\"tier\":1,\"unlocked\":[\"t1-free-coins\"]}]"),
		.revision = 18,
		.granted_at_ms = 1700000000123,
	};
	struct buf out;

	CU_ASSERT_TRUE(uuid_parse(STR("018bcfe5-687b-7abc-8def-0123456789ab"), &row.id));
	buf_init(&out);
	render_grant(&row, &out);
	CU_ASSERT_STRING_EQUAL(
		buf_text(&out),
		"\"grant\":\"018bcfe5-687b-7abc-8def-0123456789ab\",\"player\":\"p-1\",\"season\":\"s1\",\"amount\":50,"
		"\"xp_before\":980,\"xp_after\":1030,\"tier_before\":0,\"tier_after\":1,"
		"\"tiers\":[{\"tier\":1,\"unlocked\":[\"t1-free-coins\"]}],\"revision\":\"18\","
		"\"granted_at\":\"2023-11-14T22:13:20.123Z\"");
	buf_release(&out);
}

/* Two passes of the season and two that it no longer has, one of each taken back. */
static void
test_state(void)
{
	static struct random_season random;
	static const struct season_entry entry = {.id = "random"};
	struct owned_pass passes[] = {
		{STR("zz"), 5, true}, {STR("p2"), 5, true},  {STR("p1"), 5, false},
		{STR("aa"), 5, true}, {STR("mm"), 5, false}, {STR("p0"), 5, true},
	};
	struct str claims[] = {STR("x"), STR("y")};
	struct progress_row row = {.player = STR("x"), .season = &entry, .xp = 0, .revision = 7};
	struct buf out;

	do
		make_season(&random);
	while (random.season.pass_count < 3);
	buf_init(&out);
	render_codec.render_state(&random.season, &row, &out);
	CU_ASSERT_STRING_EQUAL(buf_text(&out), "{\"revision\":\"7\",\"xp\":0,\"tier\":0,\"passes\":[],\"claims\":0}");
	row.passes = passes;
	row.pass_count = COUNT_OF(passes);
	row.claims = claims;
	row.claim_count = COUNT_OF(claims);
	row.xp = random.season.tier_xp_total[1];
	buf_clear(&out);
	render_codec.render_state(&random.season, &row, &out);
	struct json *state = parse(&out);
	const struct json *each = json_first(json_member(state, "passes"));
	static const char *const expected[] = {"p0", "p2", "aa", "zz"};
	struct str id;

	CU_ASSERT(number_of(state, "tier") == 1 && number_of(state, "claims") == 2);
	CU_ASSERT_EQUAL(number_of(state, "xp"), (int64_t)row.xp);
	for (size_t i = 0; i < COUNT_OF(expected); i++, each = json_next(each))
		CU_ASSERT(json_get_string(each, &id) && str_equal(id, str_from(expected[i])));
	CU_ASSERT_PTR_NULL(each);
	json_free(state);
	buf_release(&out);
}

static void
test_claims(void)
{
	struct claim_outcome outcomes[] = {
		{.reward = STR("a"), .status = CLAIM_CLAIMED},
		{.reward = STR("b.1"), .status = CLAIM_ALREADY_CLAIMED},
		{.reward = STR("c"), .status = CLAIM_LOCKED, .missing_tier = 5, .missing_pass = "premium"},
		{.reward = STR("d"), .status = CLAIM_LOCKED, .missing_tier = 5},
		{.reward = STR("e"), .status = CLAIM_LOCKED, .missing_pass = "premium"},
		{.reward = STR("f"), .status = CLAIM_UNKNOWN},
	};
	struct buf out;

	CU_ASSERT_TRUE(uuid_parse(STR("018bcfe5-687b-7abc-8def-0123456789ab"), &outcomes[0].delivery));
	buf_init(&out);
	render_codec.render_claims(outcomes, 0, 3, &out);
	CU_ASSERT_STRING_EQUAL(buf_text(&out), "\"revision\":\"3\",\"results\":[]");
	buf_clear(&out);
	render_codec.render_claims(outcomes, COUNT_OF(outcomes), 18, &out);
	CU_ASSERT_STRING_EQUAL(
		buf_text(&out),
		"\"revision\":\"18\",\"results\":["
		"{\"reward\":\"a\",\"status\":\"claimed\",\"delivery\":\"018bcfe5-687b-7abc-8def-0123456789ab\"},"
		"{\"reward\":\"b.1\",\"status\":\"already_claimed\"},"
		"{\"reward\":\"c\",\"status\":\"locked\",\"missing\":{\"tier\":5,\"pass\":\"premium\"}},"
		"{\"reward\":\"d\",\"status\":\"locked\",\"missing\":{\"tier\":5}},"
		"{\"reward\":\"e\",\"status\":\"locked\",\"missing\":{\"pass\":\"premium\"}},"
		"{\"reward\":\"f\",\"status\":\"unknown\"}]");
	buf_release(&out);
}

static void
test_stored_document_must_be_readable(void)
{
	struct season *season = NULL;

	CU_ASSERT_NOT_EQUAL(render_codec.parse_season(STR("{}"), &season), ERR_OK);
	CU_ASSERT_NOT_EQUAL(render_codec.parse_season(STR("no JSON"), &season), ERR_OK);
	CU_ASSERT_NOT_EQUAL(render_codec.parse_season(STR_NONE, &season), ERR_OK);
	CU_ASSERT_PTR_NULL(season);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"progress over random seasons and rows", test_progress},
		{"progress of nobody", test_nobody},
		{"what a grant unlocks", test_unlocked},
		{"what grants unlock adds up", test_unlocked_adds_up},
		{"a grant", test_grant},
		{"the state of an audit entry", test_state},
		{"what became of claims", test_claims},
		{"a stored document must be readable", test_stored_document_must_be_readable},
		CU_TEST_INFO_NULL,
	};

	seed = tap_seed();
	return tap_main("api/render", tests);
}
