/* Children of the master: see worker.h. */
#include "master/worker.h"

#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api/access.h"
#include "api/render.h"
#include "base/crash.h"
#include "base/file.h"
#include "base/log.h"
#include "cache/cache.h"
#include "courier/courier.h"
#include "economy/economy.h"
#include "lane/fcgi.h"
#include "lane/lane.h"
#include "steward/steward.h"
#include "store/migrate.h"
#include "store/store.h"

/* How each kind of child is run. A lane has a size in the configuration; steward and courier are alone. */
static const struct {
	const char *name;
	const char *title;              /* what ps and top show; 15 bytes at most */
	size_t processes_for_two_cores; /* where the configuration leaves it open */
	size_t lane_conf;               /* offset of its struct conf_lane; 0: no lane */
	enum lane lane;
	bool keeps_connections;
	bool has_store;
	bool has_economy;
	int nice; /* what waits for another service anyway lets reads and grants go first */
} kinds[WORKER_KIND_COUNT] = {
	[WORKER_READ] = {"read", "bp-read", 1, offsetof(struct conf, read_lane), LANE_READ, true, false, false, 0},
	[WORKER_STORE] = {"store", "bp-store", 4, offsetof(struct conf, store_lane), LANE_STORE, false, true, false, 0},
	[WORKER_PURCHASE] = {"purchase", "bp-purchase", 1, offsetof(struct conf, purchase_lane), LANE_PURCHASE, false,
			     true, true, 5},
	[WORKER_ADMIN] = {"admin", "bp-admin", 1, offsetof(struct conf, admin_lane), LANE_ADMIN, false, true, false, 0},
	[WORKER_STEWARD] = {.name = "steward", .title = "bp-steward"},
	[WORKER_COURIER] =
		{.name = "courier", .title = "bp-courier", .has_store = true, .has_economy = true, .nice = 5},
};

static volatile sig_atomic_t stop_asked;

static void
ask_to_stop(int signal)
{
	(void)signal;
	stop_asked = 1;
}

const char *
worker_name(enum worker_kind kind)
{
	return kinds[kind].name;
}

bool
worker_has_socket(enum worker_kind kind)
{
	return kinds[kind].lane_conf != 0;
}

static const struct conf_lane *
lane_conf(enum worker_kind kind, const struct conf *conf)
{
	return (const struct conf_lane *)((const char *)conf + kinds[kind].lane_conf);
}

size_t
worker_count(enum worker_kind kind, const struct conf *conf)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	size_t asked = worker_has_socket(kind) ? (size_t)lane_conf(kind, conf)->processes : 1;
	size_t automatic = (size_t)(cores > 0 ? cores : 1) * kinds[kind].processes_for_two_cores / 2;

	return asked ? asked : automatic ? automatic : 1;
}

static struct token_verifier *
make_verifier(const struct conf *conf, struct remembered *remembered)
{
	struct token_rules rules = {
		.keys = conf->auth.keys_text,
		.keys_file = conf->auth.keys,
		.issuer = conf->auth.issuer,
		.audience = conf->auth.audience,
		.allow_hs256 = conf->auth.allow_hs256,
		.leeway_ms = conf->auth.leeway_s * 1000,
		.remembered = remembered,
	};
	struct token_verifier *verifier;
	char detail[256];

	if (token_verifier_new(&rules, &verifier, detail) == ERR_OK)
		return verifier;
	log_error("auth.keys: %s", detail);
	return NULL;
}

enum { LARGE_BYTES = 64 * 1024, TRIM_BYTES = 1024 * 1024 };

/*
 * libfcgi allocates and frees large buffers for each request; with malloc's fast bins each of these frees would go
 * through all of them. What is large comes from the system and goes back to it: in the heap, the blocks of all the
 * turns that an outage kept waiting would stay for ever. With a threshold of our own malloc does not adapt when it
 * trims, and what a full turn takes must not be given back and asked for again at each.
 */
static void
tune_malloc(void)
{
	mallopt(M_MXFAST, 0);
	mallopt(M_MMAP_THRESHOLD, LARGE_BYTES);
	mallopt(M_TRIM_THRESHOLD, TRIM_BYTES);
}

/* The rooms of a process that serves players: opened after fork. */
struct rooms {
	struct store *store;
	struct cache *cache;
	struct economy *economy; /* NULL: this kind never calls it, or there is none */
	struct service service;
};

static void
rooms_open(struct rooms *rooms, enum worker_kind kind, const struct conf *conf, struct shared *shared)
{
	bool sells = conf->economy.url[0] != '\0';
	struct service_limits limits = {
		.transaction_writes = (size_t)conf->store.transaction_grants,
		.answer_within_ms = conf->economy.answer_within_ms,
		.sells = sells,
		.host = shared->host,
		.warm_players = (uint64_t)conf->cache.warm_players,
	};

	rooms->store = kinds[kind].has_store ? store_new(conf, STORE_REPLY_S) : NULL;
	rooms->cache = cache_new(conf, &shared->cache);
	cache_steer(rooms->cache, &shared->flags);
	cache_note_writes(rooms->cache, &shared->recent);
	rooms->economy = kinds[kind].has_economy && sells ? economy_new(conf) : NULL;

	struct service_rooms ports = {
		.store = rooms->store ? store_port(rooms->store) : NULL,
		.records = rooms->store ? store_records(rooms->store) : NULL,
		.operators = rooms->store ? store_operators(rooms->store) : NULL,
		.cache = cache_port(rooms->cache),
		.codec = &render_codec,
		.economy = rooms->economy ? economy_port(rooms->economy) : NULL,
		.directory = &shared->directory,
	};

	service_init(&rooms->service, &ports, &limits);
}

static void
rooms_close(struct rooms *rooms)
{
	service_release(&rooms->service);
	economy_free(rooms->economy);
	cache_free(rooms->cache);
	store_free(rooms->store);
}

static int
run_lane(enum worker_kind kind, const struct conf *conf, struct shared *shared, int listen_fd,
	 const volatile sig_atomic_t *stop, const sigset_t *wait_mask)
{
	struct lane_rules rules = {
		.name = kinds[kind].name,
		.lane = kinds[kind].lane,
		.keeps_connections = kinds[kind].keeps_connections,
		.turn = (size_t)lane_conf(kind, conf)->turn,
		.answer_within_ms = lane_conf(kind, conf)->answer_within_ms,
		.began_unix_ms = shared->began_unix_ms,
	};
	struct rooms rooms;
	struct token_verifier *verifier = make_verifier(conf, shared->remembered);

	if (!verifier)
		return EXIT_FAILURE;
	rooms_open(&rooms, kind, conf, shared);

	struct access_log access;
	struct api api = {
		.lane = rules.lane,
		.service = &rooms.service,
		.verifier = verifier,
		.metrics = &shared->metrics,
		.access = &access,
	};

	access_init(&access, conf->log.access_sample, conf->log.slow_ms);
	int status = lane_run(&rules, &api, listen_fd, stop, wait_mask);

	access_tell(&access, true);
	rooms_close(&rooms);
	token_verifier_free(verifier);
	return status == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/*
 * A lane's process does not push nginx off the core for each request that comes in: it lets them gather and answers
 * more of them in a turn. It gets its share of the core all the same.
 */
static void
let_requests_gather(void)
{
	struct sched_param none = {0};

	if (sched_setscheduler(0, SCHED_BATCH, &none) != 0)
		log_warning("the kernel does not take SCHED_BATCH: turns will be smaller");
}

static int
run_courier(const struct conf *conf, struct shared *shared, const volatile sig_atomic_t *stop,
	    const sigset_t *wait_mask)
{
	struct rooms rooms;

	struct courier_host host = {
		.cache = &shared->cache,
		.flags = &shared->flags,
		.recent = &shared->recent,
		.metrics = &shared->metrics,
		.store_processes = worker_count(WORKER_STORE, conf),
	};

	rooms_open(&rooms, WORKER_COURIER, conf, shared);

	int status = courier_run(conf, &rooms.service, rooms.store, &host, stop, wait_mask);

	rooms_close(&rooms);
	return status;
}

/* TERM is let in only where the process waits; INT goes to the master; libfcgi's handlers are replaced. */
static void
take_signals(sigset_t *wait_mask)
{
	struct sigaction stop = {.sa_handler = ask_to_stop};
	struct sigaction ignore = {.sa_handler = SIG_IGN};
	static const int ignored[] = {SIGPIPE, SIGUSR1, SIGUSR2, SIGHUP, SIGINT};

	sigprocmask(SIG_SETMASK, NULL, wait_mask);
	sigaction(SIGTERM, &stop, NULL);
	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		sigaction(ignored[i], &ignore, NULL);
	signal(SIGCHLD, SIG_DFL);
	sigdelset(wait_mask, SIGTERM);
}

int
worker_run(enum worker_kind kind, const struct conf *conf, struct shared *shared, unsigned slot, int listen_fd)
{
	sigset_t wait_mask;

	log_set_role(kinds[kind].name);
	prctl(PR_SET_NAME, kinds[kind].title);
	metrics_attach(&shared->metrics, slot);
	fcgi_library_init();
	take_signals(&wait_mask);
	crash_points_in(conf->crash_points);
	setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + kinds[kind].nice);
	if (worker_has_socket(kind)) {
		let_requests_gather();
		tune_malloc();
		return run_lane(kind, conf, shared, listen_fd, &stop_asked, &wait_mask);
	}
	if (kind == WORKER_COURIER)
		return run_courier(conf, shared, &stop_asked, &wait_mask);
	return steward_run(conf, shared->host, &shared->cache, &shared->directory, &shared->flags, &stop_asked,
			   &wait_mask);
}

static int
preflight(const struct conf *conf)
{
	struct token_verifier *verifier = make_verifier(conf, NULL);
	struct store *store = store_new(conf, STORE_STEWARD_REPLY_S);
	char detail[256];
	enum err err = verifier ? store_check(store, detail) : ERR_CONFIG;

	if (err == ERR_STORE_UNAVAILABLE)
		log_warning("going on without the database for now");
	else if (err == ERR_OK && store_schema(store) < SCHEMA_VERSION)
		log_warning("the schema is at version %" PRIu64 ", and this build has %d: it does without until "
			    "\"battlepassctl migrate\" has run",
			    store_schema(store), SCHEMA_VERSION);
	store_free(store);
	token_verifier_free(verifier);
	return err == ERR_OK || err == ERR_STORE_UNAVAILABLE ? EXIT_SUCCESS : EXIT_FAILURE;
}

bool
worker_take_keys(struct conf *conf)
{
	struct arena arena;
	struct str text;

	arena_init(&arena);

	bool taken = file_read(conf->auth.keys, TOKEN_KEYS_MAX, &arena, &text) == ERR_OK;

	if (taken) {
		char *copy = malloc(text.len + 1);

		if (!copy)
			abort();
		memcpy(copy, text.ptr, text.len);
		free((char *)conf->auth.keys_text.ptr);
		conf->auth.keys_text.ptr = copy;
		conf->auth.keys_text.len = text.len;
	} else {
		log_error("auth.keys: %s: %s", conf->auth.keys, strerror(errno));
	}
	arena_release(&arena);
	return taken;
}

bool
worker_preflight(const struct conf *conf)
{
	pid_t child = fork();
	int status = 0;

	if (child == 0)
		_exit(preflight(conf));
	while (child > 0 && waitpid(child, &status, 0) < 0)
		continue;
	return child > 0 && WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS;
}
