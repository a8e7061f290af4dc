/*
 * What a replay reads: the state that is stored, at one revision, and the XP grants in the order of revisions. Pages in
 * arenas of their own, so that a player with very many grants takes no more memory than one with few.
 */
#include <stdlib.h>

#include "service/replay_course.h"

enum {
	GRANTS_PAGE = 1000,
	ROWS_PAGE = 500,
	TRIES = 20, /* to read rows and claims of one revision */
};

void *
course_grow(struct arena *arena, void *items, size_t count, size_t *room, size_t size)
{
	if (count < *room)
		return items;
	*room = *room ? *room * 2 : 32;
	void *more = arena_array(arena, *room, size);

	if (count)
		memcpy(more, items, count * size);
	return more;
}

enum err
course_read_row(struct course *course, struct progress_row *row, struct arena *arena)
{
	const struct store_port *store = course->replay->store;
	struct progress_row *rows[] = {row};

	*row = (struct progress_row){.player = course->player, .season = &course->season};
	return store->load(store->self, rows, 1, arena);
}

static struct page_query
first_page(const struct course *course)
{
	return (struct page_query){
		.player = course->player,
		.season = course->season.id,
		.from_newest = true,
		.limit = ROWS_PAGE,
	};
}

static enum err
read_claims(struct course *course)
{
	const struct records_port *records = course->replay->records;
	struct page_query query = first_page(course);
	struct stored *stored = &course->stored;
	size_t room = 0;
	size_t count;

	do {
		struct claim_row *rows;
		enum err err = records->claims(records->self, &query, &course->arena, &rows, &count);

		if (err != ERR_OK)
			return err;
		for (size_t i = 0; i < count; i++) {
			stored->claims = course_grow(&course->arena, stored->claims, stored->claim_count, &room,
						     sizeof(*stored->claims));
			stored->claims[stored->claim_count++] =
				(struct replay_claim){.reward = rows[i].reward, .delivery = rows[i].delivery};
		}
		query.from_newest = false;
		if (count)
			query.before = rows[count - 1].delivery;
	} while (count == ROWS_PAGE);
	return ERR_OK;
}

static enum err
add_deliveries(struct course *course, const struct page_query *query, struct arena *arena, size_t *room,
	       struct uuid *ret_last, size_t *ret_count)
{
	const struct records_port *records = course->replay->records;
	struct stored *stored = &course->stored;
	struct delivery_row *rows;
	enum err err = records->deliveries(records->self, query, NULL, arena, &rows, ret_count);

	for (size_t i = 0; err == ERR_OK && i < *ret_count; i++) {
		*ret_last = rows[i].id;
		if (rows[i].reward.len == 0)
			continue;
		stored->deliveries = course_grow(&course->arena, stored->deliveries, stored->delivery_count, room,
						 sizeof(*stored->deliveries));
		stored->deliveries[stored->delivery_count++] =
			(struct sent){rows[i].id, arena_str(&course->arena, rows[i].reward)};
	}
	return err;
}

int
sent_compare(const void *a, const void *b)
{
	return memcmp(&((const struct sent *)a)->delivery, &((const struct sent *)b)->delivery, sizeof(struct uuid));
}

/* Overflow that became currency may be very many deliveries; they pass by. */
static enum err
read_deliveries(struct course *course)
{
	struct page_query query = first_page(course);
	struct arena arena;
	size_t room = 0;
	size_t count;
	enum err err;

	arena_init(&arena);
	do {
		arena_reset(&arena);
		err = add_deliveries(course, &query, &arena, &room, &query.before, &count);
		query.from_newest = false;
	} while (err == ERR_OK && count == ROWS_PAGE);
	arena_release(&arena);
	if (course->stored.delivery_count)
		qsort(course->stored.deliveries, course->stored.delivery_count, sizeof(struct sent), sent_compare);
	return err;
}

static enum err
read_once(struct course *course, bool *ret_same)
{
	struct progress_row again;
	enum err err = course_read_row(course, &course->stored.row, &course->arena);

	if (err == ERR_OK)
		err = read_claims(course);
	if (err == ERR_OK)
		err = read_deliveries(course);
	if (err == ERR_OK)
		err = course_read_row(course, &again, &course->arena);
	if (err == ERR_OK)
		*ret_same = again.revision == course->stored.row.revision;
	return err;
}

/* Row, claims and deliveries are read one after the other: of the same revision, if it is the same at the end. */
enum err
course_read_stored(struct course *course)
{
	bool same = false;

	for (int tries = 0; tries < TRIES && !same; tries++) {
		arena_reset(&course->arena);
		course->stored = (struct stored){.claims = NULL};
		enum err err = read_once(course, &same);

		if (err != ERR_OK)
			return err;
	}
	return same ? ERR_OK : ERR_OVERLOADED;
}

enum err
course_read_newest(struct course *course, uint64_t *ret_revision)
{
	const struct store_port *store = course->replay->store;
	struct ledger_query query = {
		.player = course->player,
		.season = course->season.id,
		.to_ms = INT64_MAX,
		.before = UINT64_MAX,
		.limit = 1,
	};
	struct grant_row *newest;
	size_t count;
	enum err err = store->ledger(store->self, &query, &course->arena, &newest, &count);

	if (err == ERR_OK)
		*ret_revision = count ? newest->revision : 0;
	return err;
}

/* Revisions below `before`; of those that were seen already, some again. */
static enum err
read_grants(struct course *course)
{
	const struct store_port *store = course->replay->store;
	struct grant_stream *grants = &course->grants;
	struct ledger_query query = {
		.player = course->player,
		.season = course->season.id,
		.to_ms = INT64_MAX,
		.before = grants->before + GRANTS_PAGE,
		.limit = GRANTS_PAGE,
	};
	uint64_t from = grants->before;
	size_t count;

	arena_reset(&grants->arena);
	enum err err = store->ledger(store->self, &query, &grants->arena, &grants->rows, &count);

	if (err != ERR_OK)
		return err;
	grants->before = query.before;
	grants->left = count;
	while (grants->left && grants->rows[grants->left - 1].revision < from)
		grants->left--;
	return ERR_OK;
}

enum err
course_next_grant(struct course *course, uint64_t until, const struct grant_row **ret_grant)
{
	struct grant_stream *grants = &course->grants;
	uint64_t end = until < grants->newest ? until : grants->newest;

	*ret_grant = NULL;
	while (grants->left == 0 && grants->before <= end) {
		enum err err = read_grants(course);

		if (err != ERR_OK)
			return err;
	}
	if (grants->left && grants->rows[grants->left - 1].revision <= until)
		*ret_grant = &grants->rows[--grants->left];
	return ERR_OK;
}
