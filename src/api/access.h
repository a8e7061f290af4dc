/*
 * The access log: a line for one request in so many, for each slow one, and for each that was answered 5xx.
 * docs/logs.md has the keys. Nothing that a client has sent is in it but the ids of the request and of its trace, which
 * are checked: no path, no player, no token, no body.
 *
 * An outage must not flood the log: of what can come all at once a process says so many lines a second, and then how
 * many it has not said.
 */
#ifndef BP_API_ACCESS_H
#define BP_API_ACCESS_H

#include "api/call.h"

enum access_reason { ACCESS_SAMPLED, ACCESS_SLOW, ACCESS_UNAVAILABLE, ACCESS_FAILED, ACCESS_REASON_COUNT };

/* Of one process. */
struct access_log {
	uint64_t sample;
	uint64_t until_sample; /* counted down; where nothing is sampled, from so far that it never ends */
	int64_t slow_us;
	struct access_limit {
		int64_t since_us; /* CLOCK_BOOTTIME */
		uint64_t said;
		uint64_t unsaid;
	} limits[ACCESS_REASON_COUNT];
};

/* sample 0: none; slow_ms 0: nothing is slow. */
void access_init(struct access_log *log, int64_t sample, int64_t slow_ms);
void access_write(struct access_log *log, const struct call *call, int64_t turn_us);

/* Of each answer that is not for another lane; turn_us: since its turn began, 0 where it had none. */
static inline void
access_note(struct access_log *log, const struct call *call, int64_t turn_us)
{
	if (--log->until_sample == 0 || call->waited_us + turn_us >= log->slow_us || call->response->status >= 500)
		access_write(log, call, turn_us);
}

/* Says how many lines were left out, of each second that is over; at_end: of the last one, too. */
void access_tell(struct access_log *log, bool at_end);
/* When there is something to tell; INT64_MAX: there is not. */
int64_t access_due_boot_ms(const struct access_log *log);

#endif
