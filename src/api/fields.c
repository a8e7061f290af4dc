/* Decoding by a table: see fields.h. */
#include "api/fields.h"

#include <stdio.h>

#include "base/clock.h"
#include "domain/season.h"

enum { POINTER_SIZE = 256, LABEL_MAX = 64, KEY_MAX = 128 };

static bool
label_character(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c != '\0' && strchr("._-:/", c) != NULL);
}

bool
label_valid(struct str text)
{
	for (size_t i = 0; i < text.len; i++)
		if (!label_character(text.ptr[i]))
			return false;
	return text.len >= 1 && text.len <= LABEL_MAX;
}

bool
idempotency_key_valid(struct str text)
{
	for (size_t i = 0; i < text.len; i++)
		if (text.ptr[i] <= 0x20 || text.ptr[i] >= 0x7f)
			return false;
	return text.len >= 1 && text.len <= KEY_MAX;
}

bool
player_valid(struct str text)
{
	return id_valid(text.ptr, text.len) && !str_equal(text, STR("me"));
}

/* A text of one form. */
static void
decode_text(const struct json *node, const char *pointer, bool (*valid)(struct str), const char *form, void *to,
	    struct faults *faults)
{
	struct str text;

	if (!json_get_string(node, &text))
		faults_add(faults, pointer, "wrong_type", "expected a text: %s", form);
	else if (!valid(text))
		faults_add(faults, pointer, "bad_form", "expected %s", form);
	else
		*(struct str *)to = arena_str(faults->arena, text);
}

static void
decode_integer(const struct json *node, const char *pointer, const struct field *field, void *to, struct faults *faults)
{
	int64_t value;

	if (json_type(node) != JSON_NUMBER)
		faults_add(faults, pointer, "wrong_type", "expected an integer");
	else if (!json_get_integer(node, &value) || value < field->min || value > field->max)
		faults_add(faults, pointer, "out_of_range", "expected an integer from %lld to %lld",
			   (long long)field->min, (long long)field->max);
	else
		*(int64_t *)to = value;
}

static void
decode_time(const struct json *node, const char *pointer, void *to, struct faults *faults)
{
	struct str text;
	int64_t unix_ms;

	if (!json_get_string(node, &text))
		faults_add(faults, pointer, "wrong_type", "expected a time (RFC 3339)");
	else if (!clock_parse(text, &unix_ms))
		faults_add(faults, pointer, "bad_form",
			   "expected a time (RFC 3339), for instance 2026-01-31T12:00:00Z");
	else
		*(int64_t *)to = unix_ms;
}

static bool
count_fits(const struct json *node, const char *pointer, const struct field *field, struct faults *faults)
{
	if (json_type(node) != JSON_ARRAY) {
		faults_add(faults, pointer, "wrong_type", "expected an array");
		return false;
	}
	int64_t count = (int64_t)json_count(node);

	if (count >= field->min && count <= field->max)
		return true;
	faults_add(faults, pointer, "out_of_range", "expected %lld to %lld elements, got %lld", (long long)field->min,
		   (long long)field->max, (long long)count);
	return false;
}

static void
decode_labels(const struct json *node, const char *pointer, const struct field *field, void *to, struct faults *faults)
{
	struct buf text;
	size_t index = 0;

	if (!count_fits(node, pointer, field, faults))
		return;
	buf_init(&text);
	buf_char(&text, '[');
	for (const struct json *each = json_first(node); each; each = json_next(each), index++) {
		char at[POINTER_SIZE];
		struct str label = STR_NONE;

		snprintf(at, sizeof(at), "%.200s/%zu", pointer, index);
		decode_text(each, at, label_valid, "1-64 of A-Z a-z 0-9 . _ - : /", &label, faults);
		if (index)
			buf_char(&text, ',');
		buf_json_string(&text, label);
	}
	buf_char(&text, ']');
	*(struct str *)to = arena_str(faults->arena, buf_view(&text));
	buf_release(&text);
}

static void
decode_boolean(const struct json *node, const char *pointer, const struct field *field, void *to, struct faults *faults)
{
	bool value;

	if (!json_get_bool(node, &value))
		faults_add(faults, pointer, "wrong_type", "expected true%s", field->min ? "" : " or false");
	else if (value < field->min)
		faults_add(faults, pointer, "out_of_range", "expected true");
	else
		*(bool *)to = value;
}

/* Control characters of ASCII and of ISO 8859, but for tab and newline. */
static bool
control_at(const unsigned char *at)
{
	return (at[0] < 0x20 && at[0] != '\t' && at[0] != '\n') || at[0] == 0x7f || (at[0] == 0xc2 && at[1] < 0xa0);
}

/* What the JSON reader gave is well-formed UTF-8, so a byte that begins a character has the rest of it behind. */
static void
decode_long_text(const struct json *node, const char *pointer, const struct field *field, void *to,
		 struct faults *faults)
{
	struct str text;
	int64_t characters = 0;
	bool printable = true;

	if (!json_get_string(node, &text)) {
		faults_add(faults, pointer, "wrong_type", "expected a text");
		return;
	}
	for (size_t i = 0; i < text.len; i++) {
		const unsigned char *at = (const unsigned char *)text.ptr + i;

		characters += (*at & 0xc0) != 0x80;
		printable = printable && !control_at(at);
	}
	if (characters < field->min || characters > field->max)
		faults_add(faults, pointer, "out_of_range", "expected %lld to %lld characters, got %lld",
			   (long long)field->min, (long long)field->max, (long long)characters);
	else if (!printable)
		faults_add(faults, pointer, "bad_form", "expected no control characters but tab and newline");
	else
		*(struct str *)to = arena_str(faults->arena, text);
}

static bool
id_text_valid(struct str text)
{
	return id_valid(text.ptr, text.len);
}

static const char id_form[] = "1-64 of A-Z a-z 0-9 . _ -";

static void
decode_ids(const struct json *node, const char *pointer, const struct field *field, void *to, struct faults *faults)
{
	struct id_list *list = to;
	size_t count = 0;

	if (!count_fits(node, pointer, field, faults))
		return;
	struct str *ids = ARENA_ARRAY(faults->arena, json_count(node), struct str);

	for (const struct json *each = json_first(node); each; each = json_next(each), count++) {
		char at[POINTER_SIZE];

		snprintf(at, sizeof(at), "%.200s/%zu", pointer, count);
		decode_text(each, at, id_text_valid, id_form, &ids[count], faults);
	}
	*list = (struct id_list){ids, count};
}

static const char *const claims_words[] = {[CLAIMS_KEEP] = "keep", [CLAIMS_FORGET] = "forget"};

static const struct {
	const char *const *words;
	size_t count;
	const char *form; /* for people */
} choices[] = {
	[CHOICE_CLAIMS] = {claims_words, sizeof(claims_words) / sizeof(claims_words[0]), "\"keep\" or \"forget\""},
};

static void
decode_choice(const struct json *node, const char *pointer, const struct field *field, void *to, struct faults *faults)
{
	struct str text;

	if (!json_get_string(node, &text)) {
		faults_add(faults, pointer, "wrong_type", "expected %s", choices[field->min].form);
		return;
	}
	for (size_t i = 0; i < choices[field->min].count; i++) {
		if (str_equal(text, str_from(choices[field->min].words[i]))) {
			*(size_t *)to = i;
			return;
		}
	}
	faults_add(faults, pointer, "bad_form", "expected %s", choices[field->min].form);
}

static void
decode_member(const struct json *node, const char *pointer, const struct field *field, void *to, struct faults *faults)
{
	switch (field->kind) {
	case FIELD_INTEGER:
		decode_integer(node, pointer, field, to, faults);
		break;
	case FIELD_PLAYER:
		decode_text(node, pointer, player_valid, "1-64 of A-Z a-z 0-9 . _ -, and not \"me\"", to, faults);
		break;
	case FIELD_LABEL:
		decode_text(node, pointer, label_valid, "1-64 of A-Z a-z 0-9 . _ - : /", to, faults);
		break;
	case FIELD_LABELS:
		decode_labels(node, pointer, field, to, faults);
		break;
	case FIELD_KEY:
		decode_text(node, pointer, idempotency_key_valid, "1-128 printable ASCII characters without space", to,
			    faults);
		break;
	case FIELD_TIME:
		decode_time(node, pointer, to, faults);
		break;
	case FIELD_ARRAY:
		if (count_fits(node, pointer, field, faults))
			*(const struct json **)to = node;
		break;
	case FIELD_BOOLEAN:
		decode_boolean(node, pointer, field, to, faults);
		break;
	case FIELD_TEXT:
		decode_long_text(node, pointer, field, to, faults);
		break;
	case FIELD_ID:
		decode_text(node, pointer, id_text_valid, id_form, to, faults);
		break;
	case FIELD_IDS:
		decode_ids(node, pointer, field, to, faults);
		break;
	case FIELD_CHOICE:
		decode_choice(node, pointer, field, to, faults);
		break;
	}
}

static const struct field *
field_named(const struct field *fields, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(fields[i].name, name) == 0)
			return &fields[i];
	return NULL;
}

/* A JSON pointer to a member; ~ and / are escaped, and a long name is cut: it is an unknown one. */
static void
member_pointer(char pointer[POINTER_SIZE], const char *base, const char *name)
{
	size_t at = (size_t)snprintf(pointer, POINTER_SIZE, "%.100s/", base);

	for (; *name && at < POINTER_SIZE - 3; name++) {
		if (*name == '~' || *name == '/') {
			pointer[at++] = '~';
			pointer[at++] = *name == '~' ? '0' : '1';
		} else {
			pointer[at++] = *name;
		}
	}
	/* Not in the middle of a character. */
	while (*name && at > 0 && ((unsigned char)*name & 0xc0) == 0x80)
		at--, name--;
	pointer[at] = '\0';
}

bool
fields_decode(const struct json *object, const char *pointer, const struct field *fields, size_t field_count,
	      void *target, struct faults *faults)
{
	size_t before = faults->count + faults->dropped;
	char at[POINTER_SIZE];

	if (json_type(object) != JSON_OBJECT) {
		faults_add(faults, pointer, "wrong_type", "expected an object");
		return false;
	}
	for (const struct json *member = json_first(object); member; member = json_next(member)) {
		const struct field *field = field_named(fields, field_count, json_name(member));

		member_pointer(at, pointer, json_name(member));
		if (field)
			decode_member(member, at, field, (char *)target + field->offset, faults);
		else
			faults_add(faults, at, "unknown_field", "no such field here");
	}
	for (size_t i = 0; i < field_count; i++) {
		if (!fields[i].required || json_member(object, fields[i].name))
			continue;
		member_pointer(at, pointer, fields[i].name);
		faults_add(faults, at, "required", "this field is missing");
	}
	return faults->count + faults->dropped == before;
}

/* With its length in front, so that no text runs into what follows. */
static void
print_text(struct str text, struct buf *out)
{
	buf_format(out, "%zu:", text.len);
	buf_str(out, text);
}

static void
print_ids(const struct id_list *list, struct buf *out)
{
	buf_format(out, "%zu", list->count);
	for (size_t i = 0; i < list->count; i++) {
		buf_char(out, ' ');
		print_text(list->ids[i], out);
	}
}

static void
print_value(const struct field *field, const void *from, struct buf *out)
{
	switch (field->kind) {
	case FIELD_INTEGER:
	case FIELD_TIME:
		buf_i64(out, *(const int64_t *)from);
		break;
	case FIELD_BOOLEAN:
		buf_cstr(out, *(const bool *)from ? "true" : "false");
		break;
	case FIELD_CHOICE:
		buf_cstr(out, choices[field->min].words[*(const size_t *)from]);
		break;
	case FIELD_IDS:
		print_ids(from, out);
		break;
	case FIELD_PLAYER:
	case FIELD_LABEL:
	case FIELD_LABELS:
	case FIELD_KEY:
	case FIELD_TEXT:
	case FIELD_ID:
		print_text(*(const struct str *)from, out);
		break;
	case FIELD_ARRAY:
		break;
	}
}

void
fields_print(const struct field *fields, size_t field_count, const void *target, struct buf *out)
{
	for (size_t i = 0; i < field_count; i++) {
		buf_format(out, "%s=", fields[i].name);
		print_value(&fields[i], (const char *)target + fields[i].offset, out);
		buf_char(out, '\n');
	}
}

enum err
faults_err(const struct faults *faults)
{
	for (size_t i = 0; i < faults->count; i++)
		if (strcmp(faults->items[i].code, "unknown_field") != 0)
			return ERR_INVALID_FIELD;
	return ERR_UNKNOWN_FIELD;
}
