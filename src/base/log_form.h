/*
 * The forms of a line of the log: values in, bytes out. Texts may be anything; control characters and bytes that are no
 * UTF-8 come out as something harmless. A field's text is cut at LOG_FIELD_SIZE bytes, a field for which there is no
 * room is left out, and the message is cut last, always between characters.
 */
#ifndef BP_BASE_LOG_FORM_H
#define BP_BASE_LOG_FORM_H

#include "base/log.h"

enum { LOG_FIELD_SIZE = 256 };

struct log_entry {
	int64_t unix_ms;
	enum log_level level;
	const char *role;
	int64_t pid;
	struct str message;
	const struct log_field *fields;
	size_t field_count;
};

const char *log_level_name(enum log_level level);

/* Each returns the bytes written, at most LOG_LINE_SIZE; the first two end with the line. */
size_t log_form_text(const struct log_entry *entry, char line[LOG_LINE_SIZE]);
size_t log_form_json(const struct log_entry *entry, char line[LOG_LINE_SIZE]);
/*
 * A datagram of the journal's native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL). A field's name becomes
 * BATTLEPASS_NAME, but for those that services share: REQUEST_ID and TRACE_ID.
 */
size_t log_form_journal(const struct log_entry *entry, char line[LOG_LINE_SIZE]);

#endif
