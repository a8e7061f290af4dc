/*
 * Purchases: the rules of their steps (domain/purchase.h has the table of states). Each step is a transaction of its
 * own; the economy is asked between them (payments.c, or the courier), with no lock held. The price is fixed when the
 * purchase is stored, and what is proven decides each next step.
 */
#include "service/holdings.h"
#include "service/payments.h"
#include "service/rules.h"

/* Nobody else takes it as long as its process waits for the economy, nor a moment longer. */
static int64_t
held_ms(const struct turn *turn, const struct uuid *id)
{
	return payment_patience_ms(id, turn->service->limits.answer_within_ms) + PAYMENT_MARGIN_MS;
}

static void
name_subject(struct attempt *attempt, struct work *work, const struct uuid *id)
{
	char text[UUID_TEXT_SIZE];

	uuid_format(id, text);
	work->entry.subject = arena_str(attempt->turn->arena, str_from(text));
}

static void
add_change(struct attempt *attempt, struct work *work)
{
	struct purchase_row *change = ARENA_NEW(attempt->turn->arena, struct purchase_row);

	work->purchase.updated_at_ms = attempt->turn->now_ms;
	*change = work->purchase;
	change->next = attempt->changes.purchases;
	attempt->changes.purchases = change;
}

static enum err
find_purchase(struct attempt *attempt, struct work *work)
{
	const struct store_port *store = attempt->turn->service->rooms.store;
	enum err err = store->find_purchase(store->self, work->write->player, work->write->season->id,
					    &operation_of(work)->subject, attempt->turn->arena, &work->purchase);

	if (err == ERR_PURCHASE_NOT_FOUND) {
		work->err = err;
		return ERR_OK;
	}
	name_subject(attempt, work, &operation_of(work)->subject);
	return err;
}

/* The index of the pass that a purchase is about; -1: tiers, or a pass that the season no longer has. */
static int
pass_of(const struct target *target, struct str pass)
{
	return pass.len ? season_find_pass(target->season, pass.ptr, pass.len) : -1;
}

/* What it costs this player now, or why it cannot be had. */
static enum err
offer(const struct attempt *attempt, const struct work *work, struct price *ret_price)
{
	const struct operation *operation = operation_of(work);
	const struct season_entry *entry = work->write->season;
	const struct target *target = work->target;
	enum err err = purchase_admit(entry->stored_state, &entry->times, attempt->turn->now_ms);

	if (err != ERR_OK)
		return err;
	if (operation->pass.len == 0)
		err = purchase_tiers_price(target->season, target->row.xp, operation->tiers, ret_price);
	else if (pass_of(target, operation->pass) < 0)
		err = ERR_INVALID_FIELD;
	else
		err = purchase_pass_price(target->season, holdings_owned(target->season, &target->row),
					  (uint32_t)pass_of(target, operation->pass), ret_price);
	return err == ERR_OK && !attempt->turn->service->limits.sells ? ERR_NOT_FOR_SALE : err;
}

/* Is a purchase of this pass not decided yet, or (wherever it stands) may none stand beside it? */
static enum err
find_live(struct attempt *attempt, struct work *work, const char *pass, bool undecided_only, bool *found)
{
	const struct store_port *store = attempt->turn->service->rooms.store;
	struct purchase_row other;
	enum err err = store->live_purchase(store->self, work->write->player, work->write->season->id, str_from(pass),
					    attempt->turn->arena, &other);

	if (err == ERR_OK && !(undecided_only && other.state == PURCHASE_GRANTED))
		*found = true;
	return err == ERR_PURCHASE_NOT_FOUND ? ERR_OK : err;
}

/*
 * Two devices with two keys: the second one is told, and nothing is charged. What is undecided of a pass that includes
 * this one, or that this one includes, would change its price.
 */
static enum err
check_no_other(struct attempt *attempt, struct work *work)
{
	const struct season *season = work->target->season;
	int wanted = pass_of(work->target, operation_of(work)->pass);
	bool found = false;
	enum err err = ERR_OK;

	if (wanted < 0) /* tiers: who asks again with another key shall not pay twice */
		err = find_live(attempt, work, "", false, &found);
	for (uint32_t i = 0; wanted >= 0 && i < season->pass_count && err == ERR_OK && !found; i++)
		if ((season->passes[i].includes >> wanted & 1) || (season->passes[wanted].includes >> i & 1))
			err = find_live(attempt, work, season->passes[i].id, (int)i != wanted, &found);
	if (found)
		work->err = ERR_PURCHASE_IN_PROGRESS;
	return err;
}

enum err
check_no_upgrade(struct attempt *attempt, struct work *work, struct str pass)
{
	const struct season *season = work->target->season;
	int taken = pass_of(work->target, pass);
	bool found = false;
	enum err err = ERR_OK;

	for (uint32_t i = 0; taken >= 0 && i < season->pass_count && err == ERR_OK && !found; i++)
		if ((int)i != taken && (season->passes[i].includes >> taken & 1))
			err = find_live(attempt, work, season->passes[i].id, true, &found);
	if (found)
		work->err = ERR_PURCHASE_IN_PROGRESS;
	return err;
}

enum err
rule_purchase(struct attempt *attempt, struct work *work)
{
	const struct operation *operation = operation_of(work);
	const struct turn *turn = attempt->turn;
	struct price price;
	enum err err = ERR_OK;

	work->err = offer(attempt, work, &price);
	if (work->err == ERR_OK)
		err = check_no_other(attempt, work);
	if (err != ERR_OK || work->err != ERR_OK)
		return err;
	work->purchase = (struct purchase_row){
		.fresh = true,
		.id = work->write->id,
		.player = work->write->player,
		.season = work->write->season->id,
		.pass = operation->pass,
		.tiers = operation->pass.len ? 0 : operation->tiers,
		.live = true,
		.currency = arena_str(turn->arena, str_from(price.currency)),
		.amount = price.amount,
		.state = PURCHASE_DEBITING,
		.due_in_ms = held_ms(turn, &work->write->id),
		.created_at_ms = turn->now_ms,
	};
	name_subject(attempt, work, &work->purchase.id);
	add_change(attempt, work);
	return ERR_OK;
}

/* Can what was paid for still be given? */
static bool
grantable(const struct attempt *attempt, const struct work *work)
{
	const struct season_entry *entry = work->write->season;
	const struct target *target = work->target;
	int pass = pass_of(target, work->purchase.pass);
	uint64_t xp;

	if (purchase_grant_admit(entry->stored_state, &entry->times, attempt->turn->now_ms) != ERR_OK)
		return false;
	if (work->purchase.pass.len == 0)
		return tiers_apply(target->season, target->row.xp, work->purchase.tiers, &xp) == ERR_OK;
	return pass >= 0 && !(holdings_open(target->season, &target->row) >> pass & 1);
}

static void
give(struct attempt *attempt, struct work *work)
{
	struct target *target = work->target;
	uint64_t xp_before = target->row.xp;

	if (work->purchase.pass.len)
		give_pass(attempt, target, (uint32_t)pass_of(target, work->purchase.pass));
	else
		tiers_apply(target->season, target->row.xp, work->purchase.tiers, &target->row.xp);
	work->purchase.xp_given = target->row.xp - xp_before;
	work->changes = true;
}

/* Tiers may be bought again once they are given; a pass not as long as it is owned. */
static bool
stands_alone(const struct purchase_row *purchase)
{
	return purchase_holds_pass(purchase->state) && (purchase->pass.len || purchase->state != PURCHASE_GRANTED);
}

enum err
rule_settlement(struct attempt *attempt, struct work *work)
{
	enum purchase_event event = operation_of(work)->event;
	enum err err = find_purchase(attempt, work);

	if (err != ERR_OK || work->err != ERR_OK)
		return err;
	if (event == PURCHASE_CHARGED && !grantable(attempt, work))
		event = PURCHASE_CHARGED_UNGRANTABLE;
	/* Somebody else may have settled it, or it is the same answer once more. */
	if (!purchase_next(work->purchase.state, event, &work->purchase.state)) {
		work->idle = true;
		return ERR_OK;
	}
	if (work->purchase.state == PURCHASE_GRANTED)
		give(attempt, work);
	work->purchase.live = work->purchase.live && stands_alone(&work->purchase);
	work->purchase.due_in_ms = 0;
	work->purchase.tries = 0;
	work->entry.action =
		arena_format(attempt->turn->arena, "purchase_%s", purchase_state_name(work->purchase.state)).ptr;
	add_change(attempt, work);
	return ERR_OK;
}

/* Is a pass owned that was bought on top of this one? Then its price was lower for it. */
static bool
upgraded(const struct target *target, struct str pass)
{
	int wanted = season_find_pass(target->season, pass.ptr, pass.len);
	uint32_t owned = holdings_owned(target->season, &target->row);

	for (uint32_t i = 0; wanted >= 0 && i < target->season->pass_count; i++)
		if ((int)i != wanted && (owned >> i & 1) && (target->season->passes[i].includes >> wanted & 1))
			return true;
	return false;
}

/* What it gave goes back: the pass while it is this purchase's, the XP of tiers as far as there is any left. */
static void
take_back(struct attempt *attempt, struct work *work)
{
	struct target *target = work->target;
	uint64_t xp = work->purchase.pass.len ? 0 : work->purchase.xp_given;

	if (work->purchase.live && take_pass(attempt, target, work->purchase.pass))
		work->changes = true;
	if (xp && target->row.xp) {
		target->row.xp -= xp < target->row.xp ? xp : target->row.xp;
		work->changes = true;
	}
}

enum err
rule_refund(struct attempt *attempt, struct work *work)
{
	enum purchase_state next;
	enum err err = find_purchase(attempt, work);

	if (err != ERR_OK || work->err != ERR_OK)
		return err;
	bool given = work->purchase.state == PURCHASE_GRANTED;

	if (!purchase_next(work->purchase.state, PURCHASE_REFUND_WANTED, &next))
		work->err = ERR_NOT_REFUNDABLE;
	else if (given && work->purchase.live && upgraded(work->target, work->purchase.pass))
		work->err = ERR_PASS_UPGRADED;
	else if (given && work->purchase.live)
		err = check_no_upgrade(attempt, work, work->purchase.pass);
	if (err != ERR_OK || work->err != ERR_OK)
		return err;
	if (given)
		take_back(attempt, work);
	work->purchase.state = next;
	work->purchase.live = false;
	work->purchase.tries = 0;
	work->purchase.due_in_ms = held_ms(attempt->turn, &work->purchase.id);
	add_change(attempt, work);
	return ERR_OK;
}

/* Whoever closes it has looked into the economy's books; nothing is asked there any more. */
enum err
rule_purchase_close(struct attempt *attempt, struct work *work)
{
	enum err err = find_purchase(attempt, work);

	if (err != ERR_OK || work->err != ERR_OK)
		return err;
	if (!purchase_next(work->purchase.state, PURCHASE_CLOSED_BY_HAND, &work->purchase.state)) {
		work->err = ERR_PURCHASE_NOT_STUCK;
		return ERR_OK;
	}
	work->purchase.live = false;
	work->purchase.due_in_ms = 0;
	add_change(attempt, work);
	return ERR_OK;
}
