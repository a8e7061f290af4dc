/*
 * Claims, corrections, resets and purchases on a store, a cache and an economy in memory: what each comes to, and over
 * random histories with any fault at any call that nobody is charged twice, owns without having paid, or is paid a
 * reward twice.
 */
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "fake_service.h"
#include "random_season.h"
#include "service/payments.h"
#include "tap.h"

enum { MOST = 64, PRICE = 100, ANSWER_WITHIN_MS = 1000, DEBITS_MAX = 256 };

static struct fake_service fake;
static uint64_t seed;

/* --- an economy in memory --- */

/* What becomes of one call. */
enum fate {
	FATE_GOOD,     /* done, and answered */
	FATE_UNHEARD,  /* done, but the answer is lost */
	FATE_NOT_DONE, /* not done, and no answer */
	FATE_LATE,     /* no answer in time; done some time later */
	FATE_REFUSED,  /* a new debit is declined */
	FATE_COUNT
};

struct debit {
	struct uuid key;
	char player[32];
	uint64_t amount;
	enum economy_outcome state; /* EXECUTED, DECLINED, VOIDED, REFUNDED */
	bool late;                  /* not done yet */
	unsigned times_charged;
};

static struct {
	struct debit debits[DEBITS_MAX];
	size_t count;
	uint64_t *random; /* NULL: every fate is good */
	enum fate fate;   /* of the next call, where random is NULL */
} economy;

static struct debit *
find_debit(const struct uuid *key)
{
	for (size_t i = 0; i < economy.count; i++)
		if (memcmp(&economy.debits[i].key, key, sizeof(*key)) == 0)
			return &economy.debits[i];
	return NULL;
}

/* A record for the key, in whatever state the first call about it makes. */
static struct debit *
new_debit(const struct economy_call *call, enum economy_outcome state)
{
	struct debit *debit = &economy.debits[economy.count++];

	CU_ASSERT_FATAL(economy.count < DEBITS_MAX);
	*debit = (struct debit){.key = call->key, .amount = call->amount, .state = state};
	snprintf(debit->player, sizeof(debit->player), "%.*s", STR_ARGS(call->player));
	debit->times_charged = state == ECONOMY_EXECUTED;
	return debit;
}

static enum economy_outcome
execute_debit(const struct economy_call *call, enum fate fate)
{
	struct debit *debit = find_debit(&call->key);

	if (!debit)
		debit = new_debit(call, fate == FATE_REFUSED ? ECONOMY_DECLINED : ECONOMY_EXECUTED);
	else if (debit->late) {
		debit->late = false; /* the first copy comes later, and finds the key known */
		debit->state = ECONOMY_EXECUTED;
		debit->times_charged = 1;
	}
	return debit->state;
}

static enum economy_outcome
execute_cancel(const struct economy_call *call)
{
	struct debit *debit = find_debit(&call->key);

	if (!debit)
		debit = new_debit(call, ECONOMY_VOIDED);
	else if (debit->late) {
		debit->late = false;
		debit->state = ECONOMY_VOIDED;
	}
	return debit->state;
}

static enum economy_outcome
execute_refund(const struct economy_call *call)
{
	struct debit *debit = find_debit(&call->key);

	if (!debit || (debit->state != ECONOMY_EXECUTED && debit->state != ECONOMY_REFUNDED))
		return ECONOMY_NEVER_SEEN;
	debit->state = ECONOMY_REFUNDED;
	return debit->state;
}

static enum economy_outcome
execute(const struct economy_call *call, enum fate fate)
{
	const struct debit *known = find_debit(&call->key);

	switch (call->verb) {
	case ECONOMY_DEBIT:
		return execute_debit(call, fate);
	case ECONOMY_CANCEL:
		return execute_cancel(call);
	case ECONOMY_REFUND:
		return execute_refund(call);
	default:
		return !known || known->late ? ECONOMY_NEVER_SEEN : known->state;
	}
}

static enum fate
next_fate(void)
{
	if (economy.random)
		return random_below(economy.random, 2) ? FATE_GOOD
						       : (enum fate)random_below(economy.random, FATE_COUNT);
	return economy.fate;
}

static void
begin_call(void *self, struct economy_call *call)
{
	enum fate fate = next_fate();

	(void)self;
	call->outcome = fate == FATE_LATE ? ECONOMY_WAITING : ECONOMY_UNKNOWN;
	if (fate == FATE_NOT_DONE)
		return;
	if (fate == FATE_LATE) {
		if (call->verb == ECONOMY_DEBIT && !find_debit(&call->key))
			new_debit(call, ECONOMY_WAITING)->late = true;
		return;
	}
	enum economy_outcome outcome = execute(call, fate);

	if (fate != FATE_UNHEARD)
		call->outcome = outcome;
}

static void
abandon_call(void *self, struct economy_call *call)
{
	(void)self;
	call->outcome = ECONOMY_UNKNOWN;
}

static const struct economy_port port = {.begin = begin_call, .abandon = abandon_call};

/* A debit that was on its way arrives. */
static void
arrive(void)
{
	for (size_t i = 0; i < economy.count; i++) {
		struct debit *debit = &economy.debits[i];

		if (!debit->late)
			continue;
		debit->late = false;
		debit->state = ECONOMY_EXECUTED;
		debit->times_charged = 1;
	}
}

/* --- turns --- */

static void
open_fake(void)
{
	memset(&economy, 0, sizeof(economy));
	fake_service_init(&fake, true, MOST);
	fake.service.rooms.economy = &port;
	fake.service.limits.answer_within_ms = ANSWER_WITHIN_MS;
	fake.service.limits.sells = true;
}

static void
close_fake(void)
{
	fake_store_check(&fake.store);
	if (fake.faults.broken[0])
		printf("# %s\n", fake.faults.broken);
	CU_ASSERT_STRING_EQUAL(fake.faults.broken, "");
	fake_service_release(&fake);
}

static void
run(void)
{
	fake_service_run(&fake);
	while (fake.turn.payments) {
		turn_continue(&fake.turn);
		if (fake.turn.payments)
			clock_sleep_ms(100);
	}
}

static struct operation *
begin(enum write_kind kind, const char *player, const char *key)
{
	fake_service_begin(&fake);
	return fake_service_operation(&fake, kind, player, "s1", key);
}

/* A turn of one operation; it is good until the next turn. */
static const struct operation *
buy(const char *player, const char *pass, uint32_t tiers, const char *key)
{
	struct operation *operation = begin(WRITE_PURCHASE, player, key);

	operation->pass = str_from(pass);
	operation->tiers = tiers;
	run();
	return operation;
}

static const struct operation *
claim_all(const char *player, const char *key)
{
	struct operation *operation = begin(WRITE_CLAIM, player, key);

	run();
	return operation;
}

static const struct operation *
claim(const char *player, const char *key, const struct str *rewards, size_t count)
{
	struct operation *operation = begin(WRITE_CLAIM, player, key);

	operation->rewards = rewards;
	operation->reward_count = count;
	run();
	return operation;
}

static const struct operation *
about(enum write_kind kind, const char *player, const char *key, const struct uuid *subject)
{
	struct operation *operation = begin(kind, player, key);

	operation->subject = *subject;
	run();
	return operation;
}

static const struct operation *
with_pass(enum write_kind kind, const char *player, const char *key, const char *pass)
{
	struct operation *operation = begin(kind, player, key);

	operation->pass = str_from(pass);
	run();
	return operation;
}

static const struct operation *
reset(const char *player, const char *key, bool forget)
{
	struct operation *operation = begin(WRITE_RESET, player, key);

	operation->forget = forget;
	run();
	return operation;
}

static const struct operation *
correct(const char *player, const char *key, int64_t amount)
{
	struct operation *operation = begin(WRITE_XP_CORRECTION, player, key);

	operation->amount = amount;
	run();
	return operation;
}

static const struct purchase_row *
stored(const struct uuid *id)
{
	for (size_t i = 0; i < fake.store.tables->purchase_count; i++)
		if (memcmp(&fake.store.tables->purchases[i].id, id, sizeof(*id)) == 0)
			return &fake.store.tables->purchases[i];
	return NULL;
}

static bool
owns(const char *player)
{
	return fake_tables_owns(fake.store.tables, str_from(player), "s1", "premium");
}

/* Goes on with every open purchase, as the courier does: gives up is what it does when it has lost patience. */
static void
deliver_purchase(const struct purchase_row *open, bool gives_up)
{
	struct economy_call call = {ECONOMY_DEBIT};
	enum purchase_event event = PURCHASE_GIVEN_UP;
	struct purchase_row row = *open;
	bool proven = gives_up && row.state == PURCHASE_DEBITING;

	fake_service_begin(&fake);
	if (!proven) {
		payment_call(&row, payment_verb(row.state), &fake.arena, &call);
		begin_call(NULL, &call);
		if (call.verb == ECONOMY_CANCEL && call.outcome == ECONOMY_EXECUTED) {
			call.verb = ECONOMY_LOOKUP;
			begin_call(NULL, &call);
		}
		proven = payment_proves(call.verb, call.outcome, &event);
	}
	if (!proven)
		return;
	struct operation *settlement =
		fake_service_operation(&fake, WRITE_SETTLEMENT, arena_copy(&fake.arena, row.player), row.season, "");

	settlement->subject = row.id;
	settlement->event = event;
	run();
}

static void
courier(bool gives_up)
{
	for (size_t i = 0; i < fake.store.tables->purchase_count; i++)
		if (purchase_is_open(fake.store.tables->purchases[i].state))
			deliver_purchase(&fake.store.tables->purchases[i], gives_up);
}

/* --- one by one --- */

static void
test_claims(void)
{
	const struct str wanted[] = {STR("f1"), STR("p1"), STR("f3"), STR("f1"), STR("nothing"), STR("p3")};

	open_fake();
	fake_service_give(&fake, "p", "s1", "k", 150);

	const struct operation *done = claim("p", "c1", wanted, 6);

	CU_ASSERT_EQUAL(done->write.err, ERR_OK);
	/* claimed, locked (pass), locked (tier), already, unknown, locked (both) */
	CU_ASSERT(str_equal(done->entry.result, STR("cllaul")));
	CU_ASSERT_EQUAL(done->entry.revision, 2);
	CU_ASSERT_EQUAL(fake.store.tables->claim_count, 1);
	CU_ASSERT_EQUAL(fake.store.tables->delivery_count, 1);
	CU_ASSERT(str_equal(fake.store.tables->deliveries[0].item, STR("hat")));
	done = claim("p", "c1", wanted, 6);
	CU_ASSERT_TRUE(done->write.replayed);
	CU_ASSERT(str_equal(done->entry.result, STR("cllaul")));
	done = claim_all("p", "c2");
	/* Nothing was claimed, and its replay shall say so, too. */
	CU_ASSERT(done->entry.result.len == 0 && done->entry.revision == 0 && !done->write.replayed);
	CU_ASSERT_EQUAL(fake.store.tables->entry_count, 2);
	fake_service_give(&fake, "p", "s1", "k2", 200);
	CU_ASSERT(str_equal(claim_all("p", "c3")->entry.result, STR("c")));
	with_pass(WRITE_PASS_GRANT, "p", "g", "premium");
	/* Premium late: all below is claimable at once. */
	CU_ASSERT(str_equal(claim_all("p", "c4")->entry.result, STR("cc")));
	CU_ASSERT_EQUAL(fake.store.tables->delivery_count, 4);
	close_fake();
}

static void
test_copies_of_a_claim_in_one_turn(void)
{
	const struct operation *copies[8];

	open_fake();
	fake_service_give(&fake, "p", "s1", "k", 700);
	fake_service_begin(&fake);
	for (size_t i = 0; i < 8; i++)
		copies[i] = fake_service_operation(&fake, WRITE_CLAIM, "p", "s1", i % 2 ? "same" : "other");
	run();
	CU_ASSERT_EQUAL(fake.store.tables->claim_count, 3);
	CU_ASSERT_EQUAL(fake.store.tables->delivery_count, 3);
	CU_ASSERT_EQUAL(fake.store.tables->entry_count, 2);
	CU_ASSERT_EQUAL(fake_store_player(&fake.store, STR("p"), "s1")->revision, 2);
	for (size_t i = 0; i < 8; i++) {
		CU_ASSERT_EQUAL(copies[i]->write.err, ERR_OK);
		CU_ASSERT_EQUAL(copies[i]->write.replayed, i > 1);
	}
	close_fake();
}

static void
test_corrections(void)
{
	open_fake();
	fake_service_give(&fake, "p", "s1", "k", 150);
	CU_ASSERT_EQUAL(correct("p", "a", -151)->write.err, ERR_INVALID_FIELD);
	CU_ASSERT_EQUAL(correct("p", "b", -50)->entry.xp_after, 100);
	CU_ASSERT_TRUE(correct("p", "b", -50)->write.replayed);
	CU_ASSERT_EQUAL(fake_store_player(&fake.store, STR("p"), "s1")->revision, 2);

	struct operation *tiers = begin(WRITE_TIER_GRANT, "p", "t");

	tiers->tiers = 2;
	tiers->validate_only = true;
	run();
	CU_ASSERT_EQUAL(tiers->write.err, ERR_OK);
	CU_ASSERT(str_equal(tiers->entry.after, STR("{3 600 0}")));
	CU_ASSERT_EQUAL(fake_store_player(&fake.store, STR("p"), "s1")->xp, 100);
	tiers = begin(WRITE_TIER_GRANT, "p", "t");
	tiers->tiers = 3;
	run();
	CU_ASSERT_EQUAL(tiers->write.err, ERR_TOO_MANY_TIERS);
	close_fake();
}

static void
test_passes(void)
{
	open_fake();
	CU_ASSERT_EQUAL(with_pass(WRITE_PASS_GRANT, "p", "a", "free")->write.err, ERR_ALREADY_OWNED);
	CU_ASSERT_EQUAL(with_pass(WRITE_PASS_GRANT, "p", "b", "gold")->write.err, ERR_INVALID_FIELD);
	CU_ASSERT_EQUAL(with_pass(WRITE_PASS_REVOCATION, "p", "c", "premium")->write.err, ERR_NOT_OWNED);
	CU_ASSERT_EQUAL(with_pass(WRITE_PASS_GRANT, "p", "d", "premium")->write.err, ERR_OK);
	CU_ASSERT_EQUAL(with_pass(WRITE_PASS_GRANT, "p", "e", "premium")->write.err, ERR_ALREADY_OWNED);
	CU_ASSERT_EQUAL(with_pass(WRITE_PASS_REVOCATION, "p", "f", "premium")->write.err, ERR_OK);
	CU_ASSERT_FALSE(owns("p"));
	close_fake();
}

static void
test_resets(void)
{
	struct uuid keep, forget;

	open_fake();
	fake_service_give(&fake, "p", "s1", "k", 350);
	claim_all("p", "c");
	keep = reset("p", "r1", false)->entry.id;
	CU_ASSERT_EQUAL(fake_store_player(&fake.store, STR("p"), "s1")->xp, 0);
	fake_service_give(&fake, "p", "s1", "k2", 700);
	/* Earned again, and only what is new is paid. */
	CU_ASSERT(str_equal(claim_all("p", "c2")->entry.result, STR("c")));
	forget = reset("p", "r2", true)->entry.id;
	CU_ASSERT_EQUAL(fake.store.tables->claim_count, 0);
	fake_service_give(&fake, "p", "s1", "k3", 100);
	CU_ASSERT(str_equal(claim_all("p", "c3")->entry.result, STR("c")));
	CU_ASSERT_EQUAL(about(WRITE_RESET_UNDO, "p", "u1", &forget)->entry.xp_after, 800);
	CU_ASSERT_EQUAL(fake.store.tables->claim_count, 3);
	CU_ASSERT_EQUAL(about(WRITE_RESET_UNDO, "p", "u2", &forget)->write.err, ERR_ALREADY_UNDONE);
	CU_ASSERT_TRUE(about(WRITE_RESET_UNDO, "p", "u1", &forget)->write.replayed);
	CU_ASSERT_EQUAL(about(WRITE_RESET_UNDO, "p", "u3", &keep)->entry.xp_after, 1150);
	CU_ASSERT_EQUAL(about(WRITE_RESET_UNDO, "q", "u4", &keep)->write.err, ERR_RESET_NOT_FOUND);
	close_fake();
}

static void
test_purchase(void)
{
	open_fake();
	CU_ASSERT_EQUAL(buy("p", "free", 0, "k0")->write.err, ERR_ALREADY_OWNED);
	CU_ASSERT_EQUAL(buy("p", "gold", 0, "k1")->write.err, ERR_INVALID_FIELD);

	const struct operation *bought = buy("p", "premium", 0, "k");

	CU_ASSERT_EQUAL(bought->write.err, ERR_OK);
	CU_ASSERT_EQUAL(bought->purchase.state, PURCHASE_GRANTED);
	CU_ASSERT_EQUAL(bought->purchase.amount, PRICE);
	CU_ASSERT_TRUE(owns("p"));
	bought = buy("p", "premium", 0, "k");
	CU_ASSERT(bought->write.replayed && bought->purchase.state == PURCHASE_GRANTED);
	CU_ASSERT_EQUAL(buy("p", "premium", 0, "k2")->write.err, ERR_ALREADY_OWNED);
	CU_ASSERT_EQUAL(economy.count, 1);
	CU_ASSERT_EQUAL(buy("p", "", 2, "t")->purchase.xp_given, 300);
	CU_ASSERT_EQUAL(buy("p", "", 2, "t2")->write.err, ERR_TOO_MANY_TIERS);
	close_fake();
}

static void
test_purchase_declined(void)
{
	open_fake();
	economy.fate = FATE_REFUSED;
	CU_ASSERT_EQUAL(buy("p", "premium", 0, "k")->purchase.state, PURCHASE_DECLINED);
	CU_ASSERT_EQUAL(buy("p", "premium", 0, "k")->purchase.state, PURCHASE_DECLINED);
	economy.fate = FATE_GOOD;
	CU_ASSERT_EQUAL(buy("p", "premium", 0, "k2")->purchase.state, PURCHASE_GRANTED);
	close_fake();
}

/* The answer is lost: the purchase stays open, nobody can buy beside it, and the courier brings it home. */
static void
test_purchase_unheard(void)
{
	open_fake();
	economy.fate = FATE_UNHEARD;
	CU_ASSERT_EQUAL(buy("p", "premium", 0, "k")->purchase.state, PURCHASE_DEBITING);
	CU_ASSERT_FALSE(owns("p"));
	/* It was answered, so the same key is nobody's work just now, and its replay says how it stands. */
	CU_ASSERT_EQUAL(buy("p", "premium", 0, "k")->purchase.state, PURCHASE_DEBITING);
	CU_ASSERT_EQUAL(buy("p", "premium", 0, "k2")->write.err, ERR_PURCHASE_IN_PROGRESS);
	economy.fate = FATE_GOOD;
	courier(false);
	CU_ASSERT_TRUE(owns("p"));
	CU_ASSERT_EQUAL(economy.debits[0].times_charged, 1);
	close_fake();
}

/* While one process waits for the economy, a copy of the request is in flight. */
static void
test_purchase_in_flight(void)
{
	struct operation *first;

	open_fake();
	economy.fate = FATE_LATE;
	first = begin(WRITE_PURCHASE, "p", "k");
	first->pass = STR("premium");
	turn_run(&fake.turn);
	CU_ASSERT_TRUE(first->waits);

	struct turn other;
	struct arena arena;

	arena_init(&arena);
	turn_begin(&other, &fake.service, &arena, fake.now_ms);
	struct operation *second = turn_add_operation(&other, WRITE_PURCHASE, STR("p"), first->write.season);

	second->pass = STR("premium");
	second->write.idempotency_key = STR("k");
	turn_run(&other);
	CU_ASSERT_EQUAL(second->write.err, ERR_IDEMPOTENCY_IN_FLIGHT);
	arena_release(&arena);
	clock_sleep_ms(ANSWER_WITHIN_MS);
	turn_continue(&fake.turn);
	CU_ASSERT_PTR_NULL(fake.turn.payments);
	close_fake();
}

static void
test_purchase_late(void)
{
	open_fake();
	economy.fate = FATE_LATE;

	const struct operation *bought = buy("p", "premium", 0, "k");
	struct uuid id = bought->purchase.id;

	CU_ASSERT_EQUAL(bought->purchase.state, PURCHASE_DEBITING);
	CU_ASSERT_FALSE(bought->waits);
	economy.fate = FATE_GOOD;
	courier(true);
	CU_ASSERT_EQUAL(stored(&id)->state, PURCHASE_CANCELLING);
	courier(false);
	CU_ASSERT_EQUAL(stored(&id)->state, PURCHASE_CANCELLED);
	arrive();
	CU_ASSERT_FALSE(owns("p"));
	CU_ASSERT_EQUAL(economy.debits[0].times_charged, 0);
	CU_ASSERT_EQUAL(buy("p", "premium", 0, "k2")->purchase.state, PURCHASE_GRANTED);
	close_fake();
}

static void
test_charged_but_not_grantable(void)
{
	struct uuid id;

	open_fake();
	economy.fate = FATE_UNHEARD;
	id = buy("p", "premium", 0, "k")->purchase.id;
	with_pass(WRITE_PASS_GRANT, "p", "g", "premium");
	economy.fate = FATE_GOOD;
	courier(false);
	CU_ASSERT_EQUAL(stored(&id)->state, PURCHASE_REFUNDING);
	courier(false);
	CU_ASSERT_EQUAL(stored(&id)->state, PURCHASE_REFUNDED);
	CU_ASSERT_TRUE(owns("p"));
	close_fake();
}

/* Of passes that include one another only one purchase is undecided at a time: the price of one hangs on the other. */
static void
test_no_upgrade_beside(void)
{
	struct uuid premium;

	open_fake();
	premium = buy("p", "premium", 0, "a")->purchase.id;
	economy.fate = FATE_UNHEARD;
	CU_ASSERT_EQUAL(buy("p", "plus", 0, "b")->purchase.state, PURCHASE_DEBITING);
	CU_ASSERT_EQUAL(about(WRITE_REFUND, "p", "c", &premium)->write.err, ERR_PURCHASE_IN_PROGRESS);
	CU_ASSERT_EQUAL(buy("q", "plus", 0, "d")->purchase.state, PURCHASE_DEBITING);
	CU_ASSERT_EQUAL(buy("q", "premium", 0, "e")->write.err, ERR_PURCHASE_IN_PROGRESS);
	CU_ASSERT_EQUAL(buy("r", "", 1, "f")->purchase.state, PURCHASE_DEBITING);
	CU_ASSERT_EQUAL(buy("r", "", 1, "g")->write.err, ERR_PURCHASE_IN_PROGRESS);
	CU_ASSERT_EQUAL(buy("r", "premium", 0, "h")->purchase.state, PURCHASE_DEBITING);
	economy.fate = FATE_GOOD;
	courier(false);
	CU_ASSERT_EQUAL(buy("r", "", 1, "i")->purchase.state, PURCHASE_GRANTED);
	CU_ASSERT_EQUAL(buy("r", "", 1, "j")->purchase.state, PURCHASE_GRANTED);
	close_fake();
}

/* The economy no longer knows: an admin looks, and closes it by hand. */
static void
test_stuck(void)
{
	struct operation *lost;
	struct uuid id;

	open_fake();
	economy.fate = FATE_NOT_DONE;
	id = buy("p", "premium", 0, "a")->purchase.id;
	CU_ASSERT_EQUAL(about(WRITE_PURCHASE_CLOSE, "p", "c", &id)->write.err, ERR_PURCHASE_NOT_STUCK);
	lost = begin(WRITE_SETTLEMENT, "p", "");
	lost->subject = id;
	lost->event = PURCHASE_LOST;
	run();
	CU_ASSERT_EQUAL(stored(&id)->state, PURCHASE_STUCK);
	CU_ASSERT_EQUAL(buy("p", "premium", 0, "b")->write.err, ERR_PURCHASE_IN_PROGRESS);
	CU_ASSERT_EQUAL(about(WRITE_PURCHASE_CLOSE, "p", "d", &id)->purchase.state, PURCHASE_CLOSED);
	CU_ASSERT_TRUE(about(WRITE_PURCHASE_CLOSE, "p", "d", &id)->write.replayed);
	economy.fate = FATE_GOOD;
	CU_ASSERT_EQUAL(buy("p", "premium", 0, "e")->purchase.state, PURCHASE_GRANTED);
	close_fake();
}

static void
test_season_over_meanwhile(void)
{
	struct uuid id;

	open_fake();
	economy.fate = FATE_UNHEARD;
	id = buy("p", "premium", 0, "k")->purchase.id;
	economy.fate = FATE_GOOD;
	fake.now_ms = 91000;
	courier(false);
	courier(false);
	CU_ASSERT_EQUAL(stored(&id)->state, PURCHASE_REFUNDED);
	CU_ASSERT_FALSE(owns("p"));
	CU_ASSERT_EQUAL(buy("p", "premium", 0, "k2")->write.err, ERR_SEASON_NOT_ACTIVE);
	fake.now_ms = 85000;
	CU_ASSERT_EQUAL(buy("p", "premium", 0, "k3")->write.err, ERR_PURCHASE_CLOSED);
	close_fake();
}

static void
test_refund(void)
{
	struct uuid id;

	open_fake();
	fake_service_give(&fake, "p", "s1", "k", 700);
	id = buy("p", "premium", 0, "b")->purchase.id;
	claim_all("p", "c");
	CU_ASSERT_EQUAL(fake.store.tables->delivery_count, 6);
	CU_ASSERT_EQUAL(about(WRITE_REFUND, "p", "r", &id)->purchase.state, PURCHASE_REFUNDED);
	CU_ASSERT_FALSE(owns("p"));
	CU_ASSERT_TRUE(about(WRITE_REFUND, "p", "r", &id)->write.replayed);
	CU_ASSERT_EQUAL(about(WRITE_REFUND, "p", "r2", &id)->write.err, ERR_NOT_REFUNDABLE);
	CU_ASSERT_EQUAL(buy("p", "premium", 0, "b2")->purchase.state, PURCHASE_GRANTED);
	claim_all("p", "c2");
	CU_ASSERT_EQUAL(fake.store.tables->delivery_count, 6);
	close_fake();
}

/* Two couriers bring the same answer. */
static void
test_settled_twice(void)
{
	struct operation *first, *second;

	open_fake();
	economy.fate = FATE_UNHEARD;
	const struct uuid id = buy("p", "", 1, "t")->purchase.id;

	first = begin(WRITE_SETTLEMENT, "p", "");
	second = fake_service_operation(&fake, WRITE_SETTLEMENT, "p", "s1", "");
	first->subject = second->subject = id;
	first->event = second->event = PURCHASE_CHARGED;
	run();
	CU_ASSERT(first->purchase.state == PURCHASE_GRANTED && second->purchase.state == PURCHASE_GRANTED);
	CU_ASSERT_EQUAL(fake_store_player(&fake.store, STR("p"), "s1")->xp, 100);
	CU_ASSERT_EQUAL(fake.store.tables->entry_count, 2);
	close_fake();
}

static void
test_upgrade(void)
{
	struct uuid premium, plus;

	open_fake();
	premium = buy("p", "premium", 0, "a")->purchase.id;
	CU_ASSERT_EQUAL(buy("p", "plus", 0, "b")->purchase.amount, 50);
	plus = stored(&fake.store.tables->purchases[1].id)->id;
	CU_ASSERT_EQUAL(fake_store_player(&fake.store, STR("p"), "s1")->xp, 100);
	CU_ASSERT_EQUAL(about(WRITE_REFUND, "p", "c", &premium)->write.err, ERR_PASS_UPGRADED);
	CU_ASSERT_EQUAL(about(WRITE_REFUND, "p", "d", &plus)->purchase.state, PURCHASE_REFUNDED);
	/* Its tier was given, and is not given again. */
	CU_ASSERT_EQUAL(buy("p", "plus", 0, "e")->purchase.xp_given, 0);
	CU_ASSERT_EQUAL(fake_store_player(&fake.store, STR("p"), "s1")->xp, 100);
	CU_ASSERT_EQUAL(buy("q", "plus", 0, "f")->purchase.amount, 150);
	CU_ASSERT_EQUAL(buy("q", "premium", 0, "g")->write.err, ERR_ALREADY_OWNED);
	close_fake();
}

/* What is only tried leaves nothing in what is written beside it. */
static void
test_tried_beside_a_grant(void)
{
	open_fake();
	struct operation *tried = begin(WRITE_XP_CORRECTION, "p", "t");

	tried->amount = 500;
	tried->validate_only = true;
	fake_service_grant(&fake, "p", "s1", "k", 10);
	run();
	CU_ASSERT_EQUAL(tried->entry.xp_after, 500);
	CU_ASSERT_EQUAL(fake_store_player(&fake.store, STR("p"), "s1")->xp, 10);
	CU_ASSERT_EQUAL(fake.store.tables->entry_count, 0);
	close_fake();
}

/* Two refunds of the same tiers in one turn take their XP once. */
static void
test_two_refunds_in_one_turn(void)
{
	struct operation *first, *second;
	struct uuid id;

	open_fake();
	fake_service_give(&fake, "p", "s1", "k", 500);
	id = buy("p", "", 1, "t")->purchase.id;
	CU_ASSERT_EQUAL(fake_store_player(&fake.store, STR("p"), "s1")->xp, 800);
	first = begin(WRITE_REFUND, "p", "a");
	second = fake_service_operation(&fake, WRITE_REFUND, "p", "s1", "b");
	first->subject = second->subject = id;
	run();
	CU_ASSERT_EQUAL(first->write.err, ERR_OK);
	CU_ASSERT_EQUAL(second->write.err, ERR_NOT_REFUNDABLE);
	CU_ASSERT_EQUAL(fake_store_player(&fake.store, STR("p"), "s1")->xp, 500);
	close_fake();
}

static void
test_auto_claim(void)
{
	open_fake();
	fake_service_give(&fake, "p", "s1", "k", 350);
	with_pass(WRITE_PASS_GRANT, "p", "g", "premium");
	fake.now_ms = 96000;
	CU_ASSERT_EQUAL(claim_all("p", "late")->write.err, ERR_SEASON_NOT_ACTIVE);
	begin(WRITE_AUTO_CLAIM, "p", "");
	run();
	begin(WRITE_AUTO_CLAIM, "p", "");
	run();
	/* The free pass forfeits, the premium one claims. */
	CU_ASSERT_EQUAL(fake.store.tables->delivery_count, 2);
	CU_ASSERT(str_equal(fake.store.tables->deliveries[0].item, STR("cape")));
	close_fake();
}

/* --- random histories --- */

enum { HISTORIES = 3000, STEPS = 40, PLAYERS = 3 };

static const char *const players[PLAYERS] = {"anna", "ben", "cleo"};

struct history {
	uint64_t random;
	unsigned keys;
	struct uuid resets[STEPS];
	unsigned reset_count;
};

static const char *
next_key(struct history *history)
{
	static char key[32];

	/* Now and then one that was used before. */
	unsigned number = random_below(&history->random, 8) == 0 && history->keys
				  ? (unsigned)random_below(&history->random, history->keys)
				  : history->keys++;

	snprintf(key, sizeof(key), "key-%u", number);
	return key;
}

static void
random_refund(struct history *history)
{
	const struct fake_tables *tables = fake.store.tables;

	if (tables->purchase_count == 0)
		return;
	const struct purchase_row *purchase =
		&tables->purchases[random_below(&history->random, tables->purchase_count)];
	char player[32];

	snprintf(player, sizeof(player), "%.*s", STR_ARGS(purchase->player));
	about(WRITE_REFUND, player, next_key(history), &purchase->id);
}

static void
random_step(struct history *history)
{
	const char *player = players[random_below(&history->random, PLAYERS)];

	switch (random_below(&history->random, 12)) {
	case 0:
	case 1:
		fake_service_give(&fake, player, "s1", next_key(history), 1 + random_below(&history->random, 300));
		break;
	case 2:
	case 3:
	case 4:
		buy(player, "premium", 0, next_key(history));
		break;
	case 5:
		buy(player, "", 1, next_key(history));
		break;
	case 6:
		random_refund(history);
		break;
	case 7:
		claim_all(player, next_key(history));
		break;
	case 8:
		correct(player, next_key(history), (int64_t)random_below(&history->random, 400) - 200);
		break;
	case 9: {
		const struct operation *done = reset(player, next_key(history), false);

		if (done->write.err == ERR_OK)
			history->resets[history->reset_count++] = done->entry.id;
		break;
	}
	case 10:
		if (history->reset_count)
			about(WRITE_RESET_UNDO, player, next_key(history),
			      &history->resets[random_below(&history->random, history->reset_count)]);
		break;
	default:
		arrive();
		courier(random_below(&history->random, 4) == 0);
	}
}

/* Faults are over: what is open is brought to its end. */
static void
settle_all(void)
{
	fake.faults.random = NULL;
	economy.random = NULL;
	economy.fate = FATE_GOOD;
	arrive();
	for (int i = 0; i < 4; i++)
		courier(false);
}

static unsigned
charged(const char *player, uint64_t amount)
{
	unsigned count = 0;

	for (size_t i = 0; i < economy.count; i++)
		if (strcmp(economy.debits[i].player, player) == 0 && economy.debits[i].amount == amount)
			count += economy.debits[i].state == ECONOMY_EXECUTED;
	return count;
}

/* No reward of a player was paid twice: claims were never forgotten. */
static bool
paid_twice(void)
{
	const struct fake_tables *tables = fake.store.tables;

	for (size_t i = 0; i < tables->delivery_count; i++)
		for (size_t j = 0; j < i; j++)
			if (str_equal(tables->deliveries[i].player, tables->deliveries[j].player) &&
			    str_equal(tables->deliveries[i].reward, tables->deliveries[j].reward))
				return true;
	return false;
}

static bool
adds_up(uint64_t from)
{
	bool good = true;

	fake_store_check(&fake.store);
	for (size_t i = 0; i < PLAYERS; i++) {
		unsigned net = charged(players[i], PRICE);

		if (net > 1 || net != owns(players[i])) {
			printf("# history %llu: %s was charged %u times, owns %d\n", (unsigned long long)from,
			       players[i], net, owns(players[i]));
			good = false;
		}
	}
	for (size_t i = 0; i < economy.count; i++)
		good = good && economy.debits[i].times_charged <= 1;
	for (size_t i = 0; i < fake.store.tables->purchase_count; i++)
		good = good && !purchase_is_open(fake.store.tables->purchases[i].state);
	if (fake.faults.broken[0])
		printf("# history %llu: %s\n", (unsigned long long)from, fake.faults.broken);
	return good && !fake.faults.broken[0] && !paid_twice();
}

static bool
run_history(uint64_t from, unsigned rarity)
{
	struct history history = {.random = from};
	uint64_t faults = from ^ 1;
	uint64_t fates = from ^ 2;

	open_fake();
	fake.faults.random = rarity ? &faults : NULL;
	fake.faults.rarity = rarity;
	economy.random = &fates;
	for (int i = 0; i < STEPS; i++)
		random_step(&history);
	settle_all();
	bool good = adds_up(from);

	fake_service_release(&fake);
	return good;
}

static void
test_random_histories(void)
{
	bool good = true;

	for (unsigned i = 0; i < HISTORIES && good; i++)
		good = run_history(random_next(&seed), 0);
	CU_ASSERT_TRUE(good);
}

static void
test_storms(void)
{
	bool good = true;

	for (unsigned i = 0; i < HISTORIES && good; i++)
		good = run_history(random_next(&seed), 4 + i % 40);
	CU_ASSERT_TRUE(good);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"claims: each status, all, replays, a pass bought late", test_claims},
		{"copies of a claim in one turn", test_copies_of_a_claim_in_one_turn},
		{"XP and tiers corrected, and only tried", test_corrections},
		{"passes given and taken", test_passes},
		{"resets and undoing them", test_resets},
		{"a purchase, its replay, what it refuses", test_purchase},
		{"a purchase declined", test_purchase_declined},
		{"a purchase whose answer is lost", test_purchase_unheard},
		{"a purchase in flight", test_purchase_in_flight},
		{"a purchase that is late and cancelled", test_purchase_late},
		{"charged, but owned by then: refunded", test_charged_but_not_grantable},
		{"no purchase beside one that it hangs on", test_no_upgrade_beside},
		{"stuck, and closed by hand", test_stuck},
		{"charged, but the season is over: refunded", test_season_over_meanwhile},
		{"refund, and buying again pays nothing twice", test_refund},
		{"two refunds in one turn", test_two_refunds_in_one_turn},
		{"settled twice", test_settled_twice},
		{"an upgrade, its refund, and its tier once", test_upgrade},
		{"what is only tried, beside a grant", test_tried_beside_a_grant},
		{"what is left is claimed as the passes say", test_auto_claim},
		{"random histories with an economy of any fate", test_random_histories},
		{"the same in storms of faults", test_storms},
		CU_TEST_INFO_NULL,
	};

	log_set_level(LOG_ERROR);
	seed = tap_seed();
	return tap_main("service/operations", tests);
}
