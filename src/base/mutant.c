/* Mutants: see mutant.h. Not part of a build without --enable-mutants. */
#include "base/mutant.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[MUTANT_COUNT] = {
#define X(name, text) [MUTANT_##name] = text,
	MUTANT_TABLE(X)
#undef X
};

/* A name that is none must not pass for a service without faults. */
static int
chosen(void)
{
	const char *name = getenv("BATTLEPASS_MUTANT");

	if (!name || !name[0])
		return MUTANT_COUNT;
	for (int i = 0; i < MUTANT_COUNT; i++)
		if (strcmp(names[i], name) == 0)
			return i;
	fprintf(stderr, "there is no mutant %s\n", name);
	abort();
}

bool
mutant(enum mutant which)
{
	static int in_force = -1;

	if (in_force < 0)
		in_force = chosen();
	return in_force == (int)which;
}
