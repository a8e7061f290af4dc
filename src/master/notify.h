/*
 * The service manager: the sockets that it passes, and what it is told. See sd_listen_fds(3), sd_notify(3). Where there
 * is none, nothing is passed and nobody is told. The one file that knows libsystemd.
 */
#ifndef BP_MASTER_NOTIFY_H
#define BP_MASTER_NOTIFY_H

#include <stdint.h>

/*
 * Takes what was passed to this process; once, before notify_passed_socket(). What is no listening Unix stream socket
 * is refused (logged).
 */
void notify_take_sockets(void);
/* The socket of that name (FileDescriptorName=), non-blocking, for the caller to keep; -1: there is none. */
int notify_passed_socket(const char *name);

void notify_ready(void);
void notify_reloading(void);
void notify_stopping(void);

/* How often notify_alive() is to be called at least; 0: nobody watches. Called more often, it does not say so each time. */
int64_t notify_alive_every_ms(void);
void notify_alive(void);

#endif
