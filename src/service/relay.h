/*
 * The relay: gives players that are distrusted, because a host could not fence them, back to the cache. It fences each
 * at what the database says, with the row locked, and only then takes the distrust away; so no write is overtaken.
 */
#ifndef BP_SERVICE_RELAY_H
#define BP_SERVICE_RELAY_H

#include "service/turn.h"

/*
 * One transaction for these rows of cache_distrust; *ret_relayed of them are gone. ERR_OK also where the cache is being
 * changed and nothing was done; ERR_CACHE_UNAVAILABLE: Redis is not reached from here; else the store's error, and it
 * may be tried again.
 */
enum err relay_run(struct turn *turn, const struct distrust_row rows[], size_t count, size_t *ret_relayed);

#endif
