/*
 * Time. Wall-clock times are milliseconds since 1970 UTC (unix_ms, int64_t); leases and timeouts use CLOCK_BOOTTIME,
 * which also counts while the machine sleeps and never goes back (boot_ms).
 */
#ifndef BP_BASE_CLOCK_H
#define BP_BASE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

enum { CLOCK_TEXT_SIZE = 25 };

/* 9999-12-31T23:59:59.999Z */
#define CLOCK_UNIX_MS_MAX INT64_C(253402300799999)

int64_t clock_unix_ms(void);
int64_t clock_boot_ms(void);
int64_t clock_boot_us(void);
void clock_sleep_ms(int64_t ms);

/* Writes "2026-01-31T12:00:00.000Z" and a NUL to text (CLOCK_TEXT_SIZE bytes); returns 24. Clamps to years 1970-9999.
 */
size_t clock_format(char *text, int64_t unix_ms);
/* RFC 3339 date-time with Z or an offset; fractions are cut to milliseconds. False if it is none, or before 1970. */
bool clock_parse(struct str text, int64_t *ret_unix_ms);

#endif
