/* The steps of purchases, which stand in the audit log: one entry "purchase_<state>" each. */
#include "base/log.h"
#include "store/store_private.h"

#define STEP_PREFIX "purchase_"

struct history {
	struct str player;
	const struct purchase_row *purchases;
	size_t purchase_count;
	struct arena *arena;
	struct purchase_step *steps;
	size_t count;
};

static void
sql_history(struct db *db, const struct history *history)
{
	struct buf *sql = db_sql_select(db);

	buf_literal(sql, "subject, action, entered_at_ms FROM audit_log FORCE INDEX (by_subject) WHERE ");
	sql_is_text(db, "player_id", history->player);
	buf_literal(sql, " AND season_id IN (");
	for (size_t i = 0; i < history->purchase_count; i++)
		if (i == 0 || strcmp(history->purchases[i].season, history->purchases[i - 1].season) != 0)
			sql_text(db, str_from(history->purchases[i].season));
	buf_literal(sql, ") AND subject IN (");
	for (size_t i = 0; i < history->purchase_count; i++) {
		char id[UUID_TEXT_SIZE];

		uuid_format(&history->purchases[i].id, id);
		sql_text(db, str_from(id));
	}
	buf_literal(sql, ") AND action IN (");
	for (int i = 0; i < PURCHASE_STATE_COUNT; i++) {
		sql_raw(db, "'" STEP_PREFIX);
		buf_format(sql, "%s'", purchase_state_name((enum purchase_state)i));
	}
	buf_literal(sql, ") ORDER BY player_id, season_id, sequence");
}

static enum err
take_step(const struct db_result *result, struct arena *arena, struct purchase_step *step)
{
	const char *action = arena_copy(arena, db_text(result, 1));

	step->at_ms = db_i64(result, 2);
	if (uuid_parse(db_text(result, 0), &step->purchase) &&
	    purchase_state_parse(action + sizeof(STEP_PREFIX) - 1, &step->state))
		return ERR_OK;
	log_error("a step of purchase %.*s cannot be read: \"%s\"", STR_ARGS(db_text(result, 0)), action);
	return ERR_INTERNAL;
}

static enum err
read_history(struct store *store, void *argument)
{
	struct history *history = argument;
	struct db_result *result;

	sql_history(store->db, history);

	enum err err = db_select(store->db, &result);

	if (err != ERR_OK)
		return err;
	history->steps = ARENA_ARRAY(history->arena, db_rows(result), struct purchase_step);
	history->count = 0;
	while (err == ERR_OK && db_next(result))
		err = take_step(result, history->arena, &history->steps[history->count++]);
	db_result_free(result);
	return err;
}

enum err
history_of_purchases(void *self, struct str player, const struct purchase_row *purchases, size_t count,
		     struct arena *arena, struct purchase_step **ret_steps, size_t *ret_count)
{
	struct history history = {.player = player, .purchases = purchases, .purchase_count = count, .arena = arena};
	enum err err = count ? store_read_twice(self, read_history, &history) : ERR_OK;

	if (err != ERR_OK)
		return err;
	*ret_steps = history.steps;
	*ret_count = history.count;
	return ERR_OK;
}
