/*
 * One connection to MySQL or MariaDB; private to the store. The only file that knows mysql.h is db.c. Statements are
 * built in a buf, with every text escaped by db_quote(). Results are read whole.
 *
 * Errors: ERR_STORE_RETRY (rolled back: deadlock, lock wait, certification failure, connection lost before COMMIT),
 * ERR_STORE_DUPLICATE, ERR_STORE_UNKNOWN (connection lost at COMMIT), ERR_STORE_UNAVAILABLE (cannot connect, or took
 * too long), ERR_STORE_SCHEMA, ERR_INTERNAL (logged: a statement that can never succeed). After every error the
 * transaction is rolled back or its connection is closed.
 */
#ifndef BP_STORE_DB_H
#define BP_STORE_DB_H

#include "base/buf.h"
#include "base/conf.h"
#include "base/err.h"

struct db;

struct db_result;

/* conf is borrowed. check_schema: refuse a database whose schema this build cannot use. */
struct db *db_new(const struct conf *conf, bool check_schema, unsigned reply_timeout_s);
void db_free(struct db *db);
/* Connects if it is not. ERR_STORE_UNAVAILABLE, ERR_STORE_SCHEMA. */
enum err db_connect(struct db *db);
void db_disconnect(struct db *db);
/* The version of the schema that was there when it was connected to, or that was seen since. */
uint64_t db_schema(const struct db *db);
/* A migration has gone on meanwhile: the schema is at least at this version. */
void db_take_schema(struct db *db, uint64_t version);
/* What the server said last; for tools. */
const char *db_error(const struct db *db);

/* The statement buffer, emptied: build a statement in it, then run it. */
struct buf *db_sql(struct db *db);
/* The same, with what bounds a reading statement in time written in front: continue behind "SELECT ". */
struct buf *db_sql_select(struct db *db);
/* The same for lists over all players, and for checks: they may take nearly as long as an answer is waited for. */
struct buf *db_sql_long_select(struct db *db);
/* The statement so far, to go on with. */
struct buf *db_sql_more(struct db *db);
/* 'text', escaped for this connection; when it is lost, nothing: the statement is not going to run. */
void db_quote(struct db *db, struct str text);
/* x'..' */
void db_quote_bytes(struct db *db, const void *bytes, size_t size);

/* Runs the statement in the buffer. ret_affected may be NULL. */
enum err db_run(struct db *db, uint64_t *ret_affected);
/* Runs a SELECT; on success the caller frees the result. */
enum err db_select(struct db *db, struct db_result **ret_result);
/* Runs several statements, separated by semicolons, one after the other; stops at the first that fails. */
enum err db_run_script(struct db *db, struct str script);
enum err db_begin(struct db *db);
enum err db_commit(struct db *db);
void db_rollback(struct db *db);
/*
 * What was read says that this server takes no writes: it is not, or no longer, the primary. The connection is given
 * up; the next one may lead to the primary. ERR_STORE_RETRY.
 */
enum err db_is_replica(struct db *db);
/* Between db_begin and the end, whatever ended it. */
bool db_in_transaction(const struct db *db);

/* How many rows it has. */
size_t db_rows(const struct db_result *result);
/* The next row; false after the last. */
bool db_next(struct db_result *result);
/* Before the first row again. */
void db_rewind(struct db_result *result);
/* Columns of the row; borrowed until db_next or db_result_free. NULL reads as empty or 0. */
struct str db_text(const struct db_result *result, unsigned column);
uint64_t db_u64(const struct db_result *result, unsigned column);
int64_t db_i64(const struct db_result *result, unsigned column);
/* Copies exactly size bytes; false if the column has another length. */
bool db_bytes(const struct db_result *result, unsigned column, void *bytes, size_t size);
void db_result_free(struct db_result *result);

#endif
