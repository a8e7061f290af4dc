/*
 * The trust lease: the steward's word, good for half a second, that this host may trust the cache, and which one: the
 * epoch of the keys and the identity of the Redis that holds them. (Gray and Cheriton, "Leases", 1989.) It stands in
 * shared memory; the steward is its only writer. Nobody renews it: it lapses, and the host goes around the cache, which
 * is safe.
 *
 * The life of a lease counts from before the steward's query began. Whoever waits LEASE_DEAD_MS after a change of
 * cache_control, or a new row of cache_distrust, was committed knows that no lease given before it is alive anywhere.
 *
 * With it goes the list of those whom the lease does not cover: players that a write could not be fenced for. They are
 * kept as hashes; two that share one are both distrusted, which is safe.
 */
#ifndef BP_CACHE_LEASE_H
#define BP_CACHE_LEASE_H

#include "base/seqlock.h"
#include "base/str.h"
#include "service/ports.h"

enum { LEASE_DISTRUSTED_MAX = 1000 };

struct lease_content {
	uint64_t epoch;
	int64_t until_boot_ms;
	uint64_t list;    /* version of the list that belongs to it */
	bool unconfirmed; /* MySQL cannot be asked: hits may be stale, and say so; no writer may rely on it */
	char redis_id[REDIS_ID_SIZE];
};

struct distrusted {
	uint64_t version;
	uint32_t count;
	uint64_t hashes[LEASE_DISTRUSTED_MAX]; /* ascending */
};

struct lease {
	struct seqlock lock;
	struct lease_content content;
	struct seqlock list_lock;
	struct distrusted list;
};

/* The hashes are sorted in place; content->list is set. count is at most LEASE_DISTRUSTED_MAX; hashes may be
 * NULL where it is 0. */
void lease_give(struct lease *lease, struct lease_content *content, uint64_t hashes[], uint32_t count);
/* The same lease for longer, with the list that it has. */
void lease_prolong(struct lease *lease, const struct lease_content *content);
/*
 * False when it has lapsed or cannot be read. copy is the caller's own of the list, kept from look to look, and is
 * brought up to date.
 */
bool lease_look(const struct lease *lease, struct lease_content *ret_content, struct distrusted *copy);

uint64_t distrusted_hash(struct str player, struct str season);
bool distrusted_names(const struct distrusted *list, struct str player, struct str season);

#endif
