/*
 * A load that does not wait: requests arrive at a given rate, at random moments, whatever became of those before. wrk
 * asks again only once it was answered, and so never asks for more than there is. Each goes out on a kept connection
 * that has none under way; an arrival that finds no such connection is lost and counted. Latency runs from the arrival.
 *
 * Usage: arrivals [-o] -p PORT -r RATE -s SETTLE_MS -m MEASURE_MS -c CONNECTIONS -w WITHIN_MS -t TICK_US -k KEYS FILE
 *
 * FILE: requests as they are sent, each behind a line that says its length, and with a line end behind it. What is sent
 * is drawn at random; with -o each is sent once, in their order. Sixteen @ in one are replaced by KEYS (six characters)
 * and a number. Connections take turns. Arrivals that are closer together than TICK_US go out in one go. Those of the
 * first SETTLE_MS are not measured; they come so fast that each connection has its turn. "measuring" and "measured" are
 * said when that is so, then comes one line of JSON: answered (all answers, of what is not measured too), arrivals,
 * good (2xx within WITHIN_MS), late (2xx after that), shed (503 overloaded), other (any other answer), failed (the
 * connection broke), lost (no free connection), unanswered; p50_us, p99_us and max_us of the good ones; cpu_us that
 * this program used in all.
 *
 * One thread, and next to no work for a request: the machine is left to what is measured.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
	PLACE_BYTES = 16,
	PREFIX_BYTES = 6,
	ANSWER_BYTES = 32768,
	EVENTS = 256,
	LINGER_MS = 3000, /* for answers, after the last arrival */
};

struct request {
	char *text;
	size_t len;
	char *place; /* of the key; NULL: none */
};

struct connection {
	int fd;
	bool waits;
	bool counts; /* its request arrived while measuring */
	int64_t arrived_ns;
	char *answer;
	size_t answer_len;
	struct connection *next_free;
};

struct tally {
	uint64_t answered, arrivals, good, late, shed, other, failed, lost, unanswered;
	uint32_t *good_us;
	size_t good_room;
};

struct options {
	uint16_t port;
	double rate;
	int64_t settle_ms, measure_ms, within_ms, tick_us;
	size_t connections;
	const char *keys;
	bool in_order;
};

static struct options options;
static struct request *requests;
static size_t request_count, requests_sent;
static struct connection *connections;
static struct connection *first_free, *last_free; /* who has been free for longest comes first */
static struct tally tally;
static struct sockaddr_in server;
static int epoll_fd;
static uint64_t keys_made;
static uint64_t random_state;

static void
die(const char *what)
{
	fprintf(stderr, "arrivals: %s: %s\n", what, strerror(errno));
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
now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* xorshift64 */
static uint64_t
draw(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

/* --- requests --- */

static char *
slurp(const char *file, size_t *ret_len)
{
	FILE *in = fopen(file, "r");
	struct stat info;

	if (!in || fstat(fileno(in), &info) != 0)
		die(file);
	*ret_len = (size_t)info.st_size;

	char *text = allocate(*ret_len + 1, 1);

	if (fread(text, 1, *ret_len, in) != *ret_len)
		die(file);
	fclose(in);
	return text;
}

static void
read_requests(const char *file)
{
	static const char place[] = "@@@@@@@@@@@@@@@@";
	size_t len;
	char *at = slurp(file, &len);
	const char *end = at + len;
	size_t room = 0;

	while (at < end) {
		size_t size = strtoul(at, &at, 10);

		if (*at++ != '\n' || size == 0 || size > (size_t)(end - at))
			die("a length is wrong");
		if (request_count == room) {
			room = room ? 2 * room : 1024;
			requests = realloc(requests, room * sizeof(*requests));
			if (!requests)
				die("realloc");
		}
		requests[request_count++] = (struct request){at, size, memmem(at, size, place, PLACE_BYTES)};
		at += size;
		at += *at == '\n';
	}
	if (request_count == 0)
		die("no requests");
}

/* --- connections --- */

static void
set_free(struct connection *connection)
{
	connection->waits = false;
	connection->answer_len = 0;
	connection->next_free = NULL;
	if (first_free)
		last_free->next_free = connection;
	else
		first_free = connection;
	last_free = connection;
}

static void
open_connection(struct connection *connection)
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
reopen(struct connection *connection)
{
	close(connection->fd);
	open_connection(connection);
}

static void
fail(struct connection *connection)
{
	bool waited = connection->waits;

	tally.failed += waited && connection->counts;
	reopen(connection);
	if (waited)
		set_free(connection);
}

static struct request *
next_request(void)
{
	if (!options.in_order)
		return &requests[draw() % request_count];
	if (requests_sent == request_count)
		die("there are too few requests");
	return &requests[requests_sent++];
}

static void
send_request(struct connection *connection, int64_t arrived_ns, bool counts)
{
	struct request *request = next_request();

	if (request->place) {
		char key[PLACE_BYTES + 1];

		snprintf(key, sizeof(key), "%.*s%010llu", PREFIX_BYTES, options.keys, (unsigned long long)keys_made++);
		memcpy(request->place, key, PLACE_BYTES);
	}
	connection->waits = true;
	connection->counts = counts;
	connection->arrived_ns = arrived_ns;
	if (send(connection->fd, request->text, request->len, MSG_NOSIGNAL) != (ssize_t)request->len)
		fail(connection);
}

static void
arrive(int64_t arrived_ns, bool counts)
{
	struct connection *connection = first_free;

	tally.arrivals += counts;
	if (!connection) {
		tally.lost += counts;
		return;
	}
	first_free = connection->next_free;
	send_request(connection, arrived_ns, counts);
}

/* --- answers --- */

static void
count_good(int64_t took_ns)
{
	static size_t room;

	if (tally.good == room) {
		room = room ? 2 * room : 65536;
		tally.good_us = realloc(tally.good_us, room * sizeof(*tally.good_us));
		if (!tally.good_us)
			die("realloc");
	}
	tally.good_us[tally.good++] = (uint32_t)(took_ns / 1000);
}

static void
count_answer(const struct connection *connection, size_t head_len)
{
	int64_t took_ns = now_ns() - connection->arrived_ns;
	const char *status = connection->answer + 9; /* behind "HTTP/1.1 " */

	tally.answered++;
	if (!connection->counts)
		return;
	if (status[0] == '2' && took_ns <= options.within_ms * 1000000)
		count_good(took_ns);
	else if (status[0] == '2')
		tally.late++;
	else if (memcmp(status, "503", 3) == 0 &&
		 memmem(connection->answer + head_len, connection->answer_len - head_len, "\"code\":\"overloaded\"",
			19))
		tally.shed++;
	else
		tally.other++;
}

/* The length of the head, and of all of the answer; 0: not there yet. */
static size_t
whole_length(struct connection *connection, size_t *ret_head_len)
{
	connection->answer[connection->answer_len] = '\0';

	const char *end = strstr(connection->answer, "\r\n\r\n");
	const char *length = end ? strcasestr(connection->answer, "\ncontent-length:") : NULL;

	if (!end)
		return 0;
	*ret_head_len = (size_t)(end + 4 - connection->answer);
	return *ret_head_len + (length && length < end ? strtoul(length + 16, NULL, 10) : 0);
}

static void
take_answer(struct connection *connection)
{
	ssize_t got = recv(connection->fd, connection->answer + connection->answer_len,
			   ANSWER_BYTES - 1 - connection->answer_len, 0);
	size_t head_len;

	if (got < 0 && errno == EAGAIN)
		return;
	if (got <= 0 || !connection->waits) {
		fail(connection);
		return;
	}
	connection->answer_len += (size_t)got;

	size_t len = whole_length(connection, &head_len);

	if (len == 0 || connection->answer_len < len)
		return;
	count_answer(connection, head_len);
	set_free(connection);
}

/* Waits until then at most, but always for a tick, so that little time goes into looking. */
static void
take_answers(int64_t until_ns)
{
	struct epoll_event events[EVENTS];
	int64_t left_ns = until_ns - now_ns();
	int64_t tick_ns = options.tick_us * 1000;
	struct timespec timeout = {.tv_nsec = left_ns < tick_ns ? tick_ns : left_ns > 5000000 ? 5000000 : left_ns};
	int count = epoll_pwait2(epoll_fd, events, EVENTS, &timeout, NULL);

	for (int i = 0; i < count; i++)
		take_answer(events[i].data.ptr);
}

/* --- the load --- */

static double
gap_ns(double rate)
{
	return -log(((double)(draw() >> 11) + 1) / 9007199254740993.0) / rate * 1e9;
}

/* nginx closes a new connection on which nothing comes for ten seconds. */
static double
settling_rate(void)
{
	double needed = options.settle_ms ? (double)options.connections * 1000 / (double)options.settle_ms : 0;

	return needed > options.rate ? needed : options.rate;
}

static void
run(void)
{
	int64_t start_ns = now_ns();
	int64_t measured_ns = start_ns + options.settle_ms * 1000000;
	int64_t end_ns = measured_ns + options.measure_ms * 1000000;
	double due_ns = (double)start_ns;
	bool told = false;

	while (due_ns < (double)end_ns) {
		int64_t time_ns = now_ns();

		if (!told && time_ns >= measured_ns) {
			puts("measuring");
			fflush(stdout);
			told = true;
		}
		while (due_ns <= (double)time_ns && due_ns < (double)end_ns) {
			arrive((int64_t)due_ns, due_ns >= (double)measured_ns);
			due_ns += gap_ns(due_ns < (double)measured_ns ? settling_rate() : options.rate);
		}
		take_answers((int64_t)due_ns);
	}
	puts("measured");
	fflush(stdout);
	for (size_t i = 0; i < options.connections; i++)
		while (connections[i].waits && now_ns() < end_ns + (int64_t)LINGER_MS * 1000000)
			take_answers(0);
	for (size_t i = 0; i < options.connections; i++)
		tally.unanswered += connections[i].waits && connections[i].counts;
}

static int
compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a;
	uint32_t y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* 100: the longest */
static unsigned
percentile(unsigned percent)
{
	return tally.good ? tally.good_us[(tally.good - 1) * percent / 100] : 0;
}

static void
report(void)
{
	struct rusage used;

	getrusage(RUSAGE_SELF, &used);
	if (tally.good)
		qsort(tally.good_us, tally.good, sizeof(*tally.good_us), compare);
#define COUNT(name) printf("\"" #name "\":%llu,", (unsigned long long)tally.name)
	putchar('{');
	COUNT(answered);
	COUNT(arrivals);
	COUNT(good);
	COUNT(late);
	COUNT(shed);
	COUNT(other);
	COUNT(failed);
	COUNT(lost);
	COUNT(unanswered);
#undef COUNT
	printf("\"p50_us\":%u,\"p99_us\":%u,\"max_us\":%u,\"cpu_us\":%lld}\n", percentile(50), percentile(99),
	       percentile(100),
	       (long long)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000000 + used.ru_utime.tv_usec +
		       used.ru_stime.tv_usec);
}

static bool
read_options(int argc, char **argv)
{
	for (int option; (option = getopt(argc, argv, "op:r:s:m:c:w:t:k:")) != -1;) {
		switch (option) {
		case 'o':
			options.in_order = true;
			break;
		case 'p':
			options.port = (uint16_t)atoi(optarg);
			break;
		case 'r':
			options.rate = atof(optarg);
			break;
		case 's':
			options.settle_ms = atoll(optarg);
			break;
		case 'm':
			options.measure_ms = atoll(optarg);
			break;
		case 'c':
			options.connections = strtoul(optarg, NULL, 10);
			break;
		case 'w':
			options.within_ms = atoll(optarg);
			break;
		case 't':
			options.tick_us = atoll(optarg);
			break;
		case 'k':
			options.keys = optarg;
			break;
		default:
			return false;
		}
	}
	return optind == argc - 1 && options.port && options.rate > 0 && options.measure_ms && options.connections &&
	       options.keys && strlen(options.keys) == PREFIX_BYTES;
}

int
main(int argc, char **argv)
{
	if (!read_options(argc, argv)) {
		fprintf(stderr,
			"Usage: arrivals [-o] -p PORT -r RATE -s SETTLE_MS -m MEASURE_MS -c CONNECTIONS -w WITHIN_MS "
			"-t TICK_US -k KEYS FILE\n");
		return 2;
	}
	server = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(options.port)};
	server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	random_state = (uint64_t)now_ns() | 1;
	read_requests(argv[optind]);
	epoll_fd = epoll_create1(0);
	connections = allocate(options.connections, sizeof(*connections));
	for (size_t i = 0; i < options.connections; i++) {
		connections[i].answer = allocate(ANSWER_BYTES, 1);
		open_connection(&connections[i]);
		set_free(&connections[i]);
	}
	run();
	report();
	return 0;
}
