/*
 * What Redis holds and how much it may hold, by its own account: INFO memory, INFO stats and DBSIZE.
 */
#ifndef BP_CACHE_VITALS_H
#define BP_CACHE_VITALS_H

#include "base/conf.h"

struct redis_vitals {
	uint64_t memory;     /* used_memory, bytes */
	uint64_t memory_max; /* maxmemory, bytes; 0: no limit */
	uint64_t evicted;    /* evicted_keys, since it was started */
	uint64_t keys;       /* of its database, all epochs and others' too */
};

struct vitals;

/* conf is borrowed for its life. */
struct vitals *vitals_new(const struct conf *conf);
void vitals_free(struct vitals *vitals);
/* False if it does not answer all of it in time. Connects anew where needed. */
bool vitals_ask(struct vitals *vitals, struct redis_vitals *ret_vitals);

#endif
