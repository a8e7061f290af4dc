/* Turns: see turn.h. */
#include "service/turn.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/crash.h"
#include "base/log.h"
#include "service/book.h"
#include "service/use_cases.h"

/* Several times within the lead that a publish gives (SEASON_SWITCH_LEAD_MS), and no load worth mentioning. */
enum { LOOK_AHEAD_MS = 250 };

void
service_init(struct service *service, const struct service_rooms *rooms, const struct service_limits *limits)
{
	memset(service, 0, sizeof(*service));
	service->rooms = *rooms;
	service->limits = *limits;
	service->book = book_new(rooms->codec);
	service->look_ahead_due_boot_ms = INT64_MAX;
	/* Not all processes in the same moment. */
	if (rooms->store)
		service->look_ahead_due_boot_ms = clock_boot_ms() + (int64_t)(random_u64() % LOOK_AHEAD_MS);
}

void
service_release(struct service *service)
{
	book_free(service->book);
	service->book = NULL;
}

static void
refresh_directory(struct service *service, int64_t now_ms)
{
	if (!directory_refresh(service->rooms.directory, &service->published))
		log_warning("the season directory is being written for too long: the last copy is used on");
	directory_resolve(&service->published, now_ms, &service->seasons);
}

void
service_look_ahead(struct service *service)
{
	struct directory_content *published = &service->published;
	int64_t now_ms = clock_unix_ms();
	struct arena arena;

	if (clock_boot_ms() < service->look_ahead_due_boot_ms)
		return;
	arena_init(&arena);
	refresh_directory(service, now_ms);
	for (uint32_t i = 0; i < published->count; i++)
		if (published->seasons[i].next.revision && published->seasons[i].next.at_ms > now_ms)
			book_prepare(service->book, service->rooms.store, &published->seasons[i], &arena);
	arena_release(&arena);
	service->look_ahead_due_boot_ms = clock_boot_ms() + LOOK_AHEAD_MS;
}

int64_t
service_look_ahead_due_boot_ms(const struct service *service)
{
	return service->look_ahead_due_boot_ms;
}

void
turn_begin(struct turn *turn, struct service *service, struct arena *arena, int64_t now_ms)
{
	const struct cache_port *cache = service->rooms.cache;

	memset(turn, 0, sizeof(*turn));
	turn->service = service;
	turn->arena = arena;
	turn->now_ms = now_ms;
	turn->boot_epoch_ms = now_ms - clock_boot_ms();
	turn->last_read = &turn->reads;
	turn->last_write = &turn->writes;
	book_begin_turn(service->book);
	refresh_directory(service, now_ms);
	turn->view = cache->view(cache->self);
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

static void
add_write(struct turn *turn, struct write *write, enum write_kind kind, struct str player,
	  const struct season_entry *season)
{
	write->kind = kind;
	write->player = player;
	write->season = season;
	*turn->last_write = write;
	turn->last_write = &write->next;
	turn->write_count++;
}

struct grant_command *
turn_add_grant(struct turn *turn, struct str player, const struct season_entry *season)
{
	struct grant_command *command = ARENA_NEW(turn->arena, struct grant_command);

	add_write(turn, &command->write, WRITE_XP_GRANT, player, season);
	return command;
}

struct operation *
turn_add_operation(struct turn *turn, enum write_kind kind, struct str player, const struct season_entry *season)
{
	struct operation *operation = ARENA_NEW(turn->arena, struct operation);

	add_write(turn, &operation->write, kind, player, season);
	return operation;
}

/* Takes the writes out of the turn and runs them. */
static void
run_writes(struct turn *turn)
{
	struct write *writes = turn->writes;
	size_t count = turn->write_count;

	turn->writes = NULL;
	turn->last_write = &turn->writes;
	turn->write_count = 0;
	if (count == 0)
		return;
	writes_run(turn, writes, count);
	payments_begin(turn, writes);
}

void
turn_run(struct turn *turn)
{
	run_writes(turn);
	if (turn->read_count)
		progress_run(turn);
}

int64_t
turn_due_boot_ms(const struct turn *turn)
{
	int64_t due_ms = writes_due_boot_ms(turn);

	for (const struct payment *payment = turn->payments; payment; payment = payment->next)
		if (payment->until_boot_ms < due_ms)
			due_ms = payment->until_boot_ms;
	return due_ms;
}

/* The time has gone on since the turn began, and so may the seasons have. */
static void
renew(struct turn *turn)
{
	struct service *service = turn->service;

	turn->now_ms = turn->boot_epoch_ms + clock_boot_ms();
	book_begin_turn(service->book);
	refresh_directory(service, turn->now_ms);
	for (struct turn_entry *each = turn->entries; each; each = each->next) {
		const struct season_entry *entry = directory_find(&service->seasons, str_from(each->entry.id));

		if (entry)
			each->entry = *entry;
	}
}

void
turn_continue(struct turn *turn)
{
	struct payment *finished = payments_collect(turn);

	if (writes_due_boot_ms(turn) <= clock_boot_ms()) {
		renew(turn);
		writes_continue(turn);
	}
	if (!finished)
		return;
	renew(turn);
	payments_settle(turn, finished);
	run_writes(turn);
	payments_publish(finished);
}

void
turn_fill(struct turn *turn)
{
	const struct cache_port *cache = turn->service->rooms.cache;

	if (turn->fill_count == 0)
		return;
	crash_point("read");
	cache->fill(cache->self, turn->view, turn->fills, turn->fill_count);
}

/* The turn's copy of the entry: one a season, so that pointers can be compared. */
static const struct season_entry *
intern(struct turn *turn, const struct season_entry *entry)
{
	struct turn_entry *copy = turn->entries;

	while (copy && strcmp(copy->entry.id, entry->id) != 0)
		copy = copy->next;
	if (!copy) {
		copy = ARENA_NEW(turn->arena, struct turn_entry);
		*copy = (struct turn_entry){.next = turn->entries, .entry = *entry};
		turn->entries = copy;
	}
	return &copy->entry;
}

enum err
turn_season(struct turn *turn, struct str name, const struct season_entry **ret_entry)
{
	const struct directory_content *seasons = &turn->service->seasons;
	const struct season_entry *entry = NULL;

	if (seasons->version == 0)
		return ERR_STORE_UNAVAILABLE; /* a host that has just started does not know of any season yet */
	if (str_equal(name, STR("current"))) {
		enum err err = directory_current(seasons, turn->now_ms, &entry);

		if (err != ERR_OK)
			return err;
	} else {
		entry = directory_find(seasons, name);
	}
	if (!entry)
		return ERR_SEASON_NOT_FOUND;
	*ret_entry = intern(turn, entry);
	return ERR_OK;
}

enum err
turn_definition(struct turn *turn, const struct season_entry *entry, const struct season **ret_season)
{
	return book_get(turn->service->book, turn->service->rooms.store, entry, turn->arena, ret_season);
}

enum err
turn_row(struct turn *turn, struct str player, const struct season_entry *entry, struct progress_row *ret_row)
{
	const struct store_port *store = turn->service->rooms.store;
	struct progress_row row = {.player = player, .season = entry};
	struct progress_row *rows[] = {&row};
	enum err err = store->load(store->self, rows, 1, turn->arena);

	if (err == ERR_OK)
		*ret_row = row;
	return err;
}

enum err
turn_ledger(struct turn *turn, const struct ledger_query *query, struct grant_row **ret_rows, size_t *ret_count)
{
	const struct store_port *store = turn->service->rooms.store;

	return store->ledger(store->self, query, turn->arena, ret_rows, ret_count);
}
