/*
 * The load of the chaos harness: readers and writers on kept connections, one request at a time on each, in one thread,
 * so that what comes before what is known exactly. What answers are worth stands in calls.c and record.c; this file
 * must never look into them.
 *
 * Commands on standard input, a line each:
 *   class NAME                  what is in force from now on
 *   writes off, writes on       nothing is written, not even again
 *   figures                     what was counted so far, a line a class, then "."
 *   wind-up                     no new calls but repetitions of writes, until all are known or 30 s are over; says "."
 *   judge LEDGER ROWS CURVE     compares with the ledger (see record.h); says "."
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "calls.h"

enum {
	PORTS_MAX = 4,
	CONNECTIONS_MAX = 512,
	ANSWER_SIZE = 1 << 20,
	EVENTS = 64,
	PATIENCE_US = 40 * 1000 * 1000, /* longer than nginx waits for a lane */
	WIND_UP_US = 30 * 1000 * 1000,
	IDLE_US = 20 * 1000, /* where there was nothing to ask */
	LONGEST_SLEEP_US = 50 * 1000,
};

struct connection {
	int fd; /* -1: none */
	uint16_t port;
	enum kind kind;
	bool busy;
	int64_t wake_us; /* the next call, when idle */
	struct call call;
	char *answer;
	size_t size;
};

/* How many connections each port gets, and how long each rests between its calls, at most. */
static struct load {
	const char *name;
	size_t connections;
	int64_t rest_us;
} loads[KINDS] = {
	[KIND_READ] = {"reads", 6, 8000},
	[KIND_LOOKUP] = {"lookups", 3, 20000},
	[KIND_GRANT] = {"grants", 3, 30000},
	[KIND_BATCH] = {"batches", 1, 150000},
};

static struct connection connections[CONNECTIONS_MAX];
static size_t connection_count;
static const char *class_names[CLASSES_MAX];
static size_t class_count, current_class;
static int64_t winding_up_since_us; /* 0: not yet */
static int poll_fd;

static void
die(const char *what)
{
	fprintf(stderr, "chaos driver: %s: %s\n", what, strerror(errno));
	exit(2);
}

/* --- connections --- */

static void
hang_up(struct connection *connection)
{
	if (connection->fd >= 0)
		close(connection->fd);
	connection->fd = -1;
	connection->size = 0;
}

static bool
dial(struct connection *connection)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(connection->port)};
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
	int on = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0)
		die("socket");
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		close(fd);
		return false;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	fcntl(fd, F_SETFL, O_NONBLOCK);
	if (epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
		die("epoll_ctl");
	connection->fd = fd;
	return true;
}

static void
rest(struct connection *connection)
{
	connection->busy = false;
	connection->wake_us = now_us() + (int64_t)random_below((uint64_t)loads[connection->kind].rest_us);
}

static void
lose(struct connection *connection, const char *why)
{
	hang_up(connection);
	if (connection->busy)
		call_lost(&connection->call, why);
	rest(connection);
}

/* nginx is never touched: it takes every connection and answers every request. */
static void
ask(struct connection *connection)
{
	char request[REQUEST_SIZE];
	size_t len;

	if (connection->fd < 0 && !dial(connection))
		die("connect");
	len = call_begin(&connection->call, connection->kind, current_class, request);
	if (len == 0) {
		connection->wake_us = now_us() + IDLE_US;
		return;
	}
	connection->busy = true;
	if (send(connection->fd, request, len, MSG_NOSIGNAL) != (ssize_t)len)
		lose(connection, "the request could not be sent");
}

static void
hear(struct connection *connection)
{
	struct answer answer;
	size_t size;
	ssize_t got = recv(connection->fd, connection->answer + connection->size, ANSWER_SIZE - connection->size, 0);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0) {
		lose(connection, got < 0 ? strerror(errno) : "the connection was closed");
		return;
	}
	connection->size += (size_t)got;
	switch (http_parse(connection->answer, connection->size, &answer, &size)) {
	case HTTP_PARTIAL:
		if (connection->size == ANSWER_SIZE)
			lose(connection, "the answer is too long");
		return;
	case HTTP_BROKEN:
		lose(connection, "the answer is not HTTP");
		return;
	case HTTP_WHOLE:
		break;
	}
	if (!connection->busy || size != connection->size) {
		lose(connection, "there is more than was asked for");
		return;
	}
	call_end(&connection->call, &answer);
	connection->size = 0;
	if (answer.closes)
		hang_up(connection);
	rest(connection);
}

/* Whoever has rested asks; whoever has waited too long gives up. Says when to look again. */
static int64_t
tend(void)
{
	int64_t next_us = now_us() + LONGEST_SLEEP_US;

	for (size_t i = 0; i < connection_count; i++) {
		struct connection *connection = &connections[i];

		if (!connection->busy && connection->wake_us <= now_us())
			ask(connection);
		else if (connection->busy && now_us() - connection->call.began_us > PATIENCE_US)
			lose(connection, "nothing came");
		if (!connection->busy && connection->wake_us < next_us)
			next_us = connection->wake_us;
	}
	return next_us;
}

static bool
anybody_busy(void)
{
	for (size_t i = 0; i < connection_count; i++)
		if (connections[i].busy)
			return true;
	return false;
}

/* --- commands --- */

static void
command_class(char *words)
{
	for (size_t i = 0; i < class_count; i++)
		if (strcmp(class_names[i], words) == 0)
			current_class = i;
}

static void
command_writes(char *words)
{
	calls_allow_writes(strcmp(words, "on") == 0);
}

static void
command_figures(char *words)
{
	(void)words;
	record_print();
	puts(".");
}

static void
command_wind_up(char *words)
{
	(void)words;
	calls_wind_up();
	winding_up_since_us = now_us();
}

static void
command_judge(char *words)
{
	const char *ledger = strtok(words, " "), *rows = strtok(NULL, " "), *curve = strtok(NULL, " ");

	if (!curve || !record_judge(ledger, rows, curve))
		exit(2);
	puts(".");
}

static const struct {
	const char *name;
	void (*run)(char *words);
} commands[] = {
	{"class", command_class},     {"writes", command_writes}, {"figures", command_figures},
	{"wind-up", command_wind_up}, {"judge", command_judge},
};

static void
run_command(char *line)
{
	char *words = strchr(line, ' ');

	if (words)
		*words++ = '\0';
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(commands[i].name, line) == 0)
			commands[i].run(words ? words : line + strlen(line));
	fflush(stdout);
}

/* The end of the input is the end of the driver. */
static void
hear_commands(void)
{
	static char text[1024];
	static size_t size;
	ssize_t got = read(STDIN_FILENO, text + size, sizeof(text) - size - 1);

	if (got <= 0)
		exit(0);
	size += (size_t)got;
	text[size] = '\0';
	for (char *end; (end = strchr(text, '\n'));) {
		*end = '\0';
		run_command(text);
		size -= (size_t)(end + 1 - text);
		memmove(text, end + 1, size + 1);
	}
}

static void
look_whether_wound_up(void)
{
	if (winding_up_since_us == 0 || (record_pending() > 0 && now_us() - winding_up_since_us < WIND_UP_US) ||
	    (anybody_busy() && now_us() - winding_up_since_us < WIND_UP_US + PATIENCE_US))
		return;
	winding_up_since_us = 0;
	puts(".");
	fflush(stdout);
}

static void
run(void)
{
	struct epoll_event events[EVENTS];

	for (;;) {
		int64_t wait_us = tend() - now_us();
		int count = epoll_wait(poll_fd, events, EVENTS, wait_us > 0 ? (int)(wait_us / 1000) + 1 : 0);

		for (int i = 0; i < count; i++) {
			struct connection *connection = events[i].data.ptr;

			if (!connection)
				hear_commands();
			else if (connection->fd >= 0)
				hear(connection);
		}
		look_whether_wound_up();
	}
}

/* --- the start --- */

static void
add_connections(uint16_t port)
{
	for (enum kind kind = 0; kind < KINDS; kind++)
		for (size_t i = 0; i < loads[kind].connections; i++) {
			struct connection *connection = &connections[connection_count++];

			*connection = (struct connection){.fd = -1, .port = port, .kind = kind};
			connection->answer = malloc(ANSWER_SIZE);
			if (!connection->answer || connection_count == CONNECTIONS_MAX)
				die("too many connections");
			rest(connection);
		}
}

static void
usage(void)
{
	fputs("Usage: driver --season S --token T --players N --seed N --port P.. --class NAME..\n"
	      "       [--reads N] [--lookups N] [--grants N] [--batches N]    connections of each kind a port\n",
	      stderr);
	exit(2);
}

int
main(int argc, char **argv)
{
	static const struct option long_options[] = {
		{"season", required_argument, NULL, 's'},
		{"token", required_argument, NULL, 't'},
		{"players", required_argument, NULL, 'n'},
		{"seed", required_argument, NULL, 'r'},
		{"port", required_argument, NULL, 'p'},
		{"class", required_argument, NULL, 'c'},
		{"reads", required_argument, NULL, '0'},
		{"lookups", required_argument, NULL, '1'},
		{"grants", required_argument, NULL, '2'},
		{"batches", required_argument, NULL, '3'},
		{NULL, 0, NULL, 0},
	};
	struct calls_options options = {.season = NULL};
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
	uint16_t ports[PORTS_MAX];
	size_t port_count = 0;

	for (int option; (option = getopt_long(argc, argv, "", long_options, NULL)) != -1;) {
		if (option == 's')
			options.season = optarg;
		else if (option == 't')
			options.token = optarg;
		else if (option == 'n')
			options.players = strtoul(optarg, NULL, 10);
		else if (option == 'r')
			options.seed = strtoul(optarg, NULL, 10);
		else if (option == 'p' && port_count < PORTS_MAX)
			ports[port_count++] = (uint16_t)strtoul(optarg, NULL, 10);
		else if (option == 'c' && class_count < CLASSES_MAX)
			class_names[class_count++] = optarg;
		else if (option >= '0' && option < '0' + KINDS)
			loads[option - '0'].connections = strtoul(optarg, NULL, 10);
		else
			usage();
	}
	if (!options.season || !options.token || !options.players || options.players > PLAYERS_MAX || !port_count ||
	    !class_count)
		usage();
	record_init(options.players);
	for (size_t i = 0; i < class_count; i++)
		record_add_class(class_names[i]);
	calls_init(&options);
	poll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (poll_fd < 0 || epoll_ctl(poll_fd, EPOLL_CTL_ADD, STDIN_FILENO, &event) < 0)
		die("epoll");
	for (size_t i = 0; i < port_count; i++)
		add_connections(ports[i]);
	run();
}
