/*
 * How long a request has waited before a lane's process takes it up, and whether it has waited too long for its answer
 * to be of use. nginx says when it came in by the same machine's wall clock. Values in, values out.
 *
 * Nothing is ever late by a clock that was set meanwhile: the wall clock is compared with CLOCK_BOOTTIME, which is
 * never set, and what came in before the last time that they moved apart is not judged. Nor is what says nothing, a
 * time to come, or one so long ago that nginx would have given the request up itself.
 */
#ifndef BP_LANE_LATENESS_H
#define BP_LANE_LATENESS_H

#include <stdbool.h>
#include <stdint.h>

enum {
	LATENESS_ABSURD_MS = 120000, /* no fastcgi_read_timeout of ours is that long */
	LATENESS_STEP_MS = 20,       /* two clocks read one after the other differ by less */
};

struct lateness {
	int64_t answer_within_ms;
	int64_t now_unix_ms;
	int64_t epoch_ms;            /* the wall clock when CLOCK_BOOTTIME was 0; 0: not looked at yet */
	int64_t judged_from_unix_ms; /* since the service began, or the wall clock was set */
};

/* judged_from_unix_ms: what came in before is not late: it had to wait for the service to start. */
void lateness_init(struct lateness *lateness, int64_t answer_within_ms, int64_t judged_from_unix_ms);
/* Both clocks, read at the same moment; before each number of requests that is taken up. */
void lateness_look(struct lateness *lateness, int64_t unix_ms, int64_t boot_ms);
/* arrived_unix_ms: as nginx says; 0: it does not. Can it be said by this how long the request has waited? */
bool lateness_tells(const struct lateness *lateness, int64_t arrived_unix_ms);
bool lateness_is_late(const struct lateness *lateness, int64_t arrived_unix_ms);

#endif
