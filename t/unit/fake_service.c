/* A service on fakes: see fake_service.h. */
#include "fake_service.h"

#include <stdlib.h>

const char fake_redis_id[] = "0123456789abcdef0123456789abcdef01234567";

/* Start, end of purchases, end, end of claims, late window. */
#define RUNNING                                                                                                        \
	{                                                                                                              \
		0, 80000, 90000, 95000, 0                                                                              \
	}
#define PAST                                                                                                           \
	{                                                                                                              \
		0, 10000, 20000, 95000, 0                                                                              \
	}

static const struct directory_content seasons = {
	.version = 1,
	.count = 3,
	.seasons =
		{
			{"s1", FAKE_SEASON_REVISION, SEASON_PUBLISHED, RUNNING, {0}},
			{"s2", FAKE_SEASON_REVISION, SEASON_PUBLISHED, RUNNING, {0}},
			{"over", FAKE_SEASON_REVISION, SEASON_PUBLISHED, PAST, {0}},
		},
};

void
fake_service_init(struct fake_service *fake, bool cache_on, size_t transaction_grants)
{
	fake_faults_init(&fake->faults);
	fake_store_init(&fake->store, &fake->faults);
	fake_cache_init(&fake->cache, &fake->faults, &fake->store, fake_redis_id);
	fake->store.is_fenced = fake_cache_is_fenced;
	fake->store.context = &fake->cache;
	if (cache_on)
		fake_store_set_gate(&fake->store, 2, true, fake_redis_id);
	fake_store_settle(&fake->store);
	memset(&fake->directory, 0, sizeof(fake->directory));
	directory_publish(&fake->directory, &seasons);

	struct service_rooms rooms = {
		.store = &fake->store.port,
		.cache = &fake->cache.port,
		.codec = &fake_codec,
		.directory = &fake->directory,
	};

	service_init(&fake->service, &rooms, &(struct service_limits){.transaction_writes = transaction_grants});
	arena_init(&fake->arena);
	fake->now_ms = FAKE_NOW_MS;
}

void
fake_service_release(struct fake_service *fake)
{
	arena_release(&fake->arena);
	service_release(&fake->service);
	fake_store_release(&fake->store);
}

void
fake_service_begin(struct fake_service *fake)
{
	arena_reset(&fake->arena);
	turn_begin(&fake->turn, &fake->service, &fake->arena, fake->now_ms++);
}

static const struct season_entry *
entry_of(struct fake_service *fake, const char *season)
{
	const struct season_entry *entry;

	if (turn_season(&fake->turn, str_from(season), &entry) != ERR_OK)
		abort();
	return entry;
}

struct grant_command *
fake_service_grant(struct fake_service *fake, const char *player, const char *season, const char *key, uint64_t amount)
{
	struct grant_command *command =
		turn_add_grant(&fake->turn, arena_str(&fake->arena, str_from(player)), entry_of(fake, season));

	command->write.idempotency_key = arena_str(&fake->arena, str_from(key));
	command->row.amount = amount;
	command->row.source = STR("match");
	command->row.tags = STR("[]");
	command->row.occurred_at_ms = fake->turn.now_ms;
	memcpy(command->write.request_hash, &amount, sizeof(amount));
	return command;
}

struct operation *
fake_service_operation(struct fake_service *fake, enum write_kind kind, const char *player, const char *season,
		       const char *key)
{
	struct operation *operation = turn_add_operation(&fake->turn, kind, arena_str(&fake->arena, str_from(player)),
							 entry_of(fake, season));

	operation->write.idempotency_key = arena_str(&fake->arena, str_from(key));
	operation->author = (struct author){STR("support-1"), "support", STR("a reason"), STR("request-1")};
	return operation;
}

struct progress_read *
fake_service_read(struct fake_service *fake, const char *player, const char *season)
{
	return turn_add_read(&fake->turn, arena_str(&fake->arena, str_from(player)), entry_of(fake, season));
}

void
fake_service_run(struct fake_service *fake)
{
	turn_run(&fake->turn);
	turn_fill(&fake->turn);
}

const struct grant_command *
fake_service_give(struct fake_service *fake, const char *player, const char *season, const char *key, uint64_t amount)
{
	fake_service_begin(fake);
	struct grant_command *command = fake_service_grant(fake, player, season, key, amount);

	fake_service_run(fake);
	return command;
}
