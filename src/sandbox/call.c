/* Reading a request and writing its answer: see call.h. */
#include "sandbox/call.h"

#include <stdio.h>

/* --- answers --- */

struct buf *
call_begin(struct call *call, unsigned status)
{
	call->answer->status = status;
	buf_clear(&call->answer->body);
	return &call->answer->body;
}

void
call_answer_code(struct call *call, unsigned status, const char *code)
{
	buf_format(call_begin(call, status), "{\"code\":\"%s\"}", code);
}

void
call_answer_invalid(struct call *call, const char *detail)
{
	struct buf *out = call_begin(call, 400);

	buf_literal(out, "{\"code\":\"invalid\",\"detail\":");
	buf_json_string(out, str_from(detail));
	buf_char(out, '}');
}

void
call_answer_error(struct call *call, enum err err)
{
	bool later = err == ERR_STORE_UNAVAILABLE || err == ERR_STORE_RETRY;

	call_answer_code(call, later ? 503 : 500, later ? "unavailable" : "internal");
	call->answer->retry_after_s = later ? CALL_RETRY_AFTER_S : 0;
}

void
call_put_text(struct call *call, const char *name, struct str value)
{
	struct buf *out = &call->answer->body;

	buf_format(out, "%c\"%s\":", out->len ? ',' : '{', name);
	buf_json_string(out, value);
}

void
call_put_key(struct call *call, struct str key)
{
	call_put_text(call, "key",
		      call->trouble.kind == TROUBLE_WRONG_KEY ? STR("00000000-0000-7000-8000-000000000000") : key);
}

void
call_put_integer(struct call *call, const char *name, int64_t value)
{
	struct buf *out = &call->answer->body;
	const char *quote = call->trouble.kind == TROUBLE_WRONG_TYPES ? "\"" : "";

	buf_format(out, "%c\"%s\":%s%lld%s", out->len ? ',' : '{', name, quote,
		   (long long)value + (call->trouble.kind == TROUBLE_WRONG_AMOUNT), quote);
}

void
call_put_state(struct call *call, enum bank_state state)
{
	if (call->trouble.kind == TROUBLE_WRONG_TYPES)
		buf_format(&call->answer->body, ",\"state\":%d", (int)state);
	else
		call_put_text(call, "state", str_from(bank_state_name(state)));
}

void
call_put_end(struct call *call)
{
	buf_char(&call->answer->body, '}');
}

/* --- reading requests --- */

/* Letters, digits and the marks that ids are made with. */
static bool
is_id(struct str text, size_t max)
{
	static const char marks[] = "-._:~";

	for (size_t i = 0; i < text.len; i++) {
		char c = text.ptr[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      (c && strchr(marks, c))))
			return false;
	}
	return text.len >= 1 && text.len <= max;
}

static bool
take_text(const struct call_field *field, const struct json *value, struct str *to)
{
	struct str text;

	if (!json_get_string(value, &text))
		return false;
	*to = text;
	if (field->kind == CALL_ID)
		return is_id(text, BANK_ID_MAX);
	return field->kind == CALL_NAME ? text.len >= 1 && text.len <= BANK_ID_MAX : text.len <= BANK_TEXT_MAX;
}

static bool
take_integer(const struct call_field *field, const struct json *value, int64_t *to)
{
	return json_get_integer(value, to) && *to >= (field->kind == CALL_AMOUNT) && *to <= BANK_AMOUNT_MAX;
}

static bool
take_field(const struct call_field *field, const struct json *value, char *target)
{
	if (field->kind == CALL_AMOUNT || field->kind == CALL_BALANCE)
		return take_integer(field, value, (int64_t *)(target + field->offset));
	return take_text(field, value, (struct str *)(target + field->offset));
}

static bool
is_known(const struct call_field *fields, const struct json *member)
{
	for (; fields->name; fields++)
		if (strcmp(json_name(member), fields->name) == 0)
			return true;
	return false;
}

/* All of the fields and no others; false: it is answered. */
bool
call_read_fields(struct call *call, const struct call_field *fields, void *target)
{
	char detail[JSON_DETAIL_SIZE];

	for (const struct json *member = json_first(call->body); member; member = json_next(member)) {
		if (!is_known(fields, member)) {
			call_answer_invalid(call, "the body has a member that is not known");
			return false;
		}
	}
	for (; fields->name; fields++) {
		const struct json *value = json_member(call->body, fields->name);

		if (value && take_field(fields, value, target))
			continue;
		snprintf(detail, sizeof(detail), "%s %s", fields->name,
			 value ? "cannot have this value" : "is missing");
		call_answer_invalid(call, detail);
		return false;
	}
	return true;
}

static bool
is_json(const char *content_type)
{
	static const char json[] = "application/json";

	return content_type && strncasecmp(content_type, json, sizeof(json) - 1) == 0 &&
	       strchr("; ", content_type[sizeof(json) - 1]);
}

/* The body as one JSON object; false: it is answered. */
bool
call_read_body(struct call *call)
{
	char detail[JSON_DETAIL_SIZE];

	if (call->request->body_too_large)
		call_answer_code(call, 413, "too_large");
	else if (!is_json(call->request->content_type))
		call_answer_code(call, 415, "not_json");
	else if (json_parse(call->request->body, &call->body, detail) != ERR_OK)
		call_answer_invalid(call, detail);
	else if (json_type(call->body) != JSON_OBJECT)
		call_answer_invalid(call, "the body must be an object");
	else
		return true;
	return false;
}

bool
call_read_key(struct call *call)
{
	call->key = str_from(call->request->idempotency_key);
	if (is_id(call->key, BANK_KEY_MAX))
		return true;
	call_answer_invalid(call,
			    call->key.len ? "Idempotency-Key cannot have this value" : "Idempotency-Key is missing");
	return false;
}

bool
call_read_path_key(struct call *call)
{
	call->key = call->id;
	if (is_id(call->key, BANK_KEY_MAX))
		return true;
	call_answer_code(call, 404, "not_found");
	return false;
}

bool
call_read_path_player(struct call *call)
{
	if (is_id(call->id, BANK_ID_MAX))
		return true;
	call_answer_code(call, 404, "not_found");
	return false;
}
