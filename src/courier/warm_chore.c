/* Warming: see warm_chore.h. */
#include "courier/warm_chore.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"

static const char chore_name[] = "cache_warming";

void
warm_chore_init(struct warm_chore *chore)
{
	*chore = (struct warm_chore){.due_boot_ms = 0};
}

bool
lane_load_busy(struct lane_load *load, uint64_t busy_us, size_t processes, int64_t now_boot_ms)
{
	int64_t passed_ms = now_boot_ms - load->at_boot_ms;

	if (passed_ms < LANES_SAMPLE_MS)
		return load->busy;

	uint64_t possible_us = (uint64_t)passed_ms * 1000 * (processes ? processes : 1);

	load->busy = (busy_us - load->busy_us) * 100 > possible_us * LANES_BUSY_PERCENT;
	load->busy_us = busy_us;
	load->at_boot_ms = now_boot_ms;
	return load->busy;
}

/* What is asked for, and whether the cache is in a state to take it. */
static bool
is_wanted(const struct operator_state *state)
{
	return state->flags.values[FLAG_WARMING] && state->gate.enabled && state->gate.settled &&
	       (!state->warming.done || state->warming.epoch < state->gate.epoch);
}

static bool
in_scope(const struct warming *warming, const struct season_entry *entry, int64_t now_ms)
{
	return season_entry_runs(entry, now_ms) && (!warming->season[0] || strcmp(warming->season, entry->id) == 0);
}

/* The season that it is in, or the first behind one that it has done; NULL: no more. */
static const struct season_entry *
season_at(const struct warming *warming, const struct directory_content *seasons, bool behind, int64_t now_ms)
{
	uint32_t i = 0;

	if (warming->at_season[0]) {
		while (i < seasons->count && strcmp(seasons->seasons[i].id, warming->at_season) != 0)
			i++;
		i += behind;
	}
	while (i < seasons->count && !in_scope(warming, &seasons->seasons[i], now_ms))
		i++;
	return i < seasons->count ? &seasons->seasons[i] : NULL;
}

static void
enter_season(struct warming *warming, const struct season_entry *entry)
{
	warming->at_hour = WARMING_FROM_NEWEST;
	warming->at_player[0] = '\0';
	if (entry)
		memcpy(warming->at_season, entry->id, sizeof(warming->at_season));
	else
		warming->done = true;
}

/* How many players it will look at at most, for whoever waits for it: not worth waiting for when there are very many.
 */
static void
expect(struct courier *courier, const struct turn *turn, struct warming *warming)
{
	const struct directory_content *seasons = &courier->service->seasons;

	warming->expected = 0;
	for (uint32_t i = 0; i < seasons->count && warming->expected < warming->players; i++) {
		uint64_t count = 0;
		uint64_t most = warming->players - warming->expected;

		if (in_scope(warming, &seasons->seasons[i], turn->now_ms) &&
		    store_count_active(courier->store, seasons->seasons[i].id, most, &count) != ERR_OK)
			count = most;
		warming->expected += count;
	}
}

/* One that has not begun yet: of a new epoch, or an operator's. */
static void
begin(struct courier *courier, const struct turn *turn, const struct write_gate *gate, struct warming *warming)
{
	if (warming->epoch < gate->epoch)
		*warming = (struct warming){
			.request = warming->request + 1,
			.epoch = gate->epoch,
			.players = (uint64_t)courier->conf->cache.warm_players,
		};
	enter_season(warming, season_at(warming, &courier->service->seasons, false, turn->now_ms));

	expect(courier, turn, warming);
	log_info("warming %llu begins: %llu players", (unsigned long long)warming->request,
		 (unsigned long long)warming->expected);
}

static bool
all_read(const struct turn *turn)
{
	for (const struct progress_read *read = turn->reads; read; read = read->next)
		if (read->err != ERR_OK)
			return false;
	return true;
}

/* The ordinary read, for those whose reads the cache may answer. False: not all could be read. */
static bool
load(struct turn *turn, const struct season_entry *entry, const struct cache_flags *flags,
     const struct active_player *players, size_t count, struct warming *warming)
{
	turn->warms = true;
	for (size_t i = 0; i < count; i++)
		if (flags_serve(flags, players[i].player))
			turn_add_read(turn, players[i].player, entry);
	turn_run(turn);
	if (!all_read(turn))
		return false;
	turn_fill(turn);
	warming->loaded += turn->fill_count;
	metrics_add(METRIC_CACHE_WARMED, turn->fill_count);
	return true;
}

static size_t
page_size(const struct courier *courier, const struct warming *warming)
{
	uint64_t size = (uint64_t)courier->conf->cache.warm_per_s / WARM_PAGES_PER_S;
	uint64_t left = warming->players - warming->looked_at;

	size = size < 1 ? 1 : size > WARM_PAGE ? WARM_PAGE : size;
	return size < left ? size : left;
}

/* Goes on by a page. *ret_looked_at: how many players it had; false: not now. */
static bool
do_page(struct courier *courier, struct turn *turn, const struct operator_state *state, struct warming *warming,
	size_t *ret_looked_at)
{
	const struct season_entry *entry;
	struct active_player *players;
	size_t size = page_size(courier, warming);
	size_t count;

	if (size == 0 || turn_season(turn, str_from(warming->at_season), &entry) != ERR_OK) {
		enter_season(warming, size ? season_at(warming, &courier->service->seasons, true, turn->now_ms) : NULL);
		return true;
	}
	enum err err =
		store_active_players(courier->store, entry->id, warming, (uint32_t)size, turn->arena, &players, &count);

	courier_note_store(courier, err);
	if (err != ERR_OK || !load(turn, entry, &state->flags, players, count, warming))
		return false;
	*ret_looked_at = count;
	warming->looked_at += count;
	if (count) {
		warming->at_hour = players[count - 1].hour;
		snprintf(warming->at_player, sizeof(warming->at_player), "%.*s", STR_ARGS(players[count - 1].player));
	}
	if (count < size)
		enter_season(warming, season_at(warming, &courier->service->seasons, true, turn->now_ms));
	return true;
}

/* With the chore held. Returns when the next page is due, in milliseconds. */
static int64_t
go_on(struct courier *courier, struct turn *turn, const struct operator_state *state)
{
	struct warming warming = state->warming;
	size_t looked_at = 0;
	bool moved = true;

	/* What this host does not trust it cannot fill. */
	if (!turn->view.trusted || turn->view.unconfirmed || turn->view.epoch != state->gate.epoch)
		return WARM_LOOK_MS;
	if (warming.epoch < state->gate.epoch || !warming.at_season[0])
		begin(courier, turn, &state->gate, &warming);
	else
		moved = do_page(courier, turn, state, &warming, &looked_at);
	if (!moved)
		return WARM_LOOK_MS;

	enum err err = store_save_warming(courier->store, &warming, state->warming.request);

	courier_note_store(courier, err);
	if (err == ERR_OK && warming.done)
		log_info("warming %llu is done: %llu of %llu players were not in the cache",
			 (unsigned long long)warming.request, (unsigned long long)warming.loaded,
			 (unsigned long long)warming.looked_at);
	return (int64_t)looked_at * 1000 / courier->conf->cache.warm_per_s;
}

/* Another courier may have gone on meanwhile: what was read before the chore was held counts for nothing. */
static int64_t
hold_and_go_on(struct courier *courier, struct turn *turn)
{
	const struct operators_port *operators = courier->service->rooms.operators;
	struct operator_state state;
	struct store_chore kept;
	bool held;
	enum err err = store_hold_chore(courier->store, chore_name, &courier->owner, WARM_HOLD_MS, &held, &kept);

	if (err == ERR_OK && held)
		err = operators->read(operators->self, &state);
	courier_note_store(courier, err);
	if (err != ERR_OK || !held || !is_wanted(&state))
		return WARM_LOOK_MS;
	return go_on(courier, turn, &state);
}

void
warm_chore_run(struct warm_chore *chore, struct courier *courier)
{
	const struct operators_port *operators = courier->service->rooms.operators;
	uint64_t busy_us = metrics_sum(courier->host.metrics, METRIC_STORE_LANE_BUSY);
	int64_t now_ms = clock_boot_ms();
	struct operator_state state;
	struct turn turn;

	if (warm_chore_due_boot_ms(chore, courier) > now_ms)
		return;
	chore->due_boot_ms = now_ms + WARM_LOOK_MS;
	if (lane_load_busy(&chore->load, busy_us, courier->host.store_processes, now_ms) ||
	    courier->conf->cache.warm_per_s == 0)
		return;

	enum err err = operators->read(operators->self, &state);

	courier_note_store(courier, err);
	if (err != ERR_OK || !is_wanted(&state))
		return;
	arena_reset(&courier->arena);
	turn_begin(&turn, courier->service, &courier->arena, clock_unix_ms());
	chore->due_boot_ms = now_ms + hold_and_go_on(courier, &turn);
}

int64_t
warm_chore_due_boot_ms(const struct warm_chore *chore, const struct courier *courier)
{
	if (courier->stopping)
		return INT64_MAX;
	return chore->due_boot_ms > courier->store_due_boot_ms ? chore->due_boot_ms : courier->store_due_boot_ms;
}
