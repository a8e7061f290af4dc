/* What warming asks of the store: who was active last, and how far it has come. Only the players' ids are read. */
#include "store/store_private.h"

struct active {
	const char *season;
	const struct warming *at; /* NULL: only counted */
	uint64_t limit;
	struct arena *arena;
	struct active_player *rows;
	uint64_t count;
};

static enum err
read_active(struct store *store, void *argument)
{
	struct active *active = argument;
	struct buf *sql = db_sql_select(store->db);
	struct db_result *result;

	buf_literal(sql, "player_id, active_hour FROM progress FORCE INDEX (by_activity) WHERE ");
	sql_is_text(store->db, "season_id", str_from(active->season));
	buf_format(sql, " AND (active_hour < %u OR (active_hour = %u AND player_id < ", active->at->at_hour,
		   active->at->at_hour);
	db_quote(store->db, str_from(active->at->at_player));
	buf_format(sql, ")) ORDER BY active_hour DESC, player_id DESC LIMIT %llu", (unsigned long long)active->limit);

	enum err err = db_select(store->db, &result);

	if (err != ERR_OK)
		return err;
	active->rows = ARENA_ARRAY(active->arena, db_rows(result), struct active_player);
	for (active->count = 0; db_next(result); active->count++)
		active->rows[active->count] = (struct active_player){
			.player = arena_str(active->arena, db_text(result, 0)),
			.hour = (uint32_t)db_u64(result, 1),
		};
	db_result_free(result);
	return ERR_OK;
}

enum err
store_active_players(struct store *store, const char *season, const struct warming *at, uint32_t limit,
		     struct arena *arena, struct active_player **ret_rows, size_t *ret_count)
{
	struct active active = {.season = season, .at = at, .limit = limit, .arena = arena};
	enum err err = store_read_twice(store, read_active, &active);

	if (err != ERR_OK)
		return err;
	*ret_rows = active.rows;
	*ret_count = active.count;
	return ERR_OK;
}

static enum err
count_active(struct store *store, void *argument)
{
	struct active *active = argument;
	struct buf *sql = db_sql_select(store->db);
	struct db_result *result;

	buf_literal(sql, "COUNT(*) FROM (SELECT 1 FROM progress FORCE INDEX (by_activity) WHERE ");
	sql_is_text(store->db, "season_id", str_from(active->season));
	buf_format(sql, " LIMIT %llu) AS counted", (unsigned long long)active->limit);

	enum err err = db_select(store->db, &result);

	if (err != ERR_OK)
		return err;
	active->count = db_next(result) ? db_u64(result, 0) : 0;
	db_result_free(result);
	return ERR_OK;
}

enum err
store_count_active(struct store *store, const char *season, uint64_t limit, uint64_t *ret_count)
{
	struct active active = {.season = season, .limit = limit};
	enum err err = store_read_twice(store, count_active, &active);

	if (err == ERR_OK)
		*ret_count = active.count;
	return err;
}

struct saving {
	const struct warming *warming;
	uint64_t request; /* that it must be still */
};

static enum err
save_warming(struct store *store, void *argument)
{
	const struct saving *saving = argument;

	operators_sql_set_warming(store->db, saving->warming);
	buf_format(db_sql_more(store->db), " AND request = %llu", (unsigned long long)saving->request);
	return db_run(store->db, NULL);
}

enum err
store_save_warming(struct store *store, const struct warming *warming, uint64_t request)
{
	struct saving saving = {warming, request};

	return store_write_retried(store, save_warming, &saving);
}
