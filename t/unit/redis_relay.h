/*
 * The relay before a Redis: a process of its own. It answers orders of two bytes (an order and an argument), each with
 * an unsigned number. See redis_server.h for what the orders to requests are.
 */
#ifndef BP_T_UNIT_REDIS_RELAY_H
#define BP_T_UNIT_REDIS_RELAY_H

#include <sys/types.h>

enum { RELAY_RELEASE = 'r', RELAY_FLUSH = 'f', RELAY_RESET = 'x', RELAY_COUNT = 'c' };

/* Returns the end of the orders, -1 with errno; the process ends with the caller. */
int redis_relay_start(const char *socket_path, const char *redis_path, pid_t *ret_pid);

#endif
