/* POST and GET .../players/{player}/claims */
#include "api/resources.h"

#include "api/members.h"
#include "api/pages.h"
#include "api/records.h"

enum { REWARDS_MAX = 500 };

static const struct field claim_fields[] = {
	{"rewards", FIELD_IDS, false, offsetof(struct operation_body, rewards), 1, REWARDS_MAX},
	{"all", FIELD_BOOLEAN, false, offsetof(struct operation_body, all), true, true},
};

static const struct operation_form claim_form = {WRITE_CLAIM, "claim", claim_fields, 2};

enum err
claim_decode(struct call *call)
{
	struct operation_body body;
	struct str key;
	enum err err = call_decode_operation(call, &claim_form, &key, &body);

	if (err != ERR_OK)
		return err;
	if (body.all == (body.rewards.count != 0))
		return call_fault(call, "", "exactly_one", "expected either rewards or all");
	call_add_operation(call, &claim_form, call->player, call->season, key, &body);
	return ERR_OK;
}

enum err
claim_encode(struct call *call)
{
	const struct operation *operation = call->operation;
	enum err err = call_operation_result(call);
	struct buf body;

	if (err != ERR_OK)
		return err;
	buf_init(&body);
	member_text(&body, "{\"player\":", operation->write.player);
	member_text(&body, ",\"season\":", str_from(operation->write.season->id));
	buf_char(&body, ',');
	buf_str(&body, operation->entry.result);
	buf_char(&body, '}');
	call_answer(call, 200, &body);
	return ERR_OK;
}

enum err
claims_decode(struct call *call)
{
	struct page_query *query = ARENA_NEW(call->arena, struct page_query);

	query->player = call->player;
	query->season = call->season->id;
	call->work = query;
	return page_decode(call, query);
}

enum err
claims_encode(struct call *call)
{
	const struct records_port *records = call->turn->service->rooms.records;
	const struct page_query *query = call->work;
	struct claim_row *rows;
	size_t count;
	enum err err = records->claims(records->self, query, call->arena, &rows, &count);

	if (err != ERR_OK)
		return err;

	size_t shown = page_shown(query, count);
	struct list list;

	list_begin(&list, call);
	for (size_t i = 0; i < shown; i++) {
		record_claim(&rows[i], false, list_item(&list));
		list_item_end(&list);
	}
	list_end_at(&list, count > shown ? &rows[shown - 1].delivery : NULL);
	return ERR_OK;
}
