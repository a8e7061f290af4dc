/*
 * The master's children: which processes run, how each ended, and when the next of its kind is started. Those of the
 * binary before this one (handover.h) are former ones: they count for nothing, and are stopped and buried like others.
 */
#ifndef BP_MASTER_CHILDREN_H
#define BP_MASTER_CHILDREN_H

#include "base/conf.h"
#include "master/handover.h"
#include "master/shared.h"
#include "master/worker.h"

enum { CHILDREN_MAX = METRICS_SLOTS - 1 }; /* the last slot is the master's own */

struct child {
	pid_t pid; /* 0: the place is free */
	enum worker_kind kind;
	bool stopping;
	bool former;           /* of the binary before this one */
	int64_t started_at_ms; /* boot time, as all times here */
	int64_t kill_at_ms;
};

struct kind_state {
	struct lane_socket socket;
	int64_t delay_ms;
	int64_t start_at_ms; /* not before */
};

/* A child's place is its slot of the metrics. */
struct children {
	const struct conf *conf;
	struct shared *shared;
	struct kind_state kinds[WORKER_KIND_COUNT];
	struct child places[CHILDREN_MAX];
};

/* Brings each kind up to its number; lanes: those, too. */
void children_start_missing(struct children *children, bool lanes);
/* A full set by the configuration as it is now, lanes only where they have begun; then those of before are asked to
 * stop. */
void children_replace(struct children *children, bool lanes);
/*
 * Asks ours to stop, or the former ones; to be called again until none is left. The steward goes last: a write under
 * way needs the lease that it gives.
 */
void children_stop(struct children *children, bool former);
/* Kills who was asked to stop and did not in time. */
void children_kill_late(struct children *children);
/* Takes note of all that have ended. */
void children_reap(struct children *children);

/* Does any run; former_only: of those? */
bool children_run(const struct children *children, bool former_only);
/* Is anything of this to be done soon without a signal? */
bool children_wait(const struct children *children);

/* From one binary to the next. */
void children_hand_over(const struct children *children, struct handover *handover);
void children_take_over(struct children *children, const struct handover *handover);

#endif
