/*
 * The season document: see season_document.h and docs/season.md. Members are read by tables (document/decode.h); what
 * members mean to each other is checked here, as far as they could be read. It must never stop at the first fault, nor
 * hand out a season that has one.
 */
#include "document/season_document.h"

#include <inttypes.h>

#include "document/season_builder.h"

enum { LATE_WINDOW_MAX_S = 30 * 86400 };

/* A season with the arena that holds it and all it points to. */
struct owned_season {
	struct season season; /* first: season_free() is given its address */
	struct arena arena;
};

/* Times are -1 until they are read, pointers NULL. */
struct season_draft {
	const char *id;
	struct texts name;
	int64_t starts_at_ms;
	int64_t purchase_closes_at_ms;
	int64_t ends_at_ms;
	int64_t claim_until_ms;
	int64_t late_window_s;
	const struct json *tiers;
	const struct json *passes;
	const struct json *rewards;
	const struct json *overflow;
	const struct json *tier_price;
};

struct tier_draft {
	int64_t tier; /* 0 until it is read */
	int64_t xp;
};

static const struct field season_fields[] = {
	{"$schema", decode_ignored, 0, false, 0, 0},
	{"comment", decode_ignored, 0, false, 0, 0},
	{"season", decode_id, offsetof(struct season_draft, id), true, 0, 0},
	{"name", decode_texts, offsetof(struct season_draft, name), true, 0, 0},
	{"starts_at", decode_time, offsetof(struct season_draft, starts_at_ms), true, 0, 0},
	{"purchase_closes_at", decode_time, offsetof(struct season_draft, purchase_closes_at_ms), true, 0, 0},
	{"ends_at", decode_time, offsetof(struct season_draft, ends_at_ms), true, 0, 0},
	{"claim_until", decode_time, offsetof(struct season_draft, claim_until_ms), true, 0, 0},
	{"late_window_s", decode_integer, offsetof(struct season_draft, late_window_s), false, 0, LATE_WINDOW_MAX_S},
	{"tiers", decode_array, offsetof(struct season_draft, tiers), true, 0, 0},
	{"passes", decode_array, offsetof(struct season_draft, passes), true, 0, 0},
	{"rewards", decode_array, offsetof(struct season_draft, rewards), true, 0, 0},
	{"overflow", decode_object, offsetof(struct season_draft, overflow), false, 0, 0},
	{"tier_price", decode_object, offsetof(struct season_draft, tier_price), false, 0, 0},
};

static const struct field tier_fields[] = {
	{"tier", decode_integer, offsetof(struct tier_draft, tier), true, 1, SEASON_TIERS_MAX},
	{"xp", decode_integer, offsetof(struct tier_draft, xp), true, 1, XP_MAX - 1},
};

static const struct {
	size_t earlier;
	size_t later;
	bool may_be_equal;
	const char *name; /* of the later one */
	const char *detail;
} time_order[] = {
	{offsetof(struct season_draft, starts_at_ms), offsetof(struct season_draft, purchase_closes_at_ms), false,
	 "purchase_closes_at", "must be after starts_at"},
	{offsetof(struct season_draft, purchase_closes_at_ms), offsetof(struct season_draft, ends_at_ms), true,
	 "ends_at", "must not be before purchase_closes_at"},
	{offsetof(struct season_draft, ends_at_ms), offsetof(struct season_draft, claim_until_ms), true, "claim_until",
	 "must not be before ends_at"},
};

static void
check_times(struct season_builder *builder, const struct place *root, const struct season_draft *draft)
{
	for (size_t i = 0; i < COUNT_OF(time_order); i++) {
		int64_t earlier = *(const int64_t *)((const char *)draft + time_order[i].earlier);
		int64_t later = *(const int64_t *)((const char *)draft + time_order[i].later);

		if (earlier < 0 || later < 0 || earlier < later || (earlier == later && time_order[i].may_be_equal))
			continue;
		decoder_member_fault(&builder->decoder, root, time_order[i].name, "times_out_of_order",
				     time_order[i].detail);
	}
}

static void
check_curve(struct season_builder *builder, const struct place *list, const uint64_t *tier_xp_total, uint32_t count)
{
	for (uint32_t i = 1; i <= count; i++) {
		struct place at = place_element(list, i - 1);

		if (tier_xp_total[i] < XP_MAX)
			continue;
		decoder_member_fault(&builder->decoder, &at, "xp", "xp_total_too_large",
				     "the tiers up to this one must cost less than 10^15 XP together");
		return;
	}
}

static void
build_tiers(struct season_builder *builder, const struct place *root, const struct json *array)
{
	struct place list = {root, "tiers", 0};
	uint32_t count = decoder_list_size(&builder->decoder, &list, array, 1, SEASON_TIERS_MAX);
	uint64_t *tier_xp = ARENA_ARRAY(builder->arena, count + 1, uint64_t);
	uint64_t *tier_xp_total = ARENA_ARRAY(builder->arena, count + 1, uint64_t);
	int64_t expected = 1;
	uint32_t i = 0;

	builder->tiers_known = count;
	for (const struct json *value = json_first(array); value && i < count; value = json_next(value)) {
		struct place at = place_element(&list, i++);
		struct tier_draft draft = {0, 0};

		decode_members(&builder->decoder, &at, value, tier_fields, COUNT_OF(tier_fields), &draft);
		tier_xp[i] = (uint64_t)draft.xp;
		tier_xp_total[i] = tier_xp_total[i - 1] + tier_xp[i];
		if (draft.tier != 0 && draft.tier != expected)
			decoder_fault(&builder->decoder, &(struct place){&at, "tier", 0}, "tier_gap",
				      "tiers are numbered 1, 2, 3 ..: this one must be %" PRId64, expected);
		expected = (draft.tier ? draft.tier : expected) + 1;
		if (draft.tier > builder->tiers_known)
			builder->tiers_known = draft.tier;
	}
	check_curve(builder, &list, tier_xp_total, count);
	builder->season->tier_count = count;
	builder->season->tier_xp = tier_xp;
	builder->season->tier_xp_total = tier_xp_total;
}

static void
build_head(struct season_builder *builder, const struct place *root, const struct season_draft *draft)
{
	if (draft->id && strcmp(draft->id, "current") == 0)
		decoder_member_fault(&builder->decoder, root, "season", "reserved_id",
				     "current stands for the season that is active");
	check_times(builder, root, draft);
	builder->season->id = draft->id;
	builder->season->stored_state = SEASON_DRAFT;
	builder->season->name = draft->name;
	builder->season->times = (struct season_times){
		.starts_at_ms = draft->starts_at_ms,
		.purchase_closes_at_ms = draft->purchase_closes_at_ms,
		.ends_at_ms = draft->ends_at_ms,
		.claim_until_ms = draft->claim_until_ms,
		.late_window_ms = draft->late_window_s * 1000,
	};
}

static void
build_season(struct season_builder *builder, const struct json *document)
{
	struct place root = {NULL, NULL, 0};
	struct season_draft draft = {
		.starts_at_ms = -1,
		.purchase_closes_at_ms = -1,
		.ends_at_ms = -1,
		.claim_until_ms = -1,
	};

	decode_members(&builder->decoder, &root, document, season_fields, COUNT_OF(season_fields), &draft);
	build_head(builder, &root, &draft);
	if (draft.tiers)
		build_tiers(builder, &root, draft.tiers);
	if (draft.passes)
		season_builder_passes(builder, &root, draft.passes);
	if (draft.rewards)
		season_builder_rewards(builder, &root, draft.rewards);
	if (draft.overflow)
		season_builder_overflow(builder, &root, draft.overflow);
	if (draft.tier_price)
		season_builder_price(builder, &root, "tier_price", draft.tier_price, &builder->season->tier_price);
}

/* Builds the season in arena; NULL if the document had a fault. */
static struct owned_season *
build(struct arena *arena, const struct json *document, struct faults *faults)
{
	struct owned_season *owned = ARENA_NEW(arena, struct owned_season);
	struct season_builder builder = {.arena = arena, .season = &owned->season};

	decoder_init(&builder.decoder, arena, faults);
	size_t before = decoder_fault_count(&builder.decoder);

	build_season(&builder, document);
	bool is_clean = decoder_fault_count(&builder.decoder) == before;

	decoder_release(&builder.decoder);
	if (!is_clean)
		return NULL;
	season_builder_finish(&builder);
	return owned;
}

enum err
season_document_parse(struct str text, struct season **ret_season, struct faults *faults)
{
	struct arena arena;
	struct json *document;
	char detail[JSON_DETAIL_SIZE];

	if (json_parse(text, &document, detail) != ERR_OK) {
		faults_add(faults, "", "malformed_json", "%s", detail);
		return ERR_SEASON_INVALID;
	}
	arena_init(&arena);
	struct owned_season *owned = build(&arena, document, faults);

	json_free(document);
	if (!owned) {
		arena_release(&arena);
		return ERR_SEASON_INVALID;
	}
	owned->arena = arena;
	*ret_season = &owned->season;
	return ERR_OK;
}

void
season_free(struct season *season)
{
	if (!season)
		return;
	/* The arena stands in the memory that it gives back. */
	struct arena arena = ((struct owned_season *)season)->arena;

	arena_release(&arena);
}
