/* A circuit breaker: see breaker.h. */
#include "base/breaker.h"

#define LOAD(place)         __atomic_load_n(&(place), __ATOMIC_RELAXED)
#define STORE(place, value) __atomic_store_n(&(place), (value), __ATOMIC_RELAXED)

static const char *const names[BREAKER_STATE_COUNT] = {"closed", "open", "half_open"};

const char *
breaker_state_name(enum breaker_state state)
{
	return names[state];
}

bool
breaker_allows(const struct breaker *breaker)
{
	return LOAD(breaker->state) == BREAKER_CLOSED;
}

/* From one state to the next; of several processes that want the same one does it. */
static bool
enter(struct breaker *breaker, enum breaker_state from, enum breaker_state to, int64_t now_ms)
{
	uint32_t expected = from;
	int64_t since_ms = LOAD(breaker->since_ms);

	if (!__atomic_compare_exchange_n(&breaker->state, &expected, (uint32_t)to, false, __ATOMIC_ACQ_REL,
					 __ATOMIC_RELAXED))
		return false;
	if (since_ms && now_ms > since_ms)
		STORE(breaker->spent_ms[from], LOAD(breaker->spent_ms[from]) + now_ms - since_ms);
	STORE(breaker->since_ms, now_ms);
	STORE(breaker->entered[to], LOAD(breaker->entered[to]) + 1);
	STORE(breaker->probes_good, 0);
	STORE(breaker->failed_in_a_row, 0);
	STORE(breaker->window_calls, 0);
	STORE(breaker->window_failures, 0);
	return true;
}

static void
count(struct breaker *breaker, enum breaker_outcome outcome, int64_t now_ms)
{
	if (now_ms - LOAD(breaker->window_since_ms) >= BREAKER_WINDOW_MS) {
		STORE(breaker->window_since_ms, now_ms);
		STORE(breaker->window_calls, 0);
		STORE(breaker->window_failures, 0);
	}
	STORE(breaker->window_calls, LOAD(breaker->window_calls) + 1);
	if (outcome == BREAKER_GOOD) {
		if (LOAD(breaker->failed_in_a_row))
			STORE(breaker->failed_in_a_row, 0);
		return;
	}
	STORE(breaker->failed_in_a_row,
	      LOAD(breaker->failed_in_a_row) + (outcome == BREAKER_TIMED_OUT ? BREAKER_TIMEOUT_FAILURES : 1));
	STORE(breaker->window_failures, LOAD(breaker->window_failures) + 1);
}

static bool
too_many(const struct breaker *breaker)
{
	uint32_t calls = LOAD(breaker->window_calls);

	return LOAD(breaker->failed_in_a_row) >= BREAKER_FAILURES_IN_A_ROW ||
	       (calls >= BREAKER_WINDOW_CALLS && LOAD(breaker->window_failures) * 2 >= calls);
}

static void
open_up(struct breaker *breaker, enum breaker_state from, int64_t wait_ms, int64_t now_ms)
{
	if (!enter(breaker, from, BREAKER_OPEN, now_ms))
		return;
	STORE(breaker->probe_wait_ms, wait_ms);
	STORE(breaker->probe_at_ms, now_ms + wait_ms);
}

void
breaker_note(struct breaker *breaker, enum breaker_outcome outcome, int64_t now_ms)
{
	if (LOAD(breaker->state) != BREAKER_CLOSED)
		return; /* a call that began before it opened */
	count(breaker, outcome, now_ms);
	if (outcome != BREAKER_GOOD && too_many(breaker))
		open_up(breaker, BREAKER_CLOSED, BREAKER_PROBE_FIRST_MS, now_ms);
}

bool
breaker_probe_due(const struct breaker *breaker, int64_t now_ms)
{
	return LOAD(breaker->state) != BREAKER_OPEN || now_ms >= LOAD(breaker->probe_at_ms);
}

static void
wait_longer(struct breaker *breaker, int64_t now_ms)
{
	int64_t wait_ms = LOAD(breaker->probe_wait_ms) * 2;

	if (wait_ms > BREAKER_PROBE_MOST_MS)
		wait_ms = BREAKER_PROBE_MOST_MS;
	STORE(breaker->probe_wait_ms, wait_ms);
	STORE(breaker->probe_at_ms, now_ms + wait_ms);
}

void
breaker_probed(struct breaker *breaker, bool good, int64_t now_ms)
{
	switch ((enum breaker_state)LOAD(breaker->state)) {
	case BREAKER_CLOSED:
		breaker_note(breaker, good ? BREAKER_GOOD : BREAKER_FAILED, now_ms);
		return;
	case BREAKER_OPEN:
		if (!good) {
			wait_longer(breaker, now_ms);
			return;
		}
		if (enter(breaker, BREAKER_OPEN, BREAKER_HALF_OPEN, now_ms))
			STORE(breaker->probes_good, 1);
		return;
	default:
		if (!good)
			open_up(breaker, BREAKER_HALF_OPEN, BREAKER_PROBE_FIRST_MS, now_ms);
		else if (LOAD(breaker->probes_good) + 1 < BREAKER_PROBES_TO_CLOSE)
			STORE(breaker->probes_good, LOAD(breaker->probes_good) + 1);
		else
			enter(breaker, BREAKER_HALF_OPEN, BREAKER_CLOSED, now_ms);
	}
}

int64_t
breaker_spent_ms(const struct breaker *breaker, enum breaker_state state, int64_t now_ms)
{
	int64_t spent_ms = LOAD(breaker->spent_ms[state]);
	int64_t since_ms = LOAD(breaker->since_ms);

	if (LOAD(breaker->state) == (uint32_t)state && since_ms && now_ms > since_ms)
		spent_ms += now_ms - since_ms;
	return spent_ms;
}
