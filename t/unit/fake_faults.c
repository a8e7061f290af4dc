/* Faults and traces of the fakes: see fake_faults.h. */
#include "fake_faults.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "random_season.h"

#define BIT(fault) (1u << FAULT_##fault)

enum {
	STORE_FAULTS = BIT(RETRY) | BIT(UNAVAILABLE) | BIT(INTERNAL),
	CACHE_FAULTS = BIT(LOST) | BIT(UNHEARD) | BIT(HALF),
};

static const struct {
	const char *name;
	unsigned faults;
} calls[CALL_COUNT] = {
	[CALL_BEGIN] = {"begin", STORE_FAULTS},
	[CALL_LOCK] = {"lock", STORE_FAULTS},
	[CALL_FIND] = {"find", STORE_FAULTS},
	[CALL_SAVE] = {"save", STORE_FAULTS},
	[CALL_COMMIT] = {"commit", STORE_FAULTS | BIT(COMMITTED) | BIT(VANISHED)},
	[CALL_ROLLBACK] = {"rollback", 0},
	[CALL_LOAD] = {"load", BIT(UNAVAILABLE)},
	[CALL_DOCUMENT] = {"document", BIT(UNAVAILABLE)},
	[CALL_SWITCH_OFF] = {"switch_off", BIT(UNAVAILABLE)},
	[CALL_SETTLE] = {"settle", BIT(UNAVAILABLE)},
	[CALL_GATE] = {"gate", BIT(UNAVAILABLE)},
	[CALL_FIND_DISTRUST] = {"find_distrust", STORE_FAULTS},
	[CALL_DISTRUST] = {"distrust", BIT(UNAVAILABLE)},
	[CALL_SETTLE_DISTRUST] = {"settle_distrust", BIT(UNAVAILABLE)},
	[CALL_FORGET_DISTRUST] = {"forget_distrust", STORE_FAULTS},
	[CALL_OTHERS] = {"others", BIT(UNAVAILABLE)},
	[CALL_VIEW] = {"view", BIT(LOST)},
	[CALL_LOOKUP] = {"lookup", CACHE_FAULTS},
	[CALL_FILL] = {"fill", CACHE_FAULTS},
	[CALL_REACHES] = {"reaches", BIT(LOST)},
	[CALL_FENCE] = {"fence", CACHE_FAULTS},
	[CALL_CONFIRM] = {"confirm", CACHE_FAULTS},
};

static const char *const fault_names[FAULT_COUNT] = {"none",     "retry", "unavailable", "internal", "committed",
						     "vanished", "lost",  "unheard",     "half"};

/* The clock of programs that wrap it: only sleeping moves it. */
static int64_t boot_ms = 1000000;

int64_t __wrap_clock_boot_ms(void);
void __wrap_clock_sleep_ms(int64_t ms);

int64_t
__wrap_clock_boot_ms(void)
{
	return boot_ms;
}

void
__wrap_clock_sleep_ms(int64_t ms)
{
	boot_ms += ms;
}

void
fake_faults_init(struct fake_faults *faults)
{
	*faults = (struct fake_faults){.at = FAKE_NOWHERE, .only = CALL_COUNT};
}

void
fake_faults_restart(struct fake_faults *faults)
{
	faults->trace[0] = '\0';
	faults->trace_len = 0;
	faults->calls = 0;
}

unsigned
fake_count(const struct fake_faults *faults, enum fake_call call)
{
	unsigned count = 0;

	for (unsigned i = 0; i < faults->calls && i < FAKE_CALLS_MAX; i++)
		count += faults->sequence[i] == (unsigned char)call;
	return count;
}

bool
fake_fault_applies(enum fake_call call, enum fake_fault fault)
{
	return calls[call].faults >> fault & 1u;
}

const char *
fake_fault_name(enum fake_fault fault)
{
	return fault_names[fault];
}

static void
note(struct fake_faults *faults, const char *name)
{
	size_t length = strlen(name);

	if (faults->trace_len + length + 2 > sizeof(faults->trace))
		return;
	if (faults->trace_len)
		faults->trace[faults->trace_len++] = ' ';
	memcpy(faults->trace + faults->trace_len, name, length + 1);
	faults->trace_len += length;
}

/* Any fault that can happen to the call, or none. */
static enum fake_fault
random_fault(struct fake_faults *faults, enum fake_call call)
{
	enum fake_fault fault = (enum fake_fault)random_below(faults->random, FAULT_COUNT);

	return random_below(faults->random, faults->rarity) == 0 && fake_fault_applies(call, fault) ? fault
												    : FAULT_NONE;
}

/* The same as just before, or as one round of a loop before. */
static bool
polls(const struct fake_faults *faults, enum fake_call call, unsigned number)
{
	bool polled = call == CALL_GATE || call == CALL_FIND_DISTRUST || call == CALL_OTHERS;

	if (!polled || number >= FAKE_CALLS_MAX)
		return false;
	return (number >= 1 && faults->sequence[number - 1] == call) ||
	       (number >= 3 && faults->sequence[number - 3] == call);
}

enum fake_fault
fake_fault_of(struct fake_faults *faults, enum fake_call call)
{
	unsigned number = faults->calls++;

	if (!polls(faults, call, number))
		note(faults, calls[call].name);
	if (number < FAKE_CALLS_MAX)
		faults->sequence[number] = (unsigned char)call;
	if ((!faults->struck || faults->stays) && (number == faults->at || call == faults->only) &&
	    fake_fault_applies(call, faults->fault)) {
		faults->struck = true;
		return faults->fault;
	}
	return faults->random ? random_fault(faults, call) : FAULT_NONE;
}

void
fake_broken(struct fake_faults *faults, const char *format, ...)
{
	va_list args;

	if (faults->broken[0])
		return;
	va_start(args, format);
	vsnprintf(faults->broken, sizeof(faults->broken), format, args);
	va_end(args);
}
