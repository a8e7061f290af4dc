/*
 * Debits: asked, looked up, cancelled, refunded; each by its key, whose row is locked or made first. A debit's row and
 * the ledger's stand in one transaction. See bank.h.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/uuid.h"
#include "sandbox/bank_private.h"

/* One call on one key. */
struct debit_job {
	const struct bank_debit *asked; /* its key always; the rest when it is a debit */
	int64_t retention_ms;
	bool decline;
	struct arena *arena;
	struct bank_debit found;
	enum bank_outcome outcome;
};

static const char *const state_names[BANK_STATES] = {
	[BANK_EXECUTED] = "executed",
	[BANK_DECLINED] = "declined",
	[BANK_VOIDED] = "voided",
	[BANK_REFUNDED] = "refunded",
};

const char *
bank_state_name(enum bank_state state)
{
	return state_names[state];
}

/* --- the row --- */

static void
read_row(struct debit_job *job, const struct db_result *row)
{
	job->found = (struct bank_debit){
		.key = job->asked->key,
		.player = arena_str(job->arena, db_text(row, 0)),
		.currency = arena_str(job->arena, db_text(row, 1)),
		.amount = db_i64(row, 2),
		.reference = arena_str(job->arena, db_text(row, 3)),
		.state = (enum bank_state)db_i64(row, 4),
		.transaction = arena_str(job->arena, db_text(row, 5)),
	};
}

/* Locks the key's row and reads it; one that is too old goes. */
static enum err
find_row(struct db *db, struct debit_job *job, bool *ret_there)
{
	struct db_result *result;
	bool there = false, forgotten = false;

	buf_literal(db_sql(db), "SELECT player, currency, amount, reference, state, transaction_id, created_at_ms "
				"FROM debit WHERE debit_key = ");
	db_quote(db, job->asked->key);
	buf_literal(db_sql_more(db), " FOR UPDATE");
	enum err err = db_select(db, &result);

	if (err != ERR_OK)
		return err;
	if (db_next(result)) {
		forgotten = bank_is_forgotten(job->retention_ms, db_i64(result, 6));
		there = !forgotten;
		read_row(job, result);
	}
	db_result_free(result);
	*ret_there = there;
	return forgotten ? bank_forget(db, "debit", "debit_key", job->asked->key) : ERR_OK;
}

static enum err
insert_row(struct db *db, const struct bank_debit *debit)
{
	buf_literal(db_sql(db),
		    "INSERT INTO debit (debit_key, player, currency, reference, transaction_id, amount, state, "
		    "created_at_ms) VALUES (");
	db_quote(db, debit->key);
	bank_add_text(db, debit->player);
	bank_add_text(db, debit->currency);
	bank_add_text(db, debit->reference);
	bank_add_text(db, debit->transaction);
	bank_add_integer(db, debit->amount);
	bank_add_integer(db, debit->state);
	bank_add_integer(db, clock_unix_ms());
	buf_char(db_sql_more(db), ')');
	return db_run(db, NULL);
}

static enum err
set_state(struct db *db, struct bank_debit *debit, enum bank_state state)
{
	buf_format(db_sql(db), "UPDATE debit SET state = %d WHERE debit_key = ", (int)state);
	db_quote(db, debit->key);
	debit->state = state;
	return db_run(db, NULL);
}

/* --- the calls --- */

static bool
is_same(const struct bank_debit *a, const struct bank_debit *b)
{
	return str_equal(a->player, b->player) && str_equal(a->currency, b->currency) && a->amount == b->amount &&
	       str_equal(a->reference, b->reference);
}

/* A cancelled key has no request to be compared with: it refuses whatever comes. */
static enum bank_outcome
judge_again(const struct debit_job *job)
{
	if (job->found.state == BANK_VOIDED)
		return BANK_WRONG_STATE;
	if (!is_same(&job->found, job->asked))
		return BANK_KEY_REUSED;
	return job->found.state == BANK_EXECUTED ? BANK_REPLAYED : BANK_WRONG_STATE;
}

static enum err
charge(struct bank *bank, struct db *db, struct debit_job *job)
{
	const struct bank_debit *asked = job->asked;
	const struct bank_entry entry = {.movement = BANK_DEBIT,
					 .player = asked->player,
					 .what = asked->currency,
					 .key = asked->key,
					 .amount = -asked->amount};
	char *transaction = arena_alloc(job->arena, UUID_TEXT_SIZE);
	bool enough = false;
	enum err err = job->decline ? ERR_OK : bank_move(bank, db, &entry, &enough);

	if (err != ERR_OK)
		return err;
	bank_new_id(bank, transaction);
	job->found = *asked;
	job->found.transaction = str_from(transaction);
	job->found.state = enough ? BANK_EXECUTED : BANK_DECLINED;
	job->outcome = enough ? BANK_DONE : BANK_WRONG_STATE;
	return insert_row(db, &job->found);
}

static enum err
step_debit(struct bank *bank, struct db *db, void *context)
{
	struct debit_job *job = context;
	bool there;
	enum err err = find_row(db, job, &there);

	if (err != ERR_OK)
		return err;
	if (!there)
		return charge(bank, db, job);
	job->outcome = judge_again(job);
	return ERR_OK;
}

static enum err
step_find(struct bank *bank, struct db *db, void *context)
{
	struct debit_job *job = context;
	bool there;
	enum err err = find_row(db, job, &there);

	(void)bank;
	if (err == ERR_OK)
		job->outcome = there ? BANK_DONE : BANK_UNKNOWN;
	return err;
}

static enum err
step_cancel(struct bank *bank, struct db *db, void *context)
{
	struct debit_job *job = context;
	bool there;
	enum err err = find_row(db, job, &there);

	(void)bank;
	if (err != ERR_OK)
		return err;
	job->outcome = BANK_DONE;
	if (!there) {
		job->found = (struct bank_debit){.key = job->asked->key, .state = BANK_VOIDED};
		return insert_row(db, &job->found);
	}
	if (job->found.state == BANK_DECLINED)
		return set_state(db, &job->found, BANK_VOIDED);
	if (job->found.state != BANK_VOIDED)
		job->outcome = BANK_WRONG_STATE;
	return ERR_OK;
}

static enum err
give_back_money(struct bank *bank, struct db *db, struct bank_debit *debit)
{
	const struct bank_entry entry = {.movement = BANK_REFUND,
					 .player = debit->player,
					 .what = debit->currency,
					 .key = debit->key,
					 .amount = debit->amount};
	bool enough;
	enum err err = bank_move(bank, db, &entry, &enough);

	return err == ERR_OK ? set_state(db, debit, BANK_REFUNDED) : err;
}

static enum err
step_refund(struct bank *bank, struct db *db, void *context)
{
	struct debit_job *job = context;
	bool there;
	enum err err = find_row(db, job, &there);

	if (err != ERR_OK)
		return err;
	job->outcome = BANK_DONE;
	if (!there)
		job->outcome = BANK_UNKNOWN;
	else if (job->found.state == BANK_EXECUTED)
		return give_back_money(bank, db, &job->found);
	else if (job->found.state != BANK_REFUNDED)
		job->outcome = BANK_WRONG_STATE;
	return ERR_OK;
}

static enum err
run(struct bank *bank, bank_step *step, struct debit_job *job, struct bank_debit *ret_debit,
    enum bank_outcome *ret_outcome)
{
	enum err err = bank_transact(bank, step, job);

	if (err != ERR_OK)
		return err;
	*ret_debit = job->found;
	*ret_outcome = job->outcome;
	return ERR_OK;
}

enum err
bank_debit(struct bank *bank, const struct bank_debit *asked, int64_t retention_ms, bool decline, struct arena *arena,
	   struct bank_debit *ret_debit, enum bank_outcome *ret_outcome)
{
	struct debit_job job = {.asked = asked, .retention_ms = retention_ms, .decline = decline, .arena = arena};

	return run(bank, step_debit, &job, ret_debit, ret_outcome);
}

enum err
bank_find(struct bank *bank, struct str key, int64_t retention_ms, struct arena *arena, struct bank_debit *ret_debit,
	  enum bank_outcome *ret_outcome)
{
	const struct bank_debit asked = {.key = key};
	struct debit_job job = {.asked = &asked, .retention_ms = retention_ms, .arena = arena};

	return run(bank, step_find, &job, ret_debit, ret_outcome);
}

enum err
bank_cancel(struct bank *bank, struct str key, int64_t retention_ms, struct arena *arena, struct bank_debit *ret_debit,
	    enum bank_outcome *ret_outcome)
{
	const struct bank_debit asked = {.key = key};
	struct debit_job job = {.asked = &asked, .retention_ms = retention_ms, .arena = arena};

	return run(bank, step_cancel, &job, ret_debit, ret_outcome);
}

enum err
bank_refund(struct bank *bank, struct str key, int64_t retention_ms, struct arena *arena, struct bank_debit *ret_debit,
	    enum bank_outcome *ret_outcome)
{
	const struct bank_debit asked = {.key = key};
	struct debit_job job = {.asked = &asked, .retention_ms = retention_ms, .arena = arena};

	return run(bank, step_refund, &job, ret_debit, ret_outcome);
}
