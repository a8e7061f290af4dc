/*
 * One call of the sandbox on its way: what the handlers share to read a request strictly and to write an answer, which is
 * where the faults that show in an answer's members take hold. The call_read functions answer by themselves when they
 * return false.
 */
#ifndef BP_SANDBOX_CALL_H
#define BP_SANDBOX_CALL_H

#include "base/json.h"
#include "sandbox/calls.h"

enum { CALL_RETRY_AFTER_S = 1 };

struct call {
	const struct calls *calls;
	const struct server_request *request;
	struct server_answer *answer;
	struct trouble trouble;
	struct arena arena;
	struct json *body; /* of a call that has one */
	struct str id;     /* from the path */
	struct str key;    /* from the header */
	int64_t retention_ms;
};

/* Letters, digits and -._:~; any text but none; any text; from 1; from 0. */
enum call_field_kind { CALL_ID, CALL_NAME, CALL_TEXT, CALL_AMOUNT, CALL_BALANCE };

/* A member of a body; a table of them ends with a name of NULL. */
struct call_field {
	const char *name;
	enum call_field_kind kind;
	size_t offset; /* of a struct str or an int64_t */
};

/* --- answers --- */

/* An empty body with that status. */
struct buf *call_begin(struct call *call, unsigned status);
void call_answer_code(struct call *call, unsigned status, const char *code);
void call_answer_invalid(struct call *call, const char *detail);
/* The books could not answer. */
void call_answer_error(struct call *call, enum err err);
/* Members of an answer, as the call's fault has them, and its end. */
void call_put_text(struct call *call, const char *name, struct str value);
void call_put_key(struct call *call, struct str key);
void call_put_integer(struct call *call, const char *name, int64_t value);
void call_put_state(struct call *call, enum bank_state state);
void call_put_end(struct call *call);

/* --- requests --- */

/* The body as one JSON object. */
bool call_read_body(struct call *call);
/* All of the fields and no others, into target. */
bool call_read_fields(struct call *call, const struct call_field *fields, void *target);
/* Into call->key: from the header, from the path. */
bool call_read_key(struct call *call);
bool call_read_path_key(struct call *call);
/* call->id is a player. */
bool call_read_path_player(struct call *call);

/* --- the calls of the economy --- */

void call_debit(struct call *call);
void call_lookup(struct call *call);
void call_cancel(struct call *call);
void call_refund(struct call *call);
void call_deliver(struct call *call);

#endif
