/* The store: see store.h. */
#include "store/store_private.h"

#include <stdio.h>
#include <stdlib.h>

enum err
store_edge(enum err err)
{
	return err == ERR_STORE_SCHEMA ? ERR_STORE_UNAVAILABLE : err;
}

enum err
store_read_twice(struct store *store, enum err (*read)(struct store *, void *), void *argument)
{
	enum err err = ERR_STORE_RETRY;

	for (int tries = 0; tries < 2 && err == ERR_STORE_RETRY; tries++) {
		err = db_connect(store->db);
		if (err == ERR_OK)
			err = read(store, argument);
	}
	return err == ERR_STORE_RETRY ? ERR_STORE_UNAVAILABLE : store_edge(err);
}

static enum err
season_document(void *self, const char *season, uint64_t revision, struct arena *arena, struct str *ret_document)
{
	return store_season_document(self, season, revision, arena, ret_document);
}

static enum err
save(void *self, struct progress_row *const rows[], size_t row_count, const struct grant_row *const grants[],
     size_t grant_count)
{
	struct store *store = self;
	enum err err = ledger_insert(store->db, grants, grant_count); /* first, because it may meet a known key */

	return store_edge(err == ERR_OK ? rows_save(store->db, rows, row_count) : err);
}

static enum err
commit(void *self)
{
	struct store *store = self;

	return store_edge(db_commit(store->db));
}

static void
rollback(void *self)
{
	struct store *store = self;

	db_rollback(store->db);
}

struct store *
store_new(const struct conf *conf, unsigned reply_timeout_s)
{
	struct store *store = calloc(1, sizeof(*store));

	if (!store)
		abort();
	store->db = db_new(conf, true, reply_timeout_s);
	store->port = (struct store_port){
		.self = store,
		.load = rows_load,
		.season_document = season_document,
		.ledger = ledger_page,
		.begin = control_begin,
		.lock = rows_lock,
		.find_grants = ledger_find,
		.save = save,
		.commit = commit,
		.rollback = rollback,
		.switch_cache_off = control_switch_off,
		.settle_cache = control_settle,
		.cache_gate = control_gate,
	};
	return store;
}

void
store_free(struct store *store)
{
	if (!store)
		return;
	db_free(store->db);
	free(store);
}

const struct store_port *
store_port(const struct store *store)
{
	return &store->port;
}

enum err
store_check(struct store *store, char *detail)
{
	enum err err = db_connect(store->db);

	if (err != ERR_OK)
		snprintf(detail, 256, "%s", db_error(store->db));
	return err;
}

const char *
store_error(const struct store *store)
{
	return db_error(store->db);
}
