/* Turns: see turn.h. */
#include "service/turn.h"

#include <stdlib.h>

#include "base/log.h"
#include "service/book.h"
#include "service/use_cases.h"

void
service_init(struct service *service, const struct store_port *store, const struct cache_port *cache,
	     const struct codec_port *codec, const struct directory *directory, size_t transaction_grants)
{
	memset(service, 0, sizeof(*service));
	service->store = store;
	service->cache = cache;
	service->codec = codec;
	service->directory = directory;
	service->transaction_grants = transaction_grants;
	service->book = book_new(codec);
}

void
service_release(struct service *service)
{
	book_free(service->book);
	service->book = NULL;
}

void
turn_begin(struct turn *turn, struct service *service, struct arena *arena, int64_t now_ms)
{
	memset(turn, 0, sizeof(*turn));
	turn->service = service;
	turn->arena = arena;
	turn->now_ms = now_ms;
	turn->last_read = &turn->reads;
	turn->last_grant = &turn->grants;
	book_begin_turn(service->book);
	if (!directory_refresh(service->directory, &service->seasons))
		log_warning("the season directory is being written for too long: the last copy is used on");
	turn->view = service->cache->view(service->cache->self);
}

struct progress_read *
turn_add_read(struct turn *turn, struct str player, const struct season_entry *season)
{
	struct progress_read *read = ARENA_NEW(turn->arena, struct progress_read);

	read->player = player;
	read->season = season;
	*turn->last_read = read;
	turn->last_read = &read->next;
	turn->read_count++;
	return read;
}

struct grant_command *
turn_add_grant(struct turn *turn, struct str player, const struct season_entry *season)
{
	struct grant_command *command = ARENA_NEW(turn->arena, struct grant_command);

	command->row.player = player;
	command->row.season = season->id;
	command->season = season;
	*turn->last_grant = command;
	turn->last_grant = &command->next;
	turn->grant_count++;
	return command;
}

void
turn_run(struct turn *turn)
{
	if (turn->grant_count)
		grants_run(turn);
	if (turn->read_count)
		progress_run(turn);
}

void
turn_fill(struct turn *turn)
{
	const struct cache_port *cache = turn->service->cache;

	if (turn->fill_count)
		cache->fill(cache->self, turn->view, turn->fills, turn->fill_count);
}

enum err
turn_season(struct turn *turn, struct str name, const struct season_entry **ret_entry)
{
	const struct directory_content *seasons = &turn->service->seasons;

	if (str_equal(name, STR("current")))
		return directory_current(seasons, turn->now_ms, ret_entry);

	const struct season_entry *entry = directory_find(seasons, name);

	if (!entry)
		return ERR_SEASON_NOT_FOUND;
	*ret_entry = entry;
	return ERR_OK;
}

enum err
turn_definition(struct turn *turn, const struct season_entry *entry, const struct season **ret_season)
{
	return book_get(turn->service->book, turn->service->store, entry, turn->arena, ret_season);
}

enum err
turn_ledger(struct turn *turn, const struct ledger_query *query, struct grant_row **ret_rows, size_t *ret_count)
{
	const struct store_port *store = turn->service->store;

	return store->ledger(store->self, query, turn->arena, ret_rows, ret_count);
}
