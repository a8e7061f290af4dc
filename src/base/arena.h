/*
 * An arena: memory for one turn, given back all at once by arena_reset(). Allocation never fails: without memory the
 * process ends (the master replaces it, and a turn is all that is lost). Blocks are kept over resets up to
 * ARENA_KEEP bytes, so that a process in its stride allocates nothing.
 */
#ifndef BP_BASE_ARENA_H
#define BP_BASE_ARENA_H

#include <stddef.h>

#include "base/str.h"

enum { ARENA_KEEP = 1 << 20 };

struct arena {
	struct arena_block *first; /* the block in use, then older ones */
};

void arena_init(struct arena *arena);
void arena_release(struct arena *arena);
/* Invalidates everything handed out since the last reset. */
void arena_reset(struct arena *arena);
/* size bytes aligned for any type, zeroed. */
void *arena_alloc(struct arena *arena, size_t size);
/* Room for count things of size bytes, zeroed; ends the process when count * size overflows. */
void *arena_array(struct arena *arena, size_t count, size_t size);
/* A NUL-terminated copy. */
char *arena_copy(struct arena *arena, struct str text);
/* The same as a str. */
struct str arena_str(struct arena *arena, struct str text);
struct str arena_format(struct arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define ARENA_NEW(arena, type)          ((type *)arena_alloc((arena), sizeof(type)))
#define ARENA_ARRAY(arena, count, type) ((type *)arena_array((arena), (count), sizeof(type)))

#endif
