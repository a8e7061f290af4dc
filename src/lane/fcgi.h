/*
 * FastCGI connections by libfcgi: fcgi.c is the only file that includes fcgiapp.h. Connections are accepted by hand,
 * because libfcgi's own accept loses signals and its close waits for the peer; and a request's body is always read to
 * its end or its connection closed, because libfcgi would take what is left of it for the next request.
 */
#ifndef BP_LANE_FCGI_H
#define BP_LANE_FCGI_H

#include "base/arena.h"
#include "http/request.h"
#include "http/response.h"

struct fcgi;

/* Once a process, before anything else here. Installs signal handlers of its own: set yours after it. */
void fcgi_library_init(void);

/* A place for connections; it is empty. */
struct fcgi *fcgi_new(void);
void fcgi_free(struct fcgi *fcgi);

/* Accepts a waiting connection; -1 with errno (EAGAIN: none waits). Blocking, with time limits on both directions. */
int fcgi_accept(int listen_fd);
/* Puts a connection into the place. */
void fcgi_open(struct fcgi *fcgi, int fd);
/* What receiving would meet: it would wait; not wait; or the peer has closed, and nobody would hear the answer. */
enum peer_state { PEER_SILENT, PEER_HAS_SENT, PEER_GONE };
enum peer_state fcgi_look(const struct fcgi *fcgi);
/* Of a peer that has gone: did it send something before? */
bool fcgi_left_request(const struct fcgi *fcgi);
/* Reads one whole request; texts are copied into the arena. False: there is none and the connection is closed. */
bool fcgi_receive(struct fcgi *fcgi, struct arena *arena, struct request *request);
/* Sends the answer and ends the request. False: the connection is closed now. */
bool fcgi_answer(struct fcgi *fcgi, struct response *response);
void fcgi_close(struct fcgi *fcgi);

#endif
