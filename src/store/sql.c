/* Pieces of statements that the files of the store share: values, conditions, pages. They run nothing. */
#include "store/store_private.h"

static void
comma(struct buf *sql)
{
	if (sql->len && sql->data[sql->len - 1] != '(')
		buf_char(sql, ',');
}

void
sql_row(struct db *db)
{
	struct buf *sql = db_sql_more(db);

	buf_cstr(sql, sql->len && sql->data[sql->len - 1] == ')' ? ",(" : "(");
}

void
sql_row_end(struct db *db)
{
	buf_char(db_sql_more(db), ')');
}

void
sql_text(struct db *db, struct str text)
{
	comma(db_sql_more(db));
	db_quote(db, text);
}

void
sql_u64(struct db *db, uint64_t value)
{
	comma(db_sql_more(db));
	buf_u64(db_sql_more(db), value);
}

void
sql_i64(struct db *db, int64_t value)
{
	comma(db_sql_more(db));
	buf_i64(db_sql_more(db), value);
}

void
sql_bytes(struct db *db, const void *bytes, size_t size)
{
	comma(db_sql_more(db));
	db_quote_bytes(db, bytes, size);
}

void
sql_id(struct db *db, const struct uuid *id)
{
	sql_bytes(db, id->bytes, sizeof(id->bytes));
}

void
sql_raw(struct db *db, const char *expression)
{
	comma(db_sql_more(db));
	buf_cstr(db_sql_more(db), expression);
}

void
sql_due_in(struct db *db, int64_t ms)
{
	buf_format(db_sql_more(db), SQL_NOW " + %lld", (long long)ms);
}

void
sql_is_text(struct db *db, const char *column, struct str text)
{
	buf_format(db_sql_more(db), "%s = ", column);
	db_quote(db, text);
}

void
sql_is_id(struct db *db, const char *column, const struct uuid *id)
{
	buf_format(db_sql_more(db), "%s = ", column);
	db_quote_bytes(db, id->bytes, sizeof(id->bytes));
}

void
sql_of_season(struct db *db, struct str player, const char *season)
{
	sql_is_text(db, "player_id", player);
	buf_literal(db_sql_more(db), " AND ");
	sql_is_text(db, "season_id", str_from(season));
}

void
sql_players_of(struct db *db, const char *season, struct progress_row *const rows[], size_t count)
{
	struct buf *sql = db_sql_more(db);

	sql_is_text(db, "season_id", str_from(season));
	buf_literal(sql, " AND player_id IN (");
	for (size_t i = 0; i < count; i++)
		sql_text(db, rows[i]->player);
	buf_char(sql, ')');
}

/* One part of a page: of this state, or of any (NULL). */
static void
page_part(struct db *db, const struct sql_list *list, const struct page_query *query, const char *state)
{
	struct buf *sql = db_sql_more(db);

	buf_format(sql, "SELECT %s FROM %s FORCE INDEX (%s) WHERE TRUE", list->columns, list->table,
		   query->player.len ? "PRIMARY" : "newest");
	if (query->player.len) {
		buf_literal(sql, " AND ");
		sql_is_text(db, "player_id", query->player);
	}
	if (query->season) {
		buf_literal(sql, " AND ");
		sql_is_text(db, "season_id", str_from(query->season));
	}
	if (state) {
		buf_literal(sql, " AND ");
		sql_is_text(db, "state", str_from(state));
	}
	if (!query->from_newest) {
		buf_format(sql, " AND %s < ", list->id);
		db_quote_bytes(db, query->before.bytes, sizeof(query->before.bytes));
	}
	buf_format(sql, " ORDER BY %s DESC LIMIT %u", list->id, query->limit);
}

void
sql_page(struct db *db, const struct sql_list *list, const struct page_query *query, const char *state)
{
	bool of_all = query->player.len == 0;
	struct buf *sql = of_all ? db_sql_long_select(db) : db_sql_select(db);

	buf_literal(sql, "* FROM (");
	if (of_all && !state) {
		for (int i = 0; i < list->state_count; i++) {
			buf_cstr(sql, i ? " UNION ALL (" : "(");
			page_part(db, list, query, list->state(i));
			buf_char(sql, ')');
		}
	} else {
		page_part(db, list, query, state);
	}
	buf_format(sql, ") AS page ORDER BY %s DESC LIMIT %u", list->id, query->limit);
}
