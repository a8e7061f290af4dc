/* How the database is set up: for battlepassctl doctor. */
#include <stdio.h>

#include "store/store_private.h"

static void
take_facts(const struct db_result *result, struct store_facts *facts)
{
	struct str version = db_text(result, 0);

	snprintf(facts->version, sizeof(facts->version), "%.*s", STR_ARGS(version));
	facts->unix_ms = db_i64(result, 1);
	facts->connections_max = db_u64(result, 2);
	facts->flush_at_commit = db_u64(result, 3);
	facts->binary_log = db_u64(result, 4) != 0;
	facts->sync_binary_log = db_u64(result, 5);
	facts->seasons = db_u64(result, 6);
}

static enum err
read_facts(struct store *store, void *argument)
{
	struct db_result *result;

	buf_literal(db_sql_select(store->db),
		    "VERSION(), CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED), @@max_connections, "
		    "@@innodb_flush_log_at_trx_commit, @@log_bin, @@sync_binlog, "
		    "(SELECT COUNT(*) FROM season WHERE revision > 0)");

	enum err err = db_select(store->db, &result);

	if (err != ERR_OK)
		return err;
	if (db_next(result))
		take_facts(result, argument);
	db_result_free(result);
	return ERR_OK;
}

enum err
store_inspect(struct store *store, struct store_facts *ret_facts)
{
	*ret_facts = (struct store_facts){.unix_ms = 0};
	return store_read_twice(store, read_facts, ret_facts);
}
