/* Calls of the economy for purchases: see payments.h. */
#include "service/payments.h"

#include "base/clock.h"
#include "base/crash.h"
#include "service/use_cases.h"

void
payment_call(const struct purchase_row *purchase, enum economy_verb verb, struct arena *arena,
	     struct economy_call *call)
{
	call->verb = verb;
	call->key = purchase->id;
	call->player = purchase->player;
	call->currency = purchase->currency;
	call->amount = purchase->amount;
	call->reference = purchase->pass.len
				  ? arena_format(arena, "%s/%.*s", purchase->season, STR_ARGS(purchase->pass))
				  : arena_format(arena, "%s/tiers:%u", purchase->season, purchase->tiers);
}

enum economy_verb
payment_verb(enum purchase_state state)
{
	switch (state) {
	case PURCHASE_CANCELLING:
		return ECONOMY_CANCEL;
	case PURCHASE_REFUNDING:
		return ECONOMY_REFUND;
	default:
		return ECONOMY_DEBIT;
	}
}

int64_t
payment_patience_ms(const struct uuid *id, int64_t answer_within_ms)
{
	/* The last byte of an id is random. */
	return answer_within_ms - answer_within_ms / 4 * id->bytes[sizeof(id->bytes) - 1] / UINT8_MAX;
}

bool
payment_proves(enum economy_verb verb, enum economy_outcome outcome, enum purchase_event *ret_event)
{
	static const struct {
		enum economy_outcome outcome;
		unsigned verbs; /* bits: the calls of which it is an answer that proves something */
		enum purchase_event event;
	} proofs[] = {
		{ECONOMY_EXECUTED, 1 << ECONOMY_DEBIT | 1 << ECONOMY_LOOKUP, PURCHASE_CHARGED},
		{ECONOMY_DECLINED, 1 << ECONOMY_DEBIT | 1 << ECONOMY_LOOKUP | 1 << ECONOMY_CANCEL, PURCHASE_REFUSED},
		{ECONOMY_VOIDED, 1 << ECONOMY_DEBIT | 1 << ECONOMY_LOOKUP | 1 << ECONOMY_CANCEL, PURCHASE_VOIDED},
		{ECONOMY_REFUNDED, 1 << ECONOMY_LOOKUP | 1 << ECONOMY_CANCEL | 1 << ECONOMY_REFUND,
		 PURCHASE_WAS_REFUNDED},
		{ECONOMY_KEY_REUSED, 1 << ECONOMY_DEBIT, PURCHASE_LOST},
		{ECONOMY_NEVER_SEEN, 1 << ECONOMY_REFUND, PURCHASE_LOST},
	};

	for (size_t i = 0; i < sizeof(proofs) / sizeof(proofs[0]); i++) {
		if (proofs[i].outcome != outcome || !(proofs[i].verbs >> verb & 1))
			continue;
		*ret_event = proofs[i].event;
		return true;
	}
	return false;
}

/*
 * A process that was stopped since it decided must not ask any more: a courier has done so, and the economy may have
 * forgotten the key by now.
 */
static bool
is_late(const struct turn *turn, const struct purchase_row *purchase)
{
	return turn->boot_epoch_ms + clock_boot_ms() - purchase->updated_at_ms > purchase->due_in_ms;
}

/* Only what this very turn has decided: a replay is nobody's business but of whoever is at it already. */
static bool
needs_call(const struct write *write)
{
	const struct operation *operation = (const struct operation *)write;

	return (write->kind == WRITE_PURCHASE || write->kind == WRITE_REFUND) && write->err == ERR_OK &&
	       !write->replayed && !operation->validate_only && purchase_is_open(operation->purchase.state);
}

static void
begin(struct turn *turn, struct operation *operation)
{
	const struct service *service = turn->service;
	const struct economy_port *economy = service->rooms.economy;
	struct payment *payment = ARENA_NEW(turn->arena, struct payment);

	payment->operation = operation;
	payment->until_boot_ms =
		clock_boot_ms() + payment_patience_ms(&operation->purchase.id, service->limits.answer_within_ms);
	payment_call(&operation->purchase, payment_verb(operation->purchase.state), turn->arena, &payment->call);
	payment->call.traceparent = operation->traceparent;
	payment->next = turn->payments;
	turn->payments = payment;
	operation->waits = true;
	economy->begin(economy->self, &payment->call);
}

void
payments_begin(struct turn *turn, const struct write *writes)
{
	if (!turn->service->rooms.economy)
		return;
	for (const struct write *write = writes; write; write = write->next) {
		if (!needs_call(write))
			continue;
		crash_point("decided");
		if (is_late(turn, &((const struct operation *)write)->purchase))
			continue;
		begin(turn, (struct operation *)write);
	}
}

struct payment *
payments_collect(struct turn *turn)
{
	const struct economy_port *economy = turn->service->rooms.economy;
	int64_t now_ms = clock_boot_ms();
	struct payment *finished = NULL;

	for (struct payment **at = &turn->payments; *at;) {
		struct payment *payment = *at;

		if (payment->call.outcome == ECONOMY_WAITING && now_ms < payment->until_boot_ms) {
			at = &payment->next;
			continue;
		}
		if (payment->call.outcome == ECONOMY_WAITING)
			economy->abandon(economy->self, &payment->call);
		*at = payment->next;
		payment->next = finished;
		finished = payment;
	}
	return finished;
}

/*
 * A purchase whose outcome is not proven stays as it is: its answer is 202, and a courier goes on with it when its time
 * has run out; which is now where the economy did answer, but proved nothing.
 */
static void
release(struct turn *turn, const struct purchase_row *const purchases[], size_t count)
{
	const struct store_port *store = turn->service->rooms.store;

	if (count)
		store->release_purchases(store->self, purchases, count);
}

static void
settle(struct turn *turn, struct payment *payment, enum purchase_event event)
{
	const struct operation *asked = payment->operation;

	crash_point("proven");
	payment->settlement = turn_add_operation(turn, WRITE_SETTLEMENT, asked->write.player, asked->write.season);
	payment->settlement->author = asked->author;
	payment->settlement->subject = asked->purchase.id;
	payment->settlement->event = event;
}

void
payments_settle(struct turn *turn, struct payment *finished)
{
	const struct purchase_row **open;
	size_t count = 0;

	for (const struct payment *payment = finished; payment; payment = payment->next)
		count++;
	open = ARENA_ARRAY(turn->arena, count, const struct purchase_row *);
	count = 0;
	for (struct payment *payment = finished; payment; payment = payment->next) {
		enum purchase_event event;

		if (payment_proves(payment->call.verb, payment->call.outcome, &event))
			settle(turn, payment, event);
		else if (clock_boot_ms() < payment->until_boot_ms)
			open[count++] = &payment->operation->purchase;
	}
	release(turn, open, count);
}

void
payments_publish(struct payment *finished)
{
	for (struct payment *payment = finished; payment; payment = payment->next) {
		payment->operation->waits = false;
		if (payment->settlement && payment->settlement->write.err == ERR_OK)
			payment->operation->purchase = payment->settlement->purchase;
	}
}
