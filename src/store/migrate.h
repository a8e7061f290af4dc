/*
 * Schema migrations: numbered SQL files (sql/NNNN_name.sql), each run once, in order, and remembered with its SHA-256
 * in schema_migration. Safe to run twice and from several hosts at once: a row lock in schema_migration_lock lets one
 * in at a time. A file that was changed after it ran is an error, and nothing is run then.
 *
 * DDL commits by itself, so a migration that fails half-way is left marked as begun; the next run says so and what to
 * do.
 */
#ifndef BP_STORE_MIGRATE_H
#define BP_STORE_MIGRATE_H

#include "base/conf.h"
#include "base/err.h"

/*
 * The oldest schema that this build runs on, which is that of the release before it, and the one that it brings. What a
 * newer file adds is used once it is there.
 */
enum { SCHEMA_VERSION_NEEDED = 5, SCHEMA_VERSION = 6, SCHEMA_WITH_DATABASE_LIFE = 6 };

enum { MIGRATE_DETAIL_SIZE = 1024 };

/* folder: where the SQL files are. say: called with a line of progress; may be NULL. detail: why it failed. */
enum err migrate(const struct conf *conf, const char *folder, void (*say)(const char *line), char *detail);

#endif
