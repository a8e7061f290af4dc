/*
 * The directory of seasons: what every process must know of each season without asking MySQL: id, revision, state and
 * times. The steward copies it from the database into shared memory whenever the store's directory version moves; the
 * processes copy it out when its version has changed. Drafts are not in it.
 */
#ifndef BP_SERVICE_DIRECTORY_H
#define BP_SERVICE_DIRECTORY_H

#include "base/seqlock.h"
#include "base/str.h"
#include "domain/season.h"

enum { DIRECTORY_SEASONS_MAX = 256 };

struct season_entry {
	char id[SEASON_ID_MAX + 1];
	uint64_t revision;
	enum season_state stored_state;
	struct season_times times;
};

struct directory_content {
	uint64_t version; /* of the store; 0: never read */
	uint32_t count;
	struct season_entry seasons[DIRECTORY_SEASONS_MAX]; /* newest start first */
};

/* In shared memory; the steward is its only writer. */
struct directory {
	struct seqlock lock;
	struct directory_content content;
};

void directory_publish(struct directory *directory, const struct directory_content *content);
/* Brings copy up to date if it is not; false when no stable copy could be had: copy is untouched then. */
bool directory_refresh(const struct directory *directory, struct directory_content *copy);
/* NULL if there is none. */
const struct season_entry *directory_find(const struct directory_content *content, struct str id);
/*
 * The season `current` means: the one that is active (or whose purchases have closed, but which still counts XP).
 * ERR_SEASON_NOT_FOUND: none; ERR_SEASON_AMBIGUOUS: several.
 */
enum err directory_current(const struct directory_content *content, int64_t now_ms, const struct season_entry **ret);

#endif
