/*
 * Purchases. A row is written with its price before the economy is called and never deleted; only its state, and what
 * goes with the state, changes.
 */
#include "base/log.h"
#include "store/store_private.h"

static const char *
state_name(int i)
{
	return purchase_state_name((enum purchase_state)i);
}

static const char *
open_state_name(int i)
{
	return purchase_is_open((enum purchase_state)i) ? state_name(i) : NULL;
}

const struct outbox purchase_outbox = {
	.table = "purchase",
	.season = "season_id",
	.id = "purchase_id",
	.state = open_state_name,
	.state_count = PURCHASE_STATE_COUNT,
};

static const struct sql_list list = {
	.columns = PURCHASE_COLUMNS,
	.table = "purchase",
	.id = "purchase_id",
	.state = state_name,
	.state_count = PURCHASE_STATE_COUNT,
};

static enum err
take_purchase(const struct db_result *result, struct arena *arena, struct purchase_row *row)
{
	struct purchase_row read = {
		.player = arena_str(arena, db_text(result, 0)),
		.season = arena_copy(arena, db_text(result, 1)),
		.pass = arena_str(arena, db_text(result, 3)),
		.tiers = (uint32_t)db_u64(result, 4),
		.live = db_u64(result, 5) != 0,
		.currency = arena_str(arena, db_text(result, 6)),
		.amount = db_u64(result, 7),
		.xp_given = db_u64(result, 9),
		.tries = (uint32_t)db_u64(result, 10),
		.due_in_ms = db_i64(result, 11),
		.age_ms = db_i64(result, 12),
		.created_at_ms = db_i64(result, 13),
		.updated_at_ms = db_i64(result, 14),
	};
	const char *state = arena_copy(arena, db_text(result, 8));

	if (!db_bytes(result, 2, read.id.bytes, sizeof(read.id.bytes)) || !purchase_state_parse(state, &read.state)) {
		log_error("a purchase of player %s cannot be read: state \"%s\"", read.player.ptr, state);
		return ERR_INTERNAL;
	}
	*row = read;
	return ERR_OK;
}

enum err
purchases_select(struct db *db, struct arena *arena, struct purchase_row **ret_rows, size_t *ret_count)
{
	struct db_result *result;
	enum err err = db_select(db, &result);

	if (err != ERR_OK)
		return err;
	struct purchase_row *rows = ARENA_ARRAY(arena, db_rows(result), struct purchase_row);
	size_t count = 0;

	while (err == ERR_OK && db_next(result))
		err = take_purchase(result, arena, &rows[count++]);
	db_result_free(result);
	if (err != ERR_OK)
		return err;
	*ret_rows = rows;
	*ret_count = count;
	return ERR_OK;
}

/* The one purchase that the SELECT in the buffer finds. */
static enum err
select_one(struct db *db, struct arena *arena, struct purchase_row *ret_purchase)
{
	struct purchase_row *rows;
	size_t count;
	enum err err = purchases_select(db, arena, &rows, &count);

	if (err == ERR_OK && count == 0)
		return ERR_PURCHASE_NOT_FOUND;
	if (err == ERR_OK)
		*ret_purchase = rows[0];
	return err;
}

/* Inside a transaction, where nothing but "not found" leaves it open. */
static enum err
find_one(struct store *store, struct arena *arena, struct purchase_row *ret_purchase)
{
	enum err err = select_one(store->db, arena, ret_purchase);

	if (err != ERR_OK && err != ERR_PURCHASE_NOT_FOUND)
		db_rollback(store->db);
	return store_edge(err);
}

enum err
purchases_find(void *self, struct str player, const char *season, const struct uuid *id, struct arena *arena,
	       struct purchase_row *ret_purchase)
{
	struct store *store = self;

	buf_literal(db_sql(store->db), "SELECT " PURCHASE_COLUMNS " FROM purchase FORCE INDEX (PRIMARY) WHERE ");
	sql_of_season(store->db, player, season);
	buf_literal(db_sql_more(store->db), " AND ");
	sql_is_id(store->db, "purchase_id", id);
	return find_one(store, arena, ret_purchase);
}

enum err
purchases_live(void *self, struct str player, const char *season, struct str pass, struct arena *arena,
	       struct purchase_row *ret_purchase)
{
	struct store *store = self;

	buf_literal(db_sql(store->db), "SELECT " PURCHASE_COLUMNS " FROM purchase FORCE INDEX (live) WHERE ");
	sql_of_season(store->db, player, season);
	buf_literal(db_sql_more(store->db), " AND ");
	sql_is_text(store->db, "live_pass", pass);
	return find_one(store, arena, ret_purchase);
}

struct release {
	const struct purchase_row *const *purchases;
	size_t count;
};

static enum err
release(struct store *store, void *argument)
{
	const struct release *wanted = argument;
	struct db *db = store->db;

	buf_literal(db_sql(db), "UPDATE purchase FORCE INDEX (PRIMARY) SET due_at_ms = " SQL_NOW " WHERE (");
	for (size_t i = 0; i < wanted->count; i++) {
		buf_cstr(db_sql_more(db), i ? " OR (" : "(");
		sql_of_season(db, wanted->purchases[i]->player, wanted->purchases[i]->season);
		buf_literal(db_sql_more(db), " AND ");
		sql_is_id(db, "purchase_id", &wanted->purchases[i]->id);
		buf_char(db_sql_more(db), ')');
	}
	/* One that a courier has taken already is the courier's. */
	buf_literal(db_sql_more(db), ") AND tries = 0");
	return db_run(db, NULL);
}

enum err
purchases_release(void *self, const struct purchase_row *const purchases[], size_t count)
{
	struct release wanted = {purchases, count};

	return store_write_retried(self, release, &wanted);
}

static void
sql_values(struct db *db, const struct purchase_row *row)
{
	sql_row(db);
	sql_text(db, row->player);
	sql_text(db, str_from(row->season));
	sql_id(db, &row->id);
	sql_text(db, row->pass);
	sql_u64(db, row->tiers);
	if (row->live)
		sql_text(db, row->pass);
	else
		sql_raw(db, "NULL");
	sql_text(db, row->currency);
	sql_u64(db, row->amount);
	sql_text(db, str_from(purchase_state_name(row->state)));
	sql_u64(db, row->xp_given);
	sql_u64(db, row->tries);
	sql_raw(db, SQL_NOW " + ");
	buf_i64(db_sql_more(db), row->due_in_ms);
	sql_raw(db, "''");
	sql_i64(db, row->created_at_ms);
	sql_i64(db, row->updated_at_ms);
	sql_row_end(db);
}

/* Lists grow at their head: what was done first is written first. Returns how many were. */
static size_t
sql_rows(struct db *db, const struct purchase_row *row, bool fresh)
{
	size_t count = row->next ? sql_rows(db, row->next, fresh) : 0;

	if (row->fresh != fresh)
		return count;
	sql_values(db, row);
	return count + 1;
}

#define INSERT_PURCHASES                                                                                               \
	"INSERT INTO purchase (player_id, season_id, purchase_id, pass_id, tiers, live_pass, currency, amount, "       \
	"state, xp_given, tries, due_at_ms, owner, created_at_ms, updated_at_ms) VALUES "

enum err
purchases_save(struct db *db, const struct changes *changes)
{
	if (!changes->purchases)
		return ERR_OK;
	buf_literal(db_sql(db), INSERT_PURCHASES);

	size_t fresh = sql_rows(db, changes->purchases, true);
	enum err err = fresh ? db_run(db, NULL) : ERR_OK;

	if (err != ERR_OK)
		return err;
	/* The others stand already: their primary keys are met before any other, and one statement changes them all. */
	buf_literal(db_sql(db), INSERT_PURCHASES);
	if (sql_rows(db, changes->purchases, false) == 0)
		return ERR_OK;
	buf_literal(db_sql_more(db), " ON DUPLICATE KEY UPDATE live_pass = VALUES(live_pass), state = VALUES(state), "
				     "xp_given = VALUES(xp_given), tries = VALUES(tries), due_at_ms = "
				     "VALUES(due_at_ms), owner = VALUES(owner), "
				     "updated_at_ms = VALUES(updated_at_ms)");
	return db_run(db, NULL);
}

/* What is asked for outside of transactions. */
struct query {
	struct str player;
	const char *season;
	const struct uuid *id;
	const struct page_query *page;
	const char *state;
	struct arena *arena;
	struct purchase_row *rows;
	size_t count;
};

static enum err
read_one(struct store *store, void *argument)
{
	struct query *query = argument;

	buf_literal(db_sql_select(store->db), PURCHASE_COLUMNS " FROM purchase FORCE INDEX (PRIMARY) WHERE ");
	sql_of_season(store->db, query->player, query->season);
	buf_literal(db_sql_more(store->db), " AND ");
	sql_is_id(store->db, "purchase_id", query->id);
	return select_one(store->db, query->arena, query->rows);
}

enum err
purchases_get(void *self, struct str player, const char *season, const struct uuid *id, struct arena *arena,
	      struct purchase_row *ret_purchase)
{
	struct query query = {.player = player, .season = season, .id = id, .arena = arena, .rows = ret_purchase};

	return store_read_twice(self, read_one, &query);
}

static enum err
read_page(struct store *store, void *argument)
{
	struct query *query = argument;

	sql_page(store->db, &list, query->page, query->state);
	return purchases_select(store->db, query->arena, &query->rows, &query->count);
}

enum err
purchases_page(void *self, const struct page_query *page, const char *state, struct arena *arena,
	       struct purchase_row **ret_rows, size_t *ret_count)
{
	struct query query = {.page = page, .state = state, .arena = arena};
	enum err err = store_read_twice(self, read_page, &query);

	if (err != ERR_OK)
		return err;
	*ret_rows = query.rows;
	*ret_count = query.count;
	return ERR_OK;
}
