/* The XP ledger, which is the idempotency record, too. */
#include "store/store_private.h"

#define GRANT_COLUMNS                                                                                                  \
	"player_id, season_id, idempotency_key, grant_id, request_hash, amount, source, tags, occurred_at_ms, "        \
	"xp_before, xp_after, tier_before, tier_after, unlocked, revision, granted_at_ms"

/* Overflow units are not stored: what the answer says of them stands in `unlocked`. */
static enum err
take_grant(const struct db_result *result, struct arena *arena, struct grant_row *row)
{
	if (!db_bytes(result, 3, row->id.bytes, sizeof(row->id.bytes)) ||
	    !db_bytes(result, 4, row->request_hash, sizeof(row->request_hash)))
		return ERR_INTERNAL;
	row->idempotency_key = arena_str(arena, db_text(result, 2));
	row->amount = db_u64(result, 5);
	row->source = arena_str(arena, db_text(result, 6));
	row->tags = arena_str(arena, db_text(result, 7));
	row->occurred_at_ms = db_i64(result, 8);
	row->effect.xp_before = db_u64(result, 9);
	row->effect.xp_after = db_u64(result, 10);
	row->effect.tier_before = (uint32_t)db_u64(result, 11);
	row->effect.tier_after = (uint32_t)db_u64(result, 12);
	row->unlocked = arena_str(arena, db_text(result, 13));
	row->revision = db_u64(result, 14);
	row->granted_at_ms = db_i64(result, 15);
	return ERR_OK;
}

/* Order of a stored row against a wanted grant: by season, then player, as the grants are sorted. */
static int
compare_target(const struct db_result *result, const struct grant_row *row)
{
	int order = str_compare(db_text(result, 1), str_from(row->season));

	return order ? order : str_compare(db_text(result, 0), row->player);
}

/* Where the grants of the stored row's player and season begin. */
static size_t
first_of(const struct db_result *result, struct grant_row *const grants[], size_t count)
{
	size_t low = 0;

	while (low < count) {
		size_t middle = low + (count - low) / 2;

		if (compare_target(result, grants[middle]) > 0)
			low = middle + 1;
		else
			count = middle;
	}
	return low;
}

static void
sql_key(struct db *db, const struct grant_row *row)
{
	struct buf *sql = db_sql_more(db);

	buf_literal(sql, "(player_id = ");
	db_quote(db, row->player);
	buf_literal(sql, " AND season_id = ");
	db_quote(db, str_from(row->season));
	buf_literal(sql, " AND idempotency_key = ");
	db_quote(db, row->idempotency_key);
	buf_char(sql, ')');
}

static enum err
take_known(struct db_result *result, struct grant_row *const grants[], size_t count, bool found[], struct arena *arena)
{
	enum err err = ERR_OK;

	while (err == ERR_OK && db_next(result)) {
		size_t i = first_of(result, grants, count);

		for (; i < count && err == ERR_OK && compare_target(result, grants[i]) == 0; i++) {
			if (found[i] || !str_equal(db_text(result, 2), grants[i]->idempotency_key))
				continue;
			found[i] = true;
			err = take_grant(result, arena, grants[i]);
		}
	}
	return err;
}

enum err
ledger_find(void *self, struct grant_row *const grants[], size_t count, bool found[], struct arena *arena)
{
	struct store *store = self;
	struct buf *sql = db_sql(store->db);
	struct db_result *result;

	buf_literal(sql, "SELECT " GRANT_COLUMNS " FROM xp_grant FORCE INDEX (PRIMARY) WHERE ");
	for (size_t i = 0; i < count; i++) {
		if (i)
			buf_literal(sql, " OR ");
		sql_key(store->db, grants[i]);
	}
	enum err err = db_select(store->db, &result);

	if (err != ERR_OK)
		return store_edge(err);
	err = take_known(result, grants, count, found, arena);
	db_result_free(result);
	if (err != ERR_OK)
		db_rollback(store->db);
	return err;
}

static void
sql_values(struct db *db, const struct grant_row *row)
{
	struct buf *sql = db_sql_more(db);

	buf_char(sql, '(');
	db_quote(db, row->player);
	buf_char(sql, ',');
	db_quote(db, str_from(row->season));
	buf_char(sql, ',');
	db_quote(db, row->idempotency_key);
	buf_char(sql, ',');
	db_quote_bytes(db, row->id.bytes, sizeof(row->id.bytes));
	buf_char(sql, ',');
	db_quote_bytes(db, row->request_hash, sizeof(row->request_hash));
	buf_format(sql, ",%llu,", (unsigned long long)row->amount);
	db_quote(db, row->source);
	buf_char(sql, ',');
	db_quote(db, row->tags);
	buf_format(sql, ",%lld,%llu,%llu,%u,%u,", (long long)row->occurred_at_ms,
		   (unsigned long long)row->effect.xp_before, (unsigned long long)row->effect.xp_after,
		   row->effect.tier_before, row->effect.tier_after);
	db_quote(db, row->unlocked);
	buf_format(sql, ",%llu,%lld)", (unsigned long long)row->revision, (long long)row->granted_at_ms);
}

enum err
ledger_insert(struct db *db, const struct grant_row *const grants[], size_t count)
{
	struct buf *sql = db_sql(db);

	if (count == 0)
		return ERR_OK;
	buf_literal(sql, "INSERT INTO xp_grant (" GRANT_COLUMNS ") VALUES ");
	for (size_t i = 0; i < count; i++) {
		if (i)
			buf_char(sql, ',');
		sql_values(db, grants[i]);
	}
	return db_run(db, NULL);
}

struct page {
	const struct ledger_query *query;
	struct arena *arena;
	struct grant_row *rows;
	size_t count;
};

static void
sql_ledger_page(struct db *db, const struct ledger_query *query)
{
	struct buf *sql = db_sql_select(db);

	buf_literal(sql, GRANT_COLUMNS " FROM xp_grant FORCE INDEX (ledger) WHERE player_id = ");
	db_quote(db, query->player);
	buf_literal(sql, " AND season_id = ");
	db_quote(db, str_from(query->season));
	buf_format(sql, " AND revision < %llu AND granted_at_ms >= %lld AND granted_at_ms < %lld",
		   (unsigned long long)query->before, (long long)query->from_ms, (long long)query->to_ms);
	if (query->source.len) {
		buf_literal(sql, " AND source = ");
		db_quote(db, query->source);
	}
	if (query->tag.len) {
		/* Tags are a JSON array of texts that need no escaping: the quoted tag occurs in it or not. */
		buf_literal(sql, " AND INSTR(tags, CONCAT('\"', ");
		db_quote(db, query->tag);
		buf_literal(sql, ", '\"')) > 0");
	}
	buf_format(sql, " ORDER BY revision DESC LIMIT %u", query->limit);
}

static enum err
read_page(struct store *store, void *argument)
{
	struct page *page = argument;
	struct db_result *result;

	page->rows = ARENA_ARRAY(page->arena, page->query->limit, struct grant_row);
	page->count = 0;
	sql_ledger_page(store->db, page->query);

	enum err err = db_select(store->db, &result);

	if (err != ERR_OK)
		return err;
	while (err == ERR_OK && db_next(result)) {
		struct grant_row *row = &page->rows[page->count++];

		row->player = page->query->player;
		row->season = page->query->season;
		err = take_grant(result, page->arena, row);
	}
	db_result_free(result);
	return err;
}

enum err
ledger_page(void *self, const struct ledger_query *query, struct arena *arena, struct grant_row **ret_rows,
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
