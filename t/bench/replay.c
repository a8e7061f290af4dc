/*
 * Plays a list of reads and grants against the site and judges every answer. It must never take an answer for right
 * that it has not read.
 *
 * Usage, at their times:
 *   replay PORT SEASON PLAYERS SERVER_TOKEN AMOUNT KEYS EVENTS LOG
 * at full speed:
 *   replay PORT SEASON PLAYERS SERVER_TOKEN AMOUNT KEYS EVENTS LOG CONNECTIONS TTL_S REDIS KEY_PREFIX
 *
 * PLAYERS: "NAME OFFSET TOKEN EXPIRES_AT" a line; the last as in EVENTS, of the value that is in Redis at the start. A
 * grant is always AMOUNT, so a player's XP is OFFSET + AMOUNT * revision, and each answer can be checked by itself.
 * KEYS makes idempotency keys unique. EVENTS: "AT r|w PLAYER" a line, sorted; PLAYER is the number of the line in
 * PLAYERS, from 0.
 *
 * At their times: AT is microseconds from the start. Requests go out when they are due, whatever became of those
 * before; there are as many connections as it takes. Latency runs from when a request was due. The first line that is
 * printed is the start (microseconds of CLOCK_MONOTONIC).
 *
 * At full speed: AT is milliseconds of a day that passes faster than this one. Events keep their order, CONNECTIONS are
 * under way at a time, one a player. A value in Redis lives TTL_S of the *day's* seconds +-10 %: what would have
 * expired when it is read is deleted first, by its key (KEY_PREFIX{NAME}:SEASON).
 *
 * LOG: a line an answer: due (as in EVENTS), took (microseconds), PLAYER, r|w, status (0: the connection broke or
 * nothing came), c|s|- (from cache, store, not told), 1 if unconfirmed else 0, verdict: ok; old (a revision older than
 * one known when it was sent); wrong (another player, or not the XP of that revision, or a revision never made);
 * problem:CODE (a clean problem+json); other.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum {
	ANSWER_BYTES = 16384,
	REQUEST_BYTES = 4096,
	EVENTS = 256,
	CONNECTIONS_MOST = 8192,
	LINGER_US = 10000000, /* for answers, after the last request */
};

struct player {
	const char *name;
	const char *token;
	int64_t offset;
	int64_t revision;      /* the newest known from an answer */
	int64_t revision_most; /* the newest that can have been made */
	bool asked;            /* at full speed: a request is under way */
	bool known_most;
	int64_t expires_at; /* at full speed: milliseconds of the day, which may lie before it */
};

struct connection {
	int fd;
	bool waits, is_write;
	struct player *player;
	int64_t at, due_us, revision_known;
	char answer[ANSWER_BYTES];
	size_t len;
	struct connection *next_free;
};

struct event {
	int64_t at;
	uint32_t player;
	bool is_write;
};

static struct player *players;
static size_t player_count;
static struct event *events;
static size_t event_count;
static struct connection *connections[CONNECTIONS_MOST], *free_connections;
static size_t connection_count, connections_most = CONNECTIONS_MOST, waiting;
static struct sockaddr_in server;
static const char *season, *server_token, *amount_text, *keys, *key_prefix;
static int64_t amount, ttl_ms;
static uint64_t keys_made, expired, random_state = 88172645463325252u;
static int epoll_fd, redis_fd = -1;
static FILE *out;

static void
die(const char *what)
{
	fprintf(stderr, "replay: %s: %s\n", what, strerror(errno));
	exit(2);
}

static void *
allocate(size_t count, size_t size)
{
	void *memory = calloc(count, size);

	if (!memory)
		die("calloc");
	return memory;
}

static int64_t
now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static uint64_t
draw(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

/* --- what is read --- */

static void
read_players(const char *file)
{
	FILE *in = fopen(file, "r");
	char name[128], token[2048];
	long long offset, expires_at;
	size_t room = 0;

	if (!in)
		die(file);
	while (fscanf(in, "%127s %lld %2047s %lld", name, &offset, token, &expires_at) == 4) {
		if (player_count == room) {
			room = room ? 2 * room : 1024;
			players = realloc(players, room * sizeof(*players));
			if (!players)
				die("realloc");
		}
		players[player_count++] = (struct player){
			.name = strdup(name), .token = strdup(token), .offset = offset, .expires_at = expires_at};
	}
	fclose(in);
}

static void
read_events(const char *file)
{
	FILE *in = fopen(file, "r");
	long long at;
	unsigned player;
	char kind;
	size_t room = 0;

	if (!in)
		die(file);
	while (fscanf(in, "%lld %c %u", &at, &kind, &player) == 3) {
		if (event_count == room) {
			room = room ? 2 * room : 1024;
			events = realloc(events, room * sizeof(*events));
			if (!events)
				die("realloc");
		}
		if (player >= player_count)
			die("an event of an unknown player");
		events[event_count++] = (struct event){at, player, kind == 'w'};
	}
	fclose(in);
}

/* --- expiry in the day's time --- */

static void
open_redis(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	redis_fd = socket(AF_UNIX, SOCK_STREAM, 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (connect(redis_fd, (struct sockaddr *)&address, sizeof(address)) != 0)
		die(path);
}

static void
expire(struct player *player, int64_t at)
{
	char key[512], command[1024], reply[16];
	int key_len, len;

	if (at < player->expires_at)
		return;
	key_len = snprintf(key, sizeof(key), "%s{%s}:%s", key_prefix, player->name, season);
	len = snprintf(command, sizeof(command), "*2\r\n$3\r\nDEL\r\n$%d\r\n%s\r\n", key_len, key);
	if (send(redis_fd, command, (size_t)len, MSG_NOSIGNAL) != len || recv(redis_fd, reply, sizeof(reply), 0) < 4 ||
	    reply[0] != ':')
		die("DEL");
	expired += reply[1] == '1';
}

static void
note_cached(struct player *player, int64_t at)
{
	player->expires_at = at + ttl_ms * 9 / 10 + (int64_t)(draw() % (uint64_t)(ttl_ms / 5 + 1));
}

/* --- connections --- */

static void
connect_one(struct connection *connection)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
	int on = 1;

	connection->fd = socket(AF_INET, SOCK_STREAM, 0);
	if (connection->fd < 0 || connect(connection->fd, (struct sockaddr *)&server, sizeof(server)) != 0)
		die("connect");
	fcntl(connection->fd, F_SETFL, O_NONBLOCK);
	setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, connection->fd, &event) != 0)
		die("epoll_ctl");
}

static void
set_free(struct connection *connection)
{
	connection->waits = false;
	connection->len = 0;
	connection->next_free = free_connections;
	free_connections = connection;
}

/* NULL: as many as there may be are under way. */
static struct connection *
take_free(void)
{
	struct connection *connection = free_connections;

	if (connection) {
		free_connections = connection->next_free;
		return connection;
	}
	if (connection_count == connections_most)
		return NULL;
	connection = connections[connection_count++] = allocate(1, sizeof(*connection));
	connect_one(connection);
	return connection;
}

/* --- requests --- */

static int
write_request(char *text, const struct player *player, bool is_write)
{
	if (!is_write)
		return snprintf(text, REQUEST_BYTES,
				"GET /v1/seasons/%s/players/%s/progress HTTP/1.1\r\nHost: bench\r\n"
				"Authorization: Bearer %s\r\n\r\n",
				season, player->name, player->token);

	char body[64];
	int len = snprintf(body, sizeof(body), "{\"amount\":%s,\"source\":\"match\"}", amount_text);

	return snprintf(text, REQUEST_BYTES,
			"POST /v1/seasons/%s/players/%s/xp-grants HTTP/1.1\r\nHost: bench\r\n"
			"Authorization: Bearer %s\r\nIdempotency-Key: %s-%" PRIu64 "\r\n"
			"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
			season, player->name, server_token, keys, ++keys_made, len, body);
}

static void
send_request(struct connection *connection, const struct event *event, int64_t due_us)
{
	struct player *player = &players[event->player];
	char text[REQUEST_BYTES];
	int len = write_request(text, player, event->is_write);

	connection->waits = true;
	connection->is_write = event->is_write;
	connection->player = player;
	connection->at = event->at;
	connection->due_us = due_us;
	connection->revision_known = player->revision;
	player->revision_most += event->is_write;
	player->asked = true;
	waiting++;
	if (len >= REQUEST_BYTES || send(connection->fd, text, (size_t)len, MSG_NOSIGNAL) != len)
		die("send");
}

/* --- answers --- */

/* The number behind that name; -1: there is none. */
static int64_t
number_of(const char *body, const char *name)
{
	const char *at = strstr(body, name);

	return at ? strtoll(at + strlen(name), NULL, 10) : -1;
}

static const char *
judge_success(const struct connection *connection, const char *body)
{
	struct player *player = connection->player;
	int64_t revision = number_of(body, "\"revision\":\"");
	int64_t xp = number_of(body, connection->is_write ? "\"xp_after\":" : "\"xp\":");
	const char *name = strstr(body, "\"player\":\"");
	size_t len = strlen(player->name);

	if (!name || strncmp(name + 10, player->name, len) != 0 || name[10 + len] != '"' || revision < 0 ||
	    xp != player->offset + amount * revision)
		return "wrong";
	if (!player->known_most) {
		/* Nobody has written to him before; what is under way by now has been counted. */
		player->known_most = true;
		player->revision_most += revision;
	}
	if (revision > player->revision_most)
		return "wrong";
	if (revision < connection->revision_known + connection->is_write)
		return "old";
	if (revision > player->revision)
		player->revision = revision;
	return "ok";
}

static void
count_answer(struct connection *connection, int status, const char *head, const char *body)
{
	const char *timing = strcasestr(head, "\nserver-timing: src;desc=");
	const char *verdict = "other";
	char source = '-';
	char problem[64];

	if (timing && timing < body)
		source = timing[25];
	if (status == (connection->is_write ? 201 : 200))
		verdict = judge_success(connection, body);
	else if (status >= 400 && strstr(head, "application/problem+json") && strstr(body, "\"code\":\""))
		verdict = "problem";
	if (strcmp(verdict, "problem") == 0) {
		snprintf(problem, sizeof(problem), "problem:%.40s", strstr(body, "\"code\":\"") + 8);
		problem[strcspn(problem, "\"")] = '\0';
		verdict = problem;
	}
	if (ttl_ms && strcmp(verdict, "ok") == 0 && source != 'c')
		note_cached(connection->player, connection->at);
	fprintf(out, "%" PRId64 " %" PRId64 " %td %c %d %c %d %s\n", connection->at, now_us() - connection->due_us,
		connection->player - players, connection->is_write ? 'w' : 'r', status, source,
		strstr(head, "detail=unconfirmed") != NULL, verdict);
}

static void
end_request(struct connection *connection)
{
	connection->player->asked = false;
	waiting--;
	set_free(connection);
}

static void
fail(struct connection *connection)
{
	close(connection->fd);
	connect_one(connection);
	if (!connection->waits)
		return;
	count_answer(connection, 0, "", "");
	end_request(connection);
}

static void
take_answer(struct connection *connection)
{
	ssize_t got = recv(connection->fd, connection->answer + connection->len, ANSWER_BYTES - 1 - connection->len, 0);

	if (got < 0 && errno == EAGAIN)
		return;
	if (got <= 0 || !connection->waits) {
		fail(connection);
		return;
	}
	connection->len += (size_t)got;
	connection->answer[connection->len] = '\0';

	char *end = strstr(connection->answer, "\r\n\r\n");
	const char *length = end ? strcasestr(connection->answer, "\ncontent-length:") : NULL;
	size_t whole = end ? (size_t)(end + 4 - connection->answer) : 0;

	if (!end)
		return;
	if (length && length < end)
		whole += strtoul(length + 16, NULL, 10);
	if (connection->len < whole)
		return;
	count_answer(connection, atoi(connection->answer + 9), connection->answer, end + 4);
	end_request(connection);
}

static void
take_answers(int64_t wait_us)
{
	struct epoll_event ready[EVENTS];
	struct timespec timeout = {.tv_sec = wait_us / 1000000, .tv_nsec = wait_us % 1000000 * 1000};
	int count = epoll_pwait2(epoll_fd, ready, EVENTS, &timeout, NULL);

	for (int i = 0; i < count; i++)
		take_answer(ready[i].data.ptr);
}

/* --- the two ways to play --- */

static void
linger(void)
{
	int64_t end_us = now_us() + LINGER_US;

	while (waiting && now_us() < end_us)
		take_answers(10000);
	for (size_t i = 0; i < connection_count; i++)
		if (connections[i]->waits)
			fail(connections[i]);
}

static void
play_at_their_times(void)
{
	int64_t start_us = now_us();

	printf("%" PRId64 "\n", start_us);
	fflush(stdout);
	for (size_t i = 0; i < event_count; i++) {
		int64_t due_us = start_us + events[i].at;
		struct connection *connection;

		for (int64_t left_us; (left_us = due_us - now_us()) > 0;)
			take_answers(left_us);
		connection = take_free();
		if (!connection)
			die("too many requests are under way");
		send_request(connection, &events[i], due_us);
	}
	linger();
}

static void
play_at_full_speed(void)
{
	for (size_t i = 0; i < event_count; i++) {
		struct player *player = &players[events[i].player];
		struct connection *connection = NULL;

		while (player->asked || !(connection = take_free()))
			take_answers(1000);
		if (!events[i].is_write)
			expire(player, events[i].at);
		send_request(connection, &events[i], now_us());
		if (i % 16 == 0)
			take_answers(0);
	}
	linger();
	printf("%" PRIu64 "\n", expired);
}

int
main(int argc, char **argv)
{
	struct rlimit files;

	if (argc != 9 && argc != 13) {
		fprintf(stderr, "Usage: replay PORT SEASON PLAYERS SERVER_TOKEN AMOUNT KEYS EVENTS LOG "
				"[CONNECTIONS TTL_S REDIS KEY_PREFIX]\n");
		return 2;
	}
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	server = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1]))};
	server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	season = argv[2];
	server_token = argv[4];
	amount_text = argv[5];
	amount = atoll(argv[5]);
	keys = argv[6];
	read_players(argv[3]);
	read_events(argv[7]);
	out = fopen(argv[8], "w");
	if (!out)
		die(argv[8]);
	epoll_fd = epoll_create1(0);
	if (argc == 9) {
		play_at_their_times();
	} else {
		connections_most = strtoul(argv[9], NULL, 10);
		ttl_ms = atoll(argv[10]) * 1000;
		open_redis(argv[11]);
		key_prefix = argv[12];
		play_at_full_speed();
	}
	if (fclose(out) != 0)
		die(argv[8]);
	return 0;
}
