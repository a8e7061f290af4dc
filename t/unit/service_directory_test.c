/*
 * The directory of seasons: found by id, `current` means one and one only, a copy that cannot be had leaves the last
 * one whole, and a revision takes the place of another at its very moment.
 */
#include "service/directory.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tap.h"

static struct directory *directory; /* in pages of its own */
static size_t page_size;

static void
add(struct directory_content *content, const char *id, int64_t starts_at_ms, enum season_state state)
{
	struct season_entry *entry = &content->seasons[content->count++];

	snprintf(entry->id, sizeof(entry->id), "%s", id);
	entry->revision = content->version;
	entry->stored_state = state;
	entry->times =
		(struct season_times){starts_at_ms, starts_at_ms + 100, starts_at_ms + 200, starts_at_ms + 300, 0};
}

static void
fill_up(struct directory_content *content, uint64_t version)
{
	char id[SEASON_ID_MAX + 1];

	content->version = version;
	content->count = 0;
	for (int i = 0; i < DIRECTORY_SEASONS_MAX; i++) {
		snprintf(id, sizeof(id), "s%d", i);
		add(content, id, 1000, SEASON_PUBLISHED);
	}
}

static void
test_publish_and_refresh(void)
{
	static struct directory_content content;
	static struct directory_content copy;

	memset(directory, 0, sizeof(*directory));
	CU_ASSERT_TRUE(directory_refresh(directory, &copy));
	CU_ASSERT(copy.version == 0 && copy.count == 0);
	fill_up(&content, 5);
	directory_publish(directory, &content);
	CU_ASSERT_TRUE(directory_refresh(directory, &copy));
	CU_ASSERT(copy.version == 5 && copy.count == DIRECTORY_SEASONS_MAX);
	CU_ASSERT_STRING_EQUAL(copy.seasons[DIRECTORY_SEASONS_MAX - 1].id, "s255");
	/* Nothing is copied while the version stands. */
	copy.seasons[0].revision = 77;
	CU_ASSERT_TRUE(directory_refresh(directory, &copy));
	CU_ASSERT_EQUAL(copy.seasons[0].revision, 77);
	content.version = 6;
	content.count = 1;
	directory_publish(directory, &content);
	CU_ASSERT_TRUE(directory_refresh(directory, &copy));
	CU_ASSERT(copy.version == 6 && copy.count == 1 && copy.seasons[0].revision == 5);
}

static void
test_find(void)
{
	static struct directory_content content;

	fill_up(&content, 1);
	CU_ASSERT_PTR_EQUAL(directory_find(&content, STR("s0")), &content.seasons[0]);
	CU_ASSERT_PTR_EQUAL(directory_find(&content, STR("s255")), &content.seasons[255]);
	CU_ASSERT_PTR_NULL(directory_find(&content, STR("s256")));
	CU_ASSERT_PTR_NULL(directory_find(&content, STR("S0")));
	CU_ASSERT_PTR_NULL(directory_find(&content, STR("")));
	CU_ASSERT_PTR_NULL(directory_find(&content, STR_NONE));
	CU_ASSERT_PTR_NULL(directory_find(&content, STR("s0\0")));
	content.count = 1;
	CU_ASSERT_PTR_NULL(directory_find(&content, STR("s1")));
}

static void
test_current(void)
{
	static struct directory_content content = {.version = 1};
	const struct season_entry *found = NULL;

	CU_ASSERT_EQUAL(directory_current(&content, 1000, &found), ERR_SEASON_NOT_FOUND);
	add(&content, "ended", 1000, SEASON_ENDED);
	add(&content, "one", 1000, SEASON_PUBLISHED);
	add(&content, "two", 1150, SEASON_PUBLISHED);
	CU_ASSERT_EQUAL(directory_current(&content, 999, &found), ERR_SEASON_NOT_FOUND);
	CU_ASSERT_PTR_NULL(found);
	CU_ASSERT_EQUAL(directory_current(&content, 1000, &found), ERR_OK);
	CU_ASSERT_STRING_EQUAL(found->id, "one");
	/* Purchases closed: it still counts XP. */
	CU_ASSERT_EQUAL(directory_current(&content, 1120, &found), ERR_OK);
	CU_ASSERT_STRING_EQUAL(found->id, "one");
	CU_ASSERT_EQUAL(directory_current(&content, 1150, &found), ERR_SEASON_AMBIGUOUS);
	CU_ASSERT_EQUAL(directory_current(&content, 1199, &found), ERR_SEASON_AMBIGUOUS);
	CU_ASSERT_EQUAL(directory_current(&content, 1200, &found), ERR_OK);
	CU_ASSERT_STRING_EQUAL(found->id, "two");
	CU_ASSERT_EQUAL(directory_current(&content, 1350, &found), ERR_SEASON_NOT_FOUND);
}

/* The season switches to revision + 1, which begins `later_ms` later. */
static void
add_switch(struct season_entry *entry, int64_t at_ms, int64_t later_ms)
{
	entry->next = (struct season_switch){entry->revision + 1, at_ms, entry->times};
	entry->next.times.starts_at_ms += later_ms;
	entry->next.times.ends_at_ms += later_ms;
}

static const struct season_entry *
entry_at(const struct directory_content *published, int64_t now_ms, const char *id)
{
	static struct directory_content seasons;

	memset(&seasons, 0, sizeof(seasons));
	directory_resolve(published, now_ms, &seasons);
	CU_ASSERT_EQUAL(seasons.version, published->version);
	return directory_find(&seasons, str_from(id));
}

static void
test_switch_at_its_moment(void)
{
	static struct directory_content published = {.version = 5};

	add(&published, "one", 1000, SEASON_PUBLISHED);
	add_switch(&published.seasons[0], 7000, 300);
	add(&published, "two", 1000, SEASON_PUBLISHED);
	const struct season_entry *before = entry_at(&published, 6999, "one");

	CU_ASSERT(before->revision == 5 && before->times.starts_at_ms == 1000 && before->times.ends_at_ms == 1200);
	CU_ASSERT(before->next.revision == 6 && before->next.at_ms == 7000);
	const struct season_entry *after = entry_at(&published, 7000, "one");

	CU_ASSERT(after->revision == 6 && after->times.starts_at_ms == 1300 && after->times.ends_at_ms == 1500);
	CU_ASSERT_EQUAL(after->next.revision, 0);
	CU_ASSERT_EQUAL(entry_at(&published, INT64_MAX - 1, "one")->revision, 6);
	CU_ASSERT_EQUAL(entry_at(&published, 7000, "two")->revision, 5);
}

/* The first revision of a season: nobody sees it before its moment, and `current` does not either. */
static void
test_first_revision(void)
{
	static struct directory_content published = {.version = 0};
	static struct directory_content seasons;
	const struct season_entry *found;

	add(&published, "one", 1000, SEASON_PUBLISHED);
	published.version = 1;
	add_switch(&published.seasons[0], 1050, 0);
	CU_ASSERT_PTR_NULL(entry_at(&published, 1049, "one"));
	directory_resolve(&published, 1049, &seasons);
	CU_ASSERT_EQUAL(seasons.count, 0);
	CU_ASSERT_EQUAL(directory_current(&seasons, 1049, &found), ERR_SEASON_NOT_FOUND);
	directory_resolve(&published, 1050, &seasons);
	CU_ASSERT_EQUAL(seasons.count, 1);
	CU_ASSERT_EQUAL(directory_current(&seasons, 1050, &found), ERR_OK);
	CU_ASSERT_EQUAL(found->revision, 1);
}

/* What is kept from one turn to the next follows the clock, also where it is set back, and the version. */
static void
test_resolved_follows(void)
{
	static const struct {
		int64_t now_ms;
		uint64_t one, two;
	} steps[] = {{0, 1, 1},    {1999, 1, 1}, {2000, 2, 1}, {2999, 2, 1}, {3000, 2, 2},
		     {9000, 2, 2}, {2500, 2, 1}, {1500, 1, 1}, {3500, 2, 2}};
	static struct directory_content published = {.version = 1};
	static struct directory_content seasons;

	add(&published, "one", 1000, SEASON_PUBLISHED);
	add(&published, "two", 1000, SEASON_PUBLISHED);
	add_switch(&published.seasons[0], 2000, 0);
	add_switch(&published.seasons[1], 3000, 0);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		directory_resolve(&published, steps[i].now_ms, &seasons);
		CU_ASSERT_EQUAL(directory_find(&seasons, STR("one"))->revision, steps[i].one);
		CU_ASSERT_EQUAL(directory_find(&seasons, STR("two"))->revision, steps[i].two);
	}
	/* Between the moments nothing is done over. */
	seasons.seasons[0].revision = 77;
	directory_resolve(&published, 3001, &seasons);
	CU_ASSERT_EQUAL(seasons.seasons[0].revision, 77);
	published.version = 2;
	directory_resolve(&published, 3001, &seasons);
	CU_ASSERT_EQUAL(seasons.seasons[0].revision, 2);
}

/* With its times a season's place in the list changes, too. */
static void
test_newest_first(void)
{
	static struct directory_content published = {.version = 1};
	static struct directory_content seasons;

	add(&published, "b", 1500, SEASON_PUBLISHED);
	add(&published, "c", 1000, SEASON_PUBLISHED);
	add(&published, "a", 1000, SEASON_PUBLISHED);
	add_switch(&published.seasons[1], 2000, 600);
	directory_resolve(&published, 1999, &seasons);
	CU_ASSERT_STRING_EQUAL(seasons.seasons[0].id, "b");
	CU_ASSERT_STRING_EQUAL(seasons.seasons[1].id, "a");
	directory_resolve(&published, 2000, &seasons);
	CU_ASSERT_STRING_EQUAL(seasons.seasons[0].id, "c");
	CU_ASSERT_STRING_EQUAL(seasons.seasons[1].id, "b");
}

/* The reader's copying has come to the last page: now a writer begins, changes everything, and dies. */
static void
write_and_die(int signal_number)
{
	(void)signal_number;
	mprotect(directory, sizeof(*directory), PROT_READ | PROT_WRITE);
	seqlock_write_begin(&directory->lock);
	for (uint32_t i = 0; i < DIRECTORY_SEASONS_MAX; i++)
		directory->content.seasons[i].revision = 9;
}

static void
test_failed_refresh_leaves_the_last_copy(void)
{
	static struct directory_content content;
	static struct directory_content copy;
	struct sigaction act = {.sa_handler = write_and_die};
	struct sigaction before;
	unsigned wrong = 0;
	char *last_page = (char *)directory + (sizeof(*directory) - 1) / page_size * page_size;

	memset(directory, 0, sizeof(*directory));
	fill_up(&content, 5);
	directory_publish(directory, &content);
	CU_ASSERT_TRUE(directory_refresh(directory, &copy));
	fill_up(&content, 6);
	directory_publish(directory, &content);
	sigaction(SIGSEGV, &act, &before);
	mprotect(last_page, page_size, PROT_NONE);
	CU_ASSERT_FALSE(directory_refresh(directory, &copy));
	sigaction(SIGSEGV, &before, NULL);
	mprotect(directory, sizeof(*directory), PROT_READ | PROT_WRITE);
	CU_ASSERT_EQUAL(copy.version, 5);
	for (uint32_t i = 0; i < DIRECTORY_SEASONS_MAX; i++)
		wrong += copy.seasons[i].revision != 5;
	CU_ASSERT_EQUAL(wrong, 0);
	/* The next writer makes it good again, even with the same version. */
	directory_publish(directory, &content);
	CU_ASSERT_TRUE(directory_refresh(directory, &copy));
	wrong = 0;
	for (uint32_t i = 0; i < DIRECTORY_SEASONS_MAX; i++)
		wrong += copy.seasons[i].revision != 6;
	CU_ASSERT_EQUAL(wrong, 0);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"publish and refresh", test_publish_and_refresh},
		{"find", test_find},
		{"current", test_current},
		{"a switch at its moment", test_switch_at_its_moment},
		{"a season's first revision", test_first_revision},
		{"what was resolved follows clock and version", test_resolved_follows},
		{"the newest start first, also after a switch", test_newest_first},
		{"a failed refresh leaves the last copy", test_failed_refresh_leaves_the_last_copy},
		CU_TEST_INFO_NULL,
	};

	page_size = (size_t)sysconf(_SC_PAGESIZE);
	directory = mmap(NULL, (sizeof(*directory) + page_size) / page_size * page_size, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (directory == MAP_FAILED)
		abort();
	return tap_main("service/directory", tests);
}
