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
	metrics_add(METRIC_REQUESTS, 5);
	metrics_set(METRIC_GAUGE_PURCHASES_STUCK, 5);
	CU_ASSERT_EQUAL(metrics_sum(metrics, METRIC_REQUESTS), 0);
	CU_ASSERT_EQUAL(metrics_value(metrics, METRIC_GAUGE_PURCHASES_STUCK), 0);
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
			metrics_add(METRIC_REQUESTS, 1);
			metrics_add(METRIC_XP_GRANTS, i);
		}
		_exit(0);
	}
	for (unsigned i = 0; i < CHILDREN; i++)
		while (waitpid(children[i], NULL, 0) < 0 && errno == EINTR)
			continue;
	CU_ASSERT_EQUAL(metrics_sum(metrics, METRIC_REQUESTS), CHILDREN * COUNTS);
	CU_ASSERT_EQUAL(metrics_sum(metrics, METRIC_XP_GRANTS), COUNTS * CHILDREN * (CHILDREN - 1) / 2);
	CU_ASSERT_EQUAL(metrics_sum(metrics, METRIC_TURNS), 0);
	/* Who takes the place goes on from there. */
	metrics_attach(metrics, 0);
	metrics_add(METRIC_REQUESTS, 2);
	CU_ASSERT_EQUAL(metrics_sum(metrics, METRIC_REQUESTS), CHILDREN * COUNTS + 2);
}

static void
test_last_slot(void)
{
	uint64_t before = metrics_sum(metrics, METRIC_TURNS);

	metrics_attach(metrics, METRICS_SLOTS - 1);
	metrics_add(METRIC_TURNS, 3);
	CU_ASSERT_EQUAL(metrics_sum(metrics, METRIC_TURNS), before + 3);
	CU_ASSERT_EQUAL(metrics->slots[METRICS_SLOTS - 1].counters[METRIC_TURNS], 3);
}

/* One process sets, another one reads; the value outlives who set it and goes down as well as up. */
static void
test_gauges(void)
{
	pid_t child = fork();

	if (child == 0) {
		metrics_attach(metrics, 3);
		metrics_set(METRIC_GAUGE_DELIVERIES_PENDING, 70);
		metrics_set(METRIC_GAUGE_DELIVERIES_OLDEST, UINT64_MAX);
		_exit(0);
	}
	while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
		continue;
	CU_ASSERT_EQUAL(metrics_value(metrics, METRIC_GAUGE_DELIVERIES_PENDING), 70);
	CU_ASSERT_EQUAL(metrics_value(metrics, METRIC_GAUGE_DELIVERIES_OLDEST), UINT64_MAX);
	CU_ASSERT_EQUAL(metrics_value(metrics, METRIC_GAUGE_DELIVERIES_FAILED), 0);
	metrics_attach(metrics, 4);
	metrics_set(METRIC_GAUGE_DELIVERIES_PENDING, 7);
	CU_ASSERT_EQUAL(metrics_value(metrics, METRIC_GAUGE_DELIVERIES_PENDING), 7);
}

/* A counter's name ends with what it is; a gauge's must not. */
static bool
is_metric_name(const char *name, bool counter)
{
	size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyz_0123456789");

	return length > 12 && name[length] == '\0' && strncmp(name, "battlepass_", 11) == 0 &&
	       (strcmp(name + length - 6, "_total") == 0) == counter;
}

static uint64_t
value_of(unsigned line)
{
	return line < METRIC_COUNT ? metrics_sum(metrics, (enum metric)line)
				   : metrics_value(metrics, (enum metric_gauge)(line - METRIC_COUNT));
}

/* Three lines each: HELP, TYPE, value; counters first. Every name once. */
static void
test_print(void)
{
	struct buf out;
	char names[METRIC_COUNT + METRIC_GAUGE_COUNT][128];
	unsigned count = 0;

	buf_init(&out);
	metrics_print(metrics, &out);
	const char *at = buf_text(&out);

	while (*at && count < METRIC_COUNT + METRIC_GAUGE_COUNT) {
		bool counter = count < METRIC_COUNT;
		char *name = names[count];
		char type_name[128];
		char type[16];
		char value_name[128];
		char help[256];
		unsigned long long value;
		int used = 0;

		CU_ASSERT_EQUAL_FATAL(sscanf(at, "# HELP %127s %255[^\n]\n# TYPE %127s %15s\n%127s %llu\n%n", name,
					     help, type_name, type, value_name, &value, &used),
				      6);
		CU_ASSERT_TRUE(is_metric_name(name, counter));
		CU_ASSERT_STRING_EQUAL(type, counter ? "counter" : "gauge");
		CU_ASSERT(strcmp(name, type_name) == 0 && strcmp(name, value_name) == 0);
		CU_ASSERT(isupper((unsigned char)help[0]) && help[strlen(help) - 1] == '.');
		CU_ASSERT_EQUAL(value, value_of(count));
		for (unsigned i = 0; i < count; i++)
			CU_ASSERT_STRING_NOT_EQUAL(names[i], name);
		count++;
		at += used;
	}
	CU_ASSERT_EQUAL(count, METRIC_COUNT + METRIC_GAUGE_COUNT);
	CU_ASSERT_STRING_EQUAL(at, "");
	buf_release(&out);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"unattached counts go nowhere", test_unattached_goes_nowhere},
		{"processes add up", test_processes_add_up},
		{"the last slot", test_last_slot},
		{"gauges", test_gauges},
		{"print", test_print},
		CU_TEST_INFO_NULL,
	};

	metrics = mmap(NULL, sizeof(*metrics), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (metrics == MAP_FAILED)
		abort();
	return tap_main("base/metrics", tests);
}
