/* GET .../players/{player}/progress and POST .../progress:lookup */
#include "api/resources.h"

#include "api/fields.h"
#include "domain/season.h"

enum { LOOKUP_MAX = 200 };

/* Written by hand, as every read needs one. */
static struct str
etag_of(struct call *call, const struct progress_read *read)
{
	enum { ETAG_SIZE = 48 };
	struct buf etag = {arena_alloc(call->arena, ETAG_SIZE), 0, ETAG_SIZE};

	buf_char(&etag, '"');
	buf_u64(&etag, read->season->revision);
	buf_char(&etag, '.');
	buf_u64(&etag, read->revision);
	buf_char(&etag, '"');
	return buf_view(&etag);
}

/* A hit may be old while the database cannot be asked, and says so. */
static void
put_unconfirmed(struct call *call, bool hit)
{
	if (hit && call->turn->view.unconfirmed)
		response_header(call->response, STR("Cache-Status"), STR("battlepass; hit; detail=unconfirmed"));
}

/* Where the answer came from, for people and for load tests. */
static void
put_source(struct call *call, enum source source)
{
	bool hit = source == SOURCE_CACHE;

	call->source = source;
	response_header(call->response, STR("Server-Timing"), hit ? STR("src;desc=cache") : STR("src;desc=store"));
	put_unconfirmed(call, hit);
}

enum err
progress_decode(struct call *call)
{
	call->work = turn_add_read(call->turn, call->player, call->season);
	return ERR_OK;
}

enum err
progress_encode(struct call *call)
{
	const struct progress_read *read = call->work;

	if (read->needs_store) {
		call->response->lane = STR("store");
		return ERR_OK;
	}
	if (read->err != ERR_OK)
		return read->err;
	response_header(call->response, STR("Cache-Control"), STR("private, no-cache"));
	response_header(call->response, STR("Vary"),
			STR("Authorization")); /* `me` is somebody else for another token */
	put_source(call, read->source);
	if (!call_not_modified(call, etag_of(call, read)))
		response_json(call->response, 200, read->body);
	return ERR_OK;
}

/* Each element of the lookup: a read, or the reason why there is none. */
struct lookup {
	struct progress_read **reads; /* NULL: not a player's id */
	struct str *players;          /* what was asked, if it was a text */
	size_t count;
};

struct lookup_body {
	const struct json *players;
};

static const struct field lookup_fields[] = {
	{"players", FIELD_ARRAY, true, offsetof(struct lookup_body, players), 1, LOOKUP_MAX},
};

enum err
lookup_decode(struct call *call)
{
	struct lookup_body body = {0};
	enum err err = call_decode_body(call, lookup_fields, 1, &body);

	if (err != ERR_OK)
		return err;

	struct lookup *lookup = ARENA_NEW(call->arena, struct lookup);
	size_t count = json_count(body.players);

	lookup->reads = ARENA_ARRAY(call->arena, count, struct progress_read *);
	lookup->players = ARENA_ARRAY(call->arena, count, struct str);
	for (const struct json *each = json_first(body.players); each; each = json_next(each), lookup->count++) {
		struct str player = STR_NONE;

		if (json_get_string(each, &player))
			player = arena_str(call->arena, player); /* it is needed longer than the JSON tree */
		if (player_valid(player))
			lookup->reads[lookup->count] = turn_add_read(call->turn, player, call->season);
		lookup->players[lookup->count] = player;
	}
	call->work = lookup;
	return ERR_OK;
}

static void
put_lookup_error(struct buf *body, struct str player, enum err err)
{
	err = err_public(err);
	buf_literal(body, "{\"player\":");
	buf_json_string(body, player);
	buf_format(body, ",\"error\":{\"code\":\"%s\",\"detail\":", err_code(err));
	buf_json_string(body, err == ERR_INVALID_FIELD ? STR("a player is 1-64 of A-Z a-z 0-9 . _ -, and not \"me\"")
						       : str_from(err_text(err)));
	buf_literal(body, "}}");
}

enum err
lookup_encode(struct call *call)
{
	const struct lookup *lookup = call->work;
	struct buf body;
	bool hit = false;

	buf_init(&body);
	buf_literal(&body, "{\"results\":[");
	for (size_t i = 0; i < lookup->count; i++) {
		const struct progress_read *read = lookup->reads[i];

		hit |= read && read->err == ERR_OK && read->source == SOURCE_CACHE;
		if (i)
			buf_char(&body, ',');
		if (read && read->err == ERR_OK)
			buf_str(&body, read->body);
		else
			put_lookup_error(&body, lookup->players[i], read ? read->err : ERR_INVALID_FIELD);
	}
	buf_literal(&body, "]}");
	response_header(call->response, STR("Cache-Control"), STR("private, no-store"));
	put_unconfirmed(call, hit);
	call_answer(call, 200, &body);
	return ERR_OK;
}
