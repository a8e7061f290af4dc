/*
 * cache_distrust: the players that no host may trust the cache about; and cache_host: which Redis each host reaches.
 */
#include "store/store_private.h"

enum { HOST_ALIVE_MS = 3000, HOST_FORGOTTEN_MS = 3600 * 1000 };

struct distrust {
	struct distrust_row *rows;
	size_t count;
};

/* (player_id, season_id) IN (..) is not used: MySQL and MariaDB both find a list of ORs by the primary key. */
static void
sql_any_of(struct db *db, const struct distrust_row *rows, size_t count, bool by_id)
{
	for (size_t i = 0; i < count; i++) {
		buf_cstr(db_sql_more(db), i ? " OR (" : "(");
		sql_of_season(db, rows[i].player, rows[i].season);
		if (by_id) {
			buf_literal(db_sql_more(db), " AND ");
			sql_is_id(db, "distrust_id", &rows[i].id);
		}
		buf_char(db_sql_more(db), ')');
	}
}

static void
take_row(const struct db_result *result, const struct distrust *distrust)
{
	struct str player = db_text(result, 0);
	struct str season = db_text(result, 1);

	for (size_t i = 0; i < distrust->count; i++) {
		struct distrust_row *row = &distrust->rows[i];

		if (!str_equal(row->player, player) || !str_equal(str_from(row->season), season))
			continue;
		row->there = db_bytes(result, 2, row->id.bytes, sizeof(row->id.bytes));
		row->settled = row->there && db_u64(result, 3) != 0;
	}
}

static enum err
find(struct store *store, void *argument)
{
	const struct distrust *distrust = argument;
	struct db_result *result;

	for (size_t i = 0; i < distrust->count; i++)
		distrust->rows[i].there = distrust->rows[i].settled = false;
	buf_literal(db_sql_select(store->db), "player_id, season_id, distrust_id, settled FROM cache_distrust WHERE ");
	sql_any_of(store->db, distrust->rows, distrust->count, false);

	enum err err = db_select(store->db, &result);

	if (err != ERR_OK)
		return err;
	while (db_next(result))
		take_row(result, distrust);
	db_result_free(result);
	return ERR_OK;
}

enum err
distrust_find(void *self, struct distrust_row rows[], size_t count)
{
	struct distrust distrust = {rows, count};

	return store_read_twice(self, find, &distrust);
}

static enum err
insert(struct store *store, void *argument)
{
	const struct distrust *distrust = argument;

	/* A row that is there stays what it is, and lives on as long as a new one: who waits for others beside it needs
	 * both. */
	buf_literal(db_sql(store->db), "INSERT INTO cache_distrust (player_id, season_id, distrust_id, settled, "
				       "created_at_ms) VALUES ");
	for (size_t i = 0; i < distrust->count; i++) {
		const struct distrust_row *row = &distrust->rows[i];

		sql_row(store->db);
		sql_text(store->db, row->player);
		sql_text(store->db, str_from(row->season));
		sql_id(store->db, &row->id);
		sql_raw(store->db, "FALSE");
		sql_raw(store->db, SQL_NOW);
		sql_row_end(store->db);
	}
	buf_literal(db_sql_more(store->db), " ON DUPLICATE KEY UPDATE created_at_ms = VALUES(created_at_ms)");
	return db_run(store->db, NULL);
}

enum err
distrust_insert(void *self, const struct distrust_row rows[], size_t count)
{
	struct distrust distrust = {(struct distrust_row *)rows, count};

	return store_write_retried(self, insert, &distrust);
}

static enum err
settle(struct store *store, void *argument)
{
	const struct distrust *distrust = argument;

	buf_literal(db_sql(store->db), "UPDATE cache_distrust SET settled = TRUE WHERE ");
	sql_any_of(store->db, distrust->rows, distrust->count, true);
	return db_run(store->db, NULL);
}

enum err
distrust_settle(void *self, const struct distrust_row rows[], size_t count)
{
	struct distrust distrust = {(struct distrust_row *)rows, count};

	return store_write_retried(self, settle, &distrust);
}

enum err
distrust_forget(void *self, const struct distrust_row rows[], size_t count)
{
	struct store *store = self;

	buf_literal(db_sql(store->db), "DELETE FROM cache_distrust WHERE ");
	sql_any_of(store->db, rows, count, false);
	return store_edge(db_run(store->db, NULL));
}

struct page {
	int64_t older_than_ms;
	uint32_t limit;
	struct arena *arena;
	struct distrust_row *rows;
	size_t count;
};

static enum err
read_page(struct store *store, void *argument)
{
	struct page *page = argument;
	struct db_result *result;

	buf_format(db_sql_select(store->db),
		   "player_id, season_id FROM cache_distrust WHERE created_at_ms <= " SQL_NOW
		   " - %lld ORDER BY created_at_ms LIMIT %u",
		   (long long)page->older_than_ms, page->limit);

	enum err err = db_select(store->db, &result);

	if (err != ERR_OK)
		return err;
	page->rows = ARENA_ARRAY(page->arena, db_rows(result), struct distrust_row);
	for (page->count = 0; db_next(result); page->count++) {
		page->rows[page->count].player = arena_str(page->arena, db_text(result, 0));
		page->rows[page->count].season = arena_copy(page->arena, db_text(result, 1));
	}
	db_result_free(result);
	return ERR_OK;
}

enum err
store_distrust_page(struct store *store, int64_t older_than_ms, uint32_t limit, struct arena *arena,
		    struct distrust_row **ret_rows, size_t *ret_count)
{
	struct page page = {.older_than_ms = older_than_ms, .limit = limit, .arena = arena};
	enum err err = store_read_twice(store, read_page, &page);

	if (err != ERR_OK)
		return err;
	*ret_rows = page.rows;
	*ret_count = page.count;
	return ERR_OK;
}

struct host {
	const struct uuid *id;
	const char *redis_id;
	bool found;
};

static enum err
find_others(struct store *store, void *argument)
{
	struct host *host = argument;
	struct db_result *result;

	buf_format(db_sql_select(store->db),
		   "host_id FROM cache_host WHERE seen_at_ms BETWEEN " SQL_NOW " - %d AND " SQL_NOW " + %d AND NOT ",
		   HOST_ALIVE_MS, HOST_ALIVE_MS); /* further ahead: the clock was set back since */
	sql_is_id(store->db, "host_id", host->id);
	buf_literal(db_sql_more(store->db), " AND ");
	sql_is_text(store->db, "redis_id", str_from(host->redis_id));
	buf_literal(db_sql_more(store->db), " LIMIT 1");

	enum err err = db_select(store->db, &result);

	if (err != ERR_OK)
		return err;
	host->found = db_next(result);
	db_result_free(result);
	return ERR_OK;
}

enum err
distrust_others_reach(void *self, const struct uuid *id, const char *redis_id, bool *ret_reach)
{
	struct host host = {.id = id, .redis_id = redis_id};
	enum err err = store_read_twice(self, find_others, &host);

	if (err == ERR_OK)
		*ret_reach = host.found;
	return err;
}

static enum err
say_host(struct store *store, void *argument)
{
	const struct host *host = argument;
	struct buf *sql = db_sql(store->db);

	buf_literal(sql, "INSERT INTO cache_host (host_id, redis_id, seen_at_ms) VALUES ");
	sql_row(store->db);
	sql_id(store->db, host->id);
	sql_text(store->db, str_from(host->redis_id));
	sql_raw(store->db, SQL_NOW);
	sql_row_end(store->db);
	buf_literal(sql, " ON DUPLICATE KEY UPDATE redis_id = VALUES(redis_id), seen_at_ms = VALUES(seen_at_ms)");
	return db_run(store->db, NULL);
}

static enum err
forget_hosts(struct store *store, void *argument)
{
	(void)argument;
	buf_format(db_sql(store->db), "DELETE FROM cache_host WHERE seen_at_ms < " SQL_NOW " - %d", HOST_FORGOTTEN_MS);
	return db_run(store->db, NULL);
}

enum err
store_say_host(struct store *store, const struct uuid *id, const char *redis_id)
{
	struct host host = {.id = id, .redis_id = redis_id};

	return store_write_retried(store, say_host, &host);
}

enum err
store_forget_hosts(struct store *store)
{
	return store_write_retried(store, forget_hosts, NULL);
}
