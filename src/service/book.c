/* Season definitions: see book.h. */
#include "service/book.h"

#include <stdlib.h>

#include "base/log.h"

struct season_book {
	const struct codec_port *codec;
	uint32_t next; /* the place that is used again when all are taken */
	struct season *seasons[DIRECTORY_SEASONS_MAX];
	struct retired {
		struct retired *next;
		struct season *season;
	} * retired; /* replaced, but perhaps borrowed until the turn ends */
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
	struct retired *retired = malloc(sizeof(*retired));

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
	book_begin_turn(book);
	for (uint32_t i = 0; i < DIRECTORY_SEASONS_MAX; i++)
		if (book->seasons[i])
			book->codec->free_season(book->seasons[i]);
	free(book);
}

/* The place of the season with this id, or one for it. */
static struct season **
place_of(struct season_book *book, const char *id)
{
	uint32_t i = 0;

	while (i < DIRECTORY_SEASONS_MAX && book->seasons[i] && strcmp(book->seasons[i]->id, id) != 0)
		i++;
	if (i == DIRECTORY_SEASONS_MAX)
		i = book->next++ % DIRECTORY_SEASONS_MAX;
	return &book->seasons[i];
}

static enum err
load(struct season_book *book, const struct store_port *store, const struct season_entry *entry, struct arena *arena,
     struct season **ret_season)
{
	struct str document;
	struct season *season;
	enum err err = store->season_document(store->self, entry->id, entry->revision, arena, &document);

	if (err == ERR_STORE_UNAVAILABLE)
		return err;
	if (err == ERR_OK)
		err = book->codec->parse_season(document, &season);
	if (err != ERR_OK) {
		log_error("season %s revision %llu cannot be used: %s", entry->id, (unsigned long long)entry->revision,
			  err_text(err));
		return ERR_INTERNAL;
	}
	season->revision = entry->revision;
	*ret_season = season;
	return ERR_OK;
}

enum err
book_get(struct season_book *book, const struct store_port *store, const struct season_entry *entry,
	 struct arena *arena, const struct season **ret_season)
{
	struct season **place = place_of(book, entry->id);
	struct season *season = *place;

	if (!season || season->revision != entry->revision || strcmp(season->id, entry->id) != 0) {
		enum err err = load(book, store, entry, arena, &season);

		if (err != ERR_OK)
			return err;
		if (*place)
			retire(book, *place);
		*place = season;
	}
	*ret_season = season;
	return ERR_OK;
}
