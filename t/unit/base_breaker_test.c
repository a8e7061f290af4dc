/* The breaker: when it opens, who may try then, and how it closes again. */
#include "base/breaker.h"

#include "tap.h"

static struct breaker breaker;

static void
notes(unsigned count, enum breaker_outcome outcome, int64_t now_ms)
{
	for (unsigned i = 0; i < count; i++)
		breaker_note(&breaker, outcome, now_ms);
}

static void
open_it(int64_t now_ms)
{
	breaker = (struct breaker){.state = BREAKER_CLOSED};
	notes(BREAKER_FAILURES_IN_A_ROW, BREAKER_FAILED, now_ms);
	CU_ASSERT_FALSE(breaker_allows(&breaker));
}

static void
test_failures_in_a_row(void)
{
	breaker = (struct breaker){.state = BREAKER_CLOSED};
	CU_ASSERT_TRUE(breaker_allows(&breaker));
	notes(BREAKER_FAILURES_IN_A_ROW - 1, BREAKER_FAILED, 5000);
	CU_ASSERT_TRUE(breaker_allows(&breaker));
	breaker_note(&breaker, BREAKER_GOOD, 5000);
	notes(BREAKER_FAILURES_IN_A_ROW - 1, BREAKER_FAILED, 5000);
	CU_ASSERT_TRUE(breaker_allows(&breaker));
	breaker_note(&breaker, BREAKER_FAILED, 5000);
	CU_ASSERT_FALSE(breaker_allows(&breaker));
	CU_ASSERT_EQUAL(breaker.entered[BREAKER_OPEN], 1);
}

/* Two requests that have waited in vain are enough, wherever they were; a good answer between them says otherwise. */
static void
test_time_outs(void)
{
	breaker = (struct breaker){.state = BREAKER_CLOSED};
	breaker_note(&breaker, BREAKER_TIMED_OUT, 5000);
	breaker_note(&breaker, BREAKER_GOOD, 5000);
	breaker_note(&breaker, BREAKER_TIMED_OUT, 5000);
	CU_ASSERT_TRUE(breaker_allows(&breaker));
	breaker_note(&breaker, BREAKER_TIMED_OUT, 5000);
	CU_ASSERT_FALSE(breaker_allows(&breaker));
}

/* Half of many in a second, though never many in a row. */
static void
test_share_of_a_window(void)
{
	breaker = (struct breaker){.state = BREAKER_CLOSED};
	for (unsigned i = 0; i < BREAKER_WINDOW_CALLS / 2 - 1; i++) {
		breaker_note(&breaker, BREAKER_GOOD, 5000);
		breaker_note(&breaker, BREAKER_FAILED, 5000);
	}
	CU_ASSERT_TRUE(breaker_allows(&breaker));
	breaker_note(&breaker, BREAKER_GOOD, 5999);
	breaker_note(&breaker, BREAKER_FAILED, 5999);
	CU_ASSERT_FALSE(breaker_allows(&breaker));
}

static void
test_windows_are_apart(void)
{
	breaker = (struct breaker){.state = BREAKER_CLOSED};
	for (int64_t now_ms = 5000; now_ms < 60000; now_ms += BREAKER_WINDOW_MS) {
		for (unsigned i = 0; i < BREAKER_WINDOW_CALLS / 2 - 1; i++) {
			breaker_note(&breaker, BREAKER_GOOD, now_ms);
			breaker_note(&breaker, BREAKER_FAILED, now_ms);
		}
	}
	CU_ASSERT_TRUE(breaker_allows(&breaker));
}

static void
test_a_few_failures_among_many(void)
{
	breaker = (struct breaker){.state = BREAKER_CLOSED};
	for (unsigned i = 0; i < 1000; i++)
		breaker_note(&breaker, i % 3 ? BREAKER_GOOD : BREAKER_FAILED, 5000);
	CU_ASSERT_TRUE(breaker_allows(&breaker));
}

/* The prober waits longer and longer; two good probes close. */
static void
test_probes(void)
{
	int64_t now_ms = 5000;
	int64_t wait_ms = BREAKER_PROBE_FIRST_MS;

	open_it(now_ms);
	for (unsigned i = 0; i < 6; i++) {
		CU_ASSERT_FALSE(breaker_probe_due(&breaker, now_ms + wait_ms - 1));
		CU_ASSERT_TRUE(breaker_probe_due(&breaker, now_ms + wait_ms));
		now_ms += wait_ms;
		breaker_probed(&breaker, false, now_ms);
		wait_ms = wait_ms * 2 < BREAKER_PROBE_MOST_MS ? wait_ms * 2 : BREAKER_PROBE_MOST_MS;
	}
	now_ms += wait_ms;
	breaker_probed(&breaker, true, now_ms);
	CU_ASSERT_EQUAL(breaker.state, BREAKER_HALF_OPEN);
	CU_ASSERT_FALSE(breaker_allows(&breaker));
	CU_ASSERT_TRUE(breaker_probe_due(&breaker, now_ms));
	breaker_probed(&breaker, true, now_ms + 100);
	CU_ASSERT_TRUE(breaker_allows(&breaker));
	CU_ASSERT_EQUAL(breaker.entered[BREAKER_HALF_OPEN], 1);
	CU_ASSERT_EQUAL(breaker.entered[BREAKER_CLOSED], 1);
}

static void
test_half_open_falls_back(void)
{
	open_it(5000);
	breaker_probed(&breaker, true, 6000);
	breaker_probed(&breaker, false, 6100);
	CU_ASSERT_EQUAL(breaker.state, BREAKER_OPEN);
	CU_ASSERT_FALSE(breaker_probe_due(&breaker, 6100 + BREAKER_PROBE_FIRST_MS - 1));
	CU_ASSERT_TRUE(breaker_probe_due(&breaker, 6100 + BREAKER_PROBE_FIRST_MS));
	CU_ASSERT_EQUAL(breaker.entered[BREAKER_OPEN], 2);
}

/* Calls that began before it opened, and end now, change nothing. */
static void
test_late_notes(void)
{
	open_it(5000);
	notes(100, true, 5010);
	CU_ASSERT_EQUAL(breaker.state, BREAKER_OPEN);
	breaker_probed(&breaker, true, 6000);
	notes(100, false, 6010);
	CU_ASSERT_EQUAL(breaker.state, BREAKER_HALF_OPEN);
}

/* While it is closed a probe is a call like any other. */
static void
test_probes_of_a_closed_one(void)
{
	breaker = (struct breaker){.state = BREAKER_CLOSED};
	for (unsigned i = 0; i < BREAKER_FAILURES_IN_A_ROW; i++) {
		CU_ASSERT_TRUE(breaker_probe_due(&breaker, 5000));
		breaker_probed(&breaker, false, 5000);
	}
	CU_ASSERT_EQUAL(breaker.state, BREAKER_OPEN);
}

static void
test_time_in_state(void)
{
	open_it(5000);
	CU_ASSERT_EQUAL(breaker_spent_ms(&breaker, BREAKER_OPEN, 5700), 700);
	breaker_probed(&breaker, true, 6000);
	breaker_probed(&breaker, true, 6300);
	CU_ASSERT_EQUAL(breaker_spent_ms(&breaker, BREAKER_OPEN, 9000), 1000);
	CU_ASSERT_EQUAL(breaker_spent_ms(&breaker, BREAKER_HALF_OPEN, 9000), 300);
	CU_ASSERT_EQUAL(breaker_spent_ms(&breaker, BREAKER_CLOSED, 9000), 2700);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"failures in a row open it", test_failures_in_a_row},
		{"two time-outs in a row open it", test_time_outs},
		{"half of many in a second open it", test_share_of_a_window},
		{"windows are apart", test_windows_are_apart},
		{"a few failures among many do not", test_a_few_failures_among_many},
		{"probes, more and more seldom", test_probes},
		{"half-open falls back", test_half_open_falls_back},
		{"late notes change nothing", test_late_notes},
		{"probes of a closed one", test_probes_of_a_closed_one},
		{"time in each state", test_time_in_state},
		CU_TEST_INFO_NULL,
	};

	return tap_main("base/breaker", tests);
}
