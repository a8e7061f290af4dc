/*
 * Replay: do a player's ledgers of a season give exactly what is stored? Every revision must stand in one ledger row,
 * an XP grant or an audit entry; one after the other they must lead from nothing to the XP, passes and claims that are
 * there now, and each claim must have its delivery. Only reads, and only what the hashes of the audit log (audit.h) do
 * not say.
 */
#ifndef BP_SERVICE_REPLAY_H
#define BP_SERVICE_REPLAY_H

#include "service/ports.h"

/* A player's state, as an entry's before and after have it. */
struct replay_state {
	uint64_t revision;
	uint64_t xp;
	uint64_t claim_count;
	struct str *passes; /* that are active */
	size_t pass_count;
};

/* A reward that an entry says was claimed by it. */
struct replay_claim {
	struct str reward;
	struct uuid delivery;
};

/* How to read what codec_port wrote into entries; false: it is not what it should be. Results live in the arena. */
struct replay_reader {
	bool (*state)(struct str text, struct arena *arena, struct replay_state *ret_state);
	/* Of a claim: those of its results that say "claimed". */
	bool (*claims)(struct str result, struct arena *arena, struct replay_claim **ret_claims, size_t *ret_count);
	/* Of a reset or its undoing: which reset, and whether it forgot the claims. */
	bool (*reset)(struct str result, struct uuid *ret_reset, bool *ret_forget);
};

struct replay {
	const struct store_port *store;
	const struct records_port *records;
	const struct replay_reader *reader;
	/* Told of every fault. */
	void (*say)(void *self, struct str player, const char *season, const char *fault);
	void *self;
	uint64_t faults; /* how many there were so far */
};

/*
 * Replays one player in one season. A player may be written to meanwhile: what is stored is read as of one revision,
 * and the ledgers are followed up to it. ERR_STORE_UNAVAILABLE; ERR_INTERNAL: something in the store cannot be read;
 * ERR_OVERLOADED: it was written to so often that no moment could be had.
 */
enum err replay_player(struct replay *replay, struct str player, const char *season);

#endif
