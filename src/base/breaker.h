/*
 * A circuit breaker in shared memory (Nygard, "Release It!"): the processes of a host tell it how their calls went;
 * when too many fail it opens, and nobody calls any more. Only one process, the prober, then tries again, more and more
 * seldom; when its probe succeeds the breaker is half-open, and after PROBES_TO_CLOSE good ones in a row it closes.
 *
 * It says whether a call is worth trying, and nothing else: who must not go on without the call has to see to that.
 * Counts are relaxed atomics: two processes at the same moment may lose one, which moves the opening by a call.
 * Times are of CLOCK_BOOTTIME and handed in.
 */
#ifndef BP_BASE_BREAKER_H
#define BP_BASE_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

enum {
	BREAKER_FAILURES_IN_A_ROW = 5,
	BREAKER_TIMEOUT_FAILURES = 3, /* what a time-out counts as: each is a request that has waited in vain */
	BREAKER_WINDOW_MS = 1000,
	BREAKER_WINDOW_CALLS = 20, /* of so many and more in a window half must fail */
	BREAKER_PROBE_FIRST_MS = 500,
	BREAKER_PROBE_MOST_MS = 2000,
	BREAKER_PROBES_TO_CLOSE = 2,
};

enum breaker_outcome { BREAKER_GOOD, BREAKER_FAILED, BREAKER_TIMED_OUT };

enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_HALF_OPEN, BREAKER_STATE_COUNT };

/* Zeroed: closed. */
struct breaker {
	uint32_t state;
	uint32_t failed_in_a_row;
	int64_t window_since_ms;
	uint32_t window_calls;
	uint32_t window_failures;
	/* The prober's. */
	int64_t probe_at_ms;
	int64_t probe_wait_ms;
	uint32_t probes_good;
	/* What has been. */
	int64_t since_ms; /* the present state */
	uint64_t entered[BREAKER_STATE_COUNT];
	int64_t spent_ms[BREAKER_STATE_COUNT]; /* without the present state */
};

const char *breaker_state_name(enum breaker_state state);
/* May be called by anybody at any time. */
bool breaker_allows(const struct breaker *breaker);
void breaker_note(struct breaker *breaker, enum breaker_outcome outcome, int64_t now_ms);

/* The prober's: is a probe due (always, while it is closed)? What came of it. */
bool breaker_probe_due(const struct breaker *breaker, int64_t now_ms);
void breaker_probed(struct breaker *breaker, bool good, int64_t now_ms);

/* How long it has been in this state, all in all. */
int64_t breaker_spent_ms(const struct breaker *breaker, enum breaker_state state, int64_t now_ms);

#endif
