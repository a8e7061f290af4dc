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

static enum err
look_at_gate(struct turn *turn, struct lease_wait *wait)
{
	const struct store_port *store = turn->service->rooms.store;
	struct write_gate gate;
	enum err err = store->cache_gate(store->self, &gate);

	if (err == ERR_OK && gate.settled && gate.enabled && !gate.same_database)
		return ERR_STORE_RETRY; /* a database that does not know of this wait */
	if (err != ERR_OK || gate.settled)
		return err;
	if (wait->change != gate.change) {
		wait->change = gate.change;
		wait->since_ms = clock_boot_ms();
	}
	if (clock_boot_ms() - wait->since_ms < LEASE_DEAD_MS && !mutant(MUTANT_NO_WAIT))
		return ERR_CACHE_OFF_PENDING;
	return store->settle_cache(store->self, wait->change);
}

/* Turns the cache off for everybody if it is still at this change. */
static enum err
turn_cache_off(struct turn *turn, uint64_t change, struct lease_wait *wait)
{
	const struct store_port *store = turn->service->rooms.store;
	enum err err = store->switch_cache_off(store->self, change);

	wait->count = 0;
	if (err != ERR_OK)
		return err;
	metrics_add(METRIC_CACHE_SWITCHED_OFF, 1);
	log_warning("the cache is turned off for everybody");
	return look_at_gate(turn, wait);
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
 * Is each row settled, or gone? A relay has fenced the player meanwhile, after all that was committed when the rows
 * were made.
 */
static enum err
look_at_rows(struct turn *turn, struct lease_wait *wait)
{
	const struct store_port *store = turn->service->rooms.store;
	struct write_gate now;
	size_t unripe = 0;
	bool reach = true;
	enum err err = store->cache_gate(store->self, &now);

	if (err == ERR_OK && now.change != wait->gate.change) {
		wait->count = 0;
		return look_at_gate(turn, wait); /* which old leases do not outlive either */
	}
	if (err == ERR_OK)
		err = store->find_distrust(store->self, wait->rows, wait->count);
	if (err != ERR_OK)
		return err;

	size_t ripe_count = take_ripe(wait->rows, wait->watched, wait->count, wait->ripe, &unripe);

	if (unripe == 0)
		return ripe_count ? store->settle_distrust(store->self, wait->ripe, ripe_count) : ERR_OK;
	err = store->others_reach(store->self, &turn->service->limits.host, wait->gate.redis_id, &reach);
	if (err != ERR_OK)
		return err;
	return reach ? ERR_CACHE_OFF_PENDING : turn_cache_off(turn, wait->gate.change, wait);
}

/* Nothing is to be done where all of it stands already. */
static enum err
distrust(struct turn *turn, const struct write_gate *gate, struct cache_write *const writes[], size_t count,
	 struct lease_wait *wait)
{
	const struct store_port *store = turn->service->rooms.store;
	bool all = false;
	enum err err = writes_are_distrusted(turn, writes, count, &all);

	if (err != ERR_OK || all)
		return err;
	wait->gate = *gate;
	wait->rows = rows_of(turn, writes, count);
	wait->watched = ARENA_ARRAY(turn->arena, count, struct watched);
	wait->ripe = ARENA_ARRAY(turn->arena, count, struct distrust_row);
	err = store->distrust(store->self, wait->rows, count);
	if (err != ERR_OK)
		return err;
	metrics_add(METRIC_CACHE_DISTRUSTS, count);
	for (size_t i = 0; i < count; i++)
		wait->watched[i] = (struct watched){wait->rows[i].id, clock_boot_ms()};
	wait->count = count;
	return look_at_rows(turn, wait);
}

enum err
lease_wait_begin(struct turn *turn, const struct write_gate *gate, struct cache_write *const writes[], size_t count,
		 struct lease_wait *wait)
{
	const struct store_port *store = turn->service->rooms.store;
	bool reach = false;
	enum err err = ERR_OK;

	if (gate->same_database)
		err = store->others_reach(store->self, &turn->service->limits.host, gate->redis_id, &reach);
	if (err != ERR_OK)
		return err;
	if (reach && count)
		return distrust(turn, gate, writes, count, wait);
	log_warning("Redis cannot be fenced, and no other host reaches it");
	return turn_cache_off(turn, gate->change, wait);
}

enum err
lease_wait_of_all(struct turn *turn, const struct write_gate *gate, struct lease_wait *wait)
{
	log_warning("the cache holds a newer revision than the database makes: was it restored? Nobody may trust it");
	return turn_cache_off(turn, gate->change, wait);
}

enum err
lease_wait_look(struct turn *turn, struct lease_wait *wait)
{
	return wait->count ? look_at_rows(turn, wait) : look_at_gate(turn, wait);
}

int64_t
lease_wait_over_boot_ms(const struct lease_wait *wait)
{
	int64_t since_ms = wait->count ? wait->watched[0].since_ms : wait->since_ms;

	for (size_t i = 1; i < wait->count; i++)
		if (wait->watched[i].since_ms > since_ms)
			since_ms = wait->watched[i].since_ms;
	return since_ms + LEASE_DEAD_MS;
}

enum err
lease_wait_end(struct turn *turn, struct lease_wait *wait, enum err err)
{
	int64_t give_up_at_ms = clock_boot_ms() + LEASE_WAIT_MOST_MS;

	while (err == ERR_CACHE_OFF_PENDING) {
		if (clock_boot_ms() >= give_up_at_ms)
			return ERR_STORE_RETRY;

		int64_t left_ms = lease_wait_over_boot_ms(wait) - clock_boot_ms();

		clock_sleep_ms(left_ms > 0 && left_ms < LEASE_WAIT_POLL_MS ? left_ms : LEASE_WAIT_POLL_MS);
		err = lease_wait_look(turn, wait);
	}
	return err;
}
