/*
 * The traceparent header (W3C Trace Context, version 00): "00-<trace id>-<parent id>-<flags>", 32, 16 and 2 lower-case
 * hexadecimal digits. What is not of this form to the letter is nothing, and whoever goes on begins a new trace.
 */
#ifndef BP_BASE_TRACE_H
#define BP_BASE_TRACE_H

#include "base/str.h"

enum { TRACE_TEXT_SIZE = 56 };

/* Neither id is all zero. Of another version nothing is known. */
bool trace_valid(struct str traceparent);
/* The trace id within it; empty where it is empty. It must be valid or empty. */
struct str trace_id(struct str traceparent);
/*
 * The header of a call that belongs to it, with a NUL: the same trace and flags, a parent id of its own. A new trace
 * that nobody has asked to record (flags 00) where it is not valid.
 */
void trace_onward(struct str traceparent, char text[TRACE_TEXT_SIZE]);

#endif
