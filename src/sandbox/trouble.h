/*
 * The faults that the sandbox can be told to have: which there are, which are switched on, and which one strikes a call.
 * Nothing is carried out here. Lists come and go as JSON:
 *
 *	{"faults":[{"fault":"late","calls":"debits","probability":0.5,"delay_ms":1500,"times":3}, ..]}
 *
 * calls: debits, deliveries, cancel, refund, lookup or all (the default). probability: 0 to 1 (default 1). delay_ms: 0 to
 * 600000; each kind has a default. times: strikes that are left; absent: no end. A call is struck by the first entry, in
 * the order of the list, that fits it and whose dice say so. "down" without calls strikes when the list is put.
 */
#ifndef BP_SANDBOX_TROUBLE_H
#define BP_SANDBOX_TROUBLE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"

enum { TROUBLE_ENTRIES_MAX = 64 };

enum trouble_call {
	TROUBLE_NEVER, /* not a call of the economy: nothing strikes it */
	TROUBLE_DEBITS,
	TROUBLE_DELIVERIES,
	TROUBLE_CANCEL,
	TROUBLE_REFUND,
	TROUBLE_LOOKUP,
	TROUBLE_ALL
};

enum trouble_kind {
	TROUBLE_NONE,
	TROUBLE_LATE,
	TROUBLE_LATE_CHARGE,
	TROUBLE_ERROR_500,
	TROUBLE_ERROR_500_EXECUTED,
	TROUBLE_DROP,
	TROUBLE_DROP_BEFORE,
	TROUBLE_CUT,
	TROUBLE_WRONG_AMOUNT,
	TROUBLE_WRONG_KEY,
	TROUBLE_RUBBISH,
	TROUBLE_HUGE,
	TROUBLE_REDIRECT,
	TROUBLE_REFUSE,
	TROUBLE_WRONG_TYPES,
	TROUBLE_FORGET,
	TROUBLE_DOWN,
	TROUBLE_UNAVAILABLE_503,
	TROUBLE_TOO_MANY_429,
	TROUBLE_KINDS
};

/* What strikes one call. */
struct trouble {
	enum trouble_kind kind;
	int64_t delay_ms;
};

struct troubles;

/* Made before any thread is. */
struct troubles *troubles_new(void);
void troubles_free(struct troubles *troubles);

/* The following may be called by any thread. What strikes this call; kind TROUBLE_NONE: nothing. */
struct trouble troubles_strike(struct troubles *troubles, enum trouble_call call);
/*
 * Puts the list in place of the one before. *ret_down_ms: how long the server is to go down at once, 0: not at all. On
 * ERR_INVALID_FIELD nothing is changed and detail (JSON_DETAIL_SIZE) says why.
 */
enum err troubles_put(struct troubles *troubles, const struct json *body, int64_t *ret_down_ms, char *detail);
/* The list as JSON, each entry with "struck": how often. */
void troubles_print(struct troubles *troubles, struct buf *out);
/* A line a kind, for --help. */
void trouble_print_kinds(FILE *out);

#endif
