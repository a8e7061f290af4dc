/* Purchases that are not decided: see purchase_chore.h. */
#include "courier/purchase_chore.h"

#include "base/clock.h"
#include "base/crash.h"
#include "base/log.h"
#include "base/metrics.h"
#include "service/payments.h"

void
purchase_chore_init(struct purchase_chore *chore)
{
	chore->look = (struct look){.due_boot_ms = 0};
	for (size_t i = 0; i < PURCHASE_ERRANDS; i++)
		errand_init(&chore->errands[i].errand);
}

static size_t
count_free(const struct purchase_chore *chore)
{
	size_t count = 0;

	for (size_t i = 0; i < PURCHASE_ERRANDS; i++)
		count += !chore->errands[i].errand.busy;
	return count;
}

/* Where the database fails, the row is due again when it is held no longer. */
static void
put_off(struct purchase_errand *errand, struct courier *courier, int64_t due_in_ms)
{
	store_put_off_purchase(courier->store, &courier->owner, &errand->row, due_in_ms);
	errand_end(&errand->errand, courier);
}

static void
back_off(struct purchase_errand *errand, struct courier *courier)
{
	put_off(errand, courier, courier_back_off_ms(courier, errand->row.tries));
}

static void
prove(struct purchase_errand *errand, enum purchase_event event)
{
	errand->proven = true;
	errand->event = event;
}

static void
ask(struct purchase_errand *errand, struct courier *courier, enum economy_verb verb)
{
	errand->errand.call = (struct economy_call){.outcome = ECONOMY_WAITING};
	payment_call(&errand->row, verb, &errand->errand.arena, &errand->errand.call);
	if (!errand_ask(&errand->errand, courier))
		errand_end(&errand->errand, courier);
}

/* --- what was answered --- */

static void
judge(struct purchase_errand *errand, struct courier *courier)
{
	const struct economy_call *call = &errand->errand.call;
	enum purchase_event event;

	if (payment_proves(call->verb, call->outcome, &event)) {
		crash_point("courier_proven");
		prove(errand, event);
	} else if (call->verb == ECONOMY_CANCEL && call->outcome == ECONOMY_EXECUTED) {
		ask(errand, courier, ECONOMY_LOOKUP);
	} else {
		metrics_add(METRIC_ECONOMY_UNKNOWN, 1);
		back_off(errand, courier);
	}
}

/* --- what is due --- */

static bool
in_hand(const struct purchase_chore *chore, const struct uuid *id)
{
	for (size_t i = 0; i < PURCHASE_ERRANDS; i++)
		if (chore->errands[i].errand.busy && memcmp(&chore->errands[i].row.id, id, sizeof(*id)) == 0)
			return true;
	return false;
}

static struct purchase_errand *
free_errand(struct purchase_chore *chore)
{
	for (size_t i = 0; i < PURCHASE_ERRANDS; i++)
		if (!chore->errands[i].errand.busy)
			return &chore->errands[i];
	return NULL;
}

static void
keep(struct purchase_errand *errand, const struct purchase_row *row)
{
	struct arena *arena = &errand->errand.arena;

	errand->row = *row;
	errand->row.next = NULL;
	errand->row.player = arena_str(arena, row->player);
	errand->row.season = arena_copy(arena, str_from(row->season));
	errand->row.pass = arena_str(arena, row->pass);
	errand->row.currency = arena_str(arena, row->currency);
	errand->proven = false;
	errand->settlement = NULL;
}

/* What the purchase needs next: a call, or a step without one. A refund has no last moment: it takes nothing. */
static void
decide(struct purchase_errand *errand, struct courier *courier, struct turn *turn)
{
	const struct purchase_row *row = &errand->row;
	const struct conf *conf = courier->conf;
	int64_t age_ms = row->age_ms + clock_boot_ms() - errand->errand.taken_boot_ms;
	const struct season_entry *season;

	if (turn_season(turn, str_from(row->season), &season) != ERR_OK) {
		back_off(errand, courier);
	} else if (row->state != PURCHASE_REFUNDING &&
		   age_ms + conf->economy.timeout_ms >= conf->economy.key_retention_s * 1000) {
		prove(errand, PURCHASE_LOST);
	} else if (row->state == PURCHASE_DEBITING &&
		   (age_ms >= conf->economy.give_up_after_s * 1000 ||
		    purchase_admit(season->stored_state, &season->times, turn->now_ms) != ERR_OK)) {
		prove(errand, PURCHASE_GIVEN_UP);
	} else {
		ask(errand, courier, payment_verb(row->state));
	}
}

static void
take(struct purchase_chore *chore, struct courier *courier)
{
	size_t room = count_free(chore);
	int64_t asked_ms = clock_boot_ms();
	struct purchase_row *rows;
	size_t count = 0;
	struct turn turn;

	arena_reset(&courier->arena);

	enum err err = store_take_purchases(courier->store, &courier->owner, courier_hold_ms(courier), (uint32_t)room,
					    &courier->arena, &rows, &count);

	courier_note_store(courier, err);
	look_done(&chore->look, count == room);
	if (err != ERR_OK || count == 0)
		return;
	crash_point("courier_taken");
	turn_begin(&turn, courier->service, &courier->arena, clock_unix_ms());
	for (size_t i = 0; i < count; i++) {
		struct purchase_errand *errand = free_errand(chore);

		/* One whose time ran out while its answer was looked up: that look decides. */
		if (!errand || in_hand(chore, &rows[i].id))
			continue;
		errand_take(&errand->errand, courier, asked_ms);
		keep(errand, &rows[i]);
		decide(errand, courier, &turn);
	}
}

/* --- what is proven --- */

static const char *
reason_of(enum purchase_event event)
{
	switch (event) {
	case PURCHASE_GIVEN_UP:
		return "nothing was proven in time, or sales have closed";
	case PURCHASE_LOST:
		return "the economy may have forgotten its key, or contradicts itself";
	default:
		return "the economy has answered";
	}
}

static void
add_settlement(struct purchase_errand *errand, struct turn *turn)
{
	const struct season_entry *season;

	errand->settlement = NULL;
	if (turn_season(turn, str_from(errand->row.season), &season) != ERR_OK)
		return;
	errand->settlement = turn_add_operation(turn, WRITE_SETTLEMENT, errand->row.player, season);
	errand->settlement->author = (struct author){
		.actor = STR("courier"),
		.role = "service",
		.reason = str_from(reason_of(errand->event)),
	};
	errand->settlement->subject = errand->row.id;
	errand->settlement->event = errand->event;
}

static void
announce(const struct purchase_row *purchase, enum purchase_event event)
{
	char id[UUID_TEXT_SIZE];

	uuid_format(&purchase->id, id);
	if (purchase->state == PURCHASE_STUCK)
		log_error("purchase %s of %.*s in season %s is stuck: %s", id, STR_ARGS(purchase->player),
			  purchase->season, reason_of(event));
	else
		log_debug("purchase %s is %s: %s", id, purchase_state_name(purchase->state), reason_of(event));
}

/* A step that leads to another call is due for anybody, and so for us. */
static void
conclude(struct purchase_chore *chore, struct courier *courier, struct purchase_errand *errand)
{
	const struct operation *settlement = errand->settlement;
	bool made = settlement && settlement->write.err == ERR_OK && settlement->entry.sequence != 0;

	if (made) {
		announce(&settlement->purchase, errand->event);
		if (purchase_is_open(settlement->purchase.state))
			chore->look.due_boot_ms = 0;
	} else if (settlement && settlement->write.err != ERR_OK) {
		log_warning("a purchase could not be settled now: %s", err_text(settlement->write.err));
	}
	if (made || (settlement && settlement->write.err != ERR_OK))
		errand_end(&errand->errand, courier);
	else
		back_off(errand, courier);
}

/* All that is proven by now is one turn. */
static void
settle(struct purchase_chore *chore, struct courier *courier)
{
	struct turn turn;
	size_t count = 0;

	for (size_t i = 0; i < PURCHASE_ERRANDS; i++) {
		struct purchase_errand *errand = &chore->errands[i];

		if (!errand->errand.busy || !errand->proven)
			continue;
		if (count++ == 0) {
			arena_reset(&courier->arena);
			turn_begin(&turn, courier->service, &courier->arena, clock_unix_ms());
		}
		add_settlement(errand, &turn);
	}
	if (count == 0)
		return;
	turn_run(&turn);
	for (size_t i = 0; i < PURCHASE_ERRANDS; i++)
		if (chore->errands[i].errand.busy && chore->errands[i].proven)
			conclude(chore, courier, &chore->errands[i]);
}

void
purchase_chore_run(struct purchase_chore *chore, struct courier *courier)
{
	for (size_t i = 0; i < PURCHASE_ERRANDS; i++)
		if (!chore->errands[i].proven && errand_answered(&chore->errands[i].errand))
			judge(&chore->errands[i], courier);
	if (purchase_chore_due_boot_ms(chore, courier) <= clock_boot_ms())
		take(chore, courier);
	settle(chore, courier);
}

void
purchase_chore_drop_late(struct purchase_chore *chore, const struct courier *courier)
{
	for (size_t i = 0; i < PURCHASE_ERRANDS; i++)
		errand_drop_late(&chore->errands[i].errand, courier);
}

int64_t
purchase_chore_due_boot_ms(const struct purchase_chore *chore, const struct courier *courier)
{
	return look_due_boot_ms(&chore->look, courier, count_free(chore), PURCHASE_ERRANDS);
}

bool
purchase_chore_is_idle(const struct purchase_chore *chore)
{
	return count_free(chore) == PURCHASE_ERRANDS;
}

void
purchase_chore_release(struct purchase_chore *chore, struct courier *courier)
{
	for (size_t i = 0; i < PURCHASE_ERRANDS; i++) {
		if (chore->errands[i].errand.busy)
			put_off(&chore->errands[i], courier, 0);
		errand_release(&chore->errands[i].errand);
	}
}
