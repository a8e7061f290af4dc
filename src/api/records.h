/*
 * Purchases, claims, deliveries and audit entries as the API shows them.
 */
#ifndef BP_API_RECORDS_H
#define BP_API_RECORDS_H

#include "service/ports.h"

/* A purchase's members, without the braces: with its history, of those steps that are its own; NULL: without. */
void record_purchase(const struct purchase_row *row, const struct purchase_step *steps, size_t count, struct buf *out);
/* The members of a delivery. */
void record_delivery(const struct delivery_row *row, struct buf *out);
/* The members of a claim; with its player and season where the list is not of one of them. */
void record_claim(const struct claim_row *row, bool with_player, struct buf *out);
/* The members of an audit entry. */
void record_entry(const struct audit_entry *entry, struct buf *out);
/* {"currency", "amount"} */
void record_price(struct str currency, uint64_t amount, struct buf *out);

const char *delivery_state_name(enum delivery_state state);
/* False if there is no such name. */
bool delivery_state_parse(struct str name, enum delivery_state *ret_state);

#endif
