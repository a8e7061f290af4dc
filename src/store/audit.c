/*
 * The audit log: entries are inserted and read, never changed. The entries of a player in a season are a chain, in the
 * order of the primary key; what the chain must be is not known here.
 */
#include "base/log.h"
#include "store/store_private.h"

#define ENTRY_COLUMNS                                                                                                  \
	"player_id, season_id, sequence, entry_id, action, idempotency_key, request_hash, actor, role, reason, "       \
	"request_id, subject, revision, xp_before, xp_after, state_before, state_after, result, entered_at_ms, hash"

/* What stands there, but for next. */
static enum err
take_entry(const struct db_result *result, struct arena *arena, struct audit_entry *entry)
{
	entry->player = arena_str(arena, db_text(result, 0));
	entry->season = arena_copy(arena, db_text(result, 1));
	entry->sequence = db_u64(result, 2);
	entry->action = arena_copy(arena, db_text(result, 4));
	entry->idempotency_key = arena_str(arena, db_text(result, 5));
	entry->author = (struct author){
		.actor = arena_str(arena, db_text(result, 7)),
		.role = arena_copy(arena, db_text(result, 8)),
		.reason = arena_str(arena, db_text(result, 9)),
		.request_id = arena_str(arena, db_text(result, 10)),
	};
	entry->subject = arena_str(arena, db_text(result, 11));
	entry->revision = db_u64(result, 12);
	entry->xp_before = db_u64(result, 13);
	entry->xp_after = db_u64(result, 14);
	entry->before = arena_str(arena, db_text(result, 15));
	entry->after = arena_str(arena, db_text(result, 16));
	entry->result = arena_str(arena, db_text(result, 17));
	entry->entered_at_ms = db_i64(result, 18);
	if (db_bytes(result, 3, entry->id.bytes, sizeof(entry->id.bytes)) &&
	    db_bytes(result, 6, entry->request_hash, sizeof(entry->request_hash)) &&
	    db_bytes(result, 19, entry->hash, sizeof(entry->hash)))
		return ERR_OK;
	log_error("entry %llu of player %s in season %s cannot be read", (unsigned long long)entry->sequence,
		  entry->player.ptr, entry->season);
	return ERR_INTERNAL;
}

/* The entry that asks for the stored one; count: none. */
static size_t
wanted(const struct db_result *result, struct audit_entry *const entries[], size_t count, const bool found[])
{
	size_t i = 0;

	while (i < count && (found[i] || !str_equal(db_text(result, 5), entries[i]->idempotency_key) ||
			     !str_equal(db_text(result, 0), entries[i]->player) ||
			     !str_equal(db_text(result, 4), str_from(entries[i]->action)) ||
			     !str_equal(db_text(result, 1), str_from(entries[i]->season))))
		i++;
	return i;
}

static enum err
take_known(struct db_result *result, struct audit_entry *const entries[], size_t count, bool found[],
	   struct arena *arena)
{
	enum err err = ERR_OK;

	while (err == ERR_OK && db_next(result)) {
		size_t i = wanted(result, entries, count, found);

		/* One key may be asked for more than once. */
		for (; i < count && err == ERR_OK; i = wanted(result, entries, count, found)) {
			found[i] = true;
			err = take_entry(result, arena, entries[i]);
		}
	}
	return err;
}

/* Returns how many entries have a key by which to look. */
static size_t
sql_find(struct db *db, struct audit_entry *const entries[], size_t count)
{
	struct buf *sql = db_sql(db);
	size_t asked = 0;

	buf_literal(sql, "SELECT " ENTRY_COLUMNS " FROM audit_log FORCE INDEX (request) WHERE ");
	for (size_t i = 0; i < count; i++) {
		if (entries[i]->idempotency_key.len == 0)
			continue;
		buf_cstr(sql, asked++ ? " OR (" : "(");
		sql_of_season(db, entries[i]->player, entries[i]->season);
		buf_literal(sql, " AND ");
		sql_is_text(db, "action", str_from(entries[i]->action));
		buf_literal(sql, " AND ");
		sql_is_text(db, "idempotency_key", entries[i]->idempotency_key);
		buf_char(sql, ')');
	}
	return asked;
}

enum err
audit_find(void *self, struct audit_entry *const entries[], size_t count, bool found[], struct arena *arena)
{
	struct store *store = self;
	struct db_result *result;

	if (sql_find(store->db, entries, count) == 0)
		return ERR_OK;
	enum err err = db_select(store->db, &result);

	if (err != ERR_OK)
		return store_edge(err);
	err = take_known(result, entries, count, found, arena);
	db_result_free(result);
	if (err != ERR_OK)
		db_rollback(store->db);
	return err;
}

static void
sql_entry(struct db *db, const struct audit_entry *entry)
{
	sql_row(db);
	sql_text(db, entry->player);
	sql_text(db, str_from(entry->season));
	sql_u64(db, entry->sequence);
	sql_id(db, &entry->id);
	sql_text(db, str_from(entry->action));
	if (entry->idempotency_key.len)
		sql_text(db, entry->idempotency_key);
	else
		sql_raw(db, "NULL");
	sql_bytes(db, entry->request_hash, sizeof(entry->request_hash));
	sql_text(db, entry->author.actor);
	sql_text(db, str_from(entry->author.role));
	sql_text(db, entry->author.reason);
	sql_text(db, entry->author.request_id);
	sql_text(db, entry->subject);
	sql_u64(db, entry->revision);
	sql_u64(db, entry->xp_before);
	sql_u64(db, entry->xp_after);
	sql_text(db, entry->before);
	sql_text(db, entry->after);
	sql_text(db, entry->result);
	sql_i64(db, entry->entered_at_ms);
	sql_bytes(db, entry->hash, sizeof(entry->hash));
	sql_row_end(db);
}

enum err
audit_insert(struct db *db, const struct changes *changes)
{
	if (!changes->entries)
		return ERR_OK;
	buf_literal(db_sql(db), "INSERT INTO audit_log (" ENTRY_COLUMNS ") VALUES ");
	for (const struct audit_entry *entry = changes->entries; entry; entry = entry->next)
		sql_entry(db, entry);
	return db_run(db, NULL);
}

/* What is read outside of transactions. */
struct reading {
	const struct entry_query *query;
	struct {
		const char *player;
		const char *season;
		const struct chain_position *after;
		uint32_t limit;
	} chain;
	struct arena *arena;
	struct audit_entry *rows;
	size_t count;
};

/* The entries that the SELECT in the buffer finds. */
static enum err
select_entries(struct db *db, struct reading *reading)
{
	struct db_result *result;
	enum err err = db_select(db, &result);

	if (err != ERR_OK)
		return err;
	reading->rows = ARENA_ARRAY(reading->arena, db_rows(result), struct audit_entry);
	reading->count = 0;
	while (err == ERR_OK && db_next(result))
		err = take_entry(result, reading->arena, &reading->rows[reading->count++]);
	db_result_free(result);
	return err;
}

static void
sql_and_text(struct db *db, const char *column, struct str text)
{
	if (text.len == 0)
		return;
	buf_literal(db_sql_more(db), " AND ");
	sql_is_text(db, column, text);
}

/* A player's entries are sorted; of all players an index has the order for what is asked for most narrowly. */
static const char *
page_index(const struct entry_query *query)
{
	if (query->page.player.len)
		return "PRIMARY";
	if (query->actor.len)
		return "by_actor";
	return query->action.len ? "by_action" : "newest";
}

static enum err
read_page(struct store *store, void *argument)
{
	struct reading *reading = argument;
	const struct entry_query *query = reading->query;
	struct buf *sql = db_sql_long_select(store->db);

	buf_format(sql,
		   ENTRY_COLUMNS " FROM audit_log FORCE INDEX (%s) WHERE entered_at_ms >= %lld AND "
				 "entered_at_ms < %lld",
		   page_index(query), (long long)query->from_ms, (long long)query->to_ms);
	sql_and_text(store->db, "player_id", query->page.player);
	sql_and_text(store->db, "season_id", str_from(query->page.season));
	sql_and_text(store->db, "actor", query->actor);
	sql_and_text(store->db, "action", query->action);
	if (!query->page.from_newest) {
		buf_literal(sql, " AND entry_id < ");
		db_quote_bytes(store->db, query->page.before.bytes, sizeof(query->page.before.bytes));
	}
	buf_format(sql, " ORDER BY entry_id DESC LIMIT %u", query->page.limit);
	return select_entries(store->db, reading);
}

static enum err
run_reading(struct store *store, enum err (*read)(struct store *, void *), struct reading *reading,
	    struct audit_entry **ret_rows, size_t *ret_count)
{
	enum err err = store_read_twice(store, read, reading);

	if (err != ERR_OK)
		return err;
	*ret_rows = reading->rows;
	*ret_count = reading->count;
	return ERR_OK;
}

enum err
audit_page(void *self, const struct entry_query *query, struct arena *arena, struct audit_entry **ret_rows,
	   size_t *ret_count)
{
	struct reading reading = {.query = query, .arena = arena};

	return run_reading(self, read_page, &reading, ret_rows, ret_count);
}

/* NULL: any. Empty is that of the operators' chain. */
static void
sql_and_id(struct db *db, const char *column, const char *id)
{
	if (!id)
		return;
	buf_literal(db_sql_more(db), " AND ");
	sql_is_text(db, column, str_from(id));
}

/* Three ranges of the primary key, one behind the other: the rest of this chain, of this player, and of all. */
static void
sql_behind(struct db *db, const struct chain_position *after)
{
	struct buf *sql = db_sql_more(db);

	if (!after->player[0] && after->sequence == 0) {
		buf_literal(sql, "TRUE");
		return;
	}
	buf_literal(sql, "((");
	sql_of_season(db, str_from(after->player), after->season);
	buf_format(sql, " AND sequence > %llu) OR (", (unsigned long long)after->sequence);
	sql_is_text(db, "player_id", str_from(after->player));
	buf_literal(sql, " AND season_id > ");
	db_quote(db, str_from(after->season));
	buf_literal(sql, ") OR player_id > ");
	db_quote(db, str_from(after->player));
	buf_char(sql, ')');
}

static enum err
read_chain(struct store *store, void *argument)
{
	struct reading *reading = argument;
	struct buf *sql = db_sql_long_select(store->db);

	buf_literal(sql, ENTRY_COLUMNS " FROM audit_log FORCE INDEX (PRIMARY) WHERE ");
	sql_behind(store->db, reading->chain.after);
	sql_and_id(store->db, "player_id", reading->chain.player);
	sql_and_id(store->db, "season_id", reading->chain.season);
	buf_format(sql, " ORDER BY player_id, season_id, sequence LIMIT %u", reading->chain.limit);
	return select_entries(store->db, reading);
}

enum err
audit_chain(void *self, const char *player, const char *season, const struct chain_position *after, uint32_t limit,
	    struct arena *arena, struct audit_entry **ret_rows, size_t *ret_count)
{
	struct reading reading = {.chain = {player, season, after, limit}, .arena = arena};

	return run_reading(self, read_chain, &reading, ret_rows, ret_count);
}
