/*
 * Purchases: which states one goes through, what may be bought when, and what it costs. The economy's word is never
 * guessed: an event is something proven, and what is unknown is no event. Which answer proves what is not known here.
 */
#ifndef BP_DOMAIN_PURCHASE_H
#define BP_DOMAIN_PURCHASE_H

#include "domain/season.h"

enum purchase_state {
	PURCHASE_DEBITING,   /* stored with its price; the debit is asked for until its outcome is proven */
	PURCHASE_GRANTED,    /* charged and given */
	PURCHASE_DECLINED,   /* refused, nothing was charged */
	PURCHASE_CANCELLING, /* the economy is asked to void the debit by its key */
	PURCHASE_CANCELLED,  /* never charged, and never will be */
	PURCHASE_REFUNDING,  /* charged and not owned (any more): the money is to go back */
	PURCHASE_REFUNDED,   /* charged, and the money is back */
	PURCHASE_STUCK,      /* nobody may ask again by itself: an admin decides */
	PURCHASE_CLOSED,     /* was stuck; an admin has closed it by hand */
	PURCHASE_STATE_COUNT
};

/* "debiting", "granted" .. */
const char *purchase_state_name(enum purchase_state state);
/* False if there is no such name. */
bool purchase_state_parse(const char *name, enum purchase_state *ret_state);

enum purchase_event {
	PURCHASE_CHARGED,             /* proven: charged, and what was bought can be given */
	PURCHASE_CHARGED_UNGRANTABLE, /* proven: charged, but it cannot be given any more */
	PURCHASE_REFUSED,             /* proven: refused, nothing was charged */
	PURCHASE_GIVEN_UP,            /* unknown for too long, or sales have closed: to be cancelled by key */
	PURCHASE_VOIDED,              /* proven: never charged, and a late debit will be refused */
	PURCHASE_REFUND_WANTED,       /* an admin takes it back */
	PURCHASE_WAS_REFUNDED,        /* proven: the money is back */
	PURCHASE_LOST, /* the economy has forgotten its key, or contradicts itself: nobody may ask again by itself */
	PURCHASE_CLOSED_BY_HAND, /* an admin has looked into the economy's books: nothing is left to be done */
	PURCHASE_EVENT_COUNT
};

/* False: the event does not apply in this state; *ret_next is untouched. */
bool purchase_next(enum purchase_state state, enum purchase_event event, enum purchase_state *ret_next);
/* Is something left to be asked of the economy? */
bool purchase_is_open(enum purchase_state state);
/* Does it keep a second purchase of the same pass from standing beside it? */
bool purchase_holds_pass(enum purchase_state state);

/*
 * May something be bought now? By the season's state alone: ERR_OK; ERR_PURCHASE_CLOSED from purchase_closes_at until
 * ends_at; else ERR_SEASON_NOT_ACTIVE.
 */
enum err purchase_admit(enum season_state stored, const struct season_times *times, int64_t now_ms);
/* May what was charged still be given? ERR_OK until ends_at, sales closed or not; else ERR_SEASON_NOT_ACTIVE. */
enum err purchase_grant_admit(enum season_state stored, const struct season_times *times, int64_t now_ms);

/*
 * What this pass (an index) costs somebody who owns these (bits, of passes owned themselves): its price, or the
 * difference to the dearest of them that it includes and that has a price in the same currency. ERR_ALREADY_OWNED: it
 * is open already: owned, included in an owned one, or free. ERR_NOT_FOR_SALE: it has no price, or none above what is
 * owned. The currency is the season's; *ret_price is untouched on failure.
 */
enum err purchase_pass_price(const struct season *season, uint32_t owned, uint32_t pass, struct price *ret_price);
/*
 * What so many tiers more cost somebody with this XP; less than 10^15. ERR_NOT_FOR_SALE: the season sells none; else
 * what tiers_apply says, since what cannot be given is not sold: ERR_INVALID_FIELD, ERR_TOO_MANY_TIERS.
 */
enum err purchase_tiers_price(const struct season *season, uint64_t xp, uint64_t tiers, struct price *ret_price);
/* How many more tiers there are; 0 at the last. */
uint32_t purchase_tiers_left(const struct season *season, uint64_t xp);

#endif
