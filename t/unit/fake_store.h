/*
 * A store in memory that follows the port's contract and watches over how it is used: calls out of order, rows that are
 * saved without being locked, revisions that leave a gap, a commit that no fence stands before, are broken promises. It
 * is the database of one primary: what is not committed is gone after a rollback.
 *
 * A grant whose source is "poison" makes save() fail with ERR_INTERNAL, "stuck" with ERR_STORE_RETRY.
 */
#ifndef BP_T_UNIT_FAKE_STORE_H
#define BP_T_UNIT_FAKE_STORE_H

#include "fake_faults.h"
#include "fake_tables.h"
#include "service/ports.h"

enum { FAKE_PLAYERS_MAX = 64, FAKE_LEDGER_MAX = 2048, FAKE_TURN_MAX = 256 };

struct fake_player {
	struct str player;
	char season[SEASON_ID_MAX + 1];
	uint64_t xp;
	uint64_t revision;
	int64_t updated_at_ms;
	uint64_t audit_count;
	unsigned char audit_hash[AUDIT_HASH_SIZE];
};

/* Does a fence or a newer value stand before this revision of the player's document? */
typedef bool fake_is_fenced(void *context, uint64_t epoch, struct str player, const char *season, uint64_t revision);

/* A row of cache_distrust. */
struct fake_distrust {
	char key[SEASON_ID_MAX * 2 + 2]; /* player/season */
	struct uuid id;
	bool settled;
	int64_t since_boot_ms;
};

struct fake_store {
	struct fake_faults *faults;
	struct store_port port;
	struct write_gate gate;
	int64_t gate_changed_boot_ms;
	struct fake_distrust distrusted[FAKE_PLAYERS_MAX];
	size_t distrusted_count;
	int64_t others_reach_until_boot_ms; /* another host says that it reaches the Redis of the gate */
	const char *unreadable_season;      /* its document is broken */
	fake_is_fenced *is_fenced;          /* NULL: nobody asks */
	void *context;
	struct arena memory; /* texts of what is committed */
	struct fake_player players[FAKE_PLAYERS_MAX];
	size_t player_count;
	struct grant_row ledger[FAKE_LEDGER_MAX]; /* in the order of commit */
	size_t ledger_count;
	struct fake_tables *tables;  /* committed */
	struct fake_tables *working; /* of the transaction, from its save on */
	/* the transaction */
	bool open;
	bool saved;
	struct fake_player locked[FAKE_TURN_MAX];
	size_t locked_count;
	struct fake_player written[FAKE_TURN_MAX];
	size_t written_count;
	struct grant_row granted[FAKE_TURN_MAX];
	size_t granted_count;
	struct fake_distrust forgotten[FAKE_PLAYERS_MAX]; /* at its commit */
	size_t forgotten_count;
};

/* faults is borrowed. The gate is off and settled, in epoch 1. */
void fake_store_init(struct fake_store *store, struct fake_faults *faults);
void fake_store_release(struct fake_store *store);
/* A change of cache_control by somebody else: unsettled until settle_cache or fake_store_settle. */
void fake_store_set_gate(struct fake_store *store, uint64_t epoch, bool enabled, const char *redis_id);
void fake_store_settle(struct fake_store *store);
/* NULL: everybody may trust the cache about this player. key: player/season. */
const struct fake_distrust *fake_store_distrust(const struct fake_store *store, const char *key);
/* NULL if nothing is committed of it. */
const struct fake_player *fake_store_player(const struct fake_store *store, struct str player, const char *season);
const struct grant_row *fake_store_grant(const struct fake_store *store, struct str player, const char *season,
					 struct str key);
/* What is committed adds up: XP is the sum of the ledger, revisions are 1 to n, no key stands twice. */
void fake_store_check(struct fake_store *store);

/*
 * The codec that goes with it: every season has tiers at 100, 300 and 600 XP with a reward each on the passes "free"
 * and "premium" (100 gems; "plus", 150, includes it and gives a tier; tiers 10 each); a document is "<player> <season>
 * <revision> <xp>".
 */
extern const struct codec_port fake_codec;

#endif
