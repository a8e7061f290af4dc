/* An HTTP/1.1 answer as nginx sends it: a head, and a body of a length that the head says. */
#ifndef CHAOS_HTTP_H
#define CHAOS_HTTP_H

#include "json.h"

struct answer {
	int status;
	struct text body;
	struct text type;   /* Content-Type */
	struct text source; /* what Server-Timing says: cache, store, or nothing */
	bool unconfirmed;   /* Cache-Status: ..detail=unconfirmed */
	bool retry_after;
	bool closes; /* the connection is not used again */
};

enum http_state { HTTP_PARTIAL, HTTP_WHOLE, HTTP_BROKEN };

/* Reads from what has come so far; on HTTP_WHOLE the answer points into it, and *ret_size is what it takes. */
enum http_state http_parse(const char *data, size_t size, struct answer *ret_answer, size_t *ret_size);

/* A problem+json with a code and the answer's own status; *ret_code is the code. */
bool answer_is_problem(const struct answer *answer, struct text *ret_code);

#endif
