/*
 * Resets of a player's progress. One that forgets the claims moves them away, and undoing it moves them back; what was
 * claimed once more since stays as it is.
 */
#include "base/log.h"
#include "store/store_private.h"

static void
sql_of_reset(struct db *db, const char *table, const struct reset_row *reset)
{
	buf_format(db_sql_more(db), " FROM %s WHERE ", table);
	sql_of_season(db, reset->player, reset->season);
}

static enum err
insert_reset(struct db *db, const struct reset_row *reset)
{
	buf_literal(db_sql(db), "INSERT INTO player_reset (player_id, season_id, reset_id, xp_removed, overflow_paid, "
				"claims, undone, reset_at_ms) VALUES ");
	sql_row(db);
	sql_text(db, reset->player);
	sql_text(db, str_from(reset->season));
	sql_id(db, &reset->id);
	sql_u64(db, reset->xp_removed);
	sql_u64(db, reset->overflow_paid);
	sql_text(db, reset->forget ? STR("forget") : STR("keep"));
	sql_raw(db, "FALSE");
	sql_i64(db, reset->reset_at_ms);
	sql_row_end(db);
	return db_run(db, NULL);
}

#define CLAIM_COLUMNS "tier, pass_id, reward_id, claimed_at_ms, delivery_id"

static enum err
forget_claims(struct db *db, const struct reset_row *reset)
{
	buf_literal(db_sql(db),
		    "INSERT INTO forgotten_claim (player_id, season_id, reset_id, " CLAIM_COLUMNS ") SELECT "
		    "player_id, season_id, ");
	db_quote_bytes(db, reset->id.bytes, sizeof(reset->id.bytes));
	buf_literal(db_sql_more(db), ", " CLAIM_COLUMNS);
	sql_of_reset(db, "claim", reset);

	enum err err = db_run(db, NULL);

	if (err != ERR_OK)
		return err;
	buf_literal(db_sql(db), "DELETE");
	sql_of_reset(db, "claim", reset);
	return db_run(db, NULL);
}

/* Of two that undo the same reset in one transaction the second must not pass. */
static enum err
mark_undone(struct db *db, const struct reset_row *reset)
{
	uint64_t changed = 0;

	buf_literal(db_sql(db), "UPDATE player_reset SET undone = TRUE WHERE NOT undone AND ");
	sql_of_season(db, reset->player, reset->season);
	buf_literal(db_sql_more(db), " AND ");
	sql_is_id(db, "reset_id", &reset->id);

	enum err err = db_run(db, &changed);

	if (err != ERR_OK || changed == 1)
		return err;
	log_warning("a reset of player %.*s was undone already", STR_ARGS(reset->player));
	db_rollback(db);
	return ERR_INTERNAL;
}

static enum err
bring_claims_back(struct db *db, const struct reset_row *reset)
{
	buf_literal(db_sql(db), "INSERT INTO claim (player_id, season_id, " CLAIM_COLUMNS ") SELECT f.player_id, "
				"f.season_id, f.tier, f.pass_id, f.reward_id, f.claimed_at_ms, f.delivery_id");
	sql_of_reset(db, "forgotten_claim f", reset);
	buf_literal(db_sql_more(db), " AND ");
	sql_is_id(db, "reset_id", &reset->id);
	/* By the reward's id alone, as the row's count: a season's edit may have moved it to another tier since. */
	buf_literal(db_sql_more(db), " AND NOT EXISTS (SELECT 1 FROM claim c WHERE c.player_id = f.player_id AND "
				     "c.season_id = f.season_id AND c.reward_id = f.reward_id)");

	enum err err = db_run(db, NULL);

	if (err != ERR_OK)
		return err;
	buf_literal(db_sql(db), "DELETE");
	sql_of_reset(db, "forgotten_claim", reset);
	buf_literal(db_sql_more(db), " AND ");
	sql_is_id(db, "reset_id", &reset->id);
	return db_run(db, NULL);
}

static enum err
save_reset(struct db *db, const struct reset_row *reset)
{
	enum err err = reset->undone ? mark_undone(db, reset) : insert_reset(db, reset);

	if (err != ERR_OK || !reset->forget)
		return err;
	return reset->undone ? bring_claims_back(db, reset) : forget_claims(db, reset);
}

/* Lists grow at their head: what was done first is written first. Resets are rare and each is several statements. */
static enum err
save_oldest_first(struct db *db, const struct reset_row *reset)
{
	enum err err = reset->next ? save_oldest_first(db, reset->next) : ERR_OK;

	return err == ERR_OK ? save_reset(db, reset) : err;
}

enum err
resets_save(struct db *db, const struct changes *changes)
{
	return changes->resets ? save_oldest_first(db, changes->resets) : ERR_OK;
}

/* next and what names the reset stay as they are. */
static enum err
select_reset(struct db *db, struct reset_row *reset)
{
	struct db_result *result;

	buf_literal(db_sql(db), "SELECT xp_removed, overflow_paid, claims, undone, reset_at_ms FROM player_reset "
				"FORCE INDEX (PRIMARY) WHERE ");
	sql_of_season(db, reset->player, reset->season);
	buf_literal(db_sql_more(db), " AND ");
	sql_is_id(db, "reset_id", &reset->id);

	enum err err = db_select(db, &result);

	if (err != ERR_OK)
		return err;
	if (db_next(result)) {
		reset->xp_removed = db_u64(result, 0);
		reset->overflow_paid = db_u64(result, 1);
		reset->forget = str_equal(db_text(result, 2), STR("forget"));
		reset->undone = db_u64(result, 3) != 0;
		reset->reset_at_ms = db_i64(result, 4);
	} else {
		err = ERR_RESET_NOT_FOUND;
	}
	db_result_free(result);
	return err;
}

static enum err
select_forgotten(struct db *db, struct arena *arena, struct reset_row *reset)
{
	struct db_result *result;

	buf_literal(db_sql(db), "SELECT reward_id");
	sql_of_reset(db, "forgotten_claim", reset);
	buf_literal(db_sql_more(db), " AND ");
	sql_is_id(db, "reset_id", &reset->id);

	enum err err = db_select(db, &result);

	if (err != ERR_OK)
		return err;
	reset->forgotten = ARENA_ARRAY(arena, db_rows(result), struct str);
	while (db_next(result))
		reset->forgotten[reset->forgotten_count++] = arena_str(arena, db_text(result, 0));
	db_result_free(result);
	return ERR_OK;
}

enum err
resets_find(void *self, struct str player, const char *season, const struct uuid *id, struct arena *arena,
	    struct reset_row *ret_reset)
{
	struct store *store = self;
	struct reset_row reset = {
		.player = arena_str(arena, player), .season = arena_copy(arena, str_from(season)), .id = *id};
	enum err err = select_reset(store->db, &reset);

	if (err == ERR_OK && reset.forget)
		err = select_forgotten(store->db, arena, &reset);
	if (err == ERR_OK)
		*ret_reset = reset;
	return store_edge(err);
}
