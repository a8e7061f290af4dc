/* Purchases: see purchase.h. Tables and arithmetic over what the caller holds: no memory, no clock, no call to anybody.
 */
#include "domain/purchase.h"

#include <string.h>

#include "domain/progress.h"

static const struct {
	const char *name;
	bool is_open;
	bool holds_pass;
} states[PURCHASE_STATE_COUNT] = {
	[PURCHASE_DEBITING] = {"debiting", true, true},     [PURCHASE_GRANTED] = {"granted", false, true},
	[PURCHASE_DECLINED] = {"declined", false, false},   [PURCHASE_CANCELLING] = {"cancelling", true, true},
	[PURCHASE_CANCELLED] = {"cancelled", false, false}, [PURCHASE_REFUNDING] = {"refunding", true, false},
	[PURCHASE_REFUNDED] = {"refunded", false, false},   [PURCHASE_STUCK] = {"stuck", false, true},
	[PURCHASE_CLOSED] = {"closed", false, false},
};

/*
 * All that can happen. A debit that was given up may still prove to have been charged, and is then given all the same;
 * one that is stuck ends by an admin alone: refunded, or closed by hand.
 */
static const struct {
	enum purchase_state state;
	enum purchase_event event;
	enum purchase_state next;
} transitions[] = {
	{PURCHASE_DEBITING, PURCHASE_CHARGED, PURCHASE_GRANTED},
	{PURCHASE_DEBITING, PURCHASE_CHARGED_UNGRANTABLE, PURCHASE_REFUNDING},
	{PURCHASE_DEBITING, PURCHASE_REFUSED, PURCHASE_DECLINED},
	{PURCHASE_DEBITING, PURCHASE_GIVEN_UP, PURCHASE_CANCELLING},
	{PURCHASE_DEBITING, PURCHASE_VOIDED, PURCHASE_CANCELLED},
	{PURCHASE_DEBITING, PURCHASE_WAS_REFUNDED, PURCHASE_REFUNDED},
	{PURCHASE_DEBITING, PURCHASE_LOST, PURCHASE_STUCK},
	{PURCHASE_CANCELLING, PURCHASE_CHARGED, PURCHASE_GRANTED},
	{PURCHASE_CANCELLING, PURCHASE_CHARGED_UNGRANTABLE, PURCHASE_REFUNDING},
	{PURCHASE_CANCELLING, PURCHASE_REFUSED, PURCHASE_DECLINED},
	{PURCHASE_CANCELLING, PURCHASE_VOIDED, PURCHASE_CANCELLED},
	{PURCHASE_CANCELLING, PURCHASE_WAS_REFUNDED, PURCHASE_REFUNDED},
	{PURCHASE_CANCELLING, PURCHASE_LOST, PURCHASE_STUCK},
	{PURCHASE_GRANTED, PURCHASE_REFUND_WANTED, PURCHASE_REFUNDING},
	{PURCHASE_REFUNDING, PURCHASE_WAS_REFUNDED, PURCHASE_REFUNDED},
	{PURCHASE_REFUNDING, PURCHASE_LOST, PURCHASE_STUCK},
	{PURCHASE_STUCK, PURCHASE_REFUND_WANTED, PURCHASE_REFUNDING},
	{PURCHASE_STUCK, PURCHASE_CLOSED_BY_HAND, PURCHASE_CLOSED},
};

const char *
purchase_state_name(enum purchase_state state)
{
	return (unsigned)state < PURCHASE_STATE_COUNT ? states[state].name : "unknown";
}

bool
purchase_state_parse(const char *name, enum purchase_state *ret_state)
{
	for (unsigned i = 0; i < PURCHASE_STATE_COUNT; i++) {
		if (strcmp(name, states[i].name) == 0) {
			*ret_state = (enum purchase_state)i;
			return true;
		}
	}
	return false;
}

bool
purchase_next(enum purchase_state state, enum purchase_event event, enum purchase_state *ret_next)
{
	for (size_t i = 0; i < sizeof(transitions) / sizeof(transitions[0]); i++) {
		if (transitions[i].state == state && transitions[i].event == event) {
			*ret_next = transitions[i].next;
			return true;
		}
	}
	return false;
}

bool
purchase_is_open(enum purchase_state state)
{
	return (unsigned)state < PURCHASE_STATE_COUNT && states[state].is_open;
}

bool
purchase_holds_pass(enum purchase_state state)
{
	return (unsigned)state < PURCHASE_STATE_COUNT && states[state].holds_pass;
}

enum err
purchase_admit(enum season_state stored, const struct season_times *times, int64_t now_ms)
{
	switch (season_state_at(stored, times, now_ms)) {
	case SEASON_ACTIVE:
		return ERR_OK;
	case SEASON_PURCHASE_CLOSED:
		return ERR_PURCHASE_CLOSED;
	default:
		return ERR_SEASON_NOT_ACTIVE;
	}
}

enum err
purchase_grant_admit(enum season_state stored, const struct season_times *times, int64_t now_ms)
{
	enum season_state state = season_state_at(stored, times, now_ms);

	return state == SEASON_ACTIVE || state == SEASON_PURCHASE_CLOSED ? ERR_OK : ERR_SEASON_NOT_ACTIVE;
}

/* The highest price in this currency among these passes (bits); 0 for none. */
static uint64_t
dearest(const struct season *season, uint32_t passes, const char *currency)
{
	uint64_t amount = 0;

	for (uint32_t i = 0; i < season->pass_count; i++) {
		const struct price *price = &season->passes[i].price;

		if ((passes >> i & 1) && price->currency && price->amount > amount &&
		    strcmp(price->currency, currency) == 0)
			amount = price->amount;
	}
	return amount;
}

enum err
purchase_pass_price(const struct season *season, uint32_t owned, uint32_t pass, struct price *ret_price)
{
	const struct pass *wanted = &season->passes[pass];

	if (season_open_passes(season, owned) >> pass & 1)
		return ERR_ALREADY_OWNED;
	if (!wanted->price.currency)
		return ERR_NOT_FOR_SALE;
	uint64_t taken_off = dearest(season, owned & wanted->includes, wanted->price.currency);

	if (wanted->price.amount <= taken_off)
		return ERR_NOT_FOR_SALE;
	*ret_price = (struct price){wanted->price.currency, wanted->price.amount - taken_off};
	return ERR_OK;
}

enum err
purchase_tiers_price(const struct season *season, uint64_t xp, uint64_t tiers, struct price *ret_price)
{
	uint64_t xp_then;

	if (!season->tier_price.currency)
		return ERR_NOT_FOR_SALE;
	enum err err = tiers_apply(season, xp, tiers, &xp_then);

	if (err != ERR_OK)
		return err;
	/* At most SEASON_TIERS_MAX tiers of at most 10^9 each. */
	*ret_price = (struct price){season->tier_price.currency, season->tier_price.amount * tiers};
	return ERR_OK;
}

uint32_t
purchase_tiers_left(const struct season *season, uint64_t xp)
{
	return season->tier_count - season_tier_at(season, xp);
}
