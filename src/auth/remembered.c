/*
 * Remembered tokens: see remembered.h. Must never answer with the identity of another token: all 32 bytes of the
 * digest are compared. The comparison need not take constant time: what it could leak is a part of the hash of
 * somebody's token, from which no token can be made.
 */
#include "auth/remembered.h"

#include <stdlib.h>
#include <sys/mman.h>

struct entry {
	unsigned char digest[DIGEST_SIZE];
	uint64_t number; /* counts up with every put; 0: the place was never taken */
	int64_t until_ms;
	struct identity identity;
};

_Static_assert(sizeof(struct entry) == 128, "an entry is two cache lines");

struct remembered {
	struct entry *entries; /* sets of REMEMBERED_WAYS neighbours */
	uint32_t *tags; /* a part of each entry's digest: a set's stand in one cache line and are looked at first */
	size_t count;
	uint64_t last_number;
};

static size_t
table_size(uint32_t capacity)
{
	size_t count = REMEMBERED_WAYS;

	while (count < capacity)
		count *= 2;
	return count;
}

/* Straight from the system: on a cache line, zeroed, and real memory only once a page is written. NULL without memory.
 */
static void *
map_zeroed(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

struct remembered *
remembered_new(uint32_t capacity)
{
	struct remembered *table = calloc(1, sizeof(*table));

	if (!table)
		return NULL;
	table->count = table_size(capacity);
	table->entries = map_zeroed(table->count * sizeof(*table->entries));
	table->tags = map_zeroed(table->count * sizeof(*table->tags));
	if (table->entries && table->tags)
		return table;
	remembered_free(table);
	return NULL;
}

void
remembered_free(struct remembered *table)
{
	if (!table)
		return;
	if (table->entries)
		munmap(table->entries, table->count * sizeof(*table->entries));
	if (table->tags)
		munmap(table->tags, table->count * sizeof(*table->tags));
	free(table);
}

size_t
remembered_capacity(const struct remembered *table)
{
	return table->count;
}

static bool
entry_is_live(const struct entry *entry, int64_t now_ms)
{
	return entry->number && now_ms < entry->until_ms;
}

size_t
remembered_count(const struct remembered *table, int64_t now_ms)
{
	size_t count = 0;

	for (size_t i = 0; i < table->count; i++)
		count += entry_is_live(&table->entries[i], now_ms);
	return count;
}

/* The set where the digest belongs: its first bytes are as random as any. */
static struct entry *
set_of(const struct remembered *table, const unsigned char *digest)
{
	uint64_t hash;

	memcpy(&hash, digest, sizeof(hash));
	return table->entries + (hash & (table->count - 1)) / REMEMBERED_WAYS * REMEMBERED_WAYS;
}

static uint32_t
tag_of(const unsigned char *digest)
{
	uint32_t tag;

	memcpy(&tag, digest + sizeof(uint64_t), sizeof(tag));
	return tag;
}

/* The digest's place in its set, or NULL. */
static struct entry *
entry_with_digest(const struct remembered *table, struct entry *set, const unsigned char *digest)
{
	const uint32_t *tags = table->tags + (set - table->entries);
	uint32_t tag = tag_of(digest);

	for (size_t i = 0; i < REMEMBERED_WAYS; i++)
		if (tags[i] == tag && set[i].number && memcmp(set[i].digest, digest, DIGEST_SIZE) == 0)
			return &set[i];
	return NULL;
}

enum err
remembered_find(const struct remembered *table, const unsigned char digest[DIGEST_SIZE], int64_t now_ms,
		struct identity *ret_identity)
{
	const struct entry *entry = entry_with_digest(table, set_of(table, digest), digest);

	if (!entry)
		return ERR_NOT_FOUND;
	if (!entry_is_live(entry, now_ms))
		return ERR_TOKEN_EXPIRED;
	*ret_identity = entry->identity;
	return ERR_OK;
}

/* The place to give up: an expired (or never used) one first, else the one put first. */
static struct entry *
entry_to_replace(struct entry *set, int64_t now_ms)
{
	struct entry *oldest = set;

	for (struct entry *entry = set; entry < set + REMEMBERED_WAYS; entry++) {
		if (!entry_is_live(entry, now_ms))
			return entry;
		if (entry->number < oldest->number)
			oldest = entry;
	}
	return oldest;
}

void
remembered_put(struct remembered *table, const unsigned char digest[DIGEST_SIZE], const struct identity *identity,
	       int64_t until_ms, int64_t now_ms)
{
	struct entry *set = set_of(table, digest);
	struct entry *entry = entry_with_digest(table, set, digest);

	if (!entry)
		entry = entry_to_replace(set, now_ms);
	table->tags[entry - table->entries] = tag_of(digest);
	memcpy(entry->digest, digest, DIGEST_SIZE);
	entry->number = ++table->last_number;
	entry->until_ms = until_ms;
	entry->identity = *identity;
}
