/*
 * The master: forks the lanes' processes and the steward, replaces those that die, reloads on HUP, stops on TERM or
 * INT, and hands over to the binary that has replaced its own on USR2. It never touches Redis, MySQL or a request:
 * whatever its children meet cannot take it down.
 */
#ifndef BP_MASTER_MASTER_H
#define BP_MASTER_MASTER_H

#include "base/conf.h"

/* The program that the master is of. */
struct master_program {
	char *const *argv;
	/* Reads the configuration anew, for HUP: ERR_CONFIG with detail (CONF_DETAIL_SIZE bytes). */
	enum err (*load)(struct conf **ret_conf, char *detail);
};

/* Runs until it is told to stop; returns the exit status. Takes conf over; program is borrowed. */
int master_run(struct conf *conf, const struct master_program *program);

#endif
