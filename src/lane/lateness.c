/* Late requests: see lateness.h. */
#include "lane/lateness.h"

void
lateness_init(struct lateness *lateness, int64_t answer_within_ms, int64_t judged_from_unix_ms)
{
	*lateness = (struct lateness){
		.answer_within_ms = answer_within_ms,
		.judged_from_unix_ms = judged_from_unix_ms,
	};
}

void
lateness_look(struct lateness *lateness, int64_t unix_ms, int64_t boot_ms)
{
	int64_t moved_ms = unix_ms - boot_ms - lateness->epoch_ms;

	if (lateness->epoch_ms == 0)
		lateness->epoch_ms = unix_ms - boot_ms;
	else if (moved_ms >= LATENESS_STEP_MS || moved_ms <= -LATENESS_STEP_MS) {
		lateness->epoch_ms = unix_ms - boot_ms;
		lateness->judged_from_unix_ms = unix_ms;
	}
	lateness->now_unix_ms = unix_ms;
}

bool
lateness_tells(const struct lateness *lateness, int64_t arrived_unix_ms)
{
	int64_t waited_ms = lateness->now_unix_ms - arrived_unix_ms;

	return arrived_unix_ms > 0 && arrived_unix_ms >= lateness->judged_from_unix_ms && waited_ms >= 0 &&
	       waited_ms < LATENESS_ABSURD_MS;
}

bool
lateness_is_late(const struct lateness *lateness, int64_t arrived_unix_ms)
{
	return lateness_tells(lateness, arrived_unix_ms) &&
	       lateness->now_unix_ms - arrived_unix_ms > lateness->answer_within_ms;
}
