/*
 * A lane's process: gathers the requests that wait, answers them in one turn, again and again, until it is told to
 * stop.
 *
 * Kept connections stay open and are watched by epoll (the read lane: nginx keeps a pool of them). In all other lanes a
 * connection is for one request, so that any free process takes what waits.
 *
 * Work is begun only for a client that waits for it, and that will have waited no longer than the lane answers within:
 * what came in earlier is refused as `overloaded`, and what nginx has closed is dropped.
 */
#ifndef BP_LANE_LANE_H
#define BP_LANE_LANE_H

#include <signal.h>

#include "api/api.h"

struct lane_rules {
	const char *name;
	enum lane lane;
	bool keeps_connections;
	size_t turn;              /* most requests answered together */
	int64_t answer_within_ms; /* what has waited longer is refused unseen */
	int64_t began_unix_ms;    /* the service; what came in before that is not refused so */
};

enum { LANE_CONNECTIONS_MAX = 4096 };

/*
 * Runs until *stop is set by a signal handler; the signals must be blocked by the caller, and are let in where the
 * process waits, and between two turns now and then where it never does. wait_mask: the signal mask while waiting.
 * Returns 0, or -1 when the socket cannot be watched.
 */
int lane_run(const struct lane_rules *rules, const struct api *api, int listen_fd, const volatile sig_atomic_t *stop,
	     const sigset_t *wait_mask);

#endif
