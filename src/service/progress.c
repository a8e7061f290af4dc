/*
 * Reading progress: the cache first, then one snapshot of the database for all that missed. What was read may be put
 * into the cache after the answers have left, over exactly what was seen before the database was asked.
 */
#include "base/metrics.h"
#include "service/use_cases.h"

/* Asks Redis about all reads of the turn in one round trip. */
static void
look_up(struct turn *turn)
{
	const struct cache_port *cache = turn->service->rooms.cache;
	struct cache_lookup **lookups = ARENA_ARRAY(turn->arena, turn->read_count, struct cache_lookup *);
	size_t count = 0;

	for (struct progress_read *read = turn->reads; read; read = read->next) {
		read->lookup.player = read->player;
		read->lookup.season = read->season;
		lookups[count++] = &read->lookup;
	}
	if (!turn->view.trusted)
		return;
	if (!cache->lookup(cache->self, turn->view, lookups, count, turn->service->rooms.store != NULL, turn->arena))
		for (size_t i = 0; i < count; i++)
			lookups[i]->state = CACHE_ABSENT;
}

static void
take_hit(struct progress_read *read)
{
	read->source = SOURCE_CACHE;
	read->revision = read->lookup.revision;
	read->body = read->lookup.body;
}

/* Remembers to warm the cache once the answers have left. */
static void
add_fill(struct turn *turn, const struct progress_read *read)
{
	if (read->lookup.state != CACHE_FILL)
		return;
	turn->fills[turn->fill_count++] = (struct cache_fill){
		.player = read->player,
		.season = read->season->id,
		.seen = read->lookup.seen,
		.revision = read->revision,
		.season_revision = read->season->revision,
		.body = read->body,
	};
}

static enum err
render(struct turn *turn, struct progress_read *read, const struct progress_row *row)
{
	const struct season *season;
	struct buf body;
	enum err err = turn_definition(turn, read->season, &season);

	if (err != ERR_OK)
		return err;
	buf_init(&body);
	turn->service->rooms.codec->render_progress(season, row, &body);
	read->body = arena_str(turn->arena, buf_view(&body));
	buf_release(&body);
	read->source = SOURCE_STORE;
	read->revision = row->revision;
	return ERR_OK;
}

static void
read_store(struct turn *turn, struct progress_read *const misses[], size_t count)
{
	const struct store_port *store = turn->service->rooms.store;
	struct progress_row *rows = ARENA_ARRAY(turn->arena, count, struct progress_row);
	struct progress_row **pointers = ARENA_ARRAY(turn->arena, count, struct progress_row *);

	for (size_t i = 0; i < count; i++) {
		rows[i].player = misses[i]->player;
		rows[i].season = misses[i]->season;
		pointers[i] = &rows[i];
	}
	enum err err = store->load(store->self, pointers, count, turn->arena);

	turn->fills = ARENA_ARRAY(turn->arena, count, struct cache_fill);
	for (size_t i = 0; i < count; i++) {
		misses[i]->err = err == ERR_OK ? render(turn, misses[i], &rows[i]) : err;
		if (misses[i]->err == ERR_OK)
			add_fill(turn, misses[i]);
	}
}

void
progress_run(struct turn *turn)
{
	struct progress_read **misses = ARENA_ARRAY(turn->arena, turn->read_count, struct progress_read *);
	size_t missed = 0;

	look_up(turn);
	for (struct progress_read *read = turn->reads; read; read = read->next) {
		if (read->lookup.state == CACHE_HIT) {
			take_hit(read);
		} else {
			read->needs_store = turn->service->rooms.store == NULL;
			misses[missed++] = read;
		}
	}
	metrics_add(METRIC_CACHE_HITS, turn->warms ? 0 : turn->read_count - missed);
	if (turn->view.unconfirmed) /* nothing is warmed then */
		metrics_add(METRIC_CACHE_UNCONFIRMED, turn->read_count - missed);
	if (missed == 0 || !turn->service->rooms.store)
		return;
	metrics_add(METRIC_CACHE_MISSES, turn->warms ? 0 : missed);
	read_store(turn, misses, missed);
}
