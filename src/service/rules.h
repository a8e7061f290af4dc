/*
 * The rules of the writes: what each does to a locked player, given the season and what is stored. Private to this
 * folder. transaction.c calls a rule with everything locked, and writes, fences, commits and confirms what it leaves
 * behind; a rule does no I/O but to look up rows of the locked player.
 *
 * A rule that refuses sets work->err and leaves row and changes alone. What it returns is the store's error, which ends
 * the attempt.
 */
#ifndef BP_SERVICE_RULES_H
#define BP_SERVICE_RULES_H

#include "service/turn.h"

/* One player in one season, locked, touched by one or more writes of the attempt. */
struct target {
	struct progress_row row;
	const struct season *season;
	struct cache_write write;
	bool touched; /* the row is to be written */
};

/* One write within an attempt; becomes its command's result only when the attempt has succeeded. */
struct work {
	struct write *write;
	struct target *target;
	enum err err;
	bool replayed;
	bool fresh;               /* leaves something to be written */
	bool changes;             /* an operation that makes a new revision */
	bool idle;                /* an operation that found nothing to do */
	struct grant_row grant;   /* of an XP grant */
	struct audit_entry entry; /* of an operation */
	struct purchase_row purchase;
};

struct attempt {
	struct turn *turn;
	bool looks_up; /* into ledger and audit log, before the rules */
	struct write_gate gate;
	struct work *works;
	size_t work_count;
	struct target *targets;
	size_t target_count;
	size_t fresh_count;
	struct changes changes;
	struct cache_write **writes; /* one a target */
	bool unfenced;               /* committed without a fence: everybody distrusts these players */
	bool committed;
};

/* The row or entry that a write will leave, as far as it is known before the rules. */
void work_init(struct work *work, struct write *write, struct target *target);
/* Is a write of this kind so often a replay or refused that it is looked up at the first try? */
bool write_seldom_new(const struct write *write);
/* Must a write of this kind be the only one to its player in a transaction? */
bool write_alone(const struct write *write);
/* What each write comes to, given the locked rows and, where they were looked into, ledger and log. */
enum err judge_all(struct attempt *attempt);

typedef enum err write_rule(struct attempt *attempt, struct work *work);

/* Each in the file of its subject. */
write_rule rule_xp_grant;                                                              /* grants.c */
write_rule rule_claim, rule_auto_claim;                                                /* claims.c */
write_rule rule_xp_correction, rule_tier_grant, rule_pass_grant, rule_pass_revocation; /* corrections.c */
write_rule rule_reset, rule_reset_undo;                                                /* resets.c */
write_rule rule_purchase, rule_settlement, rule_refund, rule_purchase_close;           /* purchases.c */
write_rule rule_delivery_retry;                                                        /* deliveries.c */

static inline bool
write_is_grant(const struct write *write)
{
	return write->kind == WRITE_XP_GRANT;
}

static inline struct operation *
operation_of(const struct work *work)
{
	return (struct operation *)work->write;
}

/* What several rules need. */

/* Takes what stands in a work's command or row into the arena's lists; ids are made for the turn's time. */
struct delivery_row *add_delivery(struct attempt *attempt, const struct target *target, struct str reward,
				  const char *kind, const char *item, uint64_t quantity); /* deliveries.c */
/* Overflow that has become currency and was not paid yet. */
void pay_overflow(struct attempt *attempt, struct target *target); /* deliveries.c */
/* Gives a pass; *ret_first says whether the player never had it before. Its instant tiers come with it then. */
void give_pass(struct attempt *attempt, struct target *target, uint32_t pass); /* passes.c */
/* Refuses what would take a pass while another is being bought at a price that is lower because of it. */
enum err check_no_upgrade(struct attempt *attempt, struct work *work, struct str pass); /* purchases.c */
/* Takes it away; false: it is not owned by itself. */
bool take_pass(struct attempt *attempt, struct target *target, struct str pass); /* passes.c */

#endif
