/*
 * Between purchases and the economy service: which call a purchase needs, and what an outcome proves. Used by a turn
 * while a request waits, and by the courier afterwards.
 */
#ifndef BP_SERVICE_PAYMENTS_H
#define BP_SERVICE_PAYMENTS_H

#include "service/ports.h"

/* Fills in the call (zeroed before) about this purchase; texts are borrowed from it or made in the arena. */
void payment_call(const struct purchase_row *purchase, enum economy_verb verb, struct arena *arena,
		  struct economy_call *call);
/* The call that an open purchase needs next: a debit, a cancel or a refund. */
enum economy_verb payment_verb(enum purchase_state state);
/*
 * How long this purchase or refund is waited for, of so much at most. Not all for the same time: those that began
 * together would be answered, and asked for again, together ever after.
 */
int64_t payment_patience_ms(const struct uuid *id, int64_t answer_within_ms);
/* After this time a courier may take it, too: so much is left to its process to settle what has come in last. */
enum { PAYMENT_MARGIN_MS = 500 };
/*
 * What an outcome proves. False: nothing that moves the purchase. An "executed" that answers a cancel does not count:
 * it names no amount, so the debit must be looked up.
 */
bool payment_proves(enum economy_verb verb, enum economy_outcome outcome, enum purchase_event *ret_event);

#endif
