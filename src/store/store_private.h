/* What the files of the store share. */
#ifndef BP_STORE_STORE_PRIVATE_H
#define BP_STORE_STORE_PRIVATE_H

#include "store/db.h"
#include "store/store.h"

struct store {
	struct db *db;
	struct store_port port;
};

/* rows.c */
enum err rows_load(void *self, struct progress_row *const rows[], size_t count, struct arena *arena);
enum err rows_lock(void *self, struct progress_row *const rows[], size_t count, struct arena *arena);
enum err rows_save(struct db *db, struct progress_row *const rows[], size_t count);
/* ledger.c */
enum err ledger_find(void *self, struct grant_row *const grants[], size_t count, bool found[], struct arena *arena);
enum err ledger_insert(struct db *db, const struct grant_row *const grants[], size_t count);
enum err ledger_page(void *self, const struct ledger_query *query, struct arena *arena, struct grant_row **ret_rows,
		     size_t *ret_count);
/* control.c */
enum err control_gate(void *self, struct write_gate *ret_gate);
enum err control_begin(void *self, struct write_gate *ret_gate);
enum err control_switch_off(void *self, uint64_t change);
enum err control_settle(void *self, uint64_t change);

/* What leaves the store: a schema that cannot be used is a store that is not available. */
enum err store_edge(enum err err);
/*
 * Runs a reading function outside a transaction; once more on a new connection when the old one turns out to be lost.
 */
enum err store_read_twice(struct store *store, enum err (*read)(struct store *, void *), void *argument);

/* season_id = '..' AND player_id IN (..), for rows of one season. */
void sql_players_of(struct db *db, const char *season, struct progress_row *const rows[], size_t count);
/* How many rows from the first on are of the same season. */
size_t season_run(struct progress_row *const rows[], size_t count);

#endif
