/*
 * The outbox: what a claim or an overflow gives is written with it in one transaction, and sent by a courier
 * afterwards.
 */
#include "service/rules.h"

struct delivery_row *
add_delivery(struct attempt *attempt, const struct target *target, struct str reward, const char *kind,
	     const char *item, uint64_t quantity)
{
	struct turn *turn = attempt->turn;
	struct delivery_row *delivery = ARENA_NEW(turn->arena, struct delivery_row);

	*delivery = (struct delivery_row){
		.next = attempt->changes.deliveries,
		.id = uuid_new(turn->now_ms),
		.player = target->row.player,
		.season = target->row.season->id,
		.reward = reward,
		.kind = arena_str(turn->arena, str_from(kind)),
		.item = arena_str(turn->arena, str_from(item)),
		.quantity = quantity,
		.created_at_ms = turn->now_ms,
		.updated_at_ms = turn->now_ms,
	};
	attempt->changes.deliveries = delivery;
	return delivery;
}

/* XP that was taken away and earned again does not pay twice: overflow_paid never goes back by itself. */
void
pay_overflow(struct attempt *attempt, struct target *target)
{
	const struct season *season = target->season;
	const struct overflow *overflow = &season->overflow;

	if (overflow->policy != OVERFLOW_CURRENCY)
		return;
	uint64_t units = season_overflow_units(season, target->row.xp);

	if (units <= target->row.overflow_paid)
		return;
	add_delivery(attempt, target, STR_NONE, overflow->reward.kind, overflow->reward.item,
		     (units - target->row.overflow_paid) * overflow->reward.quantity);
	target->row.overflow_paid = units;
}

/* The courier never touches a failed delivery, so nobody else moves this one. */
enum err
rule_delivery_retry(struct attempt *attempt, struct work *work)
{
	const struct operation *operation = operation_of(work);
	struct delivery_row *retry = ARENA_NEW(attempt->turn->arena, struct delivery_row);
	char id[UUID_TEXT_SIZE];

	if (operation->delivery_state != DELIVERY_FAILED) {
		work->err = ERR_DELIVERY_NOT_FAILED;
		return ERR_OK;
	}
	uuid_format(&operation->subject, id);
	work->entry.subject = arena_str(attempt->turn->arena, str_from(id));
	*retry = (struct delivery_row){
		.next = attempt->changes.retries,
		.id = operation->subject,
		.player = work->write->player,
		.season = work->write->season->id,
		.updated_at_ms = attempt->turn->now_ms,
	};
	attempt->changes.retries = retry;
	return ERR_OK;
}
