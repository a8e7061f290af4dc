/*
 * The bank's transactions, tables, wallets and ledger: see bank.h. A few connections are shared by all threads, one
 * transaction at a time each, so that waiting callers cost the database nothing.
 */
#include "sandbox/bank_private.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/uuid.h"

enum {
	CONNECTIONS = 16,
	REPLY_TIMEOUT_S = 10,
	TRIES = 20,
	PAUSE_MS = 5, /* before the second try; later ones wait longer */
	CONNECT_MS = 30000,
	CONNECT_PAUSE_MS = 100,
};

struct bank {
	const struct bank_wallet *wallets;
	size_t wallet_count;
	pthread_mutex_t lock;
	pthread_cond_t given_back;
	struct db *connections[CONNECTIONS];
	struct db *idle[CONNECTIONS]; /* the first idle_count */
	size_t idle_count;
};

static const char tables[] =
	"CREATE TABLE IF NOT EXISTS wallet ("
	"player VARCHAR(64) NOT NULL, currency VARCHAR(64) NOT NULL, balance BIGINT NOT NULL, "
	"PRIMARY KEY (player, currency)) ENGINE=InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;"
	"CREATE TABLE IF NOT EXISTS debit ("
	"debit_key VARCHAR(128) NOT NULL, player VARCHAR(64) NOT NULL, currency VARCHAR(64) NOT NULL, "
	"amount BIGINT NOT NULL, reference VARCHAR(255) NOT NULL, state TINYINT NOT NULL, "
	"transaction_id VARCHAR(36) NOT NULL, created_at_ms BIGINT NOT NULL, "
	"PRIMARY KEY (debit_key)) ENGINE=InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;"
	"CREATE TABLE IF NOT EXISTS ledger ("
	"entry BIGINT NOT NULL AUTO_INCREMENT, movement VARCHAR(16) NOT NULL, player VARCHAR(64) NOT NULL, "
	"what VARCHAR(64) NOT NULL, amount BIGINT NOT NULL, source_key VARCHAR(128) NOT NULL, "
	"created_at_ms BIGINT NOT NULL, PRIMARY KEY (entry), KEY (player)) "
	"ENGINE=InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;"
	"CREATE TABLE IF NOT EXISTS delivery ("
	"delivery_key VARCHAR(128) NOT NULL, player VARCHAR(64) NOT NULL, kind VARCHAR(64) NOT NULL, "
	"item VARCHAR(64) NOT NULL, quantity BIGINT NOT NULL, reference VARCHAR(255) NOT NULL, "
	"times_sent BIGINT NOT NULL, created_at_ms BIGINT NOT NULL, "
	"PRIMARY KEY (delivery_key), KEY (player)) ENGINE=InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin";

static const char *const movement_names[] = {
	[BANK_OPENING] = "opening", [BANK_SET] = "set",           [BANK_DEBIT] = "debit",
	[BANK_REFUND] = "refund",   [BANK_DELIVERY] = "delivery", [BANK_ITEM] = "item",
};

/* --- connections and transactions --- */

static struct db *
take_connection(struct bank *bank)
{
	pthread_mutex_lock(&bank->lock);
	while (bank->idle_count == 0)
		pthread_cond_wait(&bank->given_back, &bank->lock);
	struct db *db = bank->idle[--bank->idle_count];

	pthread_mutex_unlock(&bank->lock);
	return db;
}

static void
give_back_connection(struct bank *bank, struct db *db)
{
	pthread_mutex_lock(&bank->lock);
	bank->idle[bank->idle_count++] = db;
	pthread_cond_signal(&bank->given_back);
	pthread_mutex_unlock(&bank->lock);
}

static enum err
try_once(struct bank *bank, struct db *db, bank_step *step, void *job)
{
	enum err err = db_begin(db);

	if (err != ERR_OK)
		return err;
	err = step(bank, db, job);
	if (err == ERR_OK)
		return db_commit(db);
	db_rollback(db);
	return err;
}

/* A duplicate: somebody else was quicker with the same key, and the next try finds what they left. */
static bool
deserves_another_try(enum err err)
{
	return err == ERR_STORE_RETRY || err == ERR_STORE_DUPLICATE;
}

enum err
bank_transact(struct bank *bank, bank_step *step, void *job)
{
	struct db *db = take_connection(bank);
	enum err err = try_once(bank, db, step, job);

	for (int tries = 1; tries < TRIES && deserves_another_try(err); tries++) {
		clock_sleep_ms(PAUSE_MS * tries);
		err = try_once(bank, db, step, job);
	}
	give_back_connection(bank, db);
	return err;
}

/* --- pieces of statements --- */

void
bank_add_text(struct db *db, struct str text)
{
	buf_literal(db_sql_more(db), ", ");
	db_quote(db, text);
}

void
bank_add_integer(struct db *db, int64_t value)
{
	buf_literal(db_sql_more(db), ", ");
	buf_i64(db_sql_more(db), value);
}

/* base/uuid counts in memory of the process: one thread at a time. */
void
bank_new_id(struct bank *bank, char *text)
{
	pthread_mutex_lock(&bank->lock);
	struct uuid uuid = uuid_new(clock_unix_ms());

	pthread_mutex_unlock(&bank->lock);
	uuid_format(&uuid, text);
}

/* --- wallets and the ledger --- */

size_t
bank_defaults(const struct bank *bank, const struct bank_wallet **ret_wallets)
{
	*ret_wallets = bank->wallets;
	return bank->wallet_count;
}

static int64_t
opening_balance(const struct bank *bank, struct str currency)
{
	for (size_t i = 0; i < bank->wallet_count; i++)
		if (str_equal(currency, str_from(bank->wallets[i].currency)))
			return bank->wallets[i].balance;
	return 0;
}

enum err
bank_write_entry(struct db *db, const struct bank_entry *entry)
{
	buf_literal(db_sql(db),
		    "INSERT INTO ledger (movement, player, what, source_key, amount, created_at_ms) VALUES (");
	db_quote(db, str_from(movement_names[entry->movement]));
	bank_add_text(db, entry->player);
	bank_add_text(db, entry->what);
	bank_add_text(db, entry->key);
	bank_add_integer(db, entry->amount);
	bank_add_integer(db, clock_unix_ms());
	buf_char(db_sql_more(db), ')');
	return db_run(db, NULL);
}

static enum err
open_wallet(const struct bank *bank, struct db *db, struct str player, struct str currency)
{
	struct bank_entry entry = {.movement = BANK_OPENING, .player = player, .what = currency};
	uint64_t opened;

	entry.amount = opening_balance(bank, currency);
	buf_literal(db_sql(db), "INSERT IGNORE INTO wallet (player, currency, balance) VALUES (");
	db_quote(db, player);
	bank_add_text(db, currency);
	bank_add_integer(db, entry.amount);
	buf_char(db_sql_more(db), ')');
	enum err err = db_run(db, &opened);

	return err == ERR_OK && opened && entry.amount ? bank_write_entry(db, &entry) : err;
}

/* *ret_changed: false, there is no such wallet, or not enough in it. */
static enum err
add_to_wallet(struct db *db, const struct bank_entry *entry, bool *ret_changed)
{
	struct buf *sql = db_sql(db);
	uint64_t rows;

	buf_format(sql, "UPDATE wallet SET balance = balance + %lld WHERE player = ", (long long)entry->amount);
	db_quote(db, entry->player);
	buf_literal(sql, " AND currency = ");
	db_quote(db, entry->what);
	buf_format(sql, " AND balance + %lld >= 0", (long long)entry->amount);
	enum err err = db_run(db, &rows);

	if (err == ERR_OK)
		*ret_changed = rows == 1;
	return err;
}

enum err
bank_move(struct bank *bank, struct db *db, const struct bank_entry *entry, bool *ret_enough)
{
	bool changed = false;
	enum err err = add_to_wallet(db, entry, &changed);

	if (err == ERR_OK && !changed) {
		err = open_wallet(bank, db, entry->player, entry->what);
		if (err == ERR_OK)
			err = add_to_wallet(db, entry, &changed);
	}
	if (err == ERR_OK && changed)
		err = bank_write_entry(db, entry);
	if (err == ERR_OK)
		*ret_enough = changed;
	return err;
}

struct set_job {
	struct str player;
	struct str currency;
	int64_t balance;
};

static enum err
read_balance(struct db *db, const struct set_job *job, int64_t *ret_balance)
{
	struct db_result *result;

	buf_literal(db_sql(db), "SELECT balance FROM wallet WHERE player = ");
	db_quote(db, job->player);
	buf_literal(db_sql_more(db), " AND currency = ");
	db_quote(db, job->currency);
	buf_literal(db_sql_more(db), " FOR UPDATE");
	enum err err = db_select(db, &result);

	if (err != ERR_OK)
		return err;
	*ret_balance = db_next(result) ? db_i64(result, 0) : 0;
	db_result_free(result);
	return ERR_OK;
}

static enum err
step_set_wallet(struct bank *bank, struct db *db, void *context)
{
	const struct set_job *job = context;
	struct bank_entry entry = {.movement = BANK_SET, .player = job->player, .what = job->currency};
	int64_t before;
	bool enough;
	enum err err = open_wallet(bank, db, job->player, job->currency);

	if (err == ERR_OK)
		err = read_balance(db, job, &before);
	if (err != ERR_OK || before == job->balance)
		return err;
	entry.amount = job->balance - before;
	return bank_move(bank, db, &entry, &enough);
}

enum err
bank_set_wallet(struct bank *bank, struct str player, struct str currency, int64_t balance)
{
	struct set_job job = {.player = player, .currency = currency, .balance = balance};

	return bank_transact(bank, step_set_wallet, &job);
}

/* --- its life --- */

/* Both may have been started at the same moment. */
static enum err
wait_for_database(struct db *db)
{
	int64_t deadline_boot_ms = clock_boot_ms() + CONNECT_MS;
	enum err err;

	while ((err = db_connect(db)) != ERR_OK && clock_boot_ms() < deadline_boot_ms)
		clock_sleep_ms(CONNECT_PAUSE_MS);
	return err;
}

enum err
bank_open(const struct conf *conf, const struct bank_wallet *wallets, size_t wallet_count, struct bank **ret_bank)
{
	struct bank *bank = calloc(1, sizeof(*bank));

	if (!bank)
		abort();
	bank->wallets = wallets;
	bank->wallet_count = wallet_count;
	pthread_mutex_init(&bank->lock, NULL);
	pthread_cond_init(&bank->given_back, NULL);
	for (size_t i = 0; i < CONNECTIONS; i++)
		bank->idle[i] = bank->connections[i] = db_new(conf, false, REPLY_TIMEOUT_S);
	bank->idle_count = CONNECTIONS;
	enum err err = wait_for_database(bank->connections[0]);

	if (err == ERR_OK)
		err = db_run_script(bank->connections[0], STR(tables));
	if (err != ERR_OK) {
		bank_close(bank);
		return err;
	}
	*ret_bank = bank;
	return ERR_OK;
}

void
bank_close(struct bank *bank)
{
	if (!bank)
		return;
	for (size_t i = 0; i < CONNECTIONS; i++)
		db_free(bank->connections[i]);
	pthread_cond_destroy(&bank->given_back);
	pthread_mutex_destroy(&bank->lock);
	free(bank);
}

bool
bank_is_forgotten(int64_t retention_ms, int64_t created_at_ms)
{
	return retention_ms != BANK_KEEP_KEYS && created_at_ms + retention_ms <= clock_unix_ms();
}

enum err
bank_forget(struct db *db, const char *table, const char *column, struct str key)
{
	buf_format(db_sql(db), "DELETE FROM %s WHERE %s = ", table, column);
	db_quote(db, key);
	return db_run(db, NULL);
}
