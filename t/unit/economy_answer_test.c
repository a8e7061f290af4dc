/*
 * What an answer proves: every call with every status and every kind of body against a table written down a second time
 * here, and damage of all kinds done to right answers. No byte that is wrong may ever turn into a charge that is
 * proven.
 */
#include "economy/answer.h"

#include <stdio.h>
#include <stdlib.h>

#include "tap.h"

enum { DAMAGES = 200000 };

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

#define KEY       "\"key\":\"0198c0de-0000-7000-8000-00000000abcd\""
#define OTHER_KEY "\"key\":\"0198c0de-0000-7000-8000-00000000abce\""
#define DEBIT     "\"player\":\"p-1\",\"currency\":\"gems\",\"amount\":950"
#define RIGHT     "{\"transaction\":\"t-9\"," KEY "," DEBIT ",\"state\":\"executed\"}"

static struct economy_call
call_of(enum economy_verb verb)
{
	struct economy_call call = {.verb = verb,
				    .player = STR("p-1"),
				    .currency = STR("gems"),
				    .amount = 950,
				    .kind = STR("item"),
				    .item = STR("sword"),
				    .quantity = 2,
				    .reference = STR("s1/premium")};

	if (!uuid_parse(STR("0198c0de-0000-7000-8000-00000000abcd"), &call.key))
		abort();
	return call;
}

static bool
is_printable(const char *text)
{
	for (; *text; text++)
		if (*text < ' ' || *text > '~')
			return false;
	return true;
}

static enum economy_outcome
judged(enum economy_verb verb, unsigned status, struct str body)
{
	struct economy_call call = call_of(verb);

	memset(call.detail, '\x80', sizeof(call.detail));
	answer_judge(&call, status, body);
	/* Whatever happens there is a reason that can be logged. */
	if (!memchr(call.detail, '\0', sizeof(call.detail)) || !is_printable(call.detail))
		CU_FAIL("the detail is not printable");
	if (call.outcome == ECONOMY_UNKNOWN && !call.detail[0])
		CU_FAIL("unknown without a reason");
	return call.outcome;
}

enum body {
	EXECUTED_ALL,
	ALL_STATELESS,
	EXECUTED_KEY,
	VOIDED_KEY,
	REFUNDED_KEY,
	DECLINED_KEY,
	VOIDED_ALL,
	REFUNDED_ALL,
	DECLINED_ALL,
	STATE_UNHEARD,
	KEY_ALONE,
	CODE_DECLINED,
	CODE_VOIDED,
	CODE_VOIDED_KEY,
	CODE_REUSED,
	CODE_NOT_FOUND,
	CODE_OTHER,
	CODE_ODD,
	CODE_NUMBER,
	CODE_DECLINED_OTHER_KEY,
	CODE_VOIDED_OTHER_KEY,
	CODE_REUSED_OTHER_KEY,
	CODE_NOT_FOUND_OTHER_KEY,
	VOIDED_OTHER_KEY,
	EXECUTED_OTHER_KEY,
	VOIDED_OTHER_PLAYER,
	VOIDED_KEYLESS,
	STATE_WRONG_TYPE,
	STATE_UPPER,
	ARRAY,
	TEXT,
	NUMBER,
	JSON_NOTHING,
	NOTHING,
	HTML,
	RUBBISH,
	CUT,
	TWO,
	TWICE,
	BODY_COUNT
};

static const struct str bodies[BODY_COUNT] = {
	[EXECUTED_ALL] = STR(RIGHT),
	[ALL_STATELESS] = STR("{" KEY "," DEBIT "}"),
	[EXECUTED_KEY] = STR("{" KEY ",\"state\":\"executed\"}"),
	[VOIDED_KEY] = STR("{" KEY ",\"state\":\"voided\"}"),
	[REFUNDED_KEY] = STR("{" KEY ",\"state\":\"refunded\"}"),
	[DECLINED_KEY] = STR("{" KEY ",\"state\":\"declined\"}"),
	[VOIDED_ALL] = STR("{" KEY "," DEBIT ",\"state\":\"voided\"}"),
	[REFUNDED_ALL] = STR("{" KEY "," DEBIT ",\"state\":\"refunded\"}"),
	[DECLINED_ALL] = STR("{" KEY "," DEBIT ",\"state\":\"declined\"}"),
	[STATE_UNHEARD] = STR("{" KEY "," DEBIT ",\"state\":\"pending\"}"),
	[KEY_ALONE] = STR("{" KEY "}"),
	[CODE_DECLINED] = STR("{\"code\":\"declined\"}"),
	[CODE_VOIDED] = STR("{\"code\":\"voided\"}"),
	[CODE_VOIDED_KEY] = STR("{\"code\":\"voided\"," KEY "}"),
	[CODE_REUSED] = STR("{\"code\":\"key_reused\"}"),
	[CODE_NOT_FOUND] = STR("{\"code\":\"not_found\"}"),
	[CODE_OTHER] = STR("{\"code\":\"who_knows\",\"detail\":\"\\u0007\"}"),
	[CODE_ODD] = STR("{\"code\":\"\\u001b[31m<Bad>\"}"),
	[CODE_NUMBER] = STR("{\"code\":404}"),
	[CODE_DECLINED_OTHER_KEY] = STR("{\"code\":\"declined\"," OTHER_KEY "}"),
	[CODE_VOIDED_OTHER_KEY] = STR("{\"code\":\"voided\"," OTHER_KEY "}"),
	[CODE_REUSED_OTHER_KEY] = STR("{\"code\":\"key_reused\"," OTHER_KEY "}"),
	[CODE_NOT_FOUND_OTHER_KEY] = STR("{\"code\":\"not_found\"," OTHER_KEY "}"),
	[VOIDED_OTHER_KEY] = STR("{" OTHER_KEY ",\"state\":\"voided\"}"),
	[EXECUTED_OTHER_KEY] = STR("{" OTHER_KEY "," DEBIT ",\"state\":\"executed\"}"),
	[VOIDED_OTHER_PLAYER] = STR("{" KEY ",\"player\":\"p-2\",\"state\":\"voided\"}"),
	[VOIDED_KEYLESS] = STR("{\"state\":\"voided\"}"),
	[STATE_WRONG_TYPE] = STR("{" KEY "," DEBIT ",\"state\":[\"executed\"]}"),
	[STATE_UPPER] = STR("{" KEY "," DEBIT ",\"state\":\"Executed\"}"),
	[ARRAY] = STR("[" RIGHT "]"),
	[TEXT] = STR("\"executed\""),
	[NUMBER] = STR("201"),
	[JSON_NOTHING] = STR("null"),
	[NOTHING] = {NULL, 0},
	[HTML] = STR("<html><body>Not Found</body></html>"),
	[RUBBISH] = STR("\xff\xfe\x00\x01{}"),
	[CUT] = STR("{" KEY "," DEBIT ",\"state\":\"execu"),
	[TWO] = STR(RIGHT RIGHT),
	[TWICE] = STR("{" KEY ",\"amount\":950," DEBIT ",\"state\":\"executed\"}"),
};

/* All that proves something but a rejected delivery; whatever is not here must come out as unknown. */
static const struct {
	enum economy_verb verb;
	unsigned status;
	enum body body;
	enum economy_outcome outcome;
} proven[] = {
	{ECONOMY_DEBIT, 201, EXECUTED_ALL, ECONOMY_EXECUTED},
	{ECONOMY_DEBIT, 200, EXECUTED_ALL, ECONOMY_EXECUTED},
	{ECONOMY_DEBIT, 201, ALL_STATELESS, ECONOMY_EXECUTED},
	{ECONOMY_DEBIT, 200, ALL_STATELESS, ECONOMY_EXECUTED},
	{ECONOMY_DEBIT, 402, CODE_DECLINED, ECONOMY_DECLINED},
	{ECONOMY_DEBIT, 409, CODE_VOIDED, ECONOMY_VOIDED},
	{ECONOMY_DEBIT, 409, CODE_VOIDED_KEY, ECONOMY_VOIDED},
	{ECONOMY_DEBIT, 409, CODE_REUSED, ECONOMY_KEY_REUSED},
	{ECONOMY_LOOKUP, 200, EXECUTED_ALL, ECONOMY_EXECUTED},
	{ECONOMY_LOOKUP, 200, VOIDED_KEY, ECONOMY_VOIDED},
	{ECONOMY_LOOKUP, 200, VOIDED_ALL, ECONOMY_VOIDED},
	{ECONOMY_LOOKUP, 200, REFUNDED_KEY, ECONOMY_REFUNDED},
	{ECONOMY_LOOKUP, 200, REFUNDED_ALL, ECONOMY_REFUNDED},
	{ECONOMY_LOOKUP, 200, DECLINED_KEY, ECONOMY_DECLINED},
	{ECONOMY_LOOKUP, 200, DECLINED_ALL, ECONOMY_DECLINED},
	{ECONOMY_LOOKUP, 404, CODE_NOT_FOUND, ECONOMY_NEVER_SEEN},
	{ECONOMY_CANCEL, 200, VOIDED_KEY, ECONOMY_VOIDED},
	{ECONOMY_CANCEL, 200, VOIDED_ALL, ECONOMY_VOIDED},
	{ECONOMY_CANCEL, 409, EXECUTED_KEY, ECONOMY_EXECUTED},
	{ECONOMY_CANCEL, 409, EXECUTED_ALL, ECONOMY_EXECUTED},
	{ECONOMY_CANCEL, 409, REFUNDED_KEY, ECONOMY_REFUNDED},
	{ECONOMY_CANCEL, 409, REFUNDED_ALL, ECONOMY_REFUNDED},
	{ECONOMY_CANCEL, 409, DECLINED_KEY, ECONOMY_DECLINED},
	{ECONOMY_CANCEL, 409, DECLINED_ALL, ECONOMY_DECLINED},
	{ECONOMY_REFUND, 200, REFUNDED_KEY, ECONOMY_REFUNDED},
	{ECONOMY_REFUND, 200, REFUNDED_ALL, ECONOMY_REFUNDED},
	{ECONOMY_REFUND, 404, CODE_NOT_FOUND, ECONOMY_NEVER_SEEN},
};

/* Bodies with a machine code, by which the service itself refuses a delivery. */
static bool
is_refusal(unsigned status, enum body body)
{
	static const enum body coded[] = {CODE_DECLINED,           CODE_VOIDED,
					  CODE_VOIDED_KEY,         CODE_REUSED,
					  CODE_NOT_FOUND,          CODE_OTHER,
					  CODE_DECLINED_OTHER_KEY, CODE_VOIDED_OTHER_KEY,
					  CODE_REUSED_OTHER_KEY,   CODE_NOT_FOUND_OTHER_KEY};

	if (status < 400 || status > 499)
		return false;
	if (status == 409)
		return body == CODE_REUSED || body == CODE_REUSED_OTHER_KEY;
	if (status == 401 || status == 403 || status == 407 || status == 408 || status == 421 || status == 425 ||
	    status == 429)
		return false;
	for (size_t i = 0; i < COUNT_OF(coded); i++)
		if (coded[i] == body)
			return true;
	return false;
}

/* Delivered: any object that names the key. */
static bool
names_key(enum body body)
{
	return body != NOTHING && memmem(bodies[body].ptr, bodies[body].len, KEY, sizeof(KEY) - 1) != NULL &&
	       body != ARRAY && body != CUT && body != TWO && body != TWICE;
}

static enum economy_outcome
expected(enum economy_verb verb, unsigned status, enum body body)
{
	if (verb == ECONOMY_DELIVER && (status == 200 || status == 201))
		return names_key(body) ? ECONOMY_DELIVERED : ECONOMY_UNKNOWN;
	if (verb == ECONOMY_DELIVER)
		return is_refusal(status, body) ? ECONOMY_REJECTED : ECONOMY_UNKNOWN;
	for (size_t i = 0; i < COUNT_OF(proven); i++)
		if (proven[i].verb == verb && proven[i].status == status && proven[i].body == body)
			return proven[i].outcome;
	return ECONOMY_UNKNOWN;
}

static void
test_every_answer(void)
{
	unsigned wrong = 0, certain = 0;

	for (enum economy_verb verb = 0; verb <= ECONOMY_DELIVER; verb++) {
		for (unsigned status = 0; status < 1000; status++) {
			for (enum body body = 0; body < BODY_COUNT; body++) {
				enum economy_outcome outcome = judged(verb, status, bodies[body]);

				certain += outcome != ECONOMY_UNKNOWN;
				if (outcome == expected(verb, status, body))
					continue;
				wrong++;
				printf("# call %d, HTTP %u, %.*s: %d, not %d\n", (int)verb, status,
				       STR_ARGS(bodies[body]), (int)outcome, (int)expected(verb, status, body));
			}
		}
	}
	CU_ASSERT_EQUAL(wrong, 0);
	CU_ASSERT(certain > COUNT_OF(proven));
}

static void
test_echo(void)
{
	static const struct {
		const char *body;
		bool right;
	} echoes[] = {
		{RIGHT, true},
		{" \r\n\t{ \"amount\" : 950 , " KEY
		 ", \"currency\":\"gems\", \"player\":\"p-1\", \"more\":{\"amount\":1} } ",
		 true},
		{"{" KEY ",\"player\":\"\\u0070-1\",\"currency\":\"gems\",\"amount\":950}", true},
		{"{" KEY ",\"currency\":\"gems\",\"amount\":950}", false},
		{"{" KEY ",\"player\":\"p-1\",\"amount\":950}", false},
		{"{" KEY ",\"player\":\"p-1\",\"currency\":\"gems\"}", false},
		{"{" DEBIT "}", false},
		{"{" KEY ",\"player\":\"p-1\",\"currency\":\"gems\",\"amount\":\"950\"}", false},
		{"{" KEY ",\"player\":\"p-1\",\"currency\":\"gems\",\"amount\":951}", false},
		{"{" KEY ",\"player\":\"p-1\",\"currency\":\"gems\",\"amount\":-950}", false},
		{"{" KEY ",\"player\":\"p-1\",\"currency\":\"gems\",\"amount\":950.5}", false},
		{"{" KEY ",\"player\":\"p-1\",\"currency\":\"gems\",\"amount\":1e400}", false},
		{"{" KEY ",\"player\":\"p-1\",\"currency\":\"gems\",\"amount\":18446744073709552566}", false},
		{"{" KEY ",\"player\":\"p-1\",\"currency\":\"gems\",\"amount\":[950]}", false},
		{"{" KEY ",\"player\":\"p-1\",\"currency\":\"gems\",\"amount\":null}", false},
		{"{" KEY ",\"player\":\"p-1\",\"currency\":\"gems\",\"amount\":true}", false},
		{"{" KEY ",\"player\":\"p-1\",\"currency\":\"gems\",\"amount\":0950}", false},
		{"{" KEY ",\"player\":\"p-1\",\"currency\":null,\"amount\":950}", false},
		{"{" KEY ",\"player\":1,\"currency\":\"gems\",\"amount\":950}", false},
		{"{" KEY ",\"player\":\"p-11\",\"currency\":\"gems\",\"amount\":950}", false},
		{"{" KEY ",\"player\":\"p-\",\"currency\":\"gems\",\"amount\":950}", false},
		{"{" KEY ",\"player\":\"P-1\",\"currency\":\"gems\",\"amount\":950}", false},
		{"{" KEY ",\"Player\":\"p-1\",\"currency\":\"gems\",\"amount\":950}", false},
		{"{" KEY ",\"player\":\"p-1\\u0000\",\"currency\":\"gems\",\"amount\":950}", false},
		{"{\"key\":\"0198C0DE-0000-7000-8000-00000000ABCD\"," DEBIT "}", false},
		{"{\"key\":\"0198c0de0000700080000000000abcd\"," DEBIT "}", false},
		{"{\"key\":null," DEBIT "}", false},
		{"{" KEY "," KEY "," DEBIT "}", false},
		{"{" KEY "," DEBIT ",\"amount\":951}", false},
		{"{\"debit\":" RIGHT "}", false},
		{"\xef\xbb\xbf" RIGHT, false},
		{RIGHT "x", false},
	};

	for (size_t i = 0; i < COUNT_OF(echoes); i++) {
		enum economy_outcome outcome = judged(ECONOMY_DEBIT, 201, str_from(echoes[i].body));

		if ((outcome == ECONOMY_EXECUTED) == echoes[i].right &&
		    (outcome == ECONOMY_EXECUTED || outcome == ECONOMY_UNKNOWN))
			continue;
		printf("# %s: %d\n", echoes[i].body, (int)outcome);
		CU_FAIL("a wrong echo was taken, or a right one was not");
	}
}

/* An amount of 0, as a call without one has it, is echoed by nothing but 0. */
static void
test_amounts(void)
{
	static const uint64_t amounts[] = {0, 1, 9, 950, 4294967296, 999999999999999, 1000000000000000, UINT64_MAX};
	char body[256];

	for (size_t i = 0; i < COUNT_OF(amounts); i++) {
		for (size_t k = 0; k < COUNT_OF(amounts); k++) {
			struct economy_call call = call_of(ECONOMY_DEBIT);

			call.amount = amounts[i];
			snprintf(body, sizeof(body),
				 "{" KEY ",\"player\":\"p-1\",\"currency\":\"gems\",\"amount\":%llu}",
				 (unsigned long long)amounts[k]);
			answer_judge(&call, 201, str_from(body));
			/* What JSON cannot carry exactly is never taken for right. */
			CU_ASSERT_EQUAL(call.outcome == ECONOMY_EXECUTED, i == k && i < 6);
		}
	}
}

/* Every other byte at every place of key, player, currency and amount, quotes included. */
static void
test_single_bytes(void)
{
	static const struct str right = STR(RIGHT);
	static const char *const parts[] = {KEY, DEBIT};
	unsigned taken = 0, tried = 0;
	char body[sizeof(RIGHT)];

	for (size_t part = 0; part < COUNT_OF(parts); part++) {
		size_t from = (size_t)(strstr(RIGHT, parts[part]) - right.ptr);

		for (size_t at = from; at < from + strlen(parts[part]); at++) {
			for (unsigned byte = 0; byte < 256; byte++) {
				if (byte == (unsigned char)right.ptr[at])
					continue;
				memcpy(body, right.ptr, right.len);
				body[at] = (char)byte;
				tried++;
				taken += judged(ECONOMY_DEBIT, 201, (struct str){body, right.len}) != ECONOMY_UNKNOWN;
				taken += judged(ECONOMY_LOOKUP, 200, (struct str){body, right.len}) != ECONOMY_UNKNOWN;
			}
		}
	}
	CU_ASSERT(tried > 20000);
	CU_ASSERT_EQUAL(taken, 0);
}

static void
test_cut(void)
{
	static const struct str right = STR(RIGHT);

	for (size_t len = 0; len < right.len; len++) {
		char *body = malloc(len ? len : 1); /* of its exact size, so that the sanitizer sees a byte too far */

		if (!body)
			abort();
		memcpy(body, right.ptr, len);
		CU_ASSERT_EQUAL(judged(ECONOMY_DEBIT, 201, (struct str){body, len}), ECONOMY_UNKNOWN);
		free(body);
	}
	CU_ASSERT_EQUAL(judged(ECONOMY_DEBIT, 201, right), ECONOMY_EXECUTED);
}

static unsigned long long random_state;

static unsigned
random_below(unsigned limit)
{
	random_state = random_state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (unsigned)(random_state >> 33) % limit;
}

/* Replaces, removes or puts in some bytes, or exchanges two; gives back the new length. */
static size_t
damage(char *body, size_t len)
{
	static const char likely[] = "{}[]\",:0123456789eE+-.\\u abcdefpgms";

	for (unsigned times = 1 + random_below(3); times > 0 && len > 1; times--) {
		size_t at = random_below((unsigned)len), other = random_below((unsigned)len);
		char byte = random_below(4) ? likely[random_below(sizeof(likely) - 1)] : (char)random_below(256);

		switch (random_below(4)) {
		case 0:
			body[at] = byte;
			break;
		case 1:
			memmove(body + at, body + at + 1, --len - at);
			break;
		case 2:
			memmove(body + at + 1, body + at, len++ - at);
			body[at] = byte;
			break;
		default:
			byte = body[at];
			body[at] = body[other];
			body[other] = byte;
		}
	}
	return len;
}

/*
 * Random damage to a right answer. It may come out as charged only while key, player and currency still stand in it
 * untouched (the amount may be spelt otherwise: 95e1); and as nothing else ever.
 */
static void
test_random_damage(void)
{
	static const char *const needed[] = {"0198c0de-0000-7000-8000-00000000abcd", "p-1", "gems"};
	char body[sizeof(RIGHT) + 16];
	unsigned wrong = 0, still = 0;

	random_state = tap_seed();
	for (unsigned i = 0; i < DAMAGES; i++) {
		memcpy(body, RIGHT, sizeof(RIGHT) - 1);
		size_t len = damage(body, sizeof(RIGHT) - 1);
		enum economy_outcome outcome = judged(ECONOMY_DEBIT, 201, (struct str){body, len});
		bool whole = true;

		for (size_t k = 0; k < COUNT_OF(needed); k++)
			whole = whole && memmem(body, len, needed[k], strlen(needed[k]));
		still += outcome == ECONOMY_EXECUTED;
		if (outcome == ECONOMY_UNKNOWN || (outcome == ECONOMY_EXECUTED && whole))
			continue;
		wrong++;
		printf("# %.*s: %d\n", (int)len, body, (int)outcome);
	}
	CU_ASSERT_EQUAL(wrong, 0);
	CU_ASSERT(still > 0);
}

static void
test_details(void)
{
	static const struct {
		enum economy_verb verb;
		unsigned status;
		const char *body;
		const char *detail;
	} cases[] = {
		{ECONOMY_DEBIT, 201, RIGHT, ""},
		{ECONOMY_DEBIT, 503, "", "HTTP 503"},
		{ECONOMY_DEBIT, 503, "{\"code\":\"unavailable\"}", "HTTP 503 unavailable"},
		{ECONOMY_DEBIT, 302, "<html>", "HTTP 302"},
		{ECONOMY_DEBIT, 200, "<html>", "HTTP 200, and the body is not JSON"},
		{ECONOMY_DEBIT, 200, "[]", "HTTP 200, and the body is not an object"},
		{ECONOMY_DEBIT, 409, "{\"code\":\"voided\"}", "HTTP 409 voided"},
		{ECONOMY_DEBIT, 409, "{\"code\":\"\\nforged line\"}", "HTTP 409"},
		{ECONOMY_DEBIT, 201, "{" KEY ",\"player\":\"p-1\",\"currency\":\"gems\",\"amount\":1}",
		 "the echo names another amount"},
		{ECONOMY_DEBIT, 201, "{" KEY ",\"player\":\"p-1\",\"amount\":1}", "the echo has no currency"},
		{ECONOMY_DELIVER, 422, "{\"code\":\"no_such_item\",\"detail\":\"secret\"}", "HTTP 422 no_such_item"},
		{ECONOMY_DELIVER, 404, "<html>", "HTTP 404"},
	};

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct economy_call call = call_of(cases[i].verb);

		answer_judge(&call, cases[i].status, str_from(cases[i].body));
		CU_ASSERT_STRING_EQUAL(call.detail, cases[i].detail);
	}
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"every call, every status, every kind of body", test_every_answer},
		{"a charge is proven by an exact echo only", test_echo},
		{"amounts up to the largest", test_amounts},
		{"no single wrong byte proves a charge", test_single_bytes},
		{"no answer that was cut off proves anything", test_cut},
		{"random damage", test_random_damage},
		{"reasons", test_details},
		CU_TEST_INFO_NULL,
	};

	return tap_main("economy_answer", tests);
}
