/*
 * The steward: one process a host that does the chores no request should wait for. Today: the trust lease and the
 * directory of seasons. It is the only writer of both.
 */
#ifndef BP_STEWARD_STEWARD_H
#define BP_STEWARD_STEWARD_H

#include <signal.h>

#include "base/conf.h"
#include "base/uuid.h"
#include "cache/shared.h"
#include "service/directory.h"

enum { STEWARD_TICK_MS = 100 };

/* Runs until *stop; signals are let in only while it sleeps. Returns the exit status. */
int steward_run(const struct conf *conf, struct uuid host, struct cache_shared *cache, struct directory *directory,
		const volatile sig_atomic_t *stop, const sigset_t *wait_mask);

#endif
