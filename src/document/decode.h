/*
 * Decoding of JSON objects by tables: one struct field per member says its name, its reader, where the value goes and
 * whether it must be there. Every fault is added to a list with its JSON pointer, and decoding goes on, so that one
 * pass finds them all. A target is written only by a member without fault: fill it with what "absent" means before.
 *
 * Codes: unknown_field, required, wrong_type, out_of_range, bad_id, bad_time, no_texts, bad_language,
 * duplicate_language, empty_text, too_long, empty_list, too_many, no_such_policy.
 */
#ifndef BP_DOCUMENT_DECODE_H
#define BP_DOCUMENT_DECODE_H

#include "base/buf.h"
#include "base/fault.h"
#include "base/json.h"

enum { DECODE_TEXT_MAX = 500, DECODE_LANGUAGES_MAX = 64 };

/* Where in the document: a chain from the value at hand up to the root, whose parent is NULL. */
struct place {
	const struct place *parent;
	const char *name; /* of a member; NULL: an element of an array */
	size_t index;
};

static inline struct place
place_element(const struct place *array, size_t index)
{
	return (struct place){array, NULL, index};
}

struct decoder {
	struct arena *arena;   /* borrowed; owns what the readers copy */
	struct faults *faults; /* borrowed */
	struct buf pointer;    /* scratch */
};

struct field {
	const char *name;
	/* Checks value and writes it to target, or adds faults. */
	void (*read)(struct decoder *decoder, const struct place *at, const struct json *value,
		     const struct field *field, void *target);
	size_t offset; /* of the target in the struct that is filled */
	bool required;
	int64_t min; /* of an integer */
	int64_t max;
};

void decoder_init(struct decoder *decoder, struct arena *arena, struct faults *faults);
void decoder_release(struct decoder *decoder);
/* Adds a fault at a place. code is static. */
void decoder_fault(struct decoder *decoder, const struct place *at, const char *code, const char *detail, ...)
	__attribute__((format(printf, 4, 5)));
/* The same at a member of that place. */
void decoder_member_fault(struct decoder *decoder, const struct place *parent, const char *name, const char *code,
			  const char *detail);
/* The number of elements of an array; 0, and a fault, if there are fewer or more than there may be. */
uint32_t decoder_list_size(struct decoder *decoder, const struct place *at, const struct json *array, uint32_t min,
			   uint32_t max);
/* Faults so far, those that found no room in the list counted too. */
size_t decoder_fault_count(const struct decoder *decoder);

/* Reads an object's members into the struct at target; at most 32 fields. */
void decode_members(struct decoder *decoder, const struct place *at, const struct json *object,
		    const struct field *fields, size_t count, void *target);

/* An object that says by its member "policy" which members it has; they include that one. */
struct policy {
	const char *name;
	int value; /* what it stands for: the caller's */
	const struct field *fields;
	size_t field_count;
};

/*
 * Reads an object's members by the policy that it names, which is returned; NULL, and a fault, if there is none. names
 * are the policies there are, for people.
 */
const struct policy *decode_policy(struct decoder *decoder, const struct place *at, const struct json *object,
				   const struct policy *policies, size_t count, const char *names, void *target);

/* The readers; after each the type of its target. */
void decode_ignored(struct decoder *decoder, const struct place *at, const struct json *value,
		    const struct field *field, void *target); /* none */
void decode_id(struct decoder *decoder, const struct place *at, const struct json *value, const struct field *field,
	       void *target); /* const char *: an id_valid copy */
void decode_word(struct decoder *decoder, const struct place *at, const struct json *value, const struct field *field,
		 void *target); /* const char *: a copy of any string */
void decode_integer(struct decoder *decoder, const struct place *at, const struct json *value,
		    const struct field *field, void *target); /* int64_t: field->min to field->max */
void decode_boolean(struct decoder *decoder, const struct place *at, const struct json *value,
		    const struct field *field, void *target); /* bool */
void decode_time(struct decoder *decoder, const struct place *at, const struct json *value, const struct field *field,
		 void *target); /* int64_t: milliseconds since 1970 UTC */
void decode_texts(struct decoder *decoder, const struct place *at, const struct json *value, const struct field *field,
		  void *target); /* struct texts: those without fault, languages in lower case */
void decode_array(struct decoder *decoder, const struct place *at, const struct json *value, const struct field *field,
		  void *target); /* const struct json *: borrowed */
void decode_object(struct decoder *decoder, const struct place *at, const struct json *value, const struct field *field,
		   void *target); /* const struct json *: borrowed */

#endif
