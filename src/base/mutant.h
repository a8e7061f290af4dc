/*
 * Mutants: faults planted in the cache protocol, so that whoever checks it can show that he finds them. They exist only
 * in builds configured with --enable-mutants; in all others mutant() is a constant, and the compiler drops what hangs
 * on it. The one in force is named by BATTLEPASS_MUTANT in the environment of the process.
 */
#ifndef BP_BASE_MUTANT_H
#define BP_BASE_MUTANT_H

#include <stdbool.h>

#define MUTANT_TABLE(X)                                                                                                \
	X(NO_FENCE, "no_fence")                       /* COMMIT without a fence */                                     \
	X(NO_CONFIRM, "no_confirm")                   /* answer without a confirmation */                              \
	X(FILL_ABSENT, "fill_absent")                 /* fill a key that is gone */                                    \
	X(FILL_ANY_FENCE, "fill_any_fence")           /* fill over another fence than the one seen */                  \
	X(NO_WAIT, "no_wait")                         /* do not wait until old leases are dead */                      \
	X(EPOCH_AT_ONCE, "epoch_at_once")             /* a new epoch counts as settled from its first moment */        \
	X(RELAY_BLIND, "relay_blind")                 /* the relay takes rows away without a fence */                  \
	X(BREAKER_SKIPS_FENCE, "breaker_skips_fence") /* an open breaker lets a write go on unfenced */                \
	X(REUSE_CONNECTION, "reuse_connection")       /* go on with a connection after a time-out */

enum mutant {
#define X(name, text) MUTANT_##name,
	MUTANT_TABLE(X)
#undef X
		MUTANT_COUNT
};

#ifdef ENABLE_MUTANTS
bool mutant(enum mutant which);
#else
static inline bool
mutant(enum mutant which)
{
	(void)which;
	return false;
}
#endif

#endif
