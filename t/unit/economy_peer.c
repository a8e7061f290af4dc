/*
 * The hostile economy service: see economy_peer.h. It answers what stands in the order and understands no more of HTTP
 * than where a request ends.
 */
#include "economy_peer.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"

enum { CONNECTIONS_MAX = 256, TICK_MS = 5, PIECE = 64 * 1024, KEY_SIZE = 36 };

struct connection {
	int fd; /* -1: free */
	unsigned requests;
	int64_t due_boot_ms; /* of the answer; -1: no request, or none is to come */
	bool silenced;
	size_t len;
	char text[PEER_TEXT_MAX];
};

static struct connection connections[CONNECTIONS_MAX];
static struct peer_state *state;

static void
hang_up(struct connection *connection)
{
	if (connection->due_boot_ms >= 0 || connection->silenced)
		state->together--;
	close(connection->fd);
	connection->fd = -1;
	state->open--;
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

static bool
send_text(int fd, const char *text)
{
	return send_all(fd, text, strlen(text));
}

/* From the header, or from the path. */
static void
find_key(const char *request, char key[KEY_SIZE + 1])
{
	static const char header[] = "Idempotency-Key: ", path[] = "/v1/debits/";
	const char *at = strstr(request, header);

	if (at)
		at += sizeof(header) - 1;
	else if ((at = strstr(request, path)))
		at += sizeof(path) - 1;
	snprintf(key, KEY_SIZE + 1, "%.*s", KEY_SIZE, at ? at : "");
}

static bool
send_answer(const struct connection *connection)
{
	char key[KEY_SIZE + 1], body[2 * PEER_TEXT_MAX], head[256];
	size_t len = 0;

	find_key(connection->text, key);
	for (const char *at = state->order.text; *at && len < sizeof(body) - KEY_SIZE - 1; at++)
		len += (size_t)snprintf(body + len, KEY_SIZE + 1, *at == '@' ? "%s" : "%.1s", *at == '@' ? key : at);
	snprintf(head, sizeof(head),
		 "HTTP/1.1 %u Whatever\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
		 state->order.status, len);
	return send_text(connection->fd, head) && send_all(connection->fd, body, len);
}

static bool
send_flood(const struct connection *connection)
{
	static char piece[PIECE];
	char head[128];
	bool chunked = state->order.manner == PEER_FLOOD_CHUNKED;
	size_t text = strlen(state->order.text);

	memset(piece, ' ', sizeof(piece));
	snprintf(head, sizeof(head),
		 chunked ? "HTTP/1.1 201 x\r\nTransfer-Encoding: chunked\r\n\r\n"
			 : "HTTP/1.1 201 x\r\nContent-Length: %zu\r\n\r\n",
		 PEER_FLOOD_BYTES + text);
	bool sent = send_text(connection->fd, head);

	for (size_t left = PEER_FLOOD_BYTES; sent && left; left -= PIECE)
		sent = (!chunked || send_text(connection->fd, "10000\r\n")) &&
		       send_all(connection->fd, piece, sizeof(piece)) &&
		       (!chunked || send_text(connection->fd, "\r\n"));
	if (chunked)
		snprintf(head, sizeof(head), "%zx\r\n", text);
	return sent && (!chunked || send_text(connection->fd, head)) && send_text(connection->fd, state->order.text) &&
	       (!chunked || send_text(connection->fd, "\r\n0\r\n\r\n"));
}

static bool
send_flood_of_headers(const struct connection *connection)
{
	bool sent = send_text(connection->fd, "HTTP/1.1 201 x\r\n");

	for (size_t left = PEER_FLOOD_BYTES; sent && left; left -= 32)
		sent = send_text(connection->fd, "X-Header: 012345678901234567890\r\n");
	return sent && send_text(connection->fd, "\r\n");
}

static void
answer(struct connection *connection)
{
	bool sent = true;

	if (state->order.manner == PEER_ANSWER)
		sent = send_answer(connection);
	else if (state->order.manner == PEER_RAW)
		sent = send_text(connection->fd, state->order.text);
	else if (state->order.manner == PEER_FLOOD_HEAD)
		sent = send_flood_of_headers(connection);
	else
		sent = send_flood(connection);
	state->together--;
	connection->due_boot_ms = -1;
	connection->len = 0;
	if (!sent || state->order.hang_up)
		hang_up(connection);
}

static void
on_request(struct connection *connection)
{
	const struct peer_order *order = &state->order;

	memcpy(state->seen, connection->text, sizeof(state->seen));
	state->requests++;
	connection->requests++;
	unsigned together = ++state->together;

	if (together > state->most_together)
		state->most_together = together;
	if (order->mute_from && connection->requests >= order->mute_from) {
		connection->silenced = true;
		hang_up(connection);
	} else if (order->manner == PEER_SILENT) {
		connection->silenced = true;
	} else {
		connection->due_boot_ms = clock_boot_ms() + order->delay_ms;
	}
}

static bool
is_whole(const struct connection *connection)
{
	static const char length[] = "Content-Length: ";
	const char *end = strstr(connection->text, "\r\n\r\n"), *given = strstr(connection->text, length);

	if (!end)
		return false;
	size_t body = given ? strtoul(given + sizeof(length) - 1, NULL, 10) : 0;

	return connection->len >= (size_t)(end + 4 - connection->text) + body;
}

static void
receive(struct connection *connection)
{
	size_t room = sizeof(connection->text) - 1 - connection->len;
	ssize_t got = recv(connection->fd, connection->text + connection->len, room, 0);

	if (got <= 0) {
		hang_up(connection);
		return;
	}
	connection->len += (size_t)got;
	connection->text[connection->len] = '\0';
	if (connection->due_boot_ms < 0 && !connection->silenced && is_whole(connection))
		on_request(connection);
}

static void
welcome(int listener)
{
	int fd = accept(listener, NULL, NULL);

	for (size_t i = 0; fd >= 0 && i < CONNECTIONS_MAX; i++) {
		if (connections[i].fd >= 0)
			continue;
		connections[i] = (struct connection){.fd = fd, .due_boot_ms = -1};
		state->connections++;
		state->open++;
		return;
	}
	if (fd >= 0)
		close(fd);
}

static void
serve(int listener)
{
	struct pollfd watched[CONNECTIONS_MAX + 1];

	for (;;) {
		watched[CONNECTIONS_MAX] = (struct pollfd){.fd = listener, .events = POLLIN};
		for (size_t i = 0; i < CONNECTIONS_MAX; i++)
			watched[i] = (struct pollfd){.fd = connections[i].fd, .events = POLLIN};
		poll(watched, CONNECTIONS_MAX + 1, TICK_MS);
		for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
			if (connections[i].fd >= 0 && watched[i].revents)
				receive(&connections[i]);
			if (connections[i].fd >= 0 && connections[i].due_boot_ms >= 0 &&
			    connections[i].due_boot_ms <= clock_boot_ms())
				answer(&connections[i]);
		}
		if (watched[CONNECTIONS_MAX].revents)
			welcome(listener);
	}
}

static void
fail(const char *what)
{
	printf("Bail out! %s: %s\n", what, strerror(errno));
	exit(2);
}

static int
listen_somewhere(unsigned *ret_port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) || listen(fd, CONNECTIONS_MAX) ||
	    getsockname(fd, (struct sockaddr *)&address, &size))
		fail("the peer cannot listen");
	*ret_port = ntohs(address.sin_port);
	return fd;
}

void
economy_peer_start(struct economy_peer *peer)
{
	unsigned port;
	int listener = listen_somewhere(&port);

	state = mmap(NULL, sizeof(*state), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (state == MAP_FAILED)
		fail("no shared memory");
	*peer = (struct economy_peer){.state = state};
	snprintf(peer->url, sizeof(peer->url), "http://127.0.0.1:%u", port);
	fflush(stdout);
	peer->pid = fork();
	if (peer->pid < 0)
		fail("fork");
	if (peer->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (size_t i = 0; i < CONNECTIONS_MAX; i++)
			connections[i].fd = -1;
		serve(listener);
	}
	close(listener);
}

void
economy_peer_stop(struct economy_peer *peer)
{
	kill(peer->pid, SIGKILL);
	waitpid(peer->pid, NULL, 0);
	munmap(peer->state, sizeof(*peer->state));
}

void
economy_peer_order(struct economy_peer *peer, const struct peer_order *order)
{
	peer->state->order = *order;
	peer->state->connections = 0;
	peer->state->requests = 0;
	peer->state->most_together = 0;
	peer->state->seen[0] = '\0';
}
