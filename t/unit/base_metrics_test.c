/*
 * Counters add up over the slots and outlive their process; gauges hold what was set last. Both are printed as
 * Prometheus reads them.
 */
#include "base/metrics.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tap.h"

enum { CHILDREN = 8, COUNTS = 10000 };

static struct metrics *metrics;

static void
test_unattached_goes_nowhere(void)
{
	metrics_add(METRIC_CACHE_HITS, 5);
	metrics_observe(METRIC_STORE_DURATION, METRIC_STATEMENT_COMMIT, 0, 5);
	metrics_set(METRIC_PURCHASES_STUCK, 5);
	CU_ASSERT_EQUAL(metrics_sum(metrics, METRIC_CACHE_HITS), 0);
	CU_ASSERT_EQUAL(metrics_value(metrics, METRIC_PURCHASES_STUCK), 0);
}

/* Processes count at the same time, die, and nothing is lost. */
static void
test_processes_add_up(void)
{
	pid_t children[CHILDREN];

	for (unsigned i = 0; i < CHILDREN; i++) {
		children[i] = fork();
		if (children[i] != 0)
			continue;
		metrics_attach(metrics, i);
		for (int k = 0; k < COUNTS; k++) {
			metrics_add(METRIC_CACHE_HITS, 1);
			metrics_add(METRIC_XP_GRANTS, i);
			metrics_add_at(METRIC_REQUESTS, i, metric_status(200 + k % 2), 1);
		}
		_exit(0);
	}
	for (unsigned i = 0; i < CHILDREN; i++)
		while (waitpid(children[i], NULL, 0) < 0 && errno == EINTR)
			continue;
	CU_ASSERT_EQUAL(metrics_sum(metrics, METRIC_CACHE_HITS), CHILDREN * COUNTS);
	CU_ASSERT_EQUAL(metrics_sum(metrics, METRIC_XP_GRANTS), COUNTS * CHILDREN * (CHILDREN - 1) / 2);
	CU_ASSERT_EQUAL(metrics_sum(metrics, METRIC_REQUESTS), CHILDREN * COUNTS);
	CU_ASSERT_EQUAL(metrics_sum(metrics, METRIC_CACHE_FILLS), 0);
	/* Who takes the place goes on from there. */
	metrics_attach(metrics, 0);
	metrics_add(METRIC_CACHE_HITS, 2);
	CU_ASSERT_EQUAL(metrics_sum(metrics, METRIC_CACHE_HITS), CHILDREN * COUNTS + 2);
}

static void
test_last_slot(void)
{
	metrics_attach(metrics, METRICS_SLOTS - 1);
	metrics_add(METRIC_CACHE_FILLS, 3);
	CU_ASSERT_EQUAL(metrics_sum(metrics, METRIC_CACHE_FILLS), 3);
	CU_ASSERT_EQUAL(metrics->slots[METRICS_SLOTS - 1].cells[METRIC_AT_CACHE_FILLS], 3);
}

/* One process sets, another one reads; the value outlives who set it and goes down as well as up. */
static void
test_gauges(void)
{
	pid_t child = fork();

	if (child == 0) {
		metrics_attach(metrics, 3);
		metrics_set(METRIC_DELIVERIES_PENDING, 70);
		metrics_set(METRIC_DELIVERIES_OLDEST, UINT64_MAX);
		_exit(0);
	}
	while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
		continue;
	CU_ASSERT_EQUAL(metrics_value(metrics, METRIC_DELIVERIES_PENDING), 70);
	CU_ASSERT_EQUAL(metrics_value(metrics, METRIC_DELIVERIES_OLDEST), UINT64_MAX);
	CU_ASSERT_EQUAL(metrics_value(metrics, METRIC_DELIVERIES_FAILED), 0);
	metrics_attach(metrics, 4);
	metrics_set(METRIC_DELIVERIES_PENDING, 7);
	CU_ASSERT_EQUAL(metrics_value(metrics, METRIC_DELIVERIES_PENDING), 7);
}

static void
number_route(unsigned route, struct buf *out)
{
	buf_format(out, "method=\"GET\",route=\"/%u\"", route);
}

static void
print(enum metrics_format format, struct buf *out)
{
	buf_init(out);
	metrics_print(metrics, number_route, format, out);
}

/* Is there such a line, and only one? */
static void
expect_line(struct buf *out, const char *line)
{
	char text[256];

	snprintf(text, sizeof(text), "\n%s\n", line);
	const char *at = strstr(buf_text(out), text);

	if (!at || strstr(at + 1, text))
		printf("# not once: %s\n", line);
	CU_ASSERT(at && !strstr(at + 1, text));
}

static void
test_labels(void)
{
	struct buf out;

	memset(metrics, 0, sizeof(*metrics));
	metrics_attach(metrics, 0);
	metrics_add_at(METRIC_REQUESTS, 1, metric_status(200), 4);
	metrics_add_at(METRIC_REQUESTS, 1, metric_status(503), 1);
	metrics_add_at(METRIC_REQUESTS, 2, metric_status(299), 2);
	metrics_attach(metrics, 5);
	metrics_add_at(METRIC_REQUESTS, 1, metric_status(200), 3);
	metrics_add_at(METRIC_BREAKER_SPENT, METRIC_BREAKER_HALF_OPEN, 0, 1500000);
	print(METRICS_PROMETHEUS, &out);
	expect_line(&out, "battlepass_requests_total{method=\"GET\",route=\"/1\",status=\"200\"} 7");
	expect_line(&out, "battlepass_requests_total{method=\"GET\",route=\"/1\",status=\"503\"} 1");
	expect_line(&out, "battlepass_requests_total{method=\"GET\",route=\"/2\",status=\"other\"} 2");
	expect_line(&out, "battlepass_cache_breaker_state_seconds_total{state=\"half_open\"} 1.500000");
	CU_ASSERT_PTR_NULL(strstr(buf_text(&out), "route=\"/0\""));
	CU_ASSERT_EQUAL(metrics_sum(metrics, METRIC_REQUESTS), 10);
	buf_release(&out);
}

/* On a bound means below it, beyond all bounds is counted, too, and sums are those of what was observed. */
static void
test_histograms(void)
{
	struct buf out;

	memset(metrics, 0, sizeof(*metrics));
	metrics_attach(metrics, 0);
	for (unsigned i = 0; i < 2; i++) {
		metrics_observe(METRIC_REQUEST_DURATION, 1, METRIC_SOURCE_CACHE, 100);
		metrics_observe(METRIC_REQUEST_DURATION, 1, METRIC_SOURCE_CACHE, 101);
		metrics_attach(metrics, 1);
	}
	metrics_observe(METRIC_REQUEST_DURATION, 1, METRIC_SOURCE_CACHE, 3000000);
	metrics_observe(METRIC_TURN_REQUESTS, METRIC_LANE_STORE, 0, 1);
	metrics_observe(METRIC_TURN_REQUESTS, METRIC_LANE_STORE, 0, 257);
	print(METRICS_PROMETHEUS, &out);
#define OF "{method=\"GET\",route=\"/1\",source=\"cache\""
	expect_line(&out, "battlepass_request_duration_seconds_bucket" OF ",le=\"0.0001\"} 2");
	expect_line(&out, "battlepass_request_duration_seconds_bucket" OF ",le=\"0.00025\"} 4");
	expect_line(&out, "battlepass_request_duration_seconds_bucket" OF ",le=\"2.5\"} 4");
	expect_line(&out, "battlepass_request_duration_seconds_bucket" OF ",le=\"+Inf\"} 5");
	expect_line(&out, "battlepass_request_duration_seconds_sum" OF "} 3.000402");
	expect_line(&out, "battlepass_request_duration_seconds_count" OF "} 5");
#undef OF
	expect_line(&out, "battlepass_turn_requests_bucket{lane=\"store\",le=\"1.0\"} 1");
	expect_line(&out, "battlepass_turn_requests_bucket{lane=\"store\",le=\"256.0\"} 1");
	expect_line(&out, "battlepass_turn_requests_bucket{lane=\"store\",le=\"+Inf\"} 2");
	expect_line(&out, "battlepass_turn_requests_sum{lane=\"store\"} 258");
	buf_release(&out);
}

/* What stands behind "# HELP " or "# TYPE " or "# UNIT " of each family, in the table's order. */
static void
expect_family(const char **at, const char *word, char name[128], char rest[256])
{
	char format[64];
	int used = 0;

	snprintf(format, sizeof(format), "# %s %%127s %%255[^\n]\n%%n", word);
	CU_ASSERT_EQUAL_FATAL(sscanf(*at, format, name, rest, &used), 2);
	*at += used;
}

static bool
ends_in(const char *text, const char *end)
{
	return strlen(text) > strlen(end) && strcmp(text + strlen(text) - strlen(end), end) == 0;
}

/* Each family has its help, type and, in OpenMetrics, unit before its samples; each name is there once. */
static void
test_families(enum metrics_format format)
{
	bool open = format == METRICS_OPENMETRICS;
	char names[METRIC_COUNT + 1][128];
	unsigned count = 0;
	struct buf out;

	memset(metrics, 0, sizeof(*metrics));
	print(format, &out);
	const char *at = buf_text(&out);

	while (*at && strcmp(at, "# EOF\n") != 0 && count <= METRIC_COUNT) {
		char *name = names[count];
		char type_name[128];
		char help[256];
		char type[256];
		char unit[256] = "";

		expect_family(&at, "HELP", name, help);
		expect_family(&at, "TYPE", type_name, type);
		if (open && strncmp(at, "# UNIT", 6) == 0)
			expect_family(&at, "UNIT", type_name, unit);
		CU_ASSERT_STRING_EQUAL(name, type_name);
		CU_ASSERT(strncmp(name, "battlepass_", 11) == 0 &&
			  name[strspn(name, "abcdefghijklmnopqrstuvwxyz_")] == '\0');
		CU_ASSERT(isupper((unsigned char)help[0]) && ends_in(help, "."));
		CU_ASSERT_EQUAL(ends_in(name, "_total"), !open && strcmp(type, "counter") == 0);
		if (open)
			CU_ASSERT_EQUAL(unit[0] != '\0', ends_in(name, "_seconds") || ends_in(name, "_bytes"));
		if (unit[0])
			CU_ASSERT_TRUE(ends_in(name, unit));
		while (strncmp(at, name, strlen(name)) == 0)
			at = strchr(at, '\n') + 1;
		for (unsigned i = 0; i < count; i++)
			CU_ASSERT_STRING_NOT_EQUAL(names[i], name);
		count++;
	}
	CU_ASSERT_EQUAL(count, METRIC_COUNT + 1); /* and what was built */
	CU_ASSERT_STRING_EQUAL(at, open ? "# EOF\n" : "");
	buf_release(&out);
}

static void
test_prometheus(void)
{
	test_families(METRICS_PROMETHEUS);
}

static void
test_openmetrics(void)
{
	test_families(METRICS_OPENMETRICS);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"unattached counts go nowhere", test_unattached_goes_nowhere},
		{"processes add up", test_processes_add_up},
		{"the last slot", test_last_slot},
		{"gauges", test_gauges},
		{"labels", test_labels},
		{"histograms", test_histograms},
		{"families as Prometheus reads them", test_prometheus},
		{"families as OpenMetrics has them", test_openmetrics},
		CU_TEST_INFO_NULL,
	};

	metrics = mmap(NULL, sizeof(*metrics), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (metrics == MAP_FAILED)
		abort();
	return tap_main("base/metrics", tests);
}
