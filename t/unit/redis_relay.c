/*
 * The relay: see redis_relay.h. A client's pipeline is written in one piece and is read in one piece here, so that an
 * order meets a whole pipeline.
 */
#include "redis_relay.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "redis_server.h"

enum { CONNECTIONS_MAX = 32, PIECE_MAX = 65536, HELD_MAX = 64, ORDERS_MAX = 64 };

struct piece {
	char *bytes;
	size_t len;
};

struct connection {
	int client; /* -1: free */
	int redis;
	bool mute; /* answers are kept */
	struct piece late;
};

struct relay {
	const char *redis_path;
	int listener;
	int orders;
	unsigned accepted;
	struct connection connections[CONNECTIONS_MAX];
	struct piece held[HELD_MAX];
	size_t held_count;
	char queue[ORDERS_MAX];
	size_t queue_count;
};

static struct sockaddr_un
address_of(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	return address;
}

static int
connect_to(const char *path)
{
	struct sockaddr_un address = address_of(path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

static bool
send_all(int fd, const char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t sent = send(fd, bytes, len, MSG_NOSIGNAL);

		if (sent <= 0)
			return false;
		bytes += sent;
		len -= (size_t)sent;
	}
	return true;
}

static struct piece
copy_of(const char *bytes, size_t len)
{
	struct piece piece = {malloc(len), len};

	if (!piece.bytes)
		abort();
	memcpy(piece.bytes, bytes, len);
	return piece;
}

static void
hang_up(struct connection *connection)
{
	close(connection->client);
	close(connection->redis);
	free(connection->late.bytes);
	*connection = (struct connection){.client = -1, .redis = -1};
}

static void
welcome(struct relay *relay)
{
	int client = accept(relay->listener, NULL, NULL);
	int redis = client >= 0 ? connect_to(relay->redis_path) : -1;

	relay->accepted++;
	for (size_t i = 0; i < CONNECTIONS_MAX && redis >= 0; i++) {
		if (relay->connections[i].client >= 0)
			continue;
		relay->connections[i] = (struct connection){.client = client, .redis = redis};
		return;
	}
	close(client);
	if (redis >= 0)
		close(redis);
}

static bool
is_greeting(const char *bytes, size_t len)
{
	static const char greeting[] = "*2\r\n$4\r\nINFO";

	return len >= sizeof(greeting) - 1 && memcmp(bytes, greeting, sizeof(greeting) - 1) == 0;
}

static char
next_order(struct relay *relay, const char *bytes, size_t len)
{
	char order = RELAY_PASS;

	if (relay->queue_count == 0 || is_greeting(bytes, len))
		return order;
	order = relay->queue[0];
	memmove(relay->queue, relay->queue + 1, --relay->queue_count);
	return order;
}

/* Executes a pipeline on a connection to Redis; its answers come in one piece, too. */
static size_t
execute(int redis, const char *bytes, size_t len, char *answer)
{
	ssize_t got = send_all(redis, bytes, len) ? recv(redis, answer, PIECE_MAX, 0) : -1;

	return got > 0 ? (size_t)got : 0;
}

static void
take_request(struct relay *relay, struct connection *connection)
{
	static char bytes[PIECE_MAX];
	static char answer[PIECE_MAX];
	ssize_t got = recv(connection->client, bytes, sizeof(bytes), 0);
	size_t len = got > 0 ? (size_t)got : 0;

	if (len == 0) {
		hang_up(connection);
		return;
	}
	switch (next_order(relay, bytes, len)) {
	case RELAY_PASS:
		if (!send_all(connection->redis, bytes, len))
			hang_up(connection);
		break;
	case RELAY_UNHEARD:
		execute(connection->redis, bytes, len, answer);
		hang_up(connection);
		break;
	case RELAY_LATE:
		connection->mute = true;
		connection->late = copy_of(answer, execute(connection->redis, bytes, len, answer));
		break;
	case RELAY_HOLD:
		if (relay->held_count < HELD_MAX)
			relay->held[relay->held_count++] = copy_of(bytes, len);
		hang_up(connection);
		break;
	default:
		hang_up(connection);
		break;
	}
}

static void
take_answer(struct connection *connection)
{
	static char bytes[PIECE_MAX];
	ssize_t got = recv(connection->redis, bytes, sizeof(bytes), 0);

	if (got <= 0 || !send_all(connection->client, bytes, (size_t)got))
		hang_up(connection);
}

static unsigned
release(struct relay *relay, unsigned which)
{
	static char answer[PIECE_MAX];

	if (relay->held_count == 0)
		return 0;
	struct piece *piece = &relay->held[which % relay->held_count];
	int redis = connect_to(relay->redis_path);

	execute(redis, piece->bytes, piece->len, answer);
	close(redis);
	free(piece->bytes);
	*piece = relay->held[--relay->held_count];
	return 1;
}

static void
flush(struct relay *relay)
{
	for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
		struct connection *connection = &relay->connections[i];

		if (connection->client < 0 || !connection->mute)
			continue;
		send_all(connection->client, connection->late.bytes, connection->late.len);
		free(connection->late.bytes);
		connection->late = (struct piece){NULL, 0};
		connection->mute = false;
	}
}

static void
reset(struct relay *relay)
{
	while (relay->held_count)
		free(relay->held[--relay->held_count].bytes);
	relay->queue_count = 0;
}

static void
obey(struct relay *relay)
{
	unsigned char message[2];
	unsigned result = 0;

	if (recv(relay->orders, message, sizeof(message), MSG_WAITALL) != sizeof(message))
		_exit(0);
	if (message[0] == RELAY_RELEASE)
		result = release(relay, message[1]);
	else if (message[0] == RELAY_FLUSH)
		flush(relay);
	else if (message[0] == RELAY_RESET)
		reset(relay);
	else if (message[0] == RELAY_COUNT)
		result = relay->accepted;
	else if (relay->queue_count < ORDERS_MAX)
		relay->queue[relay->queue_count++] = (char)message[0];
	send_all(relay->orders, (const char *)&result, sizeof(result));
}

/* One round. What clients wait for comes before new connections and orders. */
static void
serve(struct relay *relay)
{
	struct pollfd polls[2 + 2 * CONNECTIONS_MAX] = {{relay->orders, POLLIN, 0}, {relay->listener, POLLIN, 0}};

	for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
		polls[2 + 2 * i] = (struct pollfd){relay->connections[i].client, POLLIN, 0};
		polls[3 + 2 * i] = (struct pollfd){relay->connections[i].redis, POLLIN, 0};
	}
	if (poll(polls, sizeof(polls) / sizeof(polls[0]), -1) < 0)
		return;
	for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
		struct connection *connection = &relay->connections[i];

		if (connection->client >= 0 && polls[3 + 2 * i].revents)
			take_answer(connection);
		if (connection->client >= 0 && polls[2 + 2 * i].revents)
			take_request(relay, connection);
	}
	if (polls[1].revents)
		welcome(relay);
	if (polls[0].revents)
		obey(relay);
}

static int
listen_on(const char *path)
{
	struct sockaddr_un address = address_of(path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 && listen(fd, CONNECTIONS_MAX) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

int
redis_relay_start(const char *socket_path, const char *redis_path, pid_t *ret_pid)
{
	static struct relay relay;
	int ends[2];
	int listener = listen_on(socket_path);

	if (listener < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
		return -1;
	*ret_pid = fork();
	if (*ret_pid < 0)
		return -1;
	if (*ret_pid > 0) {
		close(listener);
		close(ends[1]);
		return ends[0];
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	close(ends[0]);
	relay = (struct relay){.redis_path = redis_path, .listener = listener, .orders = ends[1]};
	for (size_t i = 0; i < CONNECTIONS_MAX; i++)
		relay.connections[i] = (struct connection){.client = -1, .redis = -1};
	for (;;)
		serve(&relay);
}
