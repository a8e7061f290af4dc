/* What support may do to a player besides resets: XP up and down, tiers and passes given, passes taken back. */
#include "service/holdings.h"
#include "service/rules.h"

enum err
rule_xp_correction(struct attempt *attempt, struct work *work)
{
	(void)attempt;
	work->err = correction_apply(work->target->row.xp, operation_of(work)->amount, &work->target->row.xp);
	work->changes = true;
	return ERR_OK;
}

enum err
rule_tier_grant(struct attempt *attempt, struct work *work)
{
	struct target *target = work->target;

	(void)attempt;
	work->err = tiers_apply(target->season, target->row.xp, operation_of(work)->tiers, &target->row.xp);
	work->changes = true;
	return ERR_OK;
}

enum err
rule_pass_grant(struct attempt *attempt, struct work *work)
{
	struct target *target = work->target;
	struct str wanted = operation_of(work)->pass;
	int pass = season_find_pass(target->season, wanted.ptr, wanted.len);

	if (pass < 0)
		work->err = ERR_INVALID_FIELD;
	else if (holdings_open(target->season, &target->row) >> pass & 1)
		work->err = ERR_ALREADY_OWNED;
	if (work->err != ERR_OK)
		return ERR_OK;
	give_pass(attempt, target, (uint32_t)pass);
	work->changes = true;
	return ERR_OK;
}

/* The purchase that brought it, if there is one, no longer keeps the pass from being bought again. */
static enum err
release_purchase(struct attempt *attempt, struct work *work, struct str pass)
{
	const struct store_port *store = attempt->turn->service->rooms.store;
	struct purchase_row *purchase = ARENA_NEW(attempt->turn->arena, struct purchase_row);
	enum err err = store->live_purchase(store->self, work->write->player, work->write->season->id, pass,
					    attempt->turn->arena, purchase);

	if (err == ERR_PURCHASE_NOT_FOUND || (err == ERR_OK && purchase->state != PURCHASE_GRANTED))
		return ERR_OK;
	if (err != ERR_OK)
		return err;
	purchase->live = false;
	purchase->updated_at_ms = attempt->turn->now_ms;
	purchase->next = attempt->changes.purchases;
	attempt->changes.purchases = purchase;
	return ERR_OK;
}

enum err
rule_pass_revocation(struct attempt *attempt, struct work *work)
{
	struct target *target = work->target;
	struct str pass = operation_of(work)->pass;

	if (season_find_pass(target->season, pass.ptr, pass.len) < 0) {
		work->err = ERR_INVALID_FIELD;
		return ERR_OK;
	}
	enum err err = check_no_upgrade(attempt, work, pass);

	if (err != ERR_OK || work->err != ERR_OK)
		return err;
	if (!take_pass(attempt, target, pass)) {
		work->err = ERR_NOT_OWNED;
		return ERR_OK;
	}
	work->changes = true;
	return release_purchase(attempt, work, pass);
}
