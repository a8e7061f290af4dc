/*
 * .../players/{player}/purchases and purchase-options, GET /v1/admin/purchases, and refunds. A purchase that waits for
 * the economy has no answer yet; it is encoded when it is decided or has waited long enough.
 */
#include "api/resources.h"

#include "api/members.h"
#include "api/pages.h"
#include "api/records.h"
#include "service/holdings.h"

enum { TIERS_MAX = 1000, OPEN_MAX = 200 };

static const struct field purchase_fields[] = {
	{"pass", FIELD_ID, false, offsetof(struct operation_body, pass), 0, 0},
	{"tiers", FIELD_INTEGER, false, offsetof(struct operation_body, tiers), 1, TIERS_MAX},
};

static const struct operation_form purchase_form = {WRITE_PURCHASE, "purchase", purchase_fields, 2};

enum err
purchase_decode(struct call *call)
{
	struct operation_body body;
	struct str key;
	enum err err = call_decode_operation(call, &purchase_form, &key, &body);

	if (err != ERR_OK)
		return err;
	if ((body.pass.len != 0) == (body.tiers != 0))
		return call_fault(call, "", "exactly_one", "expected either pass or tiers");
	call_add_operation(call, &purchase_form, call->player, call->season, key, &body);
	return ERR_OK;
}

/* The steps of these purchases, which are of one player. */
static enum err
load_steps(struct call *call, const struct purchase_row *rows, size_t count, struct purchase_step **ret_steps,
	   size_t *ret_count)
{
	const struct records_port *records = call->turn->service->rooms.records;

	*ret_count = 0;
	if (count == 0)
		return ERR_OK;
	return records->history(records->self, rows[0].player, rows, count, call->arena, ret_steps, ret_count);
}

/* After a write: that its history cannot be read now is no reason to say that it failed. */
static void
answer_written(struct call *call, int status)
{
	const struct operation *operation = call->operation;
	const struct purchase_row *row = &operation->purchase;
	struct purchase_step *steps = NULL;
	size_t count;
	struct buf body;

	if (load_steps(call, row, 1, &steps, &count) != ERR_OK)
		steps = NULL;
	buf_init(&body);
	buf_char(&body, '{');
	record_purchase(row, steps, count, &body);
	buf_cstr(&body, operation->validate_only ? ",\"validate_only\":true}" : "}");
	if (status == 202)
		call_locate_purchase(call, row);
	call_answer(call, status, &body);
}

static const int purchase_statuses[PURCHASE_STATE_COUNT] = {
	[PURCHASE_DEBITING] = 202,   [PURCHASE_GRANTED] = 201,   [PURCHASE_DECLINED] = 402,
	[PURCHASE_CANCELLING] = 202, [PURCHASE_CANCELLED] = 200, [PURCHASE_REFUNDING] = 202,
	[PURCHASE_REFUNDED] = 200,   [PURCHASE_STUCK] = 202,     [PURCHASE_CLOSED] = 200,
};

static bool
is_free_pass(struct call *call, struct str id)
{
	const struct season *season;

	if (id.len == 0 || turn_definition(call->turn, call->season, &season) != ERR_OK)
		return false;
	int pass = season_find_pass(season, id.ptr, id.len);

	return pass >= 0 && season->passes[pass].free;
}

/* Everybody has the free passes: to buy one is a mistake in the field, as to name one that does not exist. */
static enum err
refuse_purchase(struct call *call, enum err err)
{
	const struct operation *operation = call->operation;

	if (err == ERR_INVALID_FIELD && operation->pass.len == 0)
		return call_fault(call, "/tiers", "out_of_range", "the player's total would exceed 10^15 - 1");
	if (err == ERR_INVALID_FIELD || (err == ERR_ALREADY_OWNED && is_free_pass(call, operation->pass)))
		return call_fault(call, "/pass", "no_such_pass", "no pass of this name has a price in this season");
	return err;
}

enum err
purchase_encode(struct call *call)
{
	enum err err = call_operation_result(call);
	int status;

	if (err != ERR_OK)
		return refuse_purchase(call, err);
	status = purchase_statuses[call->operation->purchase.state];
	if (status == 402)
		return ERR_PAYMENT_DECLINED;
	answer_written(call, status);
	return ERR_OK;
}

static const struct field refund_fields[] = {
	REASON_FIELD,
	VALIDATE_ONLY_FIELD,
};

static const struct operation_form refund_form = {WRITE_REFUND, "refund", refund_fields, 2};

enum err
refund_decode(struct call *call)
{
	return call_operation(call, &refund_form);
}

enum err
refund_encode(struct call *call)
{
	const struct operation *operation = call->operation;
	enum err err = call_operation_result(call);
	bool done = operation->validate_only || operation->purchase.state == PURCHASE_REFUNDED;

	if (err == ERR_OK)
		answer_written(call, done ? 200 : 202);
	return err;
}

static const struct operation_form close_form = {WRITE_PURCHASE_CLOSE, "close", refund_fields, 2};

enum err
purchase_close_decode(struct call *call)
{
	return call_operation(call, &close_form);
}

enum err
purchase_close_encode(struct call *call)
{
	enum err err = call_operation_result(call);

	if (err == ERR_OK)
		answer_written(call, 200);
	return err;
}

struct purchases_query {
	struct page_query page;
	const char *state; /* NULL: any */
};

enum err
purchases_decode(struct call *call)
{
	struct purchases_query *query = ARENA_NEW(call->arena, struct purchases_query);

	query->page.player = call->player;
	query->page.season = call->season->id;
	call->work = query;
	return page_decode(call, &query->page);
}

enum err
admin_purchases_decode(struct call *call)
{
	struct purchases_query *query = ARENA_NEW(call->arena, struct purchases_query);
	enum purchase_state state;
	struct str name;
	enum err err = page_decode(call, &query->page);

	call->work = query;
	if (err != ERR_OK || !request_query(call->request, STR("state"), &name))
		return err;
	if (!purchase_state_parse(arena_copy(call->arena, name), &state))
		return filter_fault(call, STR("state"),
				    "expected debiting, granted, declined, cancelling, cancelled, "
				    "refunding, refunded, stuck or closed");
	query->state = purchase_state_name(state);
	return ERR_OK;
}

/* The purchases of one player have their history with them. */
static enum err
answer_list(struct call *call, bool with_history)
{
	const struct records_port *records = call->turn->service->rooms.records;
	const struct purchases_query *query = call->work;
	struct purchase_row *rows;
	struct purchase_step *steps = NULL;
	size_t count;
	size_t step_count = 0;
	enum err err = records->purchases(records->self, &query->page, query->state, call->arena, &rows, &count);
	size_t shown = err == ERR_OK ? page_shown(&query->page, count) : 0;

	if (err == ERR_OK && with_history)
		err = load_steps(call, rows, shown, &steps, &step_count);
	if (err != ERR_OK)
		return err;

	struct list list;

	list_begin(&list, call);
	for (size_t i = 0; i < shown; i++) {
		record_purchase(&rows[i], steps, step_count, list_item(&list));
		list_item_end(&list);
	}
	list_end_at(&list, count > shown ? &rows[shown - 1].id : NULL);
	return ERR_OK;
}

enum err
purchases_encode(struct call *call)
{
	return answer_list(call, true);
}

enum err
admin_purchases_encode(struct call *call)
{
	return answer_list(call, false);
}

enum err
purchase_get_encode(struct call *call)
{
	const struct records_port *records = call->turn->service->rooms.records;
	struct purchase_row row;
	struct purchase_step *steps = NULL;
	size_t count;
	struct buf body;
	enum err err = records->purchase(records->self, call->player, call->season->id, &call->id, call->arena, &row);

	if (err == ERR_OK)
		err = load_steps(call, &row, 1, &steps, &count);
	if (err != ERR_OK)
		return err;
	buf_init(&body);
	buf_char(&body, '{');
	record_purchase(&row, steps, count, &body);
	buf_char(&body, '}');
	response_header(call->response, STR("Cache-Control"), STR("private, no-store"));
	call_answer(call, 200, &body);
	return ERR_OK;
}

/* What a player can buy. */
struct offers {
	const struct season *season;
	struct progress_row row;
	uint32_t owned;  /* passes, as bits */
	uint32_t open;   /* passes that a purchase which is not decided yet has to do with */
	bool tiers_open; /* the same of tiers */
	enum err closed; /* why nothing is sold at all; ERR_OK: it is */
};

/* A purchase of this pass is not decided yet: what includes it, or is included in it, has to wait, too. */
static void
mark(struct offers *offers, struct str name)
{
	const struct pass *passes = offers->season->passes;
	int pass = name.len ? season_find_pass(offers->season, name.ptr, name.len) : -1;

	offers->tiers_open |= name.len == 0;
	for (uint32_t i = 0; pass >= 0 && i < offers->season->pass_count; i++)
		if ((passes[i].includes >> pass & 1) || (passes[pass].includes >> i & 1))
			offers->open |= UINT32_C(1) << i;
}

/* Marks the passes of the player's purchases in this state. */
static enum err
mark_open(struct call *call, enum purchase_state state, struct offers *offers)
{
	const struct records_port *records = call->turn->service->rooms.records;
	struct page_query query = {call->player, call->season->id, true, {{0}}, OPEN_MAX};
	struct purchase_row *rows;
	size_t count;

	do {
		enum err err = records->purchases(records->self, &query, purchase_state_name(state), call->arena, &rows,
						  &count);

		if (err != ERR_OK)
			return err;
		for (size_t i = 0; i < count; i++) {
			if (rows[i].live)
				mark(offers, rows[i].pass);
		}
		query.from_newest = false;
		query.before = count ? rows[count - 1].id : query.before;
	} while (count == OPEN_MAX);
	return ERR_OK;
}

static enum err
load_offers(struct call *call, struct offers *offers)
{
	static const enum purchase_state undecided[] = {PURCHASE_DEBITING, PURCHASE_CANCELLING, PURCHASE_STUCK};
	const struct season_entry *entry = call->season;
	enum err err = turn_definition(call->turn, entry, &offers->season);

	if (err == ERR_OK)
		err = turn_row(call->turn, call->player, entry, &offers->row);
	if (err != ERR_OK)
		return err;
	offers->owned = holdings_owned(offers->season, &offers->row);
	offers->closed = purchase_admit(entry->stored_state, &entry->times, call->turn->now_ms);
	if (offers->closed == ERR_OK && !call->turn->service->limits.sells)
		offers->closed = ERR_NOT_FOR_SALE;
	for (size_t i = 0; offers->closed == ERR_OK && i < sizeof(undecided) / sizeof(undecided[0]); i++)
		if ((err = mark_open(call, undecided[i], offers)) != ERR_OK)
			return err;
	return ERR_OK;
}

/* The price, and whether it can be had for it; reason is a problem's code. */
static void
put_offer(const struct price *price, enum err err, struct buf *out)
{
	if (price->currency) {
		buf_literal(out, "\"price\":");
		record_price(str_from(price->currency), price->amount, out);
		buf_char(out, ',');
	}
	buf_cstr(out, err == ERR_OK ? "\"available\":true" : "\"available\":false");
	if (err != ERR_OK)
		buf_format(out, ",\"reason\":\"%s\"", err_code(err));
}

static void
put_pass_offer(const struct offers *offers, uint32_t pass, struct buf *out)
{
	struct price price = offers->season->passes[pass].price;
	enum err err = purchase_pass_price(offers->season, offers->owned, pass, &price);

	if (offers->closed != ERR_OK)
		err = offers->closed;
	else if (err == ERR_OK && (offers->open >> pass & 1))
		err = ERR_PURCHASE_IN_PROGRESS;
	buf_format(out, "{\"pass\":\"%s\",", offers->season->passes[pass].id);
	put_offer(&price, err, out);
	buf_char(out, '}');
}

static void
put_tiers_offer(const struct offers *offers, struct buf *out)
{
	struct price price = offers->season->tier_price;
	uint32_t left = purchase_tiers_left(offers->season, offers->row.xp);
	enum err err = purchase_tiers_price(offers->season, offers->row.xp, 1, &price);

	if (offers->closed != ERR_OK)
		err = offers->closed;
	else if (err == ERR_OK && offers->tiers_open)
		err = ERR_PURCHASE_IN_PROGRESS;
	else if (err == ERR_INVALID_FIELD) /* not even one more has room below the greatest total */
		err = ERR_TOO_MANY_TIERS;
	buf_literal(out, ",\"tiers\":{");
	put_offer(&price, err, out);
	member_number(out, ",\"max_tiers\":", left);
	buf_char(out, '}');
}

enum err
options_encode(struct call *call)
{
	struct offers offers = {.open = 0};
	const char *comma = "";
	struct buf body;
	enum err err = load_offers(call, &offers);

	if (err != ERR_OK)
		return err;
	buf_init(&body);
	member_text(&body, "{\"player\":", call->player);
	member_text(&body, ",\"season\":", str_from(call->season->id));
	buf_literal(&body, ",\"passes\":[");
	for (uint32_t i = 0; i < offers.season->pass_count; i++) {
		if (offers.season->passes[i].free)
			continue;
		buf_cstr(&body, comma);
		put_pass_offer(&offers, i, &body);
		comma = ",";
	}
	buf_char(&body, ']');
	if (offers.season->tier_price.currency)
		put_tiers_offer(&offers, &body);
	buf_char(&body, '}');
	response_header(call->response, STR("Cache-Control"), STR("private, no-store"));
	call_answer(call, 200, &body);
	return ERR_OK;
}
