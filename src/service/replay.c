/*
 * Replay: see replay.h. The ledgers are followed (replay_ledgers.c), then where they led is compared with what is
 * stored.
 */
#include "service/replay.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "service/replay_course.h"

enum { FAULT_SIZE = 256 };

void
course_fault(struct course *course, const char *format, ...)
{
	char text[FAULT_SIZE];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	course->replay->faults++;
	course->replay->say(course->replay->self, course->player, course->season.id, text);
}

static void
compare_passes(struct course *course)
{
	const struct progress_row *row = &course->stored.row;
	size_t active = 0;

	for (uint32_t i = 0; i < row->pass_count; i++) {
		if (!row->passes[i].active)
			continue;
		active++;
		if (!state_holds_pass(&course->state, row->passes[i].pass))
			course_fault(course, "pass %.*s is owned, but the ledgers do not give it",
				     STR_ARGS(row->passes[i].pass));
	}
	if (active < course->state.pass_count)
		course_fault(course, "%zu passes are owned, but the ledgers give %zu", active,
			     course->state.pass_count);
	if (row->pass_count != row->pass_room)
		course_fault(course, "the progress row counts %u passes, and there are %u", row->pass_room,
			     row->pass_count);
}

static void
compare_row(struct course *course)
{
	const struct progress_row *row = &course->stored.row;

	if (course->state.revision < row->revision)
		course_take_revision(course, row->revision + 1);
	if (course->state.xp != row->xp)
		course_fault(course, "XP is %" PRIu64 ", but the ledgers lead to %" PRIu64, row->xp, course->state.xp);
	compare_passes(course);
	if (row->claim_room != course->state.claim_count)
		course_fault(course, "the progress row counts %u claims, but the ledgers lead to %" PRIu64,
			     row->claim_room, course->state.claim_count);
	if (row->claim_room != course->stored.claim_count)
		course_fault(course, "the progress row counts %u claims, and there are %zu", row->claim_room,
			     course->stored.claim_count);
}

static void
compare_delivery(struct course *course, const struct replay_claim *claim)
{
	const struct stored *stored = &course->stored;
	const struct sent wanted = {.delivery = claim->delivery};
	const struct sent *sent = stored->delivery_count ? bsearch(&wanted, stored->deliveries, stored->delivery_count,
								   sizeof(wanted), sent_compare)
							 : NULL;

	if (!sent)
		course_fault(course, "reward %.*s is claimed, but has no delivery", STR_ARGS(claim->reward));
	else if (!str_equal(sent->reward, claim->reward))
		course_fault(course, "reward %.*s is claimed, but its delivery is of %.*s", STR_ARGS(claim->reward),
			     STR_ARGS(sent->reward));
}

static void
compare_claims(struct course *course)
{
	const struct stored *stored = &course->stored;

	for (size_t i = 0; i < stored->claim_count; i++) {
		const struct replay_claim *claim = &stored->claims[i];
		struct made_claim *made = claims_find_standing(&course->claims, claim->reward);

		compare_delivery(course, claim);
		if (!made) {
			course_fault(course, "reward %.*s is claimed, but the ledgers do not say so",
				     STR_ARGS(claim->reward));
			continue;
		}
		if (memcmp(&made->delivery, &claim->delivery, sizeof(claim->delivery)) != 0)
			course_fault(course, "reward %.*s is claimed with another delivery than the ledgers say",
				     STR_ARGS(claim->reward));
		made->standing = false; /* found */
	}
	for (size_t i = 0; i < course->claims.count; i++)
		if (course->claims.items[i].standing)
			course_fault(course, "reward %.*s was claimed, but its claim is missing",
				     STR_ARGS(course->claims.items[i].reward));
}

static int
compare_made(const void *a, const void *b)
{
	return memcmp(&((const struct made_claim *)a)->delivery, &((const struct made_claim *)b)->delivery,
		      sizeof(struct uuid));
}

/* Nothing may be sent that no entry says was claimed. Sorts the claims that were made. */
static void
compare_deliveries(struct course *course)
{
	const struct stored *stored = &course->stored;
	struct made_claims *claims = &course->claims;

	if (claims->count)
		qsort(claims->items, claims->count, sizeof(struct made_claim), compare_made);
	for (size_t i = 0; i < stored->delivery_count; i++) {
		const struct made_claim wanted = {.delivery = stored->deliveries[i].delivery};

		if (claims->count == 0 || !bsearch(&wanted, claims->items, claims->count, sizeof(wanted), compare_made))
			course_fault(course, "there is a delivery of reward %.*s for which there was no claim",
				     STR_ARGS(stored->deliveries[i].reward));
	}
}

/* The ledgers may have grown since; but then the row has, too. Whether it has is looked at last. */
static enum err
compare_rest(struct course *course)
{
	struct progress_row row;
	uint64_t newest;
	enum err err = course_read_newest(course, &newest);

	if (err == ERR_OK)
		err = course_read_row(course, &row, &course->arena);
	if (err != ERR_OK)
		return err;
	if (newest > course->newest)
		course->newest = newest;
	if (course->newest > row.revision)
		course_fault(course, "the ledgers go on to revision %" PRIu64 ", but the player is at %" PRIu64,
			     course->newest, row.revision);
	return ERR_OK;
}

static enum err
run_course(struct course *course)
{
	enum err err = course_read_stored(course);

	if (err == ERR_OK)
		err = course_read_newest(course, &course->grants.newest);
	if (err == ERR_OK)
		err = course_take_ledgers(course);
	if (err != ERR_OK)
		return err;
	compare_row(course);
	compare_claims(course);
	compare_deliveries(course);
	return compare_rest(course);
}

enum err
replay_player(struct replay *replay, struct str player, const char *season)
{
	struct course course = {.replay = replay, .player = player};

	if (player.len > SEASON_ID_MAX || strlen(season) > SEASON_ID_MAX)
		return ERR_INTERNAL;
	memcpy(course.season.id, season, strlen(season));
	arena_init(&course.arena);
	arena_init(&course.grants.arena);
	enum err err = run_course(&course);

	arena_release(&course.grants.arena);
	arena_release(&course.arena);
	return err;
}
