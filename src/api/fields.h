/*
 * Decoding of JSON objects by a table: each member's name, kind, range and where it goes. Every fault is added with its
 * pointer; unknown members are faults, too.
 */
#ifndef BP_API_FIELDS_H
#define BP_API_FIELDS_H

#include <stddef.h>

#include "base/buf.h"
#include "base/fault.h"
#include "base/json.h"

enum field_kind {
	FIELD_INTEGER, /* int64_t; min to max */
	FIELD_PLAYER,  /* struct str; id_valid, and not `me`, which is for paths */
	FIELD_LABEL,   /* struct str; 1-64 of A-Z a-z 0-9 . _ - : / */
	FIELD_LABELS,  /* struct str: the JSON text of an array of at most max labels */
	FIELD_KEY,     /* struct str; 1-128 printable ASCII characters without space: an idempotency key */
	FIELD_TIME,    /* int64_t, milliseconds since 1970 */
	FIELD_ARRAY,   /* const struct json *; min to max elements */
	FIELD_BOOLEAN, /* bool; min 1: only true makes sense */
	FIELD_TEXT,    /* struct str; min to max characters, none of them a control character but tab and newline */
	FIELD_ID,      /* struct str; id_valid */
	FIELD_IDS,     /* struct id_list; min to max of them */
	FIELD_CHOICE,  /* size_t: which of the words of the list that min names */
};

/* The lists of words to choose from. */
enum field_choice { CHOICE_CLAIMS };
/* Of CHOICE_CLAIMS. */
enum { CLAIMS_KEEP, CLAIMS_FORGET };

struct id_list {
	const struct str *ids;
	size_t count;
};

struct field {
	const char *name;
	enum field_kind kind;
	bool required;
	size_t offset; /* in the target struct; untouched if an optional member is absent */
	int64_t min;
	int64_t max;
};

/*
 * Decodes an object at `pointer` into target. False if there was any fault. Texts are copied into the faults' arena.
 */
bool fields_decode(const struct json *object, const char *pointer, const struct field *fields, size_t field_count,
		   void *target, struct faults *faults);

/*
 * Appends what was decoded: two targets give the same text only if they say the same. Not for FIELD_ARRAY, whose value
 * is the caller's to read.
 */
void fields_print(const struct field *fields, size_t field_count, const void *target, struct buf *out);

bool player_valid(struct str text);
bool label_valid(struct str text);
bool idempotency_key_valid(struct str text);
/* What a list of faults amounts to: unknown_field if that is all there is, else invalid_field. */
enum err faults_err(const struct faults *faults);

#endif
