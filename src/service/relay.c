/* The relay: see relay.h. */
#include "service/relay.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/metrics.h"
#include "base/mutant.h"

struct relay {
	struct turn *turn;
	struct distrust_row *rows; /* sorted as rows are locked */
	struct progress_row *progress;
	struct cache_write *writes;
	size_t count;
	struct write_gate gate;
};

static int
compare_rows(const void *a, const void *b)
{
	const struct distrust_row *x = a;
	const struct distrust_row *y = b;
	int order = strcmp(x->season, y->season);

	return order ? order : str_compare(x->player, y->player);
}

/* A season that the directory does not name (any more) is known by its id: nothing else of it is asked for. */
static enum err
season_of(struct relay *relay, const char *id, const struct season_entry **ret_season)
{
	enum err err = turn_season(relay->turn, str_from(id), ret_season);
	struct season_entry *bare;

	if (err != ERR_SEASON_NOT_FOUND)
		return err;
	bare = ARENA_NEW(relay->turn->arena, struct season_entry);
	snprintf(bare->id, sizeof(bare->id), "%s", id);
	*ret_season = bare;
	return ERR_OK;
}

/* In the order of locking. */
static enum err
choose(struct relay *relay, const struct distrust_row rows[], size_t count)
{
	struct arena *arena = relay->turn->arena;

	relay->rows = ARENA_ARRAY(arena, count, struct distrust_row);
	relay->progress = ARENA_ARRAY(arena, count, struct progress_row);
	relay->writes = ARENA_ARRAY(arena, count, struct cache_write);
	memcpy(relay->rows, rows, count * sizeof(rows[0]));
	qsort(relay->rows, count, sizeof(rows[0]), compare_rows);
	for (size_t i = 0; i < count; i++) {
		const struct season_entry *season;
		enum err err = season_of(relay, relay->rows[i].season, &season);

		if (err != ERR_OK)
			return err;
		relay->rows[relay->count] = relay->rows[i];
		relay->progress[relay->count].player = relay->rows[i].player;
		relay->progress[relay->count++].season = season;
	}
	return ERR_OK;
}

static enum err
lock(struct relay *relay)
{
	const struct store_port *store = relay->turn->service->rooms.store;
	struct progress_row **pointers = ARENA_ARRAY(relay->turn->arena, relay->count, struct progress_row *);

	for (size_t i = 0; i < relay->count; i++)
		pointers[i] = &relay->progress[i];
	return store->lock(store->self, pointers, relay->count, relay->turn->arena);
}

/* What is in the cache from before the database's revision becomes a fence. */
static enum err
fence(struct relay *relay)
{
	const struct cache_port *cache = relay->turn->service->rooms.cache;
	struct cache_write **pointers = ARENA_ARRAY(relay->turn->arena, relay->count, struct cache_write *);

	for (size_t i = 0; i < relay->count; i++) {
		relay->writes[i] = (struct cache_write){
			.player = relay->rows[i].player,
			.season = relay->rows[i].season,
			.changed = true,
			.stands = true,
			.revision = relay->progress[i].revision,
		};
		pointers[i] = &relay->writes[i];
	}
	if (mutant(MUTANT_RELAY_BLIND))
		return ERR_OK;
	return cache->fence(cache->self, &relay->gate, pointers, relay->count);
}

/* Within the transaction; it is rolled back where this fails. */
static enum err
relay_all(struct relay *relay)
{
	const struct store_port *store = relay->turn->service->rooms.store;
	enum err err;

	if (!relay->gate.settled || (relay->gate.enabled && !relay->gate.same_database))
		return ERR_CACHE_OFF_PENDING;
	err = lock(relay);
	if (err == ERR_OK && relay->gate.enabled)
		err = fence(relay);
	if (err == ERR_OK)
		err = store->forget_distrust(store->self, relay->rows, relay->count);
	return err == ERR_OK ? store->commit(store->self) : err;
}

enum err
relay_run(struct turn *turn, const struct distrust_row rows[], size_t count, size_t *ret_relayed)
{
	const struct store_port *store = turn->service->rooms.store;
	struct relay relay = {.turn = turn};
	enum err err = choose(&relay, rows, count);

	*ret_relayed = 0;
	if (err != ERR_OK || relay.count == 0)
		return err;
	err = store->begin(store->self, &relay.gate);
	if (err != ERR_OK)
		return err;
	err = relay_all(&relay);
	if (err == ERR_OK)
		metrics_add(METRIC_CACHE_RELAYED, *ret_relayed = relay.count);
	else
		store->rollback(store->self);
	if (err == ERR_CACHE_AHEAD) { /* of another past than the database's */
		log_warning("the cache holds a newer revision than the database: was it restored? It is turned off");
		err = store->switch_cache_off(store->self, relay.gate.change);
	}
	return err == ERR_CACHE_OFF_PENDING ? ERR_OK : err;
}
