/*
 * What Redis holds and how it is set up, by its own account: INFO, DBSIZE and CONFIG GET.
 */
#ifndef BP_CACHE_VITALS_H
#define BP_CACHE_VITALS_H

#include "base/arena.h"
#include "base/conf.h"

struct redis_vitals {
	uint64_t memory;     /* used_memory, bytes */
	uint64_t memory_max; /* maxmemory, bytes; 0: no limit */
	uint64_t evicted;    /* evicted_keys, since it was started */
	uint64_t keys;       /* of its database, all epochs and others' too */
};

/* Texts as Redis gives them; empty: it does not say (CONFIG may be forbidden, and old versions do not know all). */
struct redis_setup {
	struct str version;       /* "7.0.15" */
	struct str identity;      /* of redis.h */
	struct str policy;        /* maxmemory-policy */
	struct str save;          /* snapshots; "" in quotes: none */
	struct str appendonly;    /* yes, no */
	struct str tcp_keepalive; /* seconds */
	struct str timeout;       /* seconds until an idle client is closed; 0: never */
	uint64_t unix_s;          /* its clock; 0: not said */
	uint64_t memory_max;
	bool told_setup; /* CONFIG GET was answered */
};

struct vitals;

/* conf is borrowed for its life. */
struct vitals *vitals_new(const struct conf *conf);
void vitals_free(struct vitals *vitals);
/* False if it does not answer all of it in time, or is no master. Connects anew where needed. */
bool vitals_ask(struct vitals *vitals, struct redis_vitals *ret_vitals);
/* The same; texts are in the arena. */
bool vitals_ask_setup(struct vitals *vitals, struct arena *arena, struct redis_setup *ret_setup);

#endif
