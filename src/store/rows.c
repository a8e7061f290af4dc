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

#define ROW_COLUMNS    "player_id, xp, revision, pass_count, claim_count, updated_at_ms"
#define LOCKED_COLUMNS ROW_COLUMNS ", audit_count, audit_hash, overflow_paid"

/* Which columns there are. */
enum selection {
	PLAIN_ROWS,  /* ROW_COLUMNS */
	LOCKED_ROWS, /* LOCKED_COLUMNS */
	MIXED_ROWS,  /* ROW_COLUMNS or those of a part, and what it is: 'r', 'p', 'c' */
};

enum { KIND_COLUMN = 6 };

/* What only a writer needs. */
static void
take_locked(const struct db_result *result, struct progress_row *row)
{
	row->audit_count = db_u64(result, 6);
	db_bytes(result, 7, row->audit_hash, sizeof(row->audit_hash));
	row->overflow_paid = db_u64(result, 8);
}

static void
take_row(const struct db_result *result, enum selection selection, struct progress_row *const rows[], size_t count,
	 struct arena *arena)
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
		if (selection == LOCKED_ROWS)
			take_locked(result, row);
	}
}

/*
 * Items with room for one more: the row's own counts are enough, unless somebody changed the tables by hand, and
 * nothing that is there may be dropped.
 */
static void *
with_room(struct arena *arena, void *items, uint32_t count, uint32_t *room, size_t size)
{
	void *more;

	if (count < *room)
		return items;
	*room = *room * 2 + 8;
	more = arena_array(arena, *room, size);
	if (count)
		memcpy(more, items, count * size);
	return more;
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

		if (kind == 'p') {
			row->passes =
				with_room(arena, row->passes, row->pass_count, &row->pass_room, sizeof(*row->passes));
			row->passes[row->pass_count++] =
				(struct owned_pass){name, db_i64(result, 2), db_u64(result, 3) != 0};
		} else if (kind == 'c') {
			row->claims =
				with_room(arena, row->claims, row->claim_count, &row->claim_room, sizeof(*row->claims));
			row->claims[row->claim_count++] = name;
		}
	}
}

/* Runs the SELECT in the buffer and takes what it says: the rows, then the parts, for which they make room. */
static enum err
select_rows(struct db *db, enum selection selection, struct progress_row *const rows[], size_t count,
	    struct arena *arena)
{
	bool mixed = selection == MIXED_ROWS;
	struct db_result *result;
	enum err err = db_select(db, &result);

	if (err != ERR_OK)
		return err;
	while (err == ERR_OK && db_next(result))
		if (db_text(result, 0).len == 0 && db_u64(result, 1))
			err = db_is_replica(db);
		else if (!mixed || db_text(result, KIND_COLUMN).ptr[0] == 'r')
			take_row(result, selection, rows, count, arena);
	db_rewind(result);
	while (mixed && db_next(result))
		take_part(result, db_text(result, KIND_COLUMN).ptr[0], rows, count, arena);
	db_result_free(result);
	return err;
}

/* Of nobody: a server that takes no writes is not, or no longer, the primary, and what it says may be of the past. */
#define IS_REPLICA "'', @@global.read_only, 0, 0, 0, 0"

#define PASSES_OF "SELECT player_id, pass_id, since_ms, active, 0, 0, 'p' FROM pass_ownership WHERE "
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
	buf_literal(db_sql_select(db),
		    IS_REPLICA " UNION ALL SELECT " ROW_COLUMNS " FROM progress FORCE INDEX (PRIMARY) WHERE ");
	sql_players_of(db, season, rows, count);

	enum err err = select_rows(db, PLAIN_ROWS, rows, count, arena);
	size_t found = rows_with_parts(rows, count, parted);

	if (err != ERR_OK || found == 0)
		return err;
	clear(parted, found);
	buf_literal(db_sql_select(db), ROW_COLUMNS ", 'r' FROM progress WHERE ");
	sql_players_of(db, season, parted, found);
	buf_literal(db_sql_more(db), " UNION ALL ");
	sql_parts(db, season, parted, found);
	return select_rows(db, MIXED_ROWS, parted, found, arena);
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
	buf_literal(db_sql(db), "SELECT " LOCKED_COLUMNS " FROM progress FORCE INDEX (PRIMARY) WHERE ");
	sql_players_of(db, rows[0]->season->id, rows, count);
	buf_literal(db_sql_more(db), " FOR UPDATE");
	return select_rows(db, LOCKED_ROWS, rows, count, arena);
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
	return select_rows(db, MIXED_ROWS, parted, found, arena);
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

enum { HOUR_MS = 3600 * 1000 };

/*
 * The rows exist and are locked: the insert always meets the key, and one statement updates them all. The head of the
 * chain moves with entries only, so that a batch of XP grants does not send it. active_hour is indexed: it changes once
 * an hour at most.
 */
enum err
rows_save(struct db *db, const struct write_set *set)
{
	struct buf *sql = db_sql(db);
	bool chained = set->changes.entries != NULL;

	if (set->row_count == 0)
		return ERR_OK;
	buf_format(sql,
		   "INSERT INTO progress (player_id, season_id, xp, revision, pass_count, claim_count, updated_at_ms, "
		   "overflow_paid, active_hour%s) VALUES ",
		   chained ? ", audit_count, audit_hash" : "");
	for (size_t i = 0; i < set->row_count; i++) {
		const struct progress_row *row = set->rows[i];

		sql_row(db);
		sql_text(db, row->player);
		sql_text(db, str_from(row->season->id));
		buf_format(sql, ",%llu,%llu,%u,%u,%lld,%llu,%lld", (unsigned long long)row->xp,
			   (unsigned long long)row->revision, row->pass_count, row->claim_count,
			   (long long)row->updated_at_ms, (unsigned long long)row->overflow_paid,
			   (long long)(row->updated_at_ms / HOUR_MS));
		if (chained) {
			sql_u64(db, row->audit_count);
			sql_bytes(db, row->audit_hash, sizeof(row->audit_hash));
		}
		sql_row_end(db);
	}
	buf_format(sql,
		   " ON DUPLICATE KEY UPDATE xp = VALUES(xp), revision = VALUES(revision), "
		   "pass_count = VALUES(pass_count), claim_count = VALUES(claim_count), "
		   "updated_at_ms = VALUES(updated_at_ms), overflow_paid = VALUES(overflow_paid), "
		   "active_hour = VALUES(active_hour)%s",
		   chained ? ", audit_count = VALUES(audit_count), audit_hash = VALUES(audit_hash)" : "");
	return db_run(db, NULL);
}
