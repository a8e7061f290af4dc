/* Tests of store/db on a real MariaDB: the session does not hang on how the server is configured, and who does not
 * answer has said nothing of its schema. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "mariadb_server.h"
#include "store/store_private.h"
#include "tap.h"

enum { REPLY_S = 5 };

static struct mariadb_server server;

/* Central European Time, as POSIX writes it: it needs no files of zones. */
#define ZONE "CET-1CEST,M3.5.0,M10.5.0/3"

/* The night in which 02:00 to 03:00 comes twice: each moment is told as it is, and none before the one before it. */
static void
keeps_the_clock_in_autumn(void)
{
	enum { MIDNIGHT = 1792879200, HOURS = 5, STEP_S = 600 }; /* 2026-10-25 00:00 in that zone */
	char sql[128];

	CU_ASSERT_STRING_EQUAL(mariadb_server_text(&server, "SELECT @@global.time_zone"), "SYSTEM");
	CU_ASSERT_EQUAL(mariadb_server_number(&server, "SELECT @@system_time_zone IN ('CET', 'CEST')"), 1);
	for (int64_t now = MIDNIGHT; now < MIDNIGHT + HOURS * 3600; now += STEP_S) {
		snprintf(sql, sizeof(sql), "SET timestamp = %" PRId64, now);
		mariadb_server_run(&server, sql);
		CU_ASSERT_EQUAL(mariadb_server_number(&server, "SELECT " SQL_NOW), (uint64_t)now * 1000);
	}
	mariadb_server_run(&server, "SET timestamp = DEFAULT");
}

static enum err
connect_as(char *user)
{
	struct conf conf = *server.conf;
	enum err err;

	conf.store.user = user;

	struct db *db = db_new(&conf, true, REPLY_S);

	err = db_connect(db);
	db_free(db);
	return err;
}

/* A schema that cannot be read may be any: waiting is right, and "run battlepassctl migrate" would be wrong. */
static void
takes_no_answer_for_no_schema(void)
{
	char unable[] = "unable";

	CU_ASSERT_EQUAL(connect_as(server.conf->store.user), ERR_OK);
	mariadb_server_run(&server, "CREATE USER unable@localhost");
	mariadb_server_run(&server, "GRANT INSERT ON schema_migration TO unable@localhost");
	CU_ASSERT_EQUAL(connect_as(unable), ERR_STORE_UNAVAILABLE);
	mariadb_server_run(&server, "GRANT SELECT ON schema_migration TO unable@localhost");
	CU_ASSERT_EQUAL(connect_as(unable), ERR_OK);
	mariadb_server_run(&server, "CREATE TABLE kept AS SELECT * FROM schema_migration");
	mariadb_server_run(&server, "DELETE FROM schema_migration");
	CU_ASSERT_EQUAL(connect_as(unable), ERR_STORE_SCHEMA);
	mariadb_server_run(&server, "INSERT INTO schema_migration SELECT * FROM kept");
	CU_ASSERT_EQUAL(connect_as(unable), ERR_OK);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"keeps the clock in autumn", keeps_the_clock_in_autumn},
		{"takes no answer for no schema", takes_no_answer_for_no_schema},
		CU_TEST_INFO_NULL,
	};

	if (!mariadb_server_installed())
		return mariadb_server_skip();
	log_set_level(LOG_ERROR);
	setenv("TZ", ZONE, 1);
	mariadb_server_start(&server);

	int status = tap_main("store_db", tests);

	mariadb_server_stop(&server);
	return status;
}
