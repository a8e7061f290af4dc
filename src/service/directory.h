/*
 * The directory of seasons: what every process must know of each season without asking MySQL: id, revision, state and
 * times. The steward copies it from the database into shared memory whenever the store's directory version moves; the
 * processes copy it out when its version has changed. Drafts are not in it.
 *
 * A revision that is published takes force at a moment of the wall clock that lies ahead, so that it is in every
 * host's directory by then and all processes of all hosts switch at once. What is published carries both, the revision
 * in force and the one to come; directory_resolve() says which of them counts at the time of a turn. A host whose clock
 * is off switches that much earlier or later.
 */
#ifndef BP_SERVICE_DIRECTORY_H
#define BP_SERVICE_DIRECTORY_H

#include "base/seqlock.h"
#include "base/str.h"
#include "domain/season.h"

enum { DIRECTORY_SEASONS_MAX = 256 };

/* What takes the place of a season's revision and times. */
struct season_switch {
	uint64_t revision; /* 0: nothing does */
	int64_t at_ms;     /* counts from here on */
	struct season_times times;
};

struct season_entry {
	char id[SEASON_ID_MAX + 1];
	uint64_t revision; /* 0, in what is published only: not in force before the switch */
	enum season_state stored_state;
	struct season_times times;
	struct season_switch next;
};

struct directory_content {
	uint64_t version; /* of the store; 0: never read */
	uint32_t count;
	int64_t from_ms; /* of what was resolved: it counts from here on */
	int64_t until_ms;
	struct season_entry seasons[DIRECTORY_SEASONS_MAX]; /* newest start first */
};

/* In shared memory; the steward is its only writer. */
struct directory {
	struct seqlock lock;
	struct directory_content content;
};

void directory_publish(struct directory *directory, const struct directory_content *content);
/* Has anything been published yet? */
bool directory_is_published(const struct directory *directory);
/* Brings copy up to date if it is not; false when no stable copy could be had: copy is untouched then. */
bool directory_refresh(const struct directory *directory, struct directory_content *copy);
/*
 * Makes seasons what counts at now_ms of what is published; what is not in force yet is left out.
 * Costs nothing while neither the version nor a moment of switching has passed.
 */
void directory_resolve(const struct directory_content *published, int64_t now_ms, struct directory_content *seasons);
/* The functions below take what was resolved. NULL if there is none. */
const struct season_entry *directory_find(const struct directory_content *content, struct str id);
/* Is it active, or have its purchases closed, and it still counts XP? */
bool season_entry_runs(const struct season_entry *entry, int64_t now_ms);
/*
 * The season `current` means: the one that is active (or whose purchases have closed, but which still counts XP).
 * ERR_SEASON_NOT_FOUND: none; ERR_SEASON_AMBIGUOUS: several.
 */
enum err directory_current(const struct directory_content *content, int64_t now_ms, const struct season_entry **ret);

#endif
