/*
 * The audit log's chain (service/audit): what goes into a link, and that a check finds every entry that was changed,
 * taken away, put in or moved, at the right place, and nothing where players only write on meanwhile.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/uuid.h"
#include "service/audit.h"
#include "tap.h"

enum { ENTRIES_MAX = 8000, HEADS_MAX = 1200 };

/* The records: entries and heads in the order of their chains. */
struct book {
	struct audit_entry entries[ENTRIES_MAX];
	size_t entry_count;
	struct chain_head heads[HEADS_MAX];
	size_t head_count;
	unsigned calls;
	unsigned fail_at; /* this call fails; 0: none */
	/* Called before every page is read. */
	void (*meanwhile)(struct book *book);
};

static struct book book;
static struct arena texts;

static int
compare_place(const char *player, const char *season, const char *other_player, const char *other_season)
{
	int order = strcmp(player, other_player);

	return order ? order : strcmp(season, other_season);
}

static bool
wanted(const char *player, const char *season, const char *of_player, const char *of_season)
{
	return (!player || strcmp(player, of_player) == 0) && (!season || strcmp(season, of_season) == 0);
}

static bool
next_call_fails(struct book *self)
{
	if (self->meanwhile)
		self->meanwhile(self);
	return ++self->calls == self->fail_at;
}

static enum err
fake_chain(void *self, const char *player, const char *season, const struct chain_position *after, uint32_t limit,
	   struct arena *arena, struct audit_entry **ret_rows, size_t *ret_count)
{
	const struct book *from = self;

	if (next_call_fails(self))
		return ERR_STORE_UNAVAILABLE;
	*ret_rows = ARENA_ARRAY(arena, limit, struct audit_entry);
	*ret_count = 0;
	for (size_t i = 0; i < from->entry_count && *ret_count < limit; i++) {
		const struct audit_entry *entry = &from->entries[i];
		int order = compare_place(entry->player.ptr, entry->season, after->player, after->season);

		if (order < 0 || (order == 0 && entry->sequence <= after->sequence) ||
		    !wanted(player, season, entry->player.ptr, entry->season))
			continue;
		struct audit_entry *row = &(*ret_rows)[(*ret_count)++];

		/* In the arena, as the store hands them out: nothing may be kept over its reset. */
		*row = *entry;
		row->player = arena_str(arena, entry->player);
		row->season = arena_copy(arena, str_from(entry->season));
	}
	return ERR_OK;
}

static enum err
fake_heads(void *self, const char *player, const char *season, const struct chain_position *after, uint32_t limit,
	   struct arena *arena, struct chain_head **ret_heads, size_t *ret_count)
{
	const struct book *from = self;

	if (next_call_fails(self))
		return ERR_STORE_UNAVAILABLE;
	*ret_heads = ARENA_ARRAY(arena, limit, struct chain_head);
	*ret_count = 0;
	for (size_t i = 0; i < from->head_count && *ret_count < limit; i++) {
		const struct chain_head *head = &from->heads[i];

		if (compare_place(head->player, head->season, after->player, after->season) > 0 &&
		    wanted(player, season, head->player, head->season))
			(*ret_heads)[(*ret_count)++] = *head;
	}
	return ERR_OK;
}

static const struct records_port records = {.self = &book, .chain = fake_chain, .chain_heads = fake_heads};

static struct audit_entry
example(const char *player, const char *season, uint64_t sequence)
{
	struct audit_entry entry = {
		.player = str_from(player),
		.season = season,
		.sequence = sequence,
		.action = "xp_correction",
		.idempotency_key = STR("key-1"),
		.author = {STR("support-1"), "support", STR("a ticket"), STR("request-1")},
		.subject = STR("subject-1"),
		.revision = 18 + sequence,
		.xp_before = 100,
		.xp_after = 250,
		.before = STR("{\"xp\":100}"),
		.after = STR("{\"xp\":250}"),
		.result = STR("\"a\":1"),
		.entered_at_ms = 1767225600000 + (int64_t)sequence,
	};

	memset(entry.id.bytes, (int)sequence, sizeof(entry.id.bytes));
	memset(entry.request_hash, 7, sizeof(entry.request_hash));
	return entry;
}

static struct chain_head *
head_of(const char *player, const char *season)
{
	size_t at = 0;

	while (at < book.head_count && compare_place(book.heads[at].player, book.heads[at].season, player, season) < 0)
		at++;
	if (at < book.head_count && compare_place(book.heads[at].player, book.heads[at].season, player, season) == 0)
		return &book.heads[at];
	if (book.head_count == HEADS_MAX)
		abort();
	memmove(&book.heads[at + 1], &book.heads[at], (book.head_count++ - at) * sizeof(book.heads[0]));
	book.heads[at] = (struct chain_head){.count = 0};
	snprintf(book.heads[at].player, sizeof(book.heads[at].player), "%s", player);
	snprintf(book.heads[at].season, sizeof(book.heads[at].season), "%s", season);
	return &book.heads[at];
}

/* Where an entry of this place stands or would stand. */
static size_t
place_of(const char *player, const char *season, uint64_t sequence)
{
	size_t at = 0;

	while (at < book.entry_count) {
		const struct audit_entry *entry = &book.entries[at];
		int order = compare_place(entry->player.ptr, entry->season, player, season);

		if (order > 0 || (order == 0 && entry->sequence >= sequence))
			break;
		at++;
	}
	return at;
}

static void
insert(const struct audit_entry *entry)
{
	size_t at = place_of(entry->player.ptr, entry->season, entry->sequence);

	if (book.entry_count == ENTRIES_MAX)
		abort();
	memmove(&book.entries[at + 1], &book.entries[at], (book.entry_count++ - at) * sizeof(book.entries[0]));
	book.entries[at] = *entry;
}

static void
remove_entry(size_t at)
{
	memmove(&book.entries[at], &book.entries[at + 1], (--book.entry_count - at) * sizeof(book.entries[0]));
}

/* One entry more at the end of a chain, as the service writes it. */
static void
write_entry(const char *player, const char *season)
{
	struct chain_head *head = head_of(player, season);
	struct audit_entry entry = example(player, season, head->count + 1);

	audit_hash(head->hash, &entry, entry.hash);
	head->count = entry.sequence;
	memcpy(head->hash, entry.hash, sizeof(head->hash));
	insert(&entry);
}

static void
write_entries(const char *player, const char *season, unsigned count)
{
	while (count-- > 0)
		write_entry(player, season);
}

static void
clear(void)
{
	memset(&book, 0, sizeof(book));
}

/* Three players' chains: before and behind the one that is played with. */
static void
three_chains(unsigned count)
{
	clear();
	write_entries("anna", "s1", 3);
	write_entries("berta", "s1", count);
	write_entries("berta", "s2", 4);
	write_entries("carla", "s1", 2);
}

/* The whole book in steps; stops where it is broken. */
static struct audit_check
check_all(uint64_t limit)
{
	struct audit_check check = {.checked = 0};
	unsigned steps = 0;

	do {
		CU_ASSERT_EQUAL(audit_check(&records, NULL, NULL, limit, &check), ERR_OK);
	} while (check.more && !check.broken && ++steps < 100000);
	return check;
}

static bool
is_at(const struct audit_check *check, const char *player, const char *season, uint64_t sequence)
{
	bool right = strcmp(check->at.player, player) == 0 && strcmp(check->at.season, season) == 0 &&
		     check->at.sequence == sequence;

	if (!right)
		printf("# at %s %s %llu, wanted %s %s %llu: %s\n", check->at.player, check->at.season,
		       (unsigned long long)check->at.sequence, player, season, (unsigned long long)sequence,
		       check->detail);
	return right;
}

/* The chain of berta in s1 must be found broken at this number, however the work is cut. */
static void
assert_broken_at(uint64_t sequence)
{
	static const uint64_t limits[] = {1, 4, 1000000};

	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		struct audit_check check = check_all(limits[i]);

		CU_ASSERT_TRUE(check.broken);
		CU_ASSERT_TRUE(is_at(&check, "berta", "s1", sequence));
		CU_ASSERT_NOT_EQUAL(check.detail[0], '\0');
		CU_ASSERT_EQUAL(check.checked, 3 + (sequence ? sequence - 1 : 0));
	}
}

static void
assert_good(uint64_t checked)
{
	struct audit_check check = check_all(7);

	CU_ASSERT_FALSE(check.broken);
	CU_ASSERT_EQUAL(check.detail[0], '\0');
	CU_ASSERT_EQUAL(check.checked, checked);
}

/* Each field of an entry, changed a little. */

#define CHANGE(name, expression)                                                                                       \
	static void change_##name(struct audit_entry *entry)                                                           \
	{                                                                                                              \
		expression;                                                                                            \
	}

CHANGE(id, entry->id.bytes[15] ^= 1)
CHANGE(action, entry->action = "tier_grant")
CHANGE(key, entry->idempotency_key = STR("key-2"))
CHANGE(no_key, entry->idempotency_key = STR_NONE)
CHANGE(request_hash, entry->request_hash[0] ^= 128)
CHANGE(actor, entry->author.actor = STR("support-2"))
CHANGE(role, entry->author.role = "admin")
CHANGE(reason, entry->author.reason = STR("a ticket "))
CHANGE(request_id, entry->author.request_id = STR("request-2"))
CHANGE(subject, entry->subject = STR("subject-2"))
CHANGE(revision, entry->revision++)
CHANGE(no_revision, entry->revision = 0)
CHANGE(xp_before, entry->xp_before++)
CHANGE(xp_after, entry->xp_after--)
CHANGE(before, entry->before = STR("{\"xp\":101}"))
CHANGE(after, entry->after = STR("{\"xp\":25}"))
CHANGE(result, entry->result = STR("\"a\":2"))
CHANGE(no_result, entry->result = STR_NONE)
CHANGE(entered_at, entry->entered_at_ms++)
/* Every byte stays where it is, and means something else. */
CHANGE(reason_moved, entry->author.reason = STR("a ticketr"); entry->author.request_id = STR("equest-1"))
CHANGE(number_moved, entry->xp_before = 1; entry->xp_after = 250)
CHANGE(state_moved, entry->before = STR("{\"xp\":100}{"); entry->after = STR("\"xp\":250}"))

static void (*const changes[])(struct audit_entry *) = {
	change_id,          change_action,      change_key,        change_no_key,       change_request_hash,
	change_actor,       change_role,        change_reason,     change_request_id,   change_subject,
	change_revision,    change_xp_before,   change_xp_after,   change_before,       change_after,
	change_result,      change_no_result,   change_entered_at, change_reason_moved, change_number_moved,
	change_state_moved, change_no_revision,
};
enum { CHANGE_COUNT = sizeof(changes) / sizeof(changes[0]) };

static void
test_every_field_is_hashed(void)
{
	static const unsigned char zeros[AUDIT_HASH_SIZE];
	static unsigned char hashes[CHANGE_COUNT + 5][AUDIT_HASH_SIZE];
	unsigned char other[AUDIT_HASH_SIZE] = {1};
	struct audit_entry entry = example("berta", "s1", 3);
	struct audit_entry changed = entry;
	size_t count = 0;

	audit_hash(zeros, &entry, hashes[count++]);
	audit_hash(other, &entry, hashes[count++]);
	changed.sequence++;
	audit_hash(zeros, &changed, hashes[count++]);
	changed = entry;
	changed.player = STR("bert");
	audit_hash(zeros, &changed, hashes[count++]);
	changed = entry;
	changed.season = "s2";
	audit_hash(zeros, &changed, hashes[count++]);
	for (size_t i = 0; i < CHANGE_COUNT; i++) {
		changed = entry;
		changes[i](&changed);
		audit_hash(zeros, &changed, hashes[count++]);
	}
	for (size_t i = 0; i < count; i++)
		for (size_t j = 0; j < i; j++)
			CU_ASSERT_NOT_EQUAL(memcmp(hashes[i], hashes[j], AUDIT_HASH_SIZE), 0);
	/* What it held as its own hash does not count. */
	changed = entry;
	memset(changed.hash, 9, sizeof(changed.hash));
	audit_hash(zeros, &changed, other);
	CU_ASSERT_EQUAL(memcmp(other, hashes[0], AUDIT_HASH_SIZE), 0);
}

/* Chains that were written once must stay good: made by another program from the fields as audit.c lists them. */
static void
test_hash_stays_as_it_is(void)
{
	static const char expected[] = "40a5e24133148c14a54d3ef6b3d57df892df6ce97bdeb8f063c7bfe123a77f66";
	static const unsigned char zeros[AUDIT_HASH_SIZE];
	unsigned char hash[AUDIT_HASH_SIZE];
	struct audit_entry entry = example("berta", "s1", 3);
	struct buf text;

	audit_hash(zeros, &entry, hash);
	buf_init(&text);
	buf_hex(&text, hash, sizeof(hash));
	CU_ASSERT_STRING_EQUAL(buf_text(&text), expected);
	buf_release(&text);
}

static void
test_good_chains(void)
{
	static const uint64_t limits[] = {0, 1, 2, 7, 499, 500, 501, 100000};
	char name[16];

	clear();
	assert_good(0);
	write_entries("long", "s1", 1234);
	write_entries("long", "s2", 500);
	for (unsigned i = 0; i < 450; i++) {
		snprintf(name, sizeof(name), "p%03u", i);
		write_entries(arena_copy(&texts, str_from(name)), i % 3 ? "s1" : "s2", 1 + i % 4);
	}
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		struct audit_check check = check_all(limits[i]);

		CU_ASSERT_FALSE(check.broken);
		CU_ASSERT_EQUAL(check.checked, book.entry_count);
		CU_ASSERT_TRUE(is_at(&check, "p449", "s1", 2));
	}
	/* Pages of heads are read on, too. */
	head_of("zoe", "s1")->count = 1;
	struct audit_check check = check_all(100000);

	CU_ASSERT_TRUE(check.broken);
	CU_ASSERT_TRUE(is_at(&check, "zoe", "s1", 1));
}

/* A step ends with a chain, as soon as there is enough; the next one begins behind it. */
static void
test_steps(void)
{
	struct audit_check check = {.checked = 0};

	three_chains(10);
	CU_ASSERT_EQUAL(audit_check(&records, NULL, NULL, 4, &check), ERR_OK);
	CU_ASSERT_TRUE(is_at(&check, "berta", "s1", 10));
	CU_ASSERT_EQUAL(check.checked, 13);
	CU_ASSERT_TRUE(check.more);
	/* The chain that was looked at has grown: that is for another time. */
	write_entry("berta", "s1");
	CU_ASSERT_EQUAL(audit_check(&records, NULL, NULL, 1, &check), ERR_OK);
	CU_ASSERT_TRUE(is_at(&check, "berta", "s2", 4));
	CU_ASSERT_EQUAL(check.checked, 17);
	CU_ASSERT_TRUE(check.more);
	CU_ASSERT_EQUAL(audit_check(&records, NULL, NULL, 2, &check), ERR_OK);
	CU_ASSERT_TRUE(is_at(&check, "carla", "s1", 2));
	CU_ASSERT_FALSE(check.more);
	CU_ASSERT_FALSE(check.broken);
}

static void
test_filters(void)
{
	static const struct {
		const char *player;
		const char *season;
		uint64_t checked;
		bool broken;
	} cases[] = {
		{NULL, "s1", 3, true},     {NULL, "s2", 4, false},     {"berta", NULL, 0, true},
		{"anna", NULL, 3, false},  {"berta", "s2", 4, false},  {"berta", "s1", 0, true},
		{"berta", "s3", 0, false}, {"nobody", NULL, 0, false},
	};

	three_chains(10);
	change_reason(&book.entries[place_of("berta", "s1", 1)]);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct audit_check check = {.checked = 0};

		CU_ASSERT_EQUAL(audit_check(&records, cases[i].player, cases[i].season, 1000, &check), ERR_OK);
		CU_ASSERT_EQUAL(check.broken, cases[i].broken);
		CU_ASSERT_EQUAL(check.checked, cases[i].checked);
		CU_ASSERT_EQUAL(check.more, cases[i].broken);
	}
}

static void
test_every_change_is_found(void)
{
	static const uint64_t numbers[] = {1, 2, 5, 9, 10};

	for (size_t i = 0; i < CHANGE_COUNT; i++) {
		for (size_t n = 0; n < sizeof(numbers) / sizeof(numbers[0]); n++) {
			three_chains(10);
			changes[i](&book.entries[place_of("berta", "s1", numbers[n])]);
			assert_broken_at(numbers[n]);
		}
	}
}

/* Whoever makes the hash of a changed entry fit moves the break to the entry behind it, or to the head. */
static void
test_change_with_its_hash(void)
{
	for (uint64_t number = 1; number <= 10; number++) {
		three_chains(10);
		size_t at = place_of("berta", "s1", number);
		static const unsigned char zeros[AUDIT_HASH_SIZE];

		change_xp_after(&book.entries[at]);
		audit_hash(number > 1 ? book.entries[at - 1].hash : zeros, &book.entries[at], book.entries[at].hash);
		if (number < 10) {
			assert_broken_at(number + 1);
		} else {
			struct audit_check check = check_all(1);

			CU_ASSERT_TRUE(check.broken);
			CU_ASSERT_TRUE(is_at(&check, "berta", "s1", 10));
		}
	}
}

static void
test_missing_entries(void)
{
	for (uint64_t number = 1; number <= 10; number++) {
		three_chains(10);
		remove_entry(place_of("berta", "s1", number));
		assert_broken_at(number);
		/* The gap is closed. */
		for (size_t i = place_of("berta", "s1", number); i < place_of("berta", "s1", 11); i++)
			book.entries[i].sequence--;
		assert_broken_at(number);
		/* The end is cut off. */
		three_chains(10);
		while (place_of("berta", "s1", 11) > place_of("berta", "s1", number))
			remove_entry(place_of("berta", "s1", number));
		assert_broken_at(number);
	}
}

static void
test_more_entries(void)
{
	for (uint64_t number = 0; number <= 12; number++) {
		three_chains(10);
		struct audit_entry entry = example("berta", "s1", number);

		for (size_t i = place_of("berta", "s1", 11); number && i-- > place_of("berta", "s1", number);)
			book.entries[i].sequence++;
		insert(&entry);
		assert_broken_at(number < 11 ? number : 11);
	}
	/* One that fits, but that the head does not know. */
	three_chains(10);
	struct chain_head head = *head_of("berta", "s1");

	write_entry("berta", "s1");
	*head_of("berta", "s1") = head;
	struct audit_check check = check_all(1);

	CU_ASSERT_TRUE(check.broken);
	CU_ASSERT_TRUE(is_at(&check, "berta", "s1", 11));
}

static void
test_moved_entries(void)
{
	for (uint64_t number = 1; number < 10; number++) {
		three_chains(10);
		struct audit_entry *entry = &book.entries[place_of("berta", "s1", number)];
		struct audit_entry first = entry[0];

		entry[0] = entry[1];
		entry[1] = first;
		entry[0].sequence = number;
		entry[1].sequence = number + 1;
		assert_broken_at(number);
	}
	/* Out of another chain, with everything that belongs to it. */
	three_chains(10);
	book.entries[place_of("berta", "s1", 1)] = book.entries[place_of("berta", "s2", 1)];
	book.entries[place_of("berta", "s1", 1)].season = "s1";
	assert_broken_at(1);
}

static void
test_heads(void)
{
	three_chains(10);
	head_of("berta", "s1")->hash[31] ^= 1;
	struct audit_check check = check_all(1);

	CU_ASSERT_TRUE(check.broken);
	CU_ASSERT_TRUE(is_at(&check, "berta", "s1", 10));
	three_chains(10);
	head_of("berta", "s1")->count = 12;
	check = check_all(1);
	CU_ASSERT_TRUE(check.broken);
	CU_ASSERT_TRUE(is_at(&check, "berta", "s1", 11));
	/* Entries without a head, a head without entries. */
	three_chains(10);
	size_t at = (size_t)(head_of("berta", "s1") - book.heads);

	memmove(&book.heads[at], &book.heads[at + 1], (--book.head_count - at) * sizeof(book.heads[0]));
	check = check_all(1);
	CU_ASSERT_TRUE(check.broken);
	CU_ASSERT_TRUE(is_at(&check, "berta", "s1", 1));
	three_chains(0);
	head_of("berta", "s1")->count = 1;
	assert_broken_at(1);
	/* Behind the last entry of all. */
	three_chains(10);
	head_of("zoe", "s1")->count = 1;
	check = check_all(1);
	CU_ASSERT_TRUE(check.broken);
	CU_ASSERT_TRUE(is_at(&check, "zoe", "s1", 1));
}

/* One broken chain does not hide the next. */
static void
test_goes_on_behind_a_broken_chain(void)
{
	static const struct chain_position places[] = {{"anna", "s1", 2}, {"berta", "s1", 4}, {"carla", "s1", 2}};
	struct audit_check check = {.checked = 0};

	three_chains(10);
	for (size_t i = 0; i < 3; i++)
		change_actor(&book.entries[place_of(places[i].player, places[i].season, places[i].sequence)]);
	for (size_t i = 0; i < 3; i++) {
		CU_ASSERT_EQUAL(audit_check(&records, NULL, NULL, 1000, &check), ERR_OK);
		CU_ASSERT_TRUE(check.broken);
		CU_ASSERT_TRUE(check.more);
		CU_ASSERT_TRUE(is_at(&check, places[i].player, places[i].season, places[i].sequence));
	}
	CU_ASSERT_EQUAL(audit_check(&records, NULL, NULL, 1000, &check), ERR_OK);
	CU_ASSERT_FALSE(check.broken);
	CU_ASSERT_FALSE(check.more);
	CU_ASSERT_EQUAL(check.checked, 1 + 3 + 4 + 1);
}

/* Everybody writes on before every page that is read; and there are players who were not there at the beginning. */
static void
players_write(struct book *self)
{
	char name[16];

	if (self->entry_count > ENTRIES_MAX - 10)
		return;
	write_entry("berta", "s1");
	write_entry("anna", "s1");
	/* Never behind the last one, or there would be no end of it. */
	snprintf(name, sizeof(name), "x%04u", 9999 - self->calls % 9999);
	write_entry(arena_copy(&texts, str_from(name)), "s1");
	snprintf(name, sizeof(name), "b%04u", 9999 - self->calls % 9999);
	write_entry(arena_copy(&texts, str_from(name)), "s1");
}

static void
test_players_write_meanwhile(void)
{
	static const unsigned lengths[] = {0, 10, 499, 500, 501, 1000, 1300};

	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		for (uint64_t limit = 1; limit < 2000; limit += 999) {
			struct audit_check check = {.checked = 0};

			three_chains(lengths[i]);
			size_t there = book.entry_count;

			book.meanwhile = players_write;
			do {
				CU_ASSERT_EQUAL(audit_check(&records, NULL, NULL, limit, &check), ERR_OK);
			} while (check.more && !check.broken && book.calls < 2000);
			CU_ASSERT_FALSE(check.broken);
			CU_ASSERT_FALSE(check.more);
			CU_ASSERT_TRUE(check.checked >= there);
			CU_ASSERT_TRUE(book.calls < 900);
		}
	}
}

static void
berta_writes(struct book *self)
{
	if (self->entry_count < ENTRIES_MAX)
		write_entry("berta", "s1");
}

/* And what is broken does not pass for one that grows. */
static void
test_broken_and_written_to(void)
{
	for (uint64_t number = 1; number <= 10; number++) {
		three_chains(10);
		change_subject(&book.entries[place_of("berta", "s1", number)]);
		book.meanwhile = berta_writes;
		assert_broken_at(number);
		three_chains(10);
		remove_entry(place_of("berta", "s1", number));
		book.meanwhile = berta_writes;
		assert_broken_at(number);
	}
}

static void
test_store_is_away(void)
{
	unsigned calls;

	three_chains(600);
	change_reason(&book.entries[place_of("carla", "s1", 2)]);
	CU_ASSERT_TRUE(check_all(100000).broken);
	calls = book.calls;
	CU_ASSERT_TRUE(calls > 4);
	for (unsigned i = 1; i <= calls; i++) {
		struct audit_check check = {.checked = 5, .at = {"a", "b", 3}};
		struct audit_check before = check;

		book.calls = 0;
		book.fail_at = i;
		CU_ASSERT_EQUAL(audit_check(&records, NULL, NULL, 100000, &check), ERR_STORE_UNAVAILABLE);
		CU_ASSERT_EQUAL(memcmp(&check, &before, sizeof(check)), 0);
	}
}

/* The smallest number at which a chain is not what was written. */
static uint64_t
random_break(uint64_t count)
{
	uint64_t number = 1 + random_u64() % count;
	size_t at = place_of("berta", "s1", number);

	switch (random_u64() % 4) {
	case 0:
		changes[random_u64() % CHANGE_COUNT](&book.entries[at]);
		return number;
	case 1:
		remove_entry(at);
		return number;
	case 2:
		book.entries[at].hash[random_u64() % AUDIT_HASH_SIZE] ^= 4;
		return number;
	default:
		book.entries[at].sequence += count;
		struct audit_entry moved = book.entries[at];

		remove_entry(at);
		insert(&moved);
		return number;
	}
}

/* However many breaks there are, it is the first that is told, in chains longer than a page, too. */
static void
test_first_break_is_told(void)
{
	for (unsigned round = 0; round < 300; round++) {
		unsigned count = round % 10 ? 5 + (unsigned)(random_u64() % 30) : 480 + (unsigned)(random_u64() % 600);
		uint64_t first = UINT64_MAX;

		three_chains(count);
		for (uint64_t left = count; left > 0;) {
			uint64_t at = random_break(left);

			first = at < first ? at : first;
			left = random_u64() % 2 ? 0 : at - 1;
		}
		assert_broken_at(first);
	}
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"every field is hashed", test_every_field_is_hashed},
		{"the hash stays as it is", test_hash_stays_as_it_is},
		{"good chains", test_good_chains},
		{"steps", test_steps},
		{"one player, one season", test_filters},
		{"every change is found where it is", test_every_change_is_found},
		{"a change with its hash", test_change_with_its_hash},
		{"missing entries", test_missing_entries},
		{"entries too many", test_more_entries},
		{"entries moved", test_moved_entries},
		{"heads", test_heads},
		{"goes on behind a broken chain", test_goes_on_behind_a_broken_chain},
		{"players who write meanwhile break nothing", test_players_write_meanwhile},
		{"a broken chain that is written to", test_broken_and_written_to},
		{"a store that is away", test_store_is_away},
		{"the first break is told", test_first_break_is_told},
		CU_TEST_INFO_NULL,
	};

	arena_init(&texts);
	int status = tap_main("service/audit", tests);

	arena_release(&texts);
	return status;
}
