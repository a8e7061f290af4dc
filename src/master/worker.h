/*
 * What a child of the master is: a lane's process, the steward or the courier. worker_run() is where a child begins; it
 * sets up the rooms (store, cache, tokens) after fork, and never returns to the master's code.
 */
#ifndef BP_MASTER_WORKER_H
#define BP_MASTER_WORKER_H

#include "base/conf.h"
#include "master/shared.h"

/* Children are of these kinds; one table in worker.c says how each is run. */
enum worker_kind {
	WORKER_READ,
	WORKER_STORE,
	WORKER_PURCHASE,
	WORKER_ADMIN,
	WORKER_STEWARD,
	WORKER_COURIER,
	WORKER_KIND_COUNT
};

const char *worker_name(enum worker_kind kind);
/* Lanes have a listening socket of their name; steward and courier have none. */
bool worker_has_socket(enum worker_kind kind);
/* How many processes the configuration asks for. */
size_t worker_count(enum worker_kind kind, const struct conf *conf);

/* Returns the exit status for the process. The signals the master uses are blocked on entry. */
int worker_run(enum worker_kind kind, const struct conf *conf, struct shared *shared, unsigned slot, int listen_fd);

/*
 * Reads the key set into the configuration, so that every process has that one until the next: what becomes of the file
 * meanwhile must not keep a process from being replaced, nor have two sets in force. Says why not on the log.
 */
bool worker_take_keys(struct conf *conf);

/*
 * Can a daemon with this configuration, and its keys, work? Checks them and, where the database answers, the schema.
 * Runs in a child of its own, because the master never touches a client library. Says why not on the log.
 */
bool worker_preflight(const struct conf *conf);

#endif
