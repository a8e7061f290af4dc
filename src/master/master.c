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
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "economy/economy.h"
#include "master/children.h"
#include "master/handover.h"
#include "master/notify.h"
#include "master/sockets.h"

enum {
	FILES_WANTED = 8192,
	DIRECTORY_WAIT_MS = 2000, /* lanes begin without the seasons when the steward cannot read them within this */
	STARTING_LOOK_MS = 5,
	DUE_LOOK_MS = 100,
	LOOK_AGAIN_MS = 2000,
};

struct master {
	struct conf *conf;
	const struct master_program *program;
	char path[PATH_MAX]; /* of the binary, as it was when this one began */
	int pid_fd;
	struct children children;
	sigset_t wait_mask;
	int64_t began_ms;
	bool usable; /* the configuration, as it was taken last; false only after a handover */
	int64_t look_again_ms;
	bool lanes_began;
	bool failed;
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

/* A lane that knows no season would refuse whatever it is asked: until the steward has read them requests wait. */
static bool
lanes_may_begin(const struct master *master)
{
	return master->usable && (directory_is_published(&master->children.shared->directory) ||
				  clock_boot_ms() >= master->began_ms + DIRECTORY_WAIT_MS);
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

/* The steward gets its time to read the seasons. */
static void
be_usable(struct master *master)
{
	if (!master->usable)
		master->began_ms = clock_boot_ms();
	master->usable = true;
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
	if (!worker_take_keys(fresh) || !worker_preflight(fresh)) {
		log_error("not reloaded: the new configuration cannot be used");
		conf_free(fresh);
		return;
	}
	keep_restart_keys(fresh, master->conf);
	conf_free(master->conf);
	master->conf = fresh;
	master->children.conf = fresh;
	be_usable(master);
	set_log_level(fresh);

	children_replace(&master->children, master->lanes_began);
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
	children_hand_over(&master->children, &handover);
	log_info("handing over to %s", master->path);
	handover_execute(&handover, master->path, master->program->argv);
}

/* How long it may be until something is due; 0: only a signal can make it so. */
static int64_t
due_in_ms(const struct master *master)
{
	if (master->usable && !master->lanes_began && !master->stopping)
		return STARTING_LOOK_MS;
	if (!master->usable)
		return DUE_LOOK_MS;
	return master->stopping || children_wait(&master->children) ? DUE_LOOK_MS : notify_alive_every_ms();
}

/* Until a signal comes, or something is due. */
static void
wait_for_work(const struct master *master)
{
	int64_t limit_ms = due_in_ms(master);
	struct timespec limit = {.tv_sec = limit_ms / 1000, .tv_nsec = limit_ms % 1000 * 1000000};

	ppoll(NULL, 0, limit_ms ? &limit : NULL, &master->wait_mask);
}

/* From here on we take requests, and the binary before us may go. */
static void
begin_lanes(struct master *master)
{
	master->lanes_began = true;
	children_start_missing(&master->children, true);
	log_info("started");
	notify_ready();
}

/* After a reload, unless it came before there was anybody who answers. */
static void
ready_again(const struct master *master)
{
	if (master->lanes_began)
		notify_ready();
}

/* What could not be used is looked at again; without anybody who answers there is nothing left to go on with. */
static void
look_again(struct master *master)
{
	if (master->usable || master->stopping || clock_boot_ms() < master->look_again_ms)
		return;
	if (worker_take_keys(master->conf) && worker_preflight(master->conf)) {
		log_info("what is configured can be used again");
		be_usable(master);
	} else if (!children_run(&master->children, true)) {
		log_error("the processes of the binary before have ended");
		master->stopping = true;
		master->failed = true;
	}
	master->look_again_ms = clock_boot_ms() + LOOK_AGAIN_MS;
}

static void
loop(struct master *master)
{
	while (!master->stopping || children_run(&master->children, false)) {
		if (child_ended) {
			child_ended = 0;
			children_reap(&master->children);
		}
		if (stop_asked && !master->stopping) {
			log_info("stopping");
			notify_stopping();
			master->stopping = true;
		}
		if (master->stopping)
			children_stop(&master->children, false);
		if (reload_asked && !master->stopping) {
			reload_asked = 0;
			notify_reloading();
			reload(master);
			ready_again(master);
		}
		if (upgrade_asked && !master->stopping) {
			upgrade_asked = 0;
			notify_reloading();
			upgrade(master);
			ready_again(master);
		}
		look_again(master);
		if (!master->lanes_began && !master->stopping && lanes_may_begin(master))
			begin_lanes(master);
		if (!master->stopping)
			children_start_missing(&master->children, master->lanes_began);
		if (master->lanes_began || master->stopping)
			children_stop(&master->children, true);
		children_kill_late(&master->children);
		notify_alive();
		wait_for_work(master);
	}
}

/* A lane's socket is the one of the binary before, or the service manager's, or one of our own making. */
static bool
open_sockets(struct master *master)
{
	for (int kind = 0; kind < WORKER_KIND_COUNT; kind++) {
		struct lane_socket *socket = &master->children.kinds[kind].socket;
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
		const struct lane_socket *socket = &master->children.kinds[kind].socket;

		if (socket->fd >= 0 && !socket->passed)
			lane_socket_close(master->conf->run_dir, worker_name((enum worker_kind)kind), socket->fd);
	}
}

/* Sockets, pid file and children of the binary before. */
static void
take_over(struct master *master, const struct handover *handover)
{
	master->pid_fd = handover->pid_fd;
	children_take_over(&master->children, handover);
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

/*
 * Can we work with what is configured? The binary before us has asked the same a moment ago; keys or a schema that were
 * good then and are not now must not end its processes, which answer, with us.
 */
static bool
may_go_on(struct master *master)
{
	bool former = children_run(&master->children, true);

	master->usable = worker_take_keys(master->conf) && worker_preflight(master->conf);
	master->look_again_ms = clock_boot_ms() + LOOK_AGAIN_MS;
	if (!master->usable && former)
		log_error("the processes of the binary before go on until what is configured can be used");
	return master->usable || former;
}

int
master_run(struct conf *conf, const struct master_program *program)
{
	static struct master master;
	int status = EXIT_FAILURE;

	master.conf = conf;
	master.children.conf = conf;
	master.program = program;
	for (int kind = 0; kind < WORKER_KIND_COUNT; kind++)
		master.children.kinds[kind].socket.fd = -1;
	log_set_role("master");
	set_log_level(conf);
	remember_path(&master);
	if (begin(&master) != ERR_OK)
		goto out;
	raise_file_limit();
	economy_library_init();
	if (may_go_on(&master) && open_sockets(&master)) {
		master.children.shared = shared_map((uint32_t)conf->auth.remembered_tokens);
		metrics_attach(&master.children.shared->metrics, CHILDREN_MAX);
		metrics_set(METRIC_STARTED, (uint64_t)(clock_unix_ms() / 1000));
		take_signals(&master.wait_mask);
		master.began_ms = clock_boot_ms();
		loop(&master);
		log_info("stopped");
		status = master.failed ? EXIT_FAILURE : EXIT_SUCCESS;
	}
	close_sockets(&master);
	pid_file_drop(master.conf->run_dir, master.pid_fd); /* a reload may have freed conf */
out:
	conf_free(master.conf);
	return status;
}
