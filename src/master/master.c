/*
 * The master: see master.h. One loop: signals are blocked except in its wait; handlers set a flag and no more; the
 * flags are looked at in one fixed order.
 */
#include "master/master.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "economy/economy.h"
#include "master/handover.h"
#include "master/notify.h"
#include "master/sockets.h"

enum {
	CHILDREN_MAX = METRICS_SLOTS - 1, /* the last slot is the master's own */
	RESPAWN_FIRST_MS = 100,
	RESPAWN_MAX_MS = 5000,
	SHORT_LIFE_MS = 1000, /* who dies younger is started again more and more slowly */
	FILES_WANTED = 8192,
	DIRECTORY_WAIT_MS = 2000, /* lanes begin without the seasons when the steward cannot read them within this */
	STARTING_LOOK_MS = 5,
	DUE_LOOK_MS = 100,
	DRAIN_MS = 30000, /* who was asked to stop and has not within this is killed */
};

struct child {
	pid_t pid; /* 0: the place is free */
	enum worker_kind kind;
	bool stopping;
	bool former;           /* of the binary before this one */
	int64_t started_at_ms; /* boot time, as all times here */
	int64_t kill_at_ms;
};

struct kind_state {
	struct lane_socket socket;
	int64_t delay_ms;
	int64_t start_at_ms; /* not before */
	bool given_up;       /* ended with WORKER_EXIT_CONFIG: not before a reload */
};

struct master {
	struct conf *conf;
	const struct master_program *program;
	char path[PATH_MAX]; /* of the binary, as it was when this one began */
	int pid_fd;
	struct shared *shared;
	struct kind_state kinds[WORKER_KIND_COUNT];
	struct child children[CHILDREN_MAX];
	sigset_t wait_mask;
	int64_t began_ms;
	bool lanes_began;
	bool stopping;
};

/* Set by the handlers. */
static volatile sig_atomic_t child_ended;
static volatile sig_atomic_t reload_asked;
static volatile sig_atomic_t upgrade_asked;
static volatile sig_atomic_t stop_asked;

static void
note_signal(int signal)
{
	if (signal == SIGCHLD)
		child_ended = 1;
	else if (signal == SIGHUP)
		reload_asked = 1;
	else if (signal == SIGUSR2)
		upgrade_asked = 1;
	else
		stop_asked = 1;
}

static void
take_signals(sigset_t *wait_mask)
{
	static const int taken[] = {SIGCHLD, SIGHUP, SIGUSR2, SIGTERM, SIGINT};
	struct sigaction action = {.sa_handler = note_signal};
	sigset_t blocked;

	sigemptyset(&blocked);
	for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++) {
		sigaction(taken[i], &action, NULL);
		sigaddset(&blocked, taken[i]);
	}
	signal(SIGPIPE, SIG_IGN);
	signal(SIGUSR1, SIG_IGN); /* who asks a daemon to reopen its log must not end one that has none */
	sigprocmask(SIG_BLOCK, &blocked, wait_mask);
	for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++)
		sigdelset(wait_mask, taken[i]); /* our own parent may have had them blocked */
}

static struct child *
free_place(struct master *master)
{
	for (size_t i = 0; i < CHILDREN_MAX; i++)
		if (master->children[i].pid == 0)
			return &master->children[i];
	return NULL;
}

/* Those of ours that take requests, or are to; with_stopping: those on their way out, too. */
static size_t
count_children(const struct master *master, enum worker_kind kind, bool with_stopping)
{
	size_t count = 0;

	for (size_t i = 0; i < CHILDREN_MAX; i++) {
		const struct child *child = &master->children[i];

		count +=
			child->pid != 0 && child->kind == kind && !child->former && (with_stopping || !child->stopping);
	}
	return count;
}

/* In the child. PDEATHSIG: no worker outlives its master, not even a stopped one. */
static void
be_child(struct master *master, const struct child *child, pid_t parent)
{
	unsigned slot = (unsigned)(child - master->children);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(EXIT_FAILURE);
	exit(worker_run(child->kind, master->conf, master->shared, slot, master->kinds[child->kind].socket.fd));
}

static void
start_child(struct master *master, enum worker_kind kind)
{
	struct child *child = free_place(master);
	pid_t parent = getpid();

	if (!child) {
		log_error("there is no place for another %s process", worker_name(kind));
		return;
	}
	*child = (struct child){.kind = kind, .started_at_ms = clock_boot_ms()};

	pid_t pid = fork();

	if (pid == 0)
		be_child(master, child, parent);
	if (pid < 0) {
		log_error("fork: %s", strerror(errno));
		master->kinds[kind].start_at_ms = clock_boot_ms() + RESPAWN_MAX_MS;
		return;
	}
	child->pid = pid;
	metrics_add(METRIC_PROCESS_STARTS, 1);
}

/* A lane that knows no season would refuse whatever it is asked: until the steward has read them requests wait. */
static bool
lanes_may_begin(const struct master *master)
{
	return directory_is_published(&master->shared->directory) ||
	       clock_boot_ms() >= master->began_ms + DIRECTORY_WAIT_MS;
}

/* Brings each kind up to its number. There is never more than one steward: it is the only writer of what it writes. */
static void
start_missing(struct master *master)
{
	for (int kind = 0; kind < WORKER_KIND_COUNT; kind++) {
		struct kind_state *state = &master->kinds[kind];
		bool alone = !worker_has_socket((enum worker_kind)kind);

		if (!alone && !master->lanes_began)
			continue;
		while (!master->stopping && !state->given_up && clock_boot_ms() >= state->start_at_ms &&
		       count_children(master, (enum worker_kind)kind, alone) <
			       worker_count((enum worker_kind)kind, master->conf)) {
			size_t before = count_children(master, (enum worker_kind)kind, true);

			start_child(master, (enum worker_kind)kind);
			if (count_children(master, (enum worker_kind)kind, true) == before)
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

/* Ours, or those of the binary before. The steward goes last: a write under way needs the lease that it gives. */
static void
stop_in_order(struct master *master, bool former)
{
	bool lanes_run = false;

	for (size_t i = 0; i < CHILDREN_MAX; i++)
		lanes_run |= master->children[i].pid != 0 && master->children[i].former == former &&
			     worker_has_socket(master->children[i].kind);
	for (size_t i = 0; i < CHILDREN_MAX; i++)
		if (master->children[i].former == former && (!lanes_run || worker_has_socket(master->children[i].kind)))
			stop_child(&master->children[i]);
}

static void
kill_late(struct master *master)
{
	for (size_t i = 0; i < CHILDREN_MAX; i++) {
		struct child *child = &master->children[i];

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
delay_next(struct kind_state *state, const struct child *child, int status)
{
	int64_t now_ms = clock_boot_ms();

	if (now_ms - child->started_at_ms >= SHORT_LIFE_MS)
		state->delay_ms = 0;
	else if (state->delay_ms == 0)
		state->delay_ms = RESPAWN_FIRST_MS;
	else if (state->delay_ms < RESPAWN_MAX_MS)
		state->delay_ms = state->delay_ms * 2 < RESPAWN_MAX_MS ? state->delay_ms * 2 : RESPAWN_MAX_MS;
	state->start_at_ms = now_ms + state->delay_ms;
	if (WIFEXITED(status) && WEXITSTATUS(status) == WORKER_EXIT_CONFIG && !state->given_up) {
		state->given_up = true;
		log_error("%s processes are not started again before the configuration is reloaded",
			  worker_name(child->kind));
	}
}

static void
bury(struct master *master, pid_t pid, int status)
{
	for (size_t i = 0; i < CHILDREN_MAX; i++) {
		struct child *child = &master->children[i];

		if (child->pid != pid)
			continue;
		if (!child->stopping) {
			metrics_add(METRIC_PROCESS_DEATHS, 1);
			write_obituary(child, status);
			if (!child->former)
				delay_next(&master->kinds[child->kind], child, status);
		}
		child->pid = 0;
		return;
	}
}

static void
reap(struct master *master)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		bury(master, pid, status);
}

static void
name_restart_key(void *context, const char *key)
{
	(void)context;
	log_warning("%s has changed: it takes a restart", key);
}

/* A run folder in use is kept until a restart. */
static void
keep_restart_keys(struct conf *fresh, struct conf *old)
{
	char *run_dir = fresh->run_dir;

	conf_each_restart_key(old, fresh, name_restart_key, NULL);
	fresh->run_dir = old->run_dir;
	old->run_dir = run_dir;
}

static void
set_log_level(const struct conf *conf)
{
	enum log_level level;

	if (log_level_parse(conf->log_level, &level))
		log_set_level(level);
}

/*
 * New children with the new configuration first, then the old ones are asked to stop: what waits in the sockets is
 * taken by either. A configuration that cannot be used changes nothing.
 */
static void
reload(struct master *master)
{
	char detail[CONF_DETAIL_SIZE];
	struct conf *fresh;

	if (master->program->load(&fresh, detail) != ERR_OK) {
		log_error("not reloaded: %s", detail);
		return;
	}
	if (!worker_preflight(fresh)) {
		log_error("not reloaded: the new configuration cannot be used");
		conf_free(fresh);
		return;
	}
	keep_restart_keys(fresh, master->conf);
	conf_free(master->conf);
	master->conf = fresh;
	set_log_level(fresh);

	struct child old[CHILDREN_MAX];

	memcpy(old, master->children, sizeof(old));
	for (size_t i = 0; i < CHILDREN_MAX; i++)
		master->children[i].stopping = true; /* so that they do not count */
	for (int kind = 0; kind < WORKER_KIND_COUNT; kind++)
		master->kinds[kind] = (struct kind_state){.socket = master->kinds[kind].socket};
	start_missing(master);
	for (size_t i = 0; i < CHILDREN_MAX; i++) {
		if (old[i].pid == 0)
			continue;
		master->children[i].stopping = old[i].stopping;
		if (!old[i].former)
			stop_child(&master->children[i]);
	}
	log_info("reloaded");
}

/*
 * The binary that is at our path now goes on in our place, with our sockets; our children are the former ones there.
 * One that cannot be used changes nothing.
 */
static void
upgrade(struct master *master)
{
	struct handover handover = {.pid_fd = master->pid_fd};

	if (!handover_is_accepted(master->path, master->program->argv)) {
		log_error("not upgraded: %s does not accept what is here", master->path);
		return;
	}
	for (int kind = 0; kind < WORKER_KIND_COUNT; kind++)
		handover.sockets[kind] = master->kinds[kind].socket;
	for (size_t i = 0; i < CHILDREN_MAX; i++) {
		if (master->children[i].pid == 0)
			continue;
		handover.children[handover.child_count].pid = master->children[i].pid;
		handover.children[handover.child_count++].kind = master->children[i].kind;
	}
	log_info("handing over to %s", master->path);
	handover_execute(&handover, master->path, master->program->argv);
}

/* How long it may be until something is due; 0: only a signal can make it so. */
static int64_t
due_in_ms(const struct master *master)
{
	bool due = master->stopping;

	if (!master->lanes_began && !master->stopping)
		return STARTING_LOOK_MS;
	for (size_t i = 0; i < CHILDREN_MAX && !due; i++)
		due = master->children[i].pid != 0 && (master->children[i].stopping || master->children[i].former);
	for (int kind = 0; kind < WORKER_KIND_COUNT && !due; kind++)
		due = !master->kinds[kind].given_up && count_children(master, (enum worker_kind)kind, false) <
							       worker_count((enum worker_kind)kind, master->conf);
	return due ? DUE_LOOK_MS : notify_alive_every_ms();
}

/* Until a signal comes, or something is due. */
static void
wait_for_work(const struct master *master)
{
	int64_t limit_ms = due_in_ms(master);
	struct timespec limit = {.tv_sec = limit_ms / 1000, .tv_nsec = limit_ms % 1000 * 1000000};

	ppoll(NULL, 0, limit_ms ? &limit : NULL, &master->wait_mask);
}

static bool
has_children(const struct master *master, bool former_only)
{
	for (size_t i = 0; i < CHILDREN_MAX; i++)
		if (master->children[i].pid != 0 && (master->children[i].former || !former_only))
			return true;
	return false;
}

/* From here on we take requests, and the binary before us may go. */
static void
begin_lanes(struct master *master)
{
	master->lanes_began = true;
	start_missing(master);
	log_info("started");
	notify_ready();
}

static void
loop(struct master *master)
{
	while (!master->stopping || has_children(master, false)) {
		if (child_ended) {
			child_ended = 0;
			reap(master);
		}
		if (stop_asked && !master->stopping) {
			log_info("stopping");
			notify_stopping();
			master->stopping = true;
		}
		if (master->stopping)
			stop_in_order(master, false);
		if (reload_asked && !master->stopping) {
			reload_asked = 0;
			notify_reloading();
			reload(master);
			notify_ready();
		}
		if (upgrade_asked && !master->stopping) {
			upgrade_asked = 0;
			notify_reloading();
			upgrade(master);
			notify_ready();
		}
		if (!master->lanes_began && !master->stopping && lanes_may_begin(master))
			begin_lanes(master);
		start_missing(master);
		if (master->lanes_began || master->stopping)
			stop_in_order(master, true);
		kill_late(master);
		notify_alive();
		wait_for_work(master);
	}
}

/* A lane's socket is the one of the binary before, or the service manager's, or one of our own making. */
static bool
open_sockets(struct master *master)
{
	for (int kind = 0; kind < WORKER_KIND_COUNT; kind++) {
		struct lane_socket *socket = &master->kinds[kind].socket;
		const char *name = worker_name((enum worker_kind)kind);

		if (!worker_has_socket((enum worker_kind)kind) || socket->fd >= 0)
			continue;
		socket->fd = notify_passed_socket(name);
		socket->passed = socket->fd >= 0;
		if (!socket->passed && lane_socket_open(master->conf->run_dir, name, &socket->fd) != ERR_OK)
			return false;
	}
	return true;
}

static void
close_sockets(struct master *master)
{
	for (int kind = 0; kind < WORKER_KIND_COUNT; kind++) {
		const struct lane_socket *socket = &master->kinds[kind].socket;

		if (socket->fd >= 0 && !socket->passed)
			lane_socket_close(master->conf->run_dir, worker_name((enum worker_kind)kind), socket->fd);
	}
}

/* Sockets, pid file and children of the binary before. */
static void
take_over(struct master *master, const struct handover *handover)
{
	master->pid_fd = handover->pid_fd;
	for (int kind = 0; kind < WORKER_KIND_COUNT; kind++)
		master->kinds[kind].socket = handover->sockets[kind];
	for (size_t i = 0; i < handover->child_count && i < CHILDREN_MAX; i++)
		master->children[i] = (struct child){
			.pid = handover->children[i].pid,
			.kind = handover->children[i].kind,
			.former = true,
			.started_at_ms = clock_boot_ms(),
		};
	log_info("version " BATTLEPASS_VERSION
		 " goes on with the sockets of the binary before; its %zu processes are to "
		 "stop",
		 handover->child_count);
}

/* What this master begins with: from the binary before it, or afresh. */
static enum err
begin(struct master *master)
{
	struct handover handover;
	enum err err = handover_take(&handover);

	notify_take_sockets();
	if (err == ERR_OK)
		take_over(master, &handover);
	else if (err == ERR_NOT_FOUND)
		err = pid_file_take(master->conf->run_dir, &master->pid_fd);
	else
		log_error("what the binary before left in the environment makes no sense");
	return err;
}

/* A lane's process holds up to LANE_CONNECTIONS_MAX connections, and some files. */
static void
raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= FILES_WANTED)
		return;
	limit.rlim_cur = limit.rlim_max < FILES_WANTED ? limit.rlim_max : FILES_WANTED;
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < FILES_WANTED)
		log_warning("only %llu files may be open: %d are better", (unsigned long long)limit.rlim_cur,
			    FILES_WANTED);
}

/* As it is named now: the file there may be another one later. */
static void
remember_path(struct master *master)
{
	ssize_t length = readlink("/proc/self/exe", master->path, sizeof(master->path) - 1);

	master->path[length < 0 ? 0 : length] = '\0';
}

int
master_run(struct conf *conf, const struct master_program *program)
{
	static struct master master;
	int status = EXIT_FAILURE;

	master.conf = conf;
	master.program = program;
	for (int kind = 0; kind < WORKER_KIND_COUNT; kind++)
		master.kinds[kind].socket.fd = -1;
	log_set_role("master");
	set_log_level(conf);
	remember_path(&master);
	if (begin(&master) != ERR_OK)
		goto out;
	raise_file_limit();
	economy_library_init();
	if (worker_preflight(conf) && open_sockets(&master)) {
		master.shared = shared_map();
		metrics_attach(&master.shared->metrics, CHILDREN_MAX);
		metrics_set(METRIC_STARTED, (uint64_t)(clock_unix_ms() / 1000));
		take_signals(&master.wait_mask);
		master.began_ms = clock_boot_ms();
		loop(&master);
		log_info("stopped");
		status = EXIT_SUCCESS;
	}
	close_sockets(&master);
	pid_file_drop(master.conf->run_dir, master.pid_fd); /* a reload may have freed conf */
out:
	conf_free(master.conf);
	return status;
}
