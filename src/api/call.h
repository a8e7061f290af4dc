/*
 * A call: one request on its way through decode, the turn's work, and encode. Each resource is a file with its decode
 * and encode functions; routes.c is the table of them all.
 */
#ifndef BP_API_CALL_H
#define BP_API_CALL_H

#include "api/fields.h"
#include "auth/token.h"
#include "base/fault.h"
#include "base/json.h"
#include "base/metrics.h"
#include "http/request.h"
#include "http/response.h"
#include "service/turn.h"

/* Bits: a route may be served in several lanes. */
enum lane {
	LANE_READ = 1 << METRIC_LANE_READ,
	LANE_STORE = 1 << METRIC_LANE_STORE,
	LANE_PURCHASE = 1 << METRIC_LANE_PURCHASE,
	LANE_ADMIN = 1 << METRIC_LANE_ADMIN,
};

static inline unsigned
lane_number(enum lane lane)
{
	return (unsigned)__builtin_ctz((unsigned)lane);
}

/* What the API holds for the life of a process; all borrowed. */
struct api {
	enum lane lane; /* of this process */
	struct service *service;
	struct token_verifier *verifier;
	const struct metrics *metrics;
	struct access_log *access;
};

/* How far a turn was when, by CLOCK_BOOTTIME. */
struct turn_times {
	size_t requests;
	int64_t began_us;
	/* 0 in the read lane, which spares itself the clock. */
	int64_t decoded_us;
	int64_t worked_us;
	int64_t resumed_us; /* what those waited for that are answered now; 0: nobody has waited yet */
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
	struct uuid id;                    /* of the path: a purchase, reset or delivery */
	struct faults faults;
	struct json *body;
	enum err err;
	const char *detail;          /* goes with err; NULL: its own text */
	void *work;                  /* what decode leaves for encode */
	struct operation *operation; /* the same where it is one: as long as it waits, there is no answer */
	const struct write *writes;  /* all that decode has added, behind one another */
	size_t write_count;
	enum source source;             /* of a progress document, once it is there */
	int64_t waited_us;              /* since nginx had it; 0: nobody knows */
	const struct turn_times *times; /* NULL: it had no turn */
	bool answered;
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
	enum err unknown_id; /* the error for an {id} that can be none */
};

/* Helpers of decode functions. */

/* Parses the body: ERR_NOT_JSON, ERR_BODY_TOO_LARGE, ERR_MALFORMED_JSON. */
enum err call_parse_body(struct call *call);
/* Decodes the body's object by a table. */
enum err call_decode_body(struct call *call, const struct field *fields, size_t field_count, void *target);
/* The Idempotency-Key header: ERR_MISSING_IDEMPOTENCY_KEY, ERR_INVALID_FIELD. */
enum err call_idempotency_key(struct call *call, struct str *ret_key);
/* A fault outside of the body, at "/query/page_size" and the like: ERR_INVALID_FIELD. */
enum err call_fault(struct call *call, const char *pointer, const char *code, const char *detail);
/*
 * What an operation's body can say. Each kind takes some of these by its own table of fields; what a kind does not take
 * stays zero.
 */
struct operation_body {
	struct str reason;
	bool validate_only;
	int64_t amount;
	int64_t tiers;
	struct str pass;
	size_t claims; /* of FIELD_CHOICE: CLAIMS_KEEP, CLAIMS_FORGET */
	struct id_list rewards;
	bool all;
};

/* Fields of every admin's write. */
#define REASON_FIELD                                                                                                   \
	{                                                                                                              \
		"reason", FIELD_TEXT, true, offsetof(struct operation_body, reason), 1, 500                            \
	}
#define VALIDATE_ONLY_FIELD                                                                                            \
	{                                                                                                              \
		"validate_only", FIELD_BOOLEAN, false, offsetof(struct operation_body, validate_only), 0, 1            \
	}

struct operation_form {
	enum write_kind kind;
	const char *name; /* part of each request's hash, which is stored: it never changes */
	const struct field *fields;
	size_t field_count;
};

/* The Idempotency-Key and the body of an operation. Does not touch *ret_key and *ret_body on failure. */
enum err call_decode_operation(struct call *call, const struct operation_form *form, struct str *ret_key,
			       struct operation_body *ret_body);
/* Adds it to the turn, with the token's subject as its author; sets call->operation. */
struct operation *call_add_operation(struct call *call, const struct operation_form *form, struct str player,
				     const struct season_entry *season, struct str key,
				     const struct operation_body *body);
/* Both, for the player and season of the path. */
enum err call_operation(struct call *call, const struct operation_form *form);
/* ?page_size (clamped to 1-200, 50 by default) and ?cursor (empty if none). */
enum err call_page(struct call *call, uint32_t *ret_size, struct str *ret_cursor);

/* Helpers of encode functions. */

/* This JSON. */
void call_answer(struct call *call, int status, struct buf *body);
/*
 * What became of call->operation: ERR_OK, and the header of a replay; or its error, and Retry-After while another
 * request with its key is being served.
 */
enum err call_operation_result(struct call *call);
/* Location: where a purchase that is not decided can be asked for. */
void call_locate_purchase(struct call *call, const struct purchase_row *purchase);
/* The link to the next page: the same path and query, with this cursor. */
void call_link_next(struct call *call, struct str cursor);
/* Sets the ETag; true and a 304 if the client has it already. */
bool call_not_modified(struct call *call, struct str etag);

#endif
