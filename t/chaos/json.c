/* A JSON text in one pass: see json.h. */
#include "json.h"

#include <string.h>

enum { DEPTH_MAX = 16 };

bool
text_is(struct text text, const char *literal)
{
	return text.len == strlen(literal) && memcmp(text.ptr, literal, text.len) == 0;
}

static const char *
skip_space(const char *at, const char *end)
{
	while (at < end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r'))
		at++;
	return at;
}

static const char *
string_end(const char *at, const char *end)
{
	for (at++; at < end && *at != '"'; at++) {
		if ((unsigned char)*at < ' ')
			return NULL;
		if (*at == '\\')
			at++;
	}
	return at < end ? at + 1 : NULL;
}

static const char *
word_end(const char *at, const char *end)
{
	static const char *const words[] = {"true", "false", "null"};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if ((size_t)(end - at) >= strlen(words[i]) && memcmp(at, words[i], strlen(words[i])) == 0)
			return at + strlen(words[i]);
	return NULL;
}

static const char *
number_end(const char *at, const char *end)
{
	const char *from = at;

	while (at < end && ((*at >= '0' && *at <= '9') || strchr("+-.eE", *at)))
		at++;
	return at > from ? at : NULL;
}

static const char *value_end(const char *at, const char *end, int depth);

static bool
open_at(struct json_walk *walk, const char *at, const char *end)
{
	*walk = (struct json_walk){.at = at + 1, .end = end, .close = *at == '{' ? '}' : ']', .first = true};
	return true;
}

static bool
fail(struct json_walk *walk)
{
	walk->failed = true;
	return false;
}

static bool
take_name(struct json_walk *walk, struct text *name)
{
	const char *to = walk->at < walk->end && *walk->at == '"' ? string_end(walk->at, walk->end) : NULL;

	if (!to)
		return false;
	*name = (struct text){walk->at + 1, (size_t)(to - walk->at) - 2};
	walk->at = skip_space(to, walk->end);
	if (walk->at >= walk->end || *walk->at != ':')
		return false;
	walk->at = skip_space(walk->at + 1, walk->end);
	return true;
}

static bool
step(struct json_walk *walk, struct json_member *member, int depth)
{
	walk->at = skip_space(walk->at, walk->end);
	if (walk->at < walk->end && *walk->at == walk->close) {
		walk->at++;
		return false;
	}
	if (!walk->first) {
		if (walk->at >= walk->end || *walk->at != ',')
			return fail(walk);
		walk->at = skip_space(walk->at + 1, walk->end);
	}
	walk->first = false;
	member->name = (struct text){walk->at, 0};
	if (walk->close == '}' && !take_name(walk, &member->name))
		return fail(walk);

	const char *to = value_end(walk->at, walk->end, depth);

	if (!to)
		return fail(walk);
	member->value = (struct text){walk->at, (size_t)(to - walk->at)};
	walk->at = to;
	return true;
}

static const char *
value_end(const char *at, const char *end, int depth)
{
	struct json_walk walk;
	struct json_member member;

	if (at >= end || depth > DEPTH_MAX)
		return NULL;
	if (*at == '"')
		return string_end(at, end);
	if (*at != '{' && *at != '[')
		return *at == '-' || (*at >= '0' && *at <= '9') ? number_end(at, end) : word_end(at, end);
	open_at(&walk, at, end);
	while (step(&walk, &member, depth + 1))
		;
	return walk.failed ? NULL : walk.at;
}

bool
json_open(struct json_walk *walk, struct text text, char open)
{
	const char *end = text.ptr + text.len;
	const char *at = skip_space(text.ptr, end);

	return at < end && *at == open && open_at(walk, at, end);
}

bool
json_next(struct json_walk *walk, struct json_member *member)
{
	return step(walk, member, 1);
}

bool
json_ended(const struct json_walk *walk)
{
	return !walk->failed && skip_space(walk->at, walk->end) == walk->end;
}

bool
json_string(struct text value, struct text *ret_string)
{
	if (value.len < 2 || value.ptr[0] != '"')
		return false;
	*ret_string = (struct text){value.ptr + 1, value.len - 2};
	return true;
}

bool
json_number(struct text value, uint64_t *ret_number)
{
	uint64_t number = 0;

	json_string(value, &value);
	for (size_t i = 0; i < value.len; i++) {
		if (value.ptr[i] < '0' || value.ptr[i] > '9')
			return false;
		number = number * 10 + (uint64_t)(value.ptr[i] - '0');
	}
	*ret_number = number;
	return value.len > 0;
}
