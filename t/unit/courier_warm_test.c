/* Warming yields to live load: what counts as busy. */
#include "courier/warm_chore.h"

#include "tap.h"

static void
test_half_of_the_time_is_busy(void)
{
	struct lane_load load = {.busy = false};

	CU_ASSERT_FALSE(lane_load_busy(&load, 0, 4, 1000));
	/* 4 processes, 100 ms: 400,000 us are possible. */
	CU_ASSERT_FALSE(lane_load_busy(&load, 200000, 4, 1100));
	CU_ASSERT_TRUE(lane_load_busy(&load, 401000, 4, 1200));
	CU_ASSERT_FALSE(lane_load_busy(&load, 401000, 4, 1300));
}

static void
test_between_samples_it_stays(void)
{
	struct lane_load load = {.busy = false};

	lane_load_busy(&load, 0, 1, 1000);
	CU_ASSERT_TRUE(lane_load_busy(&load, 90000, 1, 1100));
	CU_ASSERT_TRUE(lane_load_busy(&load, 90000, 1, 1150));
	CU_ASSERT_FALSE(lane_load_busy(&load, 90000, 1, 1200));
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"half of the time is busy", test_half_of_the_time_is_busy},
		{"between samples it stays", test_between_samples_it_stays},
		CU_TEST_INFO_NULL,
	};

	return tap_main("courier/warm", tests);
}
