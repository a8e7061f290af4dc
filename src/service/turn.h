/*
 * A turn: the requests that were waiting are answered together. Decoding adds the work (reads, writes) to the turn,
 * turn_run() does all of it with as few round trips as there can be, encoding reads the results, and after the answers
 * have left, turn_fill() warms the cache. One request is a turn of one: there is one path for one and many.
 *
 * Purchases and refunds may then still wait for the economy service, and writes that could not be fenced for leases to
 * end: as long as there are any in the turn, turn_continue() goes on with those whose answer is there or whose time is
 * up. Other turns may run between.
 */
#ifndef BP_SERVICE_TURN_H
#define BP_SERVICE_TURN_H

#include "service/ports.h"

/* The rooms that a service works with; all borrowed for its life. */
struct service_rooms {
	const struct store_port *store; /* NULL in a lane that never opens MySQL: its misses ask for the store lane */
	const struct records_port *records;     /* NULL with the store */
	const struct operators_port *operators; /* the same */
	const struct cache_port *cache;
	const struct codec_port *codec;
	const struct economy_port *economy; /* NULL where no call of the economy is ever begun */
	const struct directory *directory;
};

struct service_limits {
	size_t transaction_writes; /* most writes in one transaction */
	int64_t answer_within_ms;  /* how long a purchase waits for the economy before it is answered */
	bool sells;                /* there is an economy service somewhere */
	struct uuid host;          /* the same for all processes of a host */
	uint64_t warm_players;     /* how many are warmed where nobody says */
};

/* What the service holds for the life of a process. */
struct service {
	struct service_rooms rooms;
	struct service_limits limits;
	struct directory_content published; /* this process's copy */
	struct directory_content seasons;   /* what counts of it at the time of the turn that began last */
	struct season_book *book;           /* definitions parsed by this process */
	int64_t look_ahead_due_boot_ms;
	size_t put_offs;              /* of all turns: transactions that wait for old leases to end */
	int64_t look_for_all_boot_ms; /* when one of them looks whether others have waited */
};

/* Creates the book. */
void service_init(struct service *service, const struct service_rooms *rooms, const struct service_limits *limits);
void service_release(struct service *service);
/*
 * Between turns, at service_look_ahead_due_boot_ms() at the latest: loads the definitions that seasons will switch to
 * soon. Does nothing before it is due.
 */
void service_look_ahead(struct service *service);
/* INT64_MAX: never, without a store. */
int64_t service_look_ahead_due_boot_ms(const struct service *service);

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

enum write_kind {
	WRITE_XP_GRANT,
	WRITE_CLAIM,
	WRITE_AUTO_CLAIM,
	WRITE_XP_CORRECTION,
	WRITE_TIER_GRANT,
	WRITE_PASS_GRANT,
	WRITE_PASS_REVOCATION,
	WRITE_RESET,
	WRITE_RESET_UNDO,
	WRITE_PURCHASE,       /* decided and committed; then the economy is asked */
	WRITE_REFUND,         /* the same */
	WRITE_SETTLEMENT,     /* what the economy's answer makes of a purchase */
	WRITE_PURCHASE_CLOSE, /* of one that is stuck, by hand */
	WRITE_DELIVERY_RETRY,
	WRITE_KIND_COUNT
};

/* What all writes to a player have in common: the head of each command. */
struct write {
	struct write *next;
	enum write_kind kind;
	struct uuid id; /* of the grant, entry, purchase or reset that it makes */
	struct str player;
	const struct season_entry *season;
	struct str idempotency_key;     /* empty: none, of what the service does by itself */
	unsigned char request_hash[16]; /* of the request's fields: another hash under the same key is a reuse */
	/* results */
	enum err err;  /* ERR_IDEMPOTENCY_KEY_REUSED, ERR_STORE_UNAVAILABLE, ERR_INTERNAL, and the kind's own */
	bool replayed; /* the result is that of an earlier call */
	bool put_off;  /* it waits until no lease is alive: no result yet */
	int64_t put_off_at_boot_ms; /* for the first time */
};

/* One XP grant wanted: amount, source, tags and occurred_at of the row. ERR_SEASON_NOT_ACTIVE, ERR_INVALID_FIELD (the
 * total). */
struct grant_command {
	struct write write;
	struct grant_row row; /* the rest of it is the result */
};

/* Any other write. Of what is asked only that which its kind needs is looked at. */
struct operation {
	struct write write;
	struct author author;
	bool validate_only; /* says what would be; nothing is kept */
	/* what is asked */
	const struct str *rewards; /* CLAIM; NULL: all that can be claimed */
	size_t reward_count;
	int64_t amount;                     /* XP_CORRECTION */
	uint32_t tiers;                     /* TIER_GRANT, PURCHASE */
	struct str pass;                    /* PASS_GRANT, PASS_REVOCATION, PURCHASE (empty: tiers) */
	bool forget;                        /* RESET: the claims, too */
	struct uuid subject;                /* of the reset, purchase or delivery meant */
	enum delivery_state delivery_state; /* DELIVERY_RETRY: as it was read */
	enum purchase_event event;          /* SETTLEMENT */
	struct str traceparent;             /* its trace goes on to the economy */
	/* results */
	struct audit_entry entry; /* nothing in it where nothing was to be done */
	struct purchase_row purchase;
	bool waits; /* for the economy: no answer yet */
};

/* A call of the economy that a purchase or refund of this turn waits for. */
struct payment {
	struct payment *next;
	struct operation *operation;
	struct economy_call call;
	int64_t until_boot_ms;
	struct operation *settlement; /* NULL: nothing was proven */
};

/* Writes that wait, in the turn's arena; private to the service. */
struct put_off;

/* A season that this turn has to do with: a copy, because the process's directory may move while a turn waits. */
struct turn_entry {
	struct turn_entry *next;
	struct season_entry entry;
};

struct turn {
	struct service *service;
	struct arena *arena;
	int64_t now_ms;
	int64_t boot_epoch_ms; /* the wall clock's time when CLOCK_BOOTTIME was 0, as it was when the turn began */
	struct cache_view view;
	bool warms; /* nobody has asked for its reads: they are no hits and no misses */
	struct progress_read *reads, **last_read;
	size_t read_count;
	struct write *writes, **last_write; /* to be run */
	size_t write_count;
	struct payment *payments; /* that are waited for */
	bool puts_off; /* writes that have to wait for leases are put off, where whoever runs the turn continues it */
	struct put_off *put_offs;
	struct turn_entry *entries;
	struct cache_fill *fills;
	size_t fill_count;
};

/*
 * Looks at the lease and the directory once: the whole turn goes by the same revision of a season. Nothing of the turn
 * outlives the arena's next reset.
 */
void turn_begin(struct turn *turn, struct service *service, struct arena *arena, int64_t now_ms);
/* The new work is zeroed but for the arguments; it is in the arena. Texts are borrowed until the turn ends. */
struct progress_read *turn_add_read(struct turn *turn, struct str player, const struct season_entry *season);
struct grant_command *turn_add_grant(struct turn *turn, struct str player, const struct season_entry *season);
struct operation *turn_add_operation(struct turn *turn, enum write_kind kind, struct str player,
				     const struct season_entry *season);
void turn_run(struct turn *turn);
/* When turn_continue() is due at the latest, by CLOCK_BOOTTIME. Something must wait. */
int64_t turn_due_boot_ms(const struct turn *turn);
/* Settles what the economy has answered, and runs what has waited long enough; never waits for more. */
void turn_continue(struct turn *turn);
/* After the answers are sent. */
void turn_fill(struct turn *turn);

/*
 * ERR_SEASON_NOT_FOUND, ERR_SEASON_AMBIGUOUS; ERR_STORE_UNAVAILABLE: the directory was never read. name: an id or
 * "current". The entry is the turn's.
 */
enum err turn_season(struct turn *turn, struct str name, const struct season_entry **ret_entry);
/* The definition at the entry's revision; borrowed until the turn ends. ERR_STORE_UNAVAILABLE, ERR_INTERNAL. */
enum err turn_definition(struct turn *turn, const struct season_entry *entry, const struct season **ret_season);
/* What is stored of one player in this season, in a fresh snapshot. ERR_STORE_UNAVAILABLE. */
enum err turn_row(struct turn *turn, struct str player, const struct season_entry *entry, struct progress_row *ret_row);
/* A page of the ledger. */
enum err turn_ledger(struct turn *turn, const struct ledger_query *query, struct grant_row **ret_rows,
		     size_t *ret_count);

#endif
