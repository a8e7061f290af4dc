/* GET /v1/seasons and GET /v1/seasons/{season} */
#include "api/resources.h"

#include "base/buf.h"

static void
put_time(struct buf *out, const char *label, int64_t unix_ms)
{
	buf_cstr(out, label);
	buf_time(out, unix_ms);
}

static const char *
language_of(struct call *call)
{
	return call->request->accept_language.len ? arena_copy(call->arena, call->request->accept_language) : NULL;
}

/* "name": the best text, "names": all of them. Nothing if there is none. */
static void
put_name(struct call *call, const struct texts *texts, struct buf *out)
{
	const struct localized *best = texts_pick(texts, language_of(call));

	if (!best)
		return;
	buf_literal(out, ",\"name\":");
	buf_json_string(out, str_from(best->text));
}

static void
put_names(const struct texts *texts, struct buf *out)
{
	buf_literal(out, ",\"names\":{");
	for (size_t i = 0; i < texts->count; i++) {
		if (i)
			buf_char(out, ',');
		buf_json_string(out, str_from(texts->items[i].language));
		buf_char(out, ':');
		buf_json_string(out, str_from(texts->items[i].text));
	}
	buf_char(out, '}');
}

/* The members that a list item and a definition share, without the braces. */
static void
put_head(struct call *call, const struct season_entry *entry, const struct season *season, struct buf *out)
{
	const struct season_times *times = &entry->times;

	buf_literal(out, "\"season\":");
	buf_json_string(out, str_from(entry->id));
	buf_format(out, ",\"state\":\"%s\",\"season_revision\":\"%llu\"",
		   season_state_name(season_state_at(entry->stored_state, times, call->turn->now_ms)),
		   (unsigned long long)entry->revision);
	put_name(call, &season->name, out);
	put_names(&season->name, out);
	put_time(out, ",\"starts_at\":\"", times->starts_at_ms);
	put_time(out, "\",\"purchase_closes_at\":\"", times->purchase_closes_at_ms);
	put_time(out, "\",\"ends_at\":\"", times->ends_at_ms);
	put_time(out, "\",\"claim_until\":\"", times->claim_until_ms);
	buf_char(out, '"');
}

struct season_page {
	uint32_t first; /* index in the directory */
	uint32_t size;
};

enum err
seasons_decode(struct call *call)
{
	const struct directory_content *seasons = &call->turn->service->seasons;
	struct season_page *page = ARENA_NEW(call->arena, struct season_page);
	struct str cursor;
	enum err err = call_page(call, &page->size, &cursor);

	if (err == ERR_OK && seasons->version == 0)
		err = ERR_STORE_UNAVAILABLE; /* never read: nobody knows whether there are none */
	if (err != ERR_OK)
		return err;
	call->work = page;
	if (cursor.len == 0)
		return ERR_OK;

	const struct season_entry *last = directory_find(seasons, cursor);

	if (!last)
		return call_fault(call, "/query/cursor", "bad_form", "this cursor was not given out here");
	page->first = (uint32_t)(last - seasons->seasons) + 1;
	return ERR_OK;
}

enum err
seasons_encode(struct call *call)
{
	const struct directory_content *seasons = &call->turn->service->seasons;
	const struct season_page *page = call->work;
	uint32_t end = page->size < seasons->count - page->first ? page->first + page->size : seasons->count;
	struct buf body;

	buf_init(&body);
	buf_literal(&body, "{\"items\":[");
	for (uint32_t i = page->first; i < end; i++) {
		const struct season *season;
		enum err err = turn_definition(call->turn, &seasons->seasons[i], &season);

		if (err != ERR_OK) {
			buf_release(&body);
			return err;
		}
		buf_cstr(&body, i > page->first ? ",{" : "{");
		put_head(call, &seasons->seasons[i], season, &body);
		buf_char(&body, '}');
	}
	buf_char(&body, ']');
	if (end < seasons->count) {
		buf_literal(&body, ",\"next\":");
		buf_json_string(&body, str_from(seasons->seasons[end - 1].id));
		call_link_next(call, str_from(seasons->seasons[end - 1].id));
	}
	buf_char(&body, '}');
	response_header(call->response, STR("Cache-Control"), STR("public, max-age=1"));
	response_header(call->response, STR("Vary"), STR("Accept-Language"));
	call_answer(call, 200, &body);
	return ERR_OK;
}

static void
put_tiers(const struct season *season, struct buf *out)
{
	buf_literal(out, ",\"tiers\":[");
	for (uint32_t tier = 1; tier <= season->tier_count; tier++)
		buf_format(out, "%s{\"tier\":%u,\"xp\":%llu,\"xp_total\":%llu}", tier > 1 ? "," : "", tier,
			   (unsigned long long)season->tier_xp[tier], (unsigned long long)season->tier_xp_total[tier]);
	buf_char(out, ']');
}

static void
put_includes(const struct season *season, uint32_t pass, struct buf *out)
{
	const char *comma = "";

	buf_literal(out, ",\"includes\":[");
	for (uint32_t i = 0; i < season->pass_count; i++) {
		if (i == pass || !(season->passes[pass].includes >> i & 1u))
			continue;
		buf_format(out, "%s\"%s\"", comma, season->passes[i].id);
		comma = ",";
	}
	buf_char(out, ']');
}

static void
put_price(const char *member, const struct price *price, struct buf *out)
{
	if (price->currency)
		buf_format(out, ",\"%s\":{\"currency\":\"%s\",\"amount\":%llu}", member, price->currency,
			   (unsigned long long)price->amount);
}

static void
put_passes(struct call *call, const struct season *season, struct buf *out)
{
	buf_literal(out, ",\"passes\":[");
	for (uint32_t i = 0; i < season->pass_count; i++) {
		const struct pass *pass = &season->passes[i];

		buf_format(out, "%s{\"pass\":\"%s\",\"free\":%s", i ? "," : "", pass->id,
			   pass->free ? "true" : "false");
		put_name(call, &pass->name, out);
		put_price("price", &pass->price, out);
		put_includes(season, i, out);
		buf_format(out, ",\"instant_tiers\":%u}", pass->instant_tiers);
	}
	buf_char(out, ']');
}

static void
put_reward(struct call *call, const struct season *season, const struct reward *reward, struct buf *out)
{
	buf_literal(out, "{\"reward\":");
	buf_json_string(out, str_from(reward->id));
	buf_format(out, ",\"tier\":%u,\"pass\":\"%s\",\"kind\":\"%s\",\"item\":\"%s\",\"quantity\":%llu", reward->tier,
		   season->passes[reward->pass].id, reward->kind, reward->item, (unsigned long long)reward->quantity);
	put_name(call, &reward->name, out);
	buf_char(out, '}');
}

static void
put_rewards(struct call *call, const struct season *season, struct buf *out)
{
	buf_literal(out, ",\"rewards\":[");
	for (uint32_t i = 0; i < season->reward_count; i++) {
		if (i)
			buf_char(out, ',');
		put_reward(call, season, &season->rewards[i], out);
	}
	buf_char(out, ']');
}

static void
put_overflow(struct call *call, const struct season *season, struct buf *out)
{
	const struct overflow *overflow = &season->overflow;

	switch (overflow->policy) {
	case OVERFLOW_NONE:
		buf_literal(out, ",\"overflow\":{\"policy\":\"none\"}");
		break;
	case OVERFLOW_REPEAT:
		buf_format(out, ",\"overflow\":{\"policy\":\"repeat\",\"every\":%llu,\"times\":%u,\"reward\":",
			   (unsigned long long)overflow->every, overflow->times);
		put_reward(call, season, &overflow->reward, out);
		buf_char(out, '}');
		break;
	case OVERFLOW_CURRENCY:
		buf_format(out,
			   ",\"overflow\":{\"policy\":\"currency\",\"every\":%llu,\"item\":\"%s\",\"quantity\":%llu}",
			   (unsigned long long)overflow->every, overflow->reward.item,
			   (unsigned long long)overflow->reward.quantity);
		break;
	}
}

/* The definition in one language; the tag changes with the state too, which time moves. */
enum err
season_encode(struct call *call)
{
	const struct season *season;
	struct buf body;
	enum err err = turn_definition(call->turn, call->season, &season);

	if (err != ERR_OK)
		return err;

	const struct localized *text = texts_pick(&season->name, language_of(call));
	enum season_state state = season_state_at(call->season->stored_state, &call->season->times, call->turn->now_ms);
	struct str etag = arena_format(call->arena, "\"%llu-%s-%s\"", (unsigned long long)call->season->revision,
				       season_state_name(state), text ? text->language : "");

	response_header(call->response, STR("Cache-Control"), STR("public, max-age=1"));
	response_header(call->response, STR("Vary"), STR("Accept-Language"));
	if (text)
		response_header(call->response, STR("Content-Language"), str_from(text->language));
	if (call_not_modified(call, etag))
		return ERR_OK;
	buf_init(&body);
	buf_char(&body, '{');
	put_head(call, call->season, season, &body);
	buf_format(&body, ",\"tier_count\":%u", season->tier_count);
	put_tiers(season, &body);
	put_passes(call, season, &body);
	put_rewards(call, season, &body);
	put_price("tier_price", &season->tier_price, &body);
	put_overflow(call, season, &body);
	buf_char(&body, '}');
	call_answer(call, 200, &body);
	return ERR_OK;
}
