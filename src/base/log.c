/* The log: see log.h. One write(2) a line, so that lines of several processes never mix. */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/journal.h"
#include "base/log_form.h"

enum { MESSAGE_SIZE = 2048 };

typedef size_t form_line(const struct log_entry *entry, char line[LOG_LINE_SIZE]);

static const struct form {
	const char *name;
	form_line *line;
	bool seeks_journal;
} forms[] = {
	{"text", log_form_text, false},
	{"json", log_form_json, false},
	{"auto", log_form_json, true},
};

static const char *log_role = "battlepass";
static enum log_level log_max = LOG_INFO;
static const struct form *log_form = &forms[0];
static const char *journal_path = JOURNAL_SOCKET;
static int journal_fd = -1; /* -1: stderr is no stream of the journal's */
/* Of the request that this process is at. */
static struct {
	struct str request_id;
	struct str trace_id;
} at;

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

void
log_set_journal(const char *path)
{
	journal_path = path;
}

void
log_set_request(struct str request_id, struct str trace_id)
{
	at.request_id = request_id;
	at.trace_id = trace_id;
}

bool
log_level_parse(const char *name, enum log_level *ret_level)
{
	for (int i = 0; i < LOG_LEVEL_COUNT; i++) {
		if (strcmp(name, log_level_name((enum log_level)i)) == 0) {
			*ret_level = (enum log_level)i;
			return true;
		}
	}
	return false;
}

static void
use_form(const struct form *form)
{
	log_form = form;
	if (journal_fd >= 0)
		close(journal_fd);
	journal_fd = form->seeks_journal && journal_holds(STDERR_FILENO) ? journal_open() : -1;
}

bool
log_set_format(const char *name)
{
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		if (strcmp(name, forms[i].name) == 0) {
			use_form(&forms[i]);
			return true;
		}
	}
	return false;
}

/* Where the journal does not take it, stderr leads there, too. */
static void
send_out(const struct log_entry *entry)
{
	char line[LOG_LINE_SIZE];
	size_t size;

	if (journal_fd >= 0) {
		size = log_form_journal(entry, line);
		if (journal_send(journal_fd, journal_path, (struct str){line, size}))
			return;
	}
	size = log_form->line(entry, line);
	if (write(STDERR_FILENO, line, size) < 0)
		return; /* there is nobody left to tell */
}

static void
add_text(struct log_entry *entry, struct log_field *fields, const char *name, struct str text)
{
	if (text.len)
		fields[entry->field_count++] = (struct log_field){.name = name, .text = text};
}

void
log_fields(enum log_level level, struct str message, const struct log_field *fields, size_t count)
{
	struct log_field all[LOG_FIELDS_MAX];
	struct log_entry entry = {.level = level, .role = log_role, .message = message, .fields = all};

	if (level > log_max)
		return;
	for (; entry.field_count < count && entry.field_count < LOG_FIELDS_MAX - 2; entry.field_count++)
		all[entry.field_count] = fields[entry.field_count];
	add_text(&entry, all, "request_id", at.request_id);
	add_text(&entry, all, "trace_id", at.trace_id);
	entry.unix_ms = clock_unix_ms();
	entry.pid = getpid();
	send_out(&entry);
}

static void
write_line(enum log_level level, const char *format, va_list args)
{
	char message[MESSAGE_SIZE];

	if (level > log_max)
		return;
	if (vsnprintf(message, sizeof(message), format, args) < 0)
		message[0] = '\0';
	log_fields(level, str_from(message), NULL, 0);
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
