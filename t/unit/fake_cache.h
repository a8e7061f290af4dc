/*
 * A cache in memory that follows the port's contract: the rules of the protocol (cache/cache.h) in C. Its steward
 * renews the lease whenever the view is looked at, if the store says that the cache may be trusted; frozen, it lets the
 * lease lapse.
 */
#ifndef BP_T_UNIT_FAKE_CACHE_H
#define BP_T_UNIT_FAKE_CACHE_H

#include "fake_store.h"
#include "service/ports.h"

enum { FAKE_ENTRIES_MAX = 512, FAKE_BODY_MAX = 128 };

struct fake_entry {
	uint64_t epoch;
	char key[SEASON_ID_MAX * 2 + 2];
	char kind; /* V, T, L */
	uint64_t revision;
	uint64_t season_revision;
	uint64_t nonce; /* of a T or an L */
	char body[FAKE_BODY_MAX];
};

struct fake_cache {
	struct fake_faults *faults;
	struct cache_port port;
	const struct fake_store *store; /* what the steward sees; borrowed */
	bool gone;                      /* Redis cannot be reached */
	int64_t frozen_until_boot_ms;   /* the steward gives no lease before */
	bool unconfirmed;
	bool confirms_fail;
	char redis_id[REDIS_ID_SIZE];
	uint64_t lease_epoch;
	int64_t lease_until_boot_ms;
	struct fake_distrust lease_distrusted[FAKE_PLAYERS_MAX];
	size_t lease_distrusted_count;
	uint64_t nonces;
	struct fake_entry entries[FAKE_ENTRIES_MAX];
	size_t entry_count;
};

void fake_cache_init(struct fake_cache *cache, struct fake_faults *faults, const struct fake_store *store,
		     const char *redis_id);
/* NULL if the key is absent. */
const struct fake_entry *fake_cache_entry(const struct fake_cache *cache, uint64_t epoch, struct str player,
					  const char *season);
/* Puts a value there, whatever was before. */
void fake_cache_put(struct fake_cache *cache, uint64_t epoch, struct str player, const char *season, char kind,
		    uint64_t revision, uint64_t season_revision, const char *body);
/* Eviction of any one key. */
void fake_cache_evict(struct fake_cache *cache, uint64_t random);
/* For struct fake_store: context is the cache. */
bool fake_cache_is_fenced(void *context, uint64_t epoch, struct str player, const char *season, uint64_t revision);

#endif
