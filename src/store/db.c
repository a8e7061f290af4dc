/* One connection to MySQL or MariaDB: see db.h. The only file that includes mysql.h. */
#include "store/db.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <mysql.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "store/migrate.h"

enum {
	RECONNECT_MS = 100,         /* after a failed connect the next try waits so long */
	LONG_SELECT_MS_PER_S = 800, /* the server gives up on a long SELECT before its answer is missed here */
};

struct db {
	const struct conf *conf;
	bool check_schema;
	unsigned reply_timeout_s;
	MYSQL *mysql; /* NULL: not connected */
	bool mariadb;
	uint64_t schema;
	bool in_transaction;
	bool reported; /* the present outage is in the log already */
	int64_t retry_at_boot_ms;
	struct buf sql;
	char error[256];
};

struct db_result {
	MYSQL_RES *rows;
	MYSQL_ROW row;
	unsigned long *lengths;
	unsigned columns; /* there may be fewer than were asked for: what answers is not always what it should be */
};

enum { DEADLOCK = 1213, CLIENT_ERRORS = 2000, CLIENT_ERRORS_END = 3000 };

/* What a server or client error means for the transaction that met it. Anything else is a fault of ours. */
static const struct {
	unsigned code;
	enum err err;
	bool lost; /* the connection is of no use any more */
} meanings[] = {
	{1062, ERR_STORE_DUPLICATE, false},   /* duplicate key */
	{1205, ERR_STORE_RETRY, false},       /* lock wait timeout: rolls back only the statement */
	{DEADLOCK, ERR_STORE_RETRY, false},   /* it was rolled back */
	{1020, ERR_STORE_RETRY, false},       /* record changed since it was read */
	{1047, ERR_STORE_RETRY, false},       /* node not ready (Galera) */
	{1153, ERR_INTERNAL, true},           /* packet too large: this one can never succeed */
	{1180, ERR_STORE_RETRY, false},       /* error during COMMIT */
	{1969, ERR_STORE_UNAVAILABLE, false}, /* max_statement_time (MariaDB) */
	{3024, ERR_STORE_UNAVAILABLE, false}, /* MAX_EXECUTION_TIME (MySQL) */
	{1021, ERR_STORE_UNAVAILABLE, false}, /* disk full */
	{1114, ERR_STORE_UNAVAILABLE, false}, /* table full */
	{1290, ERR_STORE_UNAVAILABLE, true},  /* read only: no longer the primary */
	{1792, ERR_STORE_UNAVAILABLE, true},  /* read only transaction */
	{1836, ERR_STORE_UNAVAILABLE, true},  /* read only mode */
	{1146, ERR_STORE_SCHEMA, false},      /* no such table */
	{1054, ERR_STORE_SCHEMA, false},      /* no such column */
	{1053, ERR_STORE_RETRY, true},        /* server shutdown */
	{1317, ERR_STORE_RETRY, false},       /* statement killed */
	{1927, ERR_STORE_RETRY, true},        /* connection killed */
	{2006, ERR_STORE_RETRY, true},        /* server has gone away */
	{2013, ERR_STORE_RETRY, true},        /* lost connection */
	{2014, ERR_STORE_RETRY, true},        /* commands out of sync */
	{2055, ERR_STORE_RETRY, true},        /* lost connection, with system error */
	{4031, ERR_STORE_RETRY, true},        /* closed for inactivity (MySQL) */
};

struct db *
db_new(const struct conf *conf, bool check_schema, unsigned reply_timeout_s)
{
	struct db *db = calloc(1, sizeof(*db));

	if (!db)
		abort();
	db->conf = conf;
	db->check_schema = check_schema;
	db->reply_timeout_s = reply_timeout_s;
	buf_init(&db->sql);
	return db;
}

void
db_free(struct db *db)
{
	if (!db)
		return;
	db_disconnect(db);
	buf_release(&db->sql);
	free(db);
}

void
db_disconnect(struct db *db)
{
	if (db->mysql)
		mysql_close(db->mysql);
	db->mysql = NULL;
	db->in_transaction = false;
}

const char *
db_error(const struct db *db)
{
	return db->error;
}

static void
remember_error(struct db *db)
{
	snprintf(db->error, sizeof(db->error), "%u: %s", mysql_errno(db->mysql), mysql_error(db->mysql));
}

/* Classifies the last error and leaves no half transaction behind. */
static enum err
fail(struct db *db, bool at_commit)
{
	unsigned code = mysql_errno(db->mysql);
	enum err err = ERR_INTERNAL;
	bool lost = false;

	remember_error(db);
	metrics_add(METRIC_STORE_DEADLOCKS, code == DEADLOCK);
	db->in_transaction = false;
	for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++) {
		if (meanings[i].code == code) {
			err = meanings[i].err;
			lost = meanings[i].lost;
		}
	}
	lost |= code >= CLIENT_ERRORS && code < CLIENT_ERRORS_END;
	if (err == ERR_INTERNAL || err == ERR_STORE_SCHEMA)
		log_error("database error %s", db->error);
	else
		log_debug("database error %s", db->error);
	if (lost || mysql_rollback(db->mysql) != 0) {
		db_disconnect(db);
		if (at_commit)
			return ERR_STORE_UNKNOWN;
	}
	return err;
}

static void
set_options(MYSQL *mysql, const struct conf *conf, unsigned reply_timeout_s)
{
	unsigned connect_timeout_s = (unsigned)conf->store.connect_timeout_s;

	/* Who must not wait for a reply must not wait for a connection. */
	if (connect_timeout_s > reply_timeout_s)
		connect_timeout_s = reply_timeout_s;
	mysql_options(mysql, MYSQL_OPT_CONNECT_TIMEOUT, &connect_timeout_s);
	mysql_options(mysql, MYSQL_OPT_READ_TIMEOUT, &reply_timeout_s);
	mysql_options(mysql, MYSQL_OPT_WRITE_TIMEOUT, &reply_timeout_s);
	mysql_options(mysql, MYSQL_SET_CHARSET_NAME, "utf8mb4");
}

static bool
open_connection(struct db *db)
{
	const struct conf *conf = db->conf;
	bool local = conf->store.socket[0] != '\0';

	return mysql_real_connect(db->mysql, local ? NULL : conf->store.host, conf->store.user, conf->store.password,
				  conf->store.database[0] ? conf->store.database : NULL,
				  local ? 0 : (unsigned)conf->store.port, local ? conf->store.socket : NULL, 0) != NULL;
}

/*
 * Strict mode, READ COMMITTED and UTC do not depend on how the server is configured. In a zone with summer time an hour
 * of autumn comes twice, and SQL_NOW would go back by it.
 */
static bool
set_session(struct db *db)
{
	static const char *const statements[] = {
		"SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
		"SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', autocommit = 1, "
		"innodb_lock_wait_timeout = 2, time_zone = '+00:00'",
	};

	for (size_t i = 0; i < sizeof(statements) / sizeof(statements[0]); i++)
		if (mysql_query(db->mysql, statements[i]) != 0)
			return false;
	/*
	 * A process that stops inside a transaction must not hold its locks for long, but for the one that holds the
	 * migration lock. MySQL has no such variable; there the connection's own time limit has to do.
	 */
	if (db->check_schema && mysql_query(db->mysql, "SET SESSION idle_transaction_timeout = 3") != 0)
		mysql_query(db->mysql, "SET SESSION wait_timeout = 30");
	return true;
}

/* The number that sql asks for; 0 if there is none. */
static enum err
select_number(struct db *db, const char *sql, uint64_t *ret_number)
{
	struct db_result *result;
	enum err err;

	buf_cstr(db_sql(db), sql);
	err = db_select(db, &result);
	if (err != ERR_OK)
		return err;
	*ret_number = db_next(result) ? db_u64(result, 0) : 0;
	db_result_free(result);
	return ERR_OK;
}

/* The version that schema_migration has reached; 0: there is none. */
static enum err
schema_version(struct db *db, uint64_t *ret_version)
{
	uint64_t tables;
	enum err err = select_number(db,
				     "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE() "
				     "AND table_name = 'schema_migration'",
				     &tables);

	*ret_version = 0;
	if (err != ERR_OK || tables == 0)
		return err;
	return select_number(db, "SELECT COALESCE(MAX(version), 0) FROM schema_migration WHERE finished", ret_version);
}

uint64_t
db_schema(const struct db *db)
{
	return db->schema;
}

void
db_take_schema(struct db *db, uint64_t version)
{
	if (version > db->schema)
		db->schema = version;
}

static enum err
check_schema(struct db *db)
{
	uint64_t version;

	/* Who does not answer now has said nothing of its schema. */
	if (schema_version(db, &version) != ERR_OK)
		return ERR_STORE_UNAVAILABLE;
	db->schema = version;
	if (version >= SCHEMA_VERSION_NEEDED)
		return ERR_OK;
	snprintf(db->error, sizeof(db->error),
		 "the schema of database \"%s\" is at version %" PRIu64
		 ", this build needs %d: run \"battlepassctl migrate\"",
		 db->conf->store.database, version, SCHEMA_VERSION_NEEDED);
	return ERR_STORE_SCHEMA;
}

static void
report(struct db *db, enum err err)
{
	if ((err != ERR_OK) == db->reported)
		return;
	db->reported = err != ERR_OK;
	if (err != ERR_OK)
		log_error("the database cannot be used: %s", db->error);
	else
		log_info("the database can be used again");
}

static enum err
try_connect(struct db *db)
{
	db->mysql = mysql_init(NULL);
	if (!db->mysql)
		abort();
	set_options(db->mysql, db->conf, db->reply_timeout_s);
	if (!open_connection(db) || !set_session(db)) {
		remember_error(db);
		return ERR_STORE_UNAVAILABLE;
	}
	db->mariadb = strstr(mysql_get_server_info(db->mysql), "MariaDB") != NULL;
	metrics_add(METRIC_STORE_CONNECTS, 1);
	return db->check_schema ? check_schema(db) : ERR_OK;
}

enum err
db_connect(struct db *db)
{
	if (db->mysql)
		return ERR_OK;
	if (clock_boot_ms() < db->retry_at_boot_ms)
		return ERR_STORE_UNAVAILABLE;

	enum err err = try_connect(db);

	report(db, err);
	if (err != ERR_OK) {
		db_disconnect(db);
		db->retry_at_boot_ms = clock_boot_ms() + RECONNECT_MS;
	}
	return err;
}

struct buf *
db_sql(struct db *db)
{
	buf_clear(&db->sql);
	return &db->sql;
}

struct buf *
db_sql_more(struct db *db)
{
	return &db->sql;
}

static struct buf *
begin_select(struct db *db, int64_t limit_ms)
{
	struct buf *sql = db_sql(db);

	if (db->mariadb)
		buf_format(sql, "SET STATEMENT max_statement_time = %" PRId64 ".%03" PRId64 " FOR SELECT ",
			   limit_ms / 1000, limit_ms % 1000);
	else
		buf_format(sql, "SELECT /*+ MAX_EXECUTION_TIME(%" PRId64 ") */ ", limit_ms);
	return sql;
}

struct buf *
db_sql_select(struct db *db)
{
	return begin_select(db, db->conf->store.read_timeout_ms);
}

struct buf *
db_sql_long_select(struct db *db)
{
	return begin_select(db, (int64_t)db->reply_timeout_s * LONG_SELECT_MS_PER_S);
}

void
db_quote(struct db *db, struct str text)
{
	struct buf *sql = &db->sql;

	buf_char(sql, '\'');
	char *to = buf_reserve(sql, text.len * 2 + 1);

	if (text.len && db->mysql)
		sql->len += mysql_real_escape_string(db->mysql, to, text.ptr, text.len);
	buf_char(sql, '\'');
}

void
db_quote_bytes(struct db *db, const void *bytes, size_t size)
{
	buf_literal(&db->sql, "x'");
	buf_hex(&db->sql, bytes, size);
	buf_char(&db->sql, '\'');
}

/* Sends what was written, and waits for the answer; false: it failed. */
static bool
send_query(struct db *db, unsigned statement)
{
	int64_t began_us = clock_boot_us();
	bool good = mysql_real_query(db->mysql, db->sql.data, db->sql.len) == 0;

	metrics_observe(METRIC_STORE_DURATION, statement, 0, (uint64_t)(clock_boot_us() - began_us));
	return good;
}

static enum err
query(struct db *db, unsigned statement)
{
	if (!db->mysql)
		return ERR_STORE_RETRY;
	return send_query(db, statement) ? ERR_OK : fail(db, false);
}

enum err
db_run(struct db *db, uint64_t *ret_affected)
{
	enum err err = query(db, METRIC_STATEMENT_WRITE);

	if (err == ERR_OK && ret_affected)
		*ret_affected = mysql_affected_rows(db->mysql);
	return err;
}

enum err
db_select(struct db *db, struct db_result **ret_result)
{
	enum err err = query(db, METRIC_STATEMENT_READ);

	if (err != ERR_OK)
		return err;

	MYSQL_RES *rows = mysql_store_result(db->mysql);

	if (!rows)
		return fail(db, false);

	struct db_result *result = calloc(1, sizeof(*result));

	if (!result)
		abort();
	result->rows = rows;
	result->columns = mysql_num_fields(rows);
	*ret_result = result;
	return ERR_OK;
}

enum err
db_run_script(struct db *db, struct str script)
{
	int more = 0;

	if (mysql_set_server_option(db->mysql, MYSQL_OPTION_MULTI_STATEMENTS_ON) != 0 ||
	    mysql_real_query(db->mysql, script.ptr, script.len) != 0)
		return fail(db, false);
	while (more == 0) {
		MYSQL_RES *rows = mysql_store_result(db->mysql);

		if (rows)
			mysql_free_result(rows);
		more = mysql_next_result(db->mysql); /* 0: another, -1: none, more: it failed */
	}
	if (more > 0)
		return fail(db, false);
	mysql_set_server_option(db->mysql, MYSQL_OPTION_MULTI_STATEMENTS_OFF);
	return ERR_OK;
}

enum err
db_begin(struct db *db)
{
	enum err err = db_connect(db);

	if (err != ERR_OK)
		return err;
	buf_literal(db_sql(db), "START TRANSACTION");
	err = query(db, METRIC_STATEMENT_BEGIN);
	db->in_transaction = err == ERR_OK;
	return err;
}

enum err
db_commit(struct db *db)
{
	if (!db->mysql || !db->in_transaction)
		return ERR_STORE_RETRY; /* it was rolled back */
	buf_literal(db_sql(db), "COMMIT");
	if (!send_query(db, METRIC_STATEMENT_COMMIT))
		return fail(db, true);
	db->in_transaction = false;
	return ERR_OK;
}

void
db_rollback(struct db *db)
{
	if (db->mysql && mysql_rollback(db->mysql) != 0)
		db_disconnect(db);
	db->in_transaction = false;
}

enum err
db_is_replica(struct db *db)
{
	log_warning("the database is read-only: it is not the primary");
	db_disconnect(db);
	return ERR_STORE_RETRY;
}

bool
db_in_transaction(const struct db *db)
{
	return db->in_transaction;
}

size_t
db_rows(const struct db_result *result)
{
	return (size_t)mysql_num_rows(result->rows);
}

bool
db_next(struct db_result *result)
{
	result->row = mysql_fetch_row(result->rows);
	result->lengths = result->row ? mysql_fetch_lengths(result->rows) : NULL;
	return result->row != NULL;
}

void
db_rewind(struct db_result *result)
{
	mysql_data_seek(result->rows, 0);
}

/* NULL: SQL's, or there is no such column. */
static const char *
field(const struct db_result *result, unsigned column)
{
	return column < result->columns ? result->row[column] : NULL;
}

struct str
db_text(const struct db_result *result, unsigned column)
{
	const char *text = field(result, column);

	return text ? (struct str){text, result->lengths[column]} : (struct str){"", 0};
}

uint64_t
db_u64(const struct db_result *result, unsigned column)
{
	const char *text = field(result, column);

	return text ? strtoull(text, NULL, 10) : 0;
}

int64_t
db_i64(const struct db_result *result, unsigned column)
{
	const char *text = field(result, column);

	return text ? strtoll(text, NULL, 10) : 0;
}

bool
db_bytes(const struct db_result *result, unsigned column, void *bytes, size_t size)
{
	const char *text = field(result, column);

	if (!text || result->lengths[column] != size)
		return false;
	memcpy(bytes, text, size);
	return true;
}

void
db_result_free(struct db_result *result)
{
	if (!result)
		return;
	mysql_free_result(result->rows);
	free(result);
}
