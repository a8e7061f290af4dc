/* Errands: see errand.h. */
#include "courier/errand.h"

#include "base/clock.h"

enum { ROOM_SHARE = 4 /* with more to be had, looked for as soon as this part of all errands is free */ };

void
courier_note_store(struct courier *courier, enum err err)
{
	if (err != ERR_OK)
		courier->store_due_boot_ms = clock_boot_ms() + STORE_PAUSE_MS;
}

int64_t
courier_back_off_ms(const struct courier *courier, uint32_t tries)
{
	int64_t most_ms = courier->conf->economy.retry_most_ms;
	int64_t wait_ms = courier->conf->economy.retry_first_ms;

	while (tries-- > 1 && wait_ms < most_ms)
		wait_ms *= 2;
	if (wait_ms > most_ms)
		wait_ms = most_ms;
	return wait_ms / 2 + (int64_t)(random_u64() % (uint64_t)(wait_ms - wait_ms / 2 + 1));
}

int64_t
courier_hold_ms(const struct courier *courier)
{
	return courier->conf->economy.timeout_ms + HOLD_MARGIN_MS;
}

void
errand_init(struct errand *errand)
{
	*errand = (struct errand){.busy = false};
	arena_init(&errand->arena);
}

void
errand_release(struct errand *errand)
{
	arena_release(&errand->arena);
}

void
errand_take(struct errand *errand, const struct courier *courier, int64_t asked_boot_ms)
{
	errand->busy = true;
	errand->asked = false;
	errand->taken_boot_ms = asked_boot_ms;
	errand->held_until_boot_ms = asked_boot_ms + courier_hold_ms(courier);
	errand->call = (struct economy_call){.outcome = ECONOMY_WAITING};
	arena_reset(&errand->arena);
}

/* A question changes nothing, so it needs no hold. */
static bool
needs_hold(const struct errand *errand)
{
	return errand->call.verb != ECONOMY_LOOKUP;
}

bool
errand_ask(struct errand *errand, const struct courier *courier)
{
	int64_t over_by_ms = clock_boot_ms() + courier->conf->economy.timeout_ms;

	if (needs_hold(errand) && over_by_ms > errand->held_until_boot_ms)
		return false;
	errand->asked = true;
	courier->economy->begin(courier->economy->self, &errand->call);
	return true;
}

bool
errand_answered(const struct errand *errand)
{
	return errand->busy && errand->asked && errand->call.outcome != ECONOMY_WAITING;
}

static bool
under_way(const struct errand *errand)
{
	return errand->busy && errand->asked && errand->call.outcome == ECONOMY_WAITING;
}

void
errand_drop_late(struct errand *errand, const struct courier *courier)
{
	if (under_way(errand) && needs_hold(errand) && clock_boot_ms() >= errand->held_until_boot_ms)
		courier->economy->abandon(courier->economy->self, &errand->call);
}

void
errand_end(struct errand *errand, const struct courier *courier)
{
	if (under_way(errand))
		courier->economy->abandon(courier->economy->self, &errand->call);
	errand->busy = false;
}

int64_t
look_due_boot_ms(const struct look *look, const struct courier *courier, size_t free, size_t all)
{
	int64_t due_ms = look->more && free >= all / ROOM_SHARE ? 0 : look->due_boot_ms;

	if (free == 0 || courier->stopping)
		return INT64_MAX;
	return due_ms > courier->store_due_boot_ms ? due_ms : courier->store_due_boot_ms;
}

void
look_done(struct look *look, bool more)
{
	look->due_boot_ms = clock_boot_ms() + LOOK_MS;
	look->more = more;
}
