/* GET /v1/admin/deliveries and POST /v1/admin/deliveries/{delivery}/retry */
#include "api/resources.h"

#include "api/pages.h"
#include "api/records.h"

struct deliveries_query {
	struct page_query page;
	const char *state; /* NULL: any */
};

static enum err
filter_state(struct call *call, const char **ret_state)
{
	enum delivery_state state;
	struct str name;

	if (!request_query(call->request, STR("state"), &name))
		return ERR_OK;
	if (!delivery_state_parse(name, &state))
		return filter_fault(call, STR("state"), "expected pending, delivered or failed");
	*ret_state = delivery_state_name(state);
	return ERR_OK;
}

enum err
deliveries_decode(struct call *call)
{
	struct deliveries_query *query = ARENA_NEW(call->arena, struct deliveries_query);
	enum err err = page_decode(call, &query->page);

	call->work = query;
	return err == ERR_OK ? filter_state(call, &query->state) : err;
}

enum err
deliveries_encode(struct call *call)
{
	const struct records_port *records = call->turn->service->rooms.records;
	const struct deliveries_query *query = call->work;
	struct delivery_row *rows;
	size_t count;
	enum err err = records->deliveries(records->self, &query->page, query->state, call->arena, &rows, &count);

	if (err != ERR_OK)
		return err;

	size_t shown = page_shown(&query->page, count);
	struct list list;

	list_begin(&list, call);
	for (size_t i = 0; i < shown; i++) {
		record_delivery(&rows[i], list_item(&list));
		list_item_end(&list);
	}
	list_end_at(&list, count > shown ? &rows[shown - 1].id : NULL);
	return ERR_OK;
}

static const struct field retry_fields[] = {
	REASON_FIELD,
	VALIDATE_ONLY_FIELD,
};

static const struct operation_form retry_form = {WRITE_DELIVERY_RETRY, "delivery_retry", retry_fields, 2};

/* The path names no player and season: the delivery's row does. */
enum err
retry_decode(struct call *call)
{
	const struct records_port *records = call->turn->service->rooms.records;
	struct delivery_row *row = ARENA_NEW(call->arena, struct delivery_row);
	const struct season_entry *season;
	struct operation_body body;
	struct str key;
	enum err err = call_decode_operation(call, &retry_form, &key, &body);

	if (err == ERR_OK)
		err = records->delivery(records->self, &call->id, call->arena, row);
	if (err == ERR_OK)
		err = turn_season(call->turn, str_from(row->season), &season);
	if (err != ERR_OK)
		return err;
	call_add_operation(call, &retry_form, row->player, season, key, &body)->delivery_state = row->state;
	call->work = row;
	return ERR_OK;
}

/* As it was read, and what the retry made of it since; a replay says how it stands now. */
enum err
retry_encode(struct call *call)
{
	struct delivery_row *row = call->work;
	enum err err = call_operation_result(call);
	struct buf body;

	if (err != ERR_OK)
		return err;
	if (!call->operation->write.replayed) {
		row->state = DELIVERY_PENDING;
		row->tries = 0;
		row->updated_at_ms = call->operation->entry.entered_at_ms;
	}
	buf_init(&body);
	buf_char(&body, '{');
	record_delivery(row, &body);
	buf_cstr(&body, call->operation->validate_only ? ",\"validate_only\":true}" : "}");
	call_answer(call, 200, &body);
	return ERR_OK;
}
