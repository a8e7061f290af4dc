/*
 * The access log: which requests have a line, what it says, and that what comes all at once is counted instead. The
 * clock is the test's.
 */
#include "api/access.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "tap.h"

enum { LINES_MAX = 64 };

static int64_t now_us = 5000000;
static char text[65536];
static int pipe_ends[2];
static int own_stderr;
static struct json *lines[LINES_MAX]; /* what was logged, at last */
static size_t line_count;

static struct arena arena;
static struct request request = {.method = METHOD_HEAD, .target = {"/v1/secret-path?token=x", 23}};
static struct response response = {.status = 200};
static const struct route route = {.pattern = "/v1/seasons/{season}"};
static struct turn_times times;

int64_t __wrap_clock_boot_us(void);

int64_t
__wrap_clock_boot_us(void)
{
	return now_us;
}

static void
begin_lines(void)
{
	for (size_t i = 0; i < line_count; i++)
		json_free(lines[i]);
	line_count = 0;
	if (pipe(pipe_ends) != 0 || fcntl(pipe_ends[0], F_SETFL, O_NONBLOCK) != 0)
		abort();
	own_stderr = dup(STDERR_FILENO);
	dup2(pipe_ends[1], STDERR_FILENO);
}

/* How many lines there were; all of them are JSON. */
static size_t
end_lines(void)
{
	dup2(own_stderr, STDERR_FILENO);
	close(own_stderr);
	close(pipe_ends[1]);
	ssize_t got = read(pipe_ends[0], text, sizeof(text));
	struct str rest = {text, got > 0 ? (size_t)got : 0};

	close(pipe_ends[0]);
	while (rest.len && line_count < LINES_MAX) {
		size_t size = (size_t)((const char *)memchr(rest.ptr, '\n', rest.len) - rest.ptr);

		CU_ASSERT_FATAL(json_parse((struct str){rest.ptr, size}, &lines[line_count], NULL) == ERR_OK);
		line_count++;
		rest = (struct str){rest.ptr + size + 1, rest.len - size - 1};
	}
	return line_count;
}

static bool
says(size_t line, const char *name, const char *wanted)
{
	struct str value;

	return json_get_string(json_member(lines[line], name), &value) && str_equal(value, str_from(wanted));
}

/* -1: it is not there. */
static int64_t
number(size_t line, const char *name)
{
	int64_t value = -1;

	json_get_integer(json_member(lines[line], name), &value);
	return value;
}

static struct call
make_call(int status, int64_t waited_us)
{
	response.status = status;
	return (struct call){.arena = &arena,
			     .request = &request,
			     .response = &response,
			     .route = &route,
			     .player = STR("p-secret"),
			     .times = &times,
			     .waited_us = waited_us};
}

static void
note(struct access_log *log, int status, int64_t waited_us, int64_t turn_us)
{
	struct call call = make_call(status, waited_us);

	access_note(log, &call, turn_us);
}

static void
test_sampling(void)
{
	static const struct {
		int64_t sample;
		size_t lines;
	} cases[] = {{0, 0}, {1, 30}, {3, 10}, {7, 4}, {30, 1}, {31, 0}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct access_log log;

		access_init(&log, cases[i].sample, 250);
		begin_lines();
		for (int request_number = 0; request_number < 30; request_number++)
			note(&log, 200, 0, 10);
		CU_ASSERT_EQUAL(end_lines(), cases[i].lines);
		for (size_t line = 0; line < line_count; line++)
			CU_ASSERT(says(line, "why", "sampled") && says(line, "level", "info"));
	}
}

static void
test_slow(void)
{
	struct access_log log;

	access_init(&log, 0, 250);
	begin_lines();
	note(&log, 200, 0, 249999);
	note(&log, 200, 249000, 999);
	note(&log, 404, 0, 250000);
	note(&log, 200, 249000, 1000);
	CU_ASSERT_EQUAL_FATAL(end_lines(), 2);
	CU_ASSERT(says(0, "why", "slow") && says(0, "level", "warning"));
	CU_ASSERT(number(0, "status") == 404 && number(1, "status") == 200);
	CU_ASSERT(number(1, "wait_us") == 249000 && number(1, "turn_us") == 1000 && number(1, "total_us") == 250000);

	access_init(&log, 0, 0);
	begin_lines();
	note(&log, 200, INT64_C(1) << 40, 1);
	CU_ASSERT_EQUAL(end_lines(), 0);
}

static void
test_errors(void)
{
	struct access_log log;
	struct call call = make_call(503, 2000000);

	access_init(&log, 0, 250);
	begin_lines();
	note(&log, 499, 0, 10);
	note(&log, 500, 0, 10);
	call.err = ERR_OVERLOADED;
	call.route = NULL;
	call.times = NULL;
	response.status = 503;
	access_note(&log, &call, 0);
	CU_ASSERT_EQUAL_FATAL(end_lines(), 2);
	CU_ASSERT(says(0, "why", "failed") && says(0, "level", "error") && number(0, "status") == 500);
	CU_ASSERT_PTR_NULL(json_member(lines[0], "error"));
	CU_ASSERT(says(1, "why", "unavailable") && says(1, "level", "warning") && number(1, "status") == 503);
	CU_ASSERT(says(1, "error", "overloaded") && says(1, "route", "none") && says(1, "method", "none"));
	CU_ASSERT(number(1, "turn_requests") == 0 && number(1, "total_us") == 2000000);
}

static void
test_line(void)
{
	struct access_log log;
	struct call call = make_call(200, 3000);

	times = (struct turn_times){.requests = 17, .began_us = 1000, .decoded_us = 1100, .worked_us = 1600};
	call.source = SOURCE_STORE;
	access_init(&log, 1, 0);
	begin_lines();
	access_note(&log, &call, 900);
	times.resumed_us = 5000;
	access_note(&log, &call, 4300);
	times = (struct turn_times){.requests = 64, .began_us = 1000};
	access_note(&log, &call, 900);
	CU_ASSERT_EQUAL_FATAL(end_lines(), 3);
	CU_ASSERT(says(0, "event", "request") && says(0, "method", "HEAD") && says(0, "source", "store"));
	CU_ASSERT(says(0, "route", "/v1/seasons/{season}"));
	CU_ASSERT(says(0, "message", "HEAD /v1/seasons/{season}: 200 in 3900 us"));
	CU_ASSERT_EQUAL(number(0, "turn_requests"), 17);
	CU_ASSERT(number(0, "wait_us") == 3000 && number(0, "decode_us") == 100 && number(0, "work_us") == 500);
	CU_ASSERT(number(0, "later_us") == -1 && number(0, "answer_us") == 300);
	CU_ASSERT(number(0, "turn_us") == 900 && number(0, "total_us") == 3900);
	/* The parts come to the whole. */
	CU_ASSERT(number(1, "later_us") == 3400 && number(1, "answer_us") == 300 && number(1, "turn_us") == 4300);
	CU_ASSERT(number(2, "decode_us") == -1 && number(2, "work_us") == -1 && number(2, "answer_us") == -1);
	CU_ASSERT_PTR_NULL(strstr(text, "secret"));
	times.requests = 0;
}

static void
test_floods(void)
{
	struct access_log log;

	access_init(&log, 0, 250);
	CU_ASSERT_EQUAL(access_due_boot_ms(&log), INT64_MAX);
	begin_lines();
	for (int i = 0; i < 50; i++)
		note(&log, 503, 0, 10);
	note(&log, 500, 0, 10);
	CU_ASSERT_EQUAL(access_due_boot_ms(&log), now_us / 1000 + 1001);
	access_tell(&log, false);
	CU_ASSERT_EQUAL(end_lines(), 11);

	/* Told when the second is over, once. */
	begin_lines();
	now_us += 1001000;
	access_tell(&log, false);
	access_tell(&log, false);
	CU_ASSERT_EQUAL_FATAL(end_lines(), 1);
	CU_ASSERT(says(0, "event", "suppressed") && says(0, "why", "unavailable") && says(0, "level", "warning"));
	CU_ASSERT_EQUAL(number(0, "suppressed"), 40);
	CU_ASSERT_EQUAL(access_due_boot_ms(&log), INT64_MAX);

	/* By the first request of another second, too, and before its line. */
	begin_lines();
	for (int i = 0; i < 12; i++)
		note(&log, 503, 0, 10);
	now_us += 1000000;
	note(&log, 503, 0, 10);
	CU_ASSERT_EQUAL_FATAL(end_lines(), 12);
	CU_ASSERT(says(10, "event", "suppressed") && number(10, "suppressed") == 2 && says(11, "event", "request"));

	/* And at the end, whatever the time. */
	begin_lines();
	for (int i = 0; i < 10; i++)
		note(&log, 503, 0, 10);
	access_tell(&log, true);
	access_tell(&log, true);
	CU_ASSERT_EQUAL_FATAL(end_lines(), 10);
	CU_ASSERT(says(9, "event", "suppressed") && number(9, "suppressed") == 1);
}

/* Of a request that is sampled nothing is ever left out; of slow ones so many. */
static void
test_limits(void)
{
	struct access_log log;

	access_init(&log, 1, 250);
	begin_lines();
	for (int i = 0; i < 60; i++)
		note(&log, 200, 0, 10);
	CU_ASSERT_EQUAL(end_lines(), 60);
	begin_lines();
	for (int i = 0; i < 150; i++)
		note(&log, 200, 0, 250000);
	end_lines();
	CU_ASSERT(log.limits[ACCESS_SLOW].said == 100 && log.limits[ACCESS_SLOW].unsaid == 50);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"sampling", test_sampling}, {"slow requests", test_slow}, {"errors", test_errors},
		{"a line", test_line},       {"floods", test_floods},      {"limits", test_limits},
		CU_TEST_INFO_NULL,
	};

	arena_init(&arena);
	log_set_role("tester");
	log_set_format("json");
	int status = tap_main("api/access", tests);

	arena_release(&arena);
	return status;
}
