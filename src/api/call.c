/* Helpers of the resources: see call.h. */
#include "api/call.h"

#include <strings.h>

#include "base/digest.h"

enum { PAGE_DEFAULT = 50, PAGE_MAX = 200 };

/* application/json, with or without parameters; and anything that ends in +json. */
static bool
is_json(struct str type)
{
	const char *semicolon = type.len ? memchr(type.ptr, ';', type.len) : NULL;
	struct str essence = {type.ptr, semicolon ? (size_t)(semicolon - type.ptr) : type.len};

	while (essence.len && essence.ptr[essence.len - 1] == ' ')
		essence.len--;
	return (essence.len == 16 && strncasecmp(essence.ptr, "application/json", 16) == 0) ||
	       (essence.len > 5 && strncasecmp(essence.ptr + essence.len - 5, "+json", 5) == 0);
}

enum err
call_parse_body(struct call *call)
{
	const struct request *request = call->request;
	char detail[JSON_DETAIL_SIZE];

	if (request->body_too_large)
		return ERR_BODY_TOO_LARGE;
	if (!is_json(request->content_type))
		return ERR_NOT_JSON;

	enum err err = json_parse(request->body, &call->body, detail);

	if (err != ERR_OK)
		call->detail = arena_copy(call->arena, str_from(detail));
	return err;
}

enum err
call_decode_body(struct call *call, const struct field *fields, size_t field_count, void *target)
{
	enum err err = call_parse_body(call);

	if (err != ERR_OK)
		return err;
	return fields_decode(call->body, "", fields, field_count, target, &call->faults) ? ERR_OK
											 : faults_err(&call->faults);
}

enum err
call_fault(struct call *call, const char *pointer, const char *code, const char *detail)
{
	faults_add(&call->faults, pointer, code, "%s", detail);
	return ERR_INVALID_FIELD;
}

enum err
call_idempotency_key(struct call *call, struct str *ret_key)
{
	struct str key = call->request->idempotency_key;

	if (key.len == 0)
		return ERR_MISSING_IDEMPOTENCY_KEY;
	if (!idempotency_key_valid(key))
		return call_fault(call, "/header/Idempotency-Key", "bad_form",
				  "expected 1-128 printable ASCII characters without space");
	*ret_key = key;
	return ERR_OK;
}

enum err
call_decode_operation(struct call *call, const struct operation_form *form, struct str *ret_key,
		      struct operation_body *ret_body)
{
	struct operation_body body = {.validate_only = false};
	struct str key;
	enum err err = call_idempotency_key(call, &key);

	if (err == ERR_OK)
		err = call_decode_body(call, form->fields, form->field_count, &body);
	if (err != ERR_OK)
		return err;
	*ret_key = key;
	*ret_body = body;
	return ERR_OK;
}

/* Of what is asked, and of whom in the path; not of who asks, so that anybody who may can repeat it. */
static void
hash_operation(const struct call *call, const struct operation_form *form, const struct operation_body *body,
	       unsigned char hash[16])
{
	unsigned char digest[DIGEST_SIZE];
	struct buf text;

	buf_init(&text);
	buf_format(&text, "%s\n", form->name);
	buf_hex(&text, call->id.bytes, sizeof(call->id.bytes));
	buf_char(&text, '\n');
	fields_print(form->fields, form->field_count, body, &text);
	digest_sha256(buf_view(&text), digest);
	buf_release(&text);
	memcpy(hash, digest, 16);
}

struct operation *
call_add_operation(struct call *call, const struct operation_form *form, struct str player,
		   const struct season_entry *season, struct str key, const struct operation_body *body)
{
	struct operation *operation = turn_add_operation(call->turn, form->kind, player, season);

	operation->write.idempotency_key = key;
	hash_operation(call, form, body, operation->write.request_hash);
	operation->author = (struct author){
		.actor = str_from(call->who.subject),
		.role = role_name(call->who.role),
		.reason = body->reason,
		.request_id = arena_str(call->arena, call->request->request_id),
	};
	operation->validate_only = body->validate_only;
	operation->rewards = body->rewards.count ? body->rewards.ids : NULL;
	operation->reward_count = body->rewards.count;
	operation->amount = body->amount;
	operation->tiers = (uint32_t)body->tiers;
	operation->pass = body->pass;
	operation->forget = body->claims == CLAIMS_FORGET;
	operation->subject = call->id;
	if (call->request->traceparent.len)
		operation->traceparent = arena_str(call->arena, call->request->traceparent);
	call->operation = operation;
	return operation;
}

enum err
call_operation(struct call *call, const struct operation_form *form)
{
	struct operation_body body;
	struct str key;
	enum err err = call_decode_operation(call, form, &key, &body);

	if (err == ERR_OK)
		call_add_operation(call, form, call->player, call->season, key, &body);
	return err;
}

enum err
call_page(struct call *call, uint32_t *ret_size, struct str *ret_cursor)
{
	struct str text;
	uint32_t size = PAGE_DEFAULT;

	if (request_query(call->request, STR("page_size"), &text)) {
		if (text.len == 0 || text.len > 9 || strspn(arena_copy(call->arena, text), "0123456789") != text.len)
			return call_fault(call, "/query/page_size", "wrong_type", "expected an integer");
		size = 0;
		for (size_t i = 0; i < text.len; i++)
			size = size * 10 + (uint32_t)(text.ptr[i] - '0');
	}
	*ret_size = size < 1 ? 1 : size > PAGE_MAX ? PAGE_MAX : size;
	if (!request_query(call->request, STR("cursor"), ret_cursor))
		*ret_cursor = STR_NONE;
	return ERR_OK;
}

void
call_answer(struct call *call, int status, struct buf *body)
{
	response_json(call->response, status, arena_str(call->arena, buf_view(body)));
	buf_release(body);
}

enum err
call_operation_result(struct call *call)
{
	const struct write *write = &call->operation->write;

	if (write->err == ERR_IDEMPOTENCY_IN_FLIGHT)
		response_header(call->response, STR("Retry-After"), STR("1"));
	if (write->err == ERR_OK && write->replayed)
		response_header(call->response, STR("Idempotent-Replayed"), STR("true"));
	return write->err;
}

static bool
unreserved(char c)
{
	return label_valid((struct str){&c, 1}) && c != ':' && c != '/';
}

static void
put_escaped(struct buf *out, struct str text)
{
	for (size_t i = 0; i < text.len; i++) {
		if (unreserved(text.ptr[i]))
			buf_char(out, text.ptr[i]);
		else
			buf_format(out, "%%%02X", (unsigned char)text.ptr[i]);
	}
}

void
call_locate_purchase(struct call *call, const struct purchase_row *purchase)
{
	char id[UUID_TEXT_SIZE];
	struct buf path;

	uuid_format(&purchase->id, id);
	buf_init(&path);
	buf_format(&path, "/v1/seasons/%s/players/", purchase->season);
	put_escaped(&path, purchase->player);
	buf_format(&path, "/purchases/%s", id);
	response_header(call->response, STR("Location"), buf_view(&path));
	buf_release(&path);
}

void
call_link_next(struct call *call, struct str cursor)
{
	const struct request *request = call->request;
	struct buf link;

	buf_init(&link);
	buf_char(&link, '<');
	for (size_t i = 0; i < request->segment_count; i++) {
		buf_char(&link, '/');
		put_escaped(&link, request->segments[i]);
	}
	buf_char(&link, '?');
	for (size_t i = 0; i < request->query_count; i++) {
		if (str_equal(request->query[i].name, STR("cursor")))
			continue;
		put_escaped(&link, request->query[i].name);
		buf_char(&link, '=');
		put_escaped(&link, request->query[i].value);
		buf_char(&link, '&');
	}
	buf_literal(&link, "cursor=");
	put_escaped(&link, cursor);
	buf_literal(&link, ">; rel=\"next\"");
	response_header(call->response, STR("Link"), buf_view(&link));
	buf_release(&link);
}

/* If-None-Match is a list of tags, or *; weak ones count here (RFC 9110 section 13.1.2). */
static bool
etag_matches(struct str list, struct str etag)
{
	if (str_equal(list, STR("*")))
		return true;
	for (size_t i = 0; i + etag.len <= list.len; i++)
		if (memcmp(list.ptr + i, etag.ptr, etag.len) == 0)
			return true;
	return false;
}

bool
call_not_modified(struct call *call, struct str etag)
{
	response_header(call->response, STR("ETag"), etag);
	if (!call->request->if_none_match.len || !etag_matches(call->request->if_none_match, etag))
		return false;
	call->response->status = 304;
	return true;
}
