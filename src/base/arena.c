/* Arena: see arena.h. A singly linked list of blocks; the newest is filled first. */
#include "base/arena.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { BLOCK_SIZE = 64 * 1024, ALIGNMENT = alignof(max_align_t) };

struct arena_block {
	struct arena_block *next;
	size_t size;
	size_t used;
	alignas(max_align_t) char bytes[];
};

void
arena_init(struct arena *arena)
{
	arena->first = NULL;
}

void
arena_release(struct arena *arena)
{
	while (arena->first) {
		struct arena_block *block = arena->first;

		arena->first = block->next;
		free(block);
	}
}

void
arena_reset(struct arena *arena)
{
	struct arena_block *block = arena->first;
	size_t kept = 0;

	arena->first = NULL;
	while (block) {
		struct arena_block *next = block->next;

		if (kept + block->size <= ARENA_KEEP) {
			kept += block->size;
			block->used = 0;
			block->next = arena->first;
			arena->first = block;
		} else {
			free(block);
		}
		block = next;
	}
}

/* A block kept from an earlier turn becomes the first, when one is large enough. */
static struct arena_block *
take_kept_block(struct arena *arena, size_t size)
{
	for (struct arena_block **at = &arena->first; *at; at = &(*at)->next) {
		struct arena_block *block = *at;

		if (block->used != 0 || block->size < size)
			continue;
		*at = block->next;
		block->next = arena->first;
		arena->first = block;
		return block;
	}
	return NULL;
}

static struct arena_block *
add_block(struct arena *arena, size_t size)
{
	size_t capacity = size > BLOCK_SIZE ? size : BLOCK_SIZE;
	struct arena_block *block;

	if (capacity > SIZE_MAX - sizeof(*block))
		abort();
	block = malloc(sizeof(*block) + capacity);
	if (!block)
		abort();
	block->size = capacity;
	block->used = 0;
	block->next = arena->first;
	arena->first = block;
	return block;
}

static struct arena_block *
block_with_room(struct arena *arena, size_t size)
{
	struct arena_block *block = arena->first;

	if (block && block->size - block->used >= size)
		return block;
	block = take_kept_block(arena, size);
	return block ? block : add_block(arena, size);
}

void *
arena_alloc(struct arena *arena, size_t size)
{
	if (size > SIZE_MAX - ALIGNMENT)
		abort();
	size = (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;

	struct arena_block *block = block_with_room(arena, size);
	void *memory = block->bytes + block->used;

	block->used += size;
	return memset(memory, 0, size);
}

void *
arena_array(struct arena *arena, size_t count, size_t size)
{
	size_t total;

	if (__builtin_mul_overflow(count, size, &total))
		abort();
	return arena_alloc(arena, total);
}

char *
arena_copy(struct arena *arena, struct str text)
{
	char *copy = arena_alloc(arena, text.len + 1);

	if (text.len)
		memcpy(copy, text.ptr, text.len);
	return copy;
}

struct str
arena_str(struct arena *arena, struct str text)
{
	return (struct str){arena_copy(arena, text), text.len};
}

struct str
arena_format(struct arena *arena, const char *format, ...)
{
	char shorter[256]; /* most are, and then one pass does */
	va_list args;
	va_list again;

	va_start(args, format);
	va_copy(again, args);
	int length = vsnprintf(shorter, sizeof(shorter), format, args);

	va_end(args);
	if (length < 0)
		abort();
	char *text = arena_alloc(arena, (size_t)length + 1);

	if ((size_t)length < sizeof(shorter))
		memcpy(text, shorter, (size_t)length);
	else
		vsnprintf(text, (size_t)length + 1, format, again);
	va_end(again);
	return (struct str){text, (size_t)length};
}
