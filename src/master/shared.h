/*
 * All that crosses fork() and stays shared: one mapping, made by the master before the first child. Nothing here
 * survives the master.
 */
#ifndef BP_MASTER_SHARED_H
#define BP_MASTER_SHARED_H

#include "base/metrics.h"
#include "cache/lease.h"
#include "service/directory.h"

struct shared {
	struct lease lease;         /* written by the steward */
	struct directory directory; /* written by the steward */
	struct metrics metrics;     /* a slot a process */
};

/* Ends the process when there is no memory. */
struct shared *shared_map(void);

#endif
