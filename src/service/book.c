/* Season definitions: see book.h. */
#include "service/book.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/metrics.h"

/* Of one season. */
struct place {
	struct season *season; /* asked for last */
	struct season *other;  /* of the revision before it, or of the one that comes */
};

struct season_book {
	const struct codec_port *codec;
	uint32_t next; /* the place that is used again when all are taken */
	struct place places[DIRECTORY_SEASONS_MAX];
	struct retired {
		struct retired *next;
		struct season *season;
	} * retired;                  /* replaced, but perhaps borrowed until the turn ends */
	struct season_entry unusable; /* the last that could not be read ahead of its time */
};

struct season_book *
book_new(const struct codec_port *codec)
{
	struct season_book *book = calloc(1, sizeof(*book));

	if (!book)
		abort();
	book->codec = codec;
	return book;
}

void
book_begin_turn(struct season_book *book)
{
	while (book->retired) {
		struct retired *retired = book->retired;

		book->retired = retired->next;
		book->codec->free_season(retired->season);
		free(retired);
	}
}

static void
retire(struct season_book *book, struct season *season)
{
	struct retired *retired;

	if (!season)
		return;
	retired = malloc(sizeof(*retired));
	if (!retired)
		abort();
	*retired = (struct retired){.next = book->retired, .season = season};
	book->retired = retired;
}

void
book_free(struct season_book *book)
{
	if (!book)
		return;
	for (uint32_t i = 0; i < DIRECTORY_SEASONS_MAX; i++) {
		retire(book, book->places[i].season);
		retire(book, book->places[i].other);
	}
	book_begin_turn(book);
	free(book);
}

static const char *
id_of(const struct place *place)
{
	return place->season ? place->season->id : place->other ? place->other->id : "";
}

/* The place of the season with this id, or one for it. */
static struct place *
place_of(struct season_book *book, const char *id)
{
	uint32_t i = 0;

	while (i < DIRECTORY_SEASONS_MAX && id_of(&book->places[i])[0] && strcmp(id_of(&book->places[i]), id) != 0)
		i++;
	if (i == DIRECTORY_SEASONS_MAX)
		i = book->next++ % DIRECTORY_SEASONS_MAX;
	return &book->places[i];
}

static bool
is_at(const struct season *season, const char *id, uint64_t revision)
{
	return season && season->revision == revision && strcmp(season->id, id) == 0;
}

/* Makes room for a new definition of this season: at *at, and in all of the place if it was another season's. */
static void
clear(struct season_book *book, struct place *place, struct season **at, const char *id)
{
	bool same = strcmp(id_of(place), id) == 0;

	retire(book, *at);
	*at = NULL;
	if (same)
		return;
	retire(book, place->season);
	retire(book, place->other);
	*place = (struct place){0};
}

static enum err
load(struct season_book *book, const struct store_port *store, const char *id, uint64_t revision, struct arena *arena,
     struct season **ret_season)
{
	struct str document;
	struct season *season;
	enum err err = store->season_document(store->self, id, revision, arena, &document);

	if (err == ERR_STORE_UNAVAILABLE)
		return err;
	if (err == ERR_OK)
		err = book->codec->parse_season(document, &season);
	if (err != ERR_OK) {
		log_error("season %s revision %llu cannot be used: %s", id, (unsigned long long)revision,
			  err_text(err));
		return ERR_INTERNAL;
	}
	metrics_add(METRIC_SEASON_LOADS, 1);
	season->revision = revision;
	*ret_season = season;
	return ERR_OK;
}

/* Makes the definition of this revision the one that was asked for last, if it stands here. */
static bool
turn_to(struct place *place, const char *id, uint64_t revision)
{
	struct season *other = place->other;

	if (is_at(place->season, id, revision))
		return true;
	if (!is_at(other, id, revision))
		return false;
	place->other = place->season;
	place->season = other;
	return true;
}

enum err
book_get(struct season_book *book, const struct store_port *store, const struct season_entry *entry,
	 struct arena *arena, const struct season **ret_season)
{
	struct place *place = place_of(book, entry->id);
	struct season *season;

	if (!turn_to(place, entry->id, entry->revision)) {
		enum err err = load(book, store, entry->id, entry->revision, arena, &season);

		if (err != ERR_OK)
			return err;
		metrics_add(METRIC_SEASON_LOADS_LATE, 1);
		clear(book, place, &place->season, entry->id);
		place->season = season;
	}
	*ret_season = place->season;
	return ERR_OK;
}

void
book_prepare(struct season_book *book, const struct store_port *store, const struct season_entry *entry,
	     struct arena *arena)
{
	struct place *place = place_of(book, entry->id);
	uint64_t revision = entry->next.revision;
	struct season *season;

	if (is_at(place->season, entry->id, revision) || is_at(place->other, entry->id, revision))
		return;
	turn_to(place, entry->id, entry->revision); /* what is in force stays, whether it was asked for yet or not */
	if (book->unusable.next.revision == revision && strcmp(book->unusable.id, entry->id) == 0)
		return;

	enum err err = load(book, store, entry->id, revision, arena, &season);

	if (err == ERR_INTERNAL)
		book->unusable = *entry;
	if (err != ERR_OK)
		return;
	clear(book, place, &place->other, entry->id);
	place->other = season;
}
