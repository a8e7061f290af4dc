/* XP grants: the rule. */
#include "service/rules.h"

enum err
rule_xp_grant(struct attempt *attempt, struct work *work)
{
	struct turn *turn = attempt->turn;
	struct target *target = work->target;
	struct progress_row *row = &target->row;
	const struct season_entry *entry = row->season;
	struct buf unlocked;

	work->err = grant_admit(entry->stored_state, &entry->times, work->grant.occurred_at_ms, turn->now_ms);
	if (work->err == ERR_OK)
		work->err = grant_apply(target->season, row->xp, work->grant.amount, &work->grant.effect);
	if (work->err != ERR_OK)
		return ERR_OK;
	row->xp = work->grant.effect.xp_after;
	row->revision++;
	if (row->updated_at_ms < turn->now_ms)
		row->updated_at_ms = turn->now_ms;
	work->grant.revision = row->revision;
	work->grant.granted_at_ms = turn->now_ms;
	buf_init(&unlocked);
	turn->service->rooms.codec->render_unlocked(target->season, row, &work->grant.effect, &unlocked);
	work->grant.unlocked = arena_str(turn->arena, buf_view(&unlocked));
	buf_release(&unlocked);
	return ERR_OK;
}
