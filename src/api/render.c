/* The JSON that goes out: see render.h. */
#include "api/render.h"

#include <stdlib.h>

#include "api/members.h"
#include "base/fault.h"
#include "base/log.h"
#include "document/season_document.h"
#include "service/holdings.h"

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

/* Since when this pass is open: by itself, or by the first of those that include it. False: it is not, or it is free.
 */
static bool
open_since(const struct season *season, const struct progress_row *row, uint32_t pass, int64_t *ret_since_ms)
{
	bool open = false;

	for (uint32_t i = 0; i < row->pass_count; i++) {
		const struct owned_pass *each = &row->passes[i];
		int owned = each->active ? season_find_pass(season, each->pass.ptr, each->pass.len) : -1;

		if (owned < 0 || !(season->passes[owned].includes >> pass & 1u))
			continue;
		if (!open || each->since_ms < *ret_since_ms)
			*ret_since_ms = each->since_ms;
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

/* There is nothing in an id that JSON would escape. */
static void
put_id(const struct claimable *claimable, const char **comma, struct buf *out)
{
	buf_cstr(out, *comma);
	buf_char(out, '"');
	out->len += claimable_id(claimable, buf_reserve(out, CLAIMABLE_ID_SIZE));
	buf_char(out, '"');
	*comma = ",";
}

static void
put_claimable(const struct season *season, const struct progress_row *row, const struct claimed_set *claimed,
	      struct buf *out)
{
	uint32_t open_passes = holdings_open(season, row);
	struct claimable at = {0};
	const char *comma = "";

	buf_literal(out, "\"claimable\":[");
	while (claimable_next(season, claimed, row->xp, open_passes, &at))
		put_id(&at, &comma, out);
	buf_literal(out, "],");
}

static int
compare_ids(const void *a, const void *b)
{
	return str_compare(*(const struct str *)a, *(const struct str *)b);
}

/* What was claimed and is not of this season any more, in byte order. Seldom: an edit has taken rewards away. */
static void
put_unknown_claims(const struct season *season, const struct progress_row *row, const char *comma, struct buf *out)
{
	struct claimable claimable;
	struct arena arena;
	size_t count = 0;

	arena_init(&arena);
	struct str *ids = ARENA_ARRAY(&arena, row->claim_count, struct str);

	for (uint32_t i = 0; i < row->claim_count; i++)
		if (!claimable_find(season, row->claims[i].ptr, row->claims[i].len, &claimable))
			ids[count++] = row->claims[i];
	qsort(ids, count, sizeof(*ids), compare_ids);
	for (size_t i = 0; i < count; i++, comma = ",") {
		buf_cstr(out, comma);
		buf_json_string(out, ids[i]);
	}
	arena_release(&arena);
}

/* The same claims give the same text, in whatever order the store has them: the season's, then units, then others. */
static void
put_claimed(const struct season *season, const struct progress_row *row, const struct claimed_set *claimed,
	    struct buf *out)
{
	bool units = season->overflow.policy == OVERFLOW_REPEAT;
	struct claimable at = {&season->overflow.reward, 1};
	uint32_t left = row->claim_count;
	const char *comma = "";

	buf_literal(out, "\"claimed\":[");
	for (size_t word = 0; left && word < sizeof(claimed->rewards) / sizeof(claimed->rewards[0]); word++) {
		for (uint64_t bits = claimed->rewards[word]; bits; bits &= bits - 1, left--) {
			size_t reward = word * 64 + (size_t)__builtin_ctzll(bits);

			put_id(&(struct claimable){&season->rewards[reward], 0}, &comma, out);
		}
	}
	for (; units && left && at.unit <= season->overflow.times; at.unit++) {
		if (!claimed_has(claimed, season, &at))
			continue;
		put_id(&at, &comma, out);
		left--;
	}
	if (left)
		put_unknown_claims(season, row, comma, out);
	buf_literal(out, "],");
}

static void
render_progress(const struct season *season, const struct progress_row *row, struct buf *out)
{
	struct standing standing = progress_standing(season, row->xp);
	struct claimed_set claimed = holdings_claimed(season, row);

	buf_literal(out, "{\"player\":");
	buf_json_string(out, row->player);
	buf_literal(out, ",\"season\":");
	buf_json_string(out, str_from(season->id));
	member_number(out, ",\"revision\":\"", row->revision);
	member_number(out, "\",\"xp\":", row->xp);
	member_number(out, ",\"tier\":", standing.tier);
	member_number(out, ",\"tier_count\":", season->tier_count);
	member_number(out, ",\"xp_into_tier\":", standing.xp_into_tier);
	member_number(out, ",\"xp_to_next_tier\":", standing.xp_to_next_tier);
	buf_cstr(out, standing.completed ? ",\"completed\":true," : ",\"completed\":false,");
	if (season->overflow.policy != OVERFLOW_NONE) {
		member_number(out, "\"overflow_units\":", standing.overflow_units);
		buf_char(out, ',');
	}
	put_passes(season, row, out);
	put_claimable(season, row, &claimed, out);
	put_claimed(season, row, &claimed, out);
	member_number(out, "\"season_revision\":\"", season->revision);
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
	const struct overflow *overflow = &season->overflow;
	bool open = overflow->policy == OVERFLOW_REPEAT && (open_passes >> overflow->reward.pass & 1u);
	struct claimable unit = {&overflow->reward, effect->overflow_before};
	const char *comma = "";

	member_number(out, ",\"overflow\":{\"units_before\":", effect->overflow_before);
	member_number(out, ",\"units_after\":", effect->overflow_after);
	buf_literal(out, ",\"unlocked\":[");
	while (open && unit.unit++ < effect->overflow_after)
		put_id(&unit, &comma, out);
	buf_literal(out, "]}");
}

static void
render_unlocked(const struct season *season, const struct progress_row *row, const struct grant_effect *effect,
		struct buf *out)
{
	uint32_t open_passes = holdings_open(season, row);

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

/* The active pass with the least id above this one that the season does not have; NULL: there is none. */
static const struct owned_pass *
next_unknown(const struct season *season, const struct progress_row *row, struct str above)
{
	const struct owned_pass *next = NULL;

	for (uint32_t i = 0; i < row->pass_count; i++) {
		const struct owned_pass *each = &row->passes[i];

		if (each->active && str_compare(each->pass, above) > 0 &&
		    (!next || str_compare(each->pass, next->pass) < 0) &&
		    season_find_pass(season, each->pass.ptr, each->pass.len) < 0)
			next = each;
	}
	return next;
}

/* Passes that the player owns itself: the season's in its order, then such as it no longer has in byte order. */
static void
put_owned(const struct season *season, const struct progress_row *row, struct buf *out)
{
	uint32_t owned = holdings_owned(season, row);
	const char *comma = "";
	struct str last = STR_NONE;

	for (uint32_t i = 0; i < season->pass_count; i++) {
		if (!(owned >> i & 1))
			continue;
		buf_format(out, "%s\"%s\"", comma, season->passes[i].id);
		comma = ",";
	}
	for (const struct owned_pass *next; (next = next_unknown(season, row, last)) != NULL; last = next->pass) {
		buf_cstr(out, comma);
		buf_json_string(out, next->pass);
		comma = ",";
	}
}

static void
render_state(const struct season *season, const struct progress_row *row, struct buf *out)
{
	member_number(out, "{\"revision\":\"", row->revision);
	member_number(out, "\",\"xp\":", row->xp);
	member_number(out, ",\"tier\":", season_tier_at(season, row->xp));
	buf_literal(out, ",\"passes\":[");
	put_owned(season, row, out);
	member_number(out, "],\"claims\":", row->claim_count);
	buf_char(out, '}');
}

static const char *const claim_statuses[CLAIM_STATUS_COUNT] = {
	[CLAIM_CLAIMED] = "claimed",
	[CLAIM_ALREADY_CLAIMED] = "already_claimed",
	[CLAIM_LOCKED] = "locked",
	[CLAIM_UNKNOWN] = "unknown",
};

/* What must be had besides. */
static void
put_missing(const struct claim_outcome *outcome, struct buf *out)
{
	buf_literal(out, ",\"missing\":{");
	if (outcome->missing_tier)
		member_number(out, "\"tier\":", outcome->missing_tier);
	if (outcome->missing_pass)
		buf_format(out, "%s\"pass\":\"%s\"", outcome->missing_tier ? "," : "", outcome->missing_pass);
	buf_char(out, '}');
}

static void
render_claims(const struct claim_outcome *outcomes, size_t count, uint64_t revision, struct buf *out)
{
	member_number(out, "\"revision\":\"", revision);
	buf_literal(out, "\",\"results\":[");
	for (size_t i = 0; i < count; i++) {
		const struct claim_outcome *outcome = &outcomes[i];

		member_text(out, i ? ",{\"reward\":" : "{\"reward\":", outcome->reward);
		buf_format(out, ",\"status\":\"%s\"", claim_statuses[outcome->status]);
		if (outcome->status == CLAIM_CLAIMED)
			member_uuid(out, ",\"delivery\":", &outcome->delivery);
		if (outcome->status == CLAIM_LOCKED)
			put_missing(outcome, out);
		buf_char(out, '}');
	}
	buf_char(out, ']');
}

const struct codec_port render_codec = {
	.parse_season = parse_season,
	.free_season = season_free,
	.render_progress = render_progress,
	.render_unlocked = render_unlocked,
	.render_state = render_state,
	.render_claims = render_claims,
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
	member_number(out, ",\"amount\":", row->amount);
	member_number(out, ",\"xp_before\":", row->effect.xp_before);
	member_number(out, ",\"xp_after\":", row->effect.xp_after);
	member_number(out, ",\"tier_before\":", row->effect.tier_before);
	member_number(out, ",\"tier_after\":", row->effect.tier_after);
	buf_char(out, ',');
	buf_str(out, row->unlocked);
	member_number(out, ",\"revision\":\"", row->revision);
	buf_literal(out, "\",\"granted_at\":\"");
	buf_time(out, row->granted_at_ms);
	buf_char(out, '"');
}
