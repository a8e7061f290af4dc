/*
 * The sandbox's HTTP server: see server.h. libmicrohttpd gets its connections from a loop of ours, because its own
 * listening socket cannot be closed and opened again. It must never answer by itself what a handler should answer.
 */
#include "sandbox/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <microhttpd.h>

#include "base/clock.h"
#include "base/log.h"

enum {
	BACKLOG = 512,
	IDLE_TIMEOUT_S = 60,
	THREAD_STACK = 256 * 1024,
	POLL_MS = 20, /* while it is down, or while there is no descriptor left */
	PIECE = 16384,
};

struct server {
	struct MHD_Daemon *daemon;
	server_handler *handler;
	void *context;
	struct sockaddr_in address;
	sigset_t waiting_mask; /* the signals as they are while it waits for connections */
	pthread_mutex_t lock;
	pthread_cond_t stop;
	/* Under the lock. */
	int listening; /* -1: closed */
	int64_t down_until_boot_ms;
	bool stopping;
};

/* A request on its way in. */
struct exchange {
	struct buf body;
	bool too_large;
};

/* An answer of which only half will be sent. */
struct cut {
	struct buf body;
};

static volatile sig_atomic_t stop_asked;

static void
on_stop(int signal_number)
{
	(void)signal_number;
	stop_asked = 1;
}

/* --- one request --- */

static void
take_body(struct exchange *exchange, const char *data, size_t size)
{
	if (exchange->too_large || exchange->body.len + size > SERVER_BODY_MAX) {
		exchange->too_large = true;
		buf_clear(&exchange->body);
	} else {
		buf_bytes(&exchange->body, data, size);
	}
}

static ssize_t
read_half(void *context, uint64_t at, char *to, size_t room)
{
	struct cut *cut = context;
	size_t half = cut->body.len / 2;
	size_t size = half - (size_t)at < room ? half - (size_t)at : room;

	if (size == 0)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	memcpy(to, cut->body.data + at, size);
	return (ssize_t)size;
}

static void
free_cut(void *context)
{
	struct cut *cut = context;

	buf_release(&cut->body);
	free(cut);
}

/* Takes the answer's body. */
static struct MHD_Response *
make_cut_response(struct server_answer *answer)
{
	struct cut *cut = calloc(1, sizeof(*cut));

	if (!cut)
		abort();
	cut->body = answer->body;
	buf_init(&answer->body);
	return MHD_create_response_from_callback(cut->body.len, PIECE, read_half, cut, free_cut);
}

static void
add_headers(struct MHD_Response *response, const struct server_answer *answer)
{
	char seconds[16];

	MHD_add_response_header(response, "Content-Type", answer->content_type);
	if (answer->location)
		MHD_add_response_header(response, "Location", answer->location);
	if (answer->allow)
		MHD_add_response_header(response, "Allow", answer->allow);
	if (answer->retry_after_s) {
		snprintf(seconds, sizeof(seconds), "%u", answer->retry_after_s);
		MHD_add_response_header(response, "Retry-After", seconds);
	}
}

static enum MHD_Result
send_answer(struct MHD_Connection *connection, struct server_answer *answer)
{
	struct MHD_Response *response;
	enum MHD_Result result;

	if (answer->end == SERVER_NONE)
		return MHD_NO;
	if (answer->end == SERVER_CUT)
		response = make_cut_response(answer);
	else
		response = MHD_create_response_from_buffer(answer->body.len, answer->body.data, MHD_RESPMEM_MUST_COPY);
	if (!response)
		return MHD_NO;
	add_headers(response, answer);
	result = MHD_queue_response(connection, answer->status, response);
	MHD_destroy_response(response);
	return result;
}

static enum MHD_Result
serve(struct server *server, struct MHD_Connection *connection, const struct exchange *exchange, const char *method,
      const char *path)
{
	const struct server_request request = {
		.method = method,
		.path = path,
		.content_type = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Content-Type"),
		.idempotency_key = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Idempotency-Key"),
		.traceparent = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "traceparent"),
		.body = buf_view(&exchange->body),
		.body_too_large = exchange->too_large,
	};
	struct server_answer answer = {.status = 200, .content_type = "application/json"};
	enum MHD_Result result;

	buf_init(&answer.body);
	server->handler(server->context, &request, &answer);
	result = send_answer(connection, &answer);
	buf_release(&answer.body);
	return result;
}

/* libmicrohttpd calls it when the head is there, for each piece of the body, and at the end. */
static enum MHD_Result
on_request(void *context, struct MHD_Connection *connection, const char *path, const char *method, const char *version,
	   const char *data, size_t *size, void **state)
{
	struct exchange *exchange = *state;

	(void)version;
	if (!exchange) {
		*state = exchange = calloc(1, sizeof(*exchange));
		if (!exchange)
			abort();
		buf_init(&exchange->body);
		return MHD_YES;
	}
	if (*size == 0)
		return serve(context, connection, exchange, method, path);
	take_body(exchange, data, *size);
	*size = 0;
	return MHD_YES;
}

static void
on_completed(void *context, struct MHD_Connection *connection, void **state, enum MHD_RequestTerminationCode code)
{
	struct exchange *exchange = *state;

	(void)context;
	(void)connection;
	(void)code;
	if (exchange)
		buf_release(&exchange->body);
	free(exchange);
	*state = NULL;
}

/* --- the listening socket --- */

static bool
parse_address(const char *text, struct sockaddr_in *ret_address)
{
	char host[INET_ADDRSTRLEN];
	struct sockaddr_in address = {.sin_family = AF_INET};
	const char *colon = strrchr(text, ':');
	char *end;

	if (!colon || (size_t)(colon - text) >= sizeof(host))
		return false;
	memcpy(host, text, (size_t)(colon - text));
	host[colon - text] = '\0';
	unsigned long port = strtoul(colon + 1, &end, 10);

	if (colon[1] < '0' || colon[1] > '9' || *end || port > 65535 ||
	    inet_pton(AF_INET, host, &address.sin_addr) != 1)
		return false;
	address.sin_port = htons((uint16_t)port);
	*ret_address = address;
	return true;
}

/* A listening socket at the address, which then holds the port that was given; -1 and errno. */
static int
listen_at(struct sockaddr_in *address)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	socklen_t size = sizeof(*address);
	int on = 1;

	if (fd < 0)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
	    bind(fd, (struct sockaddr *)address, size) == 0 && listen(fd, BACKLOG) == 0 &&
	    getsockname(fd, (struct sockaddr *)address, &size) == 0)
		return fd;

	int why = errno;

	close(fd);
	errno = why;
	return -1;
}

void
server_go_down(struct server *server, int64_t ms)
{
	pthread_mutex_lock(&server->lock);
	server->down_until_boot_ms = ms > 0 ? clock_boot_ms() + ms : 0;
	/* Refuses at once, and wakes the loop, which closes it: a descriptor that is waited for must not be closed. */
	if (ms > 0 && server->listening >= 0)
		shutdown(server->listening, SHUT_RDWR);
	pthread_mutex_unlock(&server->lock);
}

bool
server_is_down(struct server *server)
{
	pthread_mutex_lock(&server->lock);
	bool down = clock_boot_ms() < server->down_until_boot_ms;

	pthread_mutex_unlock(&server->lock);
	return down;
}

void
server_wait(struct server *server, int64_t ms)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += ms / 1000;
	until.tv_nsec += ms % 1000 * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&server->lock);
	while (!server->stopping &&
	       pthread_cond_clockwait(&server->stop, &server->lock, CLOCK_MONOTONIC, &until) != ETIMEDOUT)
		continue;
	pthread_mutex_unlock(&server->lock);
}

/* Opens the socket when its time has come; -1 while it is closed. */
static int
listening_socket(struct server *server)
{
	pthread_mutex_lock(&server->lock);
	if (server->listening < 0 && clock_boot_ms() >= server->down_until_boot_ms)
		server->listening = listen_at(&server->address);
	int fd = server->listening;

	pthread_mutex_unlock(&server->lock);
	return fd;
}

static void
close_listening_socket(struct server *server)
{
	pthread_mutex_lock(&server->lock);
	if (server->listening >= 0)
		close(server->listening);
	server->listening = -1;
	pthread_mutex_unlock(&server->lock);
}

/* Hands over what waits. */
static void
accept_waiting(struct server *server, int listening)
{
	struct sockaddr_in peer;

	for (;;) {
		socklen_t size = sizeof(peer);
		int fd = accept4(listening, (struct sockaddr *)&peer, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0)
			MHD_add_connection(server->daemon, fd, (struct sockaddr *)&peer,
					   size); /* closes it when full */
		else if (errno == EAGAIN)
			return;
		else if (errno == EINVAL)
			return close_listening_socket(server); /* it was shut down */
		else if (errno != EINTR && errno != ECONNABORTED)
			return clock_sleep_ms(POLL_MS);
	}
}

void
server_run(struct server *server)
{
	const struct timespec pause = {.tv_nsec = POLL_MS * 1000000L};

	while (!stop_asked) {
		struct pollfd waiting = {.fd = listening_socket(server), .events = POLLIN};

		if (ppoll(&waiting, 1, waiting.fd < 0 ? &pause : NULL, &server->waiting_mask) > 0)
			accept_waiting(server, waiting.fd);
	}
}

/* --- its life --- */

/* INT and TERM are taken by server_run() only, while it waits. */
static void
set_signals(struct server *server)
{
	struct sigaction action = {.sa_handler = on_stop};
	sigset_t stops;

	sigemptyset(&stops);
	sigaddset(&stops, SIGTERM);
	sigaddset(&stops, SIGINT);
	pthread_sigmask(SIG_BLOCK, &stops, &server->waiting_mask);
	sigdelset(&server->waiting_mask, SIGTERM);
	sigdelset(&server->waiting_mask, SIGINT);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
}

static struct MHD_Daemon *
start_daemon(struct server *server)
{
	const unsigned flags = MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL |
			       MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ITC;

	return MHD_start_daemon(flags, 0, NULL, NULL, on_request, server, MHD_OPTION_NOTIFY_COMPLETED, on_completed,
				NULL, MHD_OPTION_CONNECTION_LIMIT, (unsigned)SERVER_CONNECTIONS_MAX,
				MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_TIMEOUT_S, MHD_OPTION_THREAD_STACK_SIZE,
				(size_t)THREAD_STACK, MHD_OPTION_END);
}

enum err
server_open(const char *address, server_handler *handler, void *context, struct server **ret_server)
{
	struct server *server = calloc(1, sizeof(*server));

	if (!server)
		abort();
	server->handler = handler;
	server->context = context;
	server->listening = -1;
	pthread_mutex_init(&server->lock, NULL);
	pthread_cond_init(&server->stop, NULL);
	set_signals(server);
	if (!parse_address(address, &server->address)) {
		log_error("%s: not an address like 127.0.0.1:8080", address);
		server_close(server);
		return ERR_CONFIG;
	}
	server->listening = listen_at(&server->address);
	if (server->listening < 0)
		log_error("cannot listen on %s: %s", address, strerror(errno));
	else if (!(server->daemon = start_daemon(server)))
		log_error("the HTTP server does not start");
	if (!server->daemon) {
		server_close(server);
		return ERR_SYSTEM;
	}
	*ret_server = server;
	return ERR_OK;
}

unsigned
server_port(const struct server *server)
{
	return ntohs(server->address.sin_port);
}

void
server_close(struct server *server)
{
	if (!server)
		return;
	close_listening_socket(server);
	pthread_mutex_lock(&server->lock);
	server->stopping = true;
	pthread_cond_broadcast(&server->stop);
	pthread_mutex_unlock(&server->lock);
	if (server->daemon)
		MHD_stop_daemon(server->daemon);
	pthread_cond_destroy(&server->stop);
	pthread_mutex_destroy(&server->lock);
	free(server);
}
