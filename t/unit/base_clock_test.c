/* Times against the C library's calendar, and texts that are no time. */
#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <signal.h>
#include <time.h>

#include "tap.h"

enum { HISTORIES = 200000, DAMAGES = 20000 };

static int64_t
random_ms(void)
{
	uint64_t bits = (uint64_t)random() << 40 ^ (uint64_t)random() << 20 ^ (uint64_t)random();

	return (int64_t)(bits % (uint64_t)(CLOCK_UNIX_MS_MAX + 1));
}

/* What the C library makes of it. */
static void
reference(char *text, size_t size, int64_t unix_ms)
{
	time_t seconds = (time_t)(unix_ms / 1000);
	struct tm tm;
	char whole[32];

	gmtime_r(&seconds, &tm);
	strftime(whole, sizeof(whole), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text, size, "%s.%03dZ", whole, (int)(unix_ms % 1000));
}

static void
check_time(int64_t unix_ms)
{
	char text[CLOCK_TEXT_SIZE + 1];
	char expected[64];
	int64_t back = -1;

	text[CLOCK_TEXT_SIZE] = '#';
	reference(expected, sizeof(expected), unix_ms);
	if (clock_format(text, unix_ms) != 24 || strcmp(text, expected) != 0 || text[CLOCK_TEXT_SIZE] != '#' ||
	    !clock_parse((struct str){text, 24}, &back) || back != unix_ms) {
		CU_FAIL("a time does not come back");
		printf("# %lld: %s, not %s, back %lld\n", (long long)unix_ms, text, expected, (long long)back);
	}
}

static void
test_random_times(void)
{
	srandom((unsigned)tap_seed());
	for (unsigned i = 0; i < HISTORIES; i++)
		check_time(random_ms());
	CU_PASS("all");
}

/* The first and the last millisecond of every day from 1970 to 2110, and of every year's February and March. */
static void
test_every_day(void)
{
	static const int64_t day_ms = 86400000;

	for (int64_t day = 0; day < 51500; day++) {
		check_time(day * day_ms);
		check_time((day + 1) * day_ms - 1);
	}
	for (int64_t day = 51500; (day + 1) * day_ms <= CLOCK_UNIX_MS_MAX; day += 13)
		check_time(day * day_ms);
	check_time(CLOCK_UNIX_MS_MAX);
	CU_PASS("all");
}

static void
test_format_clamps(void)
{
	char text[CLOCK_TEXT_SIZE];

	CU_ASSERT(clock_format(text, -1) == 24);
	CU_ASSERT_STRING_EQUAL(text, "1970-01-01T00:00:00.000Z");
	clock_format(text, INT64_MIN);
	CU_ASSERT_STRING_EQUAL(text, "1970-01-01T00:00:00.000Z");
	clock_format(text, CLOCK_UNIX_MS_MAX + 1);
	CU_ASSERT_STRING_EQUAL(text, "9999-12-31T23:59:59.999Z");
	clock_format(text, INT64_MAX);
	CU_ASSERT_STRING_EQUAL(text, "9999-12-31T23:59:59.999Z");
}

static const struct {
	const char *text;
	int64_t unix_ms;
} times[] = {
	{"1970-01-01T00:00:00Z", 0},
	{"1970-01-01T00:00:00.001Z", 1},
	{"2026-01-31T12:00:00.000Z", INT64_C(1769860800000)},
	{"2026-01-31t12:00:00z", INT64_C(1769860800000)},
	{"2026-01-31T12:00:00.5Z", INT64_C(1769860800500)},
	{"2026-01-31T12:00:00.12Z", INT64_C(1769860800120)},
	{"2026-01-31T12:00:00.1239999999999999999999999Z", INT64_C(1769860800123)},
	{"2026-01-31T12:00:00.0009Z", INT64_C(1769860800000)},
	{"2026-01-31T12:00:00+00:00", INT64_C(1769860800000)},
	{"2026-01-31T12:00:00-00:00", INT64_C(1769860800000)},
	{"2026-01-31T13:30:00+01:30", INT64_C(1769860800000)},
	{"2026-01-31T06:30:00.250-05:30", INT64_C(1769860800250)},
	{"2026-02-01T11:59:00+23:59", INT64_C(1769860800000)},
	{"2000-02-29T00:00:00Z", INT64_C(951782400000)},
	{"2024-02-29T00:00:00Z", INT64_C(1709164800000)},
	{"2100-02-28T23:59:59Z", INT64_C(4107542399000)},
	{"2038-01-19T03:14:08Z", INT64_C(2147483648000)},
	{"2016-12-31T23:59:60Z", INT64_C(1483228799000)},
	{"2016-12-31T23:59:60.5Z", INT64_C(1483228799500)},
	{"9999-12-31T23:59:59.999Z", CLOCK_UNIX_MS_MAX},
	/* An offset carries them over an end of the range, or back into it. */
	{"1969-12-31T23:30:00-01:00", INT64_C(1800000)},
	{"1970-01-01T01:00:00+01:00", 0},
	{"9999-12-31T23:00:00+01:00", INT64_C(253402293600000)},
};

static void
test_parses(void)
{
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		int64_t value = -1;
		bool good = clock_parse(str_from(times[i].text), &value) && value == times[i].unix_ms;

		CU_ASSERT(good);
		if (!good)
			printf("# %s: %lld\n", times[i].text, (long long)value);
	}
}

static const char *const no_times[] = {
	"",
	"2026",
	"2026-01-31",
	"2026-01-31T12:00Z",
	"2026-01-31T12:00:00",
	"2026-01-31 12:00:00Z",
	"2026-01-31T12:00:00 Z",
	"2026-01-31T12:00:00Z ",
	" 2026-01-31T12:00:00Z",
	"2026-01-31T12:00:00ZZ",
	"2026-01-31T12:00:00.Z",
	"2026-01-31T12:00:00,5Z",
	"2026-01-31T12:00:00.5.5Z",
	"2026-01-31T12:00:00.-5Z",
	"20260131T120000Z",
	"2026-1-31T12:00:00Z",
	"2026-01-31T1:00:00Z",
	"02026-01-31T12:00:00Z",
	"+2026-01-31T12:00:00Z",
	"-026-01-31T12:00:00Z",
	"2026/01/31T12:00:00Z",
	"2026-01-31T12.00.00Z",
	"2026-00-31T12:00:00Z",
	"2026-13-31T12:00:00Z",
	"2026-01-00T12:00:00Z",
	"2026-01-32T12:00:00Z",
	"2026-04-31T12:00:00Z",
	"2026-02-29T12:00:00Z",
	"2024-02-30T12:00:00Z",
	"1900-02-29T12:00:00Z",
	"2100-02-29T12:00:00Z",
	"2026-01-31T24:00:00Z",
	"2026-01-31T12:60:00Z",
	"2026-01-31T12:00:61Z",
	"2026-01-31T12:00:00+1:00",
	"2026-01-31T12:00:00+01",
	"2026-01-31T12:00:00+0100",
	"2026-01-31T12:00:00+24:00",
	"2026-01-31T12:00:00+01:60",
	"2026-01-31T12:00:00+01:00Z",
	"2026-01-31T12:00:00+01:000",
	"2026-01-31T12:00:00\xe2\x88\x92"
	"01:00",
	"2026-01-31T12:00:00UTC",
	"\xef\xbc\x92"
	"026-01-31T12:00:00Z",
	"1969-12-31T23:59:59.999Z",
	"1970-01-01T00:30:00+01:00",
	"0000-01-01T00:00:00Z",
	"0000-03-01T00:00:00Z",
	"0001-01-01T00:00:00Z",
	"9999-12-31T23:59:59-00:01",
	"9999-12-31T23:59:59.999-23:59",
};

static void
test_refuses(void)
{
	for (size_t i = 0; i < sizeof(no_times) / sizeof(no_times[0]); i++) {
		int64_t value = -7;
		bool taken = clock_parse(str_from(no_times[i]), &value);

		CU_ASSERT(!taken && value == -7);
		if (taken)
			printf("# taken: %s as %lld\n", no_times[i], (long long)value);
	}
	int64_t value = -7;

	CU_ASSERT_FALSE(clock_parse(STR_NONE, &value));
	CU_ASSERT_FALSE(clock_parse(STR("2026-01-31T12:00:00Z\0"), &value));
	CU_ASSERT_FALSE(clock_parse(STR("2026-01-31\0"
					"12:00:00Z"),
				    &value));
	CU_ASSERT_FALSE(clock_parse(STR("2026-01-31T12:00:00\0"), &value));
	CU_ASSERT(value == -7);
}

/* No byte beyond the text is looked at, and what is taken is in range and comes back. */
static void
test_damaged_times(void)
{
	static const char bytes[] = "0123456789-:.+TZtz \xff";
	unsigned taken = 0;

	srandom((unsigned)tap_seed());
	for (unsigned i = 0; i < DAMAGES; i++) {
		const char *from = times[(size_t)random() % (sizeof(times) / sizeof(times[0]))].text;
		size_t len = random() % 4 ? strlen(from) : (size_t)random() % (strlen(from) + 1);
		char *copy = malloc(len + 1);
		char *exact = malloc(len ? len : 1);
		int64_t value = -1;

		snprintf(copy, len + 1, "%s", from);
		for (long left = random() % 3; left > 0 && len > 0; left--)
			copy[(size_t)random() % len] = bytes[(size_t)random() % sizeof(bytes)];
		memcpy(exact, copy, len);
		if (clock_parse((struct str){exact, len}, &value)) {
			taken++;
			CU_ASSERT(value >= 0 && value <= CLOCK_UNIX_MS_MAX);
			check_time(value);
		}
		free(exact);
		free(copy);
	}
	CU_ASSERT(taken > 100);
}

static void
on_alarm(int number)
{
	(void)number;
}

static void
test_sleep_is_not_cut_short(void)
{
	struct itimerval every = {.it_interval = {.tv_usec = 5000}, .it_value = {.tv_usec = 5000}};
	struct itimerval off = {0};
	struct sigaction action = {.sa_handler = on_alarm};
	int64_t started;

	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &every, NULL);
	started = clock_boot_ms();
	clock_sleep_ms(60);
	CU_ASSERT(clock_boot_ms() - started >= 59);
	setitimer(ITIMER_REAL, &off, NULL);
	started = clock_boot_ms();
	clock_sleep_ms(0);
	clock_sleep_ms(-1000);
	clock_sleep_ms(INT64_MIN);
	CU_ASSERT(clock_boot_ms() - started < 1000);
}

static void
test_clocks(void)
{
	int64_t boot = clock_boot_ms();
	int64_t wall = clock_unix_ms();

	CU_ASSERT(wall / 1000 - (int64_t)time(NULL) >= -1 && wall / 1000 - (int64_t)time(NULL) <= 1);
	for (unsigned i = 0; i < 1000; i++) {
		int64_t next = clock_boot_ms();

		CU_ASSERT(next >= boot);
		boot = next;
	}
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"random times are the C library's and come back", test_random_times},
		{"every day", test_every_day},
		{"format clamps", test_format_clamps},
		{"parses RFC 3339", test_parses},
		{"refuses everything else", test_refuses},
		{"damaged times", test_damaged_times},
		{"a sleep is not cut short by signals", test_sleep_is_not_cut_short},
		{"the clocks run", test_clocks},
		CU_TEST_INFO_NULL,
	};

	return tap_main("base/clock", tests);
}
