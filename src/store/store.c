/* The store: see store.h. */
#include "store/store_private.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"

/* Of a single statement that met a deadlock or a lost connection. */
enum { RETRIES_MAX = 5, RETRIES_MS = 1000, RETRIES_JITTER_MS = 10 };

enum err
store_edge(enum err err)
{
	return err == ERR_STORE_SCHEMA ? ERR_STORE_UNAVAILABLE : err;
}

enum err
store_read_twice(struct store *store, enum err (*read)(struct store *, void *), void *argument)
{
	enum err err = ERR_STORE_RETRY;

	if (db_in_transaction(store->db))
		return store_edge(read(store, argument));
	for (int tries = 0; tries < 2 && err == ERR_STORE_RETRY; tries++) {
		err = db_connect(store->db);
		if (err == ERR_OK)
			err = read(store, argument);
	}
	return err == ERR_STORE_RETRY ? ERR_STORE_UNAVAILABLE : store_edge(err);
}

enum err
store_write_retried(struct store *store, enum err (*write)(struct store *, void *), void *argument)
{
	int64_t give_up_at_ms = clock_boot_ms() + RETRIES_MS;
	enum err err = ERR_STORE_RETRY;

	for (int tries = 0; tries < RETRIES_MAX && err == ERR_STORE_RETRY; tries++) {
		if (tries > 0 && clock_boot_ms() > give_up_at_ms)
			break;
		if (tries > 1)
			clock_sleep_ms((int64_t)(random_u64() % RETRIES_JITTER_MS));
		err = db_connect(store->db);
		if (err == ERR_OK)
			err = write(store, argument);
	}
	return err == ERR_STORE_RETRY ? ERR_STORE_UNAVAILABLE : store_edge(err);
}

static enum err
season_document(void *self, const char *season, uint64_t revision, struct arena *arena, struct str *ret_document)
{
	return store_season_document(self, season, revision, arena, ret_document);
}

/*
 * What may meet a key that is known stands first. Behind it no key is known as long as the rows are locked and what was
 * decided about them is right: an error there is none of the ledger's.
 */
static enum err (*const saves[])(struct db *db, const struct changes *changes) = {
	purchases_save, passes_save, resets_save, claims_insert, deliveries_insert, deliveries_retry,
};

static enum err
save_changes(struct db *db, const struct changes *changes)
{
	enum err err = ERR_OK;

	for (size_t i = 0; i < sizeof(saves) / sizeof(saves[0]) && err == ERR_OK; i++)
		err = saves[i](db, changes);
	if (err != ERR_STORE_DUPLICATE)
		return err;
	log_warning("a row stands in the way of a write: %s", db_error(db));
	return ERR_INTERNAL;
}

static enum err
save(void *self, const struct write_set *set)
{
	struct store *store = self;
	enum err err = ledger_insert(store->db, set->grants, set->grant_count);

	if (err == ERR_OK)
		err = audit_insert(store->db, &set->changes);
	if (err == ERR_OK)
		err = save_changes(store->db, &set->changes);
	return store_edge(err == ERR_OK ? rows_save(store->db, set) : err);
}

enum err
store_commit(void *self)
{
	struct store *store = self;

	return store_edge(db_commit(store->db));
}

void
store_rollback(void *self)
{
	struct store *store = self;

	db_rollback(store->db);
}

static struct records_port
records_of(struct store *store)
{
	return (struct records_port){
		.self = store,
		.claims = claims_page,
		.purchases = purchases_page,
		.purchase = purchases_get,
		.history = history_of_purchases,
		.deliveries = deliveries_page,
		.delivery = deliveries_get,
		.entries = audit_page,
		.standings = heads_standings,
		.chain = audit_chain,
		.chain_heads = heads_of_chains,
	};
}

struct store *
store_new(const struct conf *conf, unsigned reply_timeout_s)
{
	struct store *store = calloc(1, sizeof(*store));

	if (!store)
		abort();
	store->db = db_new(conf, true, reply_timeout_s);
	store->records = records_of(store);
	store->operators = operators_of(store);
	store->port = (struct store_port){
		.self = store,
		.load = rows_load,
		.season_document = season_document,
		.ledger = ledger_page,
		.begin = control_begin,
		.lock = rows_lock,
		.find_grants = ledger_find,
		.find_entries = audit_find,
		.find_purchase = purchases_find,
		.release_purchases = purchases_release,
		.live_purchase = purchases_live,
		.find_reset = resets_find,
		.save = save,
		.commit = store_commit,
		.rollback = store_rollback,
		.switch_cache_off = control_switch_off,
		.settle_cache = control_settle,
		.cache_gate = control_gate,
		.find_distrust = distrust_find,
		.distrust = distrust_insert,
		.settle_distrust = distrust_settle,
		.forget_distrust = distrust_forget,
		.others_reach = distrust_others_reach,
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

const struct records_port *
store_records(const struct store *store)
{
	return &store->records;
}

const struct operators_port *
store_operators(const struct store *store)
{
	return &store->operators;
}

enum err
store_check(struct store *store, char *detail)
{
	enum err err = db_connect(store->db);

	if (err != ERR_OK)
		snprintf(detail, 256, "%s", db_error(store->db));
	return err;
}

uint64_t
store_schema(const struct store *store)
{
	return db_schema(store->db);
}

const char *
store_error(const struct store *store)
{
	return db_error(store->db);
}
