/*
 * A season: its times, tiers, passes, rewards and overflow policy, and the questions that can be asked of them. Pure:
 * values in, values out; time is an argument. A season is read-only once built (document/season_document.h builds
 * it); everything it points to lives as long as it does.
 *
 * XP and amounts are integers below XP_MAX; times are milliseconds since 1970 UTC.
 */
#ifndef BP_DOMAIN_SEASON_H
#define BP_DOMAIN_SEASON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum {
	SEASON_ID_MAX = 64, /* bytes of a season, pass, reward or player id */
	SEASON_TIERS_MAX = 1000,
	SEASON_PASSES_MAX = 16,
	SEASON_REWARDS_MAX = 4000,
	SEASON_OVERFLOW_UNITS_MAX = 1000, /* of a repeat policy */
};

/* XP totals stay below this, so that every JSON reader has them exactly. */
#define XP_MAX UINT64_C(1000000000000000)
/* One grant: 1 to this. */
#define XP_GRANT_MAX UINT64_C(1000000000)

/* In the order in which time moves a season through them. */
enum season_state {
	SEASON_DRAFT,
	SEASON_PUBLISHED,       /* announced, before starts_at */
	SEASON_ACTIVE,          /* starts_at <= now < purchase_closes_at */
	SEASON_PURCHASE_CLOSED, /* purchase_closes_at <= now < ends_at: XP still counts */
	SEASON_ENDED,           /* ends_at <= now: claims are open until claim_until */
	SEASON_ARCHIVED,
	SEASON_STATE_COUNT
};

/* "draft", "published", "active", "purchase_closed", "ended", "archived" */
const char *season_state_name(enum season_state state);
/* False if there is no such name. */
bool season_state_parse(const char *name, enum season_state *ret_state);

/* What decides a season's state; small enough to stand in shared memory. */
struct season_times {
	int64_t starts_at_ms;
	int64_t purchase_closes_at_ms;
	int64_t ends_at_ms;
	int64_t claim_until_ms;
	int64_t late_window_ms; /* after ends_at, grants that occurred before it are still taken */
};

/*
 * The state now. stored: what an admin or publish set: DRAFT and ARCHIVED and ENDED stay as they are; any other
 * follows the times from PUBLISHED on.
 */
enum season_state season_state_at(enum season_state stored, const struct season_times *times, int64_t now_ms);

struct localized {
	const char *language; /* lower-case BCP 47 tag, for instance "en" or "pt-br" */
	const char *text;
};

struct texts {
	const struct localized *items;
	size_t count; /* 0: no texts; the first is the default */
};

/*
 * The best text for an Accept-Language header (RFC 9110 section 12.5.4, RFC 4647 lookup), NULL for none; header may be
 * NULL. The first text when nothing matches; NULL only if there are no texts.
 */
const struct localized *texts_pick(const struct texts *texts, const char *accept_language);

struct price {
	const char *currency;
	uint64_t amount;
};

/* What becomes of a pass's rewards that nobody claimed until claim_until. */
enum auto_claim {
	AUTO_CLAIM_FORFEIT, /* nothing: they are lost */
	AUTO_CLAIM_CLAIM,   /* they are claimed for the player */
	AUTO_CLAIM_CONVERT, /* each is claimed as `convert_quantity` of the currency `convert_item` instead */
};

struct pass {
	const char *id;
	struct texts name;
	bool free;              /* owned by everybody; has no price */
	struct price price;     /* currency is NULL when free */
	uint32_t includes;      /* bit per pass index: owning this one opens those too (its own bit is set) */
	uint32_t instant_tiers; /* tiers given with the purchase */
	enum auto_claim auto_claim;
	const char *convert_item;  /* NULL unless CONVERT */
	uint64_t convert_quantity; /* 0 unless CONVERT */
};

struct reward {
	const char *id;
	uint32_t tier; /* 1..tier_count */
	uint32_t pass; /* index into passes */
	const char *kind;
	const char *item;
	uint64_t quantity;
	struct texts name;
};

enum overflow_policy {
	OVERFLOW_NONE,     /* XP past the last tier counts in xp and nothing else */
	OVERFLOW_REPEAT,   /* every `every` XP past the last tier unlocks `reward` once more, at most `times` times */
	OVERFLOW_CURRENCY, /* every `every` XP past the last tier becomes `quantity` of `item` */
};

struct overflow {
	enum overflow_policy policy;
	uint64_t every;       /* XP; 0 only for NONE */
	uint32_t times;       /* REPEAT only: 1..SEASON_OVERFLOW_UNITS_MAX */
	struct reward reward; /* REPEAT: what is unlocked (tier = tier_count, pass: who gets it). CURRENCY: kind
				 "currency", item and quantity */
};

struct season {
	const char *id;
	uint64_t revision; /* 0: not published yet */
	enum season_state stored_state;
	struct season_times times;
	struct texts name;
	uint32_t tier_count;
	const uint64_t *tier_xp;       /* [0..tier_count]: cost of that tier; [0] is 0 */
	const uint64_t *tier_xp_total; /* [0..tier_count]: XP at which it is reached; strictly increasing */
	uint32_t pass_count;
	const struct pass *passes; /* in document order */
	uint32_t reward_count;
	const struct reward *rewards; /* sorted by tier; within a tier in document order */
	const uint32_t *tier_rewards; /* [0..tier_count + 1]: index of the first reward of that tier; [tier_count + 1]
					 is reward_count; tier 0 has none */
	const uint32_t *reward_by_id; /* reward indexes sorted by id (strcmp), for season_find_reward */
	struct price tier_price;      /* of one tier; currency is NULL: tiers are not sold */
	struct overflow overflow;
};

/* Index of the pass or reward with this id, -1 if there is none. id need not be NUL-terminated. */
int season_find_pass(const struct season *season, const char *id, size_t len);
int season_find_reward(const struct season *season, const char *id, size_t len);
/* Bit per pass: the free ones. */
uint32_t season_free_passes(const struct season *season);
/* owned with everything that the owned passes include, and the free ones. */
uint32_t season_open_passes(const struct season *season, uint32_t owned);
/* The highest tier t with tier_xp_total[t] <= xp; 0 to tier_count. */
uint32_t season_tier_at(const struct season *season, uint64_t xp);
/* Overflow units that xp has earned: (xp - total of the last tier) / every, at most `times` for REPEAT; 0 for NONE. */
uint64_t season_overflow_units(const struct season *season, uint64_t xp);

/* 1-64 of A-Z a-z 0-9 . _ - : the form of player, season, pass and reward ids. */
bool id_valid(const char *id, size_t len);

#endif
