/*
 * The log: one line an event on stderr, or one entry of the journal. docs/logs.md has the forms and every key. Never a
 * token, never a body. Whatever is in a message or a value, it stays within its own line and its own value, and a line
 * is never longer than LOG_LINE_SIZE.
 *
 * Until log_set_format() lines are text: what programs for people say stays so.
 */
#ifndef BP_BASE_LOG_H
#define BP_BASE_LOG_H

#include <stdint.h>

#include "base/str.h"

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG, LOG_LEVEL_COUNT };

/* What a line says beside its message. */
struct log_field {
	const char *name; /* static, a-z and _ */
	struct str text;  /* ptr is NULL: the number counts */
	int64_t number;
};

enum { LOG_LINE_SIZE = 4096, LOG_FIELDS_MAX = 24 };

/* Static name of what this process is: "master", "read", "steward". */
void log_set_role(const char *role);
void log_set_level(enum log_level level);
/* False if there is no such level. */
bool log_level_parse(const char *name, enum log_level *ret_level);
/*
 * "text", "json", or "auto": the journal's own fields where stderr is connected to the journal, else JSON. False if
 * there is no such form. Before any fork.
 */
bool log_set_format(const char *name);
/* Where the journal listens, from the next log_set_format() on; for tests. Static. */
void log_set_journal(const char *path);

/*
 * What this process is at: each line says so until log_set_request(STR_NONE, STR_NONE). Borrowed till then; either may
 * be empty.
 */
void log_set_request(struct str request_id, struct str trace_id);

void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warning(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* A line with fields, at most LOG_FIELDS_MAX - 2. The message is no format. */
void log_fields(enum log_level level, struct str message, const struct log_field *fields, size_t count);

#endif
