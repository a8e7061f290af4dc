/* The calls as requests: see verbs.h. */
#include "economy/verbs.h"

static void
text_member(struct buf *out, const char *name, struct str value)
{
	buf_format(out, ",\"%s\":", name);
	buf_json_string(out, value);
}

static void
integer_member(struct buf *out, const char *name, uint64_t value)
{
	buf_format(out, ",\"%s\":", name);
	buf_u64(out, value);
}

static void
debit_members(const struct economy_call *call, struct buf *out)
{
	text_member(out, "currency", call->currency);
	integer_member(out, "amount", call->amount);
}

static void
delivery_members(const struct economy_call *call, struct buf *out)
{
	text_member(out, "kind", call->kind);
	text_member(out, "item", call->item);
	integer_member(out, "quantity", call->quantity);
}

static const struct verb {
	bool posts;
	const char *path;
	bool key_in_path; /* behind the path; else it goes into the header */
	const char *path_end;
	void (*members)(const struct economy_call *call, struct buf *out); /* between player and reference */
} verbs[] = {
	[ECONOMY_DEBIT] = {true, "/v1/debits", false, "", debit_members},
	[ECONOMY_LOOKUP] = {false, "/v1/debits/", true, "", NULL},
	[ECONOMY_CANCEL] = {true, "/v1/debits/", true, "/cancel", NULL},
	[ECONOMY_REFUND] = {true, "/v1/debits/", true, "/refund", NULL},
	[ECONOMY_DELIVER] = {true, "/v1/deliveries", false, "", delivery_members},
};

bool
verb_posts(enum economy_verb verb)
{
	return verbs[verb].posts;
}

bool
verb_carries_key(enum economy_verb verb)
{
	return !verbs[verb].key_in_path;
}

void
verb_path(const struct economy_call *call, struct buf *out)
{
	char key[UUID_TEXT_SIZE];

	buf_cstr(out, verbs[call->verb].path);
	if (verbs[call->verb].key_in_path) {
		uuid_format(&call->key, key);
		buf_cstr(out, key);
	}
	buf_cstr(out, verbs[call->verb].path_end);
}

void
verb_body(const struct economy_call *call, struct buf *out)
{
	if (!verbs[call->verb].members)
		return;
	buf_literal(out, "{\"player\":");
	buf_json_string(out, call->player);
	verbs[call->verb].members(call, out);
	text_member(out, "reference", call->reference);
	buf_char(out, '}');
}
