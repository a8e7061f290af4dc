/* Passes given and taken, by whatever write does so. A pass that was taken keeps its row. */
#include "service/holdings.h"
#include "service/rules.h"

static void
add_change(struct attempt *attempt, const struct target *target, const struct owned_pass *pass)
{
	struct pass_row *row = ARENA_NEW(attempt->turn->arena, struct pass_row);

	*row = (struct pass_row){
		.next = attempt->changes.passes,
		.player = target->row.player,
		.season = target->row.season->id,
		.pass = *pass,
	};
	attempt->changes.passes = row;
}

/* A copy of the row's passes with room for one more, so that what the row pointed to before stays as it was. */
static void
own_passes(struct attempt *attempt, struct progress_row *row)
{
	struct owned_pass *passes = ARENA_ARRAY(attempt->turn->arena, row->pass_count + 1, struct owned_pass);

	if (row->pass_count)
		memcpy(passes, row->passes, row->pass_count * sizeof(*passes));
	row->passes = passes;
}

static void
give_instant_tiers(struct target *target, const struct pass *pass)
{
	uint32_t left = purchase_tiers_left(target->season, target->row.xp);
	uint32_t tiers = pass->instant_tiers < left ? pass->instant_tiers : left;

	if (tiers)
		tiers_apply(target->season, target->row.xp, tiers, &target->row.xp);
}

void
give_pass(struct attempt *attempt, struct target *target, uint32_t index)
{
	const struct pass *pass = &target->season->passes[index];
	struct progress_row *row = &target->row;

	own_passes(attempt, row);

	struct owned_pass *owned = holdings_pass(row, str_from(pass->id));

	if (!owned) {
		owned = &row->passes[row->pass_count++];
		owned->pass = arena_str(attempt->turn->arena, str_from(pass->id));
		give_instant_tiers(target, pass);
	}
	owned->since_ms = attempt->turn->now_ms;
	owned->active = true;
	add_change(attempt, target, owned);
}

bool
take_pass(struct attempt *attempt, struct target *target, struct str pass)
{
	struct owned_pass *owned = holdings_pass(&target->row, pass);

	if (!owned || !owned->active)
		return false;
	own_passes(attempt, &target->row);
	owned = holdings_pass(&target->row, pass);
	owned->active = false;
	add_change(attempt, target, owned);
	return true;
}
