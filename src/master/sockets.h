/*
 * The run folder: the lanes' listening sockets and the pid file, whose lock makes sure that one master owns them.
 */
#ifndef BP_MASTER_SOCKETS_H
#define BP_MASTER_SOCKETS_H

#include "base/err.h"

/* Locks and writes <run_dir>/battlepassd.pid. ERR_SYSTEM (logged), also when another master has it. */
enum err pid_file_take(const char *run_dir, int *ret_fd);
void pid_file_drop(const char *run_dir, int fd);

/* Listens on <run_dir>/<name>.sock, non-blocking, mode 0660, backlog 4096. A file left over is replaced. ERR_SYSTEM
 * (logged). */
enum err lane_socket_open(const char *run_dir, const char *name, int *ret_fd);
void lane_socket_close(const char *run_dir, const char *name, int fd);

#endif
