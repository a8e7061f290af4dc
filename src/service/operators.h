/*
 * What operators do to the whole service, by the API or by battlepassctl: set flags, flush the cache, ask for warming.
 * Each leaves an entry in the operators' own chain of the audit log (audit.h), in the same transaction.
 */
#ifndef BP_SERVICE_OPERATORS_H
#define BP_SERVICE_OPERATORS_H

#include "service/ports.h"

enum operator_action { OPERATOR_SET_FLAGS, OPERATOR_FLUSH, OPERATOR_WARM, OPERATOR_ACTION_COUNT };

struct operator_command {
	enum operator_action action;
	struct author author;
	struct str idempotency_key;
	unsigned char request_hash[16]; /* of what is asked: another hash under the same key is a reuse */
	bool validate_only;             /* says what would be; nothing is kept */
	/* what is asked */
	bool named[FLAG_COUNT]; /* SET_FLAGS: these, the others stay */
	int64_t values[FLAG_COUNT];
	struct str season; /* WARM; empty: all that are active */
	uint64_t players;  /* WARM: how many at most */
	/* results */
	struct audit_entry entry;
	bool replayed; /* the entry is that of an earlier call */
};

/* The entry lives in the arena. ERR_IDEMPOTENCY_KEY_REUSED, ERR_STORE_UNAVAILABLE, ERR_INTERNAL. */
enum err operator_run(const struct operators_port *port, struct operator_command *command, struct arena *arena,
		      int64_t now_ms);

/* What Redis holds of a player beside what the database has: every season that he has a row in. */
struct cache_of_player {
	struct write_gate gate; /* whose epoch's keys were looked at */
	bool reached;           /* Redis answered; else nothing is known of it */
	size_t count;
	struct season_standing *standings;
	struct cache_content *contents; /* in the same order */
};

/* All of it lives in the arena. ERR_STORE_UNAVAILABLE. */
enum err cache_of_player(const struct operators_port *operators, const struct records_port *records,
			 const struct cache_port *cache, struct str player, struct arena *arena,
			 struct cache_of_player *ret_view);

#endif
