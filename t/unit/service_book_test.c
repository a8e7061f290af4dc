/* The book of definitions: read once a revision, and what was borrowed in a turn stays good for all of it. */
#include "service/book.h"

#include <stdio.h>

#include "base/log.h"
#include "fake_store.h"
#include "tap.h"

static struct fake_faults faults;
static struct fake_store store;
static struct season_book *book;
static struct arena arena;

static void
open_book(void)
{
	fake_faults_init(&faults);
	fake_store_init(&store, &faults);
	book = book_new(&fake_codec);
}

static void
close_book(void)
{
	book_free(book);
	fake_store_release(&store);
	arena_reset(&arena);
}

static const struct season *
get(unsigned number, uint64_t revision)
{
	struct season_entry entry = {.revision = revision};
	const struct season *season = NULL;

	snprintf(entry.id, sizeof(entry.id), "s%u", number);
	CU_ASSERT_EQUAL(book_get(book, &store.port, &entry, &arena, &season), ERR_OK);
	CU_ASSERT_PTR_NOT_NULL_FATAL(season);
	CU_ASSERT_STRING_EQUAL(season->id, entry.id);
	CU_ASSERT_EQUAL(season->revision, revision);
	return season;
}

static void
test_read_once_a_revision(void)
{
	open_book();
	const struct season *first = get(1, 5);

	CU_ASSERT_PTR_EQUAL(get(1, 5), first);
	CU_ASSERT_EQUAL(fake_count(&faults, CALL_DOCUMENT), 1);
	get(2, 5);
	CU_ASSERT_PTR_EQUAL(get(1, 5), first);
	CU_ASSERT_EQUAL(fake_count(&faults, CALL_DOCUMENT), 2);
	get(1, 6);
	CU_ASSERT_EQUAL(fake_count(&faults, CALL_DOCUMENT), 3);
	close_book();
}

/* A failure leaves what was there. */
static void
test_failures(void)
{
	const struct season_entry entry = {.id = "s1", .revision = 6};
	const struct season *season = NULL;

	open_book();
	const struct season *first = get(1, 5);

	store.unreadable_season = "s1";
	CU_ASSERT_EQUAL(book_get(book, &store.port, &entry, &arena, &season), ERR_INTERNAL);
	faults.only = CALL_DOCUMENT;
	faults.fault = FAULT_UNAVAILABLE;
	CU_ASSERT_EQUAL(book_get(book, &store.port, &entry, &arena, &season), ERR_STORE_UNAVAILABLE);
	CU_ASSERT_PTR_NULL(season);
	CU_ASSERT_PTR_EQUAL(get(1, 5), first);
	close_book();
}

static void
prepare(unsigned number, uint64_t revision)
{
	struct season_entry entry = {.revision = revision - 1, .next.revision = revision};

	snprintf(entry.id, sizeof(entry.id), "s%u", number);
	book_prepare(book, &store.port, &entry, &arena);
}

/* What was prepared costs the request that needs it nothing, whichever revision was asked for before. */
static void
test_prepared(void)
{
	open_book();
	const struct season *fifth = get(1, 5);

	prepare(1, 6);
	prepare(1, 6);
	CU_ASSERT_EQUAL(fake_count(&faults, CALL_DOCUMENT), 2);
	CU_ASSERT_PTR_EQUAL(get(1, 5), fifth);
	const struct season *sixth = get(1, 6);

	prepare(1, 6);
	CU_ASSERT_PTR_EQUAL(get(1, 5), fifth); /* the clock was set back */
	CU_ASSERT_PTR_EQUAL(get(1, 6), sixth);
	CU_ASSERT_EQUAL(fake_count(&faults, CALL_DOCUMENT), 2);
	prepare(1, 7);
	CU_ASSERT_PTR_EQUAL(get(1, 6), sixth);
	get(1, 7);
	CU_ASSERT_EQUAL(fake_count(&faults, CALL_DOCUMENT), 3);
	prepare(1, 8); /* the eighth follows before anybody asked for it */
	prepare(1, 9);
	get(1, 8);
	CU_ASSERT_EQUAL(fake_count(&faults, CALL_DOCUMENT), 5);
	prepare(2, 1); /* nobody has asked for this season yet */
	get(2, 1);
	CU_ASSERT_EQUAL(fake_count(&faults, CALL_DOCUMENT), 6);
	close_book();
}

static void
test_failed_preparation(void)
{
	open_book();
	const struct season *first = get(1, 5);

	faults.only = CALL_DOCUMENT;
	faults.fault = FAULT_UNAVAILABLE;
	prepare(1, 6);
	faults.fault = FAULT_NONE;
	CU_ASSERT_PTR_EQUAL(get(1, 5), first);
	prepare(1, 6);
	CU_ASSERT_EQUAL(fake_count(&faults, CALL_DOCUMENT), 3);
	store.unreadable_season = "s1";
	prepare(1, 7);
	prepare(1, 7);
	CU_ASSERT_EQUAL(fake_count(&faults, CALL_DOCUMENT), 4);
	store.unreadable_season = NULL;
	CU_ASSERT_PTR_EQUAL(get(1, 5), first);
	get(1, 6);
	CU_ASSERT_EQUAL(fake_count(&faults, CALL_DOCUMENT), 4);
	close_book();
}

/*
 * Over a process's life there are more seasons than a book has places, and revisions change: what is replaced stays
 * good until the turn ends (the sanitizer sees it if it does not).
 */
static void
test_replaced_is_good_until_the_turn_ends(void)
{
	static const struct season *borrowed[DIRECTORY_SEASONS_MAX];
	char id[16];

	open_book();
	for (unsigned turn = 0; turn < 3; turn++) {
		book_begin_turn(book);
		for (unsigned i = 0; i < DIRECTORY_SEASONS_MAX; i++)
			borrowed[i] = get(i, 1);
		for (unsigned i = 0; i < 3; i++) {
			prepare(i, 2);
			get(DIRECTORY_SEASONS_MAX + i, 1);
			prepare(DIRECTORY_SEASONS_MAX + i, 2);
			prepare(DIRECTORY_SEASONS_MAX + 3 + i, 2);
		}
		get(9, 2);
		for (unsigned i = 0; i < DIRECTORY_SEASONS_MAX; i++) {
			snprintf(id, sizeof(id), "s%u", i);
			CU_ASSERT_STRING_EQUAL(borrowed[i]->id, id);
			CU_ASSERT_EQUAL(borrowed[i]->revision, 1);
		}
	}
	close_book();
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"read once a revision", test_read_once_a_revision},
		{"failures", test_failures},
		{"prepared ahead of its moment", test_prepared},
		{"a preparation that fails", test_failed_preparation},
		{"what is replaced is good until the turn ends", test_replaced_is_good_until_the_turn_ends},
		CU_TEST_INFO_NULL,
	};

	log_set_level(LOG_ERROR);
	arena_init(&arena);
	int status = tap_main("service/book", tests);

	book_free(NULL);
	arena_release(&arena);
	return status;
}
