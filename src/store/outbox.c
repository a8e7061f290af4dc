/*
 * Taking rows that are due from a table in which several couriers look for work. No lock is held from one statement to
 * the next: each looks at what is due without a lock and then takes it by its primary key, if it is due still. Who is
 * second changes nothing. All come in the order of the primary key, as the writes of the requests do, so that nobody
 * waits for each other in a ring.
 */
#include <stdlib.h>

#include "store/store_private.h"

enum { LOOKS = 4 /* somebody else may have been faster with all that was seen */ };

void
outbox_sql_states(struct db *db, const struct outbox *outbox)
{
	struct buf *sql = db_sql_more(db);

	buf_literal(sql, "state IN (");
	for (int i = 0; i < outbox->state_count; i++)
		if (outbox->state(i))
			sql_text(db, str_from(outbox->state(i)));
	buf_char(sql, ')');
}

static int
open_states(const struct outbox *outbox)
{
	int count = 0;

	for (int i = 0; i < outbox->state_count; i++)
		count += outbox->state(i) != NULL;
	return count;
}

/* What is due, state by state, so that the index gives the order however much there is. */
static void
sql_due(struct db *db, const struct taking *taking)
{
	const struct outbox *outbox = taking->outbox;
	struct buf *sql = db_sql_select(db);
	bool several = open_states(outbox) > 1;
	int parts = 0;

	buf_literal(sql, "* FROM (");
	for (int i = 0; i < outbox->state_count; i++) {
		if (!outbox->state(i))
			continue;
		buf_format(sql,
			   "%s%sSELECT player_id, %s AS season, %s AS id, due_at_ms FROM %s FORCE INDEX (due) WHERE ",
			   parts++ ? " UNION ALL " : "", several ? "(" : "", outbox->season, outbox->id, outbox->table);
		sql_is_text(db, "state", str_from(outbox->state(i)));
		buf_format(sql, " AND due_at_ms <= " SQL_NOW " ORDER BY due_at_ms LIMIT %u%s", taking->limit,
			   several ? ")" : "");
	}
	buf_format(sql, ") AS found ORDER BY due_at_ms LIMIT %u", taking->limit);
}

static int
compare_keys(const void *a, const void *b)
{
	const struct due_key *x = a;
	const struct due_key *y = b;
	int order = str_compare(x->player, y->player);

	if (order == 0)
		order = str_compare(x->season, y->season);
	return order ? order : memcmp(&x->id, &y->id, sizeof(x->id));
}

static enum err
look(struct db *db, struct taking *taking)
{
	struct db_result *result;

	sql_due(db, taking);

	enum err err = db_select(db, &result);

	if (err != ERR_OK)
		return err;
	taking->count = 0;
	while (err == ERR_OK && taking->count < taking->limit && db_next(result)) {
		struct due_key *key = &taking->keys[taking->count++];

		key->player = arena_str(taking->arena, db_text(result, 0));
		key->season = arena_str(taking->arena, db_text(result, 1));
		if (!db_bytes(result, 2, key->id.bytes, sizeof(key->id.bytes)))
			err = ERR_INTERNAL;
	}
	db_result_free(result);
	qsort(taking->keys, taking->count, sizeof(*taking->keys), compare_keys);
	return err;
}

static void
sql_keys(struct db *db, const struct taking *taking)
{
	struct buf *sql = db_sql_more(db);

	buf_char(sql, '(');
	for (size_t i = 0; i < taking->count; i++) {
		const struct due_key *key = &taking->keys[i];

		buf_cstr(sql, i ? " OR (" : "(");
		sql_is_text(db, "player_id", key->player);
		if (key->season.len) {
			buf_literal(sql, " AND ");
			sql_is_text(db, "season_id", key->season);
		}
		buf_literal(sql, " AND ");
		sql_is_id(db, taking->outbox->id, &key->id);
		buf_char(sql, ')');
	}
	buf_char(sql, ')');
}

static enum err
claim_keys(struct db *db, const struct taking *taking, uint64_t *ret_taken)
{
	struct buf *sql = db_sql(db);

	buf_format(sql, "UPDATE %s FORCE INDEX (PRIMARY) SET tries = tries + 1, ", taking->outbox->table);
	sql_is_id(db, "owner", taking->owner);
	buf_literal(sql, ", due_at_ms = ");
	sql_due_in(db, taking->hold_ms);
	buf_literal(sql, " WHERE ");
	sql_keys(db, taking);
	buf_literal(sql, " AND ");
	outbox_sql_states(db, taking->outbox);
	buf_literal(sql, " AND due_at_ms <= " SQL_NOW);
	return db_run(db, ret_taken);
}

enum err
outbox_take(struct db *db, struct taking *taking)
{
	uint64_t taken = 0;
	enum err err = ERR_OK;

	taking->keys = ARENA_ARRAY(taking->arena, taking->limit, struct due_key);
	for (int looks = 0; looks < LOOKS && err == ERR_OK && taken == 0; looks++) {
		err = look(db, taking);
		if (err != ERR_OK || taking->count == 0)
			return err;
		err = claim_keys(db, taking, &taken);
	}
	if (taken == 0)
		taking->count = 0;
	return err;
}

void
outbox_sql_taken(struct db *db, const struct taking *taking)
{
	struct buf *sql = db_sql_more(db);

	sql_keys(db, taking);
	buf_literal(sql, " AND ");
	sql_is_id(db, "owner", taking->owner);
	buf_literal(sql, " AND due_at_ms > " SQL_NOW);
}
