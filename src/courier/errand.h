/*
 * An errand: a row that this courier has taken for a time, and the call about it. What the chores have in common is
 * here: when to look for work, how long a row is ours, and how long to wait before the next try.
 *
 * A call is begun only if it is over before the row is anybody else's again, and none is gone on with after that: a
 * process that was stopped and wakes up late must not send what another host has taken meanwhile.
 */
#ifndef BP_COURIER_ERRAND_H
#define BP_COURIER_ERRAND_H

#include "base/conf.h"
#include "cache/shared.h"
#include "base/metrics.h"
#include "base/recent.h"
#include "service/turn.h"
#include "store/store.h"

enum {
	HOLD_MARGIN_MS = 2000, /* a row is held for so much longer than a call may take */
	LOOK_MS = 200,         /* how often due work is looked for */
	STORE_PAUSE_MS = 500,  /* how long nothing is looked for after the database failed */
};

/* What a courier knows of its host: in shared memory, but for the number. */
struct courier_host {
	struct cache_shared *cache;
	const struct flags *flags;
	const struct recent *recent; /* players written lately */
	const struct metrics *metrics;
	size_t store_processes; /* of the store lane */
};

/* What a courier works with. */
struct courier {
	const struct conf *conf;
	struct service *service;
	struct store *store;
	struct courier_host host;
	const struct economy_port *economy; /* NULL: there is none, and all that needs it waits */
	struct uuid owner;                  /* this process, as the rows that it holds name it */
	struct arena arena;                 /* of one step of one chore */
	int64_t store_due_boot_ms;          /* the database failed: nothing is looked for before */
	bool stopping;                      /* nothing is looked for any more */
};

/* After the database's answer to a look for work. */
void courier_note_store(struct courier *courier, enum err err);
/* The wait after so many tries: doubled each time, half of it by chance. */
int64_t courier_back_off_ms(const struct courier *courier, uint32_t tries);
int64_t courier_hold_ms(const struct courier *courier);

struct errand {
	bool busy;
	bool asked; /* the call was begun */
	int64_t taken_boot_ms;
	int64_t held_until_boot_ms;
	struct arena arena; /* what row and call consist of */
	struct economy_call call;
};

void errand_init(struct errand *errand);
void errand_release(struct errand *errand);
/* Makes a free one busy; asked_boot_ms: before the database was asked for its row. */
void errand_take(struct errand *errand, const struct courier *courier, int64_t asked_boot_ms);
/* Begins the call that was filled in. False: there is too little time left for it. */
bool errand_ask(struct errand *errand, const struct courier *courier);
/* The call was begun, and its outcome is there. */
bool errand_answered(const struct errand *errand);
/* Drops a call that is under way although the row may be somebody else's by now. */
void errand_drop_late(struct errand *errand, const struct courier *courier);
/* Makes it free; a call under way is abandoned. */
void errand_end(struct errand *errand, const struct courier *courier);

/* When work is looked for. */
struct look {
	int64_t due_boot_ms;
	bool more; /* the last look found as much as there was room for */
};

/* The next look, given how many of all errands are free; INT64_MAX: none before an errand ends. */
int64_t look_due_boot_ms(const struct look *look, const struct courier *courier, size_t free, size_t all);
void look_done(struct look *look, bool more);

#endif
