/*
 * What the courier asks of the store: work that is due, and what became of it. All times are the database's clock. A
 * row that somebody else has taken meanwhile is not touched.
 */
#include "store/store_private.h"

enum { BACKLOG_MAX = 100000 };

struct purchases {
	struct taking taking;
	struct purchase_row *rows;
	size_t count;
};

static enum err
take_purchases(struct store *store, void *argument)
{
	struct purchases *work = argument;
	enum err err = outbox_take(store->db, &work->taking);

	if (err != ERR_OK || work->taking.count == 0)
		return err;
	buf_literal(db_sql_select(store->db), PURCHASE_COLUMNS " FROM purchase FORCE INDEX (PRIMARY) WHERE ");
	outbox_sql_taken(store->db, &work->taking);
	return purchases_select(store->db, work->taking.arena, &work->rows, &work->count);
}

enum err
store_take_purchases(struct store *store, const struct uuid *owner, int64_t hold_ms, uint32_t limit,
		     struct arena *arena, struct purchase_row **ret_rows, size_t *ret_count)
{
	struct purchases work = {{&purchase_outbox, owner, hold_ms, limit, arena, NULL, 0}, NULL, 0};
	enum err err = store_write_retried(store, take_purchases, &work);

	if (err != ERR_OK)
		return err;
	*ret_rows = work.rows;
	*ret_count = work.count;
	return ERR_OK;
}

struct deliveries {
	struct taking taking;
	struct delivery_row *rows;
	size_t count;
};

static enum err
take_deliveries(struct store *store, void *argument)
{
	struct deliveries *work = argument;
	enum err err = outbox_take(store->db, &work->taking);

	if (err != ERR_OK || work->taking.count == 0)
		return err;
	buf_literal(db_sql_select(store->db), DELIVERY_COLUMNS " FROM delivery FORCE INDEX (PRIMARY) WHERE ");
	outbox_sql_taken(store->db, &work->taking);
	return deliveries_select(store->db, work->taking.arena, &work->rows, &work->count);
}

enum err
store_take_deliveries(struct store *store, const struct uuid *owner, int64_t hold_ms, uint32_t limit,
		      struct arena *arena, struct delivery_row **ret_rows, size_t *ret_count)
{
	struct deliveries work = {{&delivery_outbox, owner, hold_ms, limit, arena, NULL, 0}, NULL, 0};
	enum err err = store_write_retried(store, take_deliveries, &work);

	if (err != ERR_OK)
		return err;
	*ret_rows = work.rows;
	*ret_count = work.count;
	return ERR_OK;
}

/* What is given back. */
struct put_off {
	const struct uuid *owner;
	const struct purchase_row *purchase;
	int64_t due_in_ms;
};

struct ended {
	const struct uuid *owner;
	const struct delivery_row *const *deliveries;
	const int64_t *due_in_ms;
	size_t count;
};

/* Behind what is set: the row is the owner's no longer, and due again. */
static void
sql_give_back(struct db *db, int64_t due_in_ms)
{
	buf_literal(db_sql_more(db), "owner = '', due_at_ms = ");
	sql_due_in(db, due_in_ms);
	buf_literal(db_sql_more(db), " WHERE ");
}

static void
sql_if_owned(struct db *db, const struct outbox *outbox, const struct uuid *id, const struct uuid *owner)
{
	struct buf *sql = db_sql_more(db);

	buf_literal(sql, " AND ");
	sql_is_id(db, outbox->id, id);
	buf_literal(sql, " AND ");
	sql_is_id(db, "owner", owner);
	buf_literal(sql, " AND ");
	outbox_sql_states(db, outbox);
}

static enum err
put_off_purchase(struct store *store, void *argument)
{
	const struct put_off *put_off = argument;
	const struct purchase_row *purchase = put_off->purchase;

	buf_literal(db_sql(store->db), "UPDATE purchase SET ");
	sql_give_back(store->db, put_off->due_in_ms);
	sql_of_season(store->db, purchase->player, purchase->season);
	sql_if_owned(store->db, &purchase_outbox, &purchase->id, put_off->owner);
	return db_run(store->db, NULL);
}

enum err
store_put_off_purchase(struct store *store, const struct uuid *owner, const struct purchase_row *purchase,
		       int64_t due_in_ms)
{
	struct put_off put_off = {owner, purchase, due_in_ms};

	return store_write_retried(store, put_off_purchase, &put_off);
}

static enum err
end_delivery(struct db *db, const struct uuid *owner, const struct delivery_row *delivery, int64_t due_in_ms)
{
	struct buf *sql = db_sql(db);
	char room[DELIVERY_ERROR_MAX];

	buf_format(sql, "UPDATE delivery SET state = '%s', updated_at_ms = " SQL_NOW ", ",
		   delivery_state_text(delivery->state));
	sql_is_text(db, "last_error", delivery_error_text(delivery->last_error, room));
	buf_literal(sql, ", ");
	sql_give_back(db, due_in_ms);
	sql_is_text(db, "player_id", delivery->player);
	sql_if_owned(db, &delivery_outbox, &delivery->id, owner);
	return db_run(db, NULL);
}

static enum err
end_deliveries(struct store *store, void *argument)
{
	const struct ended *ended = argument;
	enum err err = db_begin(store->db);

	for (size_t i = 0; i < ended->count && err == ERR_OK; i++)
		err = end_delivery(store->db, ended->owner, ended->deliveries[i], ended->due_in_ms[i]);
	return err == ERR_OK ? db_commit(store->db) : err;
}

enum err
store_end_deliveries(struct store *store, const struct uuid *owner, const struct delivery_row *const deliveries[],
		     const int64_t due_in_ms[], size_t count)
{
	struct ended ended = {owner, deliveries, due_in_ms, count};

	return store_write_retried(store, end_deliveries, &ended);
}

/* Counts at most BACKLOG_MAX rows in the index, so that the question costs little when it matters most. */
static void
sql_count(struct db *db, const struct outbox *outbox, const char *state)
{
	struct buf *sql = db_sql_more(db);

	buf_format(sql, "(SELECT COUNT(*) FROM (SELECT 1 FROM %s FORCE INDEX (due) WHERE ", outbox->table);
	if (state)
		sql_is_text(db, "state", str_from(state));
	else
		outbox_sql_states(db, outbox);
	buf_format(sql, " LIMIT %d) AS counted), ", BACKLOG_MAX);
}

/* Ids ascend with time: the smallest is the oldest. */
static void
sql_oldest_pending(struct db *db)
{
	buf_literal(db_sql_more(db),
		    "(SELECT GREATEST(0, " SQL_NOW " - created_at_ms) FROM delivery FORCE INDEX (newest) "
		    "WHERE ");
	outbox_sql_states(db, &delivery_outbox);
	buf_literal(db_sql_more(db), " ORDER BY delivery_id LIMIT 1)");
}

static enum err
read_backlog(struct store *store, void *argument)
{
	struct store_backlog *backlog = argument;
	struct db_result *result;

	db_sql_select(store->db);
	sql_count(store->db, &purchase_outbox, NULL);
	sql_count(store->db, &purchase_outbox, purchase_state_name(PURCHASE_STUCK));
	sql_count(store->db, &delivery_outbox, NULL);
	sql_count(store->db, &delivery_outbox, delivery_state_text(DELIVERY_FAILED));
	sql_oldest_pending(store->db);

	enum err err = db_select(store->db, &result);

	if (err != ERR_OK)
		return err;
	if (db_next(result))
		*backlog = (struct store_backlog){
			.purchases_open = db_u64(result, 0),
			.purchases_stuck = db_u64(result, 1),
			.deliveries_pending = db_u64(result, 2),
			.deliveries_failed = db_u64(result, 3),
			.oldest_pending_ms = db_i64(result, 4),
		};
	db_result_free(result);
	return ERR_OK;
}

enum err
store_backlog(struct store *store, struct store_backlog *ret_backlog)
{
	return store_read_twice(store, read_backlog, ret_backlog);
}
