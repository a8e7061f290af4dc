/*
 * JSON as the checker needs it: is this text whole, and what stands in this member? Nothing is copied, nothing is
 * allocated. It must never take a torn text for a whole one.
 */
#ifndef CHAOS_JSON_H
#define CHAOS_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of somebody else's. */
struct text {
	const char *ptr;
	size_t len;
};

bool text_is(struct text text, const char *literal);

/* Walks over members or elements: json_open() on "{" or "[", json_next() until it says no; then `failed`, or the end.
 */
struct json_walk {
	const char *at, *end;
	char close; /* } or ] */
	bool first, failed;
};

/* What a step has found: the name (empty in an array) and the value's text, a string with its quotes. */
struct json_member {
	struct text name, value;
};

bool json_open(struct json_walk *walk, struct text text, char open);
bool json_next(struct json_walk *walk, struct json_member *member);
/* Nothing but space after the value that was walked over. */
bool json_ended(const struct json_walk *walk);

/* The text of a string without its quotes; false for anything else. Ours hold no escapes. */
bool json_string(struct text value, struct text *ret_string);
/* A whole number from 0, without quotes or (as revisions are) with. */
bool json_number(struct text value, uint64_t *ret_number);

#endif
