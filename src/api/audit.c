/* GET /v1/admin/audit and GET /v1/admin/audit:verify */
#include "api/resources.h"

#include "api/members.h"
#include "api/pages.h"
#include "api/records.h"
#include "service/audit.h"

enum { ACTOR_MAX = 255, VERIFY_MAX = 10000 };

static const char *const actions[] = {
	"claim",
	"auto_claim",
	"xp_correction",
	"tier_grant",
	"pass_grant",
	"pass_revocation",
	"reset",
	"reset_undo",
	"purchase_debiting",
	"purchase_granted",
	"purchase_declined",
	"purchase_cancelling",
	"purchase_cancelled",
	"purchase_refunding",
	"purchase_refunded",
	"purchase_stuck",
	"purchase_closed",
	"delivery_retry",
	"flags_changed",
	"cache_flushed",
	"cache_warmed",
};

static enum err
filter_action(struct call *call, struct str *ret_action)
{
	struct str name;

	if (!request_query(call->request, STR("action"), &name))
		return ERR_OK;
	for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
		if (!str_equal(name, str_from(actions[i])))
			continue;
		*ret_action = str_from(actions[i]);
		return ERR_OK;
	}
	return filter_fault(call, STR("action"), "no such action");
}

/* A token's subject. */
static enum err
filter_actor(struct call *call, struct str *ret_actor)
{
	struct str actor;

	if (!request_query(call->request, STR("actor"), &actor))
		return ERR_OK;
	if (actor.len == 0 || actor.len > ACTOR_MAX || !utf8_valid(actor))
		return filter_fault(call, STR("actor"), "expected a text of 1-255 bytes");
	*ret_actor = actor;
	return ERR_OK;
}

static enum err
filter_player_and_season(struct call *call, struct str *player, const char **season)
{
	struct str name = STR_NONE;
	enum err err = filter_id(call, STR("player"), player);

	if (err == ERR_OK)
		err = filter_id(call, STR("season"), &name);
	if (err == ERR_OK && name.len)
		*season = name.ptr;
	return err;
}

enum err
audit_decode(struct call *call)
{
	struct entry_query *query = ARENA_NEW(call->arena, struct entry_query);
	enum err err = page_decode(call, &query->page);

	query->to_ms = INT64_MAX;
	call->work = query;
	if (err == ERR_OK)
		err = filter_player_and_season(call, &query->page.player, &query->page.season);
	if (err == ERR_OK)
		err = filter_actor(call, &query->actor);
	if (err == ERR_OK)
		err = filter_action(call, &query->action);
	if (err == ERR_OK)
		err = filter_time(call, STR("from"), &query->from_ms);
	if (err == ERR_OK)
		err = filter_time(call, STR("to"), &query->to_ms);
	return err;
}

enum err
audit_encode(struct call *call)
{
	const struct records_port *records = call->turn->service->rooms.records;
	const struct entry_query *query = call->work;
	struct audit_entry *rows;
	size_t count;
	enum err err = records->entries(records->self, query, call->arena, &rows, &count);

	if (err != ERR_OK)
		return err;

	size_t shown = page_shown(&query->page, count);
	struct list list;

	list_begin(&list, call);
	for (size_t i = 0; i < shown; i++) {
		record_entry(&rows[i], list_item(&list));
		list_item_end(&list);
	}
	list_end_at(&list, count > shown ? &rows[shown - 1].id : NULL);
	return ERR_OK;
}

struct verify_query {
	struct str player;
	const char *season;
	struct audit_check check;
};

/* The part of a cursor before the next tilde, which no id has in it; takes it off. */
static struct str
take_part(struct str *text)
{
	const char *tilde = text->len ? memchr(text->ptr, '~', text->len) : NULL;
	struct str part = {text->ptr, tilde ? (size_t)(tilde - text->ptr) : text->len};
	size_t taken = part.len + (tilde != NULL);

	*text = (struct str){text->ptr + taken, text->len - taken};
	return part;
}

static bool
take_id(struct str *text, char id[SEASON_ID_MAX + 1])
{
	struct str part = take_part(text);

	if (!id_valid(part.ptr, part.len))
		return false;
	memcpy(id, part.ptr, part.len);
	id[part.len] = '\0';
	return true;
}

static bool
take_number(struct str *text, uint64_t *ret_number)
{
	enum { DIGITS_MAX = 18 };
	struct str part = take_part(text);
	uint64_t number = 0;

	for (size_t i = 0; i < part.len; i++) {
		if (part.ptr[i] < '0' || part.ptr[i] > '9')
			return false;
		number = number * 10 + (uint64_t)(part.ptr[i] - '0');
	}
	*ret_number = number;
	return part.len >= 1 && part.len <= DIGITS_MAX;
}

/*
 * The cursor is the place in the chains where the call before has ended: player~season~sequence; of the operators'
 * chain
 * ~~sequence.
 */
static bool
parse_position(struct str cursor, struct chain_position *position)
{
	if (str_starts_with(cursor, STR("~~"))) {
		cursor = (struct str){cursor.ptr + 2, cursor.len - 2};
		return take_number(&cursor, &position->sequence) && position->sequence && cursor.len == 0;
	}
	return take_id(&cursor, position->player) && take_id(&cursor, position->season) &&
	       take_number(&cursor, &position->sequence) && cursor.len == 0;
}

enum err
verify_decode(struct call *call)
{
	struct verify_query *query = ARENA_NEW(call->arena, struct verify_query);
	struct str cursor;
	enum err err = filter_player_and_season(call, &query->player, &query->season);

	call->work = query;
	if (err == ERR_OK && request_query(call->request, STR("cursor"), &cursor) &&
	    !parse_position(cursor, &query->check.at))
		return filter_fault(call, STR("cursor"), "this cursor was not given out here");
	return err;
}

static void
put_broken(const struct audit_check *check, struct buf *out)
{
	member_optional(out, ",\"broken\":{\"player\":", str_from(check->at.player));
	member_optional(out, ",\"season\":", str_from(check->at.season));
	member_number(out, ",\"sequence\":\"", check->at.sequence);
	member_text(out, "\",\"detail\":", str_from(check->detail));
	buf_char(out, '}');
}

enum err
verify_encode(struct call *call)
{
	struct verify_query *query = call->work;
	struct audit_check *check = &query->check;
	struct buf body;
	enum err err =
		audit_check(call->turn->service->rooms.records, query->player.ptr, query->season, VERIFY_MAX, check);

	if (err != ERR_OK)
		return err;
	buf_init(&body);
	buf_cstr(&body, check->broken ? "{\"good\":false" : "{\"good\":true");
	member_number(&body, ",\"checked\":", check->checked);
	if (check->broken) {
		put_broken(check, &body);
	} else if (check->more) {
		struct str cursor = arena_format(call->arena, "%s~%s~%llu", check->at.player, check->at.season,
						 (unsigned long long)check->at.sequence);

		member_text(&body, ",\"next\":", cursor);
		call_link_next(call, cursor);
	}
	buf_char(&body, '}');
	response_header(call->response, STR("Cache-Control"), STR("private, no-store"));
	call_answer(call, 200, &body);
	return ERR_OK;
}
