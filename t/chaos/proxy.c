/*
 * A bad line between a host and a server, on Unix sockets: it delays, loses, holds back and cuts what passes, as it is
 * told. What has passed in one direction is delivered late even when the sender has gone since: that is the point of
 * it. It must never change a byte.
 *
 *   proxy LISTEN UPSTREAM SEED
 *
 * Commands on standard input, a line each: "clear", or the name of a trouble (the table below) and its strength; "to
 * PATH": new connections lead there, while those that stand stay; "sever": all that stand are cut. A line may hold
 * several, separated by commas.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { LINKS_MAX = 512, PIECE_SIZE = 65536, EVENTS = 64, PACKET_HEADER = 4 };

enum trouble {
	DELAY,         /* a piece may take up to so many ms */
	DROP_REQUESTS, /* per cent of the pieces to the server that vanish */
	DROP_ANSWERS,  /* per cent of the pieces to the client that vanish */
	HALF_CLOSE,    /* per cent of the pieces after which no more answers leave; requests go on */
	CUT,           /* per cent of the pieces at which the connection is cut */
	HOLD,          /* nothing passes until that is over; then all of it does */
	REFUSE,        /* every connection is cut, and no new one is taken */
	COMMIT_LOST,   /* per cent of the COMMITs that do not arrive: cut before */
	COMMIT_BLIND,  /* per cent of the COMMITs whose answer does not arrive: cut when the server has done it */
	COMMIT_LATE,   /* per cent of the COMMITs that arrive half a second late, when the client knows of a cut already
			*/
	TROUBLES
};

static const char *const names[TROUBLES] = {
	"delay", "drop_requests", "drop_answers", "half_close",   "cut",
	"hold",  "refuse",        "commit_lost",  "commit_blind", "commit_late",
};

/* Bytes on their way in one direction. */
struct piece {
	struct piece *next;
	int64_t due_us;
	size_t size, sent;
	char data[];
};

enum side { CLIENT, SERVER };

struct end {
	int fd;                     /* -1: closed */
	bool ended;                 /* nothing more comes from here */
	bool blind;                 /* what would go there is thrown away */
	struct piece *first, *last; /* on the way from here to the other side */
};

struct link {
	bool used;
	bool cut_at_answer;
	struct end ends[2];
};

static struct link links[LINKS_MAX];
static unsigned strength[TROUBLES];
static struct sockaddr_un listen_address, upstream_address;
static int poll_fd, listen_fd;
static uint64_t random_state;

static int64_t
now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void
die(const char *what)
{
	fprintf(stderr, "chaos proxy: %s: %s\n", what, strerror(errno));
	exit(2);
}

/* xorshift64* */
static unsigned
random_below(unsigned bound)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return (unsigned)((random_state * UINT64_C(2685821657736338717)) >> 33) % bound;
}

static bool
happens(enum trouble trouble)
{
	return strength[trouble] > 0 && random_below(100) < strength[trouble];
}

/* --- links --- */

static void
close_end(struct end *end)
{
	if (end->fd >= 0)
		close(end->fd);
	end->fd = -1;
	end->ended = true;
}

static void
drop_pieces(struct end *end)
{
	for (struct piece *piece; (piece = end->first);) {
		end->first = piece->next;
		free(piece);
	}
	end->last = NULL;
}

static void
cut(struct link *link)
{
	for (enum side side = CLIENT; side <= SERVER; side++) {
		close_end(&link->ends[side]);
		drop_pieces(&link->ends[side]);
	}
	link->used = false;
}

/* Where an event of epoll belongs to: the link's number and the side. */
static void
watch(int fd, uint64_t data)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = data};

	if (epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
		die("epoll_ctl");
}

static struct link *
free_link(void)
{
	for (size_t i = 0; i < LINKS_MAX; i++)
		if (!links[i].used)
			return &links[i];
	return NULL;
}

static void
take_client(void)
{
	int client = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct link *link = free_link();

	if (client < 0 || server < 0 || !link || strength[REFUSE] ||
	    connect(server, (struct sockaddr *)&upstream_address, sizeof(upstream_address)) < 0) {
		if (client >= 0)
			close(client);
		if (server >= 0)
			close(server);
		return;
	}
	*link = (struct link){.used = true, .ends = {{.fd = client}, {.fd = server}}};
	watch(client, (uint64_t)(link - links) * 2 + CLIENT);
	watch(server, (uint64_t)(link - links) * 2 + SERVER);
}

/* --- what passes --- */

static void
queue(struct link *link, enum side from, const char *data, size_t size, int64_t due_us)
{
	struct end *end = &link->ends[from];
	struct piece *piece = malloc(sizeof(*piece) + size);

	if (!piece)
		die("malloc");
	*piece = (struct piece){.due_us = due_us, .size = size};
	memcpy(piece->data, data, size);
	if (end->last)
		end->last->next = piece;
	else
		end->first = piece;
	end->last = piece;
}

/* A piece of what MariaDB is sent: is it the query COMMIT? */
static bool
is_commit(const char *data, size_t size)
{
	return size == PACKET_HEADER + 7 && data[PACKET_HEADER] == 3 &&
	       strncasecmp(data + PACKET_HEADER + 1, "COMMIT", 6) == 0;
}

/* False: the piece goes its way as any other. */
static bool
spoil_commit(struct link *link, const char *data, size_t size)
{
	if (happens(COMMIT_LOST)) {
		cut(link);
		return true;
	}
	if (happens(COMMIT_BLIND)) {
		link->cut_at_answer = true;
		return false;
	}
	if (!happens(COMMIT_LATE))
		return false;
	queue(link, CLIENT, data, size, now_us() + 500 * 1000);
	close_end(&link->ends[CLIENT]);
	return true;
}

static void
pass(struct link *link, enum side from, const char *data, size_t size)
{
	int64_t delay_us = strength[DELAY] ? 1000 * (int64_t)random_below(strength[DELAY] + 1) : 0;

	if ((from == SERVER && link->cut_at_answer) || happens(CUT)) {
		cut(link);
		return;
	}
	if (from == CLIENT && is_commit(data, size) && spoil_commit(link, data, size))
		return;
	if (happens(from == CLIENT ? DROP_REQUESTS : DROP_ANSWERS))
		return;
	if (from == CLIENT && happens(HALF_CLOSE)) {
		shutdown(link->ends[CLIENT].fd, SHUT_WR);
		link->ends[CLIENT].blind = true;
	}
	queue(link, from, data, size, now_us() + delay_us);
}

/* What is due leaves, in order; an end that has ended is passed on when all before it has left. */
static void
deliver(struct link *link, enum side from)
{
	struct end *source = &link->ends[from], *target = &link->ends[!from];

	for (struct piece *piece; (piece = source->first) && piece->due_us <= now_us() && !strength[HOLD];) {
		ssize_t sent = (ssize_t)(piece->size - piece->sent);

		if (target->fd >= 0 && !target->blind)
			sent = send(target->fd, piece->data + piece->sent, piece->size - piece->sent, MSG_NOSIGNAL);
		if (sent < 0 && errno == EAGAIN)
			return;
		if (sent < 0)
			target->blind = true;
		else
			piece->sent += (size_t)sent;
		if (piece->sent < piece->size)
			continue;
		source->first = piece->next;
		if (!source->first)
			source->last = NULL;
		free(piece);
	}
	if (!source->first && source->ended && target->fd >= 0)
		shutdown(target->fd, SHUT_WR);
}

static void
hear(struct link *link, enum side from)
{
	static char data[PIECE_SIZE];
	struct end *end = &link->ends[from];
	ssize_t got = recv(end->fd, data, sizeof(data), 0);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got > 0) {
		pass(link, from, data, (size_t)got);
	} else {
		if (epoll_ctl(poll_fd, EPOLL_CTL_DEL, end->fd, NULL) < 0)
			die("epoll_ctl");
		end->ended = true;
		if (got < 0)
			end->blind = true;
	}
	if (link->used)
		deliver(link, from);
}

/* Both have ended and all has arrived. */
static bool
is_over(const struct link *link)
{
	return link->ends[CLIENT].ended && link->ends[SERVER].ended && !link->ends[CLIENT].first &&
	       !link->ends[SERVER].first;
}

/* Delivers what has become due; ms until there may be more, -1: nothing waits. */
static int
tend(void)
{
	int wait_ms = -1;

	for (size_t i = 0; i < LINKS_MAX; i++) {
		if (!links[i].used)
			continue;
		if (strength[REFUSE] || is_over(&links[i])) {
			cut(&links[i]);
			continue;
		}
		deliver(&links[i], CLIENT);
		deliver(&links[i], SERVER);
		if (links[i].ends[CLIENT].first || links[i].ends[SERVER].first)
			wait_ms = 1;
	}
	return wait_ms;
}

/* --- commands --- */

static void
take_address(struct sockaddr_un *address, const char *path)
{
	address->sun_family = AF_UNIX;
	if (strlen(path) >= sizeof(address->sun_path)) {
		errno = ENAMETOOLONG;
		die(path);
	}
	strcpy(address->sun_path, path);
}

static void
sever(void)
{
	for (size_t i = 0; i < LINKS_MAX; i++)
		if (links[i].used)
			cut(&links[i]);
}

static void
run_command(char *command)
{
	char name[32];
	unsigned value = 0;

	if (strcmp(command, "clear") == 0) {
		memset(strength, 0, sizeof(strength));
		return;
	}
	if (strcmp(command, "sever") == 0) {
		sever();
		return;
	}
	if (strncmp(command, "to ", 3) == 0) {
		take_address(&upstream_address, command + 3);
		return;
	}
	if (sscanf(command, " %31[a-z_] %u", name, &value) == 2)
		for (size_t i = 0; i < TROUBLES; i++)
			if (strcmp(names[i], name) == 0) {
				strength[i] = value;
				return;
			}
	fprintf(stderr, "chaos proxy: what is \"%s\"?\n", command);
	exit(2);
}

/* The end of the input is the end of the proxy. */
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
		for (char *command = strtok(text, ","); command; command = strtok(NULL, ","))
			run_command(command);
		size -= (size_t)(end + 1 - text);
		memmove(text, end + 1, size + 1);
	}
}

static void
start_listening(void)
{
	listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	unlink(listen_address.sun_path);
	if (listen_fd < 0 || bind(listen_fd, (struct sockaddr *)&listen_address, sizeof(listen_address)) < 0 ||
	    listen(listen_fd, 512) < 0)
		die(listen_address.sun_path);
}

int
main(int argc, char **argv)
{
	struct epoll_event events[EVENTS];

	if (argc != 4) {
		fputs("Usage: proxy LISTEN UPSTREAM SEED\n", stderr);
		return 2;
	}
	take_address(&listen_address, argv[1]);
	take_address(&upstream_address, argv[2]);
	random_state = strtoull(argv[3], NULL, 10) * UINT64_C(0x9E3779B97F4A7C15) + 1;
	poll_fd = epoll_create1(EPOLL_CLOEXEC);
	start_listening();
	watch(STDIN_FILENO, UINT64_MAX);
	watch(listen_fd, UINT64_MAX - 1);
	for (;;) {
		int count = epoll_wait(poll_fd, events, EVENTS, tend());

		for (int i = 0; i < count; i++) {
			uint64_t place = events[i].data.u64;

			if (place == UINT64_MAX)
				hear_commands();
			else if (place == UINT64_MAX - 1)
				take_client();
			else if (links[place / 2].used && links[place / 2].ends[place % 2].fd >= 0)
				hear(&links[place / 2], (enum side)(place % 2));
		}
	}
}
