/* Schema migrations: see migrate.h. */
#include "store/migrate.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/file.h"
#include "store/db.h"

enum {
	VERSION_DIGITS = 4,
	LOCK_TRIES = 150 /* of 2 s each */,
	STATEMENT_FILE_MAX = 1 << 20,
	MIGRATION_REPLY_S = 86400
};

struct migration {
	unsigned version;
	const char *name; /* of the file */
	struct str text;
	char checksum[DIGEST_SIZE * 2 + 1];
};

struct run {
	const char *folder;
	void (*say)(const char *line);
	char *detail;
	struct arena arena;
	struct db *lock; /* holds the row lock that lets one in at a time; DDL would commit it away on the other */
	struct db *db;
	struct migration *migrations;
	size_t count;
};

static enum err explain(struct run *run, enum err err, const char *format, ...) __attribute__((format(printf, 3, 4)));

static enum err
explain(struct run *run, enum err err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(run->detail, MIGRATE_DETAIL_SIZE, format, args);
	va_end(args);
	return err;
}

static enum err
explain_database(struct run *run, enum err err, const struct db *db, const char *doing)
{
	return explain(run, err, "%s: %s", doing, db_error(db));
}

static int
is_migration(const struct dirent *entry)
{
	size_t length = strlen(entry->d_name);

	return length > VERSION_DIGITS + 5 && strspn(entry->d_name, "0123456789") == VERSION_DIGITS &&
	       entry->d_name[VERSION_DIGITS] == '_' && strcmp(entry->d_name + length - 4, ".sql") == 0;
}

static enum err
read_migration(struct run *run, const char *name, struct migration *migration)
{
	unsigned char digest[DIGEST_SIZE];
	struct buf hex;
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s", run->folder, name);
	migration->version = (unsigned)strtoul(name, NULL, 10);
	migration->name = arena_copy(&run->arena, str_from(name));
	if (file_read(path, STATEMENT_FILE_MAX, &run->arena, &migration->text) != ERR_OK)
		return explain(run, ERR_SYSTEM, "%s: %s", path, strerror(errno));
	digest_sha256(migration->text, digest);
	buf_init(&hex);
	buf_hex(&hex, digest, sizeof(digest));
	snprintf(migration->checksum, sizeof(migration->checksum), "%s", buf_text(&hex));
	buf_release(&hex);
	return ERR_OK;
}

/* The files in order; their numbers count up from 1 without a gap. */
static enum err
read_folder(struct run *run)
{
	struct dirent **entries;
	int count = scandir(run->folder, &entries, is_migration, alphasort);
	enum err err = ERR_OK;

	if (count < 0)
		return explain(run, ERR_SYSTEM, "%s: %s", run->folder, strerror(errno));
	run->migrations = ARENA_ARRAY(&run->arena, (size_t)count, struct migration);
	for (int i = 0; i < count; i++) {
		struct migration *migration = &run->migrations[run->count];

		if (err == ERR_OK)
			err = read_migration(run, entries[i]->d_name, migration);
		if (err == ERR_OK && migration->version != ++run->count)
			err = explain(run, ERR_CONFIG, "%s/%s: expected number %zu", run->folder, migration->name,
				      run->count);
		free(entries[i]);
	}
	free(entries);
	if (err == ERR_OK && run->count == 0)
		err = explain(run, ERR_CONFIG, "%s: there are no migrations (NNNN_name.sql) here", run->folder);
	return err;
}

static const char bookkeeping[] =
	"CREATE TABLE IF NOT EXISTS schema_migration ("
	" version INT UNSIGNED NOT NULL, name VARCHAR(255) CHARACTER SET utf8mb4 NOT NULL,"
	" checksum CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, finished BOOLEAN NOT NULL,"
	" begun_at_ms BIGINT NOT NULL, PRIMARY KEY (version)) ENGINE=InnoDB;"
	"CREATE TABLE IF NOT EXISTS schema_migration_lock (id TINYINT UNSIGNED NOT NULL, PRIMARY KEY (id)) "
	"ENGINE=InnoDB;"
	"INSERT IGNORE INTO schema_migration_lock (id) SELECT 1 FROM DUAL "
	"WHERE NOT EXISTS (SELECT id FROM schema_migration_lock)";

static enum err
take_lock(struct run *run)
{
	enum err err = ERR_STORE_RETRY;

	for (int tries = 0; tries < LOCK_TRIES && err == ERR_STORE_RETRY; tries++) {
		struct db_result *result;

		err = db_begin(run->lock);
		if (err != ERR_OK)
			break;
		buf_literal(db_sql(run->lock), "SELECT id FROM schema_migration_lock WHERE id = 1 FOR UPDATE");
		err = db_select(run->lock, &result);
		if (err == ERR_OK)
			db_result_free(result);
		else if (tries == 0 && run->say)
			run->say("another host is migrating: waiting for it");
	}
	return err == ERR_OK ? ERR_OK
			     : explain_database(run, ERR_STORE_UNAVAILABLE, run->lock, "cannot get the migration lock");
}

static enum err
mark(struct run *run, const struct migration *migration, bool finished)
{
	struct buf *sql = db_sql(run->db);

	buf_format(sql, "REPLACE INTO schema_migration (version, name, checksum, finished, begun_at_ms) VALUES (%u,",
		   migration->version);
	db_quote(run->db, str_from(migration->name));
	buf_format(sql, ",'%s',%d,%lld)", migration->checksum, finished, (long long)clock_unix_ms());
	return db_run(run->db, NULL) == ERR_OK ? ERR_OK
					       : explain_database(run, ERR_STORE_UNAVAILABLE, run->db, migration->name);
}

static enum err
apply(struct run *run, const struct migration *migration)
{
	char line[512];
	enum err err = mark(run, migration, false);

	if (err != ERR_OK)
		return err;
	snprintf(line, sizeof(line), "running %s", migration->name);
	if (run->say)
		run->say(line);
	if (db_run_script(run->db, migration->text) != ERR_OK)
		return explain_database(run, ERR_STORE_SCHEMA, run->db, migration->name);
	return mark(run, migration, true);
}

/* What schema_migration says of one that was begun or finished before. */
static enum err
check_known(struct run *run, unsigned version, struct str checksum, bool finished)
{
	if (version == 0 || version > run->count)
		return ERR_OK; /* a newer build was here */

	const struct migration *migration = &run->migrations[version - 1];

	if (!finished)
		return explain(
			run, ERR_STORE_SCHEMA,
			"%s was begun and did not finish: bring the schema to where it was before, delete its row from "
			"schema_migration and run this again",
			migration->name);
	if (!str_equal(checksum, str_from(migration->checksum)))
		return explain(run, ERR_STORE_SCHEMA, "%s was changed after it ran here: restore the file",
			       migration->name);
	return ERR_OK;
}

static enum err
read_known(struct run *run, unsigned *ret_done)
{
	struct db_result *result;
	enum err err;

	*ret_done = 0;
	buf_literal(db_sql(run->db), "SELECT version, checksum, finished FROM schema_migration ORDER BY version");
	if (db_select(run->db, &result) != ERR_OK)
		return explain_database(run, ERR_STORE_UNAVAILABLE, run->db, "schema_migration");
	err = ERR_OK;
	while (err == ERR_OK && db_next(result)) {
		*ret_done = (unsigned)db_u64(result, 0);
		err = check_known(run, *ret_done, db_text(result, 1), db_u64(result, 2) != 0);
	}
	db_result_free(result);
	return err;
}

static enum err
migrate_all(struct run *run)
{
	unsigned done;
	enum err err = read_folder(run);

	if (err != ERR_OK)
		return err;
	if (db_connect(run->db) != ERR_OK)
		return explain_database(run, ERR_STORE_UNAVAILABLE, run->db, "cannot connect");
	if (db_run_script(run->db, str_from(bookkeeping)) != ERR_OK)
		return explain_database(run, ERR_STORE_UNAVAILABLE, run->db, "schema_migration");
	err = take_lock(run);
	if (err == ERR_OK)
		err = read_known(run, &done);
	for (size_t i = 0; err == ERR_OK && i < run->count; i++)
		if (run->migrations[i].version > done)
			err = apply(run, &run->migrations[i]);
	db_rollback(run->lock);
	return err;
}

enum err
migrate(const struct conf *conf, const char *folder, void (*say)(const char *line), char *detail)
{
	struct run run = {.folder = folder, .say = say, .detail = detail};

	arena_init(&run.arena);
	run.lock = db_new(conf, false, MIGRATION_REPLY_S);
	run.db = db_new(conf, false, MIGRATION_REPLY_S);

	enum err err = migrate_all(&run);

	db_free(run.db);
	db_free(run.lock);
	arena_release(&run.arena);
	return err;
}
