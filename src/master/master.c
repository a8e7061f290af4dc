/*
 * The master: see master.h. One loop: signals are blocked except in its wait; handlers set a flag and no more; the
 * flags are looked at in one fixed order.
 */
#include "master/master.h"

#include <errno.h>
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
#include "master/sockets.h"
#include "master/worker.h"

enum {
	CHILDREN_MAX = METRICS_SLOTS - 1, /* the last slot is the master's own */
	RESPAWN_FIRST_MS = 100,
	RESPAWN_MAX_MS = 5000,
	SHORT_LIFE_MS = 1000, /* who dies younger is started again more and more slowly */
	FILES_WANTED = 8192,
	DRAIN_MS = 30000, /* who was asked to stop and has not within this is killed */
};

struct child {
	pid_t pid; /* 0: the place is free */
	enum worker_kind kind;
	bool stopping;
	int64_t started_at_ms; /* boot time, as all times here */
	int64_t kill_at_ms;
};

struct kind_state {
	int listen_fd;
	int64_t delay_ms;
	int64_t start_at_ms; /* not before */
	bool given_up;       /* ended with WORKER_EXIT_CONFIG: not before a reload */
};

struct master {
	struct conf *conf;
	enum err (*load)(struct conf **ret_conf, char *detail);
	struct shared *shared;
	struct kind_state kinds[WORKER_KIND_COUNT];
	struct child children[CHILDREN_MAX];
	sigset_t wait_mask;
	bool stopping;
};

/* Set by the handlers. */
static volatile sig_atomic_t child_ended;
static volatile sig_atomic_t reload_asked;
static volatile sig_atomic_t stop_asked;

static void
note_signal(int signal)
{
	if (signal == SIGCHLD)
		child_ended = 1;
	else if (signal == SIGHUP)
		reload_asked = 1;
	else
		stop_asked = 1;
}

static void
take_signals(sigset_t *wait_mask)
{
	static const int taken[] = {SIGCHLD, SIGHUP, SIGTERM, SIGINT};
	struct sigaction action = {.sa_handler = note_signal};
	sigset_t blocked;

	sigemptyset(&blocked);
	for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++) {
		sigaction(taken[i], &action, NULL);
		sigaddset(&blocked, taken[i]);
	}
	signal(SIGPIPE, SIG_IGN);
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

/* Those that take requests, or are to; with_stopping: those on their way out, too. */
static size_t
count_children(const struct master *master, enum worker_kind kind, bool with_stopping)
{
	size_t count = 0;

	for (size_t i = 0; i < CHILDREN_MAX; i++) {
		const struct child *child = &master->children[i];

		count += child->pid != 0 && child->kind == kind && (with_stopping || !child->stopping);
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
	exit(worker_run(child->kind, master->conf, master->shared, slot, master->kinds[child->kind].listen_fd));
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

/* Brings each kind up to its number. There is never more than one steward: it is the only writer of what it writes. */
static void
start_missing(struct master *master)
{
	for (int kind = 0; kind < WORKER_KIND_COUNT; kind++) {
		struct kind_state *state = &master->kinds[kind];
		bool alone = !worker_has_socket((enum worker_kind)kind);

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

/* The steward goes last: a write under way needs the lease that it gives. */
static void
stop_all(struct master *master)
{
	bool lanes_run = false;

	for (size_t i = 0; i < CHILDREN_MAX; i++)
		lanes_run |= master->children[i].pid != 0 && worker_has_socket(master->children[i].kind);
	for (size_t i = 0; i < CHILDREN_MAX; i++)
		if (!lanes_run || worker_has_socket(master->children[i].kind))
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

	if (master->load(&fresh, detail) != ERR_OK) {
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
		master->kinds[kind] = (struct kind_state){.listen_fd = master->kinds[kind].listen_fd};
	start_missing(master);
	for (size_t i = 0; i < CHILDREN_MAX; i++) {
		if (old[i].pid == 0)
			continue;
		master->children[i].stopping = old[i].stopping;
		stop_child(&master->children[i]);
	}
	log_info("reloaded");
}

/* Until a signal comes, or something is due. */
static void
wait_for_work(struct master *master)
{
	struct timespec limit = {.tv_nsec = 100000000};
	bool due = master->stopping;

	for (size_t i = 0; i < CHILDREN_MAX && !due; i++)
		due = master->children[i].pid != 0 && master->children[i].stopping;
	for (int kind = 0; kind < WORKER_KIND_COUNT && !due; kind++)
		due = !master->kinds[kind].given_up && count_children(master, (enum worker_kind)kind, false) <
							       worker_count((enum worker_kind)kind, master->conf);
	ppoll(NULL, 0, due ? &limit : NULL, &master->wait_mask);
}

static size_t
count_all(const struct master *master)
{
	size_t count = 0;

	for (int kind = 0; kind < WORKER_KIND_COUNT; kind++)
		count += count_children(master, (enum worker_kind)kind, true);
	return count;
}

static void
loop(struct master *master)
{
	while (!master->stopping || count_all(master) > 0) {
		if (child_ended) {
			child_ended = 0;
			reap(master);
		}
		if (stop_asked && !master->stopping) {
			log_info("stopping");
			master->stopping = true;
		}
		if (master->stopping)
			stop_all(master);
		if (reload_asked && !master->stopping) {
			reload_asked = 0;
			reload(master);
		}
		start_missing(master);
		kill_late(master);
		wait_for_work(master);
	}
}

static bool
open_sockets(struct master *master)
{
	for (int kind = 0; kind < WORKER_KIND_COUNT; kind++) {
		if (worker_has_socket((enum worker_kind)kind) &&
		    lane_socket_open(master->conf->run_dir, worker_name((enum worker_kind)kind),
				     &master->kinds[kind].listen_fd) != ERR_OK)
			return false;
	}
	return true;
}

static void
close_sockets(struct master *master)
{
	for (int kind = 0; kind < WORKER_KIND_COUNT; kind++)
		if (master->kinds[kind].listen_fd >= 0)
			lane_socket_close(master->conf->run_dir, worker_name((enum worker_kind)kind),
					  master->kinds[kind].listen_fd);
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

int
master_run(struct conf *conf, enum err (*load)(struct conf **ret_conf, char *detail))
{
	static struct master master;
	int pid_fd;
	int status = EXIT_FAILURE;

	master.conf = conf;
	master.load = load;
	for (int kind = 0; kind < WORKER_KIND_COUNT; kind++)
		master.kinds[kind].listen_fd = -1;
	log_set_role("master");
	set_log_level(conf);
	if (pid_file_take(conf->run_dir, &pid_fd) != ERR_OK)
		goto out;
	raise_file_limit();
	economy_library_init();
	if (worker_preflight(conf) && open_sockets(&master)) {
		master.shared = shared_map();
		metrics_attach(&master.shared->metrics, CHILDREN_MAX);
		metrics_set(METRIC_STARTED, (uint64_t)(clock_unix_ms() / 1000));
		take_signals(&master.wait_mask);
		log_info("started");
		loop(&master);
		log_info("stopped");
		status = EXIT_SUCCESS;
	}
	close_sockets(&master);
	pid_file_drop(master.conf->run_dir, pid_fd); /* a reload may have freed conf */
out:
	conf_free(master.conf);
	return status;
}
