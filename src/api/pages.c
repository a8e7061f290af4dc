/* Lists: see pages.h. */
#include "api/pages.h"

#include "base/clock.h"

enum err
page_decode(struct call *call, struct page_query *query)
{
	struct str cursor;
	uint32_t size;
	enum err err = call_page(call, &size, &cursor);

	if (err != ERR_OK)
		return err;
	query->limit = size + 1;
	query->from_newest = cursor.len == 0;
	if (!query->from_newest && !uuid_parse(cursor, &query->before))
		return filter_fault(call, STR("cursor"), "this cursor was not given out here");
	return ERR_OK;
}

size_t
page_shown(const struct page_query *query, size_t count)
{
	return count < query->limit ? count : query->limit - 1;
}

enum err
filter_fault(struct call *call, struct str name, const char *detail)
{
	return call_fault(call, arena_format(call->arena, "/query/%.*s", STR_ARGS(name)).ptr, "bad_form", detail);
}

enum err
filter_time(struct call *call, struct str name, int64_t *unix_ms)
{
	struct str text;

	if (!request_query(call->request, name, &text) || clock_parse(text, unix_ms))
		return ERR_OK;
	return filter_fault(call, name, "expected a time (RFC 3339)");
}

enum err
filter_id(struct call *call, struct str name, struct str *id)
{
	struct str text;

	if (!request_query(call->request, name, &text))
		return ERR_OK;
	if (!id_valid(text.ptr, text.len))
		return filter_fault(call, name, "expected 1-64 of A-Z a-z 0-9 . _ -");
	*id = arena_str(call->arena, text);
	return ERR_OK;
}

void
list_begin(struct list *list, struct call *call)
{
	*list = (struct list){.call = call};
	buf_init(&list->body);
	buf_literal(&list->body, "{\"items\":[");
}

struct buf *
list_item(struct list *list)
{
	if (list->begun)
		buf_char(&list->body, ',');
	list->begun = true;
	buf_char(&list->body, '{');
	return &list->body;
}

void
list_item_end(struct list *list)
{
	buf_char(&list->body, '}');
}

void
list_end(struct list *list, struct str next)
{
	buf_char(&list->body, ']');
	if (next.len) {
		buf_literal(&list->body, ",\"next\":");
		buf_json_string(&list->body, next);
		call_link_next(list->call, next);
	}
	buf_char(&list->body, '}');
	response_header(list->call->response, STR("Cache-Control"), STR("private, no-store"));
	call_answer(list->call, 200, &list->body);
}

void
list_end_at(struct list *list, const struct uuid *last)
{
	char cursor[UUID_TEXT_SIZE] = "";

	if (last)
		uuid_format(last, cursor);
	list_end(list, str_from(cursor));
}
