/*
 * The cache protocol on Redis (the claim: a read that starts after a write was acknowledged never returns what was
 * before it). Implements struct cache_port of service/ports.h. One Redis string per player and season:
 *
 *   bp:<epoch>:{<player>}:<season>  =  V<revision>.<season revision>\n<player>\n<body>   the answer, ready to send
 *                                   |  T<floor>.<nonce>   a fence: go to the database
 *                                   |  L<token>           a reader is filling
 *
 * Fills are accepted only over what the filler saw before its database read; every write fences before COMMIT and
 * confirms before it is answered; all of it is tied to an epoch, which ends with the life of a Redis.
 */
#ifndef BP_CACHE_CACHE_H
#define BP_CACHE_CACHE_H

#include "base/conf.h"
#include "base/recent.h"
#include "cache/shared.h"
#include "service/ports.h"

enum { FENCE_TTL_MS = 900 * 1000 };
#define TOKEN_TTL_MS "3000"

struct cache;

/* All are borrowed for the cache's life. */
struct cache *cache_new(const struct conf *conf, struct cache_shared *shared);
void cache_free(struct cache *cache);
/* From now on reads are steered by these flags, which are borrowed, too; without, all are served. */
void cache_steer(struct cache *cache, const struct flags *flags);
/* Notes there whose write was confirmed. */
void cache_note_writes(struct cache *cache, struct recent *recent);
/* The port of this cache; lives as long as it does. */
const struct cache_port *cache_port(const struct cache *cache);

/* Splits a V value; false if it is none, or not this player's. Exposed for tests: what Redis says is hostile. */
bool cache_value_parse(struct str value, struct str player, uint64_t *ret_revision, uint64_t *ret_season_revision,
		       struct str *ret_body);

#endif
