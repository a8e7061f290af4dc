/* What an answer proves: see answer.h. The table is the contract with the economy service; all else is UNKNOWN. */
#include "economy/answer.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/json.h"

enum { CODE_MAX = 32 };

/* Members by which an answer names the call that it is about. */
enum { ECHO_KEY = 1, ECHO_PLAYER = 2, ECHO_CURRENCY = 4, ECHO_AMOUNT = 8 };
enum { ECHO_NONE = 0, ECHO_DEBIT = ECHO_KEY | ECHO_PLAYER | ECHO_CURRENCY | ECHO_AMOUNT };

/*
 * An answer that proves something: its status, one word in it, and what it must echo. What it names without having to
 * must be right all the same.
 */
struct proof {
	enum economy_verb verb;
	unsigned status;
	const char *member; /* NULL: no word is needed */
	const char *word;
	bool may_lack; /* the member may be missing, but it may not say anything else */
	unsigned echo;
	enum economy_outcome outcome;
};

static const struct proof proofs[] = {
	{ECONOMY_DEBIT, 200, "state", "executed", true, ECHO_DEBIT, ECONOMY_EXECUTED},
	{ECONOMY_DEBIT, 201, "state", "executed", true, ECHO_DEBIT, ECONOMY_EXECUTED},
	{ECONOMY_DEBIT, 402, "code", "declined", false, ECHO_NONE, ECONOMY_DECLINED},
	{ECONOMY_DEBIT, 409, "code", "voided", false, ECHO_NONE, ECONOMY_VOIDED},
	{ECONOMY_DEBIT, 409, "code", "key_reused", false, ECHO_NONE, ECONOMY_KEY_REUSED},
	{ECONOMY_LOOKUP, 200, "state", "executed", false, ECHO_DEBIT, ECONOMY_EXECUTED},
	{ECONOMY_LOOKUP, 200, "state", "voided", false, ECHO_KEY, ECONOMY_VOIDED},
	{ECONOMY_LOOKUP, 200, "state", "refunded", false, ECHO_KEY, ECONOMY_REFUNDED},
	{ECONOMY_LOOKUP, 200, "state", "declined", false, ECHO_KEY, ECONOMY_DECLINED},
	{ECONOMY_LOOKUP, 404, "code", "not_found", false, ECHO_NONE, ECONOMY_NEVER_SEEN},
	{ECONOMY_CANCEL, 200, "state", "voided", false, ECHO_KEY, ECONOMY_VOIDED},
	{ECONOMY_CANCEL, 409, "state", "executed", false, ECHO_KEY, ECONOMY_EXECUTED},
	{ECONOMY_CANCEL, 409, "state", "refunded", false, ECHO_KEY, ECONOMY_REFUNDED},
	{ECONOMY_CANCEL, 409, "state", "declined", false, ECHO_KEY, ECONOMY_DECLINED},
	{ECONOMY_REFUND, 200, "state", "refunded", false, ECHO_KEY, ECONOMY_REFUNDED},
	{ECONOMY_REFUND, 404, "code", "not_found", false, ECHO_NONE, ECONOMY_NEVER_SEEN},
	{ECONOMY_DELIVER, 200, NULL, NULL, false, ECHO_KEY, ECONOMY_DELIVERED},
	{ECONOMY_DELIVER, 201, NULL, NULL, false, ECHO_KEY, ECONOMY_DELIVERED},
};

/* Client errors that say nothing about the delivery itself: our own credentials, a bad moment, somebody else's work. */
static const unsigned passing[] = {401, 403, 407, 408, 409, 421, 425, 429};

/* The outcome for which each call is made: no reason is given with it. */
static const enum economy_outcome wanted[] = {
	[ECONOMY_DEBIT] = ECONOMY_EXECUTED,  [ECONOMY_LOOKUP] = ECONOMY_EXECUTED,   [ECONOMY_CANCEL] = ECONOMY_VOIDED,
	[ECONOMY_REFUND] = ECONOMY_REFUNDED, [ECONOMY_DELIVER] = ECONOMY_DELIVERED,
};

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

__attribute__((format(printf, 3, 0))) static void
settle_list(struct economy_call *call, enum economy_outcome outcome, const char *format, va_list arguments)
{
	call->outcome = outcome;
	vsnprintf(call->detail, sizeof(call->detail), format, arguments);
}

void
answer_unknown(struct economy_call *call, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	settle_list(call, ECONOMY_UNKNOWN, format, arguments);
	va_end(arguments);
}

__attribute__((format(printf, 3, 4))) static void
settle(struct economy_call *call, enum economy_outcome outcome, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	settle_list(call, outcome, format, arguments);
	va_end(arguments);
}

static bool
says(const struct json *member, struct str text)
{
	struct str value;

	return member && json_get_string(member, &value) && str_equal(value, text);
}

static bool
counts(const struct json *member, uint64_t amount)
{
	int64_t value;

	return member && json_get_integer(member, &value) && value >= 0 && (uint64_t)value == amount;
}

/* Does the answer name this call, as far as it must, and no other one? */
static bool
echoes(struct economy_call *call, const struct json *body, unsigned needed)
{
	char key[UUID_TEXT_SIZE];
	const struct {
		const char *name;
		unsigned bit;
		struct str text;
	} members[] = {
		{"key", ECHO_KEY, {key, sizeof(key) - 1}},
		{"player", ECHO_PLAYER, call->player},
		{"currency", ECHO_CURRENCY, call->currency},
		{"amount", ECHO_AMOUNT, STR_NONE},
	};
	/* An economy may describe what it delivered as it likes. */
	size_t count = call->verb == ECONOMY_DELIVER ? 1 : COUNT_OF(members);

	uuid_format(&call->key, key);
	for (size_t i = 0; i < count; i++) {
		const struct json *member = json_member(body, members[i].name);
		bool right =
			members[i].bit == ECHO_AMOUNT ? counts(member, call->amount) : says(member, members[i].text);

		if (right || (!member && !(needed & members[i].bit)))
			continue;
		answer_unknown(call, member ? "the echo names another %s" : "the echo has no %s", members[i].name);
		return false;
	}
	return true;
}

static bool
word_matches(const struct proof *proof, const struct json *body)
{
	const struct json *member = proof->member ? json_member(body, proof->member) : NULL;

	if (!proof->member || (!member && proof->may_lack))
		return true;
	return says(member, str_from(proof->word));
}

/* A machine code of the economy's that may be shown; NULL: none, or none of that kind. */
static const char *
code_of(const struct json *body, struct str *ret_code)
{
	static const char characters[] = "abcdefghijklmnopqrstuvwxyz0123456789_";
	const struct json *member = json_member(body, "code");

	if (!member || !json_get_string(member, ret_code) || ret_code->len == 0 || ret_code->len > CODE_MAX)
		return NULL;
	return strspn(ret_code->ptr, characters) == ret_code->len ? ret_code->ptr : NULL;
}

static void
reason_with(struct economy_call *call, enum economy_outcome outcome, unsigned status, const struct json *body)
{
	struct str code;
	const char *shown = code_of(body, &code);

	settle(call, outcome, "HTTP %u%s%s", status, shown ? " " : "", shown ? shown : "");
}

/* A delivery that will never be taken: the service itself must say so, with a code. */
static bool
rejects(unsigned status, const struct json *body)
{
	struct str code;

	if (status < 400 || status > 499 || !code_of(body, &code))
		return false;
	if (status == 409 && str_equal(code, STR("key_reused")))
		return true;
	for (size_t i = 0; i < COUNT_OF(passing); i++)
		if (passing[i] == status)
			return false;
	return true;
}

static void
judge_object(struct economy_call *call, unsigned status, const struct json *body)
{
	for (size_t i = 0; i < COUNT_OF(proofs); i++) {
		const struct proof *proof = &proofs[i];

		if (proof->verb != call->verb || proof->status != status || !word_matches(proof, body))
			continue;
		if (!echoes(call, body, proof->echo))
			return;
		if (proof->outcome == wanted[call->verb])
			settle(call, proof->outcome, "%s", "");
		else
			settle(call, proof->outcome, "HTTP %u %s", status, proof->word);
		return;
	}
	if (call->verb == ECONOMY_DELIVER && rejects(status, body))
		reason_with(call, ECONOMY_REJECTED, status, body);
	else
		reason_with(call, ECONOMY_UNKNOWN, status, body);
}

void
answer_judge(struct economy_call *call, unsigned status, struct str body)
{
	struct json *root;

	if (json_parse(body, &root, NULL) != ERR_OK) {
		answer_unknown(call, "HTTP %u%s", status, status < 300 ? ", and the body is not JSON" : "");
		return;
	}
	if (json_type(root) == JSON_OBJECT)
		judge_object(call, status, root);
	else
		answer_unknown(call, "HTTP %u, and the body is not an object", status);
	json_free(root);
}
