/* What processes share: see shared.h. */
#include "master/shared.h"

#include <stdlib.h>
#include <sys/mman.h>

struct shared *
shared_map(void)
{
	void *memory = mmap(NULL, sizeof(struct shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		abort();
	return memory;
}
