/*
 * The calls of the economy: debits, looked up, cancelled and refunded, and deliveries. What a fault does to them
 * happens around them, but for refusing, which changes what is written into the books.
 */
#include <stddef.h>

#include "sandbox/call.h"

static const struct call_field debit_fields[] = {
	{"player", CALL_ID, offsetof(struct bank_debit, player)},
	{"currency", CALL_ID, offsetof(struct bank_debit, currency)},
	{"amount", CALL_AMOUNT, offsetof(struct bank_debit, amount)},
	{"reference", CALL_TEXT, offsetof(struct bank_debit, reference)},
	{NULL, CALL_TEXT, 0},
};

static const struct call_field delivery_fields[] = {
	{"player", CALL_ID, offsetof(struct bank_delivery, player)},
	{"kind", CALL_NAME, offsetof(struct bank_delivery, kind)},
	{"item", CALL_NAME, offsetof(struct bank_delivery, item)},
	{"quantity", CALL_AMOUNT, offsetof(struct bank_delivery, quantity)},
	{"reference", CALL_TEXT, offsetof(struct bank_delivery, reference)},
	{NULL, CALL_TEXT, 0},
};

static void
answer_debit(struct call *call, const struct bank_debit *debit, unsigned status)
{
	call_begin(call, status);
	call_put_text(call, "transaction", debit->transaction);
	call_put_key(call, debit->key);
	call_put_text(call, "player", debit->player);
	call_put_text(call, "currency", debit->currency);
	call_put_integer(call, "amount", debit->amount);
	call_put_state(call, debit->state);
	call_put_end(call);
}

void
call_debit(struct call *call)
{
	struct bank_debit asked = {0}, debit;
	enum bank_outcome outcome;

	if (!call_read_key(call) || !call_read_body(call) || !call_read_fields(call, debit_fields, &asked))
		return;
	asked.key = call->key;
	enum err err = bank_debit(call->calls->bank, &asked, call->retention_ms, call->trouble.kind == TROUBLE_REFUSE,
				  &call->arena, &debit, &outcome);

	if (err != ERR_OK)
		call_answer_error(call, err);
	else if (outcome == BANK_KEY_REUSED)
		call_answer_code(call, 409, "key_reused");
	else if (outcome == BANK_WRONG_STATE)
		call_answer_code(call, debit.state == BANK_DECLINED ? 402 : 409, bank_state_name(debit.state));
	else
		answer_debit(call, &debit, outcome == BANK_DONE ? 201 : 200);
}

void
call_lookup(struct call *call)
{
	struct bank_debit debit;
	enum bank_outcome outcome;

	if (!call_read_path_key(call))
		return;
	enum err err = bank_find(call->calls->bank, call->key, call->retention_ms, &call->arena, &debit, &outcome);

	if (err != ERR_OK)
		return call_answer_error(call, err);
	if (outcome == BANK_UNKNOWN)
		return call_answer_code(call, 404, "not_found");
	call_begin(call, 200);
	call_put_key(call, debit.key);
	/* A key that was cancelled before its debit came belongs to nobody. */
	if (debit.player.len) {
		call_put_text(call, "player", debit.player);
		call_put_text(call, "currency", debit.currency);
		call_put_integer(call, "amount", debit.amount);
	}
	call_put_state(call, debit.state);
	call_put_end(call);
}

/* The answer to both cancel and refund, whether it went through or not. */
static void
answer_state(struct call *call, const struct bank_debit *debit, unsigned status)
{
	call_begin(call, status);
	call_put_key(call, debit->key);
	call_put_state(call, debit->state);
	call_put_end(call);
}

void
call_cancel(struct call *call)
{
	struct bank_debit debit;
	enum bank_outcome outcome;

	if (!call_read_path_key(call))
		return;
	enum err err = bank_cancel(call->calls->bank, call->key, call->retention_ms, &call->arena, &debit, &outcome);

	if (err != ERR_OK)
		return call_answer_error(call, err);
	answer_state(call, &debit, outcome == BANK_DONE ? 200 : 409);
}

void
call_refund(struct call *call)
{
	struct bank_debit debit;
	enum bank_outcome outcome;

	if (!call_read_path_key(call))
		return;
	enum err err = bank_refund(call->calls->bank, call->key, call->retention_ms, &call->arena, &debit, &outcome);

	if (err != ERR_OK)
		return call_answer_error(call, err);
	if (outcome != BANK_DONE)
		return call_answer_code(call, 404, "not_found");
	answer_state(call, &debit, 200);
}

void
call_deliver(struct call *call)
{
	struct bank_delivery asked = {0}, delivery;
	enum bank_outcome outcome;

	if (!call_read_key(call) || !call_read_body(call) || !call_read_fields(call, delivery_fields, &asked))
		return;
	if (call->trouble.kind == TROUBLE_REFUSE)
		return call_answer_code(call, 422, "refused");
	asked.key = call->key;
	enum err err = bank_deliver(call->calls->bank, &asked, call->retention_ms, &call->arena, &delivery, &outcome);

	if (err != ERR_OK)
		return call_answer_error(call, err);
	if (outcome == BANK_KEY_REUSED)
		return call_answer_code(call, 409, "key_reused");
	call_begin(call, outcome == BANK_DONE ? 201 : 200);
	call_put_key(call, delivery.key);
	call_put_text(call, "player", delivery.player);
	call_put_text(call, "kind", delivery.kind);
	call_put_text(call, "item", delivery.item);
	call_put_integer(call, "quantity", delivery.quantity);
	call_put_end(call);
}
