/*
 * A MariaDB of the test's own, with the project's schema in it, on a socket in a folder of its own, ended by its pid.
 * Nothing in it survives the test.
 */
#ifndef BP_T_UNIT_MARIADB_SERVER_H
#define BP_T_UNIT_MARIADB_SERVER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/conf.h"
#include "store/db.h"

struct mariadb_server {
	char folder[64];
	char socket[96];
	pid_t pid;
	struct conf *conf;  /* for a client of the database with the schema */
	struct db *control; /* a connection of the test's own */
};

/* Says in TAP that there is nothing to test with; the exit status of main(). TEST_STRICT=1 makes it a failure. */
int mariadb_server_skip(void);
bool mariadb_server_installed(void);
/* Starts it and runs the migrations; ends the program when it cannot. */
void mariadb_server_start(struct mariadb_server *server);
void mariadb_server_stop(struct mariadb_server *server);

/* Through the control connection; ends the program when the statement fails. */
void mariadb_server_run(struct mariadb_server *server, const char *sql);
/* The first column of the first row: a number, 0 if there is none; or a text, "" if there is none, until the next. */
uint64_t mariadb_server_number(struct mariadb_server *server, const char *sql);
const char *mariadb_server_text(struct mariadb_server *server, const char *sql);

#endif
