/*
 * cache_control: the word of the database on whether the cache may be trusted, and in which epoch. Every change counts
 * change_number up and makes the row unsettled; it is settled again when whoever waited long enough says so.
 */
#include <stdio.h>

#include "base/clock.h"
#include "base/mutant.h"
#include "store/migrate.h"
#include "store/store_private.h"

/*
 * Which server is this, and which of its lives? A write that finds another one than at the last change must not trust
 * what the cache holds. NULL: nobody has named this life yet. An older schema knows of no lives.
 */
#define DATABASE_ID   "CONCAT_WS(':', @@hostname, @@port, @@server_id)"
#define DATABASE_LIFE "(SELECT l.life FROM database_life l WHERE l.id = 1)"

static bool
knows_lives(const struct db *db)
{
	return db_schema(db) >= SCHEMA_WITH_DATABASE_LIFE;
}

#define GATE_COLUMNS(same_life)                                                                                        \
	"c.epoch, c.change_number, c.enabled, c.settled, CONCAT(c.run_id, ':', c.replid), COALESCE("                   \
	"c.database_id = " DATABASE_ID same_life ", FALSE)"

const char *
control_gate_columns(const struct db *db)
{
	return knows_lives(db) ? GATE_COLUMNS(" AND c.database_life = " DATABASE_LIFE) : GATE_COLUMNS("");
}

void
control_take_gate(const struct db_result *result, struct write_gate *gate)
{
	struct str redis_id = db_text(result, 4);

	gate->epoch = db_u64(result, 0);
	gate->change = db_u64(result, 1);
	gate->enabled = db_u64(result, 2) != 0;
	gate->settled = db_u64(result, 3) != 0;
	gate->same_database = db_u64(result, 5) != 0;
	memset(gate->redis_id, 0, sizeof(gate->redis_id));
	if (redis_id.len < sizeof(gate->redis_id))
		memcpy(gate->redis_id, redis_id.ptr, redis_id.len);
}

static enum err
select_gate(struct db *db, struct write_gate *ret_gate)
{
	struct db_result *result;
	enum err err = db_select(db, &result);

	if (err != ERR_OK)
		return err;
	if (!db_next(result))
		err = ERR_STORE_SCHEMA;
	else if (db_u64(result, GATE_COLUMN_COUNT)) /* where it was asked for */
		err = db_is_replica(db);
	else
		control_take_gate(result, ret_gate);
	db_result_free(result);
	return err;
}

enum err
control_begin(void *self, struct write_gate *ret_gate)
{
	struct store *store = self;
	enum err err = db_begin(store->db);

	if (err != ERR_OK)
		return store_edge(err);
	buf_format(db_sql(store->db), "SELECT %s FROM cache_control c WHERE c.id = 1 LOCK IN SHARE MODE",
		   control_gate_columns(store->db));
	err = select_gate(store->db, ret_gate);
	if (err != ERR_OK)
		db_rollback(store->db);
	return store_edge(err);
}

static enum err
read_gate(struct store *store, void *argument)
{
	buf_format(db_sql_select(store->db), "%s, @@global.read_only FROM cache_control c WHERE c.id = 1",
		   control_gate_columns(store->db));
	return select_gate(store->db, argument);
}

enum err
control_gate(void *self, struct write_gate *ret_gate)
{
	return store_read_twice(self, read_gate, ret_gate);
}

/* One statement that changes the row only if it is still at this change. Running it twice does no harm. */
struct change {
	const char *assignments;
	bool stamped;         /* counts as a change, by this database */
	const char *redis_id; /* NULL: stays */
	uint64_t change;
};

/* Behind what is assigned to enabled, epoch and settled. */
#define STAMP(life)                                                                                                    \
	", change_number = change_number + 1, database_id = " DATABASE_ID life                                         \
	", changed_at_ms = CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)"

static const char *
stamp(const struct db *db)
{
	return knows_lives(db) ? STAMP(", database_life = COALESCE(" DATABASE_LIFE ", '')") : STAMP("");
}

/* Its two parts have a column each: builds that know of the first alone go on with that. */
static void
assign_redis_id(struct db *db, struct str id)
{
	const char *colon = memchr(id.ptr, ':', id.len);
	size_t first = colon ? (size_t)(colon - id.ptr) : id.len;

	buf_literal(db_sql_more(db), ", run_id = ");
	db_quote(db, (struct str){id.ptr, first});
	buf_literal(db_sql_more(db), ", replid = ");
	db_quote(db, colon ? (struct str){colon + 1, id.len - first - 1} : STR_NONE);
}

static enum err
run_change(struct store *store, void *argument)
{
	const struct change *wanted = argument;
	struct buf *sql = db_sql(store->db);

	buf_format(sql, "UPDATE cache_control SET %s%s", wanted->assignments, wanted->stamped ? stamp(store->db) : "");
	if (wanted->redis_id)
		assign_redis_id(store->db, str_from(wanted->redis_id));
	buf_format(sql, " WHERE id = 1 AND change_number = %llu", (unsigned long long)wanted->change);
	return db_run(store->db, NULL);
}

enum err
control_switch_off(void *self, uint64_t change)
{
	struct change wanted = {.assignments = "enabled = FALSE, settled = FALSE", .stamped = true, .change = change};

	return store_read_twice(self, run_change, &wanted);
}

enum err
control_turn_off(struct db *db)
{
	buf_format(db_sql(db), "UPDATE cache_control SET enabled = FALSE, settled = FALSE%s WHERE id = 1", stamp(db));
	return db_run(db, NULL);
}

enum err
control_settle(void *self, uint64_t change)
{
	struct change wanted = {.assignments = "settled = TRUE", .change = change};

	return store_read_twice(self, run_change, &wanted);
}

enum err
store_settle(struct store *store, uint64_t change)
{
	return control_settle(store, change);
}

/*
 * An epoch is never used twice, also where the database has forgotten some because it was restored: none is behind the
 * clock.
 */
#define NEXT_EPOCH "epoch = GREATEST(epoch + 1, UNIX_TIMESTAMP())"

static enum err
insert_life(struct store *store, void *argument)
{
	(void)argument;
	if (!knows_lives(store->db))
		return ERR_OK;
	buf_literal(db_sql(store->db), "INSERT IGNORE INTO database_life (id, life) VALUES (1, UUID())");
	return db_run(store->db, NULL);
}

/* From off and settled nobody can hold a lease, so the new epoch is settled from the start. */
enum err
store_new_epoch(struct store *store, const struct write_gate *gate, const char *redis_id)
{
	struct change wanted = {
		.assignments = (gate->settled && !gate->enabled) || mutant(MUTANT_EPOCH_AT_ONCE)
				       ? "enabled = TRUE, settled = TRUE, " NEXT_EPOCH
				       : "enabled = TRUE, settled = FALSE, " NEXT_EPOCH,
		.stamped = true,
		.redis_id = redis_id,
		.change = gate->change,
	};
	enum err err = gate->same_database ? ERR_OK : store_read_twice(store, insert_life, NULL);

	return err == ERR_OK ? store_read_twice(store, run_change, &wanted) : err;
}

static void
take_distrusted(const struct db_result *result, unsigned column, struct store_control *control)
{
	struct str player = db_text(result, column);
	struct str season = db_text(result, column + 1);

	if (player.len == 0 || control->distrusted_count++ >= DISTRUSTED_MAX)
		return;
	struct store_distrusted *to = &control->distrusted[control->distrusted_count - 1];

	snprintf(to->player, sizeof(to->player), "%.*s", STR_ARGS(player));
	snprintf(to->season, sizeof(to->season), "%.*s", STR_ARGS(season));
}

/* What read_control() selects, in its order. */
enum control_column {
	CONTROL_GATE,
	CONTROL_DIRECTORY = CONTROL_GATE + GATE_COLUMN_COUNT,
	CONTROL_FLAGS,
	CONTROL_DISTRUSTED = CONTROL_FLAGS + FLAG_COLUMN_COUNT, /* player and season */
	CONTROL_READ_ONLY = CONTROL_DISTRUSTED + 2,
	CONTROL_SCHEMA,
};

/* A row for each that is distrusted, or one row. One statement is one snapshot, also under READ COMMITTED. */
static enum err
read_control(struct store *store, void *argument)
{
	struct store_control *control = argument;
	struct db_result *result;

	control->distrusted_count = 0;
	buf_format(db_sql_select(store->db),
		   "%s, d.version, " FLAG_COLUMNS ", t.player_id, t.season_id, @@global.read_only"
		   ", (SELECT MAX(m.version) FROM schema_migration m WHERE m.finished) FROM cache_control c JOIN "
		   "season_directory d ON d.id = 1 JOIN cache_flags f ON f.id = 1"
		   " LEFT JOIN cache_distrust t ON TRUE WHERE c.id = 1 LIMIT %d",
		   control_gate_columns(store->db), DISTRUSTED_MAX + 1);
	enum err err = db_select(store->db, &result);

	if (err != ERR_OK)
		return err;
	if (db_rows(result) == 0)
		err = ERR_STORE_SCHEMA;
	while (err == ERR_OK && db_next(result)) {
		if (db_u64(result, CONTROL_READ_ONLY))
			err = db_is_replica(store->db);
		control_take_gate(result, &control->gate);
		control->directory_version = db_u64(result, CONTROL_DIRECTORY);
		operators_take_flags(result, CONTROL_FLAGS, &control->flags);
		take_distrusted(result, CONTROL_DISTRUSTED, control);
		db_take_schema(store->db, db_u64(result, CONTROL_SCHEMA));
	}
	db_result_free(result);
	return err;
}

enum err
store_control_read(struct store *store, struct store_control *ret_control)
{
	return store_read_twice(store, read_control, ret_control);
}

struct revision {
	struct str player;
	const char *season;
	struct write_gate gate;
	uint64_t revision;
	bool distrusted;
};

static enum err
read_revision(struct store *store, void *argument)
{
	struct revision *wanted = argument;
	struct db_result *result;

	buf_format(db_sql_select(store->db), "%s, (SELECT revision FROM progress WHERE ",
		   control_gate_columns(store->db));
	sql_of_season(store->db, wanted->player, wanted->season);
	buf_literal(db_sql_more(store->db), "), EXISTS (SELECT 1 FROM cache_distrust WHERE ");
	sql_of_season(store->db, wanted->player, wanted->season);
	buf_literal(db_sql_more(store->db), ") FROM cache_control c WHERE c.id = 1");

	enum err err = db_select(store->db, &result);

	if (err != ERR_OK)
		return err;
	if (db_next(result)) {
		control_take_gate(result, &wanted->gate);
		wanted->revision = db_u64(result, GATE_COLUMN_COUNT);
		wanted->distrusted = db_u64(result, GATE_COLUMN_COUNT + 1) != 0;
	} else {
		err = ERR_STORE_SCHEMA;
	}
	db_result_free(result);
	return err;
}

enum err
store_revision(struct store *store, struct str player, const char *season, struct write_gate *ret_gate,
	       uint64_t *ret_revision, bool *ret_distrusted)
{
	struct revision wanted = {.player = player, .season = season};
	enum err err = store_read_twice(store, read_revision, &wanted);

	if (err != ERR_OK)
		return err;
	*ret_gate = wanted.gate;
	*ret_revision = wanted.revision;
	*ret_distrusted = wanted.distrusted;
	return ERR_OK;
}
