/*
 * From one binary to the next: the master executes the new one in its own place. It stays the same process, so its
 * children go on meanwhile and the new binary buries them; their sockets are never closed. What the new binary has to
 * know travels in one environment variable: descriptors and process ids, written by us and read by us alone.
 */
#ifndef BP_MASTER_HANDOVER_H
#define BP_MASTER_HANDOVER_H

#include <sys/types.h>

#include "base/metrics.h"
#include "master/worker.h"

struct lane_socket {
	int fd;      /* -1: this kind has none */
	bool passed; /* the service manager's: its name in the file system is not ours to take away */
};

struct handover {
	int pid_fd; /* the pid file, with its lock */
	struct lane_socket sockets[WORKER_KIND_COUNT];
	struct {
		pid_t pid;
		enum worker_kind kind;
	} children[METRICS_SLOTS];
	size_t child_count;
};

/*
 * What the binary before this one left. ERR_NOT_FOUND: nothing, this is a fresh start; ERR_CONFIG: what is there makes
 * no sense.
 */
enum err handover_take(struct handover *ret_handover);

/* Would the binary at path, with these arguments, accept the configuration and the schema? Why not is logged. */
bool handover_is_accepted(const char *path, char *const argv[]);

/* Executes it. Returns only when that failed (logged), with everything as it was. */
void handover_execute(const struct handover *handover, const char *path, char *const argv[]);

#endif
