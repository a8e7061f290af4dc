/* A Redis of the test's own: see redis_server.h. The relay stands in redis_relay.c. */
#include "redis_server.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "redis_relay.h"

enum { START_MS = 10000, WORDS_MAX = 10 };

static const char server_program[] = "redis-server";

_Noreturn static void
die(const char *what)
{
	printf("Bail out! %s: %s\n", what, strerror(errno));
	exit(2);
}

bool
redis_server_installed(void)
{
	return system("command -v redis-server >/dev/null 2>&1") == 0;
}

int
redis_server_skip(void)
{
	const char *strict = getenv("TEST_STRICT");

	if (strict && strcmp(strict, "1") == 0) {
		printf("1..1\nnot ok 1 - redis-server is not installed\n");
		return 1;
	}
	printf("1..0 # SKIP redis-server is not installed\n");
	return 0;
}

/* The child ends with the test, whatever ends that. */
static void
be_a_child(const struct redis_server *server)
{
	int log = open("server.log", O_WRONLY | O_CREAT | O_APPEND, 0600);

	(void)server;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (log >= 0) {
		dup2(log, STDOUT_FILENO);
		dup2(log, STDERR_FILENO);
	}
}

static void
start_redis(struct redis_server *server)
{
	server->pid = fork();
	if (server->pid < 0)
		die("fork");
	if (server->pid > 0)
		return;
	if (chdir(server->folder) != 0)
		_exit(127);
	be_a_child(server);
	execlp(server_program, server_program, "--port", "0", "--unixsocket", server->socket, "--save", "",
	       "--appendonly", "no", "--dir", server->folder, "--maxmemory", "64mb", (char *)NULL);
	_exit(127);
}

static void
stop(pid_t *pid)
{
	if (*pid <= 0)
		return;
	kill(*pid, SIGKILL);
	while (waitpid(*pid, NULL, 0) < 0 && errno == EINTR)
		continue;
	*pid = 0;
}

static void
connect_control(struct redis_server *server)
{
	int64_t deadline_ms = clock_boot_ms() + START_MS;

	server->control = redis_new(server->conf, NULL);
	for (;;) {
		redis_retry_now(server->control);
		if (redis_connect(server->control) == ERR_OK)
			return;
		if (clock_boot_ms() > deadline_ms || waitpid(server->pid, NULL, WNOHANG) == server->pid)
			die("redis-server does not start");
		clock_sleep_ms(5);
	}
}

void
redis_server_start(struct redis_server *server)
{
	*server = (struct redis_server){.folder = "/tmp/battlepass-redis-XXXXXX"};
	if (!mkdtemp(server->folder))
		die("mkdtemp");
	snprintf(server->socket, sizeof(server->socket), "%s/redis.sock", server->folder);
	snprintf(server->relay_socket, sizeof(server->relay_socket), "%s/relay.sock", server->folder);
	arena_init(&server->arena);
	start_redis(server);
	server->conf = redis_server_conf(server, server->socket, 1000);
	connect_control(server);
	server->orders = redis_relay_start(server->relay_socket, server->socket, &server->relay);
	if (server->orders < 0)
		die("relay");
}

void
redis_server_reconnect(struct redis_server *server)
{
	redis_free(server->control);
	connect_control(server);
}

void
redis_server_replace(struct redis_server *server)
{
	stop(&server->pid);
	unlink(server->socket);
	start_redis(server);
	redis_free(server->control);
	connect_control(server);
}

void
redis_server_stop(struct redis_server *server)
{
	char log[96];

	redis_free(server->control);
	conf_free(server->conf);
	close(server->orders);
	stop(&server->relay);
	stop(&server->pid);
	arena_release(&server->arena);
	snprintf(log, sizeof(log), "%s/server.log", server->folder);
	unlink(log);
	unlink(server->socket);
	unlink(server->relay_socket);
	rmdir(server->folder);
}

struct conf *
redis_server_conf(const struct redis_server *server, const char *socket, int turn_timeout_ms)
{
	char detail[CONF_DETAIL_SIZE];
	char where[128];
	char timeout[64];
	struct conf *conf;

	snprintf(where, sizeof(where), "cache.socket=%s", socket ? socket : server->relay_socket);
	snprintf(timeout, sizeof(timeout), "cache.turn_timeout_ms=%d", turn_timeout_ms);
	if (conf_load(NULL, (const char *const[]){where, timeout, NULL}, &conf, detail) != ERR_OK) {
		printf("Bail out! %s\n", detail);
		exit(2);
	}
	return conf;
}

static struct redis_answer
ask(struct redis_server *server, const struct str *words, size_t count)
{
	struct redis_answer answer;

	arena_reset(&server->arena);
	redis_begin(server->control);
	if (!redis_command(server->control, words, count) || !redis_reply(server->control, &server->arena, &answer))
		die("the control connection is lost");
	return answer;
}

struct redis_answer
redis_server_ask(struct redis_server *server, const char *text)
{
	struct str words[WORDS_MAX];
	size_t count = 0;

	while (*text && count < WORDS_MAX) {
		size_t length = strcspn(text, " ");

		words[count++] = (struct str){text, length};
		text += length + (text[length] == ' ');
	}
	return ask(server, words, count);
}

void
redis_server_put(struct redis_server *server, const char *key, struct str value)
{
	ask(server, (struct str[]){STR("SET"), str_from(key), value}, 3);
}

const char *
redis_server_get(struct redis_server *server, const char *key)
{
	struct redis_answer answer = ask(server, (struct str[]){STR("GET"), str_from(key)}, 2);

	return answer.type == REDIS_TEXT ? answer.text.ptr : NULL;
}

/* Every order is answered with four bytes before the next. */
static unsigned
give_order(struct redis_server *server, char order, unsigned argument)
{
	unsigned char message[2] = {(unsigned char)order, (unsigned char)argument};
	unsigned result;

	if (send(server->orders, message, sizeof(message), MSG_NOSIGNAL) != sizeof(message) ||
	    recv(server->orders, &result, sizeof(result), MSG_WAITALL) != sizeof(result))
		die("the relay is gone");
	return result;
}

void
redis_relay_order(struct redis_server *server, enum relay_order order)
{
	give_order(server, (char)order, 0);
}

bool
redis_relay_release(struct redis_server *server, unsigned which)
{
	return give_order(server, RELAY_RELEASE, which) != 0;
}

void
redis_relay_flush(struct redis_server *server)
{
	give_order(server, RELAY_FLUSH, 0);
}

void
redis_relay_reset(struct redis_server *server)
{
	give_order(server, RELAY_RESET, 0);
}

unsigned
redis_relay_connections(struct redis_server *server)
{
	return give_order(server, RELAY_COUNT, 0);
}
