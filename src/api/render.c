/* The JSON that goes out: see render.h. */
#include "api/render.h"

#include <stdio.h>

#include "base/fault.h"
#include "base/log.h"
#include "document/season_document.h"

enum { CLAIMED_WORDS = SEASON_REWARDS_MAX / 64 + 1 };

static enum err
parse_season(struct str document, struct season **ret_season)
{
	struct arena arena;
	struct faults faults;

	arena_init(&arena);
	faults_init(&faults, &arena);
	enum err err = season_document_parse(document, ret_season, &faults);

	if (err != ERR_OK && faults.count)
		log_error("stored season document: %s: %s", faults.items[0].pointer, faults.items[0].detail);
	arena_release(&arena);
	return err;
}

/* Passes that the player owns, as bits. One that the season no longer has counts for nothing. */
static uint32_t
owned_passes(const struct season *season, const struct progress_row *row)
{
	uint32_t owned = 0;

	for (uint32_t i = 0; i < row->pass_count; i++) {
		int pass = season_find_pass(season, row->passes[i].pass.ptr, row->passes[i].pass.len);

		if (pass >= 0)
			owned |= 1u << pass;
	}
	return owned;
}

/* Since when this pass is open: by itself, or by the first of those that include it. False: it is not, or it is free.
 */
static bool
open_since(const struct season *season, const struct progress_row *row, uint32_t pass, int64_t *ret_since_ms)
{
	bool open = false;

	for (uint32_t i = 0; i < row->pass_count; i++) {
		int owned = season_find_pass(season, row->passes[i].pass.ptr, row->passes[i].pass.len);

		if (owned < 0 || !(season->passes[owned].includes >> pass & 1u))
			continue;
		if (!open || row->passes[i].since_ms < *ret_since_ms)
			*ret_since_ms = row->passes[i].since_ms;
		open = true;
	}
	return open && !season->passes[pass].free;
}

/* The free passes and those the player has, bought or included in one that was, in the season's order. */
static void
put_passes(const struct season *season, const struct progress_row *row, struct buf *out)
{
	const char *comma = "";

	buf_literal(out, "\"passes\":[");
	for (uint32_t i = 0; i < season->pass_count; i++) {
		int64_t since_ms = 0;
		bool open = open_since(season, row, i, &since_ms);

		if (!open && !season->passes[i].free)
			continue;
		buf_format(out, "%s{\"pass\":\"%s\"", comma, season->passes[i].id);
		if (open) {
			buf_literal(out, ",\"since\":\"");
			buf_time(out, since_ms);
			buf_char(out, '"');
		}
		buf_char(out, '}');
		comma = ",";
	}
	buf_literal(out, "],");
}

static bool
claimed_overflow(const struct progress_row *row, struct str id)
{
	for (uint32_t i = 0; i < row->claim_count; i++)
		if (str_equal(row->claims[i], id))
			return true;
	return false;
}

/* Unit n of a repeat reward is the reward "<id>.<n>". */
static struct str
overflow_reward(const struct season *season, uint64_t unit, char *text, size_t size)
{
	int length = snprintf(text, size, "%s.%llu", season->overflow.reward.id, (unsigned long long)unit);

	return (struct str){text, length > 0 ? (size_t)length : 0};
}

static bool
overflow_open(const struct season *season, uint32_t open_passes)
{
	return season->overflow.policy == OVERFLOW_REPEAT && (open_passes >> season->overflow.reward.pass & 1u);
}

static void
put_claimable(const struct season *season, const struct progress_row *row, const struct standing *standing,
	      struct buf *out)
{
	uint64_t claimed[CLAIMED_WORDS] = {0};
	uint32_t open_passes = season_open_passes(season, owned_passes(season, row));
	uint32_t end = season->tier_rewards[standing->tier + 1];
	const char *comma = "";
	char text[SEASON_ID_MAX + 32];

	for (uint32_t i = 0; i < row->claim_count; i++) {
		int reward = season_find_reward(season, row->claims[i].ptr, row->claims[i].len);

		if (reward >= 0)
			claimed[reward / 64] |= UINT64_C(1) << reward % 64;
	}
	buf_literal(out, "\"claimable\":[");
	for (uint32_t i = 0; i < end; i++) {
		if ((claimed[i / 64] >> i % 64 & 1u) || !reward_unlocked(season, i, standing->tier, open_passes))
			continue;
		buf_cstr(out, comma);
		buf_json_string(out, str_from(season->rewards[i].id));
		comma = ",";
	}
	for (uint64_t unit = 1; overflow_open(season, open_passes) && unit <= standing->overflow_units; unit++) {
		struct str id = overflow_reward(season, unit, text, sizeof(text));

		if (claimed_overflow(row, id))
			continue;
		buf_cstr(out, comma);
		buf_json_string(out, id);
		comma = ",";
	}
	buf_literal(out, "],");
}

static void
put_claimed(const struct progress_row *row, struct buf *out)
{
	buf_literal(out, "\"claimed\":[");
	for (uint32_t i = 0; i < row->claim_count; i++) {
		if (i)
			buf_char(out, ',');
		buf_json_string(out, row->claims[i]);
	}
	buf_literal(out, "],");
}

static void
put_number(struct buf *out, const char *label, uint64_t value)
{
	buf_cstr(out, label);
	buf_u64(out, value);
}

static void
render_progress(const struct season *season, const struct progress_row *row, struct buf *out)
{
	struct standing standing = progress_standing(season, row->xp);

	buf_literal(out, "{\"player\":");
	buf_json_string(out, row->player);
	buf_literal(out, ",\"season\":");
	buf_json_string(out, str_from(season->id));
	put_number(out, ",\"revision\":\"", row->revision);
	put_number(out, "\",\"xp\":", row->xp);
	put_number(out, ",\"tier\":", standing.tier);
	put_number(out, ",\"tier_count\":", season->tier_count);
	put_number(out, ",\"xp_into_tier\":", standing.xp_into_tier);
	put_number(out, ",\"xp_to_next_tier\":", standing.xp_to_next_tier);
	buf_cstr(out, standing.completed ? ",\"completed\":true," : ",\"completed\":false,");
	if (season->overflow.policy != OVERFLOW_NONE) {
		put_number(out, "\"overflow_units\":", standing.overflow_units);
		buf_char(out, ',');
	}
	put_passes(season, row, out);
	put_claimable(season, row, &standing, out);
	put_claimed(row, out);
	put_number(out, "\"season_revision\":\"", season->revision);
	if (row->revision == 0) {
		buf_literal(out, "\",\"updated_at\":null}");
	} else {
		buf_literal(out, "\",\"updated_at\":\"");
		buf_time(out, row->updated_at_ms);
		buf_literal(out, "\"}");
	}
}

static void
put_tier(const struct season *season, uint32_t tier, uint32_t open_passes, struct buf *out)
{
	const char *comma = "";

	buf_format(out, "{\"tier\":%u,\"unlocked\":[", tier);
	for (uint32_t i = season->tier_rewards[tier]; i < season->tier_rewards[tier + 1]; i++) {
		if (!reward_unlocked(season, i, tier, open_passes))
			continue;
		buf_cstr(out, comma);
		buf_json_string(out, str_from(season->rewards[i].id));
		comma = ",";
	}
	buf_literal(out, "]}");
}

static void
put_overflow(const struct season *season, const struct grant_effect *effect, uint32_t open_passes, struct buf *out)
{
	char text[SEASON_ID_MAX + 32];
	const char *comma = "";

	put_number(out, ",\"overflow\":{\"units_before\":", effect->overflow_before);
	put_number(out, ",\"units_after\":", effect->overflow_after);
	buf_literal(out, ",\"unlocked\":[");
	for (uint64_t unit = effect->overflow_before + 1;
	     overflow_open(season, open_passes) && unit <= effect->overflow_after; unit++) {
		buf_cstr(out, comma);
		buf_json_string(out, overflow_reward(season, unit, text, sizeof(text)));
		comma = ",";
	}
	buf_literal(out, "]}");
}

static void
render_unlocked(const struct season *season, const struct progress_row *row, const struct grant_effect *effect,
		struct buf *out)
{
	uint32_t open_passes = season_open_passes(season, owned_passes(season, row));

	buf_literal(out, "\"tiers\":[");
	for (uint32_t tier = effect->tier_before + 1; tier <= effect->tier_after; tier++) {
		if (tier > effect->tier_before + 1)
			buf_char(out, ',');
		put_tier(season, tier, open_passes, out);
	}
	buf_char(out, ']');
	if (effect->overflow_after > effect->overflow_before)
		put_overflow(season, effect, open_passes, out);
}

const struct codec_port render_codec = {
	.parse_season = parse_season,
	.free_season = season_free,
	.render_progress = render_progress,
	.render_unlocked = render_unlocked,
};

void
render_grant(const struct grant_row *row, struct buf *out)
{
	char id[UUID_TEXT_SIZE];

	uuid_format(&row->id, id);
	buf_format(out, "\"grant\":\"%s\",\"player\":", id);
	buf_json_string(out, row->player);
	buf_literal(out, ",\"season\":");
	buf_json_string(out, str_from(row->season));
	put_number(out, ",\"amount\":", row->amount);
	put_number(out, ",\"xp_before\":", row->effect.xp_before);
	put_number(out, ",\"xp_after\":", row->effect.xp_after);
	put_number(out, ",\"tier_before\":", row->effect.tier_before);
	put_number(out, ",\"tier_after\":", row->effect.tier_after);
	buf_char(out, ',');
	buf_str(out, row->unlocked);
	put_number(out, ",\"revision\":\"", row->revision);
	buf_literal(out, "\",\"granted_at\":\"");
	buf_time(out, row->granted_at_ms);
	buf_char(out, '"');
}
