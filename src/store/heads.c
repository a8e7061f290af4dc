/* What the progress rows alone say: the seasons of a player, and the heads of the chains. */
#include "base/log.h"
#include "store/store_private.h"

struct standings {
	struct str player;
	struct arena *arena;
	struct season_standing *rows;
	size_t count;
};

static enum err
read_standings(struct store *store, void *argument)
{
	struct standings *standings = argument;
	struct db_result *result;

	buf_literal(db_sql_select(store->db),
		    "season_id, xp, revision, updated_at_ms FROM progress FORCE INDEX (PRIMARY) WHERE ");
	sql_is_text(store->db, "player_id", standings->player);
	buf_literal(db_sql_more(store->db), " ORDER BY season_id");

	enum err err = db_select(store->db, &result);

	if (err != ERR_OK)
		return err;
	standings->rows = ARENA_ARRAY(standings->arena, db_rows(result), struct season_standing);
	for (standings->count = 0; db_next(result); standings->count++)
		standings->rows[standings->count] = (struct season_standing){
			.season = arena_str(standings->arena, db_text(result, 0)),
			.xp = db_u64(result, 1),
			.revision = db_u64(result, 2),
			.updated_at_ms = db_i64(result, 3),
		};
	db_result_free(result);
	return ERR_OK;
}

enum err
heads_standings(void *self, struct str player, struct arena *arena, struct season_standing **ret_rows,
		size_t *ret_count)
{
	struct standings standings = {.player = player, .arena = arena};
	enum err err = store_read_twice(self, read_standings, &standings);

	if (err != ERR_OK)
		return err;
	*ret_rows = standings.rows;
	*ret_count = standings.count;
	return ERR_OK;
}

struct heads {
	const char *player;
	const char *season;
	const struct chain_position *after;
	uint32_t limit;
	struct arena *arena;
	struct chain_head *rows;
	size_t count;
};

static void
sql_heads(struct db *db, const struct heads *heads)
{
	struct buf *sql = db_sql_long_select(db);

	buf_format(sql,
		   "player_id, season_id, audit_count, audit_hash FROM progress FORCE INDEX (%s) WHERE "
		   "audit_count > 0 AND ((",
		   heads->season && !heads->player ? "by_season" : "PRIMARY");
	sql_is_text(db, "player_id", str_from(heads->after->player));
	buf_literal(sql, " AND season_id > ");
	db_quote(db, str_from(heads->after->season));
	buf_literal(sql, ") OR player_id > ");
	db_quote(db, str_from(heads->after->player));
	buf_char(sql, ')');
	if (heads->player) {
		buf_literal(sql, " AND ");
		sql_is_text(db, "player_id", str_from(heads->player));
	}
	if (heads->season) {
		buf_literal(sql, " AND ");
		sql_is_text(db, "season_id", str_from(heads->season));
	}
	buf_format(sql, " ORDER BY player_id, season_id LIMIT %zu", heads->limit - heads->count);
}

/* Is the operators' chain, which stands before all others, among what is asked for? */
static bool
from_operators(const struct heads *heads)
{
	return heads->after->sequence == 0 && !heads->after->player[0] && (!heads->player || !heads->player[0]) &&
	       (!heads->season || !heads->season[0]);
}

static enum err
take_head(const struct db_result *result, struct chain_head *head)
{
	struct str player = db_text(result, 0);
	struct str season = db_text(result, 1);

	if (player.len >= sizeof(head->player) || season.len >= sizeof(head->season) ||
	    !db_bytes(result, 3, head->hash, sizeof(head->hash))) {
		log_error("the progress row of player %.*s cannot be read", STR_ARGS(player));
		return ERR_INTERNAL;
	}
	memcpy(head->player, player.ptr, player.len);
	memcpy(head->season, season.ptr, season.len);
	head->count = db_u64(result, 2);
	return ERR_OK;
}

/* Adds those that the SELECT in the buffer finds. */
static enum err
add_heads(struct db *db, struct heads *heads)
{
	struct db_result *result;
	enum err err = db_select(db, &result);

	if (err != ERR_OK)
		return err;
	while (err == ERR_OK && heads->count < heads->limit && db_next(result))
		err = take_head(result, &heads->rows[heads->count++]);
	db_result_free(result);
	return err;
}

static enum err
read_heads(struct store *store, void *argument)
{
	struct heads *heads = argument;
	enum err err = ERR_OK;

	heads->rows = ARENA_ARRAY(heads->arena, heads->limit, struct chain_head);
	heads->count = 0;
	if (from_operators(heads)) {
		buf_literal(db_sql_long_select(store->db),
			    "'', '', audit_count, audit_hash FROM cache_flags WHERE id = 1 AND audit_count > 0");
		err = add_heads(store->db, heads);
	}
	if (err != ERR_OK || heads->count == heads->limit)
		return err;
	sql_heads(store->db, heads);
	return add_heads(store->db, heads);
}

enum err
heads_of_chains(void *self, const char *player, const char *season, const struct chain_position *after, uint32_t limit,
		struct arena *arena, struct chain_head **ret_heads, size_t *ret_count)
{
	struct heads heads = {.player = player, .season = season, .after = after, .limit = limit, .arena = arena};
	enum err err = store_read_twice(self, read_heads, &heads);

	if (err != ERR_OK)
		return err;
	*ret_heads = heads.rows;
	*ret_count = heads.count;
	return ERR_OK;
}
