/*
 * Resets and undoing them. A reset takes the XP and may forget the claims; what it took is kept in a row of its own, so
 * that undoing it can give it back on top of what was earned since.
 */
#include "service/holdings.h"
#include "service/rules.h"

static void
say_reset(struct attempt *attempt, struct work *work, const struct reset_row *reset)
{
	char id[UUID_TEXT_SIZE];

	uuid_format(&reset->id, id);
	work->entry.subject = arena_str(attempt->turn->arena, str_from(id));
	work->entry.result = arena_format(attempt->turn->arena, "\"reset\":\"%s\",\"claims\":\"%s\"", id,
					  reset->forget ? "forget" : "keep");
}

enum err
rule_reset(struct attempt *attempt, struct work *work)
{
	struct progress_row *row = &work->target->row;
	struct reset_row *reset = ARENA_NEW(attempt->turn->arena, struct reset_row);

	*reset = (struct reset_row){
		.next = attempt->changes.resets,
		.player = row->player,
		.season = row->season->id,
		.id = work->write->id,
		.xp_removed = row->xp,
		.overflow_paid = row->overflow_paid,
		.forget = operation_of(work)->forget,
		.reset_at_ms = attempt->turn->now_ms,
	};
	attempt->changes.resets = reset;
	row->xp = 0;
	if (reset->forget) {
		row->claims = NULL;
		row->claim_count = 0;
		row->overflow_paid = 0;
	}
	work->changes = true;
	say_reset(attempt, work, reset);
	return ERR_OK;
}

/* Claims that were forgotten stand again; one that was made once more since stands already. */
static void
bring_back(struct attempt *attempt, struct progress_row *row, const struct reset_row *reset)
{
	struct str *claims = ARENA_ARRAY(attempt->turn->arena, row->claim_count + reset->forgotten_count, struct str);
	uint32_t before = row->claim_count;

	if (before)
		memcpy(claims, row->claims, before * sizeof(*claims));
	for (uint32_t i = 0; i < reset->forgotten_count; i++)
		if (!holdings_has_claim(row, reset->forgotten[i]))
			claims[before++] = reset->forgotten[i];
	row->claims = claims;
	row->claim_count = before;
	/* The XP adds up, and so does what was paid for it. */
	row->overflow_paid += reset->overflow_paid;
}

enum err
rule_reset_undo(struct attempt *attempt, struct work *work)
{
	const struct store_port *store = attempt->turn->service->rooms.store;
	struct progress_row *row = &work->target->row;
	struct reset_row *reset = ARENA_NEW(attempt->turn->arena, struct reset_row);
	enum err err = store->find_reset(store->self, row->player, row->season->id, &operation_of(work)->subject,
					 attempt->turn->arena, reset);

	if (err == ERR_RESET_NOT_FOUND)
		work->err = err;
	else if (err != ERR_OK)
		return err;
	else if (reset->undone)
		work->err = ERR_ALREADY_UNDONE;
	else if (row->xp >= XP_MAX - reset->xp_removed)
		work->err = ERR_INVALID_FIELD;
	if (work->err != ERR_OK)
		return ERR_OK;
	row->xp += reset->xp_removed;
	if (reset->forget)
		bring_back(attempt, row, reset);
	reset->undone = true;
	reset->next = attempt->changes.resets;
	attempt->changes.resets = reset;
	work->changes = true;
	say_reset(attempt, work, reset);
	return ERR_OK;
}
