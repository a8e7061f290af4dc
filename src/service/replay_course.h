/* What the files of a replay (replay.h) share: one player's course through the ledgers; private to this folder. */
#ifndef BP_SERVICE_REPLAY_COURSE_H
#define BP_SERVICE_REPLAY_COURSE_H

#include "service/replay.h"

/* A claim that an entry made. */
struct made_claim {
	struct str reward;
	struct uuid delivery;
	bool standing;     /* it was not forgotten, or is back */
	struct uuid reset; /* that has forgotten it */
};

struct made_claims {
	struct made_claim *items;
	size_t count;
	size_t room;
};

struct sent {
	struct uuid delivery;
	struct str reward;
};

/* What is stored, at one revision. */
struct stored {
	struct progress_row row;
	struct replay_claim *claims;
	size_t claim_count;
	struct sent *deliveries; /* by id; those of rewards only */
	size_t delivery_count;
};

/* The grants in the order of revisions. */
struct grant_stream {
	struct arena arena;     /* of this page */
	struct grant_row *rows; /* newest first */
	size_t left;
	uint64_t before; /* the page has all revisions below */
	uint64_t newest; /* of all there are */
};

/* A player in one season, on the way. */
struct course {
	struct replay *replay;
	struct str player;
	struct season_entry season;
	struct arena arena; /* of the whole course */
	struct stored stored;
	struct replay_state state; /* to which the ledgers have led */
	struct made_claims claims;
	size_t standing; /* of them */
	struct grant_stream grants;
	uint64_t newest; /* revision that an entry behind the stored one has made; 0: none */
};

/* Says that something is wrong, and counts it (replay.c). */
void course_fault(struct course *course, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Reading, a page at a time (replay_read.c). */

/* Room for one more: doubles an array that is full; the old one is left to the arena. */
void *course_grow(struct arena *arena, void *items, size_t count, size_t *room, size_t size);
/* The progress row as it is now. */
enum err course_read_row(struct course *course, struct progress_row *row, struct arena *arena);
/* Row, claims and deliveries of one revision. ERR_OVERLOADED: the player is written to all the time. */
enum err course_read_stored(struct course *course);
/* The newest grant's revision; 0: there is none. */
enum err course_read_newest(struct course *course, uint64_t *ret_revision);
/* The next grant up to a revision; NULL: none. */
enum err course_next_grant(struct course *course, uint64_t until, const struct grant_row **ret_grant);
/* Order of struct sent by delivery, for qsort and bsearch. */
int sent_compare(const void *a, const void *b);

/* Following the ledgers (replay_ledgers.c). */

/* All grants and entries up to the stored revision. */
enum err course_take_ledgers(struct course *course);
/* The next ledger row makes this revision: is it the one that must come now? */
void course_take_revision(struct course *course, uint64_t revision);
bool state_holds_pass(const struct replay_state *state, struct str pass);
/* The claim of this reward that stands; NULL: none. */
struct made_claim *claims_find_standing(const struct made_claims *claims, struct str reward);

#endif
