/*
 * Errands: no call that could still be under way when its row is somebody else's, none that goes on after that, and how
 * long is waited before the next look and the next try.
 */
#include "courier/errand.h"

#include "base/clock.h"

#include "tap.h"

enum { TIMEOUT_MS = 1000, FIRST_MS = 100, MOST_MS = 900, DRAWS = 400 };

/* An economy that never answers and counts what it was asked. */
static unsigned begun;
static unsigned abandoned;

static void
begin(void *self, struct economy_call *call)
{
	(void)self;
	call->outcome = ECONOMY_WAITING;
	begun++;
}

static void
abandon(void *self, struct economy_call *call)
{
	(void)self;
	call->outcome = ECONOMY_UNKNOWN;
	abandoned++;
}

static const struct economy_port economy = {.begin = begin, .abandon = abandon};
static struct conf conf;
static struct courier courier;
static struct errand errand;

static void
set_up(void)
{
	conf.economy.timeout_ms = TIMEOUT_MS;
	conf.economy.retry_first_ms = FIRST_MS;
	conf.economy.retry_most_ms = MOST_MS;
	courier = (struct courier){.conf = &conf, .economy = &economy};
	begun = 0;
	abandoned = 0;
}

/* Taken so long ago, with a call of this kind to be made. */
static void
take(int64_t ago_ms, enum economy_verb verb)
{
	errand_take(&errand, &courier, clock_boot_ms() - ago_ms);
	errand.call.verb = verb;
}

static void
test_fresh(void)
{
	set_up();
	take(0, ECONOMY_DELIVER);
	CU_ASSERT_FALSE(errand_answered(&errand));
	CU_ASSERT_TRUE(errand_ask(&errand, &courier));
	CU_ASSERT_EQUAL(begun, 1);
	CU_ASSERT_FALSE(errand_answered(&errand));
	errand.call.outcome = ECONOMY_DELIVERED;
	CU_ASSERT_TRUE(errand_answered(&errand));
	errand_end(&errand, &courier);
	CU_ASSERT_FALSE(errand_answered(&errand));
	CU_ASSERT_FALSE(errand.busy);
	CU_ASSERT_EQUAL(abandoned, 0);
}

/* The margin is what may pass between the taking and the asking. */
static void
test_no_time_left(void)
{
	static const enum economy_verb verbs[] = {ECONOMY_DEBIT, ECONOMY_CANCEL, ECONOMY_REFUND, ECONOMY_DELIVER};

	set_up();
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		take(HOLD_MARGIN_MS + 1, verbs[i]);
		CU_ASSERT_FALSE(errand_ask(&errand, &courier));
		CU_ASSERT_FALSE(errand.asked);
		take(HOLD_MARGIN_MS - 500, verbs[i]);
		CU_ASSERT_TRUE(errand_ask(&errand, &courier));
	}
	CU_ASSERT_EQUAL(begun, 4);
}

/* Whoever may end a call late must not begin it: what is held covers the whole of the longest call. */
static void
test_hold_covers_call(void)
{
	set_up();
	take(0, ECONOMY_DELIVER);
	CU_ASSERT(errand.held_until_boot_ms - errand.taken_boot_ms == courier_hold_ms(&courier));
	CU_ASSERT(courier_hold_ms(&courier) >= TIMEOUT_MS + HOLD_MARGIN_MS);
}

static void
test_question_needs_no_hold(void)
{
	set_up();
	take(HOLD_MARGIN_MS + TIMEOUT_MS + 1, ECONOMY_LOOKUP);
	CU_ASSERT_TRUE(errand_ask(&errand, &courier));
	errand_drop_late(&errand, &courier);
	CU_ASSERT_EQUAL(abandoned, 0);
}

/* The process was stopped after it had begun. */
static void
test_drop_late(void)
{
	set_up();
	take(0, ECONOMY_DELIVER);
	CU_ASSERT_TRUE(errand_ask(&errand, &courier));
	errand_drop_late(&errand, &courier);
	CU_ASSERT_EQUAL(abandoned, 0);
	errand.held_until_boot_ms = clock_boot_ms();
	errand_drop_late(&errand, &courier);
	CU_ASSERT_EQUAL(abandoned, 1);
	CU_ASSERT_TRUE(errand_answered(&errand));
	errand_drop_late(&errand, &courier);
	CU_ASSERT_EQUAL(abandoned, 1);
}

static void
test_end_abandons(void)
{
	set_up();
	take(0, ECONOMY_DEBIT);
	errand_end(&errand, &courier);
	CU_ASSERT_EQUAL(abandoned, 0);
	take(0, ECONOMY_DEBIT);
	CU_ASSERT_TRUE(errand_ask(&errand, &courier));
	errand_end(&errand, &courier);
	CU_ASSERT_EQUAL(abandoned, 1);
}

/* Doubled from the second try on, up to the most; half of it is chance, and all of that half comes up. */
static void
test_back_off(void)
{
	static const struct {
		uint32_t tries;
		int64_t whole_ms;
	} cases[] = {{0, FIRST_MS}, {1, FIRST_MS}, {2, 200},        {3, 400},
		     {4, 800},      {5, MOST_MS},  {1000, MOST_MS}, {UINT32_MAX, MOST_MS}};

	set_up();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int64_t whole = cases[i].whole_ms, least = whole, most = 0;

		for (int draw = 0; draw < DRAWS; draw++) {
			int64_t ms = courier_back_off_ms(&courier, cases[i].tries);

			least = ms < least ? ms : least;
			most = ms > most ? ms : most;
		}
		CU_ASSERT(least >= whole / 2 && least < whole * 6 / 10);
		CU_ASSERT(most <= whole && most > whole * 9 / 10);
	}
}

static void
test_looks(void)
{
	struct look look = {.due_boot_ms = 0};
	int64_t now_ms = clock_boot_ms();

	set_up();
	CU_ASSERT_EQUAL(look_due_boot_ms(&look, &courier, 1, 32), 0);
	CU_ASSERT_EQUAL(look_due_boot_ms(&look, &courier, 0, 32), INT64_MAX);
	look_done(&look, false);
	CU_ASSERT(look_due_boot_ms(&look, &courier, 32, 32) >= now_ms + LOOK_MS);
	look_done(&look, true);
	CU_ASSERT_EQUAL(look_due_boot_ms(&look, &courier, 8, 32), 0);
	CU_ASSERT(look_due_boot_ms(&look, &courier, 7, 32) >= now_ms + LOOK_MS);
	courier_note_store(&courier, ERR_OK);
	CU_ASSERT_EQUAL(look_due_boot_ms(&look, &courier, 8, 32), 0);
	courier_note_store(&courier, ERR_STORE_UNAVAILABLE);
	CU_ASSERT(look_due_boot_ms(&look, &courier, 8, 32) >= now_ms + STORE_PAUSE_MS);
	courier.stopping = true;
	CU_ASSERT_EQUAL(look_due_boot_ms(&look, &courier, 32, 32), INT64_MAX);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"a fresh one", test_fresh},
		{"no time left for a call", test_no_time_left},
		{"the hold covers the call", test_hold_covers_call},
		{"a question needs no hold", test_question_needs_no_hold},
		{"a call that became late is dropped", test_drop_late},
		{"the end abandons", test_end_abandons},
		{"back-off", test_back_off},
		{"looks", test_looks},
		CU_TEST_INFO_NULL,
	};

	errand_init(&errand);

	int status = tap_main("courier/errand", tests);

	errand_release(&errand);
	return status;
}
