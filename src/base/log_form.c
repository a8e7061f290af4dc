/* The forms of a line: see log_form.h. */
#include "base/log_form.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/json.h"

enum { TAIL_SIZE = 2048, ESCAPE_MAX = 6 };

static const char *const level_names[LOG_LEVEL_COUNT] = {"error", "warning", "info", "debug"};
/* Of syslog(3). */
static const int priorities[LOG_LEVEL_COUNT] = {3, 4, 6, 7};

/* Bytes on their way out; what does not fit is not put at all. */
struct out {
	char *bytes;
	size_t len;
	size_t room;
};

/* The next character of a text as a form has it, in to: how many bytes. character: what it is in the text, not empty.
 */
typedef size_t put_character(struct str character, bool is_valid, char to[ESCAPE_MAX]);

const char *
log_level_name(enum log_level level)
{
	return level_names[level];
}

static bool
put(struct out *out, const char *bytes, size_t len)
{
	if (len > out->room - out->len)
		return false;
	memcpy(out->bytes + out->len, bytes, len);
	out->len += len;
	return true;
}

static bool
put_cstr(struct out *out, const char *text)
{
	return put(out, text, strlen(text));
}

static bool
put_number(struct out *out, int64_t number)
{
	char digits[24];

	return put(out, digits, (size_t)snprintf(digits, sizeof(digits), "%lld", (long long)number));
}

/* As much of it as there is room for, in at most `most` bytes. */
static void
put_text(struct out *out, struct str text, put_character *character, size_t most)
{
	size_t end = out->len + most;
	char escaped[ESCAPE_MAX];

	for (size_t i = 0; i < text.len;) {
		size_t length = utf8_length((const unsigned char *)text.ptr + i, text.len - i);
		struct str one = {text.ptr + i, length ? length : 1};
		size_t bytes = character(one, length && *one.ptr, escaped);

		if (out->len + bytes > end || !put(out, escaped, bytes))
			return;
		i += one.len;
	}
}

static size_t
copy(struct str character, char to[ESCAPE_MAX])
{
	memcpy(to, character.ptr, character.len);
	return character.len;
}

static bool
is_control(struct str character)
{
	return (unsigned char)character.ptr[0] < 0x20 || character.ptr[0] == 0x7f;
}

/* A NUL has no place in what programs in C read, even escaped. */
static size_t
json_character(struct str character, bool is_valid, char to[ESCAPE_MAX])
{
	static const char shorthands[] = {
		['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r', ['"'] = '"', ['\\'] = '\\'};
	unsigned char c = (unsigned char)character.ptr[0];

	if (!is_valid)
		return copy(STR("\xef\xbf\xbd"), to);
	if (c < sizeof(shorthands) && shorthands[c])
		return copy((struct str){(const char[]){'\\', shorthands[c]}, 2}, to);
	if (!is_control(character))
		return copy(character, to);
	memcpy(to, "\\u00", 4);
	to[4] = "0123456789abcdef"[c >> 4];
	to[5] = "0123456789abcdef"[c & 15];
	return ESCAPE_MAX;
}

static size_t
text_character(struct str character, bool is_valid, char to[ESCAPE_MAX])
{
	return copy(!is_valid ? STR("?") : is_control(character) ? STR(" ") : character, to);
}

/* The journal takes any byte, but people look at it. */
static size_t
journal_character(struct str character, bool is_valid, char to[ESCAPE_MAX])
{
	if (character.ptr[0] == '\n' || character.ptr[0] == '\t')
		return copy(character, to);
	return text_character(character, is_valid, to);
}

/* --- lines --- */

/* A field as a whole or not at all. */
typedef bool put_field(struct out *out, const struct log_field *field);

static struct out
put_fields(const struct log_entry *entry, put_field *field, char tail[TAIL_SIZE])
{
	struct out out = {.bytes = tail, .room = TAIL_SIZE};

	for (size_t i = 0; i < entry->field_count; i++) {
		size_t before = out.len;

		if (!field(&out, &entry->fields[i]))
			out.len = before;
	}
	return out;
}

/* The message with as much of it as the tail and the end leave room for; then these. */
static void
put_rest(struct out *out, const struct log_entry *entry, put_character *character, const char *behind,
	 const struct out *tail, const char *end)
{
	size_t kept = strlen(behind) + tail->len + strlen(end);

	put_text(out, entry->message, character, out->room - out->len - kept);
	put_cstr(out, behind);
	put(out, tail->bytes, tail->len);
	put_cstr(out, end);
}

static bool
put_text_field(struct out *out, const struct log_field *field)
{
	if (!put(out, " ", 1) || !put_cstr(out, field->name) || !put(out, "=", 1))
		return false;
	if (!field->text.ptr)
		return put_number(out, field->number);
	put_text(out, field->text, text_character, LOG_FIELD_SIZE);
	return true;
}

size_t
log_form_text(const struct log_entry *entry, char line[LOG_LINE_SIZE])
{
	struct out out = {.bytes = line, .room = LOG_LINE_SIZE};
	char now[CLOCK_TEXT_SIZE];
	char tail_bytes[TAIL_SIZE];
	struct out tail = put_fields(entry, put_text_field, tail_bytes);

	clock_format(now, entry->unix_ms);
	out.len = (size_t)snprintf(line, LOG_LINE_SIZE, "%s %s %.64s[%lld]: ", now, level_names[entry->level],
				   entry->role, (long long)entry->pid);
	put_rest(&out, entry, text_character, "", &tail, "\n");
	return out.len;
}

static bool
put_json_field(struct out *out, const struct log_field *field)
{
	if (!put(out, ",\"", 2) || !put_cstr(out, field->name) || !put(out, "\":", 2))
		return false;
	if (!field->text.ptr)
		return put_number(out, field->number);
	if (!put(out, "\"", 1))
		return false;
	put_text(out, field->text, json_character, LOG_FIELD_SIZE);
	return put(out, "\"", 1);
}

size_t
log_form_json(const struct log_entry *entry, char line[LOG_LINE_SIZE])
{
	struct out out = {.bytes = line, .room = LOG_LINE_SIZE};
	char now[CLOCK_TEXT_SIZE];
	char tail_bytes[TAIL_SIZE];
	struct out tail = put_fields(entry, put_json_field, tail_bytes);

	clock_format(now, entry->unix_ms);
	out.len = (size_t)snprintf(line, LOG_LINE_SIZE,
				   "{\"time\":\"%s\",\"level\":\"%s\",\"role\":\"%.64s\",\"pid\":%lld,\"message\":\"",
				   now, level_names[entry->level], entry->role, (long long)entry->pid);
	put_rest(&out, entry, json_character, "\"", &tail, "}\n");
	return out.len;
}

/* --- the journal --- */

static bool
is_shared(const char *name)
{
	static const char *const shared[] = {"request_id", "trace_id"};

	for (size_t i = 0; i < sizeof(shared) / sizeof(shared[0]); i++)
		if (strcmp(name, shared[i]) == 0)
			return true;
	return false;
}

static bool
put_journal_name(struct out *out, const char *name)
{
	if (!is_shared(name) && !put_cstr(out, "BATTLEPASS_"))
		return false;
	for (; *name; name++) {
		char upper = *name >= 'a' && *name <= 'z' ? (char)(*name - 'a' + 'A') : *name;

		if (!put(out, &upper, 1))
			return false;
	}
	return true;
}

/* What stands behind a field's name. A value of several lines has its length in front, eight bytes, little end first.
 */
static bool
put_journal_text(struct out *out, struct str text, size_t most)
{
	bool is_long = text.len && memchr(text.ptr, '\n', text.len);
	char size[8] = {0};

	if (!(is_long ? put(out, "\n", 1) && put(out, size, sizeof(size)) : put(out, "=", 1)))
		return false;
	size_t from = out->len;
	size_t left = out->room - out->len;

	if (left == 0)
		return false;
	put_text(out, text, journal_character, left - 1 < most ? left - 1 : most);
	for (size_t i = 0; is_long && i < sizeof(size); i++)
		out->bytes[from - sizeof(size) + i] = (char)((uint64_t)(out->len - from) >> 8 * i);
	return put(out, "\n", 1);
}

static bool
put_journal_field(struct out *out, const struct log_field *field)
{
	if (!put_journal_name(out, field->name))
		return false;
	if (field->text.ptr)
		return put_journal_text(out, field->text, LOG_FIELD_SIZE);
	return put(out, "=", 1) && put_number(out, field->number) && put(out, "\n", 1);
}

size_t
log_form_journal(const struct log_entry *entry, char line[LOG_LINE_SIZE])
{
	struct out out = {.bytes = line, .room = LOG_LINE_SIZE};
	char tail_bytes[TAIL_SIZE];
	struct out tail = put_fields(entry, put_journal_field, tail_bytes);

	out.len = (size_t)snprintf(line, LOG_LINE_SIZE,
				   "PRIORITY=%d\nSYSLOG_IDENTIFIER=battlepassd\nBATTLEPASS_ROLE=%.64s\n",
				   priorities[entry->level], entry->role);
	put(&out, tail.bytes, tail.len);
	put_cstr(&out, "MESSAGE");
	put_journal_text(&out, entry->message, LOG_LINE_SIZE);
	return out.len;
}
