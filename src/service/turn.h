/*
 * A turn: the requests that were waiting are answered together. Decoding adds the work (reads, grants) to the turn,
 * turn_run() does all of it with as few round trips as there can be, encoding reads the results, and after the answers
 * have left, turn_fill() warms the cache. One request is a turn of one: there is one path for one and many.
 */
#ifndef BP_SERVICE_TURN_H
#define BP_SERVICE_TURN_H

#include "service/ports.h"

/* What the service holds for the life of a process. */
struct service {
	const struct store_port *store; /* NULL in a lane that never opens MySQL: its misses ask for the store lane */
	const struct cache_port *cache;
	const struct codec_port *codec;
	const struct directory *directory;
	size_t transaction_grants;        /* most grants in one transaction */
	struct directory_content seasons; /* this process's copy */
	struct season_book *book;         /* definitions parsed by this process */
};

/* Creates the book. The ports and the directory are borrowed for the service's life. */
void service_init(struct service *service, const struct store_port *store, const struct cache_port *cache,
		  const struct codec_port *codec, const struct directory *directory, size_t transaction_grants);
void service_release(struct service *service);

enum source { SOURCE_NONE, SOURCE_CACHE, SOURCE_STORE };

/* One progress document wanted. */
struct progress_read {
	struct progress_read *next;
	struct str player;
	const struct season_entry *season;
	/* results */
	enum err err;     /* ERR_OK, ERR_STORE_UNAVAILABLE, ERR_INTERNAL */
	bool needs_store; /* a miss in a lane without a store */
	enum source source;
	uint64_t revision;
	struct str body;
	struct cache_lookup lookup;
};

/* One XP grant wanted. */
struct grant_command {
	struct grant_command *next;
	struct grant_row row; /* player, season, key, request_hash, amount, source, tags, occurred_at are given; the
				 rest is the result */
	const struct season_entry *season;
	/* results */
	enum err err;  /* ERR_OK, ERR_SEASON_NOT_ACTIVE, ERR_INVALID_FIELD (the total), ERR_IDEMPOTENCY_KEY_REUSED,
			  ERR_STORE_UNAVAILABLE, ERR_INTERNAL */
	bool replayed; /* the row is that of an earlier call */
};

struct turn {
	struct service *service;
	struct arena *arena;
	int64_t now_ms;
	struct cache_view view;
	struct progress_read *reads, **last_read;
	size_t read_count;
	struct grant_command *grants, **last_grant;
	size_t grant_count;
	struct cache_fill *fills;
	size_t fill_count;
};

/* Looks at the lease and the directory once; nothing of the turn outlives the arena's next reset. */
void turn_begin(struct turn *turn, struct service *service, struct arena *arena, int64_t now_ms);
/* The new work is zeroed but for the arguments; it is in the arena. Texts are borrowed until the turn ends. */
struct progress_read *turn_add_read(struct turn *turn, struct str player, const struct season_entry *season);
struct grant_command *turn_add_grant(struct turn *turn, struct str player, const struct season_entry *season);
void turn_run(struct turn *turn);
/* After the answers are sent. */
void turn_fill(struct turn *turn);

/* ERR_SEASON_NOT_FOUND, ERR_SEASON_AMBIGUOUS. name: an id or "current". */
enum err turn_season(struct turn *turn, struct str name, const struct season_entry **ret_entry);
/* The definition at the entry's revision; borrowed until the turn ends. ERR_STORE_UNAVAILABLE, ERR_INTERNAL. */
enum err turn_definition(struct turn *turn, const struct season_entry *entry, const struct season **ret_season);
/* A page of the ledger. */
enum err turn_ledger(struct turn *turn, const struct ledger_query *query, struct grant_row **ret_rows,
		     size_t *ret_count);

#endif
