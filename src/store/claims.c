/* Claims, and the passes that open them. The primary key of a claim is the guard against paying a reward twice. */
#include "base/log.h"
#include "store/store_private.h"

/* Lists grow at their head: what was done first is written first, so that the last word on a pass stands. */
static void
sql_passes(struct db *db, const struct pass_row *row)
{
	if (row->next)
		sql_passes(db, row->next);
	sql_row(db);
	sql_text(db, row->player);
	sql_text(db, str_from(row->season));
	sql_text(db, row->pass.pass);
	sql_i64(db, row->pass.since_ms);
	sql_u64(db, row->pass.active);
	sql_row_end(db);
}

enum err
passes_save(struct db *db, const struct changes *changes)
{
	if (!changes->passes)
		return ERR_OK;
	buf_literal(db_sql(db), "INSERT INTO pass_ownership (player_id, season_id, pass_id, since_ms, active) VALUES ");
	sql_passes(db, changes->passes);
	buf_literal(db_sql_more(db), " ON DUPLICATE KEY UPDATE since_ms = VALUES(since_ms), active = VALUES(active)");
	return db_run(db, NULL);
}

enum err
claims_insert(struct db *db, const struct changes *changes)
{
	if (!changes->claims)
		return ERR_OK;
	buf_literal(db_sql(db), "INSERT INTO claim (player_id, season_id, tier, pass_id, reward_id, claimed_at_ms, "
				"delivery_id) VALUES ");
	for (const struct claim_row *row = changes->claims; row; row = row->next) {
		sql_row(db);
		sql_text(db, row->player);
		sql_text(db, str_from(row->season));
		sql_u64(db, row->tier);
		sql_text(db, row->pass);
		sql_text(db, row->reward);
		sql_i64(db, row->claimed_at_ms);
		sql_id(db, &row->delivery);
		sql_row_end(db);
	}
	return db_run(db, NULL);
}

struct page {
	const struct page_query *query;
	struct arena *arena;
	struct claim_row *rows;
	size_t count;
};

static enum err
take_claim(const struct db_result *result, struct arena *arena, struct claim_row *row)
{
	row->player = arena_str(arena, db_text(result, 0));
	row->season = arena_copy(arena, db_text(result, 1));
	row->tier = (uint32_t)db_u64(result, 2);
	row->pass = arena_str(arena, db_text(result, 3));
	row->reward = arena_str(arena, db_text(result, 4));
	row->claimed_at_ms = db_i64(result, 5);
	if (db_bytes(result, 6, row->delivery.bytes, sizeof(row->delivery.bytes)) &&
	    delivery_state_read(db_text(result, 7), &row->delivery_state))
		return ERR_OK;
	log_error("a claim of player %s cannot be read: delivery state \"%.*s\"", row->player.ptr,
		  STR_ARGS(db_text(result, 7)));
	return ERR_INTERNAL;
}

/*
 * The claims of one player are sorted; the page of them then looks its deliveries up. A claim whose delivery is not in
 * the outbox any more was delivered: nothing else ever leaves it.
 */
static void
sql_claims(struct db *db, const struct page_query *query)
{
	struct buf *sql = db_sql_select(db);

	buf_literal(sql, "c.player_id, c.season_id, c.tier, c.pass_id, c.reward_id, c.claimed_at_ms, c.delivery_id, "
			 "COALESCE(d.state, 'delivered') FROM (SELECT * FROM claim FORCE INDEX (PRIMARY) WHERE ");
	sql_is_text(db, "player_id", query->player);
	if (query->season) {
		buf_literal(sql, " AND ");
		sql_is_text(db, "season_id", str_from(query->season));
	}
	if (!query->from_newest) {
		buf_literal(sql, " AND delivery_id < ");
		db_quote_bytes(db, query->before.bytes, sizeof(query->before.bytes));
	}
	buf_format(sql,
		   " ORDER BY delivery_id DESC LIMIT %u) AS c LEFT JOIN delivery d FORCE INDEX (PRIMARY) "
		   "ON d.player_id = c.player_id AND d.delivery_id = c.delivery_id ORDER BY c.delivery_id DESC",
		   query->limit);
}

static enum err
read_page(struct store *store, void *argument)
{
	struct page *page = argument;
	struct db_result *result;

	sql_claims(store->db, page->query);

	enum err err = db_select(store->db, &result);

	if (err != ERR_OK)
		return err;
	page->rows = ARENA_ARRAY(page->arena, db_rows(result), struct claim_row);
	page->count = 0;
	while (err == ERR_OK && db_next(result))
		err = take_claim(result, page->arena, &page->rows[page->count++]);
	db_result_free(result);
	return err;
}

enum err
claims_page(void *self, const struct page_query *query, struct arena *arena, struct claim_row **ret_rows,
	    size_t *ret_count)
{
	struct page page = {.query = query, .arena = arena};
	enum err err = store_read_twice(self, read_page, &page);

	if (err != ERR_OK)
		return err;
	*ret_rows = page.rows;
	*ret_count = page.count;
	return ERR_OK;
}
