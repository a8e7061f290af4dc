/* The master's children: see children.h. */
#include "master/children.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

enum {
	RESPAWN_FIRST_MS = 100,
	RESPAWN_MAX_MS = 5000,
	SHORT_LIFE_MS = 1000, /* who dies younger is started again more and more slowly */
	DRAIN_MS = 30000,     /* who was asked to stop and has not within this is killed */
};

static struct child *
free_place(struct children *children)
{
	for (size_t i = 0; i < CHILDREN_MAX; i++)
		if (children->places[i].pid == 0)
			return &children->places[i];
	return NULL;
}

/* Those of ours that take requests, or are to; with_stopping: those on their way out, too. */
static size_t
count_kind(const struct children *children, enum worker_kind kind, bool with_stopping)
{
	size_t count = 0;

	for (size_t i = 0; i < CHILDREN_MAX; i++) {
		const struct child *child = &children->places[i];

		count +=
			child->pid != 0 && child->kind == kind && !child->former && (with_stopping || !child->stopping);
	}
	return count;
}

/* In the child. PDEATHSIG: no worker outlives its master, not even a stopped one. */
static void
be_child(struct children *children, const struct child *child, pid_t parent)
{
	unsigned slot = (unsigned)(child - children->places);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(EXIT_FAILURE);
	exit(worker_run(child->kind, children->conf, children->shared, slot, children->kinds[child->kind].socket.fd));
}

static void
start_child(struct children *children, enum worker_kind kind)
{
	struct child *child = free_place(children);
	pid_t parent = getpid();

	if (!child) {
		log_error("there is no place for another %s process", worker_name(kind));
		return;
	}
	*child = (struct child){.kind = kind, .started_at_ms = clock_boot_ms()};

	pid_t pid = fork();

	if (pid == 0)
		be_child(children, child, parent);
	if (pid < 0) {
		log_error("fork: %s", strerror(errno));
		children->kinds[kind].start_at_ms = clock_boot_ms() + RESPAWN_MAX_MS;
		return;
	}
	child->pid = pid;
	metrics_add(METRIC_PROCESS_STARTS, 1);
}

/* There is never more than one steward: it is the only writer of what it writes. */
void
children_start_missing(struct children *children, bool lanes)
{
	for (int kind = 0; kind < WORKER_KIND_COUNT; kind++) {
		struct kind_state *state = &children->kinds[kind];
		bool alone = !worker_has_socket((enum worker_kind)kind);

		if (!alone && !lanes)
			continue;
		while (clock_boot_ms() >= state->start_at_ms &&
		       count_kind(children, (enum worker_kind)kind, alone) <
			       worker_count((enum worker_kind)kind, children->conf)) {
			size_t before = count_kind(children, (enum worker_kind)kind, true);

			start_child(children, (enum worker_kind)kind);
			if (count_kind(children, (enum worker_kind)kind, true) == before)
				break;
		}
	}
}

static void
stop_child(struct child *child)
{
	if (child->pid == 0 || child->stopping)
		return;
	child->stopping = true;
	child->kill_at_ms = clock_boot_ms() + DRAIN_MS;
	kill(child->pid, SIGTERM);
}

void
children_stop(struct children *children, bool former)
{
	bool lanes_run = false;

	for (size_t i = 0; i < CHILDREN_MAX; i++)
		lanes_run |= children->places[i].pid != 0 && children->places[i].former == former &&
			     worker_has_socket(children->places[i].kind);
	for (size_t i = 0; i < CHILDREN_MAX; i++)
		if (children->places[i].former == former && (!lanes_run || worker_has_socket(children->places[i].kind)))
			stop_child(&children->places[i]);
}

void
children_kill_late(struct children *children)
{
	for (size_t i = 0; i < CHILDREN_MAX; i++) {
		struct child *child = &children->places[i];

		if (child->pid == 0 || !child->stopping || clock_boot_ms() < child->kill_at_ms)
			continue;
		log_error("%s process %d did not stop in time: killed", worker_name(child->kind), (int)child->pid);
		kill(child->pid, SIGKILL);
		child->kill_at_ms = INT64_MAX;
	}
}

static void
write_obituary(const struct child *child, int status)
{
	double lived_s = (double)(clock_boot_ms() - child->started_at_ms) / 1000;

	if (WIFSIGNALED(status))
		log_error("%s process %d was killed by signal %d (%s)%s after %.1f s", worker_name(child->kind),
			  (int)child->pid, WTERMSIG(status), strsignal(WTERMSIG(status)),
			  WCOREDUMP(status) ? ", core dumped," : "", lived_s);
	else
		log_error("%s process %d ended with status %d after %.1f s", worker_name(child->kind), (int)child->pid,
			  WEXITSTATUS(status), lived_s);
}

/* When may the next one be started? At once, unless its kind dies young again and again. */
static void
delay_next(struct kind_state *state, const struct child *child)
{
	int64_t now_ms = clock_boot_ms();

	if (now_ms - child->started_at_ms >= SHORT_LIFE_MS)
		state->delay_ms = 0;
	else if (state->delay_ms == 0)
		state->delay_ms = RESPAWN_FIRST_MS;
	else if (state->delay_ms < RESPAWN_MAX_MS)
		state->delay_ms = state->delay_ms * 2 < RESPAWN_MAX_MS ? state->delay_ms * 2 : RESPAWN_MAX_MS;
	state->start_at_ms = now_ms + state->delay_ms;
}

static void
bury(struct children *children, pid_t pid, int status)
{
	for (size_t i = 0; i < CHILDREN_MAX; i++) {
		struct child *child = &children->places[i];

		if (child->pid != pid)
			continue;
		if (!child->stopping) {
			metrics_add(METRIC_PROCESS_DEATHS, 1);
			write_obituary(child, status);
			if (!child->former)
				delay_next(&children->kinds[child->kind], child);
		}
		child->pid = 0;
		return;
	}
}

void
children_reap(struct children *children)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		bury(children, pid, status);
}

void
children_replace(struct children *children, bool lanes)
{
	struct child old[CHILDREN_MAX];

	memcpy(old, children->places, sizeof(old));
	for (size_t i = 0; i < CHILDREN_MAX; i++)
		children->places[i].stopping = true; /* so that they do not count */
	for (int kind = 0; kind < WORKER_KIND_COUNT; kind++)
		children->kinds[kind] = (struct kind_state){.socket = children->kinds[kind].socket};
	children_start_missing(children, lanes);
	for (size_t i = 0; i < CHILDREN_MAX; i++) {
		if (old[i].pid == 0)
			continue;
		children->places[i].stopping = old[i].stopping;
		if (!old[i].former)
			stop_child(&children->places[i]);
	}
}

bool
children_run(const struct children *children, bool former_only)
{
	for (size_t i = 0; i < CHILDREN_MAX; i++)
		if (children->places[i].pid != 0 && (children->places[i].former || !former_only))
			return true;
	return false;
}

bool
children_wait(const struct children *children)
{
	for (size_t i = 0; i < CHILDREN_MAX; i++)
		if (children->places[i].pid != 0 && (children->places[i].stopping || children->places[i].former))
			return true;
	for (int kind = 0; kind < WORKER_KIND_COUNT; kind++)
		if (count_kind(children, (enum worker_kind)kind, false) <
		    worker_count((enum worker_kind)kind, children->conf))
			return true;
	return false;
}

void
children_hand_over(const struct children *children, struct handover *handover)
{
	for (int kind = 0; kind < WORKER_KIND_COUNT; kind++)
		handover->sockets[kind] = children->kinds[kind].socket;
	for (size_t i = 0; i < CHILDREN_MAX; i++) {
		if (children->places[i].pid == 0)
			continue;
		handover->children[handover->child_count].pid = children->places[i].pid;
		handover->children[handover->child_count++].kind = children->places[i].kind;
	}
}

void
children_take_over(struct children *children, const struct handover *handover)
{
	for (int kind = 0; kind < WORKER_KIND_COUNT; kind++)
		children->kinds[kind].socket = handover->sockets[kind];
	for (size_t i = 0; i < handover->child_count && i < CHILDREN_MAX; i++)
		children->places[i] = (struct child){
			.pid = handover->children[i].pid,
			.kind = handover->children[i].kind,
			.former = true,
			.started_at_ms = clock_boot_ms(),
		};
}
