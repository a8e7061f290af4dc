/*
 * Progress rows: read in one snapshot, or locked and read inside a write. Passes and claims are looked for only where
 * the row's counts say that there are any.
 */
#include <stdlib.h>

#include "store/store_private.h"

size_t
season_run(struct progress_row *const rows[], size_t count)
{
	size_t run = 1;

	while (run < count && rows[run]->season == rows[0]->season)
		run++;
	return run;
}

void
sql_players_of(struct db *db, const char *season, struct progress_row *const rows[], size_t count)
{
	struct buf *sql = db_sql_more(db);

	buf_literal(sql, "season_id = ");
	db_quote(db, str_from(season));
	buf_literal(sql, " AND player_id IN (");
	for (size_t i = 0; i < count; i++) {
		if (i)
			buf_char(sql, ',');
		db_quote(db, rows[i]->player);
	}
	buf_char(sql, ')');
}

/* Where the rows of this player begin; rows are of one season, sorted by player, and may name one more than once. */
static size_t
first_of(struct progress_row *const rows[], size_t count, struct str player)
{
	size_t low = 0;

	while (low < count) {
		size_t middle = low + (count - low) / 2;

		if (str_compare(rows[middle]->player, player) < 0)
			low = middle + 1;
		else
			count = middle;
	}
	return low;
}

static bool
is_of(struct progress_row *const rows[], size_t count, size_t i, struct str player)
{
	return i < count && str_equal(rows[i]->player, player);
}

static void
clear(struct progress_row *const rows[], size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct progress_row *row = rows[i];

		*row = (struct progress_row){.player = row->player, .season = row->season};
	}
}

/* Columns: player_id, xp, revision, pass_count, claim_count, updated_at_ms. */
#define ROW_COLUMNS "player_id, xp, revision, pass_count, claim_count, updated_at_ms"

static void
take_row(const struct db_result *result, struct progress_row *const rows[], size_t count, struct arena *arena)
{
	struct str player = db_text(result, 0);

	for (size_t i = first_of(rows, count, player); is_of(rows, count, i, player); i++) {
		struct progress_row *row = rows[i];

		row->exists = true;
		row->xp = db_u64(result, 1);
		row->revision = db_u64(result, 2);
		row->pass_room = (uint32_t)db_u64(result, 3);
		row->claim_room = (uint32_t)db_u64(result, 4);
		row->updated_at_ms = db_i64(result, 5);
		row->passes = ARENA_ARRAY(arena, row->pass_room, struct owned_pass);
		row->claims = ARENA_ARRAY(arena, row->claim_room, struct str);
	}
}

/* A row of pass_ownership (kind p) or claim (kind c) of a player whose own row was taken before. */
static void
take_part(const struct db_result *result, char kind, struct progress_row *const rows[], size_t count,
	  struct arena *arena)
{
	struct str player = db_text(result, 0);

	for (size_t i = first_of(rows, count, player); is_of(rows, count, i, player); i++) {
		struct progress_row *row = rows[i];
		struct str name = arena_str(arena, db_text(result, 1));

		if (kind == 'p' && row->pass_count < row->pass_room)
			row->passes[row->pass_count++] = (struct owned_pass){name, db_i64(result, 2)};
		else if (kind == 'c' && row->claim_count < row->claim_room)
			row->claims[row->claim_count++] = name;
	}
}

/* Runs the SELECT in the buffer and takes what it says; with a kind in column 6, or player rows only. */
static enum err
select_rows(struct db *db, bool with_parts, struct progress_row *const rows[], size_t count, struct arena *arena)
{
	struct db_result *result;
	enum err err = db_select(db, &result);

	if (err != ERR_OK)
		return err;
	while (db_next(result))
		if (!with_parts || db_text(result, 6).ptr[0] == 'r')
			take_row(result, rows, count, arena);
	db_rewind(result);
	while (with_parts && db_next(result))
		take_part(result, db_text(result, 6).ptr[0], rows, count, arena);
	db_result_free(result);
	return ERR_OK;
}

#define PASSES_OF "SELECT player_id, pass_id, since_ms, 0, 0, 0, 'p' FROM pass_ownership WHERE "
#define CLAIMS_OF "SELECT player_id, reward_id, claimed_at_ms, 0, 0, 0, 'c' FROM claim WHERE "

static void
sql_parts(struct db *db, const char *season, struct progress_row *const rows[], size_t count)
{
	buf_literal(db_sql_more(db), PASSES_OF);
	sql_players_of(db, season, rows, count);
	buf_literal(db_sql_more(db), " UNION ALL " CLAIMS_OF);
	sql_players_of(db, season, rows, count);
}

/* The rows that say that they have passes or claims; returns how many. */
static size_t
rows_with_parts(struct progress_row *const rows[], size_t count, struct progress_row **parted)
{
	size_t found = 0;

	for (size_t i = 0; i < count; i++)
		if (rows[i]->pass_room || rows[i]->claim_room)
			parted[found++] = rows[i];
	return found;
}

/*
 * Rows of one season. In READ COMMITTED one statement is one snapshot: a row that has passes or claims is read once
 * more together with them, in one UNION.
 */
static enum err
load_run(struct db *db, struct progress_row *const rows[], size_t count, struct arena *arena)
{
	struct progress_row **parted = ARENA_ARRAY(arena, count, struct progress_row *);
	const char *season = rows[0]->season->id;

	clear(rows, count);
	buf_literal(db_sql_select(db), ROW_COLUMNS " FROM progress FORCE INDEX (PRIMARY) WHERE ");
	sql_players_of(db, season, rows, count);

	enum err err = select_rows(db, false, rows, count, arena);
	size_t found = rows_with_parts(rows, count, parted);

	if (err != ERR_OK || found == 0)
		return err;
	clear(parted, found);
	buf_literal(db_sql_select(db), ROW_COLUMNS ", 'r' FROM progress WHERE ");
	sql_players_of(db, season, parted, found);
	buf_literal(db_sql_more(db), " UNION ALL ");
	sql_parts(db, season, parted, found);
	return select_rows(db, true, parted, found, arena);
}

static int
compare_rows(const void *a, const void *b)
{
	const struct progress_row *x = *(struct progress_row *const *)a;
	const struct progress_row *y = *(struct progress_row *const *)b;
	int order = strcmp(x->season->id, y->season->id);

	return order ? order : str_compare(x->player, y->player);
}

struct load {
	struct progress_row **rows; /* sorted by season and player */
	size_t count;
	struct arena *arena;
};

static enum err
load(struct store *store, void *argument)
{
	const struct load *wanted = argument;
	enum err err = ERR_OK;

	for (size_t from = 0; from < wanted->count && err == ERR_OK;) {
		size_t run = season_run(wanted->rows + from, wanted->count - from);

		err = load_run(store->db, wanted->rows + from, run, wanted->arena);
		from += run;
	}
	return err;
}

enum err
rows_load(void *self, struct progress_row *const rows[], size_t count, struct arena *arena)
{
	struct load wanted = {ARENA_ARRAY(arena, count, struct progress_row *), count, arena};

	memcpy(wanted.rows, rows, count * sizeof(rows[0]));
	qsort(wanted.rows, count, sizeof(rows[0]), compare_rows);
	return store_read_twice(self, load, &wanted);
}

static enum err
select_for_update(struct db *db, struct progress_row *const rows[], size_t count, struct arena *arena)
{
	buf_literal(db_sql(db), "SELECT " ROW_COLUMNS " FROM progress FORCE INDEX (PRIMARY) WHERE ");
	sql_players_of(db, rows[0]->season->id, rows, count);
	buf_literal(db_sql_more(db), " FOR UPDATE");
	return select_rows(db, false, rows, count, arena);
}

/*
 * Creates the rows that are not there. In READ COMMITTED looking for them has locked nothing; two that create the same
 * row meet at its key, and the second waits for the first.
 */
static enum err
create_missing(struct db *db, struct progress_row *const rows[], size_t count, struct arena *arena)
{
	struct progress_row **missing = ARENA_ARRAY(arena, count, struct progress_row *);
	struct buf *sql = db_sql(db);
	size_t found = 0;

	buf_literal(sql, "INSERT INTO progress (player_id, season_id) VALUES ");
	for (size_t i = 0; i < count; i++) {
		if (rows[i]->exists)
			continue;
		buf_cstr(sql, found ? ",(" : "(");
		db_quote(db, rows[i]->player);
		buf_char(sql, ',');
		db_quote(db, str_from(rows[i]->season->id));
		buf_char(sql, ')');
		missing[found++] = rows[i];
	}
	if (found == 0)
		return ERR_OK;
	/* Not INSERT IGNORE: that one takes a share lock on a row that is there, and two of them deadlock. */
	buf_literal(sql, " ON DUPLICATE KEY UPDATE revision = revision");

	enum err err = db_run(db, NULL);

	return err == ERR_OK ? select_for_update(db, missing, found, arena) : err;
}

static enum err
lock_run(struct db *db, struct progress_row *const rows[], size_t count, struct arena *arena)
{
	struct progress_row **parted = ARENA_ARRAY(arena, count, struct progress_row *);
	enum err err;

	clear(rows, count);
	err = select_for_update(db, rows, count, arena);
	if (err == ERR_OK)
		err = create_missing(db, rows, count, arena);

	size_t found = err == ERR_OK ? rows_with_parts(rows, count, parted) : 0;

	if (found == 0)
		return err;
	db_sql(db);
	sql_parts(db, rows[0]->season->id, parted, found);
	return select_rows(db, true, parted, found, arena);
}

enum err
rows_lock(void *self, struct progress_row *const rows[], size_t count, struct arena *arena)
{
	struct store *store = self;
	enum err err = ERR_OK;

	for (size_t from = 0; from < count && err == ERR_OK;) {
		size_t run = season_run(rows + from, count - from);

		err = lock_run(store->db, rows + from, run, arena);
		from += run;
	}
	return store_edge(err);
}

/* The rows exist and are locked: the insert always meets the key, and one statement updates them all. */
enum err
rows_save(struct db *db, struct progress_row *const rows[], size_t count)
{
	struct buf *sql = db_sql(db);

	buf_literal(sql, "INSERT INTO progress (player_id, season_id, xp, revision, updated_at_ms) VALUES ");
	for (size_t i = 0; i < count; i++) {
		buf_cstr(sql, i ? ",(" : "(");
		db_quote(db, rows[i]->player);
		buf_char(sql, ',');
		db_quote(db, str_from(rows[i]->season->id));
		buf_format(sql, ",%llu,%llu,%lld)", (unsigned long long)rows[i]->xp,
			   (unsigned long long)rows[i]->revision, (long long)rows[i]->updated_at_ms);
	}
	buf_literal(sql, " ON DUPLICATE KEY UPDATE xp = VALUES(xp), revision = VALUES(revision), "
			 "updated_at_ms = VALUES(updated_at_ms)");
	return db_run(db, NULL);
}
