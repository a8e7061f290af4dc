/*
 * battlepassctl doctor: a check a row, each says what it found. "ok"; "warn", it works, but not as it should; "FAIL",
 * it does not work, and what to type. Changes nothing.
 */
#include <errno.h>
#include <glob.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "auth/jwk.h"
#include "auth/token.h"
#include "base/clock.h"
#include "base/file.h"
#include "cache/vitals.h"
#include "ctl/ctl.h"
#include "master/worker.h"
#include "store/migrate.h"
#include "store/store.h"

enum {
	CLOCK_MOST_MS = 1000,
	CONNECTIONS_BESIDE = 10, /* for people and for other hosts' stewards */
	FILES_WANTED = 65536,
	BACKLOG_WANTED = 4096,
	CONF_FILE_MAX = 1 << 20,
};

enum verdict { OK, WARN, FAIL };

struct doctor {
	struct ctl *ctl;
	struct store *store;
	bool store_answers;
	struct store_facts facts;
	struct vitals *vitals;
	struct redis_setup redis;
	bool redis_answers;
	int worst;
};

static void say(struct doctor *doctor, enum verdict verdict, const char *about, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

static void
say(struct doctor *doctor, enum verdict verdict, const char *about, const char *format, ...)
{
	static const char *const words[] = {[OK] = "ok", [WARN] = "warn", [FAIL] = "FAIL"};
	va_list args;

	printf("%-5s %s: ", words[verdict], about);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	if ((int)verdict > doctor->worst)
		doctor->worst = verdict;
}

/* What to type, or to write, below a line of say(). */
static void type(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void
type(const char *format, ...)
{
	va_list args;

	fputs("      -> ", stdout);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
}

/* --- configuration --- */

/* Does the file name one of the secrets that are in force? */
static bool
holds_secret(struct ctl *ctl, const char *file)
{
	const char *const secrets[] = {ctl->conf->store.password, ctl->conf->cache.password, ctl->conf->economy.token};
	struct str text;

	if (file_read(file, CONF_FILE_MAX, &ctl->arena, &text) != ERR_OK)
		return false;
	for (size_t i = 0; i < sizeof(secrets) / sizeof(secrets[0]); i++)
		if (secrets[i][0] && memmem(text.ptr, text.len, secrets[i], strlen(secrets[i])))
			return true;
	return false;
}

static void
check_secrets(struct doctor *doctor, const char *file)
{
	struct stat info;

	if (stat(file, &info) != 0 || !(info.st_mode & S_IROTH) || !holds_secret(doctor->ctl, file))
		return;
	say(doctor, WARN, "configuration", "%s holds a secret, and everybody on this machine may read it", file);
	type("chmod o-r %s", file);
}

/* The file, and conf.d beside it. */
static void
check_all_secrets(struct doctor *doctor)
{
	const char *file = doctor->ctl->config_file;
	const char *slash = strrchr(file, '/');
	struct buf pattern;
	glob_t found;

	check_secrets(doctor, file);
	buf_init(&pattern);
	buf_bytes(&pattern, file, slash ? (size_t)(slash - file) + 1 : 0);
	buf_literal(&pattern, "conf.d/*.conf");
	if (glob(buf_text(&pattern), 0, NULL, &found) == 0) {
		for (size_t i = 0; i < found.gl_pathc; i++)
			check_secrets(doctor, found.gl_pathv[i]);
		globfree(&found);
	}
	buf_release(&pattern);
}

static void
check_configuration(struct doctor *doctor)
{
	const struct ctl *ctl = doctor->ctl;

	say(doctor, OK, "configuration", "%s", ctl->config_file);
	check_all_secrets(doctor);
	if (ctl->conf->crash_points[0]) {
		say(doctor, FAIL, "configuration", "crash_points is set: processes die there on purpose");
		type("remove crash_points from %s", ctl->config_file);
	}
	if (!ctl->conf->economy.url[0])
		say(doctor, WARN, "economy", "economy.url is empty: nothing is sold, and deliveries wait");
}

static void
check_keys(struct doctor *doctor)
{
	const struct conf *conf = doctor->ctl->conf;
	char detail[JWK_DETAIL_SIZE];
	struct jwk_set *set;
	struct str text;

	if (file_read(conf->auth.keys, TOKEN_KEYS_MAX, &doctor->ctl->arena, &text) != ERR_OK) {
		say(doctor, FAIL, "keys", "%s: %s", conf->auth.keys, strerror(errno));
		type("battlepassctl key generate --private FILE --set %s", conf->auth.keys);
	} else if (jwk_set_parse(text, conf->auth.allow_hs256, &set, detail) != ERR_OK) {
		say(doctor, FAIL, "keys", "%s: %s", conf->auth.keys, detail);
	} else {
		say(doctor, OK, "keys", "%s can be used", conf->auth.keys);
		jwk_set_free(set);
		if (conf->auth.allow_hs256)
			say(doctor, WARN, "keys", "HS256 is taken: who can check a token can make one");
	}
}

/* --- database --- */

static void
check_database(struct doctor *doctor)
{
	char detail[256] = "";
	enum err err = store_check(doctor->store, detail);

	doctor->store_answers = err == ERR_OK && store_inspect(doctor->store, &doctor->facts) == ERR_OK;
	if (doctor->store_answers && store_schema(doctor->store) < SCHEMA_VERSION) {
		say(doctor, WARN, "database",
		    "%s answers, but its schema is at version %" PRIu64 ", and this build has %d",
		    doctor->facts.version, store_schema(doctor->store), SCHEMA_VERSION);
		type("battlepassctl -c %s migrate", doctor->ctl->config_file);
	} else if (doctor->store_answers) {
		say(doctor, OK, "database", "%s answers, and its schema is what this build has", doctor->facts.version);
	} else if (err == ERR_STORE_SCHEMA) {
		say(doctor, FAIL, "database", "its schema is older than this build: %s", detail);
		type("battlepassctl -c %s migrate", doctor->ctl->config_file);
	} else {
		say(doctor, FAIL, "database", "%s", detail[0] ? detail : store_error(doctor->store));
		type("systemctl status mariadb; then look at store { } in %s", doctor->ctl->config_file);
	}
}

static void
check_durability(struct doctor *doctor)
{
	const struct store_facts *facts = &doctor->facts;

	if (!doctor->store_answers)
		return;
	if (facts->flush_at_commit != 1) {
		say(doctor, WARN, "database",
		    "innodb_flush_log_at_trx_commit is %" PRIu64 ": a crash of the machine loses commits",
		    facts->flush_at_commit);
		type("SET GLOBAL innodb_flush_log_at_trx_commit = 1, and the same in its configuration");
	}
	if (!facts->binary_log) {
		say(doctor, WARN, "database",
		    "there is no binary log: readers may see what a crash undoes a moment later, and a backup cannot "
		    "be brought up to date");
		type("log_bin = binlog and sync_binlog = 1 in [mariadbd] of its configuration, and restart it");
	}
	if (facts->binary_log && facts->sync_binary_log != 1) {
		say(doctor, WARN, "database",
		    "sync_binlog is %" PRIu64 ": a crash of the machine may part it from its replicas",
		    facts->sync_binary_log);
		type("SET GLOBAL sync_binlog = 1, and the same in its configuration");
	}
	if (facts->flush_at_commit == 1 && facts->binary_log && facts->sync_binary_log == 1)
		say(doctor, OK, "database", "what is committed stays");
}

/* Each process of a lane, the steward and the courier keep a connection; the read lane has none. */
static void
check_connections(struct doctor *doctor)
{
	size_t needed = 0;

	for (int kind = 0; kind < WORKER_KIND_COUNT; kind++)
		if (kind != WORKER_READ)
			needed += worker_count((enum worker_kind)kind, doctor->ctl->conf);
	if (!doctor->store_answers)
		return;
	if (doctor->facts.connections_max >= needed + CONNECTIONS_BESIDE) {
		say(doctor, OK, "database", "max_connections is %" PRIu64 ", this host keeps about %zu",
		    doctor->facts.connections_max, needed);
	} else {
		say(doctor, FAIL, "database", "max_connections is %" PRIu64 ", and this host alone keeps about %zu",
		    doctor->facts.connections_max, needed);
		type("SET GLOBAL max_connections = %zu, for each host so many more", needed + CONNECTIONS_BESIDE);
	}
}

static void
check_seasons(struct doctor *doctor)
{
	if (!doctor->store_answers)
		return;
	if (doctor->facts.seasons) {
		say(doctor, OK, "seasons", "%" PRIu64 " published", doctor->facts.seasons);
	} else {
		say(doctor, WARN, "seasons", "none is published");
		type("battlepassctl season import FILE; battlepassctl season publish ID");
	}
}

/* --- Redis --- */

static void
check_redis(struct doctor *doctor)
{
	const struct conf *conf = doctor->ctl->conf;
	bool local = conf->cache.socket[0] != '\0';

	doctor->redis_answers = vitals_ask_setup(doctor->vitals, &doctor->ctl->arena, &doctor->redis);
	if (!doctor->redis_answers) {
		say(doctor, FAIL, "Redis",
		    "%s does not answer within %lld ms, or is no master: every read goes to the database",
		    local ? conf->cache.socket : conf->cache.host, (long long)conf->cache.turn_timeout_ms);
		type("redis-cli %s %s info replication", local ? "-s" : "-h",
		     local ? conf->cache.socket : conf->cache.host);
	} else if (strtol(doctor->redis.version.ptr, NULL, 10) < 7) {
		say(doctor, FAIL, "Redis", "version %.*s: 7.0 or newer is needed (SET with NX and GET)",
		    STR_ARGS(doctor->redis.version));
	} else {
		say(doctor, OK, "Redis", "%.*s, a master, answers", STR_ARGS(doctor->redis.version));
	}
}

static void
check_redis_memory(struct doctor *doctor)
{
	if (!doctor->redis_answers)
		return;
	if (doctor->redis.memory_max == 0) {
		say(doctor, FAIL, "Redis", "maxmemory is not set: it takes what the machine has, and is killed then");
		type("redis-cli config set maxmemory 2gb, and the same in redis.conf");
	} else {
		say(doctor, OK, "Redis", "maxmemory is %" PRIu64 " MiB", doctor->redis.memory_max >> 20);
	}
	if (!doctor->redis.told_setup) {
		say(doctor, WARN, "Redis", "CONFIG GET is refused: the rest of its setup cannot be looked at");
	} else if (!str_starts_with(doctor->redis.policy, STR("allkeys-"))) {
		say(doctor, FAIL, "Redis", "maxmemory-policy is %.*s: when it is full, writes can no longer fence",
		    STR_ARGS(doctor->redis.policy));
		type("redis-cli config set maxmemory-policy allkeys-lru, and the same in redis.conf");
	} else {
		say(doctor, OK, "Redis", "maxmemory-policy is %.*s", STR_ARGS(doctor->redis.policy));
	}
}

static void
check_redis_setup(struct doctor *doctor)
{
	const struct redis_setup *redis = &doctor->redis;

	if (!doctor->redis_answers || !redis->told_setup)
		return;
	if (redis->save.len || !str_equal(redis->appendonly, STR("no"))) {
		say(doctor, WARN, "Redis",
		    "it keeps what it holds on disk, which nobody reads again: a fork now and then costs "
		    "milliseconds");
		type("redis-cli config set save '' appendonly no, and the same in redis.conf");
	} else {
		say(doctor, OK, "Redis", "it keeps nothing on disk");
	}
	if (str_equal(redis->tcp_keepalive, STR("0"))) {
		say(doctor, WARN, "Redis", "tcp-keepalive is off: connections of hosts that have died stay");
		type("redis-cli config set tcp-keepalive 300, and the same in redis.conf");
	}
	if (str_equal(redis->timeout, STR("0")))
		return;
	say(doctor, WARN, "Redis", "it closes clients that are idle for %.*s s: each then connects anew",
	    STR_ARGS(redis->timeout));
	type("redis-cli config set timeout 0, and the same in redis.conf");
}

/* Is the cache on, and is the Redis of its epoch the one that this host reaches? */
static void
check_epoch(struct doctor *doctor)
{
	const struct store_port *port = store_port(doctor->store);
	struct write_gate gate;

	if (!doctor->store_answers || !doctor->redis_answers || port->cache_gate(port->self, &gate) != ERR_OK)
		return;
	if (gate.enabled && str_equal(doctor->redis.identity, str_from(gate.redis_id))) {
		say(doctor, OK, "cache", "epoch %" PRIu64 " is on, and lies in this Redis", gate.epoch);
	} else if (gate.enabled) {
		say(doctor, FAIL, "cache",
		    "epoch %" PRIu64 " lies in another Redis than this host's: it goes around the cache", gate.epoch);
		type("compare cache { } of all hosts; all must reach the same Redis");
	} else {
		say(doctor, WARN, "cache",
		    "it is off; a running daemon turns it on when Redis has been well for a while");
	}
}

/* --- clocks, sockets, limits --- */

static void
check_clock(struct doctor *doctor, const char *whose, int64_t theirs_ms, int64_t most_ms)
{
	int64_t ahead_ms = theirs_ms - clock_unix_ms();

	if (theirs_ms == 0)
		return;
	if (ahead_ms >= -most_ms && ahead_ms <= most_ms) {
		say(doctor, OK, "clocks", "%s agrees with this machine's", whose);
		return;
	}
	say(doctor, FAIL, "clocks", "%s is %+.1f s from this machine's: tokens and seasons go by the clock", whose,
	    (double)ahead_ms / 1000);
	type("timedatectl set-ntp true, on both");
}

static void
check_clocks(struct doctor *doctor)
{
	if (doctor->store_answers)
		check_clock(doctor, "the database's", doctor->facts.unix_ms, CLOCK_MOST_MS);
	if (doctor->redis_answers) /* it says whole seconds */
		check_clock(doctor, "Redis's", (int64_t)doctor->redis.unix_s * 1000, CLOCK_MOST_MS + 1000);
}

static bool
accepts(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);

	bool good = fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;

	if (fd >= 0)
		close(fd);
	return good;
}

static void
check_sockets(struct doctor *doctor)
{
	static const char *const lanes[] = {"read", "store", "purchase", "admin"};
	size_t open = 0;

	for (size_t i = 0; i < sizeof(lanes) / sizeof(lanes[0]); i++) {
		struct str path = arena_format(&doctor->ctl->arena, "%s/%s.sock", doctor->ctl->conf->run_dir, lanes[i]);

		if (accepts(path.ptr))
			open++;
		else
			say(doctor, FAIL, "sockets", "%s: %s", path.ptr, strerror(errno));
	}
	if (open == sizeof(lanes) / sizeof(lanes[0]))
		say(doctor, OK, "sockets", "all lanes in %s accept", doctor->ctl->conf->run_dir);
	else
		type("systemctl status battlepass; journalctl -u battlepass");
}

static int64_t
number_in(struct doctor *doctor, const char *path)
{
	struct str text;

	return file_read(path, 64, &doctor->ctl->arena, &text) == ERR_OK ? strtoll(text.ptr, NULL, 10) : 0;
}

/* 0: it does not run. */
static pid_t
daemon_pid(struct doctor *doctor)
{
	struct arena *arena = &doctor->ctl->arena;
	pid_t pid = (pid_t)number_in(doctor, arena_format(arena, "%s/battlepassd.pid", doctor->ctl->conf->run_dir).ptr);
	struct str name;

	/* What a daemon that was killed has left there may be the number of anybody by now. */
	if (pid <= 0 || file_read(arena_format(arena, "/proc/%d/comm", (int)pid).ptr, 64, arena, &name) != ERR_OK)
		return 0;
	return str_starts_with(name, STR("battlepassd")) ? pid : 0;
}

/* Those of the daemon, or ours, which are what it would get if it were started from here. */
static void
check_files(struct doctor *doctor)
{
	pid_t pid = daemon_pid(doctor);
	struct rlimit files;

	if (prlimit(pid, RLIMIT_NOFILE, NULL, &files) != 0) {
		say(doctor, WARN, "limits", "those of process %d cannot be seen: %s", (int)pid, strerror(errno));
		type("sudo battlepassctl doctor");
	} else if (files.rlim_max < FILES_WANTED) {
		say(doctor, WARN, "limits", "%llu files may be open %s: %d are better",
		    (unsigned long long)files.rlim_max, pid ? "in the daemon" : "in a daemon that is started here",
		    FILES_WANTED);
		type("LimitNOFILE=%d in the unit of the daemon", FILES_WANTED);
	} else {
		say(doctor, OK, "limits", "enough files may be open");
	}
}

static void
check_limits(struct doctor *doctor)
{
	int64_t backlog = number_in(doctor, "/proc/sys/net/core/somaxconn");

	check_files(doctor);
	if (backlog && backlog < BACKLOG_WANTED) {
		say(doctor, WARN, "limits", "net.core.somaxconn is %lld: a burst of connections is refused",
		    (long long)backlog);
		type("sysctl -w net.core.somaxconn=%d, and the same in /etc/sysctl.d", BACKLOG_WANTED);
	} else {
		say(doctor, OK, "limits", "a burst of connections fits");
	}
}

int
ctl_doctor(struct ctl *ctl, int argc, char **argv)
{
	static void (*const checks[])(struct doctor *) = {
		check_configuration, check_keys,    check_database,     check_durability,  check_connections,
		check_seasons,       check_redis,   check_redis_memory, check_redis_setup, check_epoch,
		check_clocks,        check_sockets, check_limits,
	};
	struct doctor doctor = {.ctl = ctl};

	if (argc > 1)
		return ctl_fail("doctor: unexpected argument \"%s\"", argv[1]);
	if (!ctl_conf(ctl))
		return EXIT_FAILURE;
	doctor.store = store_new(ctl->conf, STORE_REPLY_S);
	doctor.vitals = vitals_new(ctl->conf);
	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++)
		checks[i](&doctor);
	vitals_free(doctor.vitals);
	store_free(doctor.store);
	return doctor.worst == FAIL ? EXIT_FAILURE : EXIT_SUCCESS;
}
