/*
 * One transaction that several writes share, tried once:
 *
 *   lock the players' rows -> rules -> save -> FENCE -> COMMIT -> CONFIRM -> results
 *
 * Nearly every XP grant and claim is new, so the first try does not look into ledger and audit log: saving fails where
 * a key is there already. Then, and where a rule would refuse a write (which may have been made before), the
 * transaction is tried again with a look first: what is there is a replay.
 *
 * Never a commit without a fence, never an answer without a confirmation, unless the cache is off and settled, or the
 * players are distrusted by everybody. No lease is asked for: cache_control is held under a share lock until COMMIT, so
 * the epoch fenced in is the one that readers trust, and the Redis written to is known by its identity.
 *
 * Private to this folder; writes.c tries again, waits, and takes apart.
 */
#ifndef BP_SERVICE_TRANSACTION_H
#define BP_SERVICE_TRANSACTION_H

#include "service/rules.h"
#include "service/use_cases.h"

/* Writes come sorted, so one player's stand together. */
enum err transaction_init(struct attempt *attempt, struct turn *turn, struct write *const writes[], size_t count);
/*
 * *attempt stays for who has to recover. ERR_CACHE_OFF_PENDING: old leases may be alive, wait, and then begin again, or
 * where it is committed, publish it; ERR_CACHE_UNAVAILABLE: Redis cannot be fenced; ERR_CACHE_AHEAD: what it holds is
 * of another past than the database's.
 */
enum err transaction_try(struct attempt *attempt, struct lease_wait *wait);
/* What became of each write, into the write, and into the metrics. */
void transaction_publish(const struct attempt *attempt);

#endif
