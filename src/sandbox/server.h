/*
 * The sandbox's HTTP server: a listening socket on loopback, a thread a connection, one handler for every request. The
 * only file that knows libmicrohttpd is server.c. The socket can be closed for a while, as if the service were down.
 */
#ifndef BP_SANDBOX_SERVER_H
#define BP_SANDBOX_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum { SERVER_BODY_MAX = 65536, SERVER_CONNECTIONS_MAX = 512 };

struct server;

/* Texts are NULL when the request has no such header; all is borrowed for the time of the call. */
struct server_request {
	const char *method;
	const char *path;
	const char *content_type;
	const char *idempotency_key;
	const char *traceparent;
	struct str body;
	bool body_too_large; /* more than SERVER_BODY_MAX; the body is empty then */
};

enum server_end {
	SERVER_WHOLE,
	SERVER_CUT, /* half of the body, and the connection is closed */
	SERVER_NONE /* the connection is closed without an answer */
};

struct server_answer {
	unsigned status;
	struct buf body;
	const char *content_type; /* static */
	const char *location;     /* static; NULL: none */
	const char *allow;        /* static; NULL: none */
	unsigned retry_after_s;   /* 0: none */
	enum server_end end;
};

/* Called by many threads at once; may wait as long as it likes. */
typedef void server_handler(void *context, const struct server_request *request, struct server_answer *answer);

/*
 * Listens on address, "A.B.C.D:PORT" (port 0: any free one). Says what is wrong in the log. Call it before any thread is
 * made: it blocks the signals that server_run() waits for.
 */
enum err server_open(const char *address, server_handler *handler, void *context, struct server **ret_server);
unsigned server_port(const struct server *server);
/* Serves until TERM or INT. What was taken is answered first, without the rest of its waiting. */
void server_run(struct server *server);
void server_close(struct server *server);

/* For handlers. Connections are refused from now on for ms milliseconds; 0: they are taken again. */
void server_go_down(struct server *server, int64_t ms);
bool server_is_down(struct server *server);
/* Waits that long, or until the server ends. */
void server_wait(struct server *server, int64_t ms);

#endif
