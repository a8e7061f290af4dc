/* What is late, and what must never be: by a clock that was set, or by a time that makes no sense. */
#include "lane/lateness.h"

#include "tap.h"

enum { WITHIN_MS = 1000 };

#define BOOT_MS  INT64_C(5000000)
#define START_MS INT64_C(1795829377000)

/* A lane's process that looked at its clocks when the machine was up for BOOT_MS. */
static struct lateness
begun(void)
{
	struct lateness lateness;

	lateness_init(&lateness, WITHIN_MS, 0);
	lateness_look(&lateness, START_MS, BOOT_MS);
	return lateness;
}

/* Later by so much, with the wall clock set by set_ms in between. */
static void
pass(struct lateness *lateness, int64_t ms, int64_t set_ms)
{
	lateness_look(lateness, lateness->now_unix_ms + ms + set_ms, lateness->now_unix_ms + ms - lateness->epoch_ms);
}

static void
test_waiting(void)
{
	struct lateness lateness = begun();

	CU_ASSERT_FALSE(lateness_is_late(&lateness, START_MS));
	pass(&lateness, WITHIN_MS, 0);
	CU_ASSERT_FALSE(lateness_is_late(&lateness, START_MS));
	pass(&lateness, 1, 0);
	CU_ASSERT(lateness_is_late(&lateness, START_MS));
	CU_ASSERT_FALSE(lateness_is_late(&lateness, START_MS + 1));
	pass(&lateness, 60000, 0);
	CU_ASSERT(lateness_is_late(&lateness, START_MS));
	CU_ASSERT_FALSE(lateness_is_late(&lateness, lateness.now_unix_ms));
}

/* A process that replaces a dead one finds requests that are older than itself. */
static void
test_first_look(void)
{
	struct lateness lateness = begun();

	CU_ASSERT(lateness_is_late(&lateness, START_MS - WITHIN_MS - 1));
}

/* What waited for the service to start is not late, however long; what waits for its processes is. */
static void
test_start(void)
{
	struct lateness lateness;

	lateness_init(&lateness, WITHIN_MS, START_MS);
	lateness_look(&lateness, START_MS + 10, BOOT_MS);
	pass(&lateness, 5 * WITHIN_MS, 0);
	CU_ASSERT_FALSE(lateness_is_late(&lateness, START_MS - 1));
	CU_ASSERT_FALSE(lateness_is_late(&lateness, START_MS - 5 * WITHIN_MS));
	CU_ASSERT(lateness_is_late(&lateness, START_MS));
}

static void
test_senseless_times(void)
{
	struct lateness lateness = begun();
	const int64_t times[] = {0,
				 1,
				 -1,
				 INT64_MAX,
				 START_MS + 1,
				 START_MS + 86400000,
				 START_MS - LATENESS_ABSURD_MS,
				 START_MS - 86400000};

	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++)
		CU_ASSERT_FALSE(lateness_is_late(&lateness, times[i]) || lateness_tells(&lateness, times[i]));
	CU_ASSERT(lateness_is_late(&lateness, START_MS - LATENESS_ABSURD_MS + 1));
	CU_ASSERT(lateness_tells(&lateness, START_MS - LATENESS_ABSURD_MS + 1));
	CU_ASSERT(lateness_tells(&lateness, START_MS));
}

static void
test_clock_set(void)
{
	static const int64_t steps[] = {LATENESS_STEP_MS, 3000, 3600000, -LATENESS_STEP_MS, -3000, -3600000};

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		struct lateness lateness = begun();
		int64_t came_in = START_MS;

		pass(&lateness, 1, steps[i]);
		CU_ASSERT_FALSE(lateness_is_late(&lateness, came_in));
		pass(&lateness, 5 * WITHIN_MS, 0);
		CU_ASSERT_FALSE(steps[i] > 0 && lateness_is_late(&lateness, came_in));

		int64_t after = lateness.now_unix_ms;

		pass(&lateness, WITHIN_MS + 1, 0);
		CU_ASSERT(lateness_is_late(&lateness, after));
	}
}

/* Forward and back again: what comes in after that is judged as ever. */
static void
test_clock_set_twice(void)
{
	struct lateness lateness = begun();

	pass(&lateness, 1, 3600000);
	pass(&lateness, 1, -3600000);

	int64_t after = lateness.now_unix_ms;

	CU_ASSERT_FALSE(lateness_is_late(&lateness, START_MS));
	pass(&lateness, WITHIN_MS + 1, 0);
	CU_ASSERT(lateness_is_late(&lateness, after));
}

/* Two clocks are not read in one moment. */
static void
test_unsteady_reading(void)
{
	struct lateness lateness = begun();

	for (int i = 0; i < 100; i++)
		lateness_look(&lateness, START_MS + 20 * i + i % LATENESS_STEP_MS, BOOT_MS + 20 * i);
	CU_ASSERT(lateness_is_late(&lateness, START_MS));
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"waiting", test_waiting},
		{"first look", test_first_look},
		{"what waited for the start", test_start},
		{"times that make no sense", test_senseless_times},
		{"a clock that is set", test_clock_set},
		{"a clock that is set twice", test_clock_set_twice},
		{"clocks read one after the other", test_unsteady_reading},
		CU_TEST_INFO_NULL,
	};

	return tap_main("lane/lateness", tests);
}
