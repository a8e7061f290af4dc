/*
 * A write that cannot fence must not leave any reader trusting what it makes old: it turns the cache off for everybody
 * and waits until the last lease from before is dead. Who finds it off and settled waits for nothing. The steward turns
 * it on again, in a new epoch.
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "service/use_cases.h"

enum {
	LEASE_DUE_MS = 250, /* after cache_control has settled, each steward has its lease within this */
	POLL_MS = 20,
};

enum err
writer_reaches_cache(struct turn *turn, const struct write_gate *gate)
{
	const struct cache_port *cache = turn->service->rooms.cache;
	int64_t deadline_ms = clock_boot_ms() + LEASE_DUE_MS;

	for (;;) {
		if (!cache->reaches(cache->self, gate))
			return ERR_CACHE_UNAVAILABLE;

		struct cache_view view = cache->view(cache->self);

		if (view.trusted && !view.unconfirmed && view.epoch == gate->epoch)
			return ERR_OK;
		if (clock_boot_ms() >= deadline_ms)
			return ERR_CACHE_UNAVAILABLE;
		clock_sleep_ms(POLL_MS);
	}
}

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
		if (clock_boot_ms() - since_ms >= LEASE_DEAD_MS)
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
	log_warning("Redis cannot be fenced: the cache is turned off for everybody");
	return wait_until_settled(turn);
}
