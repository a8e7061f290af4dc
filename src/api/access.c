/* The access log: see access.h. */
#include "api/access.h"

#include "base/clock.h"
#include "base/log.h"

enum { SECOND_US = 1000000 };

static const struct {
	const char *name;
	enum log_level level;
	unsigned lines_per_s; /* 0: all, because only configuration makes many of them */
} reasons[ACCESS_REASON_COUNT] = {
	[ACCESS_SAMPLED] = {"sampled", LOG_INFO, 0},
	[ACCESS_SLOW] = {"slow", LOG_WARNING, 100},
	[ACCESS_UNAVAILABLE] = {"unavailable", LOG_WARNING, 10},
	[ACCESS_FAILED] = {"failed", LOG_ERROR, 10},
};

#define X(name, text) text,
static const char *const source_names[METRIC_SOURCE_COUNT] = {METRIC_SOURCE_VALUES(X)};
#undef X

struct line {
	struct log_field fields[LOG_FIELDS_MAX];
	size_t count;
};

void
access_init(struct access_log *log, int64_t sample, int64_t slow_ms)
{
	*log = (struct access_log){
		.sample = sample > 0 ? (uint64_t)sample : UINT64_MAX,
		.slow_us = slow_ms > 0 ? slow_ms * 1000 : INT64_MAX,
	};
	log->until_sample = log->sample;
}

static void
add_text(struct line *line, const char *name, const char *text)
{
	line->fields[line->count++] = (struct log_field){.name = name, .text = str_from(text)};
}

static void
add_number(struct line *line, const char *name, int64_t number)
{
	line->fields[line->count++] = (struct log_field){.name = name, .number = number};
}

/* Of a second that is over: what it has left out. The next one begins now. */
static void
begin_second(struct access_limit *limit, enum access_reason reason, int64_t now_us)
{
	struct line line = {.count = 0};

	if (limit->unsaid) {
		add_text(&line, "event", "suppressed");
		add_text(&line, "why", reasons[reason].name);
		add_number(&line, "suppressed", (int64_t)limit->unsaid);
		log_fields(reasons[reason].level, STR("more requests than are logged in a second"), line.fields,
			   line.count);
	}
	*limit = (struct access_limit){.since_us = now_us};
}

void
access_tell(struct access_log *log, bool at_end)
{
	for (int reason = 0; reason < ACCESS_REASON_COUNT; reason++) {
		struct access_limit *limit = &log->limits[reason];

		if (limit->unsaid && (at_end || clock_boot_us() - limit->since_us >= SECOND_US))
			begin_second(limit, (enum access_reason)reason, clock_boot_us());
	}
}

int64_t
access_due_boot_ms(const struct access_log *log)
{
	int64_t due_ms = INT64_MAX;

	for (int reason = 0; reason < ACCESS_REASON_COUNT; reason++) {
		int64_t over_ms = (log->limits[reason].since_us + SECOND_US) / 1000 + 1;

		if (log->limits[reason].unsaid && over_ms < due_ms)
			due_ms = over_ms;
	}
	return due_ms;
}

static bool
may_say(struct access_log *log, enum access_reason reason)
{
	struct access_limit *limit = &log->limits[reason];
	int64_t now_us = clock_boot_us();

	if (now_us - limit->since_us >= SECOND_US)
		begin_second(limit, reason, now_us);
	if (reasons[reason].lines_per_s && limit->said >= reasons[reason].lines_per_s) {
		limit->unsaid++;
		return false;
	}
	limit->said++;
	return true;
}

static enum access_reason
reason_for(const struct access_log *log, const struct call *call, int64_t total_us)
{
	if (call->response->status == 500)
		return ACCESS_FAILED;
	if (call->response->status > 500)
		return ACCESS_UNAVAILABLE;
	return total_us >= log->slow_us ? ACCESS_SLOW : ACCESS_SAMPLED;
}

/* The parts of its turn, where the lane takes their times. */
static void
add_parts(struct line *line, const struct turn_times *times, int64_t turn_us)
{
	int64_t ready_us = times->resumed_us ? times->resumed_us : times->worked_us;

	add_number(line, "decode_us", times->decoded_us - times->began_us);
	add_number(line, "work_us", times->worked_us - times->decoded_us);
	if (times->resumed_us)
		add_number(line, "later_us", times->resumed_us - times->worked_us);
	add_number(line, "answer_us", times->began_us + turn_us - ready_us);
}

static void
add_times(struct line *line, const struct call *call, int64_t turn_us)
{
	const struct turn_times *times = call->times;

	add_number(line, "turn_requests", times ? (int64_t)times->requests : 0);
	add_number(line, "wait_us", call->waited_us);
	if (times && times->worked_us)
		add_parts(line, times, turn_us);
	add_number(line, "turn_us", turn_us);
	add_number(line, "total_us", call->waited_us + turn_us);
}

void
access_write(struct access_log *log, const struct call *call, int64_t turn_us)
{
	int64_t total_us = call->waited_us + turn_us;
	enum access_reason reason = reason_for(log, call, total_us);
	/* Whoever had no turn was not looked at. */
	const char *method = call->times ? method_name(call->request->method) : "none";
	const char *route = call->route ? call->route->pattern : "none";
	struct line line = {.count = 0};

	if (log->until_sample == 0)
		log->until_sample = log->sample;
	if (!may_say(log, reason))
		return;
	add_text(&line, "event", "request");
	add_text(&line, "why", reasons[reason].name);
	add_text(&line, "method", method);
	add_text(&line, "route", route);
	add_number(&line, "status", call->response->status);
	if (call->err != ERR_OK)
		add_text(&line, "error", err_code(call->err));
	add_text(&line, "source", source_names[call->source]);
	add_times(&line, call, turn_us);
	log_fields(reasons[reason].level,
		   arena_format(call->arena, "%s %s: %d in %lld us", method, route, call->response->status,
				(long long)total_us),
		   line.fields, line.count);
}
