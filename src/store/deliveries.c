/* Deliveries: the outbox. A row is written with its claim; a courier sends it, and an admin may send it again. */
#include "base/log.h"
#include "store/store_private.h"

static const char *const state_names[DELIVERY_STATE_COUNT] = {
	[DELIVERY_PENDING] = "pending",
	[DELIVERY_DELIVERED] = "delivered",
	[DELIVERY_FAILED] = "failed",
};

const char *
delivery_state_text(enum delivery_state state)
{
	return state_names[state];
}

bool
delivery_state_read(struct str name, enum delivery_state *ret_state)
{
	for (int i = 0; i < DELIVERY_STATE_COUNT; i++) {
		if (str_equal(name, str_from(state_names[i]))) {
			*ret_state = (enum delivery_state)i;
			return true;
		}
	}
	return false;
}

static const char *
state_name(int i)
{
	return state_names[i];
}

static const char *
open_state_name(int i)
{
	return i == DELIVERY_PENDING ? state_names[i] : NULL;
}

const struct outbox delivery_outbox = {
	.table = "delivery",
	.season = "''",
	.id = "delivery_id",
	.state = open_state_name,
	.state_count = DELIVERY_STATE_COUNT,
};

static const struct sql_list list = {
	.columns = DELIVERY_COLUMNS,
	.table = "delivery",
	.id = "delivery_id",
	.state = state_name,
	.state_count = DELIVERY_STATE_COUNT,
};

static enum err
take_delivery(const struct db_result *result, struct arena *arena, struct delivery_row *row)
{
	struct delivery_row read = {
		.player = arena_str(arena, db_text(result, 0)),
		.season = arena_copy(arena, db_text(result, 1)),
		.reward = arena_str(arena, db_text(result, 3)),
		.kind = arena_str(arena, db_text(result, 4)),
		.item = arena_str(arena, db_text(result, 5)),
		.quantity = db_u64(result, 6),
		.tries = (uint32_t)db_u64(result, 8),
		.last_error = arena_str(arena, db_text(result, 9)),
		.created_at_ms = db_i64(result, 10),
		.updated_at_ms = db_i64(result, 11),
	};

	if (!db_bytes(result, 2, read.id.bytes, sizeof(read.id.bytes)) ||
	    !delivery_state_read(db_text(result, 7), &read.state)) {
		log_error("a delivery of player %s cannot be read: state \"%.*s\"", read.player.ptr,
			  STR_ARGS(db_text(result, 7)));
		return ERR_INTERNAL;
	}
	*row = read;
	return ERR_OK;
}

enum err
deliveries_select(struct db *db, struct arena *arena, struct delivery_row **ret_rows, size_t *ret_count)
{
	struct db_result *result;
	enum err err = db_select(db, &result);

	if (err != ERR_OK)
		return err;
	struct delivery_row *rows = ARENA_ARRAY(arena, db_rows(result), struct delivery_row);
	size_t count = 0;

	while (err == ERR_OK && db_next(result))
		err = take_delivery(result, arena, &rows[count++]);
	db_result_free(result);
	if (err != ERR_OK)
		return err;
	*ret_rows = rows;
	*ret_count = count;
	return ERR_OK;
}

struct str
delivery_error_text(struct str text, char room[DELIVERY_ERROR_MAX])
{
	size_t length = text.len < DELIVERY_ERROR_MAX ? text.len : DELIVERY_ERROR_MAX;

	for (size_t i = 0; i < length; i++)
		room[i] = text.ptr[i] >= ' ' && text.ptr[i] <= '~' ? text.ptr[i] : '?';
	return (struct str){room, length};
}

enum err
deliveries_insert(struct db *db, const struct changes *changes)
{
	char room[DELIVERY_ERROR_MAX];

	if (!changes->deliveries)
		return ERR_OK;
	buf_literal(db_sql(db),
		    "INSERT INTO delivery (player_id, delivery_id, season_id, reward_id, kind, item, quantity, "
		    "state, tries, due_at_ms, owner, last_error, created_at_ms, updated_at_ms) VALUES ");
	for (const struct delivery_row *row = changes->deliveries; row; row = row->next) {
		sql_row(db);
		sql_text(db, row->player);
		sql_id(db, &row->id);
		sql_text(db, str_from(row->season));
		sql_text(db, row->reward);
		sql_text(db, row->kind);
		sql_text(db, row->item);
		sql_u64(db, row->quantity);
		sql_text(db, str_from(state_names[row->state]));
		sql_u64(db, row->tries);
		sql_raw(db, SQL_NOW);
		sql_raw(db, "''");
		sql_text(db, delivery_error_text(row->last_error, room));
		sql_i64(db, row->created_at_ms);
		sql_i64(db, row->updated_at_ms);
		sql_row_end(db);
	}
	return db_run(db, NULL);
}

/* One that is not failed any more stays as it is. */
enum err
deliveries_retry(struct db *db, const struct changes *changes)
{
	struct buf *sql = db_sql(db);

	if (!changes->retries)
		return ERR_OK;
	buf_format(sql,
		   "UPDATE delivery FORCE INDEX (PRIMARY) SET state = 'pending', tries = 0, due_at_ms = " SQL_NOW
		   ", owner = '', updated_at_ms = %lld WHERE state = 'failed' AND (",
		   (long long)changes->retries->updated_at_ms);
	for (const struct delivery_row *row = changes->retries; row; row = row->next) {
		buf_cstr(sql, row == changes->retries ? "(" : " OR (");
		sql_is_text(db, "player_id", row->player);
		buf_literal(sql, " AND ");
		sql_is_id(db, "delivery_id", &row->id);
		buf_char(sql, ')');
	}
	buf_char(sql, ')');
	return db_run(db, NULL);
}

struct query {
	const struct uuid *id;
	const struct page_query *page;
	const char *state;
	struct arena *arena;
	struct delivery_row *rows;
	size_t count;
};

/* The index (state, id) finds it by its id alone: there are few states. */
static enum err
read_one(struct store *store, void *argument)
{
	struct query *query = argument;
	struct buf *sql = db_sql_select(store->db);

	buf_literal(sql, DELIVERY_COLUMNS " FROM delivery FORCE INDEX (newest) WHERE state IN (");
	for (int i = 0; i < DELIVERY_STATE_COUNT; i++)
		sql_text(store->db, str_from(state_names[i]));
	buf_literal(sql, ") AND ");
	sql_is_id(store->db, "delivery_id", query->id);

	enum err err = deliveries_select(store->db, query->arena, &query->rows, &query->count);

	return err == ERR_OK && query->count == 0 ? ERR_DELIVERY_NOT_FOUND : err;
}

enum err
deliveries_get(void *self, const struct uuid *id, struct arena *arena, struct delivery_row *ret_delivery)
{
	struct query query = {.id = id, .arena = arena};
	enum err err = store_read_twice(self, read_one, &query);

	if (err == ERR_OK)
		*ret_delivery = query.rows[0];
	return err;
}

static enum err
read_page(struct store *store, void *argument)
{
	struct query *query = argument;

	sql_page(store->db, &list, query->page, query->state);
	return deliveries_select(store->db, query->arena, &query->rows, &query->count);
}

enum err
deliveries_page(void *self, const struct page_query *page, const char *state, struct arena *arena,
		struct delivery_row **ret_rows, size_t *ret_count)
{
	struct query query = {.page = page, .state = state, .arena = arena};
	enum err err = store_read_twice(self, read_page, &query);

	if (err != ERR_OK)
		return err;
	*ret_rows = query.rows;
	*ret_count = query.count;
	return ERR_OK;
}
