/*
 * Claims: each claimed reward is a row, whose primary key is the guard against paying twice, and a delivery. What can
 * be claimed is derived (domain/claimable.h) from the locked row.
 */
#include "service/holdings.h"
#include "service/rules.h"

/* A player's claims while more are made. */
struct claiming {
	struct attempt *attempt;
	struct target *target;
	uint32_t open_passes;
	struct claimed_set claimed;
	struct claim_outcome *outcomes;
	size_t count;
	size_t made;
};

static void
claiming_init(struct claiming *claiming, struct attempt *attempt, struct target *target, size_t most)
{
	*claiming = (struct claiming){
		.attempt = attempt,
		.target = target,
		.open_passes = holdings_open(target->season, &target->row),
		.claimed = holdings_claimed(target->season, &target->row),
		.outcomes = ARENA_ARRAY(attempt->turn->arena, most, struct claim_outcome),
	};
}

/* A claim that may be made: its row, its delivery, and the mark that it is made. */
static void
make_claim(struct claiming *claiming, const struct claimable *claimable, const char *kind, const char *item,
	   uint64_t quantity)
{
	struct attempt *attempt = claiming->attempt;
	const struct target *target = claiming->target;
	struct arena *arena = attempt->turn->arena;
	struct claim_row *row = ARENA_NEW(arena, struct claim_row);
	char id[CLAIMABLE_ID_SIZE];
	struct str reward = arena_str(arena, (struct str){id, claimable_id(claimable, id)});
	const struct delivery_row *delivery = add_delivery(attempt, target, reward, kind, item, quantity);

	*row = (struct claim_row){
		.next = attempt->changes.claims,
		.player = target->row.player,
		.season = target->row.season->id,
		.tier = claimable->reward->tier,
		.pass = arena_str(arena, str_from(target->season->passes[claimable->reward->pass].id)),
		.reward = reward,
		.claimed_at_ms = attempt->turn->now_ms,
		.delivery = delivery->id,
	};
	attempt->changes.claims = row;
	claimed_put(&claiming->claimed, target->season, claimable);
	claiming->made++;
	claiming->outcomes[claiming->count++] =
		(struct claim_outcome){.reward = reward, .status = CLAIM_CLAIMED, .delivery = delivery->id};
}

static void
claim_as_it_is(struct claiming *claiming, const struct claimable *claimable)
{
	const struct reward *reward = claimable->reward;

	make_claim(claiming, claimable, reward->kind, reward->item, reward->quantity);
}

static void
add_outcome(struct claiming *claiming, struct str reward, enum claim_status status)
{
	claiming->outcomes[claiming->count++] = (struct claim_outcome){.reward = reward, .status = status};
}

static void
claim_one(struct claiming *claiming, struct str reward)
{
	const struct season *season = claiming->target->season;
	const struct progress_row *row = &claiming->target->row;
	struct claimable claimable;

	/* One that the season no longer has may have been claimed before it went. */
	if (!claimable_find(season, reward.ptr, reward.len, &claimable)) {
		add_outcome(claiming, reward, holdings_has_claim(row, reward) ? CLAIM_ALREADY_CLAIMED : CLAIM_UNKNOWN);
		return;
	}
	struct claim_lock lock = claimable_lock(season, &claimable, row->xp, claiming->open_passes);

	if (claimed_has(&claiming->claimed, season, &claimable)) {
		add_outcome(claiming, reward, CLAIM_ALREADY_CLAIMED);
	} else if (lock.tier || lock.pass) {
		add_outcome(claiming, reward, CLAIM_LOCKED);
		claiming->outcomes[claiming->count - 1].missing_tier = lock.tier ? claimable.reward->tier : 0;
		claiming->outcomes[claiming->count - 1].missing_pass =
			lock.pass ? season->passes[claimable.reward->pass].id : NULL;
	} else {
		claim_as_it_is(claiming, &claimable);
	}
}

/* What was claimed goes into the row, and what is said of it into the entry. */
static void
conclude(struct claiming *claiming, struct work *work)
{
	struct arena *arena = claiming->attempt->turn->arena;
	struct progress_row *row = &claiming->target->row;
	struct str *claims = ARENA_ARRAY(arena, row->claim_count + claiming->made, struct str);
	struct buf result;

	if (row->claim_count)
		memcpy(claims, row->claims, row->claim_count * sizeof(*claims));
	for (size_t i = 0; i < claiming->count; i++)
		if (claiming->outcomes[i].status == CLAIM_CLAIMED)
			claims[row->claim_count++] = claiming->outcomes[i].reward;
	row->claims = claims;
	work->changes = claiming->made != 0;
	buf_init(&result);
	claiming->attempt->turn->service->rooms.codec->render_claims(claiming->outcomes, claiming->count,
								     row->revision + (claiming->made != 0), &result);
	work->entry.result = arena_str(arena, buf_view(&result));
	buf_release(&result);
}

static size_t
most_claims(const struct season *season)
{
	return (size_t)season->reward_count + SEASON_OVERFLOW_UNITS_MAX;
}

static bool
takes_claims(const struct season_entry *entry, int64_t now_ms)
{
	switch (season_state_at(entry->stored_state, &entry->times, now_ms)) {
	case SEASON_ACTIVE:
	case SEASON_PURCHASE_CLOSED:
	case SEASON_ENDED:
		return true;
	default:
		return false;
	}
}

enum err
rule_claim(struct attempt *attempt, struct work *work)
{
	const struct operation *operation = operation_of(work);
	struct target *target = work->target;
	struct claimable claimable = {NULL, 0};
	struct claiming claiming;

	if (!takes_claims(work->write->season, attempt->turn->now_ms)) {
		work->err = ERR_SEASON_NOT_ACTIVE;
		return ERR_OK;
	}
	claiming_init(&claiming, attempt, target,
		      operation->rewards ? operation->reward_count : most_claims(target->season));
	for (size_t i = 0; operation->rewards && i < operation->reward_count; i++)
		claim_one(&claiming, operation->rewards[i]);
	while (!operation->rewards &&
	       claimable_next(target->season, &claiming.claimed, target->row.xp, claiming.open_passes, &claimable))
		claim_as_it_is(&claiming, &claimable);
	conclude(&claiming, work);
	return ERR_OK;
}

static void
claim_by_policy(struct claiming *claiming, const struct claimable *claimable)
{
	const struct pass *pass = &claiming->target->season->passes[claimable->reward->pass];

	if (pass->auto_claim == AUTO_CLAIM_CLAIM)
		claim_as_it_is(claiming, claimable);
	else if (pass->auto_claim == AUTO_CLAIM_CONVERT)
		make_claim(claiming, claimable, "currency", pass->convert_item, pass->convert_quantity);
}

/* What is left when claims have closed, as the season's passes say. */
enum err
rule_auto_claim(struct attempt *attempt, struct work *work)
{
	struct target *target = work->target;
	struct claimable claimable = {NULL, 0};
	struct claiming claiming;

	claiming_init(&claiming, attempt, target, most_claims(target->season));
	while (claimable_next(target->season, &claiming.claimed, target->row.xp, claiming.open_passes, &claimable))
		claim_by_policy(&claiming, &claimable);
	work->idle = claiming.made == 0;
	if (!work->idle)
		conclude(&claiming, work);
	return ERR_OK;
}
