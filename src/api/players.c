/*
 * What support sees of a player and does to it: GET /v1/admin/players/{player}, corrections, tiers, passes, resets; and
 * GET /v1/players/{player}/seasons, which the player may ask, too.
 */
#include "api/resources.h"

#include "api/members.h"
#include "api/pages.h"
#include "api/records.h"

enum { TIERS_MAX = 1000, NEWEST = 50 };

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Season ids are in byte order, and the last one on a page is the cursor of the next. */
struct standings_query {
	uint32_t size;
	struct str after;
};

enum err
standings_decode(struct call *call)
{
	struct standings_query *query = ARENA_NEW(call->arena, struct standings_query);
	enum err err = call_page(call, &query->size, &query->after);

	call->work = query;
	if (err == ERR_OK && query->after.len && !id_valid(query->after.ptr, query->after.len))
		return filter_fault(call, STR("cursor"), "this cursor was not given out here");
	return err;
}

static void
put_standing(const struct season_standing *row, struct buf *out)
{
	member_text(out, "\"season\":", row->season);
	member_number(out, ",\"revision\":\"", row->revision);
	member_number(out, "\",\"xp\":", row->xp);
	if (row->revision)
		member_moment(out, ",\"updated_at\":", row->updated_at_ms);
	else
		buf_literal(out, ",\"updated_at\":null");
}

enum err
standings_encode(struct call *call)
{
	const struct records_port *records = call->turn->service->rooms.records;
	const struct standings_query *query = call->work;
	struct season_standing *rows;
	size_t count;
	size_t first = 0;
	enum err err = records->standings(records->self, call->player, call->arena, &rows, &count);

	if (err != ERR_OK)
		return err;
	while (first < count && str_compare(rows[first].season, query->after) <= 0)
		first++;

	size_t end = count - first > query->size ? first + query->size : count;
	struct list list;

	list_begin(&list, call);
	for (size_t i = first; i < end; i++) {
		put_standing(&rows[i], list_item(&list));
		list_item_end(&list);
	}
	list_end(&list, end < count ? rows[end - 1].season : STR_NONE);
	return ERR_OK;
}

/* The progress in a season; of one that is not in the directory only what the row says by itself. */
static enum err
put_progress(struct call *call, const struct season_standing *standing, struct buf *out)
{
	const struct season_entry *entry = directory_find(&call->turn->service->seasons, standing->season);
	const struct season *season;
	struct progress_row row;

	if (!entry) {
		buf_char(out, '{');
		put_standing(standing, out);
		buf_char(out, '}');
		return ERR_OK;
	}
	enum err err = turn_definition(call->turn, entry, &season);

	if (err == ERR_OK)
		err = turn_row(call->turn, call->player, entry, &row);
	if (err == ERR_OK)
		call->turn->service->rooms.codec->render_progress(season, &row, out);
	return err;
}

static enum err
put_seasons(struct call *call, struct buf *out)
{
	const struct records_port *records = call->turn->service->rooms.records;
	struct season_standing *rows;
	size_t count;
	enum err err = records->standings(records->self, call->player, call->arena, &rows, &count);

	for (size_t i = 0; err == ERR_OK && i < count; i++) {
		if (i)
			buf_char(out, ',');
		err = put_progress(call, &rows[i], out);
	}
	return err;
}

static enum err
put_purchases(struct call *call, struct buf *out)
{
	const struct records_port *records = call->turn->service->rooms.records;
	struct page_query query = {.player = call->player, .from_newest = true, .limit = NEWEST};
	struct purchase_row *rows;
	struct purchase_step *steps = NULL;
	size_t count;
	size_t step_count = 0;
	enum err err = records->purchases(records->self, &query, NULL, call->arena, &rows, &count);

	if (err == ERR_OK && count)
		err = records->history(records->self, call->player, rows, count, call->arena, &steps, &step_count);
	for (size_t i = 0; err == ERR_OK && i < count; i++) {
		buf_cstr(out, i ? ",{" : "{");
		record_purchase(&rows[i], steps, step_count, out);
		buf_char(out, '}');
	}
	return err;
}

static enum err
put_claims(struct call *call, struct buf *out)
{
	const struct records_port *records = call->turn->service->rooms.records;
	struct page_query query = {.player = call->player, .from_newest = true, .limit = NEWEST};
	struct claim_row *rows;
	size_t count;
	enum err err = records->claims(records->self, &query, call->arena, &rows, &count);

	for (size_t i = 0; err == ERR_OK && i < count; i++) {
		buf_cstr(out, i ? ",{" : "{");
		record_claim(&rows[i], true, out);
		buf_char(out, '}');
	}
	return err;
}

static enum err
put_deliveries(struct call *call, struct buf *out)
{
	const struct records_port *records = call->turn->service->rooms.records;
	struct page_query query = {.player = call->player, .from_newest = true, .limit = NEWEST};
	struct delivery_row *rows;
	size_t count;
	enum err err = records->deliveries(records->self, &query, NULL, call->arena, &rows, &count);

	for (size_t i = 0; err == ERR_OK && i < count; i++) {
		buf_cstr(out, i ? ",{" : "{");
		record_delivery(&rows[i], out);
		buf_char(out, '}');
	}
	return err;
}

static enum err
put_audit(struct call *call, struct buf *out)
{
	const struct records_port *records = call->turn->service->rooms.records;
	struct entry_query query = {{call->player, NULL, true, {{0}}, NEWEST}, STR_NONE, STR_NONE, 0, INT64_MAX};
	struct audit_entry *rows;
	size_t count;
	enum err err = records->entries(records->self, &query, call->arena, &rows, &count);

	for (size_t i = 0; err == ERR_OK && i < count; i++) {
		buf_cstr(out, i ? ",{" : "{");
		record_entry(&rows[i], out);
		buf_char(out, '}');
	}
	return err;
}

/* The parts of a player; all but the seasons are the newest of what there is. */
static const struct {
	const char *label;
	enum err (*put)(struct call *call, struct buf *out);
} player_parts[] = {
	{",\"seasons\":[", put_seasons},       {",\"purchases\":[", put_purchases}, {",\"claims\":[", put_claims},
	{",\"deliveries\":[", put_deliveries}, {",\"audit\":[", put_audit},
};

enum err
player_encode(struct call *call)
{
	enum err err = ERR_OK;
	struct buf body;

	buf_init(&body);
	member_text(&body, "{\"player\":", call->player);
	for (size_t i = 0; err == ERR_OK && i < COUNT(player_parts); i++) {
		buf_cstr(&body, player_parts[i].label);
		err = player_parts[i].put(call, &body);
		buf_char(&body, ']');
	}
	buf_char(&body, '}');
	if (err != ERR_OK) {
		buf_release(&body);
		return err;
	}
	response_header(call->response, STR("Cache-Control"), STR("private, no-store"));
	call_answer(call, 200, &body);
	return ERR_OK;
}

#define BODY(member) offsetof(struct operation_body, member)

static const struct field correction_fields[] = {
	REASON_FIELD,
	VALIDATE_ONLY_FIELD,
	{"amount", FIELD_INTEGER, true, BODY(amount), -(int64_t)XP_GRANT_MAX, XP_GRANT_MAX},
};
static const struct field tier_grant_fields[] = {
	REASON_FIELD,
	VALIDATE_ONLY_FIELD,
	{"tiers", FIELD_INTEGER, true, BODY(tiers), 1, TIERS_MAX},
};
static const struct field pass_fields[] = {
	REASON_FIELD,
	VALIDATE_ONLY_FIELD,
	{"pass", FIELD_ID, true, BODY(pass), 0, 0},
};
static const struct field reset_fields[] = {
	REASON_FIELD,
	VALIDATE_ONLY_FIELD,
	{"claims", FIELD_CHOICE, true, BODY(claims), CHOICE_CLAIMS, 0},
};
static const struct field undo_fields[] = {
	REASON_FIELD,
	VALIDATE_ONLY_FIELD,
};

static const struct operation_form correction_form = {WRITE_XP_CORRECTION, "xp_correction", correction_fields,
						      COUNT(correction_fields)};
static const struct operation_form tier_grant_form = {WRITE_TIER_GRANT, "tier_grant", tier_grant_fields,
						      COUNT(tier_grant_fields)};
static const struct operation_form pass_grant_form = {WRITE_PASS_GRANT, "pass_grant", pass_fields, COUNT(pass_fields)};
static const struct operation_form pass_revocation_form = {WRITE_PASS_REVOCATION, "pass_revocation", pass_fields,
							   COUNT(pass_fields)};
static const struct operation_form reset_form = {WRITE_RESET, "reset", reset_fields, COUNT(reset_fields)};
static const struct operation_form undo_form = {WRITE_RESET_UNDO, "reset_undo", undo_fields, COUNT(undo_fields)};

enum err
correction_decode(struct call *call)
{
	return call_operation(call, &correction_form);
}

enum err
tier_grant_decode(struct call *call)
{
	return call_operation(call, &tier_grant_form);
}

enum err
pass_grant_decode(struct call *call)
{
	return call_operation(call, &pass_grant_form);
}

enum err
pass_revocation_decode(struct call *call)
{
	return call_operation(call, &pass_revocation_form);
}

enum err
reset_decode(struct call *call)
{
	return call_operation(call, &reset_form);
}

enum err
reset_undo_decode(struct call *call)
{
	return call_operation(call, &undo_form);
}

/* Where the rules say that a field cannot be used, which one it is. */
static const struct {
	const char *pointer;
	const char *code;
	const char *detail;
} wrong_fields[WRITE_KIND_COUNT] = {
	[WRITE_XP_CORRECTION] = {"/amount", "out_of_range", "not 0, and the total stays between 0 and 10^15 - 1"},
	[WRITE_TIER_GRANT] = {"/tiers", "out_of_range", "the total would exceed 10^15 - 1"},
	[WRITE_PASS_GRANT] = {"/pass", "no_such_pass", "the season has no such pass"},
	[WRITE_PASS_REVOCATION] = {"/pass", "no_such_pass", "the season has no such pass"},
	[WRITE_RESET_UNDO] = {"", "out_of_range", "the total would exceed 10^15 - 1"},
};

static enum err
refuse_operation(struct call *call, enum err err)
{
	enum write_kind kind = call->operation->write.kind;

	if (err != ERR_INVALID_FIELD || !wrong_fields[kind].pointer)
		return err;
	return call_fault(call, wrong_fields[kind].pointer, wrong_fields[kind].code, wrong_fields[kind].detail);
}

/* The revision that a state names: a dry run's entry has none of its own. */
static struct str
revision_in(struct call *call, struct str state)
{
	struct json *root = NULL;
	struct str revision = STR("0");

	if (json_parse(state, &root, NULL) == ERR_OK)
		json_get_string(json_member(root, "revision"), &revision);
	revision = arena_str(call->arena, revision);
	json_free(root);
	return revision;
}

static void
put_operation(struct call *call, struct buf *out)
{
	const struct operation *operation = call->operation;
	const struct audit_entry *entry = &operation->entry;

	if (operation->validate_only)
		buf_literal(out, "\"validate_only\":true");
	else
		member_uuid(out, "\"operation\":", &entry->id);
	member_text(out, ",\"action\":", str_from(entry->action));
	member_text(out, ",\"player\":", operation->write.player);
	member_text(out, ",\"season\":", str_from(operation->write.season->id));
	member_text(out, ",\"revision\":", revision_in(call, entry->after));
	buf_literal(out, ",\"before\":");
	buf_str(out, entry->before);
	buf_literal(out, ",\"after\":");
	buf_str(out, entry->after);
	if (entry->result.len && !operation->validate_only) {
		buf_char(out, ',');
		buf_str(out, entry->result);
	}
	member_text(out, ",\"actor\":", entry->author.actor);
	member_text(out, ",\"role\":", str_from(entry->author.role));
	member_text(out, ",\"reason\":", entry->author.reason);
	member_moment(out, ",\"at\":", entry->entered_at_ms);
}

enum err
operation_encode(struct call *call)
{
	enum err err = call_operation_result(call);
	struct buf body;

	if (err != ERR_OK)
		return refuse_operation(call, err);
	buf_init(&body);
	buf_char(&body, '{');
	put_operation(call, &body);
	buf_char(&body, '}');
	call_answer(call, 200, &body);
	return ERR_OK;
}
