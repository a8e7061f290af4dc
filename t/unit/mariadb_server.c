/* A MariaDB of the test's own: see mariadb_server.h. */
#include "mariadb_server.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "store/migrate.h"

enum { START_MS = 60000, REPLY_S = 30 };

static const char daemon_path[] = "/usr/sbin/mariadbd";

_Noreturn static void
die(const char *what, const char *why)
{
	printf("Bail out! %s: %s\n", what, why);
	exit(2);
}

bool
mariadb_server_installed(void)
{
	return access(daemon_path, X_OK) == 0 && system("command -v mariadb-install-db >/dev/null 2>&1") == 0;
}

int
mariadb_server_skip(void)
{
	const char *strict = getenv("TEST_STRICT");

	if (strict && strcmp(strict, "1") == 0) {
		printf("1..1\nnot ok 1 - mariadb-server is not installed\n");
		return 1;
	}
	printf("1..0 # SKIP mariadb-server is not installed\n");
	return 0;
}

/* The child ends with the test, whatever ends that, and writes where nobody looks unless something is wrong. */
static void
be_a_child(const struct mariadb_server *server)
{
	int log;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (chdir(server->folder) != 0)
		_exit(127);
	log = open("server.log", O_WRONLY | O_CREAT | O_APPEND, 0600);
	if (log >= 0) {
		dup2(log, STDOUT_FILENO);
		dup2(log, STDERR_FILENO);
	}
}

/* The last of the words is NULL. */
static pid_t
start_program(const struct mariadb_server *server, const char *const *words)
{
	pid_t pid = fork();

	if (pid < 0)
		die("fork", strerror(errno));
	if (pid > 0)
		return pid;
	be_a_child(server);
	execvp(words[0], (char *const *)(uintptr_t)words);
	_exit(127);
}

static void
install(const struct mariadb_server *server, const char *data, const char *user)
{
	const char *const words[] = {"mariadb-install-db",
				     "--no-defaults",
				     "--auth-root-authentication-method=normal",
				     "--skip-test-db",
				     "--skip-name-resolve",
				     data,
				     user,
				     NULL};
	pid_t pid = start_program(server, words);
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			die("waitpid", strerror(errno));
	if (status != 0)
		die("mariadb-install-db failed", server->folder);
}

static void
start_server(struct mariadb_server *server)
{
	/* Root has to say that it is; for anybody else this means nothing. */
	const char *user = geteuid() == 0 ? "--user=root" : "--skip-name-resolve";
	char data[96];
	char socket[112];

	snprintf(data, sizeof(data), "--datadir=%s/data", server->folder);
	snprintf(socket, sizeof(socket), "--socket=%s", server->socket);
	install(server, data, user);

	const char *const words[] = {daemon_path,
				     "--no-defaults",
				     "--skip-networking",
				     "--skip-name-resolve",
				     "--skip-log-bin",
				     "--performance-schema=OFF",
				     "--innodb-flush-log-at-trx-commit=0",
				     "--innodb-buffer-pool-size=64M",
				     "--character-set-server=utf8mb4",
				     data,
				     socket,
				     user,
				     NULL};

	server->pid = start_program(server, words);
}

static struct conf *
conf_for(const struct mariadb_server *server, const char *database)
{
	char detail[CONF_DETAIL_SIZE];
	char where[128];
	char name[128];
	struct conf *conf;

	snprintf(where, sizeof(where), "store.socket=%s", server->socket);
	snprintf(name, sizeof(name), "store.database=%s", database);
	/* A machine that is busy with other things is no fault of a statement. */
	if (conf_load(NULL,
		      (const char *const[]){where, name, "store.user=root",
					    "store.password=", "store.read_timeout_ms=10000", NULL},
		      &conf, detail) != ERR_OK)
		die("configuration", detail);
	return conf;
}

/* Waits until the server answers, and makes the database. */
static void
create_database(struct mariadb_server *server)
{
	int64_t deadline_ms = clock_boot_ms() + START_MS;
	struct conf *conf = conf_for(server, "mysql");
	struct db *db = db_new(conf, false, REPLY_S);

	/* Before there is a socket an attempt would only be a line in the log. */
	while (access(server->socket, F_OK) != 0 || db_connect(db) != ERR_OK) {
		if (clock_boot_ms() > deadline_ms || waitpid(server->pid, NULL, WNOHANG) == server->pid)
			die("mariadbd does not start", server->folder);
		clock_sleep_ms(20);
	}
	if (db_run_script(db, STR("CREATE DATABASE battlepass CHARACTER SET utf8mb4")) != ERR_OK)
		die("CREATE DATABASE", db_error(db));
	db_free(db);
	conf_free(conf);
}

void
mariadb_server_start(struct mariadb_server *server)
{
	const char *top = getenv("TEST_SRCDIR");
	char detail[MIGRATE_DETAIL_SIZE];
	char folder[4096];

	*server = (struct mariadb_server){.folder = "/tmp/battlepass-mariadb-XXXXXX"};
	if (!mkdtemp(server->folder))
		die("mkdtemp", strerror(errno));
	snprintf(server->socket, sizeof(server->socket), "%s/db.sock", server->folder);
	start_server(server);
	create_database(server);
	server->conf = conf_for(server, "battlepass");
	snprintf(folder, sizeof(folder), "%s/sql", top ? top : ".");
	if (migrate(server->conf, folder, NULL, detail) != ERR_OK)
		die("migrate", detail);
	server->control = db_new(server->conf, true, REPLY_S);
	if (db_connect(server->control) != ERR_OK)
		die("connect", db_error(server->control));
}

void
mariadb_server_stop(struct mariadb_server *server)
{
	char command[96];

	db_free(server->control);
	conf_free(server->conf);
	kill(server->pid, SIGKILL);
	while (waitpid(server->pid, NULL, 0) < 0 && errno == EINTR)
		continue;
	snprintf(command, sizeof(command), "rm -rf -- '%s'", server->folder);
	if (system(command) != 0)
		die("cannot remove", server->folder);
}

void
mariadb_server_run(struct mariadb_server *server, const char *sql)
{
	buf_cstr(db_sql(server->control), sql);
	if (db_run(server->control, NULL) != ERR_OK)
		die(sql, db_error(server->control));
}

static struct db_result *
ask(struct mariadb_server *server, const char *sql)
{
	struct db_result *result;

	buf_cstr(db_sql(server->control), sql);
	if (db_select(server->control, &result) != ERR_OK)
		die(sql, db_error(server->control));
	return result;
}

uint64_t
mariadb_server_number(struct mariadb_server *server, const char *sql)
{
	struct db_result *result = ask(server, sql);
	uint64_t number = db_next(result) ? db_u64(result, 0) : 0;

	db_result_free(result);
	return number;
}

const char *
mariadb_server_text(struct mariadb_server *server, const char *sql)
{
	static char text[256];
	struct db_result *result = ask(server, sql);

	text[0] = '\0';
	if (db_next(result))
		snprintf(text, sizeof(text), "%.*s", STR_ARGS(db_text(result, 0)));
	db_result_free(result);
	return text;
}
