/* Deliveries: see delivery_chore.h. */
#include "courier/delivery_chore.h"

#include "base/clock.h"
#include "base/crash.h"
#include "base/log.h"
#include "base/metrics.h"

enum { GATHER_MS = 10 };

void
delivery_chore_init(struct delivery_chore *chore)
{
	chore->look = (struct look){.due_boot_ms = 0};
	chore->end_boot_ms = INT64_MAX;
	for (size_t i = 0; i < DELIVERY_ERRANDS; i++)
		errand_init(&chore->errands[i].errand);
}

static size_t
count_free(const struct delivery_chore *chore)
{
	size_t count = 0;

	for (size_t i = 0; i < DELIVERY_ERRANDS; i++)
		count += !chore->errands[i].errand.busy;
	return count;
}

/* --- what was answered --- */

static void
announce_failure(const struct delivery_row *row)
{
	char id[UUID_TEXT_SIZE];

	uuid_format(&row->id, id);
	log_warning("delivery %s to %.*s has failed after %u tries: %.*s", id, STR_ARGS(row->player), row->tries,
		    STR_ARGS(row->last_error));
}

static enum delivery_state
state_after(const struct delivery_errand *errand, const struct courier *courier)
{
	switch (errand->errand.call.outcome) {
	case ECONOMY_DELIVERED:
		return DELIVERY_DELIVERED;
	case ECONOMY_REJECTED:
		return DELIVERY_FAILED;
	default:
		metrics_add(METRIC_ECONOMY_UNKNOWN, 1);
		return errand->row.tries >= courier->conf->economy.delivery_tries ? DELIVERY_FAILED : DELIVERY_PENDING;
	}
}

/* What an outcome makes of the row; returns after how long it is due again. */
static int64_t
judge(struct delivery_errand *errand, const struct courier *courier)
{
	struct delivery_row *row = &errand->row;

	row->state = state_after(errand, courier);
	row->last_error = row->state == DELIVERY_DELIVERED ? STR_NONE : str_from(errand->errand.call.detail);
	return row->state == DELIVERY_PENDING ? courier_back_off_ms(courier, row->tries) : 0;
}

static void
count_ended(const struct delivery_row *row)
{
	static const unsigned outcomes[DELIVERY_STATE_COUNT] = {
		[DELIVERY_PENDING] = METRIC_DELIVERY_RETRIED,
		[DELIVERY_DELIVERED] = METRIC_DELIVERY_DELIVERED,
		[DELIVERY_FAILED] = METRIC_DELIVERY_FAILED,
	};

	metrics_add_at(METRIC_DELIVERIES, outcomes[row->state], 0, 1);
	if (row->state == DELIVERY_FAILED)
		announce_failure(row);
}

static size_t
count_answered(const struct delivery_chore *chore)
{
	size_t count = 0;

	for (size_t i = 0; i < DELIVERY_ERRANDS; i++)
		count += errand_answered(&chore->errands[i].errand);
	return count;
}

/* Answers are kept for a moment, so that one transaction ends several deliveries. */
static bool
may_end(struct delivery_chore *chore, size_t answered)
{
	int64_t now_ms = clock_boot_ms();

	if (answered == 0) {
		chore->end_boot_ms = INT64_MAX;
		return false;
	}
	if (chore->end_boot_ms == INT64_MAX)
		chore->end_boot_ms = now_ms + GATHER_MS;
	return now_ms >= chore->end_boot_ms || answered + count_free(chore) == DELIVERY_ERRANDS;
}

/* Where this fails they are due again when they are held no longer, and are sent once more with their keys. */
static void
end_answered(struct delivery_chore *chore, struct courier *courier)
{
	struct delivery_errand *ended[DELIVERY_ERRANDS];
	const struct delivery_row *rows[DELIVERY_ERRANDS];
	int64_t due_in_ms[DELIVERY_ERRANDS];
	size_t count = 0;

	for (size_t i = 0; i < DELIVERY_ERRANDS; i++) {
		if (!errand_answered(&chore->errands[i].errand))
			continue;
		ended[count] = &chore->errands[i];
		rows[count] = &chore->errands[i].row;
		due_in_ms[count++] = judge(&chore->errands[i], courier);
	}
	crash_point("courier_sent");

	enum err err = store_end_deliveries(courier->store, &courier->owner, rows, due_in_ms, count);

	for (size_t i = 0; i < count; i++) {
		if (err == ERR_OK)
			count_ended(rows[i]);
		errand_end(&ended[i]->errand, courier);
	}
	chore->end_boot_ms = INT64_MAX;
}

/* --- what is due --- */

static bool
in_hand(const struct delivery_chore *chore, const struct uuid *id)
{
	for (size_t i = 0; i < DELIVERY_ERRANDS; i++)
		if (chore->errands[i].errand.busy && memcmp(&chore->errands[i].row.id, id, sizeof(*id)) == 0)
			return true;
	return false;
}

static struct delivery_errand *
free_errand(struct delivery_chore *chore)
{
	for (size_t i = 0; i < DELIVERY_ERRANDS; i++)
		if (!chore->errands[i].errand.busy)
			return &chore->errands[i];
	return NULL;
}

static void
keep(struct delivery_errand *errand, const struct delivery_row *row)
{
	struct arena *arena = &errand->errand.arena;

	errand->row = *row;
	errand->row.next = NULL;
	errand->row.player = arena_str(arena, row->player);
	errand->row.season = arena_copy(arena, str_from(row->season));
	errand->row.reward = arena_str(arena, row->reward);
	errand->row.kind = arena_str(arena, row->kind);
	errand->row.item = arena_str(arena, row->item);
	errand->row.last_error = arena_str(arena, row->last_error);
}

/* The same each time: the economy knows its key by the whole of it. */
static void
send(struct delivery_errand *errand, struct courier *courier)
{
	const struct delivery_row *row = &errand->row;
	struct str reward = row->reward.len ? row->reward : STR("overflow");

	errand->errand.call = (struct economy_call){
		.verb = ECONOMY_DELIVER,
		.key = row->id,
		.player = row->player,
		.kind = row->kind,
		.item = row->item,
		.quantity = row->quantity,
		.reference = arena_format(&errand->errand.arena, "%s/%.*s", row->season, STR_ARGS(reward)),
		.outcome = ECONOMY_WAITING,
	};
	if (!errand_ask(&errand->errand, courier))
		errand_end(&errand->errand, courier);
}

/* Fills the budget with the time that has gone by; what is not used in a full round is lost. */
static size_t
fill_budget(struct delivery_chore *chore, const struct courier *courier)
{
	int64_t rate = courier->conf->economy.deliveries_per_s;
	int64_t earned = (clock_boot_ms() - chore->budget_boot_ms) * rate / 1000;

	chore->budget_boot_ms += earned * 1000 / rate;
	chore->budget += earned;
	if (chore->budget >= DELIVERY_ERRANDS) {
		chore->budget = DELIVERY_ERRANDS;
		chore->budget_boot_ms = clock_boot_ms();
	}
	return (size_t)chore->budget;
}

/* The next look after one that was bounded by the budget: when a good part of it is there again. */
static void
wait_for_budget(struct delivery_chore *chore, const struct courier *courier)
{
	int64_t refill_ms = DELIVERY_ERRANDS / 2 * 1000 / courier->conf->economy.deliveries_per_s + 1;

	chore->look.due_boot_ms = clock_boot_ms() + refill_ms;
	chore->look.more = false;
}

static void
take(struct delivery_chore *chore, struct courier *courier)
{
	size_t budget = fill_budget(chore, courier);
	size_t room = count_free(chore) < budget ? count_free(chore) : budget;
	int64_t asked_ms = clock_boot_ms();
	struct delivery_row *rows;
	size_t count = 0;

	if (room == 0) {
		wait_for_budget(chore, courier);
		return;
	}
	arena_reset(&courier->arena);

	enum err err = store_take_deliveries(courier->store, &courier->owner, courier_hold_ms(courier), (uint32_t)room,
					     &courier->arena, &rows, &count);

	courier_note_store(courier, err);
	look_done(&chore->look, count == room);
	chore->budget -= (int64_t)count;
	if (count == room && room == budget)
		wait_for_budget(chore, courier);
	if (err != ERR_OK || count == 0)
		return;
	crash_point("courier_taken");
	for (size_t i = 0; i < count; i++) {
		struct delivery_errand *errand = free_errand(chore);

		if (!errand || in_hand(chore, &rows[i].id))
			continue;
		errand_take(&errand->errand, courier, asked_ms);
		keep(errand, &rows[i]);
		send(errand, courier);
	}
}

void
delivery_chore_run(struct delivery_chore *chore, struct courier *courier)
{
	if (may_end(chore, count_answered(chore)))
		end_answered(chore, courier);
	if (look_due_boot_ms(&chore->look, courier, count_free(chore), DELIVERY_ERRANDS) <= clock_boot_ms())
		take(chore, courier);
}

void
delivery_chore_drop_late(struct delivery_chore *chore, const struct courier *courier)
{
	for (size_t i = 0; i < DELIVERY_ERRANDS; i++)
		errand_drop_late(&chore->errands[i].errand, courier);
}

int64_t
delivery_chore_due_boot_ms(const struct delivery_chore *chore, const struct courier *courier)
{
	int64_t look_ms = look_due_boot_ms(&chore->look, courier, count_free(chore), DELIVERY_ERRANDS);

	return look_ms < chore->end_boot_ms ? look_ms : chore->end_boot_ms;
}

bool
delivery_chore_is_idle(const struct delivery_chore *chore)
{
	return count_free(chore) == DELIVERY_ERRANDS;
}

void
delivery_chore_release(struct delivery_chore *chore, struct courier *courier)
{
	for (size_t i = 0; i < DELIVERY_ERRANDS; i++) {
		errand_end(&chore->errands[i].errand, courier);
		errand_release(&chore->errands[i].errand);
	}
}
