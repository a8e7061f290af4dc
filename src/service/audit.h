/*
 * The audit log's chain: the entries of a player in a season, each with a SHA-256 over the hash before it and all that
 * it says. The head (number and hash of the last one) stands in the player's progress row, so that neither a change nor
 * a missing end goes unseen. What operators do to the whole service is a chain of its own, of no player and season (both
 * are empty), whose head stands in the row of the flags; it comes before all others.
 */
#ifndef BP_SERVICE_AUDIT_H
#define BP_SERVICE_AUDIT_H

#include "service/ports.h"

/* The hash of an entry that follows `before` (AUDIT_HASH_SIZE bytes; zeros for the first). Its own hash is not read. */
void audit_hash(const unsigned char before[AUDIT_HASH_SIZE], const struct audit_entry *entry,
		unsigned char hash[AUDIT_HASH_SIZE]);

/* What a check of chains has found so far. */
struct audit_check {
	uint64_t checked;         /* entries that are as they must be */
	struct chain_position at; /* the last entry looked at */
	bool more;                /* there are entries behind it; where it is broken: there may be */
	bool broken;              /* `at` is the first entry that is wrong, or should be there */
	char detail[128];         /* what is wrong with it */
};

/*
 * Checks up to about `limit` entries behind check->at (zeroed: from the first) of one player or season where they are
 * not NULL; whole chains, so it may be more. Goes on where the last call ended: behind the chain of check->at, which
 * may have been broken; `checked` counts on.
 *
 * Chains may be written to meanwhile: one that does not fit is read again by itself, entries first and then its head,
 * before it is called broken. ERR_STORE_UNAVAILABLE; ERR_INTERNAL: an id that cannot be; *check is untouched then.
 */
enum err audit_check(const struct records_port *records, const char *player, const char *season, uint64_t limit,
		     struct audit_check *check);

#endif
