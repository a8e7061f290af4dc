/*
 * What the fakes of the service's ports share: the order of the calls made, faults put into any one of them, the first
 * promise that was broken, and a clock that only sleeping moves (programs that link it with -Wl,--wrap of clock_boot_ms
 * and clock_sleep_ms: waiting out a lease then costs no time).
 */
#ifndef BP_T_UNIT_FAKE_FAULTS_H
#define BP_T_UNIT_FAKE_FAULTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum fake_call {
	CALL_BEGIN,
	CALL_LOCK,
	CALL_FIND,
	CALL_SAVE,
	CALL_COMMIT,
	CALL_ROLLBACK,
	CALL_LOAD,
	CALL_DOCUMENT,
	CALL_SWITCH_OFF,
	CALL_SETTLE,
	CALL_GATE,
	CALL_FIND_DISTRUST,
	CALL_DISTRUST,
	CALL_SETTLE_DISTRUST,
	CALL_FORGET_DISTRUST,
	CALL_OTHERS,
	CALL_VIEW,
	CALL_LOOKUP,
	CALL_FILL,
	CALL_REACHES,
	CALL_FENCE,
	CALL_CONFIRM,
	CALL_COUNT
};

enum fake_fault {
	FAULT_NONE,
	FAULT_RETRY,       /* of the store: rolled back, ERR_STORE_RETRY */
	FAULT_UNAVAILABLE, /* of the store: ERR_STORE_UNAVAILABLE */
	FAULT_INTERNAL,    /* of the store: ERR_INTERNAL */
	FAULT_COMMITTED,   /* of commit: done, but ERR_STORE_UNKNOWN */
	FAULT_VANISHED,    /* of commit: rolled back, and ERR_STORE_UNKNOWN */
	FAULT_LOST,        /* of the cache: not executed, and it says so */
	FAULT_UNHEARD,     /* of the cache: executed, but the answer is lost */
	FAULT_HALF,        /* of the cache: the first half executed, the rest and the answer are lost */
	FAULT_COUNT
};

enum { FAKE_TRACE_SIZE = 2048, FAKE_CALLS_MAX = 4096, FAKE_NOWHERE = 1 << 30 };

struct fake_faults {
	char trace[FAKE_TRACE_SIZE]; /* names of the calls, a space between; polling is one call */
	size_t trace_len;
	unsigned calls;                         /* made so far */
	unsigned char sequence[FAKE_CALLS_MAX]; /* enum fake_call of each */
	unsigned at;                            /* the call with this number gets `fault` */
	unsigned only;                          /* or only the first of this fake_call, if not CALL_COUNT */
	enum fake_fault fault;
	bool stays;       /* every such call from then on gets it */
	bool struck;      /* it was applied */
	uint64_t *random; /* not NULL: besides, one call in `rarity` gets any fault */
	unsigned rarity;
	char broken[256]; /* the first promise broken; empty: none */
};

void fake_faults_init(struct fake_faults *faults);
/* Forgets the calls made; what was broken stays. */
void fake_faults_restart(struct fake_faults *faults);
/* Counts a call and says which fault it gets: one that can happen to it. */
enum fake_fault fake_fault_of(struct fake_faults *faults, enum fake_call call);
bool fake_fault_applies(enum fake_call call, enum fake_fault fault);
void fake_broken(struct fake_faults *faults, const char *format, ...) __attribute__((format(printf, 2, 3)));
const char *fake_fault_name(enum fake_fault fault);
/* How often this call was made since the last restart. */
unsigned fake_count(const struct fake_faults *faults, enum fake_call call);

#endif
