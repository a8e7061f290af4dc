/*
 * The ledger, replayed: revision by revision it says what XP and tier a player had. What any answer has shown must be
 * one of these; each acknowledged write must stand there once, at the revision that its answer named.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "record_private.h"

enum { TIERS_MAX = 1000, LINE_SIZE = 512, COLUMN_SIZE = 130 };

static uint64_t curve[TIERS_MAX];
static size_t tier_count;
static uint8_t *found; /* by write: times in the ledger */

static size_t
tier_at(uint64_t xp)
{
	size_t tier = 0;

	while (tier < tier_count && xp >= curve[tier])
		tier++;
	return tier;
}

/* What answers have shown of this revision. */
static void
compare_seen(size_t number, uint64_t revision, uint64_t xp)
{
	const struct player *player = &players[number];

	if (revision >= player->seen_room || !player->seen[revision].known)
		return;

	const struct seen *seen = &player->seen[revision];

	if (seen->xp != xp || seen->tier != tier_at(xp))
		record_violation(CLAIM_WRONG, seen->class,
				 "player %zu at revision %" PRIu64 ": xp %" PRIu64 ", tier %u; by the ledger %" PRIu64
				 ", %zu",
				 number, revision, seen->xp, seen->tier, xp, tier_at(xp));
}

/* class of what stands in the ledger and is nobody's: that of the first. */
static void
compare_write(const char *key, size_t number, uint64_t revision, uint64_t amount, uint64_t xp)
{
	size_t index;

	if (!write_number(key, strlen(key), &index)) {
		record_violation(CLAIM_COUNT_OFF, 0, "a grant that nobody sent: %s", key);
		return;
	}

	const struct write *write = record_write(index);

	found[index]++;
	if (write->player != number || write->amount != amount)
		record_violation(CLAIM_COUNT_OFF, write->class, "write %zu is another one in the ledger", index);
	if (write->outcome == OUTCOME_ACKNOWLEDGED && (write->revision != revision || write->xp != xp))
		record_violation(CLAIM_COUNT_OFF, write->class,
				 "write %zu was acknowledged at revision %u and stands at %" PRIu64, index,
				 write->revision, revision);
	if (write->outcome == OUTCOME_REFUSED)
		record_violation(CLAIM_COUNT_OFF, write->class, "write %zu was refused and stands in the ledger",
				 index);
}

static bool
take_grant(const char *line)
{
	char name[COLUMN_SIZE], key[COLUMN_SIZE];
	uint64_t revision, amount, xp, tier;
	size_t number;

	if (sscanf(line, "%129[^\t]\t%" SCNu64 "\t%129[^\t]\t%" SCNu64 "\t%" SCNu64 "\t%" SCNu64, name, &revision, key,
		   &amount, &xp, &tier) != 6 ||
	    !player_number(name, strlen(name), &number))
		return false;

	struct player *player = &players[number];

	if (revision != player->revision + 1 || xp != player->xp + amount || tier != tier_at(xp))
		record_violation(CLAIM_COUNT_OFF, 0, "the ledger of player %zu does not add up at revision %" PRIu64,
				 number, revision);
	player->revision = (uint32_t)revision;
	player->xp = xp;
	compare_seen(number, revision, xp);
	compare_write(key, number, revision, amount, xp);
	return true;
}

static bool
take_row(const char *line)
{
	char name[COLUMN_SIZE];
	uint64_t revision, xp;
	size_t number;

	if (sscanf(line, "%129[^\t]\t%" SCNu64 "\t%" SCNu64, name, &revision, &xp) != 3 ||
	    !player_number(name, strlen(name), &number))
		return false;
	if (players[number].revision != revision || players[number].xp != xp)
		record_violation(CLAIM_COUNT_OFF, 0,
				 "player %zu has revision %" PRIu64 " and xp %" PRIu64
				 ", by the ledger %u and %" PRIu64,
				 number, revision, xp, players[number].revision, players[number].xp);
	return true;
}

static bool
take_tier(const char *line)
{
	return tier_count < TIERS_MAX && sscanf(line, "%" SCNu64, &curve[tier_count++]) == 1;
}

static bool
each_line(const char *path, bool (*take)(const char *line))
{
	char line[LINE_SIZE];
	FILE *file = fopen(path, "r");
	bool good = file != NULL;

	while (good && fgets(line, sizeof(line), file))
		good = take(line);
	if (!good)
		fprintf(stderr, "%s: cannot be read, or holds something else\n", path);
	if (file)
		fclose(file);
	return good;
}

/* Revisions that were shown and never were. */
static void
look_for_phantoms(size_t number)
{
	const struct player *player = &players[number];

	compare_seen(number, 0, 0);
	for (size_t revision = player->revision + (size_t)1; revision < player->seen_room; revision++)
		if (player->seen[revision].known)
			record_violation(CLAIM_WRONG, player->seen[revision].class,
					 "player %zu was shown at revision %zu; the ledger ends at %u", number,
					 revision, player->revision);
}

bool
record_judge(const char *ledger, const char *rows, const char *tiers)
{
	size_t count = record_write_count();

	found = calloc(count ? count : 1, 1);
	if (!found || !each_line(tiers, take_tier) || !each_line(ledger, take_grant) || !each_line(rows, take_row))
		return false;
	for (size_t i = 0; i < count; i++) {
		const struct write *write = record_write(i);

		if (found[i] > 1 || (found[i] == 0 && write->outcome == OUTCOME_ACKNOWLEDGED))
			record_violation(CLAIM_COUNT_OFF, write->class, "write %zu %s stands %u times in the ledger", i,
					 write->outcome == OUTCOME_ACKNOWLEDGED ? "was acknowledged and" : "",
					 found[i]);
	}
	for (size_t i = 0; i < player_count; i++)
		look_for_phantoms(i);
	free(found);
	return true;
}
