/* The trust lease: see lease.h. */
#include "cache/lease.h"

#include <stdlib.h>

#include "base/clock.h"

/* FNV-1a of Fowler, Noll and Vo, 64 bits. */
#define FNV_OFFSET UINT64_C(14695981039346656037)
#define FNV_PRIME  UINT64_C(1099511628211)

static uint64_t
hash_more(uint64_t hash, struct str text)
{
	for (size_t i = 0; i < text.len; i++)
		hash = (hash ^ (unsigned char)text.ptr[i]) * FNV_PRIME;
	return (hash ^ '/') * FNV_PRIME; /* which no id has in it */
}

uint64_t
distrusted_hash(struct str player, struct str season)
{
	return hash_more(hash_more(FNV_OFFSET, player), season);
}

static int
compare_hashes(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a;
	uint64_t y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

bool
distrusted_names(const struct distrusted *list, struct str player, struct str season)
{
	if (list->count == 0)
		return false;
	uint64_t hash = distrusted_hash(player, season);

	return bsearch(&hash, list->hashes, list->count, sizeof(hash), compare_hashes) != NULL;
}

/* Readers see a version of the list move when what it says does. */
static void
publish_list(struct lease *lease, const uint64_t hashes[], uint32_t count)
{
	struct distrusted *list = &lease->list;
	bool whole = (lease->list_lock.sequence & 1u) == 0; /* no writer died in the middle of it */

	if (whole && list->count == count &&
	    (count == 0 || memcmp(list->hashes, hashes, count * sizeof(hashes[0])) == 0))
		return;
	seqlock_write_begin(&lease->list_lock);
	list->version++;
	list->count = count;
	if (count)
		memcpy(list->hashes, hashes, count * sizeof(hashes[0]));
	seqlock_write_end(&lease->list_lock);
}

void
lease_prolong(struct lease *lease, const struct lease_content *content)
{
	seqlock_write_begin(&lease->lock);
	lease->content = *content;
	seqlock_write_end(&lease->lock);
}

/* The list first: a lease is never seen without the list that belongs to it. */
void
lease_give(struct lease *lease, struct lease_content *content, uint64_t hashes[], uint32_t count)
{
	if (count)
		qsort(hashes, count, sizeof(hashes[0]), compare_hashes);
	publish_list(lease, hashes, count);
	content->list = lease->list.version;
	lease_prolong(lease, content);
}

static bool
refresh(const struct lease *lease, struct distrusted *copy)
{
	static struct distrusted fresh; /* of the process: large, and copy must stay whole */

	if (!seqlock_read(&lease->list_lock, &fresh, &lease->list, sizeof(fresh)))
		return false;
	*copy = fresh;
	return true;
}

bool
lease_look(const struct lease *lease, struct lease_content *ret_content, struct distrusted *copy)
{
	struct lease_content content;

	/* The steward may be at it: twice is enough to see both of one giving. */
	for (int tries = 0; tries < 2; tries++) {
		if (!seqlock_read(&lease->lock, &content, &lease->content, sizeof(content)) ||
		    clock_boot_ms() >= content.until_boot_ms)
			return false;
		if (copy->version != content.list && !refresh(lease, copy))
			return false;
		if (copy->version == content.list) {
			*ret_content = content;
			return true;
		}
	}
	return false;
}
