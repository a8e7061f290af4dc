/*
 * The sandbox's calls: see calls.h. Unless a fault says otherwise they do what an economy service promises, to the
 * letter. No fault but "down", which closes the door for all, strikes the calls under /sandbox/, so that a test can look
 * and tidy up.
 */
#include "sandbox/calls.h"

#include <stddef.h>

#include "sandbox/call.h"

enum { HUGE_BYTES = 10 * 1024 * 1024 };

/* --- calls for tests and people --- */

struct wallet_body {
	struct str currency;
	int64_t balance;
};

static const struct call_field wallet_fields[] = {
	{"currency", CALL_ID, offsetof(struct wallet_body, currency)},
	{"balance", CALL_BALANCE, offsetof(struct wallet_body, balance)},
	{NULL, CALL_TEXT, 0},
};

static void
call_health(struct call *call)
{
	enum err err = bank_ping(call->calls->bank);

	if (err != ERR_OK)
		return call_answer_error(call, err);
	buf_literal(call_begin(call, 200), "{\"status\":\"ok\"}");
}

static void
call_player(struct call *call)
{
	if (!call_read_path_player(call))
		return;
	enum err err = bank_print_player(call->calls->bank, call->id, call_begin(call, 200));

	if (err != ERR_OK)
		call_answer_error(call, err);
}

static void
call_totals(struct call *call)
{
	enum err err = bank_print_totals(call->calls->bank, call_begin(call, 200));

	if (err != ERR_OK)
		call_answer_error(call, err);
}

static void
call_set_wallet(struct call *call)
{
	struct wallet_body wallet = {0};

	if (!call_read_path_player(call) || !call_read_body(call) || !call_read_fields(call, wallet_fields, &wallet))
		return;
	enum err err = bank_set_wallet(call->calls->bank, call->id, wallet.currency, wallet.balance);

	if (err != ERR_OK)
		return call_answer_error(call, err);
	call_begin(call, 200);
	call_put_text(call, "player", call->id);
	call_put_text(call, "currency", wallet.currency);
	call_put_integer(call, "balance", wallet.balance);
	call_put_end(call);
}

static void
call_show_faults(struct call *call)
{
	troubles_print(call->calls->troubles, call_begin(call, 200));
}

static void
call_show_journey(struct call *call)
{
	journey_print(call->calls->journey, call_begin(call, 200));
}

static void
call_set_faults(struct call *call)
{
	char detail[JSON_DETAIL_SIZE];
	int64_t down_ms;

	if (!call_read_body(call))
		return;
	if (troubles_put(call->calls->troubles, call->body, &down_ms, detail) != ERR_OK)
		return call_answer_invalid(call, detail);
	server_go_down(call->calls->server, down_ms);
	call_show_faults(call);
}

/* --- what faults do --- */

static void
wait_delay(struct call *call)
{
	server_wait(call->calls->server, call->trouble.delay_ms);
}

static void
answer_500(struct call *call)
{
	call_answer_code(call, 500, "internal");
}

static void
drop_answer(struct call *call)
{
	call->answer->end = SERVER_NONE;
}

static void
cut_answer(struct call *call)
{
	call->answer->end = SERVER_CUT;
}

/* Neither JSON nor text; the status stays. */
static void
answer_rubbish(struct call *call)
{
	buf_literal(call_begin(call, call->answer->status), "<html>\xff\xfe{\"key\":]] \0 \x80");
}

/* The true answer with a member of 10 MB in front. */
static void
answer_huge(struct call *call)
{
	struct buf *out = &call->answer->body;
	struct str rest = arena_str(&call->arena, buf_view(out));

	buf_clear(out);
	buf_literal(out, "{\"padding\":\"");
	memset(buf_reserve(out, HUGE_BYTES), 'x', HUGE_BYTES);
	out->len += HUGE_BYTES;
	buf_literal(out, "\",");
	buf_str(out, (struct str){rest.ptr + 1, rest.len - 1});
}

static void
answer_redirect(struct call *call)
{
	call_answer_code(call, 302, "elsewhere");
	call->answer->location = "/v1/elsewhere";
}

static void
go_down(struct call *call)
{
	server_go_down(call->calls->server, call->trouble.delay_ms);
	drop_answer(call);
}

static void
answer_503(struct call *call)
{
	call_answer_code(call, 503, "unavailable");
	call->answer->retry_after_s = CALL_RETRY_AFTER_S;
}

static void
answer_429(struct call *call)
{
	call_answer_code(call, 429, "too_many");
	call->answer->retry_after_s = CALL_RETRY_AFTER_S;
}

static const struct {
	bool executes;
	void (*before)(struct call *call);
	void (*after)(struct call *call);
} behaviours[TROUBLE_KINDS] = {
	[TROUBLE_NONE] = {.executes = true},
	[TROUBLE_LATE] = {.executes = true, .after = wait_delay},
	[TROUBLE_LATE_CHARGE] = {.executes = true, .before = wait_delay},
	[TROUBLE_ERROR_500] = {.after = answer_500},
	[TROUBLE_ERROR_500_EXECUTED] = {.executes = true, .after = answer_500},
	[TROUBLE_DROP] = {.executes = true, .after = drop_answer},
	[TROUBLE_DROP_BEFORE] = {.after = drop_answer},
	[TROUBLE_CUT] = {.executes = true, .after = cut_answer},
	[TROUBLE_WRONG_AMOUNT] = {.executes = true}, /* these show in the answer's members */
	[TROUBLE_WRONG_KEY] = {.executes = true},
	[TROUBLE_WRONG_TYPES] = {.executes = true},
	[TROUBLE_RUBBISH] = {.executes = true, .after = answer_rubbish},
	[TROUBLE_HUGE] = {.executes = true, .after = answer_huge},
	[TROUBLE_REDIRECT] = {.after = answer_redirect},
	[TROUBLE_REFUSE] = {.executes = true}, /* the call itself sees to it, and to forgetting */
	[TROUBLE_FORGET] = {.executes = true},
	[TROUBLE_DOWN] = {.after = go_down},
	[TROUBLE_UNAVAILABLE_503] = {.after = answer_503},
	[TROUBLE_TOO_MANY_429] = {.after = answer_429},
};

/* --- the table of calls --- */

static const struct resource {
	const char *pattern; /* {}: an id */
	enum trouble_call call;
	const char *allow;
	struct {
		const char *method;
		void (*run)(struct call *call);
	} methods[2];
} resources[] = {
	{"/v1/debits", TROUBLE_DEBITS, "POST", {{"POST", call_debit}}},
	{"/v1/debits/{}", TROUBLE_LOOKUP, "GET", {{"GET", call_lookup}}},
	{"/v1/debits/{}/cancel", TROUBLE_CANCEL, "POST", {{"POST", call_cancel}}},
	{"/v1/debits/{}/refund", TROUBLE_REFUND, "POST", {{"POST", call_refund}}},
	{"/v1/deliveries", TROUBLE_DELIVERIES, "POST", {{"POST", call_deliver}}},
	{"/healthz", TROUBLE_NEVER, "GET", {{"GET", call_health}}},
	{"/sandbox/players/{}", TROUBLE_NEVER, "GET", {{"GET", call_player}}},
	{"/sandbox/totals", TROUBLE_NEVER, "GET", {{"GET", call_totals}}},
	{"/sandbox/wallets/{}", TROUBLE_NEVER, "PUT", {{"PUT", call_set_wallet}}},
	{"/sandbox/calls", TROUBLE_NEVER, "GET", {{"GET", call_show_journey}}},
	{"/sandbox/faults", TROUBLE_NEVER, "GET, PUT", {{"GET", call_show_faults}, {"PUT", call_set_faults}}},
};

static bool
matches(const char *pattern, const char *path, struct str *ret_id)
{
	while (*pattern && *path) {
		if (*pattern == '{') {
			size_t length = strcspn(path, "/");

			*ret_id = (struct str){path, length};
			path += length;
			pattern += 2;
		} else if (*pattern++ != *path++) {
			return false;
		}
	}
	return !*pattern && !*path;
}

static const struct resource *
find_resource(struct call *call)
{
	for (size_t i = 0; i < sizeof(resources) / sizeof(resources[0]); i++)
		if (matches(resources[i].pattern, call->request->path, &call->id))
			return &resources[i];
	return NULL;
}

static void
run_call(struct call *call, enum trouble_call kind, void (*run)(struct call *call))
{
	if (kind != TROUBLE_NEVER)
		journey_note(call->calls->journey, call->request);
	/* Whoever has a connection left finds nobody behind it either. */
	if (kind != TROUBLE_NEVER && server_is_down(call->calls->server))
		return drop_answer(call);
	call->trouble = troubles_strike(call->calls->troubles, kind);
	if (call->trouble.kind == TROUBLE_FORGET)
		call->retention_ms = call->trouble.delay_ms;
	if (behaviours[call->trouble.kind].before)
		behaviours[call->trouble.kind].before(call);
	if (behaviours[call->trouble.kind].executes)
		run(call);
	if (behaviours[call->trouble.kind].after)
		behaviours[call->trouble.kind].after(call);
}

static void
dispatch(struct call *call)
{
	const struct resource *resource = find_resource(call);

	if (!resource)
		return call_answer_code(call, 404, "no_such_path");
	for (size_t i = 0; i < 2 && resource->methods[i].method; i++)
		if (strcmp(resource->methods[i].method, call->request->method) == 0)
			return run_call(call, resource->call, resource->methods[i].run);
	call_answer_code(call, 405, "method_not_allowed");
	call->answer->allow = resource->allow;
}

void
calls_handle(void *context, const struct server_request *request, struct server_answer *answer)
{
	struct calls *calls = context;
	struct call call = {.calls = calls, .request = request, .answer = answer, .retention_ms = calls->retention_ms};

	arena_init(&call.arena);
	dispatch(&call);
	json_free(call.body);
	arena_release(&call.arena);
}
