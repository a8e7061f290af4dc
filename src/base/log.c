/* The log: see log.h. One write(2) a line, so that lines of several processes never mix. */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"

static const char *const level_names[LOG_LEVEL_COUNT] = {"error", "warning", "info", "debug"};
static const char *log_role = "battlepass";
static enum log_level log_max = LOG_INFO;

void
log_set_role(const char *role)
{
	log_role = role;
}

void
log_set_level(enum log_level level)
{
	log_max = level;
}

bool
log_level_parse(const char *name, enum log_level *ret_level)
{
	for (int i = 0; i < LOG_LEVEL_COUNT; i++) {
		if (strcmp(name, level_names[i]) == 0) {
			*ret_level = (enum log_level)i;
			return true;
		}
	}
	return false;
}

static void
write_line(enum log_level level, const char *format, va_list args)
{
	char line[1024];
	char now[CLOCK_TEXT_SIZE];

	if (level > log_max)
		return;
	clock_format(now, clock_unix_ms());
	int head = snprintf(line, sizeof(line), "%s %s %s[%d]: ", now, level_names[level], log_role, (int)getpid());
	int body = vsnprintf(line + head, sizeof(line) - (size_t)head - 1, format, args);
	size_t length = (size_t)head + (body < 0 ? 0 : (size_t)body);

	if (length > sizeof(line) - 2)
		length = sizeof(line) - 2;
	for (size_t i = (size_t)head; i < length; i++)
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = ' ';
	line[length++] = '\n';
	if (write(STDERR_FILENO, line, length) < 0)
		return; /* there is nobody left to tell */
}

#define LOG_FUNCTION(name, level)                                                                                      \
	void name(const char *format, ...)                                                                             \
	{                                                                                                              \
		va_list args;                                                                                          \
                                                                                                                       \
		va_start(args, format);                                                                                \
		write_line(level, format, args);                                                                       \
		va_end(args);                                                                                          \
	}

LOG_FUNCTION(log_error, LOG_ERROR)
LOG_FUNCTION(log_warning, LOG_WARNING)
LOG_FUNCTION(log_info, LOG_INFO)
LOG_FUNCTION(log_debug, LOG_DEBUG)
