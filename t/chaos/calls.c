/* Requests and their answers: see calls.h. */
#include "calls.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	LOOKUP_LEAST = 10,
	HOTTEST = 6,
	BATCH_LEAST = 5,
	AMOUNT_MOST = 9,
	AMOUNT_FIRST_MOST = 6000, /* so that players begin on different tiers */
	REPEAT_ONE_IN = 30,       /* writes sent again though nothing asks for it */
	REPEAT_AMONG = 100,       /* the youngest ones: some of them are under way */
	RETRY_LEAST_MS = 100,
	RETRY_MOST_MS = 600,
};

static struct calls_options options;
static uint64_t random_state;
static bool winding_up, writes_stopped;

/* Writes whose outcome is unknown, to be sent again; in no order. */
static struct retry {
	size_t write;
	int64_t due_us;
} * retries;
static size_t retry_count, retry_room;

/* Growing text of a request. */
struct out {
	char *ptr;
	size_t len;
};

int64_t
now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* xorshift64* */
static uint64_t
random_next(void)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return random_state * UINT64_C(2685821657736338717);
}

uint64_t
random_below(uint64_t bound)
{
	return (random_next() >> 16) % bound;
}

void
calls_init(const struct calls_options *from)
{
	options = *from;
	random_state = options.seed * UINT64_C(0x9E3779B97F4A7C15) + 1;
}

void
calls_allow_writes(bool allowed)
{
	writes_stopped = !allowed;
}

void
calls_wind_up(void)
{
	writes_stopped = false;
	winding_up = true;
}

/* A third of what is asked is about the hottest, a third about a tenth of the players. */
static size_t
any_player(void)
{
	size_t count = options.players;
	size_t among[] = {count < HOTTEST ? count : HOTTEST, count / 10 + 1, count};

	return random_below(among[random_below(3)]);
}

__attribute__((format(printf, 2, 3))) static void
put(struct out *out, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	out->len += (size_t)vsnprintf(out->ptr + out->len, REQUEST_SIZE - out->len, format, arguments);
	va_end(arguments);
	if (out->len >= REQUEST_SIZE)
		abort();
}

static void
put_headers(struct out *out)
{
	put(out, " HTTP/1.1\r\nHost: battlepass\r\nAuthorization: Bearer %s\r\n", options.token);
}

static void
put_body(struct out *out, const char *body)
{
	put(out, "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s", strlen(body), body);
}

/* --- reads --- */

static void
add_player(struct call *call, size_t player)
{
	call->players[call->count] = (uint16_t)player;
	call->bounds[call->count++] = record_bound(player);
}

static void
begin_read(struct call *call, struct out *out)
{
	char name[NAME_SIZE];

	add_player(call, any_player());
	player_name(call->players[0], name);
	put(out, "GET /v1/seasons/%s/players/%s/progress", options.season, name);
	put_headers(out);
	put(out, "\r\n");
}

static void
begin_lookup(struct call *call, struct out *out)
{
	char body[REQUEST_SIZE / 2];
	struct out players = {body, 0};
	size_t count = LOOKUP_LEAST + random_below(LOOKUP_MOST - LOOKUP_LEAST + 1);
	char name[NAME_SIZE];

	while (call->count < count) {
		add_player(call, any_player());
		player_name(call->players[call->count - 1], name);
		put(&players, "%s\"%s\"", call->count == 1 ? "{\"players\":[" : ",", name);
	}
	put(&players, "]}");
	put(out, "POST /v1/seasons/%s/progress:lookup", options.season);
	put_headers(out);
	put_body(out, body);
}

static uint64_t
hash_of(struct text text)
{
	uint64_t hash = UINT64_C(14695981039346656037);

	for (size_t i = 0; i < text.len; i++)
		hash = (hash ^ (unsigned char)text.ptr[i]) * UINT64_C(1099511628211);
	return hash | 1;
}

/* What a document says, member by member; those that are not in the table are only walked over. */
struct document {
	struct text player, season, revision, xp, tier, xp_after, tier_after, error, code, status, key;
};

static bool
parse_document(struct text text, struct document *document)
{
	const struct {
		const char *name;
		struct text *value;
	} members[] = {
		{"player", &document->player},
		{"season", &document->season},
		{"revision", &document->revision},
		{"xp", &document->xp},
		{"tier", &document->tier},
		{"xp_after", &document->xp_after},
		{"tier_after", &document->tier_after},
		{"error", &document->error},
		{"code", &document->code},
		{"status", &document->status},
		{"idempotency_key", &document->key},
	};
	struct json_walk walk;
	struct json_member member;

	*document = (struct document){.player = {NULL, 0}};
	if (!json_open(&walk, text, '{'))
		return false;
	while (json_next(&walk, &member))
		for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
			if (text_is(member.name, members[i].name)) {
				*members[i].value = member.value;
				json_string(member.value, members[i].value);
				break;
			}
	return json_ended(&walk);
}

static bool
names_player(const struct document *document, size_t player)
{
	char name[NAME_SIZE];

	player_name(player, name);
	return text_is(document->player, name) && text_is(document->season, options.season);
}

/* Codes with which a call may fail while something is broken. */
static bool
may_fail_with(struct text code)
{
	return text_is(code, "store_unavailable") || text_is(code, "overloaded");
}

/* One player's document in an answer: judged, or refused with a code. */
static void
judge_read(const struct call *call, size_t i, struct text text, const struct answer *answer)
{
	struct document document;
	struct state state = {.hash = hash_of(text)};
	bool whole = parse_document(text, &document);

	if (whole && document.error.ptr && parse_document(document.error, &document) && may_fail_with(document.code)) {
		record_figures(call->class)->unavailable++;
	} else if (!whole || !json_number(document.revision, &state.revision) || !json_number(document.xp, &state.xp) ||
		   !json_number(document.tier, &state.tier)) {
		record_violation(CLAIM_UNCLEAN, call->class, "no document: %.*s", (int)text.len, text.ptr);
	} else if (!names_player(&document, call->players[i])) {
		record_violation(CLAIM_WRONG, call->class, "player %u asked for: %.*s", call->players[i], (int)text.len,
				 text.ptr);
	} else {
		record_read(call->class, call->players[i], call->bounds[i], &state,
			    call->kind == KIND_LOOKUP ? (struct text){"a lookup", 8} : answer->source,
			    answer->unconfirmed);
	}
}

static void
end_read(const struct call *call, const struct answer *answer)
{
	struct figures *figures = record_figures(call->class);

	judge_read(call, 0, answer->body, answer);
	if (text_is(answer->source, "cache"))
		figures->from_cache += !answer->unconfirmed;
	else if (text_is(answer->source, "store"))
		figures->from_store++;
	else
		record_violation(CLAIM_UNCLEAN, call->class, "a read without its source");
}

/* Calls each() for every element of "results"; there must be as many as were asked for. */
static void
each_result(const struct call *call, const struct answer *answer,
	    void (*each)(const struct call *call, size_t i, struct text text, const struct answer *answer))
{
	struct json_walk outer, inner = {.at = NULL};
	struct json_member member;
	size_t count = 0;

	if (!json_open(&outer, answer->body, '{') || !json_next(&outer, &member) || !text_is(member.name, "results") ||
	    !json_open(&inner, member.value, '[')) {
		record_violation(CLAIM_UNCLEAN, call->class, "no results");
		return;
	}
	while (count < call->count && json_next(&inner, &member))
		each(call, count++, member.value, answer);
	if (count < call->count || json_next(&inner, &member) || json_next(&outer, &member) || !json_ended(&outer))
		record_violation(CLAIM_UNCLEAN, call->class, "results are missing, or torn");
}

static void
end_lookup(const struct call *call, const struct answer *answer)
{
	uint64_t before = record_figures(call->class)->reads;

	each_result(call, answer, judge_read);
	record_figures(call->class)->looked_up += record_figures(call->class)->reads - before;
}

/* --- writes --- */

static void
repeat_later(size_t write)
{
	if (record_write(write)->outcome != OUTCOME_PENDING)
		return;
	if (retry_count == retry_room) {
		retry_room = retry_room ? 2 * retry_room : 64;
		retries = realloc(retries, retry_room * sizeof(*retries));
		if (!retries)
			abort();
	}
	retries[retry_count++] = (struct retry){
		.write = write,
		.due_us = now_us() + 1000 * (int64_t)(RETRY_LEAST_MS + random_below(RETRY_MOST_MS - RETRY_LEAST_MS)),
	};
}

static bool
take_retry(size_t *write)
{
	int64_t now = now_us();

	for (size_t i = 0; i < retry_count; i++) {
		if (retries[i].due_us > now)
			continue;
		*write = retries[i].write;
		retries[i] = retries[--retry_count];
		return true;
	}
	return false;
}

/* What is to be written next: something whose outcome is unknown, a needless repetition, or a new grant. */
static bool
next_write(const struct call *call, size_t *write)
{
	size_t count = record_write_count();

	if (take_retry(write))
		return true;
	if (winding_up)
		return false;
	if (count > 0 && random_below(REPEAT_ONE_IN) == 0) {
		size_t among = count < REPEAT_AMONG ? count : REPEAT_AMONG;

		*write = count - 1 - random_below(among);
		return true;
	}
	if (count < options.players)
		*write = record_new_write(count, 1 + (unsigned)random_below(AMOUNT_FIRST_MOST), call->class);
	else
		*write = record_new_write(any_player(), 1 + (unsigned)random_below(AMOUNT_MOST), call->class);
	return true;
}

static void
begin_grant(struct call *call, struct out *out)
{
	char name[NAME_SIZE], key[NAME_SIZE], body[64];

	if (!next_write(call, &call->writes[0]))
		return;
	call->count = 1;
	player_name(record_write(call->writes[0])->player, name);
	write_key(call->writes[0], key);
	snprintf(body, sizeof(body), "{\"amount\":%u,\"source\":\"match\"}", record_write(call->writes[0])->amount);
	put(out, "POST /v1/seasons/%s/players/%s/xp-grants", options.season, name);
	put_headers(out);
	put(out, "Idempotency-Key: %s\r\n", key);
	put_body(out, body);
}

static void
begin_batch(struct call *call, struct out *out)
{
	char body[REQUEST_SIZE / 2], name[NAME_SIZE], key[NAME_SIZE];
	struct out grants = {body, 0};
	size_t count = BATCH_LEAST + random_below(BATCH_MOST - BATCH_LEAST + 1);

	for (size_t write; call->count < count && next_write(call, &write);) {
		call->writes[call->count++] = write;
		player_name(record_write(write)->player, name);
		write_key(write, key);
		put(&grants, "%s{\"player\":\"%s\",\"amount\":%u,\"source\":\"match\",\"idempotency_key\":\"%s\"}",
		    call->count == 1 ? "{\"grants\":[" : ",", name, record_write(write)->amount, key);
	}
	if (call->count == 0)
		return;
	put(&grants, "]}");
	put(out, "POST /v1/seasons/%s/xp-grants", options.season);
	put_headers(out);
	put_body(out, body);
}

/* A grant as the answer describes it. */
static void
judge_grant(const struct call *call, size_t i, const struct document *document, struct text text)
{
	struct state state = {.hash = 0};
	size_t number = call->writes[i];
	struct figures *figures = record_figures(call->class);
	double took_ms = (double)(now_us() - call->began_us) / 1000;

	if (!json_number(document->revision, &state.revision) || !json_number(document->xp_after, &state.xp) ||
	    !json_number(document->tier_after, &state.tier) || !names_player(document, record_write(number)->player)) {
		record_violation(CLAIM_WRONG, call->class, "write %zu: %.*s", number, (int)text.len, text.ptr);
		repeat_later(number);
		return;
	}
	record_acknowledged(call->class, number, &state);
	if (took_ms > figures->slowest_write_ms)
		figures->slowest_write_ms = took_ms;
}

static void
judge_grant_alone(const struct call *call, const struct answer *answer)
{
	struct document document;

	if (parse_document(answer->body, &document)) {
		judge_grant(call, 0, &document, answer->body);
	} else {
		record_violation(CLAIM_UNCLEAN, call->class, "a torn grant");
		repeat_later(call->writes[0]);
	}
}

static void
judge_entry(const struct call *call, size_t i, struct text text, const struct answer *answer)
{
	struct document document;
	char key[NAME_SIZE];
	bool whole = parse_document(text, &document);

	(void)answer;
	write_key(call->writes[i], key);
	if (!whole || !text_is(document.key, key)) {
		record_violation(CLAIM_UNCLEAN, call->class, "write %zu: %.*s", call->writes[i], (int)text.len,
				 text.ptr);
		repeat_later(call->writes[i]);
	} else if (text_is(document.status, "granted") || text_is(document.status, "replayed")) {
		judge_grant(call, i, &document, text);
	} else if (may_fail_with(document.code)) {
		record_figures(call->class)->unknown++;
		repeat_later(call->writes[i]);
	} else {
		record_violation(CLAIM_UNCLEAN, call->class, "write %zu: %.*s", call->writes[i], (int)text.len,
				 text.ptr);
		record_refused(call->class, call->writes[i]);
	}
}

static void
end_batch(const struct call *call, const struct answer *answer)
{
	each_result(call, answer, judge_entry);
}

/* --- all calls --- */

static const struct {
	void (*begin)(struct call *call, struct out *out);
	void (*end)(const struct call *call, const struct answer *answer);
	int good; /* status */
	bool writes;
} kinds[KINDS] = {
	[KIND_READ] = {begin_read, end_read, 200, false},
	[KIND_LOOKUP] = {begin_lookup, end_lookup, 200, false},
	[KIND_GRANT] = {begin_grant, judge_grant_alone, 201, true},
	[KIND_BATCH] = {begin_batch, end_batch, 200, true},
};

size_t
call_begin(struct call *call, enum kind kind, size_t class, char request[REQUEST_SIZE])
{
	struct out out = {request, 0};

	call->kind = kind;
	call->class = class;
	call->count = 0;
	call->began_us = now_us();
	if (kinds[kind].writes ? writes_stopped : winding_up)
		return 0;
	kinds[kind].begin(call, &out);
	return out.len;
}

/* Nothing is known of what was asked: reads are given up, writes sent again. */
static void
no_answer(const struct call *call)
{
	if (!kinds[call->kind].writes) {
		record_figures(call->class)->unavailable += call->count;
		return;
	}
	record_figures(call->class)->unknown += call->count;
	for (size_t i = 0; i < call->count; i++)
		repeat_later(call->writes[i]);
}

void
call_end(const struct call *call, const struct answer *answer)
{
	struct text code;

	if (answer->status == kinds[call->kind].good && text_is(answer->type, "application/json")) {
		kinds[call->kind].end(call, answer);
		return;
	}
	no_answer(call);
	if (answer->status != 503 || !answer->retry_after || !answer_is_problem(answer, &code) || !may_fail_with(code))
		record_violation(CLAIM_UNCLEAN, call->class, "status %d: %.*s", answer->status,
				 (int)(answer->body.len < 300 ? answer->body.len : 300), answer->body.ptr);
}

void
call_lost(const struct call *call, const char *why)
{
	record_violation(CLAIM_UNCLEAN, call->class, "no answer: %s", why);
	no_answer(call);
}
