/*
 * A response as plain values: status, header lines, body. The lane sends it. All texts are in the turn's arena, or
 * static.
 */
#ifndef BP_HTTP_RESPONSE_H
#define BP_HTTP_RESPONSE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/fault.h"

struct response {
	int status;
	struct str lane;    /* not empty: nginx shall ask this lane instead; nothing else counts */
	struct buf headers; /* lines ending in \r\n; of the process, kept over turns */
	struct str body;
};

void response_clear(struct response *response);
/* name and value must not hold control characters. */
void response_header(struct response *response, struct str name, struct str value);
void response_json(struct response *response, int status, struct str body);
/* problem+json (RFC 9457). faults may be NULL; detail may be NULL: the error's own text. */
void response_problem(struct response *response, struct arena *arena, enum err err, const char *detail,
		      const struct faults *faults, struct str instance);
/* Appends ,"errors":[{"pointer","code","detail"}..]. */
void response_put_faults(struct buf *body, const struct faults *faults);
/* The status that goes with an error. */
int err_status(enum err err);
/* The error that a client is told: what is internal to us becomes internal or store_unavailable. */
enum err err_public(enum err err);

#endif
