/* What the files of the store share. */
#ifndef BP_STORE_STORE_PRIVATE_H
#define BP_STORE_STORE_PRIVATE_H

#include "store/db.h"
#include "store/store.h"

struct store {
	struct db *db;
	struct store_port port;
	struct records_port records;
	struct operators_port operators;
};

/* rows.c */
enum err rows_load(void *self, struct progress_row *const rows[], size_t count, struct arena *arena);
enum err rows_lock(void *self, struct progress_row *const rows[], size_t count, struct arena *arena);
enum err rows_save(struct db *db, const struct write_set *set);
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
/* distrust.c */
enum err distrust_find(void *self, struct distrust_row rows[], size_t count);
enum err distrust_insert(void *self, const struct distrust_row rows[], size_t count);
enum err distrust_settle(void *self, const struct distrust_row rows[], size_t count);
enum err distrust_forget(void *self, const struct distrust_row rows[], size_t count);
enum err distrust_others_reach(void *self, const struct uuid *id, const char *redis_id, bool *ret_reach);
/* Inside a transaction: off for everybody, and not settled. */
enum err control_turn_off(struct db *db);
/* Columns of cache_control c, to be read with control_take_gate() where they stand first. */
const char *control_gate_columns(const struct db *db);
enum { GATE_COLUMN_COUNT = 6 };
void control_take_gate(const struct db_result *result, struct write_gate *gate);
/* operators.c */
#define FLAG_COLUMNS "f.revision, f.cache_share, f.cache, f.warming, f.auditor_checks_per_s"
enum { FLAG_COLUMN_COUNT = 1 + FLAG_COUNT };
/* From FLAG_COLUMNS, which begin at this one. */
void operators_take_flags(const struct db_result *result, unsigned column, struct cache_flags *flags);
/* The whole UPDATE, up to its condition, which may be continued. */
void operators_sql_set_warming(struct db *db, const struct warming *warming);
struct operators_port operators_of(struct store *store);
/* audit.c */
enum err audit_find(void *self, struct audit_entry *const entries[], size_t count, bool found[], struct arena *arena);
enum err audit_insert(struct db *db, const struct changes *changes);
enum err audit_page(void *self, const struct entry_query *query, struct arena *arena, struct audit_entry **ret_rows,
		    size_t *ret_count);
enum err audit_chain(void *self, const char *player, const char *season, const struct chain_position *after,
		     uint32_t limit, struct arena *arena, struct audit_entry **ret_rows, size_t *ret_count);
/* history.c */
enum err history_of_purchases(void *self, struct str player, const struct purchase_row *purchases, size_t count,
			      struct arena *arena, struct purchase_step **ret_steps, size_t *ret_count);
/* heads.c */
enum err heads_of_chains(void *self, const char *player, const char *season, const struct chain_position *after,
			 uint32_t limit, struct arena *arena, struct chain_head **ret_heads, size_t *ret_count);
enum err heads_standings(void *self, struct str player, struct arena *arena, struct season_standing **ret_rows,
			 size_t *ret_count);
/* claims.c */
enum err passes_save(struct db *db, const struct changes *changes);
enum err claims_insert(struct db *db, const struct changes *changes);
enum err claims_page(void *self, const struct page_query *query, struct arena *arena, struct claim_row **ret_rows,
		     size_t *ret_count);
/* resets.c */
enum err resets_find(void *self, struct str player, const char *season, const struct uuid *id, struct arena *arena,
		     struct reset_row *ret_reset);
enum err resets_save(struct db *db, const struct changes *changes);
/* purchases.c */
enum err purchases_find(void *self, struct str player, const char *season, const struct uuid *id, struct arena *arena,
			struct purchase_row *ret_purchase);
enum err purchases_release(void *self, const struct purchase_row *const purchases[], size_t count);
enum err purchases_live(void *self, struct str player, const char *season, struct str pass, struct arena *arena,
			struct purchase_row *ret_purchase);
enum err purchases_save(struct db *db, const struct changes *changes);
enum err purchases_get(void *self, struct str player, const char *season, const struct uuid *id, struct arena *arena,
		       struct purchase_row *ret_purchase);
enum err purchases_page(void *self, const struct page_query *query, const char *state, struct arena *arena,
			struct purchase_row **ret_rows, size_t *ret_count);
/* deliveries.c */
const char *delivery_state_text(enum delivery_state state);
bool delivery_state_read(struct str name, enum delivery_state *ret_state);
/* What fits into last_error: printable ASCII, cut to its length. */
enum { DELIVERY_ERROR_MAX = 200 };
struct str delivery_error_text(struct str text, char room[DELIVERY_ERROR_MAX]);
enum err deliveries_insert(struct db *db, const struct changes *changes);
enum err deliveries_retry(struct db *db, const struct changes *changes);
enum err deliveries_get(void *self, const struct uuid *id, struct arena *arena, struct delivery_row *ret_delivery);
enum err deliveries_page(void *self, const struct page_query *query, const char *state, struct arena *arena,
			 struct delivery_row **ret_rows, size_t *ret_count);

/* What leaves the store: a schema that cannot be used is a store that is not available. */
enum err store_edge(enum err err);
/*
 * Runs a reading function; once more on a new connection when the old one turns out to be lost, but not inside a
 * transaction, which is lost with its connection.
 */
enum err store_read_twice(struct store *store, enum err (*read)(struct store *, void *), void *argument);
/* The end of a transaction. */
enum err store_commit(void *self);
void store_rollback(void *self);
/* Runs a function that changes something by single statements, each whole in itself; again after a deadlock. */
enum err store_write_retried(struct store *store, enum err (*write)(struct store *, void *), void *argument);

/* sql.c: pieces of statements. */

/* The database's clock in milliseconds; the same for a whole statement. */
#define SQL_NOW "CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)"

/* ( .. ) of VALUES, and each column's value in it; commas come by themselves. */
void sql_row(struct db *db);
void sql_row_end(struct db *db);
void sql_text(struct db *db, struct str text);
void sql_u64(struct db *db, uint64_t value);
void sql_i64(struct db *db, int64_t value);
void sql_id(struct db *db, const struct uuid *id);
void sql_bytes(struct db *db, const void *bytes, size_t size);
void sql_raw(struct db *db, const char *expression);
/* SQL_NOW and so many milliseconds more. */
void sql_due_in(struct db *db, int64_t ms);

/* column = 'text', and the same for an id. */
void sql_is_text(struct db *db, const char *column, struct str text);
void sql_is_id(struct db *db, const char *column, const struct uuid *id);
/* player_id = '..' AND season_id = '..' */
void sql_of_season(struct db *db, struct str player, const char *season);
/* season_id = '..' AND player_id IN (..), for rows of one season. */
void sql_players_of(struct db *db, const char *season, struct progress_row *const rows[], size_t count);
/* How many rows from the first on are of the same season. */
size_t season_run(struct progress_row *const rows[], size_t count);

/* A list, the newest id first. */
struct sql_list {
	const char *columns; /* each with a name of its own */
	const char *table;
	const char *id;
	const char *(*state)(int i); /* names of the states */
	int state_count;
};

/*
 * Writes the whole SELECT of a page. Of one player the primary key gives the order, or a sort of what the player has;
 * of all players the index (state, id) gives it state by state.
 */
void sql_page(struct db *db, const struct sql_list *list, const struct page_query *query, const char *state);

/* outbox.c: tables in which a courier looks for work. */
struct outbox {
	const char *table;
	const char *season; /* the column, or '' where the primary key has none */
	const char *id;
	const char *(*state)(int i); /* names of the states; NULL: nothing is to be done in this one */
	int state_count;
};

struct due_key {
	struct str player;
	struct str season;
	struct uuid id;
};

struct taking {
	const struct outbox *outbox;
	const struct uuid *owner;
	int64_t hold_ms;
	uint32_t limit;
	struct arena *arena;
	struct due_key *keys;
	size_t count; /* 0: nothing was due */
};

/* Gives what is due to the owner, the longest due first; keys may hold some that another owner was faster to take. */
enum err outbox_take(struct db *db, struct taking *taking);
/* Continues behind WHERE: one of the keys, and the owner's: what outbox_take took. */
void outbox_sql_taken(struct db *db, const struct taking *taking);
/* state IN (..): those in which something is to be done. */
void outbox_sql_states(struct db *db, const struct outbox *outbox);

/* The rows that the SELECT in the buffer finds, whose columns are these. */
#define PURCHASE_COLUMNS                                                                                               \
	"player_id, season_id, purchase_id, pass_id, tiers, live_pass IS NOT NULL AS live, currency, amount, state, "  \
	"xp_given, tries, due_at_ms - " SQL_NOW " AS due_in_ms, " SQL_NOW " - created_at_ms AS age_ms, "               \
	"created_at_ms, updated_at_ms"
#define DELIVERY_COLUMNS                                                                                               \
	"player_id, season_id, delivery_id, reward_id, kind, item, quantity, state, tries, last_error, "               \
	"created_at_ms, updated_at_ms"

enum err purchases_select(struct db *db, struct arena *arena, struct purchase_row **ret_rows, size_t *ret_count);
enum err deliveries_select(struct db *db, struct arena *arena, struct delivery_row **ret_rows, size_t *ret_count);
extern const struct outbox purchase_outbox;
extern const struct outbox delivery_outbox;

#endif
