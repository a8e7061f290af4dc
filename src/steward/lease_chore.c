/* The lease chore: see lease_chore.h. */
#include "steward/lease_chore.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"

static bool
redis_is_well(struct lease_chore *chore, int64_t now_ms)
{
	redis_retry_now(chore->redis);
	if (redis_connect(chore->redis) != ERR_OK || !redis_ping(chore->redis)) {
		chore->well_since_boot_ms = 0;
		return false;
	}
	if (chore->well_since_boot_ms == 0)
		chore->well_since_boot_ms = now_ms;
	return true;
}

static void
give(struct lease_chore *chore, const struct lease_content *content)
{
	chore->last = *content;
	lease_give(chore->lease, content);
}

/*
 * The database cannot be asked: where the configuration says so, hits are served on, marked as unconfirmed, as long as
 * it is the same Redis.
 */
static void
go_on_without_store(struct lease_chore *chore, int64_t asked_at_ms)
{
	struct lease_content content = chore->last;

	if (content.epoch == 0 || strcmp(chore->conf->cache.without_store, "serve") != 0 ||
	    strcmp(redis_run_id(chore->redis), content.run_id) != 0)
		return;
	content.unconfirmed = true;
	content.until_boot_ms = asked_at_ms + LEASE_MS;
	give(chore, &content);
}

/* Every lease given before the last change must be dead before anybody relies on the change. */
static void
settle(struct lease_chore *chore, struct store *store, uint64_t change, int64_t now_ms)
{
	if (chore->unsettled_change != change) {
		chore->unsettled_change = change;
		chore->unsettled_since_boot_ms = now_ms;
	} else if (now_ms - chore->unsettled_since_boot_ms >= LEASE_DEAD_MS) {
		store_settle(store, change);
	}
}

static void
begin_epoch(struct lease_chore *chore, struct store *store, const struct store_control *control, const char *why)
{
	if (store_new_epoch(store, control->gate.change, redis_run_id(chore->redis)) != ERR_OK)
		return;
	metrics_add(METRIC_CACHE_EPOCHS, 1);
	log_info("a new cache epoch after %llu: %s", (unsigned long long)control->gate.epoch, why);
}

void
lease_chore_run(struct lease_chore *chore, struct store *store, const struct store_control *control,
		int64_t asked_at_boot_ms)
{
	int64_t now_ms = clock_boot_ms();

	if (!redis_is_well(chore, now_ms))
		return;
	if (!control) {
		go_on_without_store(chore, asked_at_boot_ms);
		return;
	}

	const struct write_gate *gate = &control->gate;

	if (!gate->settled) {
		settle(chore, store, gate->change, now_ms);
	} else if (!gate->enabled) {
		if (now_ms - chore->well_since_boot_ms >= REDIS_WELL_MS)
			begin_epoch(chore, store, control, "the cache was off, and Redis is well");
	} else if (strcmp(gate->run_id, redis_run_id(chore->redis)) != 0) {
		begin_epoch(chore, store, control, "Redis is another one, or was restarted");
	} else if (!control->same_database) {
		begin_epoch(chore, store, control, "the database is another one");
	} else {
		struct lease_content content = {.epoch = gate->epoch, .until_boot_ms = asked_at_boot_ms + LEASE_MS};

		memcpy(content.run_id, gate->run_id, sizeof(content.run_id));
		give(chore, &content);
	}
}
