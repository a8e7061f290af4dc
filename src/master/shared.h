/*
 * All that crosses fork() and stays shared, made by the master before the first child. Nothing here survives the
 * master.
 */
#ifndef BP_MASTER_SHARED_H
#define BP_MASTER_SHARED_H

#include "auth/remembered.h"
#include "base/metrics.h"
#include "base/recent.h"
#include "base/uuid.h"
#include "cache/shared.h"
#include "service/directory.h"
#include "service/flags.h"

struct shared {
	/* Of this master's life; written by the master before the first child. */
	struct uuid host;
	int64_t began_unix_ms;
	struct cache_shared cache;
	struct directory directory; /* written by the steward */
	struct flags flags;         /* written by the steward */
	struct recent recent;       /* written by whoever confirms a write */
	struct metrics metrics;     /* a slot a process */
	/* A mapping of its own, at the same address in all children; NULL: none are remembered. */
	struct remembered *remembered; /* written by whoever verifies a token */
};

/* Ends the process when there is no memory. */
struct shared *shared_map(uint32_t remembered_tokens);

#endif
