/* Chores that one host at a time does for all, by a lease on a row; times are the database's clock. */
#include "store/store_private.h"

struct chore {
	const char *name;
	const struct uuid *owner;
	int64_t hold_ms;
	bool held;
	struct store_chore *kept; /* read by hold, written by leave */
};

static enum err
take(struct db *db, const struct chore *chore)
{
	struct buf *sql = db_sql(db);

	buf_literal(sql, "UPDATE chore SET ");
	sql_is_id(db, "owner", chore->owner);
	buf_literal(sql, ", held_until_ms = ");
	sql_due_in(db, chore->hold_ms);
	buf_literal(sql, " WHERE ");
	sql_is_text(db, "name", str_from(chore->name));
	buf_literal(sql, " AND (held_until_ms < " SQL_NOW " OR ");
	sql_is_id(db, "owner", chore->owner);
	buf_char(sql, ')');
	return db_run(db, NULL);
}

static void
keep_position(struct store_chore *kept, const struct db_result *result)
{
	struct str position = db_text(result, 1);

	*kept = (struct store_chore){.done = db_u64(result, 2) != 0};
	if (position.len < sizeof(kept->position))
		memcpy(kept->position, position.ptr, position.len);
}

/* ERR_NOT_FOUND: nobody ever did this chore. */
static enum err
look(struct db *db, struct chore *chore)
{
	struct db_result *result;
	struct buf *sql = db_sql(db);

	buf_literal(sql, "SELECT ");
	sql_is_id(db, "owner", chore->owner);
	buf_literal(sql, " AND held_until_ms >= " SQL_NOW ", position, done FROM chore WHERE ");
	sql_is_text(db, "name", str_from(chore->name));

	enum err err = db_select(db, &result);

	if (err != ERR_OK)
		return err;
	if (db_next(result)) {
		chore->held = db_u64(result, 0) != 0;
		keep_position(chore->kept, result);
	} else {
		err = ERR_NOT_FOUND;
	}
	db_result_free(result);
	return err;
}

static enum err
create(struct db *db, const char *name)
{
	struct buf *sql = db_sql(db);

	buf_literal(sql, "INSERT INTO chore (name, owner, held_until_ms, position, done) VALUES ");
	sql_row(db);
	sql_text(db, str_from(name));
	buf_literal(sql, ", '', 0, '', FALSE) ON DUPLICATE KEY UPDATE done = done");
	return db_run(db, NULL);
}

static enum err
take_and_look(struct db *db, struct chore *chore)
{
	enum err err = take(db, chore);

	return err == ERR_OK ? look(db, chore) : err;
}

static enum err
hold(struct store *store, void *argument)
{
	struct chore *chore = argument;
	enum err err = take_and_look(store->db, chore);

	if (err != ERR_NOT_FOUND)
		return err;
	err = create(store->db, chore->name);
	return err == ERR_OK ? take_and_look(store->db, chore) : err;
}

enum err
store_hold_chore(struct store *store, const char *name, const struct uuid *owner, int64_t hold_ms, bool *ret_held,
		 struct store_chore *ret_chore)
{
	struct store_chore kept = {.done = false};
	struct chore chore = {.name = name, .owner = owner, .hold_ms = hold_ms, .kept = &kept};
	enum err err = store_write_retried(store, hold, &chore);

	if (err != ERR_OK)
		return err;
	*ret_held = chore.held;
	*ret_chore = kept;
	return ERR_OK;
}

static enum err
leave(struct store *store, void *argument)
{
	const struct chore *chore = argument;
	struct buf *sql = db_sql(store->db);

	buf_literal(sql, "UPDATE chore SET owner = '', held_until_ms = 0, ");
	sql_is_text(store->db, "position", str_from(chore->kept->position));
	buf_format(sql, ", done = %d WHERE ", chore->kept->done);
	sql_is_text(store->db, "name", str_from(chore->name));
	buf_literal(sql, " AND held_until_ms >= " SQL_NOW " AND ");
	sql_is_id(store->db, "owner", chore->owner);
	return db_run(store->db, NULL);
}

enum err
store_leave_chore(struct store *store, const char *name, const struct uuid *owner, const struct store_chore *kept)
{
	struct store_chore copy = *kept;
	struct chore chore = {.name = name, .owner = owner, .kept = &copy};

	return store_write_retried(store, leave, &chore);
}

struct players {
	const char *season;
	struct str after;
	uint32_t limit;
	struct arena *arena;
	struct str *ids;
	size_t count;
};

static enum err
read_players(struct store *store, void *argument)
{
	struct players *players = argument;
	struct buf *sql = db_sql_select(store->db);
	struct db_result *result;

	buf_literal(sql, "player_id FROM progress FORCE INDEX (by_season) WHERE ");
	sql_is_text(store->db, "season_id", str_from(players->season));
	buf_literal(sql, " AND player_id > ");
	db_quote(store->db, players->after);
	buf_format(sql, " ORDER BY player_id LIMIT %u", players->limit);

	enum err err = db_select(store->db, &result);

	if (err != ERR_OK)
		return err;
	players->ids = ARENA_ARRAY(players->arena, db_rows(result), struct str);
	for (players->count = 0; db_next(result); players->count++)
		players->ids[players->count] = arena_str(players->arena, db_text(result, 0));
	db_result_free(result);
	return ERR_OK;
}

enum err
store_season_players(struct store *store, const char *season, struct str after, uint32_t limit, struct arena *arena,
		     struct str **ret_players, size_t *ret_count)
{
	struct players players = {.season = season, .after = after, .limit = limit, .arena = arena};
	enum err err = store_read_twice(store, read_players, &players);

	if (err != ERR_OK)
		return err;
	*ret_players = players.ids;
	*ret_count = players.count;
	return ERR_OK;
}
