/*
 * A proxy that makes a database slow: what a client sends reaches the server DELAY_MS later, what the server answers
 * comes back at once. A question and its answer are one exchange each way, so each query takes that much longer.
 *
 * Usage: slow LISTEN TARGET DELAY_MS
 *
 * Both are Unix sockets. It delays nothing until it gets SIGUSR1; SIGUSR2 ends the delay. Delays of one connection do
 * not add up: each piece is sent DELAY_MS after it came. It must never lose or reorder a byte: when one side closes,
 * the rest is delivered first.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { PIECE_BYTES = 65536 };

struct way {
	int from, to;
	bool delayed;
};

static volatile sig_atomic_t slow;
static long delay_ms;
static const char *target;

static void
on_signal(int number)
{
	slow = number == SIGUSR1;
}

static void
die(const char *what)
{
	fprintf(stderr, "slow: %s: %s\n", what, strerror(errno));
	exit(2);
}

static struct sockaddr_un
address_of(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	return address;
}

static void
wait_ms(long ms)
{
	struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	while (nanosleep(&left, &left) != 0 && errno == EINTR)
		;
}

static bool
send_all(int fd, const char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t sent = send(fd, bytes, len, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent <= 0)
			return false;
		bytes += sent;
		len -= (size_t)sent;
	}
	return true;
}

static void *
carry(void *argument)
{
	struct way *way = argument;
	char *bytes = malloc(PIECE_BYTES);
	ssize_t got;

	while (bytes) {
		got = recv(way->from, bytes, PIECE_BYTES, 0);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		if (way->delayed && slow)
			wait_ms(delay_ms);
		if (!send_all(way->to, bytes, (size_t)got))
			break;
	}
	shutdown(way->to, SHUT_WR);
	shutdown(way->from, SHUT_RD);
	free(bytes);
	return NULL;
}

static void *
serve(void *argument)
{
	int client = (int)(intptr_t)argument;
	struct sockaddr_un address = address_of(target);
	int upstream = socket(AF_UNIX, SOCK_STREAM, 0);
	struct way there = {client, upstream, true}, back = {upstream, client, false};
	pthread_t thread;

	if (upstream >= 0 && connect(upstream, (struct sockaddr *)&address, sizeof(address)) == 0 &&
	    pthread_create(&thread, NULL, carry, &back) == 0) {
		carry(&there);
		pthread_join(thread, NULL);
	}
	if (upstream >= 0)
		close(upstream);
	close(client);
	return NULL;
}

int
main(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	pthread_attr_t attributes;
	pthread_t thread;

	if (argc != 4) {
		fprintf(stderr, "Usage: slow LISTEN TARGET DELAY_MS\n");
		return 2;
	}
	struct sockaddr_un address = address_of(argv[1]);
	int listener = socket(AF_UNIX, SOCK_STREAM, 0);

	target = argv[2];
	delay_ms = atol(argv[3]);
	sigaction(SIGUSR1, &action, NULL);
	sigaction(SIGUSR2, &action, NULL);
	if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof(address)) != 0 ||
	    listen(listener, 128) != 0)
		die(argv[1]);
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	for (;;) {
		int client = accept(listener, NULL, NULL);

		if (client < 0 && errno != EINTR)
			die("accept");
		if (client >= 0 && pthread_create(&thread, &attributes, serve, (void *)(intptr_t)client) != 0)
			die("pthread_create");
	}
}
