/* What this host reaches, and the relay: see host_chore.h. */
#include "courier/host_chore.h"

#include "base/clock.h"
#include "service/relay.h"

void
host_chore_init(struct host_chore *chore, struct cache_shared *cache)
{
	*chore = (struct host_chore){.cache = cache};
}

/* What is said last stays until it is said anew; a host that stops says nothing any more and is not counted soon. */
static void
say(struct host_chore *chore, struct courier *courier, int64_t now_ms)
{
	char redis_id[REDIS_ID_SIZE] = "";
	bool news = reached_look(&chore->cache->reached, redis_id) && strcmp(redis_id, chore->said) != 0;
	enum err err;

	if (!news && now_ms < chore->say_due_boot_ms)
		return;
	err = store_say_host(courier->store, &courier->service->limits.host, redis_id);
	courier_note_store(courier, err);
	if (err != ERR_OK)
		return;
	memcpy(chore->said, redis_id, sizeof(chore->said));
	chore->say_due_boot_ms = now_ms + HOST_SAY_MS;
	if (now_ms < chore->forget_due_boot_ms)
		return;
	chore->forget_due_boot_ms = now_ms + HOST_FORGET_MS;
	courier_note_store(courier, store_forget_hosts(courier->store));
}

/* Of what is due the oldest; ERR_CACHE_UNAVAILABLE: not from here. */
static enum err
relay_page(struct courier *courier, bool crowded, bool *ret_more)
{
	struct distrust_row *rows;
	struct turn turn;
	size_t relayed = 0;
	size_t count;
	enum err err;

	arena_reset(&courier->arena);
	turn_begin(&turn, courier->service, &courier->arena, clock_unix_ms());
	err = store_distrust_page(courier->store, crowded ? RELAY_AFTER_CROWDED_MS : RELAY_AFTER_MS, RELAY_PAGE,
				  &courier->arena, &rows, &count);
	if (err == ERR_OK && count)
		err = relay_run(&turn, rows, count, &relayed);
	*ret_more = relayed == RELAY_PAGE;
	return err;
}

/* Only where there is something to do, Redis is reached, and no other host is at it. Who cannot do it lets another. */
static void
relay(struct host_chore *chore, struct courier *courier, int64_t now_ms)
{
	uint32_t count = __atomic_load_n(&chore->cache->distrusted_count, __ATOMIC_RELAXED);
	struct store_chore kept = {.done = false};
	bool held = false;
	bool more = false;
	enum err err;

	if (count == 0 || chore->said[0] == '\0' || now_ms < chore->relay_due_boot_ms)
		return;
	chore->relay_due_boot_ms = now_ms + RELAY_LOOK_MS;
	err = store_hold_chore(courier->store, "relay", &courier->owner, RELAY_HOLD_MS, &held, &kept);
	if (err == ERR_OK && held)
		err = relay_page(courier, count >= RELAY_CROWD, &more);
	if (more) /* as fast as it goes, between the other chores */
		chore->relay_due_boot_ms = chore->look_due_boot_ms = now_ms;
	if (err == ERR_CACHE_UNAVAILABLE) {
		store_leave_chore(courier->store, "relay", &courier->owner, &kept);
		chore->relay_due_boot_ms = now_ms + RELAY_HOLD_MS;
	} else if (err == ERR_STORE_UNAVAILABLE) {
		courier_note_store(courier, err);
	}
}

void
host_chore_run(struct host_chore *chore, struct courier *courier)
{
	int64_t now_ms = clock_boot_ms();

	if (courier->stopping || now_ms < chore->look_due_boot_ms || now_ms < courier->store_due_boot_ms)
		return;
	chore->look_due_boot_ms = now_ms + HOST_LOOK_MS;
	say(chore, courier, now_ms);
	relay(chore, courier, now_ms);
}

int64_t
host_chore_due_boot_ms(const struct host_chore *chore, const struct courier *courier)
{
	if (courier->stopping)
		return INT64_MAX;
	return chore->look_due_boot_ms > courier->store_due_boot_ms ? chore->look_due_boot_ms
								    : courier->store_due_boot_ms;
}
