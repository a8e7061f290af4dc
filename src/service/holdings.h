/*
 * What a player's row means in its season: the passes and claims that the domain knows by index, out of the ids that
 * are stored.
 */
#ifndef BP_SERVICE_HOLDINGS_H
#define BP_SERVICE_HOLDINGS_H

#include "service/ports.h"

/* Passes that the player owns itself, as bits. One that the season no longer has counts for nothing. */
uint32_t holdings_owned(const struct season *season, const struct progress_row *row);
/* Passes that are open to it: owned, included in an owned one, or free. */
uint32_t holdings_open(const struct season *season, const struct progress_row *row);
/* What it has claimed of this season's rewards. */
struct claimed_set holdings_claimed(const struct season *season, const struct progress_row *row);
/* The row's entry of this pass, active or not; NULL: it never had it. */
struct owned_pass *holdings_pass(const struct progress_row *row, struct str pass);
bool holdings_has_claim(const struct progress_row *row, struct str reward);

#endif
