/*
 * What tests and people ask of the books: one player's state, and the sums over everything, as JSON. Reads only. See
 * bank.h.
 */
#include "sandbox/bank_private.h"

struct view_job {
	struct str player;
	struct buf *out;
	size_t begin; /* of what is printed, for the next try */
};

/* The condition that a view's statements share. */
static void
of_player(struct db *db, struct str player)
{
	buf_literal(db_sql_more(db), " WHERE player = ");
	db_quote(db, player);
}

/* "name":{"first column":second, ..} of the statement in the buffer. */
static enum err
print_pairs(struct db *db, struct buf *out, const char *name)
{
	struct db_result *result;
	enum err err = db_select(db, &result);
	const char *comma = "";

	if (err != ERR_OK)
		return err;
	buf_format(out, ",\"%s\":{", name);
	while (db_next(result)) {
		buf_cstr(out, comma);
		buf_json_string(out, db_text(result, 0));
		buf_char(out, ':');
		buf_i64(out, db_i64(result, 1));
		comma = ",";
	}
	buf_char(out, '}');
	db_result_free(result);
	return ERR_OK;
}

/* ,"name":number */
static enum err
print_number(struct db *db, struct buf *out, const char *name)
{
	struct db_result *result;
	enum err err = db_select(db, &result);

	if (err != ERR_OK)
		return err;
	buf_format(out, ",\"%s\":%lld", name, db_next(result) ? (long long)db_i64(result, 0) : 0);
	db_result_free(result);
	return ERR_OK;
}

/* --- one player --- */

/* What is there, and for a player who was not seen before what there would be. */
static enum err
print_wallets(struct bank *bank, struct db *db, struct view_job *job)
{
	const struct bank_wallet *wallets;
	size_t count = bank_defaults(bank, &wallets);
	struct buf *sql = db_sql(db);

	buf_literal(sql, "SELECT currency, MAX(balance) FROM (SELECT currency, balance FROM wallet");
	of_player(db, job->player);
	for (size_t i = 0; i < count; i++) {
		struct str currency = str_from(wallets[i].currency);

		buf_literal(sql, " UNION ALL SELECT ");
		db_quote(db, currency);
		buf_format(sql, ", %lld FROM DUAL WHERE NOT EXISTS (SELECT 1 FROM wallet",
			   (long long)wallets[i].balance);
		of_player(db, job->player);
		buf_literal(sql, " AND currency = ");
		db_quote(db, currency);
		buf_char(sql, ')');
	}
	buf_literal(sql, ") AS w GROUP BY currency ORDER BY currency");
	return print_pairs(db, job->out, "wallets");
}

static enum err
print_movements(struct db *db, struct view_job *job, const char *movement, const char *name)
{
	buf_literal(db_sql(db), "SELECT COUNT(*) FROM ledger");
	of_player(db, job->player);
	buf_literal(db_sql_more(db), " AND movement = ");
	db_quote(db, str_from(movement));
	return print_number(db, job->out, name);
}

static void
print_delivery(const struct db_result *row, struct buf *out)
{
	buf_literal(out, "{\"key\":");
	buf_json_string(out, db_text(row, 0));
	buf_literal(out, ",\"kind\":");
	buf_json_string(out, db_text(row, 1));
	buf_literal(out, ",\"item\":");
	buf_json_string(out, db_text(row, 2));
	buf_literal(out, ",\"quantity\":");
	buf_i64(out, db_i64(row, 3));
	buf_literal(out, ",\"reference\":");
	buf_json_string(out, db_text(row, 4));
	buf_literal(out, ",\"times_sent\":");
	buf_i64(out, db_i64(row, 5));
	buf_char(out, '}');
}

static void
print_debit(const struct db_result *row, struct buf *out)
{
	buf_literal(out, "{\"key\":");
	buf_json_string(out, db_text(row, 0));
	buf_literal(out, ",\"currency\":");
	buf_json_string(out, db_text(row, 1));
	buf_literal(out, ",\"amount\":");
	buf_i64(out, db_i64(row, 2));
	buf_literal(out, ",\"reference\":");
	buf_json_string(out, db_text(row, 3));
	buf_format(out, ",\"state\":\"%s\"}", bank_state_name((enum bank_state)db_i64(row, 4)));
}

/* The player's rows of a table, oldest first. */
static enum err
print_rows(struct db *db, struct view_job *job, const char *select, const char *name,
	   void (*print)(const struct db_result *row, struct buf *out))
{
	struct db_result *result;
	const char *comma = "";

	buf_cstr(db_sql(db), select);
	of_player(db, job->player);
	buf_literal(db_sql_more(db), " ORDER BY created_at_ms, 1");
	enum err err = db_select(db, &result);

	if (err != ERR_OK)
		return err;
	buf_format(job->out, ",\"%s\":[", name);
	while (db_next(result)) {
		buf_cstr(job->out, comma);
		print(result, job->out);
		comma = ",";
	}
	buf_char(job->out, ']');
	db_result_free(result);
	return ERR_OK;
}

static enum err
step_player(struct bank *bank, struct db *db, void *context)
{
	struct view_job *job = context;

	job->out->len = job->begin;
	buf_literal(job->out, "{\"player\":");
	buf_json_string(job->out, job->player);
	enum err err = print_wallets(bank, db, job);

	if (err == ERR_OK)
		err = print_movements(db, job, "debit", "charges");
	if (err == ERR_OK)
		err = print_movements(db, job, "refund", "refunds");
	if (err == ERR_OK)
		err = print_rows(db, job, "SELECT debit_key, currency, amount, reference, state FROM debit", "debits",
				 print_debit);
	if (err == ERR_OK)
		err = print_rows(db, job,
				 "SELECT delivery_key, kind, item, quantity, reference, times_sent FROM delivery",
				 "deliveries", print_delivery);
	buf_char(job->out, '}');
	return err;
}

enum err
bank_print_player(struct bank *bank, struct str player, struct buf *out)
{
	struct view_job job = {.player = player, .out = out, .begin = out->len};

	return bank_transact(bank, step_player, &job);
}

/* --- everything --- */

static const struct {
	const char *name;
	bool pairs; /* an object of numbers by name; else one number */
	const char *select;
} totals[] = {
	{"charges", false, "SELECT COUNT(*) FROM ledger WHERE movement = 'debit'"},
	{"refunds", false, "SELECT COUNT(*) FROM ledger WHERE movement = 'refund'"},
	{"deliveries", false, "SELECT COUNT(*) FROM ledger WHERE movement IN ('delivery', 'item')"},
	{"delivery_requests", false, "SELECT COALESCE(SUM(times_sent), 0) FROM delivery"},
	/* Keys under which money left a wallet, or something was delivered, more than once. */
	{"charged_twice", false,
	 "SELECT COUNT(*) FROM (SELECT 1 FROM ledger WHERE movement = 'debit' GROUP BY source_key HAVING COUNT(*) > 1) "
	 "AS t"},
	{"delivered_twice", false,
	 "SELECT COUNT(*) FROM (SELECT 1 FROM ledger WHERE movement IN ('delivery', 'item') GROUP BY source_key "
	 "HAVING COUNT(*) > 1) AS t"},
	/* Wallets whose balance is not the sum of their ledger rows. */
	{"unbalanced", false,
	 "SELECT COUNT(*) FROM wallet LEFT JOIN (SELECT player, what, SUM(amount) AS total FROM ledger "
	 "WHERE movement <> 'item' GROUP BY player, what) AS l ON l.player = wallet.player AND l.what = "
	 "wallet.currency "
	 "WHERE balance <> COALESCE(total, 0)"},
	{"charged", true, "SELECT what, -SUM(amount) FROM ledger WHERE movement = 'debit' GROUP BY what ORDER BY what"},
	{"refunded", true,
	 "SELECT what, SUM(amount) FROM ledger WHERE movement = 'refund' GROUP BY what ORDER BY what"},
	{"wallets", true, "SELECT currency, SUM(balance) FROM wallet GROUP BY currency ORDER BY currency"},
};

/* ,"debits":{"executed":1,"declined":0,..} */
static enum err
print_states(struct db *db, struct buf *out)
{
	int64_t counts[BANK_STATES] = {0};
	struct db_result *result;

	buf_literal(db_sql(db), "SELECT state, COUNT(*) FROM debit GROUP BY state");
	enum err err = db_select(db, &result);

	if (err != ERR_OK)
		return err;
	while (db_next(result))
		counts[db_u64(result, 0) % BANK_STATES] = db_i64(result, 1);
	db_result_free(result);
	buf_literal(out, "{\"debits\":");
	for (int state = 0; state < BANK_STATES; state++)
		buf_format(out, "%c\"%s\":%lld", state ? ',' : '{', bank_state_name((enum bank_state)state),
			   (long long)counts[state]);
	buf_char(out, '}');
	return ERR_OK;
}

static enum err
step_totals(struct bank *bank, struct db *db, void *context)
{
	struct view_job *job = context;
	enum err err;

	(void)bank;
	job->out->len = job->begin;
	err = print_states(db, job->out);
	for (size_t i = 0; i < sizeof(totals) / sizeof(totals[0]) && err == ERR_OK; i++) {
		buf_cstr(db_sql(db), totals[i].select);
		err = (totals[i].pairs ? print_pairs : print_number)(db, job->out, totals[i].name);
	}
	buf_char(job->out, '}');
	return err;
}

enum err
bank_print_totals(struct bank *bank, struct buf *out)
{
	struct view_job job = {.out = out, .begin = out->len};

	return bank_transact(bank, step_totals, &job);
}

static enum err
step_ping(struct bank *bank, struct db *db, void *context)
{
	(void)bank;
	(void)context;
	buf_literal(db_sql(db), "SELECT 1");
	struct db_result *result;
	enum err err = db_select(db, &result);

	if (err == ERR_OK)
		db_result_free(result);
	return err;
}

enum err
bank_ping(struct bank *bank)
{
	return bank_transact(bank, step_ping, NULL);
}
