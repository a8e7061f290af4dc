/* The faults that the sandbox can be told to have: see trouble.h. */
#include "sandbox/trouble.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/uuid.h"

enum { DELAY_MS_MAX = 600000, TIMES_MAX = 1000000000 };

/* clang-format off */
static const struct {
	const char *name;
	bool strikes[TROUBLE_ALL]; /* by call; none set: every call */
	int64_t delay_ms;          /* the default */
	const char *help;
} kinds[TROUBLE_KINDS] = {
	[TROUBLE_LATE] = {"late", .delay_ms = 2000, .help = "executes, and answers delay_ms late"},
	[TROUBLE_LATE_CHARGE] = {"late_charge", .delay_ms = 2000,
		.help = "executes delay_ms late, whether its caller still waits or not"},
	[TROUBLE_ERROR_500] = {"error_500", .help = "answers 500 without executing"},
	[TROUBLE_ERROR_500_EXECUTED] = {"error_500_executed", .help = "executes, and answers 500"},
	[TROUBLE_DROP] = {"drop", .help = "executes, and closes the connection without an answer"},
	[TROUBLE_DROP_BEFORE] = {"drop_before", .help = "closes the connection without executing"},
	[TROUBLE_CUT] = {"cut", .help = "executes, sends half of the answer and closes the connection"},
	[TROUBLE_WRONG_AMOUNT] = {"wrong_amount",
		.strikes = {[TROUBLE_DEBITS] = true, [TROUBLE_DELIVERIES] = true, [TROUBLE_LOOKUP] = true},
		.help = "executes, and echoes another amount or quantity"},
	[TROUBLE_WRONG_KEY] = {"wrong_key", .help = "executes, and echoes another key"},
	[TROUBLE_RUBBISH] = {"rubbish", .help = "executes, and answers with bytes that are not JSON"},
	[TROUBLE_HUGE] = {"huge", .help = "executes, and answers with 10 MB of JSON"},
	[TROUBLE_REDIRECT] = {"redirect", .help = "answers 302 to another path without executing"},
	[TROUBLE_REFUSE] = {"refuse", .strikes = {[TROUBLE_DEBITS] = true, [TROUBLE_DELIVERIES] = true},
		.help = "declines a debit (402, remembered for its key) or refuses a delivery (422)"},
	[TROUBLE_WRONG_TYPES] = {"wrong_types", .help = "executes, and answers with numbers as text and states as numbers"},
	[TROUBLE_FORGET] = {"forget", .help = "keys older than delay_ms are forgotten: such a debit is charged again"},
	[TROUBLE_DOWN] = {"down", .delay_ms = 2000,
		.help = "connections are refused for delay_ms: at once without calls, else when such a call comes"},
	[TROUBLE_UNAVAILABLE_503] = {"unavailable_503", .help = "answers 503 with Retry-After without executing"},
	[TROUBLE_TOO_MANY_429] = {"too_many_429", .help = "answers 429 with Retry-After without executing"},
};
/* clang-format on */

static const char *const call_names[] = {
	[TROUBLE_DEBITS] = "debits", [TROUBLE_DELIVERIES] = "deliveries", [TROUBLE_CANCEL] = "cancel",
	[TROUBLE_REFUND] = "refund", [TROUBLE_LOOKUP] = "lookup",         [TROUBLE_ALL] = "all",
};

struct entry {
	enum trouble_kind kind;
	enum trouble_call calls;
	bool at_once; /* down, without calls */
	double probability;
	int64_t delay_ms;
	int64_t times_left; /* -1: no end */
	uint64_t struck;
};

struct troubles {
	pthread_mutex_t lock;
	uint64_t dice;
	size_t count;
	struct entry entries[TROUBLE_ENTRIES_MAX];
};

struct troubles *
troubles_new(void)
{
	struct troubles *troubles = calloc(1, sizeof(*troubles));

	if (!troubles)
		abort();
	pthread_mutex_init(&troubles->lock, NULL);
	troubles->dice = random_u64();
	return troubles;
}

void
troubles_free(struct troubles *troubles)
{
	if (troubles)
		pthread_mutex_destroy(&troubles->lock);
	free(troubles);
}

/* --- striking --- */

/* From 0 up to, but not including, 1. SplitMix64 (Steele, Lea, Flood 2014): base/uuid's bytes are not for many threads.
 */
static double
throw_dice(struct troubles *troubles)
{
	uint64_t x = troubles->dice += UINT64_C(0x9e3779b97f4a7c15);

	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return (double)((x ^ x >> 31) >> 11) * 0x1p-53;
}

static bool
kind_strikes(enum trouble_kind kind, enum trouble_call call)
{
	bool any = false;

	for (size_t i = 0; i < TROUBLE_ALL; i++)
		any |= kinds[kind].strikes[i];
	return !any || call == TROUBLE_ALL || kinds[kind].strikes[call];
}

static bool
fits(const struct entry *entry, enum trouble_call call)
{
	return !entry->at_once && entry->times_left != 0 && (entry->calls == call || entry->calls == TROUBLE_ALL) &&
	       kind_strikes(entry->kind, call);
}

static void
count_strike(struct entry *entry)
{
	entry->struck++;
	if (entry->times_left > 0)
		entry->times_left--;
}

struct trouble
troubles_strike(struct troubles *troubles, enum trouble_call call)
{
	struct trouble trouble = {.kind = TROUBLE_NONE};

	if (call == TROUBLE_NEVER)
		return trouble;
	pthread_mutex_lock(&troubles->lock);
	for (size_t i = 0; i < troubles->count && trouble.kind == TROUBLE_NONE; i++) {
		struct entry *entry = &troubles->entries[i];

		if (fits(entry, call) && throw_dice(troubles) < entry->probability) {
			count_strike(entry);
			trouble = (struct trouble){.kind = entry->kind, .delay_ms = entry->delay_ms};
		}
	}
	pthread_mutex_unlock(&troubles->lock);
	return trouble;
}

/* --- reading a list --- */

/* Each takes one member's value; false: it cannot be used. */
static bool
take_kind(struct entry *entry, const struct json *value)
{
	struct str name;

	if (!json_get_string(value, &name))
		return false;
	for (int kind = TROUBLE_NONE + 1; kind < TROUBLE_KINDS; kind++)
		if (str_equal(name, str_from(kinds[kind].name)))
			entry->kind = (enum trouble_kind)kind;
	return entry->kind != TROUBLE_NONE;
}

static bool
take_calls(struct entry *entry, const struct json *value)
{
	struct str name;

	if (!json_get_string(value, &name))
		return false;
	for (int call = TROUBLE_DEBITS; call <= TROUBLE_ALL; call++)
		if (str_equal(name, str_from(call_names[call])))
			entry->calls = (enum trouble_call)call;
	return entry->calls != TROUBLE_NEVER;
}

static bool
take_probability(struct entry *entry, const struct json *value)
{
	return json_get_number(value, &entry->probability) && entry->probability >= 0 && entry->probability <= 1;
}

static bool
take_delay(struct entry *entry, const struct json *value)
{
	return json_get_integer(value, &entry->delay_ms) && entry->delay_ms >= 0 && entry->delay_ms <= DELAY_MS_MAX;
}

static bool
take_times(struct entry *entry, const struct json *value)
{
	return json_get_integer(value, &entry->times_left) && entry->times_left >= 1 && entry->times_left <= TIMES_MAX;
}

static const struct {
	const char *name;
	bool (*take)(struct entry *entry, const struct json *value);
} members[] = {
	{"fault", take_kind},     {"calls", take_calls}, {"probability", take_probability},
	{"delay_ms", take_delay}, {"times", take_times},
};

static enum err
take_member(struct entry *entry, const struct json *member, char *detail)
{
	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
		if (strcmp(json_name(member), members[i].name) != 0)
			continue;
		if (members[i].take(entry, member))
			return ERR_OK;
		snprintf(detail, JSON_DETAIL_SIZE, "%s cannot have this value", members[i].name);
		return ERR_INVALID_FIELD;
	}
	snprintf(detail, JSON_DETAIL_SIZE, "a fault has no such member");
	return ERR_INVALID_FIELD;
}

static enum err
read_entry(const struct json *object, struct entry *ret_entry, char *detail)
{
	struct entry entry = {.probability = 1, .delay_ms = -1, .times_left = -1};
	enum err err = ERR_OK;

	for (const struct json *member = json_first(object); member && err == ERR_OK; member = json_next(member))
		err = json_name(member) ? take_member(&entry, member, detail) : ERR_INVALID_FIELD;
	if (err != ERR_OK)
		return err;
	entry.at_once = entry.kind == TROUBLE_DOWN && entry.calls == TROUBLE_NEVER;
	if (entry.calls == TROUBLE_NEVER)
		entry.calls = TROUBLE_ALL;
	if (entry.delay_ms < 0)
		entry.delay_ms = kinds[entry.kind].delay_ms;
	if (entry.kind == TROUBLE_NONE || !kind_strikes(entry.kind, entry.calls)) {
		snprintf(detail, JSON_DETAIL_SIZE, "fault is missing, or never strikes these calls");
		return ERR_INVALID_FIELD;
	}
	*ret_entry = entry;
	return ERR_OK;
}

static enum err
read_list(const struct json *list, struct entry entries[TROUBLE_ENTRIES_MAX], size_t *ret_count, char *detail)
{
	size_t count = 0;

	for (const struct json *child = json_first(list); child; child = json_next(child)) {
		if (json_type(child) != JSON_OBJECT || count == TROUBLE_ENTRIES_MAX) {
			snprintf(detail, JSON_DETAIL_SIZE, "faults is a list of at most %d objects",
				 TROUBLE_ENTRIES_MAX);
			return ERR_INVALID_FIELD;
		}
		enum err err = read_entry(child, &entries[count], detail);

		if (err != ERR_OK)
			return err;
		count++;
	}
	*ret_count = count;
	return ERR_OK;
}

enum err
troubles_put(struct troubles *troubles, const struct json *body, int64_t *ret_down_ms, char *detail)
{
	const struct json *list = json_member(body, "faults");
	struct entry entries[TROUBLE_ENTRIES_MAX];
	int64_t down_ms = 0;
	size_t count;

	if (!list || json_type(list) != JSON_ARRAY || json_count(body) != 1) {
		snprintf(detail, JSON_DETAIL_SIZE, "the body must be {\"faults\":[..]}");
		return ERR_INVALID_FIELD;
	}
	enum err err = read_list(list, entries, &count, detail);

	if (err != ERR_OK)
		return err;
	for (size_t i = 0; i < count; i++) {
		if (entries[i].at_once) {
			count_strike(&entries[i]);
			down_ms = entries[i].delay_ms;
		}
	}
	pthread_mutex_lock(&troubles->lock);
	memcpy(troubles->entries, entries, count * sizeof(entries[0]));
	troubles->count = count;
	pthread_mutex_unlock(&troubles->lock);
	*ret_down_ms = down_ms;
	return ERR_OK;
}

/* --- printing --- */

static void
print_entry(const struct entry *entry, struct buf *out)
{
	buf_format(out, "{\"fault\":\"%s\"", kinds[entry->kind].name);
	if (!entry->at_once)
		buf_format(out, ",\"calls\":\"%s\"", call_names[entry->calls]);
	buf_format(out, ",\"probability\":%.6g,\"delay_ms\":%lld", entry->probability, (long long)entry->delay_ms);
	if (entry->times_left >= 0)
		buf_format(out, ",\"times\":%lld", (long long)entry->times_left);
	buf_format(out, ",\"struck\":%llu}", (unsigned long long)entry->struck);
}

void
troubles_print(struct troubles *troubles, struct buf *out)
{
	buf_literal(out, "{\"faults\":[");
	pthread_mutex_lock(&troubles->lock);
	for (size_t i = 0; i < troubles->count; i++) {
		if (i)
			buf_char(out, ',');
		print_entry(&troubles->entries[i], out);
	}
	pthread_mutex_unlock(&troubles->lock);
	buf_literal(out, "]}");
}

void
trouble_print_kinds(FILE *out)
{
	for (int kind = TROUBLE_NONE + 1; kind < TROUBLE_KINDS; kind++)
		fprintf(out, "  %-20s %s\n", kinds[kind].name, kinds[kind].help);
}
