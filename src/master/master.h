/*
 * The master: forks the lanes' processes and the steward, replaces those that die, reloads on HUP, stops on TERM or
 * INT. It never touches Redis, MySQL or a request: whatever its children meet cannot take it down.
 */
#ifndef BP_MASTER_MASTER_H
#define BP_MASTER_MASTER_H

#include "base/conf.h"

/*
 * Runs until it is told to stop; returns the exit status. Takes conf over. load reads the configuration anew, for HUP:
 * ERR_CONFIG with detail (CONF_DETAIL_SIZE bytes).
 */
int master_run(struct conf *conf, enum err (*load)(struct conf **ret_conf, char *detail));

#endif
