/* The courier: see courier.h. */
#include "courier/courier.h"

#include <poll.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/metrics.h"
#include "courier/audit_chore.h"
#include "courier/auto_claim_chore.h"
#include "courier/delivery_chore.h"
#include "courier/host_chore.h"
#include "courier/purchase_chore.h"
#include "courier/vitals_chore.h"
#include "courier/warm_chore.h"

enum {
	BACKLOG_MS = 2000,
	DRAIN_MS = 2000, /* how long calls under way are waited for when the process is to end */
};

struct chores {
	struct courier courier;
	struct purchase_chore purchases;
	struct delivery_chore deliveries;
	struct auto_claim_chore auto_claims;
	struct host_chore host;
	struct warm_chore warming;
	struct audit_chore audit;
	struct vitals_chore vitals;
	int64_t backlog_due_boot_ms;
};

static void
chores_init(struct chores *chores, const struct conf *conf, struct service *service, struct store *store,
	    const struct courier_host *host)
{
	chores->courier = (struct courier){
		.conf = conf,
		.service = service,
		.store = store,
		.host = *host,
		.economy = service->rooms.economy,
		.owner = uuid_new(clock_unix_ms()),
	};
	arena_init(&chores->courier.arena);
	purchase_chore_init(&chores->purchases);
	delivery_chore_init(&chores->deliveries);
	auto_claim_chore_init(&chores->auto_claims);
	host_chore_init(&chores->host, host->cache);
	warm_chore_init(&chores->warming);
	audit_chore_init(&chores->audit);
	vitals_chore_init(&chores->vitals, conf);
	chores->backlog_due_boot_ms = 0;
}

static void
chores_release(struct chores *chores)
{
	purchase_chore_release(&chores->purchases, &chores->courier);
	delivery_chore_release(&chores->deliveries, &chores->courier);
	vitals_chore_release(&chores->vitals);
	arena_release(&chores->courier.arena);
}

/* What waits, for whoever watches: the values stay as they were while the database cannot be asked. */
static void
tell_backlog(struct chores *chores)
{
	struct store_backlog backlog;

	if (chores->courier.stopping || chores->backlog_due_boot_ms > clock_boot_ms())
		return;
	chores->backlog_due_boot_ms = clock_boot_ms() + BACKLOG_MS;
	if (store_backlog(chores->courier.store, &backlog) != ERR_OK)
		return;
	metrics_set(METRIC_PURCHASES_OPEN, backlog.purchases_open);
	metrics_set(METRIC_PURCHASES_STUCK, backlog.purchases_stuck);
	metrics_set(METRIC_DELIVERIES_PENDING, backlog.deliveries_pending);
	metrics_set(METRIC_DELIVERIES_FAILED, backlog.deliveries_failed);
	metrics_set(METRIC_DELIVERIES_OLDEST, (uint64_t)(backlog.oldest_pending_ms / 1000));
}

static void
drive(struct chores *chores)
{
	const struct economy_port *economy = chores->courier.economy;

	purchase_chore_drop_late(&chores->purchases, &chores->courier);
	delivery_chore_drop_late(&chores->deliveries, &chores->courier);
	economy->drive(economy->self);
}

static void
run_once(struct chores *chores)
{
	struct courier *courier = &chores->courier;

	if (courier->economy) {
		drive(chores);
		purchase_chore_run(&chores->purchases, courier);
		delivery_chore_run(&chores->deliveries, courier);
	}
	host_chore_run(&chores->host, courier);
	service_look_ahead(courier->service);
	if (!courier->stopping) {
		auto_claim_chore_run(&chores->auto_claims, courier);
		warm_chore_run(&chores->warming, courier);
		audit_chore_run(&chores->audit, courier);
		vitals_chore_run(&chores->vitals);
	}
	tell_backlog(chores);
}

static int64_t
sooner(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int64_t
wait_ms(const struct chores *chores)
{
	const struct courier *courier = &chores->courier;
	int64_t now_ms = clock_boot_ms();
	int64_t due_ms =
		sooner(chores->backlog_due_boot_ms, auto_claim_chore_due_boot_ms(&chores->auto_claims, courier));

	due_ms = sooner(due_ms, host_chore_due_boot_ms(&chores->host, courier));
	due_ms = sooner(due_ms, warm_chore_due_boot_ms(&chores->warming, courier));
	due_ms = sooner(due_ms, audit_chore_due_boot_ms(&chores->audit, courier));
	due_ms = sooner(due_ms, vitals_chore_due_boot_ms(&chores->vitals));

	int drive_in_ms = courier->economy ? courier->economy->timeout_ms(courier->economy->self) : -1;

	due_ms = sooner(due_ms, service_look_ahead_due_boot_ms(courier->service));
	if (courier->economy) {
		due_ms = sooner(due_ms, purchase_chore_due_boot_ms(&chores->purchases, courier));
		due_ms = sooner(due_ms, delivery_chore_due_boot_ms(&chores->deliveries, courier));
	}
	if (drive_in_ms >= 0)
		due_ms = sooner(due_ms, now_ms + drive_in_ms);
	return due_ms > now_ms ? due_ms - now_ms : 0;
}

static void
rest(const struct chores *chores, int64_t most_ms, const sigset_t *wait_mask)
{
	const struct economy_port *economy = chores->courier.economy;
	int64_t ms = sooner(wait_ms(chores), most_ms);
	struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
	struct pollfd watched = {.fd = economy ? economy->fd(economy->self) : -1, .events = POLLIN};

	ppoll(&watched, 1, &left, wait_mask);
}

/* Nothing new is taken; a call that is answered in this time leaves nothing for others to do again. */
static void
drain(struct chores *chores, const sigset_t *wait_mask)
{
	int64_t until_ms = clock_boot_ms() + DRAIN_MS;
	int64_t now_ms;

	chores->courier.stopping = true;
	chores->backlog_due_boot_ms = INT64_MAX;
	while ((now_ms = clock_boot_ms()) < until_ms &&
	       !(purchase_chore_is_idle(&chores->purchases) && delivery_chore_is_idle(&chores->deliveries))) {
		run_once(chores);
		rest(chores, until_ms - now_ms, wait_mask);
	}
}

int
courier_run(const struct conf *conf, struct service *service, struct store *store, const struct courier_host *host,
	    const volatile sig_atomic_t *stop, const sigset_t *wait_mask)
{
	struct chores *chores = calloc(1, sizeof(*chores));

	if (!chores)
		abort();
	chores_init(chores, conf, service, store, host);
	while (!*stop) {
		run_once(chores);
		rest(chores, BACKLOG_MS, wait_mask);
	}
	drain(chores, wait_mask);
	chores_release(chores);
	free(chores);
	return EXIT_SUCCESS;
}
