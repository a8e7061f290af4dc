/* FastCGI connections: see fcgi.h. */
#include "lane/fcgi.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <fcgiapp.h>

enum {
	PEER_TIMEOUT_S = 2,  /* nginx sends whole requests and reads whole answers */
	DRAIN_MAX = 4 << 20, /* of a body that is too large; more closes the connection */
};

struct fcgi {
	FCGX_Request request;
	bool last; /* the peer does not want the connection kept, or it cannot be kept */
};

void
fcgi_library_init(void)
{
	if (FCGX_Init() != 0)
		abort();
}

struct fcgi *
fcgi_new(void)
{
	struct fcgi *fcgi = calloc(1, sizeof(*fcgi));

	if (!fcgi)
		abort();
	fcgi->request.ipcFd = -1;
	return fcgi;
}

void
fcgi_free(struct fcgi *fcgi)
{
	if (!fcgi)
		return;
	fcgi_close(fcgi);
	free(fcgi);
}

int
fcgi_accept(int listen_fd)
{
	int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
	struct timeval limit = {.tv_sec = PEER_TIMEOUT_S};

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	return fd;
}

/* Without a listening socket libfcgi cannot accept by itself: when this connection fails, so does FCGX_Accept_r. */
void
fcgi_open(struct fcgi *fcgi, int fd)
{
	FCGX_InitRequest(&fcgi->request, -1, 0);
	fcgi->request.ipcFd = fd;
	fcgi->last = false;
}

enum peer_state
fcgi_look(const struct fcgi *fcgi)
{
	struct pollfd peer = {.fd = fcgi->request.ipcFd, .events = POLLIN | POLLRDHUP};

	if (poll(&peer, 1, 0) <= 0)
		return PEER_SILENT;
	return peer.revents & (POLLRDHUP | POLLHUP | POLLERR) ? PEER_GONE : PEER_HAS_SENT;
}

bool
fcgi_left_request(const struct fcgi *fcgi)
{
	char first;

	return recv(fcgi->request.ipcFd, &first, sizeof(first), MSG_PEEK | MSG_DONTWAIT) > 0;
}

void
fcgi_close(struct fcgi *fcgi)
{
	if (fcgi->request.ipcFd >= 0)
		close(fcgi->request.ipcFd);
	fcgi->request.ipcFd = -1;
	fcgi->request.keepConnection = 1;
	FCGX_Free(&fcgi->request, 0);
}

/* The parameters that nginx passes and where they go. */
static const struct {
	struct str name;
	size_t offset;
} parameters[] = {
#define PARAMETER(text, member)                                                                                        \
	{                                                                                                              \
		{text "=", sizeof(text)}, offsetof(struct request, member)                                             \
	}
	PARAMETER("REQUEST_METHOD", method_text),
	PARAMETER("REQUEST_URI", target),
	PARAMETER("REQUEST_ARRIVED", arrived),
	PARAMETER("REQUEST_ID", request_id), /* of nginx, or the client's that nginx has checked */
	PARAMETER("HTTP_X_REQUEST_ID", request_id),
	PARAMETER("CONTENT_TYPE", content_type),
	PARAMETER("CONTENT_LENGTH", content_length),
	PARAMETER("HTTP_AUTHORIZATION", authorization),
	PARAMETER("HTTP_IF_NONE_MATCH", if_none_match),
	PARAMETER("HTTP_IDEMPOTENCY_KEY", idempotency_key),
	PARAMETER("HTTP_ACCEPT", accept),
	PARAMETER("HTTP_ACCEPT_LANGUAGE", accept_language),
	PARAMETER("HTTP_TRACEPARENT", traceparent),
#undef PARAMETER
};

static void
take_parameter(struct request *request, struct arena *arena, struct str parameter)
{
	if (str_equal(parameter, STR("REQUEST_SCOPE=internal")))
		request->internal = true;
	for (size_t i = 0; i < sizeof(parameters) / sizeof(parameters[0]); i++) {
		struct str name = parameters[i].name;

		if (!str_starts_with(parameter, name))
			continue;
		struct str value = {parameter.ptr + name.len, parameter.len - name.len};

		*(struct str *)((char *)request + parameters[i].offset) = arena_str(arena, value);
		return;
	}
}

/* Reads and drops what is left; false if it does not end. */
static bool
drain(FCGX_Stream *in)
{
	char scrap[8192];
	size_t dropped = 0;

	while (dropped < DRAIN_MAX) {
		int got = FCGX_GetStr(scrap, sizeof(scrap), in);

		if (got < (int)sizeof(scrap))
			return true;
		dropped += (size_t)got;
	}
	return false;
}

/* Reads the body to its end. False: it did not end, and the connection must not be used again. */
static bool
receive_body(struct fcgi *fcgi, struct arena *arena, struct request *request)
{
	static char chunk[16384]; /* of the process: most requests have no body and need no memory for it */
	FCGX_Stream *in = fcgi->request.in;
	struct buf body;
	bool ended = true;
	int got;

	buf_init(&body);
	do {
		got = FCGX_GetStr(chunk, sizeof(chunk), in);
		buf_bytes(&body, chunk, got > 0 ? (size_t)got : 0);
	} while (got == (int)sizeof(chunk) && body.len <= REQUEST_BODY_MAX);
	if (body.len > REQUEST_BODY_MAX) {
		request->body_too_large = true;
		ended = got < (int)sizeof(chunk) || drain(in);
	} else if (body.len) {
		request->body = arena_str(arena, buf_view(&body));
	}
	buf_release(&body);
	return ended && FCGX_GetError(in) == 0;
}

/* A peer that went away in the middle of a body has not made its request. */
static bool
is_whole(const struct request *request)
{
	char text[32];

	if (request->content_length.len == 0 || request->body_too_large)
		return true;
	snprintf(text, sizeof(text), "%zu", request->body.len);
	return str_equal(request->content_length, str_from(text));
}

bool
fcgi_receive(struct fcgi *fcgi, struct arena *arena, struct request *request)
{
	/* Set, or the first call would close what was accepted by hand; libfcgi then sets it from the request. */
	fcgi->request.keepConnection = 1;
	if (FCGX_Accept_r(&fcgi->request) != 0) {
		fcgi_close(fcgi);
		return false;
	}
	fcgi->last = !fcgi->request.keepConnection;
	memset(request, 0, sizeof(*request));
	for (char **parameter = fcgi->request.envp; *parameter; parameter++)
		take_parameter(request, arena, str_from(*parameter));
	if (!receive_body(fcgi, arena, request))
		fcgi->last = true;
	if (is_whole(request))
		return true;
	fcgi_close(fcgi);
	return false;
}

static void
put(FCGX_Stream *out, struct str text)
{
	if (text.len)
		FCGX_PutStr(text.ptr, (int)text.len, out);
}

static void
put_response(FCGX_Stream *out, struct response *response)
{
	struct buf *headers = &response->headers;

	if (response->lane.len) {
		put(out, STR("X-Accel-Redirect: @"));
		put(out, response->lane);
		put(out, STR("\r\n\r\n"));
		return;
	}
	buf_literal(headers, "Status: ");
	buf_u64(headers, (uint64_t)response->status);
	if (response->status != 304) {
		buf_literal(headers, "\r\nContent-Length: ");
		buf_u64(headers, response->body.len);
	}
	buf_literal(headers, "\r\n\r\n");
	put(out, buf_view(headers));
	put(out, response->body);
}

bool
fcgi_answer(struct fcgi *fcgi, struct response *response)
{
	put_response(fcgi->request.out, response);
	fcgi->last |= FCGX_GetError(fcgi->request.out) != 0;
	/* Ours is the closing: libfcgi's waits for the peer. */
	fcgi->request.keepConnection = 1;
	FCGX_Finish_r(&fcgi->request);
	if (fcgi->last || fcgi->request.ipcFd < 0) {
		fcgi_close(fcgi);
		return false;
	}
	return true;
}
