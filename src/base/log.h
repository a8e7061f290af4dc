/*
 * The log: one line an event on stderr, "<time> <level> <role>[<pid>]: <message>". Never a token, never a whole body.
 * Control characters in a message are replaced, so that nothing from outside can forge a line.
 */
#ifndef BP_BASE_LOG_H
#define BP_BASE_LOG_H

#include "base/str.h"

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG, LOG_LEVEL_COUNT };

/* Static name of what this process is: "master", "read", "steward". */
void log_set_role(const char *role);
void log_set_level(enum log_level level);
/* False if there is no such level. */
bool log_level_parse(const char *name, enum log_level *ret_level);

void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warning(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
