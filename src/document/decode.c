/* Decoding by tables: see decode.h. It knows values, never what they mean: the rules of a season stand elsewhere. */
#include "document/decode.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/clock.h"
#include "domain/season.h"

enum { SUBTAG_MAX = 8, LANGUAGE_MAX = 35, DETAIL_SIZE = 256 };

void
decoder_init(struct decoder *decoder, struct arena *arena, struct faults *faults)
{
	decoder->arena = arena;
	decoder->faults = faults;
	buf_init(&decoder->pointer);
}

void
decoder_release(struct decoder *decoder)
{
	buf_release(&decoder->pointer);
}

size_t
decoder_fault_count(const struct decoder *decoder)
{
	return decoder->faults->count + decoder->faults->dropped;
}

/* RFC 6901: "~" and "/" in a name are written "~0" and "~1". */
static void
put_name(struct buf *pointer, const char *name)
{
	for (; *name; name++) {
		if (*name == '~')
			buf_literal(pointer, "~0");
		else if (*name == '/')
			buf_literal(pointer, "~1");
		else
			buf_char(pointer, *name);
	}
}

static void
put_pointer(struct buf *pointer, const struct place *at)
{
	if (!at->parent)
		return;
	put_pointer(pointer, at->parent);
	buf_char(pointer, '/');
	if (at->name)
		put_name(pointer, at->name);
	else
		buf_u64(pointer, at->index);
}

void
decoder_fault(struct decoder *decoder, const struct place *at, const char *code, const char *detail, ...)
{
	char text[DETAIL_SIZE];
	va_list args;

	va_start(args, detail);
	vsnprintf(text, sizeof(text), detail, args);
	va_end(args);
	buf_clear(&decoder->pointer);
	put_pointer(&decoder->pointer, at);
	faults_add(decoder->faults, buf_text(&decoder->pointer), code, "%s", text);
}

void
decoder_member_fault(struct decoder *decoder, const struct place *parent, const char *name, const char *code,
		     const char *detail)
{
	decoder_fault(decoder, &(struct place){parent, name, 0}, code, "%s", detail);
}

static void
wrong_type(struct decoder *decoder, const struct place *at, const char *wanted)
{
	decoder_fault(decoder, at, "wrong_type", "must be %s", wanted);
}

uint32_t
decoder_list_size(struct decoder *decoder, const struct place *at, const struct json *array, uint32_t min, uint32_t max)
{
	size_t count = json_count(array);

	if (count < min)
		decoder_fault(decoder, at, "empty_list", "must have at least one element");
	else if (count > max)
		decoder_fault(decoder, at, "too_many", "must have at most %u elements", max);
	else
		return (uint32_t)count;
	return 0;
}

static size_t
find_field(const struct field *fields, size_t count, const char *name)
{
	size_t i = 0;

	while (i < count && strcmp(fields[i].name, name) != 0)
		i++;
	return i;
}

void
decode_members(struct decoder *decoder, const struct place *at, const struct json *object, const struct field *fields,
	       size_t count, void *target)
{
	uint32_t seen = 0;

	if (json_type(object) != JSON_OBJECT) {
		wrong_type(decoder, at, "an object");
		return;
	}
	for (const struct json *value = json_first(object); value; value = json_next(value)) {
		struct place member = {at, json_name(value), 0};
		size_t i = find_field(fields, count, member.name);

		if (i == count) {
			decoder_fault(decoder, &member, "unknown_field", "there is no such member here");
			continue;
		}
		seen |= UINT32_C(1) << i;
		fields[i].read(decoder, &member, value, &fields[i], (char *)target + fields[i].offset);
	}
	for (size_t i = 0; i < count; i++) {
		if (fields[i].required && !(seen >> i & 1))
			decoder_member_fault(decoder, at, fields[i].name, "required", "this member must be there");
	}
}

/* The policy that the object names; NULL, and a fault, if there is none. */
static const struct policy *
find_policy(struct decoder *decoder, const struct place *at, const struct json *object, const struct policy *policies,
	    size_t count, const char *names)
{
	const struct json *value = json_member(object, "policy");
	struct place member = {at, "policy", 0};
	const char *name = NULL;

	if (!value)
		decoder_fault(decoder, &member, "required", "this member must be there");
	else
		decode_word(decoder, &member, value, NULL, &name);
	if (!name)
		return NULL;
	for (size_t i = 0; i < count; i++) {
		if (strcmp(policies[i].name, name) == 0)
			return &policies[i];
	}
	decoder_fault(decoder, &member, "no_such_policy", "must be %s", names);
	return NULL;
}

const struct policy *
decode_policy(struct decoder *decoder, const struct place *at, const struct json *object, const struct policy *policies,
	      size_t count, const char *names, void *target)
{
	const struct policy *policy = find_policy(decoder, at, object, policies, count, names);

	if (policy)
		decode_members(decoder, at, object, policy->fields, policy->field_count, target);
	return policy;
}

void
decode_ignored(struct decoder *decoder, const struct place *at, const struct json *value, const struct field *field,
	       void *target)
{
	(void)decoder;
	(void)at;
	(void)value;
	(void)field;
	(void)target;
}

void
decode_id(struct decoder *decoder, const struct place *at, const struct json *value, const struct field *field,
	  void *target)
{
	const char **id = target;
	struct str text;

	(void)field;
	if (!json_get_string(value, &text))
		wrong_type(decoder, at, "a string");
	else if (!id_valid(text.ptr, text.len))
		decoder_fault(decoder, at, "bad_id", "must be 1 to %d of A-Z a-z 0-9 . _ -", SEASON_ID_MAX);
	else
		*id = arena_copy(decoder->arena, text);
}

void
decode_word(struct decoder *decoder, const struct place *at, const struct json *value, const struct field *field,
	    void *target)
{
	const char **word = target;
	struct str text;

	(void)field;
	if (json_get_string(value, &text))
		*word = arena_copy(decoder->arena, text);
	else
		wrong_type(decoder, at, "a string");
}

void
decode_integer(struct decoder *decoder, const struct place *at, const struct json *value, const struct field *field,
	       void *target)
{
	int64_t *integer = target;
	int64_t number;

	if (json_type(value) != JSON_NUMBER)
		wrong_type(decoder, at, "a number");
	else if (!json_get_integer(value, &number) || number < field->min || number > field->max)
		decoder_fault(decoder, at, "out_of_range", "must be a whole number from %lld to %lld",
			      (long long)field->min, (long long)field->max);
	else
		*integer = number;
}

void
decode_boolean(struct decoder *decoder, const struct place *at, const struct json *value, const struct field *field,
	       void *target)
{
	(void)field;
	if (!json_get_bool(value, target))
		wrong_type(decoder, at, "true or false");
}

void
decode_time(struct decoder *decoder, const struct place *at, const struct json *value, const struct field *field,
	    void *target)
{
	struct str text;

	(void)field;
	if (!json_get_string(value, &text))
		wrong_type(decoder, at, "a string");
	else if (!clock_parse(text, target))
		decoder_fault(decoder, at, "bad_time", "must be an RFC 3339 time, for instance 2026-01-31T12:00:00Z");
}

static bool
is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* The shape of a BCP 47 tag: subtags of 1 to 8 letters and digits, the first of 2 letters or more. */
static bool
is_language(struct str tag)
{
	size_t subtag = 0;
	bool first = true;

	for (size_t i = 0; i < tag.len; i++) {
		char c = tag.ptr[i];

		if (c == '-' && subtag > (first ? 1 : 0)) {
			first = false;
			subtag = 0;
		} else if (!(is_letter(c) || (!first && c >= '0' && c <= '9')) || ++subtag > SUBTAG_MAX) {
			return false;
		}
	}
	return tag.len <= LANGUAGE_MAX && subtag > (first ? 1 : 0);
}

static const char *
lower_copy(struct arena *arena, struct str text)
{
	char *copy = arena_copy(arena, text);

	for (char *c = copy; *c; c++) {
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c - 'A' + 'a');
	}
	return copy;
}

static bool
has_language(const struct localized *items, size_t count, const char *language)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(items[i].language, language) == 0)
			return true;
	}
	return false;
}

/* One text into items[*count], and *count + 1 if its language can be used. */
static void
read_text(struct decoder *decoder, const struct place *at, const struct json *value, struct localized *items,
	  size_t *count)
{
	struct str tag = str_from(at->name);
	struct str text;

	if (!is_language(tag)) {
		decoder_fault(decoder, at, "bad_language", "the name must be a language tag, for instance en or pt-br");
		return;
	}
	const char *language = lower_copy(decoder->arena, tag);

	if (has_language(items, *count, language))
		decoder_fault(decoder, at, "duplicate_language", "this language has a text already");
	else if (!json_get_string(value, &text))
		wrong_type(decoder, at, "a string");
	else if (text.len == 0)
		decoder_fault(decoder, at, "empty_text", "must not be empty");
	else if (text.len > DECODE_TEXT_MAX)
		decoder_fault(decoder, at, "too_long", "must have at most %d bytes of UTF-8", DECODE_TEXT_MAX);
	else
		items[(*count)++] = (struct localized){language, arena_copy(decoder->arena, text)};
}

void
decode_texts(struct decoder *decoder, const struct place *at, const struct json *value, const struct field *field,
	     void *target)
{
	struct texts *texts = target;
	size_t size = json_count(value);
	size_t count = 0;

	(void)field;
	if (json_type(value) != JSON_OBJECT) {
		wrong_type(decoder, at, "an object of language tag and text");
		return;
	}
	if (size == 0) {
		decoder_fault(decoder, at, "no_texts", "must have a text in one language at least");
		return;
	}
	if (size > DECODE_LANGUAGES_MAX) {
		decoder_fault(decoder, at, "too_many", "must have at most %d languages", DECODE_LANGUAGES_MAX);
		return;
	}
	struct localized *items = ARENA_ARRAY(decoder->arena, size, struct localized);

	for (const struct json *text = json_first(value); text; text = json_next(text))
		read_text(decoder, &(struct place){at, json_name(text), 0}, text, items, &count);
	*texts = (struct texts){items, count};
}

void
decode_array(struct decoder *decoder, const struct place *at, const struct json *value, const struct field *field,
	     void *target)
{
	const struct json **array = target;

	(void)field;
	if (json_type(value) == JSON_ARRAY)
		*array = value;
	else
		wrong_type(decoder, at, "an array");
}

void
decode_object(struct decoder *decoder, const struct place *at, const struct json *value, const struct field *field,
	      void *target)
{
	const struct json **object = target;

	(void)field;
	if (json_type(value) == JSON_OBJECT)
		*object = value;
	else
		wrong_type(decoder, at, "an object");
}
