/*
 * What each call of the economy service looks like as a request: one table (verbs.c). Pure; no HTTP library is known
 * here.
 */
#ifndef BP_ECONOMY_VERBS_H
#define BP_ECONOMY_VERBS_H

#include "base/buf.h"
#include "service/ports.h"

/* False: a GET. A POST has a body where verb_body() wrote one. */
bool verb_posts(enum economy_verb verb);
/* True: the key goes into the header Idempotency-Key; else it stands in the path. */
bool verb_carries_key(enum economy_verb verb);
/* Appends the path below the base address, for instance /v1/debits/<key>/cancel. */
void verb_path(const struct economy_call *call, struct buf *out);
/* Appends the JSON body; nothing for a call that has none. Texts must be valid UTF-8. */
void verb_body(const struct economy_call *call, struct buf *out);

#endif
