/* The lease chore: see lease_chore.h. */
#include "steward/lease_chore.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/mutant.h"

void
lease_chore_init(struct lease_chore *chore, const struct conf *conf, struct uuid host, struct cache_shared *shared)
{
	*chore = (struct lease_chore){
		.conf = conf,
		.host = host,
		.shared = shared,
		.probe = probe_new(conf, &host),
		.calm_ms = CALM_FIRST_MS,
		.reported = (enum breaker_state)shared->breaker.state,
	};
	/* What happened in the life of another steward was counted by it. */
	memcpy(chore->entered, shared->breaker.entered, sizeof(chore->entered));
	for (unsigned i = 0; i < BREAKER_STATE_COUNT; i++)
		chore->spent_ms[i] = breaker_spent_ms(&shared->breaker, (enum breaker_state)i, clock_boot_ms());
}

void
lease_chore_release(struct lease_chore *chore)
{
	probe_free(chore->probe);
}

/* Remembers since when something is so. */
static void
note_since(int64_t *since_ms, bool so, int64_t now_ms)
{
	if (!so)
		*since_ms = 0;
	else if (*since_ms == 0)
		*since_ms = now_ms;
}

static bool
names_all(const struct store_control *control)
{
	return control->distrusted_count <= DISTRUSTED_MAX;
}

static void
give(struct lease_chore *chore, struct lease_content *content, const struct store_control *control)
{
	uint64_t hashes[LEASE_DISTRUSTED_MAX];

	_Static_assert((int)LEASE_DISTRUSTED_MAX >= (int)DISTRUSTED_MAX, "the lease has room for all that are named");
	for (uint32_t i = 0; i < control->distrusted_count; i++)
		hashes[i] = distrusted_hash(str_from(control->distrusted[i].player),
					    str_from(control->distrusted[i].season));
	lease_give(&chore->shared->lease, content, hashes, control->distrusted_count);
	chore->last = *content;
}

/*
 * The database cannot be asked: where the configuration says so, hits are served on, marked as unconfirmed, as long as
 * it is the same Redis and the cache was not known to be off.
 */
static void
go_on_without_store(struct lease_chore *chore)
{
	struct lease_content content = chore->last;

	if (content.epoch == 0 || strcmp(chore->conf->cache.without_store, "serve") != 0 ||
	    strcmp(probe_redis_id(chore->probe), content.redis_id) != 0)
		return;
	content.unconfirmed = true;
	content.until_boot_ms = clock_boot_ms() + UNCONFIRMED_MS;
	lease_prolong(&chore->shared->lease, &content);
	chore->last = content;
}

/* Every lease given before the last change must be dead before anybody relies on the change. */
static void
settle(struct lease_chore *chore, struct store *store, uint64_t change, int64_t now_ms)
{
	if (chore->unsettled_change != change) {
		chore->unsettled_change = change;
		chore->unsettled_since_ms = now_ms;
	} else if (now_ms - chore->unsettled_since_ms >= LEASE_DEAD_MS) {
		store_settle(store, change);
	}
}

static void
begin_epoch(struct lease_chore *chore, struct store *store, const struct write_gate *gate, const char *why)
{
	if (store_new_epoch(store, gate, probe_redis_id(chore->probe)) != ERR_OK)
		return;
	chore->epoch_since_ms = clock_boot_ms();
	metrics_add(METRIC_CACHE_EPOCHS, 1);
	log_info("a new cache epoch after %llu: %s", (unsigned long long)gate->epoch, why);
}

/* An epoch that somebody ended soon makes the next one wait longer, so that a half-broken Redis does not cost all
 * writes. */
static void
note_off(struct lease_chore *chore, int64_t now_ms)
{
	bool news = chore->off_since_ms == 0;

	note_since(&chore->off_since_ms, true, now_ms);
	if (!news || chore->epoch_since_ms == 0)
		return;
	if (now_ms - chore->epoch_since_ms > SHORT_EPOCH_MS)
		chore->calm_ms = CALM_FIRST_MS;
	else if (chore->calm_ms < CALM_MAX_MS)
		chore->calm_ms *= 2;
}

static bool
calm(const struct lease_chore *chore, int64_t now_ms)
{
	int64_t since_ms = chore->well_since_ms > chore->off_since_ms ? chore->well_since_ms : chore->off_since_ms;

	return chore->well_since_ms != 0 && now_ms - since_ms >= chore->calm_ms;
}

/* Does another host go on with the Redis of this epoch? If nobody can say, nothing is begun. */
static bool
others_go_on(struct lease_chore *chore, struct store *store, const struct write_gate *gate)
{
	const struct store_port *port = store_port(store);
	bool reach = true;

	return port->others_reach(port->self, &chore->host, gate->redis_id, &reach) != ERR_OK || reach;
}

/* The cache is on, and Redis well. Gives the lease, or begins an epoch where the old one cannot be trusted. */
static bool
give_or_renew(struct lease_chore *chore, struct store *store, const struct store_control *control, int64_t asked_at_ms)
{
	const struct write_gate *gate = &control->gate;
	struct lease_content content = {.epoch = gate->epoch, .until_boot_ms = asked_at_ms + LEASE_MS};

	if (strcmp(gate->redis_id, probe_redis_id(chore->probe)) != 0) {
		if (!others_go_on(chore, store, gate))
			begin_epoch(chore, store, gate, "Redis is another one, or was restarted");
		return false;
	}
	if (!gate->same_database) {
		begin_epoch(chore, store, gate, "the database is another one, or was restarted");
		return false;
	}
	if (!names_all(control))
		return false;
	memcpy(content.redis_id, gate->redis_id, sizeof(content.redis_id));
	give(chore, &content, control);
	return true;
}

static bool
run(struct lease_chore *chore, struct store *store, const struct store_control *control, int64_t asked_at_ms,
    int64_t now_ms)
{
	const struct write_gate *gate = &control->gate;

	if (gate->enabled)
		chore->off_since_ms = 0;
	else
		note_off(chore, now_ms);
	if (gate->settled)
		chore->unsettled_change = 0; /* a restored database may count to the same number again */
	if (mutant(MUTANT_EPOCH_AT_ONCE) && !gate->enabled && chore->well_since_ms != 0)
		begin_epoch(chore, store, gate, "planted: old leases may be alive");
	else if (!gate->settled)
		settle(chore, store, gate->change, now_ms);
	else if (gate->enabled && chore->well_since_ms != 0)
		return give_or_renew(chore, store, control, asked_at_ms);
	else if (!gate->enabled && calm(chore, now_ms))
		begin_epoch(chore, store, gate, "the cache was off, and Redis is well");
	return false;
}

/* The breaker's state, transitions and time in each state as metrics; a line in the log where it has changed. */
static void
report_breaker(struct lease_chore *chore, int64_t now_ms)
{
	const struct breaker *breaker = &chore->shared->breaker;
	enum breaker_state state = (enum breaker_state)__atomic_load_n(&breaker->state, __ATOMIC_RELAXED);

	_Static_assert((int)METRIC_BREAKER_COUNT == BREAKER_STATE_COUNT && (int)METRIC_BREAKER_OPEN == BREAKER_OPEN,
		       "the label's values are the states");
	for (unsigned i = 0; i < BREAKER_STATE_COUNT; i++) {
		uint64_t entered = __atomic_load_n(&breaker->entered[i], __ATOMIC_RELAXED);
		int64_t spent_ms = breaker_spent_ms(breaker, (enum breaker_state)i, now_ms);

		metrics_add_at(METRIC_BREAKER_ENTERED, i, 0, entered - chore->entered[i]);
		chore->entered[i] = entered;
		if (spent_ms <= chore->spent_ms[i])
			continue;
		metrics_add_at(METRIC_BREAKER_SPENT, i, 0, (uint64_t)(spent_ms - chore->spent_ms[i]) * 1000);
		chore->spent_ms[i] = spent_ms;
	}
	metrics_set(METRIC_BREAKER_STATE, (uint64_t)state);
	if (state == chore->reported)
		return;
	chore->reported = state;
	log_warning("the breaker of Redis is %s", breaker_state_name(state));
}

/* Well is a Redis that answers as it must and that everybody may ask. */
static bool
is_well(struct lease_chore *chore, int64_t now_ms)
{
	struct breaker *breaker = &chore->shared->breaker;
	bool good = false;

	if (breaker_probe_due(breaker, now_ms)) {
		good = probe_redis(chore->probe);
		breaker_probed(breaker, good, clock_boot_ms());
	}
	report_breaker(chore, now_ms);
	good = good && breaker_allows(breaker);
	reached_say(&chore->shared->reached, good ? probe_redis_id(chore->probe) : "");
	return good;
}

void
lease_chore_run(struct lease_chore *chore, struct store *store, const struct store_control *control,
		int64_t asked_at_boot_ms)
{
	int64_t now_ms = clock_boot_ms();

	metrics_set(METRIC_STORE_UP, control != NULL);
	note_since(&chore->well_since_ms, is_well(chore, now_ms), now_ms);
	if (!control) {
		if (chore->well_since_ms != 0)
			go_on_without_store(chore);
		return;
	}
	metrics_set(METRIC_CACHE_DISTRUSTED, control->distrusted_count);
	__atomic_store_n(&chore->shared->distrusted_count, control->distrusted_count, __ATOMIC_RELAXED);
	/* What the database has said to be over must not be gone on with when it falls silent. */
	if (!run(chore, store, control, asked_at_boot_ms, now_ms))
		chore->last.epoch = 0;
}
