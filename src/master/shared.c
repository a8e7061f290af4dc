/* What processes share: see shared.h. */
#include "master/shared.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "base/clock.h"

struct shared *
shared_map(uint32_t remembered_tokens)
{
	struct shared *shared =
		mmap(NULL, sizeof(struct shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (shared == MAP_FAILED)
		abort();
	shared->remembered = remembered_tokens ? remembered_new(remembered_tokens) : NULL;
	if (remembered_tokens && !shared->remembered)
		abort();
	shared->began_unix_ms = clock_unix_ms();
	shared->host = uuid_new(shared->began_unix_ms);
	return shared;
}
