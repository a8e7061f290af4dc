/* POST .../players/{player}/xp-grants, POST .../xp-grants (a batch) and GET .../players/{player}/xp-grants (the ledger)
 */
#include "api/resources.h"

#include "api/fields.h"
#include "api/pages.h"
#include "api/render.h"
#include "base/clock.h"
#include "base/digest.h"

enum { BATCH_MAX = 500, TAGS_MAX = 16, FUTURE_MS = 5 * 60 * 1000, CURSOR_LEN = 19 };

/* One grant as it is asked for. */
struct grant_body {
	int64_t amount;
	struct str source;
	struct str tags;
	int64_t occurred_at_ms;     /* -1: not said */
	struct str player;          /* batch only */
	struct str idempotency_key; /* batch only */
};

static const struct field single_fields[] = {
	{"amount", FIELD_INTEGER, true, offsetof(struct grant_body, amount), 1, XP_GRANT_MAX},
	{"source", FIELD_LABEL, true, offsetof(struct grant_body, source), 0, 0},
	{"tags", FIELD_LABELS, false, offsetof(struct grant_body, tags), 0, TAGS_MAX},
	{"occurred_at", FIELD_TIME, false, offsetof(struct grant_body, occurred_at_ms), 0, 0},
};

static const struct field entry_fields[] = {
	{"player", FIELD_PLAYER, true, offsetof(struct grant_body, player), 0, 0},
	{"amount", FIELD_INTEGER, true, offsetof(struct grant_body, amount), 1, XP_GRANT_MAX},
	{"source", FIELD_LABEL, true, offsetof(struct grant_body, source), 0, 0},
	{"tags", FIELD_LABELS, false, offsetof(struct grant_body, tags), 0, TAGS_MAX},
	{"occurred_at", FIELD_TIME, false, offsetof(struct grant_body, occurred_at_ms), 0, 0},
	{"idempotency_key", FIELD_KEY, true, offsetof(struct grant_body, idempotency_key), 0, 0},
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct grant_body
empty_body(void)
{
	return (struct grant_body){.tags = STR("[]"), .occurred_at_ms = -1};
}

/* What the request says, but for its key: a key used again with another hash is a mistake of the caller's. */
static void
hash_request(const struct grant_body *body, unsigned char hash[16])
{
	unsigned char digest[DIGEST_SIZE];
	struct buf text;

	buf_init(&text);
	buf_format(&text, "%lld\n%lld\n", (long long)body->amount, (long long)body->occurred_at_ms);
	buf_str(&text, body->source);
	buf_char(&text, '\n');
	buf_str(&text, body->tags);
	digest_sha256(buf_view(&text), digest);
	buf_release(&text);
	memcpy(hash, digest, 16);
}

static bool
in_future(const struct call *call, const struct grant_body *body)
{
	return body->occurred_at_ms > call->turn->now_ms + FUTURE_MS;
}

static struct grant_command *
add_grant(struct call *call, const struct grant_body *body, struct str player, struct str key)
{
	struct grant_command *command = turn_add_grant(call->turn, player, call->season);

	command->write.idempotency_key = key;
	command->row.amount = (uint64_t)body->amount;
	command->row.source = body->source;
	command->row.tags = body->tags;
	command->row.occurred_at_ms = body->occurred_at_ms < 0 ? call->turn->now_ms : body->occurred_at_ms;
	hash_request(body, command->write.request_hash);
	return command;
}

enum err
grant_decode(struct call *call)
{
	struct grant_body body = empty_body();
	struct str key;
	enum err err = call_idempotency_key(call, &key);

	if (err == ERR_OK)
		err = call_decode_body(call, single_fields, COUNT(single_fields), &body);
	if (err == ERR_OK && in_future(call, &body))
		err = call_fault(call, "/occurred_at", "out_of_range", "this lies in the future");
	if (err == ERR_OK)
		call->work = add_grant(call, &body, call->player, key);
	return err;
}

/* Of the errors of the work only a total that grew too large is about a field. */
static enum err
total_fault(struct call *call)
{
	return call_fault(call, "/amount", "out_of_range", "the player's total would exceed 10^15 - 1");
}

enum err
grant_encode(struct call *call)
{
	const struct grant_command *command = call->work;
	struct buf body;

	if (command->write.err != ERR_OK)
		return command->write.err == ERR_INVALID_FIELD ? total_fault(call) : command->write.err;
	buf_init(&body);
	buf_char(&body, '{');
	render_grant(&command->row, &body);
	buf_char(&body, '}');
	if (command->write.replayed)
		response_header(call->response, STR("Idempotent-Replayed"), STR("true"));
	call_answer(call, 201, &body);
	return ERR_OK;
}

/* An entry of a batch: a grant, or the faults that keep it from being one. */
struct entry {
	struct grant_command *command;
	struct grant_body body;
	struct faults faults;
};

struct batch {
	struct entry *entries;
	size_t count;
};

struct batch_body {
	const struct json *grants;
};

static const struct field batch_fields[] = {
	{"grants", FIELD_ARRAY, true, offsetof(struct batch_body, grants), 1, BATCH_MAX},
};

static void
decode_entry(struct call *call, const struct json *node, size_t index, struct entry *entry)
{
	struct str pointer = arena_format(call->arena, "/grants/%zu", index);

	entry->body = empty_body();
	faults_init(&entry->faults, call->arena);
	if (!fields_decode(node, pointer.ptr, entry_fields, COUNT(entry_fields), &entry->body, &entry->faults))
		return;
	if (in_future(call, &entry->body)) {
		faults_add(&entry->faults, arena_format(call->arena, "%s/occurred_at", pointer.ptr).ptr, "out_of_range",
			   "this lies in the future");
		return;
	}
	entry->command = add_grant(call, &entry->body, entry->body.player, entry->body.idempotency_key);
}

enum err
batch_decode(struct call *call)
{
	struct batch_body body = {0};
	enum err err = call_decode_body(call, batch_fields, 1, &body);

	if (err != ERR_OK)
		return err;

	struct batch *batch = ARENA_NEW(call->arena, struct batch);

	batch->entries = ARENA_ARRAY(call->arena, json_count(body.grants), struct entry);
	for (const struct json *each = json_first(body.grants); each; each = json_next(each), batch->count++)
		decode_entry(call, each, batch->count, &batch->entries[batch->count]);
	call->work = batch;
	metrics_observe(METRIC_XP_GRANT_BATCH, 0, 0, batch->count);
	return ERR_OK;
}

static void
put_rejected(struct buf *out, const struct entry *entry)
{
	enum err err = entry->command ? err_public(entry->command->write.err) : faults_err(&entry->faults);
	const char *detail = entry->faults.count ? entry->faults.items[0].detail : err_text(err);

	buf_format(out, "{\"status\":\"rejected\",\"code\":\"%s\",\"detail\":", err_code(err));
	buf_json_string(out, str_from(detail));
	if (entry->faults.count)
		response_put_faults(out, &entry->faults);
	if (entry->body.player.len) {
		buf_literal(out, ",\"player\":");
		buf_json_string(out, entry->body.player);
	}
	if (entry->body.idempotency_key.len) {
		buf_literal(out, ",\"idempotency_key\":");
		buf_json_string(out, entry->body.idempotency_key);
	}
	buf_char(out, '}');
}

static void
put_entry(struct buf *out, const struct entry *entry)
{
	const struct grant_command *command = entry->command;

	if (!command || command->write.err != ERR_OK) {
		put_rejected(out, entry);
		return;
	}
	buf_cstr(out, command->write.replayed ? "{\"status\":\"replayed\"," : "{\"status\":\"granted\",");
	buf_literal(out, "\"idempotency_key\":");
	buf_json_string(out, command->row.idempotency_key);
	buf_char(out, ',');
	render_grant(&command->row, out);
	buf_char(out, '}');
}

/* When the store is away for all of it, the call as a whole says so. */
static bool
nothing_reached_the_store(const struct batch *batch)
{
	for (size_t i = 0; i < batch->count; i++)
		if (!batch->entries[i].command ||
		    err_public(batch->entries[i].command->write.err) != ERR_STORE_UNAVAILABLE)
			return false;
	return true;
}

enum err
batch_encode(struct call *call)
{
	struct batch *batch = call->work;
	struct buf body;

	if (nothing_reached_the_store(batch))
		return ERR_STORE_UNAVAILABLE;
	buf_init(&body);
	buf_literal(&body, "{\"results\":[");
	for (size_t i = 0; i < batch->count; i++) {
		struct entry *entry = &batch->entries[i];

		if (i)
			buf_char(&body, ',');
		if (entry->command && entry->command->write.err == ERR_INVALID_FIELD)
			faults_add(&entry->faults, arena_format(call->arena, "/grants/%zu/amount", i).ptr,
				   "out_of_range", "the player's total would exceed 10^15 - 1");
		put_entry(&body, entry);
	}
	buf_literal(&body, "]}");
	call_answer(call, 200, &body);
	return ERR_OK;
}

static enum err
filter_label(struct call *call, struct str name, struct str *label)
{
	if (!request_query(call->request, name, label) || label_valid(*label))
		return ERR_OK;
	return filter_fault(call, name, "expected 1-64 of A-Z a-z 0-9 . _ - : /");
}

/* The cursor is "r" and the revision of the last grant on the page before, in 18 digits. */
static enum err
decode_cursor(struct call *call, struct str cursor, uint64_t *before)
{
	bool good = cursor.len == CURSOR_LEN && cursor.ptr[0] == 'r';

	*before = cursor.len == 0 ? UINT64_MAX : 0;
	for (size_t i = 1; good && i < cursor.len; i++) {
		good = cursor.ptr[i] >= '0' && cursor.ptr[i] <= '9';
		*before = *before * 10 + (uint64_t)(cursor.ptr[i] - '0');
	}
	if (good || cursor.len == 0)
		return ERR_OK;
	return call_fault(call, "/query/cursor", "bad_form", "this cursor was not given out here");
}

enum err
ledger_decode(struct call *call)
{
	struct ledger_query *query = ARENA_NEW(call->arena, struct ledger_query);
	struct str cursor;
	enum err err = call_page(call, &query->limit, &cursor);

	query->player = call->player;
	query->season = call->season->id;
	query->to_ms = INT64_MAX;
	if (err == ERR_OK)
		err = decode_cursor(call, cursor, &query->before);
	if (err == ERR_OK)
		err = filter_label(call, STR("source"), &query->source);
	if (err == ERR_OK)
		err = filter_label(call, STR("tag"), &query->tag);
	if (err == ERR_OK)
		err = filter_time(call, STR("from"), &query->from_ms);
	if (err == ERR_OK)
		err = filter_time(call, STR("to"), &query->to_ms);
	call->work = query;
	return err;
}

static void
put_ledger_item(const struct grant_row *row, struct buf *out)
{
	render_grant(row, out);
	buf_literal(out, ",\"source\":");
	buf_json_string(out, row->source);
	buf_literal(out, ",\"tags\":");
	buf_str(out, row->tags);
	buf_literal(out, ",\"occurred_at\":\"");
	buf_time(out, row->occurred_at_ms);
	buf_literal(out, "\",\"idempotency_key\":");
	buf_json_string(out, row->idempotency_key);
}

enum err
ledger_encode(struct call *call)
{
	struct ledger_query *query = call->work;
	uint32_t size = query->limit++; /* one more tells whether there is a next page */
	struct grant_row *rows;
	size_t count;
	enum err err = turn_ledger(call->turn, query, &rows, &count);

	if (err != ERR_OK)
		return err;

	struct list list;
	struct str next = STR_NONE;

	list_begin(&list, call);
	for (size_t i = 0; i < count && i < size; i++) {
		put_ledger_item(&rows[i], list_item(&list));
		list_item_end(&list);
	}
	if (count > size)
		next = arena_format(call->arena, "r%018llu", (unsigned long long)rows[size - 1].revision);
	list_end(&list, next);
	return ERR_OK;
}
