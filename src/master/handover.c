/*
 * From one binary to the next: see handover.h. The variable is a list of "pid FD", "socket KIND FD passed|own" and
 * "child KIND PID", each ended by a semicolon.
 */
#include "master/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"

#define VARIABLE "BATTLEPASSD_HANDOVER"

enum { ARGUMENTS_MAX = 256, SAID_MAX = 4096, TEST_LOOK_MS = 50, TEST_MS = 20000 };

static bool
kind_of(const char *name, enum worker_kind *ret_kind)
{
	for (int kind = 0; kind < WORKER_KIND_COUNT; kind++) {
		if (strcmp(name, worker_name((enum worker_kind)kind)) == 0) {
			*ret_kind = (enum worker_kind)kind;
			return true;
		}
	}
	return false;
}

/* One item without its semicolon. */
static bool
take_item(struct handover *handover, const char *item)
{
	enum worker_kind kind;
	char name[16];
	char whose[8];
	int number;

	if (sscanf(item, "pid %d", &number) == 1) {
		handover->pid_fd = number;
		return true;
	}
	if (sscanf(item, "socket %15s %d %7s", name, &number, whose) == 3 && kind_of(name, &kind)) {
		handover->sockets[kind] = (struct lane_socket){number, strcmp(whose, "passed") == 0};
		return true;
	}
	if (sscanf(item, "child %15s %d", name, &number) == 2 && kind_of(name, &kind) && number > 1 &&
	    handover->child_count < METRICS_SLOTS) {
		handover->children[handover->child_count].pid = number;
		handover->children[handover->child_count++].kind = kind;
		return true;
	}
	return false;
}

/* Those that are open, so that no child and no other program gets them. */
static bool
set_close_on_exec(const struct handover *handover, int flag)
{
	bool open = handover->pid_fd >= 0 && fcntl(handover->pid_fd, F_SETFD, flag) == 0;

	for (int kind = 0; kind < WORKER_KIND_COUNT; kind++)
		if (handover->sockets[kind].fd >= 0)
			open = fcntl(handover->sockets[kind].fd, F_SETFD, flag) == 0 && open;
	return open;
}

static void
handover_init(struct handover *handover)
{
	*handover = (struct handover){.pid_fd = -1};
	for (int kind = 0; kind < WORKER_KIND_COUNT; kind++)
		handover->sockets[kind].fd = -1;
}

enum err
handover_take(struct handover *ret_handover)
{
	const char *value = getenv(VARIABLE);
	char *left = NULL;
	enum err err = ERR_OK;

	if (!value)
		return ERR_NOT_FOUND;

	char *text = strdup(value);

	if (!text)
		abort();
	unsetenv(VARIABLE);
	handover_init(ret_handover);
	for (char *item = strtok_r(text, ";", &left); item && err == ERR_OK; item = strtok_r(NULL, ";", &left))
		err = take_item(ret_handover, item) ? ERR_OK : ERR_CONFIG;
	free(text);
	return err == ERR_OK && set_close_on_exec(ret_handover, FD_CLOEXEC) ? ERR_OK : ERR_CONFIG;
}

/* In a child of ours: what it says is ours to tell. */
static void
be_test(const char *path, char *const argv[], int said_fd)
{
	char *arguments[ARGUMENTS_MAX];
	size_t count = 0;
	sigset_t none;

	while (count < ARGUMENTS_MAX - 2 && argv[count]) {
		arguments[count] = argv[count];
		count++;
	}
	arguments[count++] = (char[]){"--test"};
	arguments[count] = NULL;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	dup2(said_fd, STDERR_FILENO);
	execv(path, arguments);
	dprintf(STDERR_FILENO, "%s\n", strerror(errno));
	_exit(EXIT_FAILURE);
}

/* What is there by now; what is longer is read and forgotten, so that nobody waits for us. */
static void
read_said(int fd, struct buf *said)
{
	char chunk[512];
	ssize_t count;

	while ((count = read(fd, chunk, sizeof(chunk))) > 0 || (count < 0 && errno == EINTR))
		if (count > 0 && said->len < SAID_MAX)
			buf_bytes(said, chunk, (size_t)count);
}

/*
 * Until the child has ended, whoever else may hold its end of the pipe. One that does not end is killed: as long as it
 * is waited for nobody is replaced.
 */
static int
await_test(pid_t child, int said_fd, struct buf *said)
{
	int64_t until_ms = clock_boot_ms() + TEST_MS;
	pid_t ended = 0;
	int status = 0;

	while (ended == 0 || (ended < 0 && errno == EINTR)) {
		clock_sleep_ms(TEST_LOOK_MS);
		read_said(said_fd, said);
		if (clock_boot_ms() >= until_ms)
			kill(child, SIGKILL);
		ended = waitpid(child, &status, WNOHANG);
	}
	read_said(said_fd, said);
	return ended == child ? status : -1;
}

/* Line by line, each a line of the log. */
static void
log_said(const char *path, struct buf *said)
{
	char *left = NULL;

	buf_char(said, '\0');
	for (char *line = strtok_r(said->data, "\n", &left); line; line = strtok_r(NULL, "\n", &left))
		log_error("%s --test: %s", path, line);
}

bool
handover_is_accepted(const char *path, char *const argv[])
{
	struct buf said;
	int ends[2];
	int status = -1;

	if (pipe2(ends, O_CLOEXEC) != 0)
		return false;
	fcntl(ends[0], F_SETFL, O_NONBLOCK);

	pid_t child = fork();

	if (child == 0)
		be_test(path, argv, ends[1]);
	buf_init(&said);
	close(ends[1]);
	if (child > 0)
		status = await_test(child, ends[0], &said);
	close(ends[0]);

	bool accepted = WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS;

	if (!accepted)
		log_said(path, &said);
	buf_release(&said);
	return accepted;
}

static void
write_items(struct buf *text, const struct handover *handover)
{
	buf_format(text, "pid %d;", handover->pid_fd);
	for (int kind = 0; kind < WORKER_KIND_COUNT; kind++) {
		const struct lane_socket *socket = &handover->sockets[kind];

		if (socket->fd >= 0)
			buf_format(text, "socket %s %d %s;", worker_name((enum worker_kind)kind), socket->fd,
				   socket->passed ? "passed" : "own");
	}
	for (size_t i = 0; i < handover->child_count; i++)
		buf_format(text, "child %s %d;", worker_name(handover->children[i].kind),
			   (int)handover->children[i].pid);
}

void
handover_execute(const struct handover *handover, const char *path, char *const argv[])
{
	struct buf text;

	buf_init(&text);
	write_items(&text, handover);
	if (setenv(VARIABLE, buf_text(&text), 1) == 0 && set_close_on_exec(handover, 0))
		execv(path, argv);
	log_error("%s: %s", path, strerror(errno));
	unsetenv(VARIABLE);
	set_close_on_exec(handover, FD_CLOEXEC);
	buf_release(&text);
}
