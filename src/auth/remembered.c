/*
 * Remembered tokens: see remembered.h. Must never answer with the identity of another token: all 32 bytes of the
 * digest are compared, in a copy that no writer had its hands on. The comparison need not take constant time: what it
 * could leak is a part of the hash of somebody's token, from which no token can be made.
 */
#include "auth/remembered.h"

#include <sys/mman.h>

#include "base/seqlock.h"

struct content {
	int64_t until_ms; /* 0: the place was never taken */
	unsigned char digest[DIGEST_SIZE];
	struct identity identity;
};

struct entry {
	struct seqlock lock;
	uint32_t asked_for; /* since all of its set were; outside the lock, for it may be lost */
	struct content content;
};

_Static_assert(sizeof(struct entry) == 128, "an entry is two cache lines");

struct remembered {
	struct entry *entries; /* sets of REMEMBERED_WAYS neighbours */
	uint32_t *tags; /* a part of each entry's digest: a set's stand in one cache line and are looked at first */
	size_t count;
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
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

struct remembered *
remembered_new(uint32_t capacity)
{
	struct remembered *table = map_zeroed(sizeof(*table));

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
	munmap(table, sizeof(*table));
}

size_t
remembered_capacity(const struct remembered *table)
{
	return table->count;
}

/* Others may be writing it: good enough to choose by. */
static int64_t
good_until(const struct entry *entry)
{
	return __atomic_load_n(&entry->content.until_ms, __ATOMIC_RELAXED);
}

size_t
remembered_count(const struct remembered *table, int64_t now_ms)
{
	size_t count = 0;

	for (size_t i = 0; i < table->count; i++)
		count += now_ms < good_until(&table->entries[i]);
	return count;
}

/* The first place of the set where the digest belongs: its first bytes are as random as any. */
static size_t
set_of(const struct remembered *table, const unsigned char *digest)
{
	uint64_t hash;

	memcpy(&hash, digest, sizeof(hash));
	return (hash & (table->count - 1)) / REMEMBERED_WAYS * REMEMBERED_WAYS;
}

static uint32_t
tag_of(const unsigned char *digest)
{
	uint32_t tag;

	memcpy(&tag, digest + sizeof(uint64_t), sizeof(tag));
	return tag;
}

/* Copies the place of the digest out and returns its entry, or NULL. */
static struct entry *
look_up(const struct remembered *table, const unsigned char *digest, struct content *ret_content)
{
	size_t set = set_of(table, digest);
	uint32_t tag = tag_of(digest);

	for (size_t i = set; i < set + REMEMBERED_WAYS; i++) {
		struct entry *entry = &table->entries[i];

		if (__atomic_load_n(&table->tags[i], __ATOMIC_RELAXED) == tag &&
		    seqlock_read(&entry->lock, ret_content, &entry->content, sizeof(*ret_content)) &&
		    ret_content->until_ms && memcmp(ret_content->digest, digest, DIGEST_SIZE) == 0)
			return entry;
	}
	return NULL;
}

enum err
remembered_find(struct remembered *table, const unsigned char digest[DIGEST_SIZE], int64_t now_ms,
		struct identity *ret_identity)
{
	struct content content;
	struct entry *entry = look_up(table, digest, &content);

	if (!entry)
		return ERR_NOT_FOUND;
	if (!__atomic_load_n(&entry->asked_for, __ATOMIC_RELAXED))
		__atomic_store_n(&entry->asked_for, 1, __ATOMIC_RELAXED);
	if (now_ms >= content.until_ms)
		return ERR_TOKEN_EXPIRED;
	*ret_identity = content.identity;
	return ERR_OK;
}

static struct entry *
one_not_asked_for(struct entry *set, size_t start)
{
	for (size_t i = 0; i < REMEMBERED_WAYS; i++) {
		struct entry *entry = &set[(start + i) % REMEMBERED_WAYS];

		if (!seqlock_is_held(&entry->lock) && !__atomic_load_n(&entry->asked_for, __ATOMIC_RELAXED))
			return entry;
	}
	return NULL;
}

/*
 * The place to give up: one that is free or has expired, else one that was not asked for. When all were, all of them
 * have to prove it again. Where it begins differs from token to token. The place of a writer that has died is lost, and
 * must not be chosen for ever.
 */
static struct entry *
entry_to_replace(const struct remembered *table, const unsigned char *digest, int64_t now_ms)
{
	struct entry *set = table->entries + set_of(table, digest);
	size_t start = tag_of(digest) % REMEMBERED_WAYS;

	for (size_t i = 0; i < REMEMBERED_WAYS; i++)
		if (!seqlock_is_held(&set[i].lock) && now_ms >= good_until(&set[i]))
			return &set[i];

	struct entry *found = one_not_asked_for(set, start);

	if (found)
		return found;
	for (size_t i = 0; i < REMEMBERED_WAYS; i++)
		__atomic_store_n(&set[i].asked_for, 0, __ATOMIC_RELAXED);
	found = one_not_asked_for(set, start);
	return found ? found : &set[start];
}

void
remembered_put(struct remembered *table, const unsigned char digest[DIGEST_SIZE], const struct identity *identity,
	       int64_t until_ms, int64_t now_ms)
{
	struct content content;
	struct entry *entry = look_up(table, digest, &content);

	if (!entry)
		entry = entry_to_replace(table, digest, now_ms);
	content = (struct content){.until_ms = until_ms, .identity = *identity};
	memcpy(content.digest, digest, DIGEST_SIZE);
	if (!seqlock_try_write_begin(&entry->lock))
		return;
	__atomic_store_n(&table->tags[entry - table->entries], tag_of(digest), __ATOMIC_RELAXED);
	entry->content = content;
	__atomic_store_n(&entry->asked_for, 0, __ATOMIC_RELAXED);
	seqlock_write_end(&entry->lock);
}
