/* A store in memory: see fake_store.h. */
#include "fake_store.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "service/audit.h"

static bool
is_of(const struct fake_player *player, struct str name, const char *season)
{
	return str_equal(player->player, name) && strcmp(player->season, season) == 0;
}

static struct fake_player *
find_in(struct fake_player *players, size_t count, struct str name, const char *season)
{
	for (size_t i = 0; i < count; i++)
		if (is_of(&players[i], name, season))
			return &players[i];
	return NULL;
}

const struct fake_player *
fake_store_player(const struct fake_store *store, struct str player, const char *season)
{
	return find_in((struct fake_player *)store->players, store->player_count, player, season);
}

const struct grant_row *
fake_store_grant(const struct fake_store *store, struct str player, const char *season, struct str key)
{
	for (size_t i = 0; i < store->ledger_count; i++) {
		const struct grant_row *row = &store->ledger[i];

		if (str_equal(row->player, player) && strcmp(row->season, season) == 0 &&
		    str_equal(row->idempotency_key, key))
			return row;
	}
	return NULL;
}

static void
end(struct fake_store *store)
{
	store->open = store->saved = false;
	store->locked_count = store->written_count = store->granted_count = store->forgotten_count = 0;
}

/* The error that a fault comes to; the transaction is rolled back with it. */
static enum err
fail(struct fake_store *store, enum fake_fault fault)
{
	end(store);
	switch (fault) {
	case FAULT_UNAVAILABLE:
		return ERR_STORE_UNAVAILABLE;
	case FAULT_INTERNAL:
		return ERR_INTERNAL;
	case FAULT_COMMITTED:
	case FAULT_VANISHED:
		return ERR_STORE_UNKNOWN;
	default:
		return ERR_STORE_RETRY;
	}
}

/* Every call within a transaction comes through here. */
static enum err
within(struct fake_store *store, enum fake_call call, const char *name)
{
	enum fake_fault fault = fake_fault_of(store->faults, call);

	if (!store->open)
		fake_broken(store->faults, "%s outside a transaction", name);
	return fault == FAULT_NONE ? ERR_OK : fail(store, fault);
}

static enum err
begin(void *self, struct write_gate *ret_gate)
{
	struct fake_store *store = self;
	enum fake_fault fault = fake_fault_of(store->faults, CALL_BEGIN);

	if (store->open)
		fake_broken(store->faults, "begin within a transaction");
	if (fault != FAULT_NONE)
		return fail(store, fault);
	store->open = true;
	*ret_gate = store->gate;
	return ERR_OK;
}

static void
take(const struct fake_store *store, const struct fake_player *player, struct progress_row *row, struct arena *arena)
{
	*row = (struct progress_row){.player = row->player, .season = row->season};
	if (!player)
		return;
	fake_tables_take(store->tables, row, arena);
	row->audit_count = player->audit_count;
	memcpy(row->audit_hash, player->audit_hash, sizeof(row->audit_hash));
	row->exists = true;
	row->xp = player->xp;
	row->revision = player->revision;
	row->updated_at_ms = player->updated_at_ms;
}

static struct fake_player
new_player(struct str name, const char *season)
{
	struct fake_player player = {.player = name};

	snprintf(player.season, sizeof(player.season), "%s", season);
	return player;
}

static enum err
lock(void *self, struct progress_row *const rows[], size_t count, struct arena *arena)
{
	struct fake_store *store = self;
	enum err err = within(store, CALL_LOCK, "lock");

	for (size_t i = 0; i < count && err == ERR_OK; i++) {
		const struct fake_player *known = fake_store_player(store, rows[i]->player, rows[i]->season->id);
		const struct fake_player *last = i ? &store->locked[i - 1] : NULL;
		int order = last ? strcmp(last->season, rows[i]->season->id) : -1;

		if (order > 0 || (order == 0 && str_compare(last->player, rows[i]->player) >= 0))
			fake_broken(store->faults, "rows are not locked in order");
		take(store, known, rows[i], arena);
		store->locked[i] = known ? *known : new_player(rows[i]->player, rows[i]->season->id);
		store->locked_count = i + 1;
		rows[i]->exists = true;
	}
	return err;
}

static enum err
find_grants(void *self, struct grant_row *const grants[], size_t count, bool found[], struct arena *arena)
{
	struct fake_store *store = self;
	enum err err = within(store, CALL_FIND, "find_grants");

	(void)arena;
	for (size_t i = 0; i < count && err == ERR_OK; i++) {
		const struct grant_row *known =
			fake_store_grant(store, grants[i]->player, grants[i]->season, grants[i]->idempotency_key);

		if (!find_in(store->locked, store->locked_count, grants[i]->player, grants[i]->season))
			fake_broken(store->faults, "a grant is looked for before its player is locked");
		found[i] = known != NULL;
		if (known)
			*grants[i] = *known;
	}
	return err;
}

static enum err
find_entries(void *self, struct audit_entry *const entries[], size_t count, bool found[], struct arena *arena)
{
	struct fake_store *store = self;
	enum err err = within(store, CALL_FIND, "find_entries");

	(void)arena;
	for (size_t i = 0; i < count && err == ERR_OK; i++) {
		const struct audit_entry *known = fake_tables_entry(store->tables, entries[i]);

		found[i] = known != NULL;
		if (known)
			*entries[i] = *known;
	}
	return err;
}

static enum err
take_purchase(const struct purchase_row *known, struct purchase_row *ret_purchase)
{
	if (!known)
		return ERR_PURCHASE_NOT_FOUND;
	*ret_purchase = *known;
	return ERR_OK;
}

static enum err
find_purchase(void *self, struct str player, const char *season, const struct uuid *id, struct arena *arena,
	      struct purchase_row *ret_purchase)
{
	struct fake_store *store = self;
	enum err err = within(store, CALL_FIND, "find_purchase");

	(void)arena;
	return err == ERR_OK ? take_purchase(fake_tables_purchase(store->tables, player, season, id), ret_purchase)
			     : err;
}

static enum err
live_purchase(void *self, struct str player, const char *season, struct str pass, struct arena *arena,
	      struct purchase_row *ret_purchase)
{
	struct fake_store *store = self;
	enum err err = within(store, CALL_FIND, "live_purchase");

	(void)arena;
	return err == ERR_OK ? take_purchase(fake_tables_live(store->tables, player, season, pass), ret_purchase) : err;
}

static enum err
release_purchases(void *self, const struct purchase_row *const purchases[], size_t count)
{
	struct fake_store *store = self;

	if (store->open)
		fake_broken(store->faults, "purchases are released within a transaction");
	for (size_t i = 0; i < count; i++) {
		struct purchase_row *known = (struct purchase_row *)fake_tables_purchase(
			store->tables, purchases[i]->player, purchases[i]->season, &purchases[i]->id);

		if (known)
			known->due_in_ms = 0;
	}
	return ERR_OK;
}

static enum err
find_reset(void *self, struct str player, const char *season, const struct uuid *id, struct arena *arena,
	   struct reset_row *ret_reset)
{
	struct fake_store *store = self;
	enum err err = within(store, CALL_FIND, "find_reset");

	if (err != ERR_OK)
		return err;
	return fake_tables_reset(store->tables, player, season, id, arena, ret_reset) ? ERR_OK : ERR_RESET_NOT_FOUND;
}

static void
check_new_grant(struct fake_store *store, const struct grant_row *grant)
{
	const struct fake_player *locked = find_in(store->locked, store->locked_count, grant->player, grant->season);
	uint64_t revision = locked ? locked->revision : 0;

	for (size_t i = 0; i < store->granted_count; i++) {
		const struct grant_row *each = &store->granted[i];

		if (!str_equal(each->player, grant->player) || strcmp(each->season, grant->season) != 0)
			continue;
		revision++;
		if (str_equal(each->idempotency_key, grant->idempotency_key))
			fake_broken(store->faults, "one key twice in one save");
	}
	if (!locked)
		fake_broken(store->faults, "a grant is saved for a player who is not locked");
	if (grant->revision != revision + 1)
		fake_broken(store->faults, "revision %llu is saved after %llu", (unsigned long long)grant->revision,
			    (unsigned long long)revision);
}

static bool
take_written(struct fake_store *store, const struct progress_row *row)
{
	struct fake_player *written = &store->written[store->written_count++];

	if (!find_in(store->locked, store->locked_count, row->player, row->season->id))
		return false;
	*written = new_player(row->player, row->season->id);
	written->xp = row->xp;
	written->revision = row->revision;
	written->updated_at_ms = row->updated_at_ms;
	written->audit_count = row->audit_count;
	memcpy(written->audit_hash, row->audit_hash, sizeof(row->audit_hash));
	return true;
}

static enum err
save(void *self, const struct write_set *set)
{
	struct progress_row *const *rows = set->rows;
	const struct grant_row *const *grants = set->grants;
	size_t row_count = set->row_count;
	size_t grant_count = set->grant_count;
	struct fake_store *store = self;
	enum err err = within(store, CALL_SAVE, "save");
	enum fake_fault fault = FAULT_NONE;

	if (err != ERR_OK)
		return err;
	if (row_count == 0 || (grant_count == 0 && !set->changes.entries))
		fake_broken(store->faults, "a save of nothing");
	for (size_t i = 0; i < row_count; i++)
		if (!take_written(store, rows[i]))
			fake_broken(store->faults, "a row is saved that is not locked");
	for (size_t i = 0; i < grant_count; i++) {
		if (fake_store_grant(store, grants[i]->player, grants[i]->season, grants[i]->idempotency_key)) {
			end(store);
			return ERR_STORE_DUPLICATE;
		}
		check_new_grant(store, grants[i]);
		store->granted[store->granted_count++] = *grants[i];
		if (str_equal(grants[i]->source, STR("poison")))
			fault = FAULT_INTERNAL;
		if (str_equal(grants[i]->source, STR("stuck")))
			fault = FAULT_RETRY;
	}
	fake_tables_copy(store->working, store->tables);
	err = fake_tables_save(store->working, &set->changes, &store->memory, store->faults);
	if (err != ERR_OK) {
		end(store);
		return err;
	}
	store->saved = true;
	return fault == FAULT_NONE ? ERR_OK : fail(store, fault);
}

static void
key_of(char key[SEASON_ID_MAX * 2 + 2], struct str player, const char *season)
{
	snprintf(key, SEASON_ID_MAX * 2 + 2, "%.*s/%s", STR_ARGS(player), season);
}

const struct fake_distrust *
fake_store_distrust(const struct fake_store *store, const char *key)
{
	for (size_t i = 0; i < store->distrusted_count; i++)
		if (strcmp(store->distrusted[i].key, key) == 0)
			return &store->distrusted[i];
	return NULL;
}

static struct fake_distrust *
find_distrusted(struct fake_store *store, struct str player, const char *season)
{
	char key[SEASON_ID_MAX * 2 + 2];

	key_of(key, player, season);
	return (struct fake_distrust *)fake_store_distrust(store, key);
}

static bool
is_settled(struct fake_store *store, struct str player, const char *season)
{
	const struct fake_distrust *row = find_distrusted(store, player, season);

	return row && row->settled;
}

static enum err
find_distrust(void *self, struct distrust_row rows[], size_t count)
{
	struct fake_store *store = self;
	enum fake_fault fault = fake_fault_of(store->faults, CALL_FIND_DISTRUST);

	if (store->open && fault != FAULT_NONE)
		return fail(store, fault);
	if (fault == FAULT_UNAVAILABLE ||
	    fault == FAULT_INTERNAL) /* a single read is tried again by the store itself */
		return fault == FAULT_INTERNAL ? ERR_INTERNAL : ERR_STORE_UNAVAILABLE;
	for (size_t i = 0; i < count; i++) {
		const struct fake_distrust *row = find_distrusted(store, rows[i].player, rows[i].season);

		rows[i].there = row != NULL;
		rows[i].settled = row && row->settled;
		if (row)
			rows[i].id = row->id;
	}
	return ERR_OK;
}

static enum err
distrust(void *self, const struct distrust_row rows[], size_t count)
{
	struct fake_store *store = self;

	if (fake_fault_of(store->faults, CALL_DISTRUST) != FAULT_NONE)
		return ERR_STORE_UNAVAILABLE;
	if (store->open)
		fake_broken(store->faults, "distrust within a transaction is nobody else's before it commits");
	for (size_t i = 0; i < count; i++) {
		struct fake_distrust *row = &store->distrusted[store->distrusted_count];

		if (find_distrusted(store, rows[i].player, rows[i].season))
			continue;
		if (store->distrusted_count == FAKE_PLAYERS_MAX)
			abort();
		*row = (struct fake_distrust){.id = rows[i].id, .since_boot_ms = clock_boot_ms()};
		key_of(row->key, rows[i].player, rows[i].season);
		store->distrusted_count++;
	}
	return ERR_OK;
}

static enum err
settle_distrust(void *self, const struct distrust_row rows[], size_t count)
{
	struct fake_store *store = self;

	if (fake_fault_of(store->faults, CALL_SETTLE_DISTRUST) != FAULT_NONE)
		return ERR_STORE_UNAVAILABLE;
	for (size_t i = 0; i < count; i++) {
		struct fake_distrust *row = find_distrusted(store, rows[i].player, rows[i].season);

		if (!row || memcmp(&row->id, &rows[i].id, sizeof(row->id)) != 0)
			continue;
		if (!row->settled && clock_boot_ms() - row->since_boot_ms < LEASE_DEAD_MS)
			fake_broken(store->faults, "distrust settled after %lld ms: old leases may be alive",
				    (long long)(clock_boot_ms() - row->since_boot_ms));
		row->settled = true;
	}
	return ERR_OK;
}

/* In the transaction: what the rows' keys are forgotten at its commit, which only the row's lock makes safe. */
static enum err
forget_distrust(void *self, const struct distrust_row rows[], size_t count)
{
	struct fake_store *store = self;
	enum err err = within(store, CALL_FORGET_DISTRUST, "forget_distrust");

	for (size_t i = 0; err == ERR_OK && i < count; i++) {
		const struct fake_player *locked =
			find_in(store->locked, store->locked_count, rows[i].player, rows[i].season);

		if (!locked)
			fake_broken(store->faults, "distrust of %.*s forgotten without its lock",
				    STR_ARGS(rows[i].player));
		else if (store->gate.enabled && store->is_fenced &&
			 !store->is_fenced(store->context, store->gate.epoch, rows[i].player, rows[i].season,
					   locked->revision))
			fake_broken(store->faults, "distrust of %.*s forgotten without a fence",
				    STR_ARGS(rows[i].player));
		key_of(store->forgotten[store->forgotten_count++].key, rows[i].player, rows[i].season);
	}
	return err;
}

static void
forget(struct fake_store *store)
{
	for (size_t i = 0; i < store->forgotten_count; i++) {
		struct fake_distrust *row = (struct fake_distrust *)fake_store_distrust(store, store->forgotten[i].key);

		if (row)
			*row = store->distrusted[--store->distrusted_count];
	}
}

static enum err
others_reach(void *self, const struct uuid *host, const char *redis_id, bool *ret_reach)
{
	struct fake_store *store = self;

	(void)host;
	if (fake_fault_of(store->faults, CALL_OTHERS) != FAULT_NONE)
		return ERR_STORE_UNAVAILABLE;
	*ret_reach = clock_boot_ms() < store->others_reach_until_boot_ms && strcmp(store->gate.redis_id, redis_id) == 0;
	return ERR_OK;
}

/* No reader may trust what this commit makes old. */
static void
check_commit(struct fake_store *store)
{
	const struct write_gate *gate = &store->gate;

	if (!store->saved && store->forgotten_count == 0)
		fake_broken(store->faults, "a commit of nothing");
	if (!gate->settled)
		fake_broken(store->faults, "a commit before cache_control has settled");
	for (size_t i = 0; gate->enabled && store->is_fenced && i < store->written_count; i++) {
		const struct fake_player *row = &store->written[i];
		const struct fake_player *locked =
			find_in(store->locked, store->locked_count, row->player, row->season);

		if (locked && locked->revision == row->revision)
			continue; /* the document is as before */
		if (is_settled(store, row->player, row->season))
			continue; /* nobody trusts what the cache says of this player */
		if (!store->is_fenced(store->context, gate->epoch, row->player, row->season, row->revision))
			fake_broken(store->faults, "a commit without a fence: %.*s revision %llu",
				    STR_ARGS(row->player), (unsigned long long)row->revision);
	}
}

static void
apply(struct fake_store *store)
{
	for (size_t i = 0; i < store->written_count; i++) {
		const struct fake_player *row = &store->written[i];
		struct fake_player *known = find_in(store->players, store->player_count, row->player, row->season);

		if (!known && store->player_count == FAKE_PLAYERS_MAX)
			abort();
		if (!known) {
			known = &store->players[store->player_count++];
			known->player = arena_str(&store->memory, row->player);
		}
		*known = (struct fake_player){.player = known->player,
					      .xp = row->xp,
					      .revision = row->revision,
					      .updated_at_ms = row->updated_at_ms,
					      .audit_count = row->audit_count};
		memcpy(known->audit_hash, row->audit_hash, sizeof(known->audit_hash));
		memcpy(known->season, row->season, sizeof(known->season));
	}
	if (store->saved)
		fake_tables_copy(store->tables, store->working);
	forget(store);
	for (size_t i = 0; i < store->granted_count; i++) {
		struct grant_row *row = &store->ledger[store->ledger_count++];

		if (store->ledger_count == FAKE_LEDGER_MAX)
			abort();
		*row = store->granted[i];
		row->player = arena_str(&store->memory, row->player);
		row->season = arena_copy(&store->memory, str_from(row->season));
		row->idempotency_key = arena_str(&store->memory, row->idempotency_key);
		row->source = arena_str(&store->memory, row->source);
		row->tags = arena_str(&store->memory, row->tags);
		row->unlocked = arena_str(&store->memory, row->unlocked);
	}
}

static enum err
commit(void *self)
{
	struct fake_store *store = self;
	enum fake_fault fault = fake_fault_of(store->faults, CALL_COMMIT);

	if (!store->open)
		fake_broken(store->faults, "commit outside a transaction");
	check_commit(store);
	if (fault == FAULT_NONE || fault == FAULT_COMMITTED)
		apply(store);
	if (fault != FAULT_NONE)
		return fail(store, fault);
	end(store);
	return ERR_OK;
}

static void
rollback(void *self)
{
	struct fake_store *store = self;

	fake_fault_of(store->faults, CALL_ROLLBACK);
	end(store);
}

static enum err
load(void *self, struct progress_row *const rows[], size_t count, struct arena *arena)
{
	struct fake_store *store = self;

	if (fake_fault_of(store->faults, CALL_LOAD) != FAULT_NONE)
		return ERR_STORE_UNAVAILABLE;
	for (size_t i = 0; i < count; i++)
		take(store, fake_store_player(store, rows[i]->player, rows[i]->season->id), rows[i], arena);
	return ERR_OK;
}

static enum err
season_document(void *self, const char *season, uint64_t revision, struct arena *arena, struct str *ret_document)
{
	struct fake_store *store = self;

	(void)revision;
	if (fake_fault_of(store->faults, CALL_DOCUMENT) != FAULT_NONE)
		return ERR_STORE_UNAVAILABLE;
	bool broken = store->unreadable_season && strcmp(store->unreadable_season, season) == 0;

	*ret_document = arena_str(arena, broken ? STR("unreadable") : str_from(season));
	return ERR_OK;
}

static enum err
ledger(void *self, const struct ledger_query *query, struct arena *arena, struct grant_row **ret_rows,
       size_t *ret_count)
{
	struct fake_store *store = self;

	*ret_count = 0;
	*ret_rows = ARENA_ARRAY(arena, query->limit, struct grant_row);
	for (size_t i = store->ledger_count; i-- > 0 && *ret_count < query->limit;)
		if (str_equal(store->ledger[i].player, query->player))
			(*ret_rows)[(*ret_count)++] = store->ledger[i];
	return ERR_OK;
}

static void
change_gate(struct fake_store *store, uint64_t epoch, bool enabled)
{
	store->gate.epoch = epoch;
	store->gate.enabled = enabled;
	store->gate.settled = false;
	store->gate.same_database = true;
	store->gate.change++;
	store->gate_changed_boot_ms = clock_boot_ms();
}

void
fake_store_set_gate(struct fake_store *store, uint64_t epoch, bool enabled, const char *redis_id)
{
	change_gate(store, epoch, enabled);
	snprintf(store->gate.redis_id, sizeof(store->gate.redis_id), "%s", redis_id);
}

void
fake_store_settle(struct fake_store *store)
{
	store->gate.settled = true;
}

static enum err
switch_cache_off(void *self, uint64_t change)
{
	struct fake_store *store = self;

	if (fake_fault_of(store->faults, CALL_SWITCH_OFF) != FAULT_NONE)
		return ERR_STORE_UNAVAILABLE;
	if (store->open)
		fake_broken(store->faults, "the cache is turned off within a transaction");
	if (store->gate.change == change)
		change_gate(store, store->gate.epoch, false);
	return ERR_OK;
}

static enum err
settle_cache(void *self, uint64_t change)
{
	struct fake_store *store = self;

	if (fake_fault_of(store->faults, CALL_SETTLE) != FAULT_NONE)
		return ERR_STORE_UNAVAILABLE;
	if (store->gate.change != change)
		return ERR_OK;
	if (!store->gate.settled && clock_boot_ms() - store->gate_changed_boot_ms < LEASE_DEAD_MS)
		fake_broken(store->faults, "settled after %lld ms: old leases may be alive",
			    (long long)(clock_boot_ms() - store->gate_changed_boot_ms));
	store->gate.settled = true;
	return ERR_OK;
}

static enum err
cache_gate(void *self, struct write_gate *ret_gate)
{
	struct fake_store *store = self;

	if (fake_fault_of(store->faults, CALL_GATE) != FAULT_NONE)
		return ERR_STORE_UNAVAILABLE;
	if (store->open)
		fake_broken(store->faults, "cache_control is waited for within a transaction");
	*ret_gate = store->gate;
	return ERR_OK;
}

void
fake_store_init(struct fake_store *store, struct fake_faults *faults)
{
	memset(store, 0, sizeof(*store));
	store->faults = faults;
	store->gate = (struct write_gate){.epoch = 1, .change = 1, .settled = true, .same_database = true};
	arena_init(&store->memory);
	store->tables = calloc(1, sizeof(*store->tables));
	store->working = calloc(1, sizeof(*store->working));
	if (!store->tables || !store->working)
		abort();
	store->port = (struct store_port){
		.self = store,
		.load = load,
		.season_document = season_document,
		.ledger = ledger,
		.begin = begin,
		.lock = lock,
		.find_grants = find_grants,
		.find_entries = find_entries,
		.find_purchase = find_purchase,
		.live_purchase = live_purchase,
		.release_purchases = release_purchases,
		.find_reset = find_reset,
		.save = save,
		.commit = commit,
		.rollback = rollback,
		.switch_cache_off = switch_cache_off,
		.settle_cache = settle_cache,
		.cache_gate = cache_gate,
		.find_distrust = find_distrust,
		.distrust = distrust,
		.settle_distrust = settle_distrust,
		.forget_distrust = forget_distrust,
		.others_reach = others_reach,
	};
}

void
fake_store_release(struct fake_store *store)
{
	free(store->tables);
	free(store->working);
	arena_release(&store->memory);
}

/* The only ledger row that made this revision: XP before and after it. False: there is none, or more than one. */
static bool
made_by(const struct fake_store *store, const struct fake_player *player, uint64_t revision, uint64_t *before,
	uint64_t *after)
{
	size_t found = 0;

	for (size_t i = 0; i < store->ledger_count; i++) {
		const struct grant_row *row = &store->ledger[i];

		if (!is_of(player, row->player, row->season) || row->revision != revision)
			continue;
		*before = row->effect.xp_before;
		*after = row->effect.xp_after;
		found++;
	}
	for (size_t i = 0; i < store->tables->entry_count; i++) {
		const struct audit_entry *entry = &store->tables->entries[i];

		if (!is_of(player, entry->player, entry->season) || entry->revision != revision)
			continue;
		*before = entry->xp_before;
		*after = entry->xp_after;
		found++;
	}
	return found == 1;
}

static void
check_chain(struct fake_store *store, const struct fake_player *player)
{
	unsigned char last[AUDIT_HASH_SIZE] = {0};
	unsigned char hash[AUDIT_HASH_SIZE];
	uint64_t sequence = 0;

	for (size_t i = 0; i < store->tables->entry_count; i++) {
		const struct audit_entry *entry = &store->tables->entries[i];

		if (!is_of(player, entry->player, entry->season))
			continue;
		audit_hash(last, entry, hash);
		if (entry->sequence != ++sequence || memcmp(hash, entry->hash, sizeof(hash)) != 0)
			fake_broken(store->faults, "the chain of %.*s breaks at %llu", STR_ARGS(player->player),
				    (unsigned long long)sequence);
		memcpy(last, hash, sizeof(last));
	}
	if (sequence != player->audit_count || memcmp(last, player->audit_hash, sizeof(last)) != 0)
		fake_broken(store->faults, "the chain of %.*s does not end where it should", STR_ARGS(player->player));
}

static void
check_player(struct fake_store *store, const struct fake_player *player)
{
	uint64_t xp = 0;
	uint64_t before = 0;
	uint64_t after = 0;

	for (uint64_t revision = 1; revision <= player->revision; revision++) {
		if (!made_by(store, player, revision, &before, &after) || before != xp)
			fake_broken(store->faults, "the ledger of %.*s does not follow at %llu",
				    STR_ARGS(player->player), (unsigned long long)revision);
		xp = after;
	}
	if (xp != player->xp || made_by(store, player, player->revision + 1, &before, &after))
		fake_broken(store->faults, "%.*s has %llu XP, the ledger says %llu", STR_ARGS(player->player),
			    (unsigned long long)player->xp, (unsigned long long)xp);
	check_chain(store, player);
}

void
fake_store_check(struct fake_store *store)
{
	for (size_t i = 0; i < store->player_count; i++)
		check_player(store, &store->players[i]);
	if (store->open)
		fake_broken(store->faults, "a transaction was left open");
}

/* The codec. */

static const uint64_t tier_xp[] = {0, 100, 200, 300};
static const uint64_t tier_xp_total[] = {0, 100, 300, 600};
static const struct pass passes[] = {
	{.id = "free", .free = true, .includes = 1},
	{.id = "premium", .price = {"gems", 100}, .includes = 2, .auto_claim = AUTO_CLAIM_CLAIM},
	{.id = "plus", .price = {"gems", 150}, .includes = 6, .instant_tiers = 1},
};
static const struct reward rewards[] = {
	{"f1", 1, 0, "item", "hat", 1, {NULL, 0}}, {"p1", 1, 1, "item", "cape", 1, {NULL, 0}},
	{"f2", 2, 0, "item", "hat", 2, {NULL, 0}}, {"p2", 2, 1, "item", "cape", 2, {NULL, 0}},
	{"f3", 3, 0, "item", "hat", 3, {NULL, 0}}, {"p3", 3, 1, "item", "cape", 3, {NULL, 0}},
};
static const uint32_t tier_rewards[] = {0, 0, 2, 4, 6};
static const uint32_t reward_by_id[] = {0, 2, 4, 1, 3, 5};

static enum err
parse_season(struct str document, struct season **ret_season)
{
	if (str_equal(document, STR("unreadable")))
		return ERR_SEASON_INVALID;

	struct season *season = calloc(1, sizeof(*season) + document.len + 1);

	if (!season)
		abort();
	season->id = memcpy(season + 1, document.ptr, document.len);
	season->tier_count = 3;
	season->tier_xp = tier_xp;
	season->tier_xp_total = tier_xp_total;
	season->tier_rewards = tier_rewards;
	season->passes = passes;
	season->pass_count = 3;
	season->rewards = rewards;
	season->reward_count = 6;
	season->reward_by_id = reward_by_id;
	season->tier_price = (struct price){"gems", 10};
	*ret_season = season;
	return ERR_OK;
}

static void
free_season(struct season *season)
{
	free(season);
}

static void
render_progress(const struct season *season, const struct progress_row *row, struct buf *out)
{
	buf_format(out, "{%.*s %s %llu %llu}", STR_ARGS(row->player), season->id, (unsigned long long)row->revision,
		   (unsigned long long)row->xp);
}

static void
render_unlocked(const struct season *season, const struct progress_row *row, const struct grant_effect *effect,
		struct buf *out)
{
	(void)season;
	(void)row;
	buf_format(out, "%u-%u", effect->tier_before, effect->tier_after);
}

static void
render_state(const struct season *season, const struct progress_row *row, struct buf *out)
{
	(void)season;
	buf_format(out, "{%llu %llu %u}", (unsigned long long)row->revision, (unsigned long long)row->xp,
		   row->claim_count);
}

/* A letter each: what became of the reward. */
static void
render_claims(const struct claim_outcome *outcomes, size_t count, uint64_t revision, struct buf *out)
{
	(void)revision;
	for (size_t i = 0; i < count; i++)
		buf_char(out, "calu"[outcomes[i].status]);
}

const struct codec_port fake_codec = {
	.parse_season = parse_season,
	.free_season = free_season,
	.render_progress = render_progress,
	.render_unlocked = render_unlocked,
	.render_state = render_state,
	.render_claims = render_claims,
};
