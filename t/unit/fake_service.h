/*
 * A service on fakes: three seasons ("s1" and "s2" take XP, "over" has ended), an empty store, an empty cache, and
 * turns that are put together by hand.
 */
#ifndef BP_T_UNIT_FAKE_SERVICE_H
#define BP_T_UNIT_FAKE_SERVICE_H

#include "fake_cache.h"
#include "fake_store.h"
#include "service/turn.h"

enum { FAKE_SEASON_REVISION = 7, FAKE_NOW_MS = 50000 };

struct fake_service {
	struct fake_faults faults;
	struct fake_store store;
	struct fake_cache cache;
	struct directory directory;
	struct service service;
	struct arena arena;
	struct turn turn;
	int64_t now_ms;
};

extern const char fake_redis_id[];

/* The cache is on and trusted, in epoch 2, or off. */
void fake_service_init(struct fake_service *fake, bool cache_on, size_t transaction_grants);
void fake_service_release(struct fake_service *fake);
/* Ends the turn before and begins one. */
void fake_service_begin(struct fake_service *fake);
/* The texts are copied. The request hash is the amount. */
struct grant_command *fake_service_grant(struct fake_service *fake, const char *player, const char *season,
					 const char *key, uint64_t amount);
/* Any other write; an empty key: none. By "support-1". */
struct operation *fake_service_operation(struct fake_service *fake, enum write_kind kind, const char *player,
					 const char *season, const char *key);
struct progress_read *fake_service_read(struct fake_service *fake, const char *player, const char *season);
/* Runs the turn and fills the cache. */
void fake_service_run(struct fake_service *fake);
/* A turn of one grant; the command is good until the next turn. */
const struct grant_command *fake_service_give(struct fake_service *fake, const char *player, const char *season,
					      const char *key, uint64_t amount);

#endif
