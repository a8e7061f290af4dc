/*
 * What a writer does that cannot fence. No reader may go on trusting what it makes old, so it tells everybody through
 * the database, in one of two ways, and waits until the last lease from before is dead:
 *
 * - Where others go on with this Redis, it is this host that is cut off: the players it writes are distrusted, and
 *   everybody else's cache stays as it is. A relay fences them later and takes the distrust away.
 * - Where nobody else reaches it, the cache is turned off for everybody, once for all players. A steward turns it on
 *   again, in a new epoch.
 *
 * Who finds that done already waits for nothing.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/mutant.h"
#include "service/use_cases.h"

enum { POLL_MS = 20 };

enum err
wait_until_settled(struct turn *turn)
{
	const struct store_port *store = turn->service->rooms.store;
	struct write_gate gate;
	uint64_t change = 0;
	int64_t since_ms = 0;

	for (;;) {
		enum err err = store->cache_gate(store->self, &gate);

		if (err != ERR_OK)
			return err;
		if (gate.settled)
			return ERR_OK;
		if (change != gate.change) {
			change = gate.change;
			since_ms = clock_boot_ms();
		}
		if (clock_boot_ms() - since_ms >= LEASE_DEAD_MS || mutant(MUTANT_NO_WAIT))
			return store->settle_cache(store->self, change);
		clock_sleep_ms(POLL_MS);
	}
}

enum err
turn_cache_off(struct turn *turn, uint64_t change)
{
	const struct store_port *store = turn->service->rooms.store;
	enum err err = store->switch_cache_off(store->self, change);

	if (err != ERR_OK)
		return err;
	metrics_add(METRIC_CACHE_SWITCHED_OFF, 1);
	log_warning("Redis cannot be fenced, and no other host reaches it: the cache is turned off for everybody");
	return wait_until_settled(turn);
}

/* The rows of cache_distrust of these writes, with the ids that they get where they are new. */
static struct distrust_row *
rows_of(struct turn *turn, struct cache_write *const writes[], size_t count)
{
	struct distrust_row *rows = ARENA_ARRAY(turn->arena, count, struct distrust_row);

	for (size_t i = 0; i < count; i++)
		rows[i] = (struct distrust_row){
			.player = writes[i]->player, .season = writes[i]->season, .id = uuid_new(turn->now_ms)};
	return rows;
}

enum err
writes_are_distrusted(struct turn *turn, struct cache_write *const writes[], size_t count, bool *ret_all)
{
	const struct store_port *store = turn->service->rooms.store;
	struct distrust_row *rows = rows_of(turn, writes, count);
	enum err err = store->find_distrust(store->self, rows, count);
	bool all = true;

	for (size_t i = 0; err == ERR_OK && i < count; i++)
		all &= rows[i].settled;
	if (err == ERR_OK)
		*ret_all = all;
	return err;
}

/* A row that is waited for, and since when it was seen. */
struct watched {
	struct uuid id;
	int64_t since_ms;
};

/* Those that have stood long enough, behind one another; the rest, and how many there are, is still waited for. */
static size_t
take_ripe(const struct distrust_row rows[], struct watched watched[], size_t count, struct distrust_row ripe[],
	  size_t *ret_unripe)
{
	int64_t now_ms = clock_boot_ms();
	size_t found = 0;

	*ret_unripe = 0;
	for (size_t i = 0; i < count; i++) {
		if (!rows[i].there || rows[i].settled)
			continue;
		if (memcmp(&watched[i].id, &rows[i].id, sizeof(rows[i].id)) != 0)
			watched[i] = (struct watched){rows[i].id, now_ms};
		if (now_ms - watched[i].since_ms >= LEASE_DEAD_MS || mutant(MUTANT_NO_WAIT))
			ripe[found++] = rows[i];
		else
			++*ret_unripe;
	}
	return found;
}

/*
 * Waits until each row is settled, or gone: a relay has fenced the player meanwhile, after all that was committed when
 * the rows were made. ERR_CACHE_UNAVAILABLE: nobody else reaches this Redis any more.
 */
static enum err
wait_for(struct turn *turn, const struct write_gate *gate, struct distrust_row rows[], size_t count)
{
	const struct store_port *store = turn->service->rooms.store;
	struct watched *watched = ARENA_ARRAY(turn->arena, count, struct watched);
	struct distrust_row *ripe = ARENA_ARRAY(turn->arena, count, struct distrust_row);
	int64_t made_ms = clock_boot_ms();

	for (size_t i = 0; i < count; i++)
		watched[i] = (struct watched){rows[i].id, made_ms};
	for (;;) {
		struct write_gate now;
		size_t unripe = 0;
		bool reach = true;
		enum err err = store->cache_gate(store->self, &now);

		if (err == ERR_OK && now.change != gate->change)
			return wait_until_settled(turn); /* which old leases do not outlive either */
		if (err == ERR_OK)
			err = store->find_distrust(store->self, rows, count);
		if (err != ERR_OK)
			return err;

		size_t ripe_count = take_ripe(rows, watched, count, ripe, &unripe);

		if (unripe == 0)
			return ripe_count ? store->settle_distrust(store->self, ripe, ripe_count) : ERR_OK;
		err = store->others_reach(store->self, &turn->service->limits.host, gate->redis_id, &reach);
		if (err != ERR_OK || !reach)
			return err != ERR_OK ? err : ERR_CACHE_UNAVAILABLE;
		clock_sleep_ms(POLL_MS);
	}
}

/* Nothing is to be done where all of it stands already. */
static enum err
distrust(struct turn *turn, const struct write_gate *gate, struct cache_write *const writes[], size_t count)
{
	const struct store_port *store = turn->service->rooms.store;
	struct distrust_row *rows;
	bool all = false;
	enum err err = writes_are_distrusted(turn, writes, count, &all);

	if (err != ERR_OK || all)
		return err;
	rows = rows_of(turn, writes, count);
	err = store->distrust(store->self, rows, count);
	if (err != ERR_OK)
		return err;
	metrics_add(METRIC_CACHE_DISTRUSTS, count);
	return wait_for(turn, gate, rows, count);
}

enum err
turn_distrust(struct turn *turn, const struct write_gate *gate, struct cache_write *const writes[], size_t count)
{
	const struct store_port *store = turn->service->rooms.store;
	bool reach = false;
	enum err err = ERR_OK;

	if (gate->same_database)
		err = store->others_reach(store->self, &turn->service->limits.host, gate->redis_id, &reach);
	if (err != ERR_OK)
		return err;
	err = reach && count ? distrust(turn, gate, writes, count) : ERR_CACHE_UNAVAILABLE;
	return err == ERR_CACHE_UNAVAILABLE ? turn_cache_off(turn, gate->change) : err;
}
