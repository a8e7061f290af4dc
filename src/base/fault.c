/* Fault lists: see fault.h. */
#include "base/fault.h"

#include <stdarg.h>
#include <stdio.h>

void
faults_init(struct faults *faults, struct arena *arena)
{
	faults->arena = arena;
	faults->items = NULL;
	faults->count = 0;
	faults->dropped = 0;
}

/* Takes the last character away: one that was cut in two would make the answer no JSON. */
static void
cut_character(char *text)
{
	size_t len = strlen(text);

	while (len > 0 && ((unsigned char)text[len - 1] & 0xc0) == 0x80)
		len--;
	text[len > 0 ? len - 1 : 0] = '\0';
}

void
faults_add(struct faults *faults, const char *pointer, const char *code, const char *detail, ...)
{
	char text[512];
	va_list args;

	if (faults->count == FAULTS_MAX) {
		faults->dropped++;
		return;
	}
	if (!faults->items)
		faults->items = ARENA_ARRAY(faults->arena, FAULTS_MAX, struct fault);
	va_start(args, detail);
	if (vsnprintf(text, sizeof(text), detail, args) >= (int)sizeof(text))
		cut_character(text);
	va_end(args);
	faults->items[faults->count++] = (struct fault){
		.pointer = arena_copy(faults->arena, str_from(pointer)),
		.code = code,
		.detail = arena_copy(faults->arena, str_from(text)),
	};
}
