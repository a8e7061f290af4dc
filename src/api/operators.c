/*
 * What operators steer: GET and PUT /v1/admin/flags, POST /v1/admin/cache/flush and /warm; and what they see of the
 * cache: GET /v1/admin/cache/players/{player}.
 */
#include "api/resources.h"

#include "api/members.h"
#include "base/digest.h"
#include "service/operators.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum err
flags_encode(struct call *call)
{
	const struct operators_port *operators = call->turn->service->rooms.operators;
	struct operator_state state;
	struct buf body;
	enum err err = operators->read(operators->self, &state);

	if (err != ERR_OK)
		return err;
	response_header(call->response, STR("Cache-Control"), STR("private, no-cache"));
	if (call_not_modified(call, arena_format(call->arena, "\"%llu\"", (unsigned long long)state.flags.revision)))
		return ERR_OK;
	buf_init(&body);
	buf_char(&body, '{');
	flags_print(&state.flags, &body);
	buf_char(&body, '}');
	call_answer(call, 200, &body);
	return ERR_OK;
}

/* All that these bodies can say; each takes some of it. */
struct operator_body {
	struct str reason;
	bool validate_only;
	int64_t cache_share;
	bool cache;
	bool warming;
	int64_t auditor_checks_per_s;
	struct str season;
	int64_t players;
};

#define BODY(member) offsetof(struct operator_body, member)
#define REASON                                                                                                         \
	{                                                                                                              \
		"reason", FIELD_TEXT, true, BODY(reason), 1, 500                                                       \
	}
#define VALIDATE_ONLY                                                                                                  \
	{                                                                                                              \
		"validate_only", FIELD_BOOLEAN, false, BODY(validate_only), 0, 1                                       \
	}

static const struct field flags_fields[] = {
	REASON,
	VALIDATE_ONLY,
	{"cache_share", FIELD_INTEGER, false, BODY(cache_share), 0, 100},
	{"cache", FIELD_BOOLEAN, false, BODY(cache), 0, 1},
	{"warming", FIELD_BOOLEAN, false, BODY(warming), 0, 1},
	{"auditor_checks_per_s", FIELD_INTEGER, false, BODY(auditor_checks_per_s), 0, 1000},
};

/* Of what is asked, by the member names that the body has: one left out is not the same as one that says 0. */
static void
hash_command(const char *name, const struct field *fields, size_t count, const struct operator_body *body,
	     const struct json *members, unsigned char hash[16])
{
	unsigned char digest[DIGEST_SIZE];
	struct buf text;

	buf_init(&text);
	buf_format(&text, "%s\n", name);
	for (size_t i = 0; i < count; i++)
		if (json_member(members, fields[i].name))
			fields_print(&fields[i], 1, body, &text);
	digest_sha256(buf_view(&text), digest);
	buf_release(&text);
	memcpy(hash, digest, 16);
}

/* The key, the body and the command that both make; name: part of the request's hash, which is stored. */
static enum err
decode(struct call *call, enum operator_action action, const char *name, const struct field *fields, size_t count,
       struct operator_body *body)
{
	struct operator_command *command = ARENA_NEW(call->arena, struct operator_command);
	struct str key;
	enum err err = call_idempotency_key(call, &key);

	if (err == ERR_OK)
		err = call_decode_body(call, fields, count, body);
	if (err != ERR_OK)
		return err;
	command->action = action;
	command->idempotency_key = key;
	command->validate_only = body->validate_only;
	command->author = (struct author){
		.actor = str_from(call->who.subject),
		.role = role_name(call->who.role),
		.reason = body->reason,
		.request_id = call->request->request_id,
	};
	hash_command(name, fields, count, body, call->body, command->request_hash);
	call->work = command;
	return ERR_OK;
}

enum err
flags_decode(struct call *call)
{
	struct operator_body body = {.validate_only = false};
	enum err err = decode(call, OPERATOR_SET_FLAGS, "flags", flags_fields, COUNT(flags_fields), &body);
	const int64_t values[FLAG_COUNT] = {
		[FLAG_CACHE_SHARE] = body.cache_share,
		[FLAG_CACHE] = body.cache,
		[FLAG_WARMING] = body.warming,
		[FLAG_AUDITOR] = body.auditor_checks_per_s,
	};
	struct operator_command *command = call->work;
	bool any = false;

	if (err != ERR_OK)
		return err;
	for (int i = 0; i < FLAG_COUNT; i++) {
		command->named[i] = json_member(call->body, flag_form((enum flag)i)->name) != NULL;
		command->values[i] = values[i];
		any |= command->named[i];
	}
	return any ? ERR_OK : call_fault(call, "", "required", "expected a flag at least");
}

static const struct field flush_fields[] = {REASON, VALIDATE_ONLY};
static const struct field warm_fields[] = {
	REASON,
	VALIDATE_ONLY,
	{"season", FIELD_ID, false, BODY(season), 0, 0},
	{"players", FIELD_INTEGER, false, BODY(players), 1, 10000000},
};

enum err
flush_decode(struct call *call)
{
	struct operator_body body = {.validate_only = false};

	return decode(call, OPERATOR_FLUSH, "cache_flush", flush_fields, COUNT(flush_fields), &body);
}

enum err
warm_decode(struct call *call)
{
	const struct service *service = call->turn->service;
	struct operator_body body = {.players = 0};
	enum err err = decode(call, OPERATOR_WARM, "cache_warm", warm_fields, COUNT(warm_fields), &body);
	const struct season_entry *entry = directory_find(&service->seasons, body.season);
	struct operator_command *command = call->work;

	if (err != ERR_OK)
		return err;
	if (body.season.len && (!entry || !season_entry_runs(entry, call->turn->now_ms)))
		return call_fault(call, "/season", "no_such_season", "expected a season that is active now");
	command->season = body.season;
	command->players = body.players ? (uint64_t)body.players : service->limits.warm_players;
	return ERR_OK;
}

static void
put_entry(const struct operator_command *command, struct buf *out)
{
	const struct audit_entry *entry = &command->entry;

	if (command->validate_only)
		buf_literal(out, "\"validate_only\":true");
	else
		member_uuid(out, "\"operation\":", &entry->id);
	member_text(out, ",\"action\":", str_from(entry->action));
	buf_literal(out, ",\"before\":");
	buf_str(out, entry->before);
	buf_literal(out, ",\"after\":");
	buf_str(out, entry->after);
	member_text(out, ",\"actor\":", entry->author.actor);
	member_text(out, ",\"role\":", str_from(entry->author.role));
	member_text(out, ",\"reason\":", entry->author.reason);
	member_moment(out, ",\"at\":", entry->entered_at_ms);
}

enum err
operator_encode(struct call *call)
{
	struct operator_command *command = call->work;
	struct buf body;
	enum err err = operator_run(call->turn->service->rooms.operators, command, call->arena, call->turn->now_ms);

	if (err != ERR_OK)
		return err;
	if (command->replayed)
		response_header(call->response, STR("Idempotent-Replayed"), STR("true"));
	buf_init(&body);
	buf_char(&body, '{');
	put_entry(command, &body);
	buf_char(&body, '}');
	call_answer(call, 200, &body);
	return ERR_OK;
}

static const char *const held_names[CACHE_HELD_COUNT] = {
	[CACHE_HOLDS_NOTHING] = "absent", [CACHE_HOLDS_VALUE] = "value", [CACHE_HOLDS_FENCE] = "fence",
	[CACHE_HOLDS_TOKEN] = "filling",  [CACHE_HOLDS_OTHER] = "other",
};

static void
put_content(const struct cache_content *content, struct buf *out)
{
	buf_format(out, ",\"state\":\"%s\"", held_names[content->held]);
	if (content->held == CACHE_HOLDS_VALUE || content->held == CACHE_HOLDS_FENCE) {
		member_number(out, ",\"cached_revision\":\"", content->revision);
		buf_char(out, '"');
	}
	if (content->held == CACHE_HOLDS_VALUE) {
		member_number(out, ",\"cached_season_revision\":\"", content->season_revision);
		buf_char(out, '"');
	}
	if (content->held != CACHE_HOLDS_NOTHING && content->ttl_ms >= 0)
		member_number(out, ",\"ttl_ms\":", (uint64_t)content->ttl_ms);
}

static void
put_view(const struct cache_of_player *view, struct buf *out)
{
	buf_format(out, ",\"epoch\":\"%llu\",\"enabled\":%s,\"reached\":%s,\"seasons\":[",
		   (unsigned long long)view->gate.epoch, view->gate.enabled ? "true" : "false",
		   view->reached ? "true" : "false");
	for (size_t i = 0; i < view->count; i++) {
		member_text(out, i ? ",{\"season\":" : "{\"season\":", view->standings[i].season);
		member_number(out, ",\"revision\":\"", view->standings[i].revision);
		buf_char(out, '"');
		if (view->reached)
			put_content(&view->contents[i], out);
		buf_char(out, '}');
	}
	buf_char(out, ']');
}

enum err
cache_player_encode(struct call *call)
{
	const struct service_rooms *rooms = &call->turn->service->rooms;
	struct cache_of_player view;
	struct buf body;
	enum err err =
		cache_of_player(rooms->operators, rooms->records, rooms->cache, call->player, call->arena, &view);

	if (err != ERR_OK)
		return err;
	buf_init(&body);
	member_text(&body, "{\"player\":", call->player);
	put_view(&view, &body);
	buf_char(&body, '}');
	response_header(call->response, STR("Cache-Control"), STR("private, no-store"));
	call_answer(call, 200, &body);
	return ERR_OK;
}
