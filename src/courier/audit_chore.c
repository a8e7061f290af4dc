/* The auditor: see audit_chore.h. */
#include "courier/audit_chore.h"

#include "base/clock.h"
#include "base/log.h"

enum { TICKS_PER_S = 1000 / AUDIT_TICK_MS };

void
audit_chore_init(struct audit_chore *chore)
{
	*chore = (struct audit_chore){.due_boot_ms = 0};
}

/* One look at a player. */
struct look_at {
	const struct recent_item *item;
	struct write_gate gate;
	uint64_t stored; /* the database's revision, read before Redis was asked */
	struct cache_content cached;
};

/*
 * False: there is nothing to compare. Gate, revision and distrust are one snapshot: whoever wrote that revision of a
 * player whom nobody distrusts has fenced in this epoch or before it, or a relay has since. A value of this epoch that
 * is read behind it and is older should not be there.
 */
static bool
look_at(struct courier *courier, const struct recent_item *item, struct look_at *look)
{
	const struct cache_port *cache = courier->service->rooms.cache;
	bool distrusted;
	enum err err;

	*look = (struct look_at){.item = item};
	err = store_revision(courier->store, str_from(item->player), item->season, &look->gate, &look->stored,
			     &distrusted);
	courier_note_store(courier, err);
	if (err != ERR_OK || distrusted || !look->gate.enabled || !look->gate.settled)
		return false;
	look->cached = (struct cache_content){.player = str_from(item->player), .season = item->season};
	return cache->peek(cache->self, &look->gate, &look->cached, 1, &courier->arena) &&
	       look->cached.held == CACHE_HOLDS_VALUE;
}

static void
suspect(struct audit_chore *chore, const struct look_at *look)
{
	for (size_t i = 0; i < AUDIT_SUSPECTS; i++) {
		struct audit_suspect *place = &chore->suspects[i];

		if (place->item.player[0])
			continue;
		*place = (struct audit_suspect){
			.item = *look->item,
			.change = look->gate.change,
			.cached = look->cached.revision,
			.due_boot_ms = clock_boot_ms() + AUDIT_AGAIN_MS,
		};
		return;
	}
}

/* One that is older gets the fence of the write that it has missed; one that is newer, of the write behind it. */
static void
take_away(struct courier *courier, const struct look_at *look)
{
	const struct cache_port *cache = courier->service->rooms.cache;
	uint64_t cached = look->cached.revision;
	struct cache_write write = {
		.player = look->cached.player,
		.season = look->cached.season,
		.changed = true,
		.stands = true,
		.revision = cached < look->stored ? look->stored : cached + 1,
	};
	struct cache_write *writes[] = {&write};
	enum err err = cache->fence(cache->self, &look->gate, writes, 1);

	metrics_add(METRIC_CACHE_AUDIT_STALE, 1);
	log_error("player %s in season %s: the cache had revision %llu in epoch %llu, and the database has %llu: %s",
		  look->item->player, look->item->season, (unsigned long long)cached,
		  (unsigned long long)look->gate.epoch, (unsigned long long)look->stored,
		  err == ERR_OK || err == ERR_CACHE_AHEAD ? "it is gone" : "it could not be removed");
}

/* A value that is newer than what is read of the database now must have been so at both looks. */
static void
look_again(struct courier *courier, const struct audit_suspect *suspect)
{
	struct look_at look;

	if (!look_at(courier, &suspect->item, &look) || look.gate.change != suspect->change)
		return;
	if (look.cached.revision < look.stored || (look.cached.revision > look.stored && suspect->cached > look.stored))
		take_away(courier, &look);
}

static void
run_suspects(struct audit_chore *chore, struct courier *courier, int64_t now_ms)
{
	for (size_t i = 0; i < AUDIT_SUSPECTS; i++) {
		struct audit_suspect *place = &chore->suspects[i];

		if (!place->item.player[0] || place->due_boot_ms > now_ms)
			continue;
		look_again(courier, place);
		place->item.player[0] = '\0';
	}
}

static void
run_samples(struct audit_chore *chore, struct courier *courier)
{
	struct recent_item item;
	struct look_at look;

	for (; chore->credit >= TICKS_PER_S; chore->credit -= TICKS_PER_S) {
		if (!recent_sample(courier->host.recent, random_u64(), &item) || !look_at(courier, &item, &look))
			continue;
		metrics_add(METRIC_CACHE_AUDIT_CHECKS, 1);
		if (look.cached.revision != look.stored)
			suspect(chore, &look);
	}
}

void
audit_chore_run(struct audit_chore *chore, struct courier *courier)
{
	int64_t now_ms = clock_boot_ms();
	struct cache_flags flags;

	if (audit_chore_due_boot_ms(chore, courier) > now_ms)
		return;
	arena_reset(&courier->arena);
	run_suspects(chore, courier, now_ms);
	if (chore->due_boot_ms > now_ms)
		return;
	chore->due_boot_ms = now_ms + AUDIT_TICK_MS;
	if (!flags_look(courier->host.flags, &flags))
		return;
	chore->credit += flags.values[FLAG_AUDITOR];
	run_samples(chore, courier);
}

int64_t
audit_chore_due_boot_ms(const struct audit_chore *chore, const struct courier *courier)
{
	int64_t due_ms = chore->due_boot_ms;

	if (courier->stopping)
		return INT64_MAX;
	for (size_t i = 0; i < AUDIT_SUSPECTS; i++)
		if (chore->suspects[i].item.player[0] && chore->suspects[i].due_boot_ms < due_ms)
			due_ms = chore->suspects[i].due_boot_ms;
	return due_ms > courier->store_due_boot_ms ? due_ms : courier->store_due_boot_ms;
}
