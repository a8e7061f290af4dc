/*
 * The strict JSON reader: the only file that knows cJSON. The text is first checked against RFC 8259 to the letter
 * (one value, no trailing text, no raw control characters, valid UTF-8, no \u0000, no lone surrogates, no duplicate
 * member names, bounded depth), because cJSON forgives all of these; then cJSON builds the tree. Member names are
 * compared case-sensitively.
 *
 * struct json is opaque: a borrowed node of a tree that json_free() of its root releases.
 */
#ifndef BP_BASE_JSON_H
#define BP_BASE_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

enum { JSON_DEPTH_MAX = 16, JSON_DETAIL_SIZE = 128 };

/* Integers of at most this magnitude are exact in every JSON reader. */
#define JSON_INTEGER_MAX INT64_C(999999999999999)

struct json;

enum json_type { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

/*
 * Parses text into a tree owned by the caller. On ERR_MALFORMED_JSON detail (JSON_DETAIL_SIZE bytes, may be NULL) says
 * what is wrong and at which byte, and *ret_root is untouched.
 */
enum err json_parse(struct str text, struct json **ret_root, char *detail);
void json_free(struct json *root);

enum json_type json_type(const struct json *node);
/* The member of an object, or NULL: no such member, or not an object. */
const struct json *json_member(const struct json *object, const char *name);
/* Children of an array or object in document order; NULL after the last, and for anything else. */
const struct json *json_first(const struct json *node);
const struct json *json_next(const struct json *child);
/* Number of children; O(n). */
size_t json_count(const struct json *node);
/* Name of an object's member; NULL for others. */
const char *json_name(const struct json *member);
/* True and the value when node is of that type; node may be NULL (false). Outputs are untouched on false. */
bool json_get_string(const struct json *node, struct str *ret);
bool json_get_bool(const struct json *node, bool *ret);
/* A number with no fractional part and magnitude <= JSON_INTEGER_MAX; 1e3 and 1.0 are integers. */
bool json_get_integer(const struct json *node, int64_t *ret);
/* Any number that is finite. */
bool json_get_number(const struct json *node, double *ret);

/* True if text is valid UTF-8 (no overlong forms, no surrogates, at most U+10FFFF) without NUL. */
bool utf8_valid(struct str text);
/* Bytes of the character at p, of which `left` are there; 0: it is none. A NUL is one here. */
size_t utf8_length(const unsigned char *p, size_t left);

#endif
