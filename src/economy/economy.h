/*
 * The client of the economy service: the calls of service/ports.h over HTTP. It never guesses: an outcome other than
 * ECONOMY_UNKNOWN stands for words of the economy that prove it (answer.h says which). It never repeats a call by
 * itself but in one case: when a kept connection turns out to have been closed before a byte of the answer came,
 * libcurl sends the same request with the same key once more on a new one.
 *
 * One process, one struct economy, made after fork. Nothing here waits: the calls go on in drive(). A call ends
 * economy.timeout_ms after its begin() at the latest, its time in the queue included: only ECONOMY_CONNECTIONS of them
 * are on the wire at a time. Names are looked up by a thread of libcurl's that an abandoned call leaves behind; an
 * address in numbers needs none.
 *
 * What is not done on purpose: no redirects, no proxy whatever the environment says, no cookies, no netrc, no
 * compressed answers, nothing but http and https, and TLS is always verified. SIGPIPE must be ignored by the process.
 * Neither the token nor an answer is ever logged or handed out: a detail is made of our words, libcurl's, and the
 * economy's machine code at most.
 */
#ifndef BP_ECONOMY_ECONOMY_H
#define BP_ECONOMY_ECONOMY_H

#include "base/conf.h"
#include "service/ports.h"

/* Bytes of an answer with its head; a longer one is cut off and proves nothing. */
enum { ECONOMY_CONNECTIONS = 64, ECONOMY_ANSWER_MAX = 64 * 1024 };

struct economy;

/* Once in the life of the program, before any fork and any thread. */
void economy_library_init(void);

/* conf is borrowed for the economy's life. Ends the process without memory. */
struct economy *economy_new(const struct conf *conf);
/* Abandons what still waits. */
void economy_free(struct economy *economy);
/* Borrowed; valid as long as the economy. */
const struct economy_port *economy_port(const struct economy *economy);

#endif
