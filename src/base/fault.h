/*
 * A list of faults found in one JSON document, each at its JSON pointer (RFC 6901). The same list becomes
 * `errors[{pointer, code, detail}]` of a problem+json and the lines of `battlepassctl season validate`.
 */
#ifndef BP_BASE_FAULT_H
#define BP_BASE_FAULT_H

#include "base/arena.h"

enum { FAULTS_MAX = 100 };

struct fault {
	const char *pointer; /* "" is the whole document */
	const char *code;    /* machine code, snake_case, static */
	const char *detail;  /* one sentence for people */
};

struct faults {
	struct arena *arena; /* borrowed; owns the texts */
	struct fault *items; /* in the arena, from the first fault on */
	size_t count;
	size_t dropped; /* found beyond FAULTS_MAX */
};

void faults_init(struct faults *faults, struct arena *arena);
/* Copies pointer and the formatted detail into the arena; code must be static. */
void faults_add(struct faults *faults, const char *pointer, const char *code, const char *detail, ...)
	__attribute__((format(printf, 4, 5)));

#endif
