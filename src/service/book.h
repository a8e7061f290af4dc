/*
 * The season definitions that this process has parsed, two a season at most: the one that was asked for last, and the
 * one that is to take its place, or had it before. A definition is borrowed until the end of the turn that asked for
 * it.
 */
#ifndef BP_SERVICE_BOOK_H
#define BP_SERVICE_BOOK_H

#include "service/ports.h"

struct season_book;

struct season_book *book_new(const struct codec_port *codec);
void book_free(struct season_book *book);
/* What was replaced during the last turn is borrowed no longer. */
void book_begin_turn(struct season_book *book);
/* ERR_STORE_UNAVAILABLE; ERR_INTERNAL: what the store holds cannot be read. */
enum err book_get(struct season_book *book, const struct store_port *store, const struct season_entry *entry,
		  struct arena *arena, const struct season **ret_season);
/*
 * Loads the revision that the season will switch to, between turns, so that no request has to wait for it. A failure
 * leaves everything as it was; what cannot be read is not tried again.
 */
void book_prepare(struct season_book *book, const struct store_port *store, const struct season_entry *entry,
		  struct arena *arena);

#endif
