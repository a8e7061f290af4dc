/*
 * The calls of the economy that came last, as they came: what a test asks to see whether a trace has arrived. In memory
 * only; any thread may call.
 */
#ifndef BP_SANDBOX_JOURNEY_H
#define BP_SANDBOX_JOURNEY_H

#include "sandbox/server.h"

enum { JOURNEY_CALLS = 256 };

struct journey;

struct journey *journey_new(void);
void journey_free(struct journey *journey);
/* A text that is longer than anything of ours is cut. */
void journey_note(struct journey *journey, const struct server_request *request);
/* {"calls":[{"method","path","idempotency_key","traceparent"}, ..]}, the oldest first; what was not sent is empty. */
void journey_print(struct journey *journey, struct buf *out);

#endif
