/* The calls that the driver makes: what is asked, and what to make of the answer. */
#ifndef CHAOS_CALLS_H
#define CHAOS_CALLS_H

#include "http.h"
#include "record.h"

enum { LOOKUP_MOST = 50, BATCH_MOST = 20, REQUEST_SIZE = 8192 };

enum kind { KIND_READ, KIND_LOOKUP, KIND_GRANT, KIND_BATCH, KINDS };

struct call {
	enum kind kind;
	size_t class;
	int64_t began_us;
	size_t count;
	uint16_t players[LOOKUP_MOST]; /* reads, and what they must not be older than */
	struct bound bounds[LOOKUP_MOST];
	size_t writes[BATCH_MOST];
};

struct calls_options {
	const char *season, *token;
	size_t players;
	uint64_t seed;
};

void calls_init(const struct calls_options *options);
void calls_allow_writes(bool allowed);
/* From now on only writes whose outcome is unknown are repeated. */
void calls_wind_up(void);

/* Makes the request; it has to be sent at once. 0: there is nothing to ask just now. */
size_t call_begin(struct call *call, enum kind kind, size_t class, char request[REQUEST_SIZE]);
void call_end(const struct call *call, const struct answer *answer);
/* The connection broke, or nothing came. */
void call_lost(const struct call *call, const char *why);

int64_t now_us(void);
uint64_t random_below(uint64_t bound);

#endif
