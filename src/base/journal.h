/*
 * The way to systemd's journal, without its library: a datagram an entry (base/log_form.h) to the socket on which it
 * listens.
 */
#ifndef BP_BASE_JOURNAL_H
#define BP_BASE_JOURNAL_H

#include "base/str.h"

#define JOURNAL_SOCKET "/run/systemd/journal/socket"

/* Is this descriptor what the journal has given us (JOURNAL_STREAM in systemd.exec(5))? */
bool journal_holds(int fd);
/* A socket to send by, -1 if there can be none. It may be shared by processes. */
int journal_open(void);
/* Never waits. False: the journal has not got it. */
bool journal_send(int fd, const char *path, struct str entry);

#endif
