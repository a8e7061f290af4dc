/*
 * Deliveries: each key is carried out once and counts how often it was sent. Currency goes into the wallet; of anything
 * else the ledger keeps what and how many. See bank.h.
 */
#include "base/clock.h"
#include "sandbox/bank_private.h"

struct delivery_job {
	const struct bank_delivery *asked;
	int64_t retention_ms;
	struct arena *arena;
	struct bank_delivery found;
	enum bank_outcome outcome;
};

static void
read_row(struct delivery_job *job, const struct db_result *row)
{
	job->found = (struct bank_delivery){
		.key = job->asked->key,
		.player = arena_str(job->arena, db_text(row, 0)),
		.kind = arena_str(job->arena, db_text(row, 1)),
		.item = arena_str(job->arena, db_text(row, 2)),
		.quantity = db_i64(row, 3),
		.reference = arena_str(job->arena, db_text(row, 4)),
		.times_sent = db_i64(row, 5),
	};
}

static enum err
find_row(struct db *db, struct delivery_job *job, bool *ret_there)
{
	struct db_result *result;
	bool there = false, forgotten = false;

	buf_literal(db_sql(db), "SELECT player, kind, item, quantity, reference, times_sent, created_at_ms "
				"FROM delivery WHERE delivery_key = ");
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
	return forgotten ? bank_forget(db, "delivery", "delivery_key", job->asked->key) : ERR_OK;
}

static enum err
insert_row(struct db *db, const struct bank_delivery *delivery)
{
	buf_literal(db_sql(db),
		    "INSERT INTO delivery (delivery_key, player, kind, item, reference, quantity, times_sent, "
		    "created_at_ms) VALUES (");
	db_quote(db, delivery->key);
	bank_add_text(db, delivery->player);
	bank_add_text(db, delivery->kind);
	bank_add_text(db, delivery->item);
	bank_add_text(db, delivery->reference);
	bank_add_integer(db, delivery->quantity);
	bank_add_integer(db, delivery->times_sent);
	bank_add_integer(db, clock_unix_ms());
	buf_char(db_sql_more(db), ')');
	return db_run(db, NULL);
}

static enum err
count_again(struct db *db, struct bank_delivery *delivery)
{
	buf_literal(db_sql(db), "UPDATE delivery SET times_sent = times_sent + 1 WHERE delivery_key = ");
	db_quote(db, delivery->key);
	delivery->times_sent++;
	return db_run(db, NULL);
}

static bool
is_same(const struct bank_delivery *a, const struct bank_delivery *b)
{
	return str_equal(a->player, b->player) && str_equal(a->kind, b->kind) && str_equal(a->item, b->item) &&
	       a->quantity == b->quantity && str_equal(a->reference, b->reference);
}

static enum err
hand_out(struct bank *bank, struct db *db, struct delivery_job *job)
{
	const struct bank_delivery *asked = job->asked;
	bool currency = str_equal(asked->kind, STR("currency"));
	const struct bank_entry entry = {.movement = currency ? BANK_DELIVERY : BANK_ITEM,
					 .player = asked->player,
					 .what = asked->item,
					 .key = asked->key,
					 .amount = asked->quantity};
	bool enough;
	enum err err = currency ? bank_move(bank, db, &entry, &enough) : bank_write_entry(db, &entry);

	job->found = *asked;
	job->found.times_sent = 1;
	job->outcome = BANK_DONE;
	return err == ERR_OK ? insert_row(db, &job->found) : err;
}

static enum err
step_deliver(struct bank *bank, struct db *db, void *context)
{
	struct delivery_job *job = context;
	bool there;
	enum err err = find_row(db, job, &there);

	if (err != ERR_OK)
		return err;
	if (!there)
		return hand_out(bank, db, job);
	job->outcome = is_same(&job->found, job->asked) ? BANK_REPLAYED : BANK_KEY_REUSED;
	return count_again(db, &job->found);
}

enum err
bank_deliver(struct bank *bank, const struct bank_delivery *asked, int64_t retention_ms, struct arena *arena,
	     struct bank_delivery *ret_delivery, enum bank_outcome *ret_outcome)
{
	struct delivery_job job = {.asked = asked, .retention_ms = retention_ms, .arena = arena};
	enum err err = bank_transact(bank, step_deliver, &job);

	if (err != ERR_OK)
		return err;
	*ret_delivery = job.found;
	*ret_outcome = job.outcome;
	return ERR_OK;
}
