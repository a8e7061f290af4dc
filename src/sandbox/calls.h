/*
 * The sandbox's calls: from a request over the books to an answer, and what a fault makes of it on the way. The calls of
 * the economy stand under /v1/, those for tests and people under /sandbox/.
 */
#ifndef BP_SANDBOX_CALLS_H
#define BP_SANDBOX_CALLS_H

#include "sandbox/bank.h"
#include "sandbox/journey.h"
#include "sandbox/server.h"
#include "sandbox/trouble.h"

/* What every call works with; borrowed, and there before the first request comes. */
struct calls {
	struct bank *bank;
	struct troubles *troubles;
	struct journey *journey;
	struct server *server;
	int64_t retention_ms; /* of keys; BANK_KEEP_KEYS */
};

/* A server_handler; context is the struct calls. */
void calls_handle(void *context, const struct server_request *request, struct server_answer *answer);

#endif
