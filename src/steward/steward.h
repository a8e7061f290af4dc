/*
 * The steward: one process a host that does the chores no request should wait for. Today: the trust lease, the
 * directory of seasons and the rollout flags. It is the only writer of all three.
 */
#ifndef BP_STEWARD_STEWARD_H
#define BP_STEWARD_STEWARD_H

#include <signal.h>

#include "base/conf.h"
#include "base/uuid.h"
#include "cache/shared.h"
#include "service/directory.h"
#include "service/flags.h"

enum { STEWARD_TICK_MS = 100 };

/* Runs until *stop; signals are let in only while it sleeps. Returns the exit status. */
int steward_run(const struct conf *conf, struct uuid host, struct cache_shared *cache, struct directory *directory,
		struct flags *flags, const volatile sig_atomic_t *stop, const sigset_t *wait_mask);

#endif
