/* What is left when claims have closed: see auto_claim_chore.h. */
#include "courier/auto_claim_chore.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/crash.h"
#include "base/log.h"
#include "base/metrics.h"

enum { NAME_SIZE = SEASON_ID_MAX + 16 };

/* What became of a season that was looked at. */
enum progress {
	GOES_ON, /* a page was done: look again */
	LATER,   /* somebody else is at it, or something failed */
	FINISHED,
};

void
auto_claim_chore_init(struct auto_claim_chore *chore)
{
	*chore = (struct auto_claim_chore){.due_boot_ms = 0};
}

static struct finished_season *
find_finished(struct auto_claim_chore *chore, const char *id)
{
	for (uint32_t i = 0; i < chore->finished_count; i++)
		if (strcmp(chore->finished[i].id, id) == 0)
			return &chore->finished[i];
	return NULL;
}

/* Without room for one more it is asked for again at each look. */
static void
remember(struct auto_claim_chore *chore, const struct season_entry *entry)
{
	struct finished_season *place = find_finished(chore, entry->id);

	if (!place && chore->finished_count < DIRECTORY_SEASONS_MAX)
		place = &chore->finished[chore->finished_count++];
	if (!place)
		return;
	memcpy(place->id, entry->id, sizeof(place->id));
	place->revision = entry->revision;
}

static bool
is_due(struct auto_claim_chore *chore, const struct season_entry *entry, int64_t now_ms)
{
	const struct finished_season *finished = find_finished(chore, entry->id);

	if (entry->stored_state == SEASON_DRAFT || now_ms < entry->times.claim_until_ms + AUTO_CLAIM_GRACE_MS)
		return false;
	return !finished || finished->revision != entry->revision;
}

static bool
claims_anything(const struct season *season)
{
	for (uint32_t i = 0; i < season->pass_count; i++)
		if (season->passes[i].auto_claim != AUTO_CLAIM_FORFEIT)
			return true;
	return false;
}

/* False: not all of it was committed. */
static bool
claim_for(struct turn *turn, const struct season_entry *entry, const struct str *players, size_t count)
{
	struct operation **operations = ARENA_ARRAY(turn->arena, count, struct operation *);
	uint64_t claimed = 0;
	enum err err = ERR_OK;

	for (size_t i = 0; i < count; i++) {
		operations[i] = turn_add_operation(turn, WRITE_AUTO_CLAIM, players[i], entry);
		operations[i]->author = (struct author){
			.actor = STR("courier"), .role = "service", .reason = STR("claims have closed")};
	}
	turn_run(turn);
	for (size_t i = 0; i < count; i++) {
		if (operations[i]->write.err == ERR_INTERNAL) /* it would never succeed, and all behind it would wait */
			log_error("season %s: what player %.*s has left cannot be claimed", entry->id,
				  STR_ARGS(players[i]));
		else if (operations[i]->write.err != ERR_OK)
			err = operations[i]->write.err;
		else
			claimed += operations[i]->entry.sequence != 0;
	}
	metrics_add(METRIC_AUTO_CLAIMS, claimed);
	if (err != ERR_OK)
		log_warning("season %s: what is left cannot be claimed now: %s", entry->id, err_text(err));
	return err == ERR_OK;
}

/* False: the database failed, and is left alone for a while. */
static bool
answered(struct courier *courier, enum err err)
{
	courier_note_store(courier, err);
	return err == ERR_OK;
}

static enum progress
do_page(struct courier *courier, struct turn *turn, const struct season_entry *entry, struct store_chore *chore)
{
	struct str *players;
	size_t count;

	if (!answered(courier, store_season_players(courier->store, entry->id, str_from(chore->position),
						    AUTO_CLAIM_PAGE, turn->arena, &players, &count)))
		return LATER;
	if (count && !claim_for(turn, entry, players, count))
		return LATER;
	crash_point("auto_claimed");
	if (count)
		snprintf(chore->position, sizeof(chore->position), "%.*s", STR_ARGS(players[count - 1]));
	chore->done = count < AUTO_CLAIM_PAGE;
	return GOES_ON;
}

/*
 * Held for one page: another courier may do the next. What fails is tried again from the same mark, and a mark that was
 * left too late does not count; so a season is finished only when the next look says so.
 */
static enum progress
do_season(struct courier *courier, struct turn *turn, const struct season_entry *entry)
{
	const struct season *season;
	struct store_chore chore;
	char name[NAME_SIZE];
	bool held;

	if (!answered(courier, turn_definition(turn, entry, &season)))
		return LATER;
	if (!claims_anything(season))
		return FINISHED;
	snprintf(name, sizeof(name), "auto_claim:%s", entry->id);
	if (!answered(courier,
		      store_hold_chore(courier->store, name, &courier->owner, AUTO_CLAIM_HOLD_MS, &held, &chore)))
		return LATER;
	if (chore.done || !held)
		return chore.done ? FINISHED : LATER;

	enum progress progress = do_page(courier, turn, entry, &chore);

	if (!answered(courier, store_leave_chore(courier->store, name, &courier->owner, &chore)))
		return LATER;
	if (progress == GOES_ON && chore.done)
		log_info("season %s: claims have closed, and what was left is claimed", entry->id);
	return progress;
}

void
auto_claim_chore_run(struct auto_claim_chore *chore, struct courier *courier)
{
	const struct directory_content *seasons = &courier->service->seasons;
	const struct season_entry *entry;
	struct turn turn;

	if (auto_claim_chore_due_boot_ms(chore, courier) > clock_boot_ms())
		return;
	arena_reset(&courier->arena);
	turn_begin(&turn, courier->service, &courier->arena, clock_unix_ms());
	while (chore->next < seasons->count && !is_due(chore, &seasons->seasons[chore->next], turn.now_ms))
		chore->next++;
	if (chore->next >= seasons->count) {
		chore->next = 0;
		chore->due_boot_ms = clock_boot_ms() + AUTO_CLAIM_LOOK_MS;
		return;
	}
	enum progress progress = LATER;

	if (turn_season(&turn, str_from(seasons->seasons[chore->next].id), &entry) == ERR_OK)
		progress = do_season(courier, &turn, entry);
	if (progress == FINISHED)
		remember(chore, entry);
	if (progress != GOES_ON)
		chore->next++;
}

int64_t
auto_claim_chore_due_boot_ms(const struct auto_claim_chore *chore, const struct courier *courier)
{
	if (courier->stopping)
		return INT64_MAX;
	return chore->due_boot_ms > courier->store_due_boot_ms ? chore->due_boot_ms : courier->store_due_boot_ms;
}
