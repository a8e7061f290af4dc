/*
 * What operators steer: flags, the cache's gate, warming; each one row. Whoever changes any of them locks the row of
 * the flags first, which has the head of the operators' chain in the audit log.
 */
#include "store/store_private.h"

#define WARMING_COLUMNS                                                                                                \
	"w.request, w.epoch, w.season_id, w.players, w.done, w.expected, w.looked_at, w.loaded, w.at_season, "         \
	"w.at_hour, w.at_player"

/* Where the columns of each begin. */
enum { FLAGS_AT = GATE_COLUMN_COUNT, WARMING_AT = FLAGS_AT + FLAG_COLUMN_COUNT, HEAD_AT = WARMING_AT + 11 };

void
operators_take_flags(const struct db_result *result, unsigned column, struct cache_flags *flags)
{
	flags->revision = db_u64(result, column);
	for (unsigned i = 0; i < FLAG_COUNT; i++)
		flags->values[i] = db_i64(result, column + 1 + i);
}

static void
take_id(const struct db_result *result, unsigned column, char id[SEASON_ID_MAX + 1])
{
	struct str text = db_text(result, column);

	memset(id, 0, SEASON_ID_MAX + 1);
	if (text.len <= SEASON_ID_MAX)
		memcpy(id, text.ptr, text.len);
}

static void
take_warming(const struct db_result *result, struct warming *warming)
{
	warming->request = db_u64(result, WARMING_AT);
	warming->epoch = db_u64(result, WARMING_AT + 1);
	take_id(result, WARMING_AT + 2, warming->season);
	warming->players = db_u64(result, WARMING_AT + 3);
	warming->done = db_u64(result, WARMING_AT + 4) != 0;
	warming->expected = db_u64(result, WARMING_AT + 5);
	warming->looked_at = db_u64(result, WARMING_AT + 6);
	warming->loaded = db_u64(result, WARMING_AT + 7);
	take_id(result, WARMING_AT + 8, warming->at_season);
	warming->at_hour = (uint32_t)db_u64(result, WARMING_AT + 9);
	take_id(result, WARMING_AT + 10, warming->at_player);
}

static enum err
select_state(struct db *db, struct operator_state *ret_state)
{
	struct db_result *result;
	enum err err = db_select(db, &result);

	if (err != ERR_OK)
		return err;
	if (db_next(result)) {
		control_take_gate(result, &ret_state->gate);
		operators_take_flags(result, FLAGS_AT, &ret_state->flags);
		take_warming(result, &ret_state->warming);
		ret_state->audit_count = db_u64(result, HEAD_AT);
		db_bytes(result, HEAD_AT + 1, ret_state->audit_hash, sizeof(ret_state->audit_hash));
	} else {
		err = ERR_STORE_SCHEMA;
	}
	db_result_free(result);
	return err;
}

/* Behind SELECT. */
static void
sql_state(struct db *db)
{
	buf_format(db_sql_more(db),
		   "%s, " FLAG_COLUMNS ", " WARMING_COLUMNS ", f.audit_count, f.audit_hash"
		   " FROM cache_control c, cache_flags f, cache_warming w WHERE c.id = 1 AND f.id = 1 AND w.id = 1",
		   control_gate_columns(db));
}

static enum err
read_state(struct store *store, void *argument)
{
	db_sql_select(store->db);
	sql_state(store->db);
	return select_state(store->db, argument);
}

static enum err
read_operators(void *self, struct operator_state *ret_state)
{
	return store_read_twice(self, read_state, ret_state);
}

static enum err
lock_operators(void *self, struct operator_state *ret_state)
{
	struct store *store = self;
	struct db_result *result;
	enum err err = db_begin(store->db);

	if (err != ERR_OK)
		return store_edge(err);
	buf_literal(db_sql(store->db), "SELECT id FROM cache_flags WHERE id = 1 FOR UPDATE");
	err = db_select(store->db, &result);
	if (err != ERR_OK)
		return store_edge(err);
	db_result_free(result);
	buf_literal(db_sql(store->db), "SELECT ");
	sql_state(store->db);
	return store_edge(select_state(store->db, ret_state));
}

static enum err
find_operator_entry(void *self, struct audit_entry *entry, bool *ret_found, struct arena *arena)
{
	return audit_find(self, &entry, 1, ret_found, arena);
}

static enum err
save_flags(struct db *db, const struct operator_state *state)
{
	struct buf *sql = db_sql(db);

	buf_format(sql, "UPDATE cache_flags SET revision = %llu", (unsigned long long)state->flags.revision);
	for (int i = 0; i < FLAG_COUNT; i++)
		buf_format(sql, ", %s = %lld", flag_form((enum flag)i)->name, (long long)state->flags.values[i]);
	buf_format(sql, ", audit_count = %llu, audit_hash = ", (unsigned long long)state->audit_count);
	db_quote_bytes(db, state->audit_hash, sizeof(state->audit_hash));
	buf_literal(sql, " WHERE id = 1");
	return db_run(db, NULL);
}

static void
sql_set_id(struct db *db, const char *column, const char *id)
{
	buf_literal(db_sql_more(db), ", ");
	sql_is_text(db, column, str_from(id));
}

void
operators_sql_set_warming(struct db *db, const struct warming *warming)
{
	struct buf *sql = db_sql(db);

	buf_format(sql,
		   "UPDATE cache_warming SET request = %llu, epoch = %llu, players = %llu, done = %d, expected = %llu, "
		   "looked_at = %llu, loaded = %llu, at_hour = %u",
		   (unsigned long long)warming->request, (unsigned long long)warming->epoch,
		   (unsigned long long)warming->players, warming->done, (unsigned long long)warming->expected,
		   (unsigned long long)warming->looked_at, (unsigned long long)warming->loaded, warming->at_hour);
	sql_set_id(db, "season_id", warming->season);
	sql_set_id(db, "at_season", warming->at_season);
	sql_set_id(db, "at_player", warming->at_player);
	buf_literal(sql, " WHERE id = 1");
}

static enum err
save_operators(void *self, const struct operator_state *before, const struct operator_state *after,
	       struct audit_entry *entry)
{
	struct store *store = self;
	struct changes changes = {.entries = entry};
	enum err err = audit_insert(store->db, &changes);

	if (err == ERR_OK)
		err = save_flags(store->db, after);
	if (err == ERR_OK && before->gate.enabled && !after->gate.enabled)
		err = control_turn_off(store->db);
	if (err == ERR_OK && before->warming.request != after->warming.request) {
		operators_sql_set_warming(store->db, &after->warming);
		err = db_run(store->db, NULL);
	}
	return store_edge(err);
}

struct operators_port
operators_of(struct store *store)
{
	return (struct operators_port){
		.self = store,
		.read = read_operators,
		.lock = lock_operators,
		.find = find_operator_entry,
		.save = save_operators,
		.commit = store_commit,
		.rollback = store_rollback,
	};
}
