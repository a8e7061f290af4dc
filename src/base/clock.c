/* Time: see clock.h. Calendar arithmetic after Howard Hinnant's days_from_civil. */
#include "base/clock.h"

#include <errno.h>
#include <time.h>

static int64_t
now_ms(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t
clock_unix_ms(void)
{
	return now_ms(CLOCK_REALTIME);
}

int64_t
clock_boot_ms(void)
{
	return now_ms(CLOCK_BOOTTIME);
}

int64_t
clock_boot_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

void
clock_sleep_ms(int64_t ms)
{
	struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	while (ms > 0 && nanosleep(&left, &left) != 0 && errno == EINTR)
		continue;
}

static int64_t
days_from_civil(int64_t year, unsigned month, unsigned day)
{
	year -= month <= 2;
	int64_t era = year / 400;
	int64_t year_of_era = year - era * 400;
	int64_t day_of_year = (153 * (int64_t)(month + (month > 2 ? -3u : 9u)) + 2) / 5 + day - 1;

	return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

static void
put_digits(char *at, int width, int64_t value)
{
	while (width-- > 0) {
		at[width] = (char)('0' + value % 10);
		value /= 10;
	}
}

size_t
clock_format(char *text, int64_t unix_ms)
{
	if (unix_ms < 0)
		unix_ms = 0;
	if (unix_ms > CLOCK_UNIX_MS_MAX)
		unix_ms = CLOCK_UNIX_MS_MAX;
	int64_t second_of_day = unix_ms / 1000 % 86400;
	int64_t days = unix_ms / 86400000 + 719468;
	int64_t era = days / 146097;
	int64_t day_of_era = days - era * 146097;
	int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	int64_t shifted_month = (5 * day_of_year + 2) / 153;
	int64_t month = shifted_month + (shifted_month < 10 ? 3 : -9);

	memcpy(text, "0000-00-00T00:00:00.000Z", CLOCK_TEXT_SIZE);
	put_digits(text, 4, year_of_era + era * 400 + (month <= 2));
	put_digits(text + 5, 2, month);
	put_digits(text + 8, 2, day_of_year - (153 * shifted_month + 2) / 5 + 1);
	put_digits(text + 11, 2, second_of_day / 3600);
	put_digits(text + 14, 2, second_of_day / 60 % 60);
	put_digits(text + 17, 2, second_of_day % 60);
	put_digits(text + 20, 3, unix_ms % 1000);
	return CLOCK_TEXT_SIZE - 1;
}

/* Takes `width` digits at *at; false when there are fewer. */
static bool
take_digits(struct str *at, unsigned width, unsigned *ret_value)
{
	unsigned value = 0;

	if (at->len < width)
		return false;
	for (unsigned i = 0; i < width; i++) {
		if (at->ptr[i] < '0' || at->ptr[i] > '9')
			return false;
		value = value * 10 + (unsigned)(at->ptr[i] - '0');
	}
	at->ptr += width;
	at->len -= width;
	*ret_value = value;
	return true;
}

static bool
take_char(struct str *at, const char *any_of)
{
	if (at->len == 0 || at->ptr[0] == '\0' || !strchr(any_of, at->ptr[0]))
		return false;
	at->ptr++;
	at->len--;
	return true;
}

static unsigned
take_fraction_ms(struct str *at)
{
	unsigned ms = 0;
	unsigned scale = 100;

	while (at->len && at->ptr[0] >= '0' && at->ptr[0] <= '9') {
		ms += (unsigned)(at->ptr[0] - '0') * scale;
		scale /= 10;
		at->ptr++;
		at->len--;
	}
	return ms;
}

/* Z or +hh:mm; minutes to take away from local time. */
static bool
take_offset(struct str *at, int *ret_minutes)
{
	unsigned hours;
	unsigned minutes;
	int sign = at->len && at->ptr[0] == '-' ? -1 : 1;

	*ret_minutes = 0;
	if (take_char(at, "Zz"))
		return true;
	if (!take_char(at, "+-") || !take_digits(at, 2, &hours) || !take_char(at, ":") ||
	    !take_digits(at, 2, &minutes) || hours > 23 || minutes > 59)
		return false;
	*ret_minutes = sign * (int)(hours * 60 + minutes);
	return true;
}

static unsigned
days_in_month(unsigned year, unsigned month)
{
	static const unsigned char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return month == 2 && leap ? 29u : days[month - 1];
}

bool
clock_parse(struct str text, int64_t *ret_unix_ms)
{
	unsigned year, month, day, hour, minute, second;
	unsigned ms = 0;
	int offset;

	if (!take_digits(&text, 4, &year) || !take_char(&text, "-") || !take_digits(&text, 2, &month) ||
	    !take_char(&text, "-") || !take_digits(&text, 2, &day) || !take_char(&text, "Tt") ||
	    !take_digits(&text, 2, &hour) || !take_char(&text, ":") || !take_digits(&text, 2, &minute) ||
	    !take_char(&text, ":") || !take_digits(&text, 2, &second))
		return false;
	if (take_char(&text, ".")) {
		if (text.len == 0 || text.ptr[0] < '0' || text.ptr[0] > '9')
			return false;
		ms = take_fraction_ms(&text);
	}
	if (!take_offset(&text, &offset) || text.len != 0)
		return false;
	if (month < 1 || month > 12 || day < 1 || day > days_in_month(year, month) || hour > 23 || minute > 59 ||
	    second > 60)
		return false;
	int64_t seconds = ((days_from_civil(year, month, day) * 24 + hour) * 60 + minute - offset) * 60 +
			  (second > 59 ? 59 : second);

	/* An offset can carry a time over either end. */
	if (seconds < 0 || seconds > CLOCK_UNIX_MS_MAX / 1000)
		return false;
	*ret_unix_ms = seconds * 1000 + ms;
	return true;
}
