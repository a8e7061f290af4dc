/*
 * The strict JSON reader: see json.h. Three passes: check() holds the text against RFC 8259 and builds nothing, cJSON
 * builds the tree, find_twin() looks for member names that stand twice. Nothing that check() has not accepted may ever
 * reach cJSON, and no text of the input is repeated in a detail.
 */
#include "base/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <cjson/cJSON.h>

enum {
	NUMBER_BYTES_MAX = 63, /* cJSON reads no more of a number */
	FEW_MEMBERS = 12       /* up to here comparing all pairs is quicker than sorting */
};

struct checker {
	const unsigned char *begin;
	const unsigned char *at;
	const unsigned char *end;
	unsigned depth;
	const char *fault; /* what is wrong at `at` */
	/* Counts member names down; where the one that makes it 0 begins. Starts at 0 when none is asked for. */
	size_t names_left;
	const unsigned char *name;
};

static bool check_value(struct checker *c);

static bool
fail(struct checker *c, const char *fault)
{
	c->fault = fault;
	return false;
}

/* The byte here, or -1 at the end. */
static int
peek(const struct checker *c)
{
	return c->at < c->end ? *c->at : -1;
}

static bool
skip(struct checker *c, int byte)
{
	if (peek(c) != byte)
		return false;
	c->at++;
	return true;
}

static void
skip_space(struct checker *c)
{
	while (c->at < c->end && (*c->at == ' ' || *c->at == '\n' || *c->at == '\r' || *c->at == '\t'))
		c->at++;
}

/*
 * The second byte carries the limits that rule out overlong forms, surrogates and what lies beyond U+10FFFF (Unicode
 * 15, table 3-7).
 */
size_t
utf8_length(const unsigned char *p, size_t left)
{
	static const struct {
		unsigned char first, last, low, high, bytes;
	} forms[] = {
		{0x00, 0x7f, 0x00, 0x00, 1}, {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
		{0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
		{0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
	};

	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		if (p[0] < forms[i].first || p[0] > forms[i].last)
			continue;
		if (forms[i].bytes > left)
			return 0;
		if (forms[i].bytes > 1 && (p[1] < forms[i].low || p[1] > forms[i].high))
			return 0;
		for (size_t k = 2; k < forms[i].bytes; k++)
			if ((p[k] & 0xc0) != 0x80)
				return 0;
		return forms[i].bytes;
	}
	return 0;
}

bool
utf8_valid(struct str text)
{
	const unsigned char *p = (const unsigned char *)text.ptr;

	for (size_t i = 0; i < text.len;) {
		size_t bytes = p[i] < 0x80 ? p[i] != 0 : utf8_length(p + i, text.len - i);

		if (bytes == 0)
			return false;
		i += bytes;
	}
	return true;
}

static int
hex_value(int c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The four digits of \uXXXX. */
static bool
take_hex4(struct checker *c, unsigned *ret_unit)
{
	unsigned unit = 0;

	for (int i = 0; i < 4; i++) {
		int digit = hex_value(peek(c));

		if (digit < 0)
			return fail(c, "\\u without four hexadecimal digits");
		unit = unit << 4 | (unsigned)digit;
		c->at++;
	}
	*ret_unit = unit;
	return true;
}

/* What stands behind \u: one code point, as one unit or as a pair of surrogates. Faults point at the backslash. */
static bool
check_unicode_escape(struct checker *c)
{
	const unsigned char *backslash = c->at - 2;
	unsigned unit;

	if (!take_hex4(c, &unit))
		return false;
	bool high = unit >= 0xd800 && unit <= 0xdbff;
	bool low = unit >= 0xdc00 && unit <= 0xdfff;

	if (unit != 0 && !high && !low)
		return true;
	if (high && skip(c, '\\') && skip(c, 'u')) {
		if (!take_hex4(c, &unit))
			return false;
		if (unit >= 0xdc00 && unit <= 0xdfff)
			return true;
	}
	c->at = backslash;
	return fail(c, unit == 0 && !high ? "\\u0000 is not taken" : "half of a surrogate pair");
}

static bool
check_escape(struct checker *c)
{
	switch (peek(c)) {
	case '"':
	case '\\':
	case '/':
	case 'b':
	case 'f':
	case 'n':
	case 'r':
	case 't':
		c->at++;
		return true;
	case 'u':
		c->at++;
		return check_unicode_escape(c);
	default:
		return fail(c, "unknown escape");
	}
}

/* A byte of a string that needs no second look. */
static bool
is_plain(unsigned char c)
{
	return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

static bool
check_string(struct checker *c)
{
	if (!skip(c, '"'))
		return fail(c, "a string is expected");
	for (;;) {
		while (c->at < c->end && is_plain(*c->at))
			c->at++;
		if (c->at == c->end)
			return fail(c, "the string has no end");
		if (skip(c, '"'))
			return true;
		if (*c->at < 0x20)
			return fail(c, "control character in a string");
		if (skip(c, '\\')) {
			if (!check_escape(c))
				return false;
			continue;
		}
		size_t bytes = utf8_length(c->at, (size_t)(c->end - c->at));

		if (bytes == 0)
			return fail(c, "not UTF-8");
		c->at += bytes;
	}
}

static bool
check_digits(struct checker *c)
{
	const unsigned char *from = c->at;

	while (c->at < c->end && *c->at >= '0' && *c->at <= '9')
		c->at++;
	return c->at > from || fail(c, "a digit is expected");
}

static bool
check_number(struct checker *c)
{
	const unsigned char *from = c->at;

	skip(c, '-');
	if (!skip(c, '0') && !check_digits(c))
		return false;
	if (skip(c, '.') && !check_digits(c))
		return false;
	if (skip(c, 'e') || skip(c, 'E')) {
		if (!skip(c, '+'))
			skip(c, '-');
		if (!check_digits(c))
			return false;
	}
	if (c->at - from > NUMBER_BYTES_MAX) {
		c->at = from;
		return fail(c, "the number has too many digits");
	}
	return true;
}

static bool
check_literal(struct checker *c, struct str literal)
{
	if ((size_t)(c->end - c->at) < literal.len || memcmp(c->at, literal.ptr, literal.len) != 0)
		return fail(c, "a value is expected");
	c->at += literal.len;
	return true;
}

static bool
check_member(struct checker *c)
{
	if (c->names_left && --c->names_left == 0)
		c->name = c->at;
	if (peek(c) != '"')
		return fail(c, "a member name is expected");
	if (!check_string(c))
		return false;
	skip_space(c);
	if (!skip(c, ':'))
		return fail(c, "a colon is expected");
	skip_space(c);
	return check_value(c);
}

/* An array or object: elements between commas, up to `close`. */
static bool
check_container(struct checker *c, int close, bool (*check_element)(struct checker *))
{
	if (c->depth == JSON_DEPTH_MAX)
		return fail(c, "nested too deeply");
	c->depth++;
	c->at++;
	skip_space(c);
	if (!skip(c, close)) {
		for (;;) {
			if (!check_element(c))
				return false;
			skip_space(c);
			if (skip(c, close))
				break;
			if (!skip(c, ','))
				return fail(c, close == ']' ? "a comma or ] is expected" : "a comma or } is expected");
			skip_space(c);
		}
	}
	c->depth--;
	return true;
}

static bool
check_value(struct checker *c)
{
	switch (peek(c)) {
	case '{':
		return check_container(c, '}', check_member);
	case '[':
		return check_container(c, ']', check_value);
	case '"':
		return check_string(c);
	case 't':
		return check_literal(c, STR("true"));
	case 'f':
		return check_literal(c, STR("false"));
	case 'n':
		return check_literal(c, STR("null"));
	case '-':
	case '0' ... '9':
		return check_number(c);
	default:
		return fail(c, "a value is expected");
	}
}

static bool
check(struct checker *c, struct str text)
{
	c->begin = c->at = (const unsigned char *)text.ptr;
	c->end = c->begin + text.len;
	skip_space(c);
	if (!check_value(c))
		return false;
	skip_space(c);
	return c->at == c->end || fail(c, "text behind the value");
}

/* A member of a large object. Sorted by hash first because comparing two numbers is quick; equal hashes only cost time.
 */
struct member {
	uint64_t hash;
	const cJSON *node;
	size_t position;
};

static uint64_t
hash_name(const char *name)
{
	uint64_t hash = UINT64_C(14695981039346656037);

	for (; *name; name++)
		hash = (hash ^ (unsigned char)*name) * UINT64_C(1099511628211);
	return hash;
}

static int
compare_members(const void *left, const void *right)
{
	const struct member *a = left;
	const struct member *b = right;

	if (a->hash != b->hash)
		return a->hash < b->hash ? -1 : 1;
	int order = strcmp(a->node->string, b->node->string);

	return order ? order : (a->position > b->position) - (a->position < b->position);
}

/* The first member, in document order, whose name stands before it already; all of this in n log n. */
static const cJSON *
find_twin_sorted(const cJSON *object, size_t count)
{
	struct member *members = calloc(count, sizeof(*members));
	const struct member *twin = NULL;
	size_t at = 0;

	if (!members)
		abort();
	for (const cJSON *child = object->child; child; child = child->next, at++)
		members[at] = (struct member){hash_name(child->string), child, at};
	qsort(members, count, sizeof(*members), compare_members);
	for (size_t i = 1; i < count; i++) {
		if (members[i].hash != members[i - 1].hash ||
		    strcmp(members[i].node->string, members[i - 1].node->string) != 0)
			continue;
		if (!twin || members[i].position < twin->position)
			twin = &members[i];
	}
	const cJSON *node = twin ? twin->node : NULL;

	free(members);
	return node;
}

static const cJSON *
find_twin_of(const cJSON *object)
{
	size_t count = 0;

	for (const cJSON *child = object->child; child; child = child->next)
		count++;
	if (count > FEW_MEMBERS)
		return find_twin_sorted(object, count);
	for (const cJSON *child = object->child; child; child = child->next)
		for (const cJSON *before = object->child; before != child; before = before->next)
			if (strcmp(before->string, child->string) == 0)
				return child;
	return NULL;
}

/* A member somewhere in the tree whose name is not the first of its object, or NULL. */
static const cJSON *
find_twin(const cJSON *node)
{
	const cJSON *twin = cJSON_IsObject(node) ? find_twin_of(node) : NULL;

	for (const cJSON *child = node->child; child && !twin; child = child->next)
		if (child->child)
			twin = find_twin(child);
	return twin;
}

/* Counts the member names of the tree in document order up to and with the one of `wanted`; true when it was found. */
static bool
count_names(const cJSON *node, const cJSON *wanted, size_t *count)
{
	for (const cJSON *child = node->child; child; child = child->next) {
		*count += child->string != NULL;
		if (child == wanted || count_names(child, wanted, count))
			return true;
	}
	return false;
}

/* cJSON keeps no offsets: the n-th name of the tree is the n-th name of the text. */
static size_t
offset_of_name(struct str text, const cJSON *root, const cJSON *member)
{
	struct checker c = {0};

	count_names(root, member, &c.names_left);
	check(&c, text);
	return (size_t)(c.name - c.begin);
}

static enum err
malformed(char *detail, const char *fault, size_t offset)
{
	if (detail)
		snprintf(detail, JSON_DETAIL_SIZE, "%s at byte %zu", fault, offset);
	return ERR_MALFORMED_JSON;
}

enum err
json_parse(struct str text, struct json **ret_root, char *detail)
{
	struct checker c = {0};

	if (text.len == 0)
		return malformed(detail, "a value is expected", 0);
	if (!check(&c, text))
		return malformed(detail, c.fault, (size_t)(c.at - c.begin));
	cJSON *root = cJSON_ParseWithLengthOpts(text.ptr, text.len, NULL, 0);

	if (!root)
		abort(); /* the text is good, so memory has run out: as with every other allocation */
	const cJSON *twin = find_twin(root);

	if (twin) {
		size_t offset = offset_of_name(text, root, twin);

		cJSON_Delete(root);
		return malformed(detail, "a member name stands twice", offset);
	}
	*ret_root = (struct json *)root;
	return ERR_OK;
}

static const cJSON *
node_of(const struct json *json)
{
	return (const cJSON *)json;
}

void
json_free(struct json *root)
{
	cJSON_Delete((cJSON *)root);
}

enum json_type
json_type(const struct json *node)
{
	switch (node_of(node)->type & 0xff) {
	case cJSON_False:
	case cJSON_True:
		return JSON_BOOL;
	case cJSON_Number:
		return JSON_NUMBER;
	case cJSON_String:
		return JSON_STRING;
	case cJSON_Array:
		return JSON_ARRAY;
	case cJSON_Object:
		return JSON_OBJECT;
	default:
		return JSON_NULL;
	}
}

const struct json *
json_member(const struct json *object, const char *name)
{
	if (!cJSON_IsObject(node_of(object)))
		return NULL;
	for (const cJSON *child = node_of(object)->child; child; child = child->next)
		if (strcmp(child->string, name) == 0)
			return (const struct json *)child;
	return NULL;
}

const struct json *
json_first(const struct json *node)
{
	return node ? (const struct json *)node_of(node)->child : NULL;
}

const struct json *
json_next(const struct json *child)
{
	return child ? (const struct json *)node_of(child)->next : NULL;
}

size_t
json_count(const struct json *node)
{
	size_t count = 0;

	for (const struct json *child = json_first(node); child; child = json_next(child))
		count++;
	return count;
}

const char *
json_name(const struct json *member)
{
	return member ? node_of(member)->string : NULL;
}

bool
json_get_string(const struct json *node, struct str *ret)
{
	if (!cJSON_IsString(node_of(node)))
		return false;
	*ret = str_from(node_of(node)->valuestring);
	return true;
}

bool
json_get_bool(const struct json *node, bool *ret)
{
	if (!cJSON_IsBool(node_of(node)))
		return false;
	*ret = cJSON_IsTrue(node_of(node)) != 0;
	return true;
}

bool
json_get_integer(const struct json *node, int64_t *ret)
{
	if (!cJSON_IsNumber(node_of(node)))
		return false;
	double number = node_of(node)->valuedouble;

	/* Written so that what is not a number is out of range, too; only then is the cast defined. */
	if (!(number >= (double)-JSON_INTEGER_MAX && number <= (double)JSON_INTEGER_MAX))
		return false;
	int64_t integer = (int64_t)number;

	if ((double)integer < number || (double)integer > number)
		return false;
	*ret = integer;
	return true;
}

bool
json_get_number(const struct json *node, double *ret)
{
	if (!cJSON_IsNumber(node_of(node)) || !isfinite(node_of(node)->valuedouble))
		return false;
	*ret = node_of(node)->valuedouble;
	return true;
}
