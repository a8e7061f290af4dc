/*
 * What the driver remembers of calls, and what it makes of them: the five claims, counted by the class of faults in
 * force when a call began.
 *
 *   C1  a read older than a write that was acknowledged before the read began
 *   C2  a read older than another read that was answered before it began
 *   C3  an answer that no replay of the ledger produces at its revision: another player's, torn, from nowhere
 *   C4  an acknowledged write that is not there exactly once, any other that is there more than once
 *   C5  an answer that is neither right nor a clean problem
 *
 * C1 and C2 are judged at once: the driver is one thread, so the bounds that it looks at before it sends are exact. C3
 * and C4 need the ledger, when all is over; two answers that contradict each other are C3 at once.
 */
#ifndef CHAOS_RECORD_H
#define CHAOS_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "json.h"

enum { CLASSES_MAX = 32, PLAYERS_MAX = 4096 };

enum claim { CLAIM_STALE, CLAIM_BACK, CLAIM_WRONG, CLAIM_COUNT_OFF, CLAIM_UNCLEAN, CLAIMS };

struct figures {
	uint64_t reads; /* checked: those below but for the unconfirmed */
	uint64_t from_cache, from_store, looked_up;
	uint64_t unconfirmed;                    /* outside of C1 and C2 */
	uint64_t unavailable;                    /* reads answered by a clean 503 */
	uint64_t acknowledged, unknown, refused; /* answers to writes */
	uint64_t claims[CLAIMS];
	double slowest_write_ms; /* of those acknowledged */
};

/* A state of a player's, as an answer shows it. hash is of the whole document; 0: only the numbers are known. */
struct state {
	uint64_t revision, xp, tier, hash;
};

/* What a read must not be older than. */
struct bound {
	uint32_t acknowledged, read;
};

enum outcome { OUTCOME_PENDING, OUTCOME_ACKNOWLEDGED, OUTCOME_REFUSED };

/* One grant. It keeps its number, which is its key, through all its repetitions. */
struct write {
	uint16_t player;
	uint16_t amount;
	uint8_t class;
	uint8_t outcome; /* enum outcome */
	uint32_t revision;
	uint64_t xp;
};

void record_init(size_t player_count);

/* class: borrowed name. */
size_t record_add_class(const char *name);
struct figures *record_figures(size_t class);
void record_violation(enum claim claim, size_t class, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* --- calls --- */

struct bound record_bound(size_t player);
/* A read that began at that bound has shown that state. source: where it says to come from, for people. */
void record_read(size_t class, size_t player, struct bound bound, const struct state *state, struct text source,
		 bool unconfirmed);

size_t record_new_write(size_t player, unsigned amount, size_t class);
struct write *record_write(size_t number);
size_t record_write_count(void);
size_t record_pending(void);
/* class: that of the call. state: what the answer says to have come of it. */
void record_acknowledged(size_t class, size_t number, const struct state *state);
void record_refused(size_t class, size_t number);

/* --- at the end --- */

/*
 * Both files without a head, columns divided by tabs. ledger: player, revision, key, amount, xp after, tier after,
 * sorted by player and revision; rows: player, revision, xp. curve: the XP that each tier needs in all, one a line.
 */
bool record_judge(const char *ledger, const char *rows, const char *curve);
/* One line a class: class NAME, then name=figure. */
void record_print(void);

/* --- names --- */

enum { NAME_SIZE = 24 };
void player_name(size_t player, char name[NAME_SIZE]);
/* false: nobody of ours. */
bool player_number(const char *name, size_t len, size_t *ret_player);
/* The same for a write and its idempotency key. */
void write_key(size_t number, char key[NAME_SIZE]);
bool write_number(const char *key, size_t len, size_t *ret_number);

#endif
