/*
 * A call: one request on its way through decode, the turn's work, and encode. Each resource is a file with its decode
 * and encode functions; routes.c is the table of them all.
 */
#ifndef BP_API_CALL_H
#define BP_API_CALL_H

#include "auth/token.h"
#include "base/fault.h"
#include "base/json.h"
#include "base/metrics.h"
#include "http/request.h"
#include "http/response.h"
#include "service/turn.h"

/* Bits: a route may be served in several lanes. */
enum lane { LANE_READ = 1 << 0, LANE_STORE = 1 << 1, LANE_ADMIN = 1 << 2 };

/* What the API holds for the life of a process; all borrowed. */
struct api {
	enum lane lane; /* of this process */
	struct service *service;
	struct token_verifier *verifier;
	const struct metrics *metrics;
};

struct call {
	const struct api *api;
	struct turn *turn;
	struct arena *arena;
	struct request *request;
	struct response *response;
	const struct route *route;
	struct identity who;
	const struct season_entry *season; /* of the path */
	struct str player;                 /* of the path; `me` is resolved */
	struct faults faults;
	struct json *body;
	enum err err;
	const char *detail; /* goes with err; NULL: its own text */
	void *work;         /* what decode leaves for encode */
};

/* Checks the request and adds its work to the turn. */
typedef enum err call_decode(struct call *call);
/* Writes the response from the work's results. */
typedef enum err call_encode(struct call *call);

struct route {
	enum method method;
	const char *pattern;
	unsigned lanes;      /* the first bit set is where others send it */
	unsigned roles;      /* 0: nobody is asked who he is */
	bool internal;       /* only through the loopback server */
	call_decode *decode; /* may be NULL */
	call_encode *encode;
};

/* Helpers of decode functions. */

/* Parses the body: ERR_NOT_JSON, ERR_BODY_TOO_LARGE, ERR_MALFORMED_JSON. */
enum err call_parse_body(struct call *call);
/* Decodes the body's object by a table. */
struct field;
enum err call_decode_body(struct call *call, const struct field *fields, size_t field_count, void *target);
/* The Idempotency-Key header: ERR_MISSING_IDEMPOTENCY_KEY, ERR_INVALID_FIELD. */
enum err call_idempotency_key(struct call *call, struct str *ret_key);
/* A fault outside of the body, at "/query/page_size" and the like: ERR_INVALID_FIELD. */
enum err call_fault(struct call *call, const char *pointer, const char *code, const char *detail);
/* ?page_size (clamped to 1-200, 50 by default) and ?cursor (empty if none). */
enum err call_page(struct call *call, uint32_t *ret_size, struct str *ret_cursor);

/* Helpers of encode functions. */

/* 200 with this JSON. */
void call_answer(struct call *call, int status, struct buf *body);
/* The link to the next page: the same path and query, with this cursor. */
void call_link_next(struct call *call, struct str cursor);
/* Sets the ETag; true and a 304 if the client has it already. */
bool call_not_modified(struct call *call, struct str etag);

#endif
