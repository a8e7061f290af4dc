/* A cache in memory: see fake_cache.h. */
#include "fake_cache.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"

static void
key_of(char key[SEASON_ID_MAX * 2 + 2], struct str player, const char *season)
{
	snprintf(key, SEASON_ID_MAX * 2 + 2, "%.*s/%s", STR_ARGS(player), season);
}

/* NULL if the key is absent. */
static struct fake_entry *
find(struct fake_cache *cache, uint64_t epoch, struct str player, const char *season)
{
	char key[SEASON_ID_MAX * 2 + 2];

	key_of(key, player, season);
	for (size_t i = 0; i < cache->entry_count; i++)
		if (cache->entries[i].epoch == epoch && strcmp(cache->entries[i].key, key) == 0)
			return &cache->entries[i];
	return NULL;
}

/* The key's entry, emptied. */
static struct fake_entry *
put(struct fake_cache *cache, uint64_t epoch, struct str player, const char *season, char kind, uint64_t revision)
{
	struct fake_entry *entry = find(cache, epoch, player, season);

	if (!entry && cache->entry_count == FAKE_ENTRIES_MAX)
		abort();
	if (!entry)
		entry = &cache->entries[cache->entry_count++];
	*entry = (struct fake_entry){.epoch = epoch, .kind = kind, .revision = revision};
	key_of(entry->key, player, season);
	return entry;
}

static void
put_value(struct fake_cache *cache, uint64_t epoch, struct str player, const char *season, uint64_t revision,
	  uint64_t season_revision, struct str body)
{
	struct fake_entry *entry = put(cache, epoch, player, season, 'V', revision);

	entry->season_revision = season_revision;
	snprintf(entry->body, sizeof(entry->body), "%.*s", STR_ARGS(body));
}

const struct fake_entry *
fake_cache_entry(const struct fake_cache *cache, uint64_t epoch, struct str player, const char *season)
{
	return find((struct fake_cache *)cache, epoch, player, season);
}

void
fake_cache_put(struct fake_cache *cache, uint64_t epoch, struct str player, const char *season, char kind,
	       uint64_t revision, uint64_t season_revision, const char *body)
{
	put_value(cache, epoch, player, season, revision, season_revision, str_from(body));
	struct fake_entry *entry = find(cache, epoch, player, season);

	entry->kind = kind;
	entry->nonce = ++cache->nonces;
}

void
fake_cache_evict(struct fake_cache *cache, uint64_t random)
{
	if (cache->entry_count == 0)
		return;
	struct fake_entry *victim = &cache->entries[random % cache->entry_count];

	*victim = cache->entries[--cache->entry_count];
}

bool
fake_cache_is_fenced(void *context, uint64_t epoch, struct str player, const char *season, uint64_t revision)
{
	const struct fake_entry *entry = find(context, epoch, player, season);

	return entry && entry->kind != 'L' && entry->revision >= revision;
}

static struct cache_view
view(void *self)
{
	struct fake_cache *cache = self;
	const struct write_gate *gate = &cache->store->gate;

	if (gate->enabled && gate->settled && clock_boot_ms() >= cache->frozen_until_boot_ms &&
	    strcmp(gate->redis_id, cache->redis_id) == 0) {
		cache->lease_epoch = gate->epoch;
		cache->lease_until_boot_ms = clock_boot_ms() + LEASE_MS;
		cache->lease_distrusted_count = cache->store->distrusted_count;
		memcpy(cache->lease_distrusted, cache->store->distrusted, sizeof(cache->lease_distrusted));
	}
	if (fake_fault_of(cache->faults, CALL_VIEW) != FAULT_NONE || cache->gone ||
	    clock_boot_ms() >= cache->lease_until_boot_ms)
		return (struct cache_view){.trusted = false};
	return (struct cache_view){
		.trusted = true, .unconfirmed = cache->unconfirmed, .epoch = cache->lease_epoch, .connection = 1};
}

static bool
reaches(void *self, const struct write_gate *gate)
{
	struct fake_cache *cache = self;

	return fake_fault_of(cache->faults, CALL_REACHES) == FAULT_NONE && !cache->gone &&
	       strcmp(cache->redis_id, gate->redis_id) == 0;
}

/* How many of count commands are executed under this fault. */
static size_t
executed(const struct fake_cache *cache, enum fake_fault fault, size_t count)
{
	if (fault == FAULT_LOST || cache->gone)
		return 0;
	return fault == FAULT_HALF ? count / 2 : count;
}

static bool
distrusts(const struct fake_cache *cache, const struct cache_lookup *lookup)
{
	char key[SEASON_ID_MAX * 2 + 2];

	key_of(key, lookup->player, lookup->season->id);
	for (size_t i = 0; i < cache->lease_distrusted_count; i++)
		if (strcmp(cache->lease_distrusted[i].key, key) == 0)
			return true;
	return false;
}

static void
look(struct fake_cache *cache, struct cache_view at, struct cache_lookup *lookup, bool leave_token, struct arena *arena)
{
	const struct fake_entry *entry = find(cache, at.epoch, lookup->player, lookup->season->id);

	if (!entry && leave_token) {
		put(cache, at.epoch, lookup->player, lookup->season->id, 'L', 0)->nonce = ++cache->nonces;
		lookup->state = CACHE_FILL;
		lookup->seen = arena_format(arena, "L%llu", (unsigned long long)cache->nonces);
	} else if (entry && entry->kind == 'V' && entry->season_revision == lookup->season->revision) {
		lookup->state = CACHE_HIT;
		lookup->revision = entry->revision;
		lookup->body = arena_str(arena, str_from(entry->body));
	} else if (entry &&
		   (entry->kind == 'T' || (entry->kind == 'V' && entry->season_revision < lookup->season->revision))) {
		lookup->state = CACHE_FILL;
		lookup->seen =
			arena_format(arena, "%c%llu.%llu", entry->kind, (unsigned long long)entry->revision,
				     (unsigned long long)(entry->kind == 'T' ? entry->nonce : entry->season_revision));
	}
}

static bool
lookup_all(void *self, struct cache_view at, struct cache_lookup *const lookups[], size_t count, bool leave_token,
	   struct arena *arena)
{
	struct fake_cache *cache = self;
	enum fake_fault fault = fake_fault_of(cache->faults, CALL_LOOKUP);
	size_t done = executed(cache, fault, count);

	if (!at.trusted)
		fake_broken(cache->faults, "a lookup without trust");
	for (size_t i = 0; i < done; i++)
		if (!distrusts(cache, lookups[i]))
			look(cache, at, lookups[i], leave_token, arena);
	return fault == FAULT_NONE && !cache->gone;
}

static bool
holds(const struct fake_entry *entry, struct str seen)
{
	char text[64];

	if (entry->kind == 'L')
		snprintf(text, sizeof(text), "L%llu", (unsigned long long)entry->nonce);
	else
		snprintf(text, sizeof(text), "%c%llu.%llu", entry->kind, (unsigned long long)entry->revision,
			 (unsigned long long)(entry->kind == 'T' ? entry->nonce : entry->season_revision));
	return str_equal(str_from(text), seen);
}

static void
fill_all(void *self, struct cache_view at, const struct cache_fill *fills, size_t count)
{
	struct fake_cache *cache = self;
	size_t done = executed(cache, fake_fault_of(cache->faults, CALL_FILL), count);

	for (size_t i = 0; i < done; i++) {
		const struct cache_fill *fill = &fills[i];
		const struct fake_entry *entry = find(cache, at.epoch, fill->player, fill->season);

		if (entry && holds(entry, fill->seen) && (entry->kind == 'L' || entry->revision <= fill->revision))
			put_value(cache, at.epoch, fill->player, fill->season, fill->revision, fill->season_revision,
				  fill->body);
	}
}

/* A writer's command is for the Redis of its gate only. */
static size_t
written(const struct fake_cache *cache, const struct write_gate *gate, enum fake_fault fault, size_t count)
{
	return strcmp(cache->redis_id, gate->redis_id) == 0 ? executed(cache, fault, count) : 0;
}

static enum err
outcome(const struct fake_cache *cache, const struct write_gate *gate, enum fake_fault fault)
{
	if (strcmp(cache->redis_id, gate->redis_id) != 0)
		return ERR_CACHE_UNAVAILABLE;
	return fault == FAULT_NONE && !cache->gone ? ERR_OK : ERR_CACHE_UNAVAILABLE;
}

static enum err
fence(void *self, const struct write_gate *gate, struct cache_write *const writes[], size_t count)
{
	struct fake_cache *cache = self;
	enum fake_fault fault = fake_fault_of(cache->faults, CALL_FENCE);
	size_t done = written(cache, gate, fault, count);
	bool ahead = false;

	for (size_t i = 0; i < done; i++) {
		struct cache_write *write = writes[i];
		const struct fake_entry *entry = find(cache, gate->epoch, write->player, write->season);

		ahead |= write->changed && entry && entry->kind == 'V' &&
			 entry->revision > write->revision - !write->stands;
		write->nonce = ++cache->nonces;
		if (write->changed &&
		    !fake_cache_is_fenced(cache, gate->epoch, write->player, write->season, write->revision))
			put(cache, gate->epoch, write->player, write->season, 'T', write->revision)->nonce =
				write->nonce;
	}
	return ahead && outcome(cache, gate, fault) == ERR_OK ? ERR_CACHE_AHEAD : outcome(cache, gate, fault);
}

static void
confirm_one(struct fake_cache *cache, uint64_t epoch, const struct cache_write *write)
{
	struct fake_entry *entry = find(cache, epoch, write->player, write->season);

	if (write->changed && entry && entry->kind == 'T' && entry->nonce == write->nonce)
		put_value(cache, epoch, write->player, write->season, write->revision, write->season_revision,
			  write->body);
	else if (!fake_cache_is_fenced(cache, epoch, write->player, write->season, write->revision))
		put(cache, epoch, write->player, write->season, 'T', write->revision)->nonce = ++cache->nonces;
}

static enum err
confirm(void *self, const struct write_gate *gate, struct cache_write *const writes[], size_t count)
{
	struct fake_cache *cache = self;
	enum fake_fault fault = fake_fault_of(cache->faults, CALL_CONFIRM);
	size_t done = written(cache, gate, fault, count);

	for (size_t i = 0; i < done; i++)
		confirm_one(cache, gate->epoch, writes[i]);
	return cache->confirms_fail ? ERR_CACHE_UNAVAILABLE : outcome(cache, gate, fault);
}

void
fake_cache_init(struct fake_cache *cache, struct fake_faults *faults, const struct fake_store *store,
		const char *redis_id)
{
	memset(cache, 0, sizeof(*cache));
	cache->faults = faults;
	cache->store = store;
	snprintf(cache->redis_id, sizeof(cache->redis_id), "%s", redis_id);
	cache->port = (struct cache_port){
		.self = cache,
		.view = view,
		.lookup = lookup_all,
		.fill = fill_all,
		.reaches = reaches,
		.fence = fence,
		.confirm = confirm,
	};
}
