/*
 * What an answer of the economy service proves. Pure: status and body in, outcome and detail out. Whatever is not in
 * the table of answer.c to the letter proves nothing, whoever sent it: a proxy's error page must never decide about
 * money.
 */
#ifndef BP_ECONOMY_ANSWER_H
#define BP_ECONOMY_ANSWER_H

#include "service/ports.h"

/*
 * Sets call->outcome (never ECONOMY_WAITING) and call->detail: empty where the outcome is what the call was for, else a
 * short reason. Nothing of the body stands in it but a machine code (lower-case letters, digits, "_").
 */
void answer_judge(struct economy_call *call, unsigned status, struct str body);

/* ECONOMY_UNKNOWN for a reason: printable ASCII. */
void answer_unknown(struct economy_call *call, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
