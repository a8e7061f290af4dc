/*
 * The courier: one process a host that does what no request waits for. It finishes purchases, sends deliveries, claims
 * what is left when a season's claims have closed, warms and audits the cache, and says in gauges what waits. Couriers
 * of several hosts share the work: each takes rows for a time, by the database's clock.
 *
 * It never waits for one thing while another could go on, but for the database.
 */
#ifndef BP_COURIER_COURIER_H
#define BP_COURIER_COURIER_H

#include <signal.h>

#include "base/conf.h"
#include "courier/errand.h"

/*
 * Runs until *stop; signals are let in only while it sleeps. All are borrowed, and are this process's own; without an
 * economy in the service's rooms, purchases and deliveries wait. Returns the exit status.
 */
int courier_run(const struct conf *conf, struct service *service, struct store *store, const struct courier_host *host,
		const volatile sig_atomic_t *stop, const sigset_t *wait_mask);

#endif
