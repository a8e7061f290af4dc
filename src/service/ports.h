/*
 * What the use cases need from the rooms around them: the store (MySQL), the cache (Redis) and the codec (JSON). Each
 * port is a table of functions with the room's own state as first argument, so that a test can put another room in.
 *
 * Texts handed out live in the arena given; texts handed in are borrowed for the call.
 */
#ifndef BP_SERVICE_PORTS_H
#define BP_SERVICE_PORTS_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/uuid.h"
#include "domain/progress.h"
#include "service/directory.h"

/*
 * A host trusts the cache for LEASE_MS by one word of the steward's. Whoever waits LEASE_DEAD_MS after a change of
 * cache_control was committed knows that no lease given before it is alive anywhere: 10 % for clocks that run
 * differently.
 */
enum { LEASE_MS = 500, LEASE_DEAD_MS = 550 };

/* A pass that a player bought or was given. */
struct owned_pass {
	struct str pass;
	int64_t since_ms;
};

/* All that is stored of one player in one season. */
struct progress_row {
	struct str player;
	const struct season_entry *season;
	bool exists; /* false: nothing stored, all below is zero: revision 0 */
	uint64_t xp;
	uint64_t revision;
	int64_t updated_at_ms;
	uint32_t pass_count;
	uint32_t claim_count;
	struct owned_pass *passes; /* pass_count */
	struct str *claims;        /* claim_count reward ids */
	uint32_t pass_room; /* the row's own counts of its passes and claims, by which the store makes room for them */
	uint32_t claim_room;
};

/* A ledger row: the grant's facts, from which its answer is written, today and at every replay. */
struct grant_row {
	struct str player;
	const char *season;
	struct str idempotency_key;
	struct uuid id;
	unsigned char request_hash[16]; /* of the request's fields: another hash under the same key is a reuse */
	uint64_t amount;
	struct str source;
	struct str tags; /* JSON array text */
	int64_t occurred_at_ms;
	struct grant_effect effect;
	struct str unlocked; /* JSON text: what the answer says of tiers crossed and overflow units */
	uint64_t revision;
	int64_t granted_at_ms;
};

struct ledger_query {
	struct str player;
	const char *season;
	struct str source; /* empty: any */
	struct str tag;    /* empty: any */
	int64_t from_ms;   /* granted_at >= */
	int64_t to_ms;     /* granted_at < */
	uint64_t before;   /* only revisions below; UINT64_MAX: from the newest */
	uint32_t limit;
};

/*
 * What cache_control said inside a write's transaction, under a share lock, so that it stays so until the transaction
 * ends.
 */
struct write_gate {
	uint64_t epoch;
	uint64_t change;    /* number of the row's last change */
	bool enabled;       /* readers may trust the cache in this epoch */
	bool settled;       /* every lease given before the last change is dead */
	bool same_database; /* the last change was made on the server that is asked now */
	char run_id[41];    /* of the Redis of this epoch */
};

struct store_port {
	void *self;
	/* One fresh snapshot of each row (player and season are set). ERR_STORE_UNAVAILABLE. */
	enum err (*load)(void *self, struct progress_row *const rows[], size_t count, struct arena *arena);
	/* The document of a season at a revision. ERR_SEASON_NOT_FOUND. */
	enum err (*season_document)(void *self, const char *season, uint64_t revision, struct arena *arena,
				    struct str *ret_document);
	/* A page of the ledger, by revision, the newest first. */
	enum err (*ledger)(void *self, const struct ledger_query *query, struct arena *arena,
			   struct grant_row **ret_rows, size_t *ret_count);

	/*
	 * A transaction: begin, lock, find_grants (or not), save, commit. After any error but ERR_STORE_UNKNOWN the
	 * transaction is rolled back already. ERR_STORE_RETRY: try the whole again. ERR_STORE_UNKNOWN (from commit):
	 * the connection was lost; the next transaction's locks tell what became of it.
	 */
	enum err (*begin)(void *self, struct write_gate *ret_gate);
	/* Locks each row (they come sorted by season and player) and reads it; a missing one is created with revision
	 * 0. */
	enum err (*lock)(void *self, struct progress_row *const rows[], size_t count, struct arena *arena);
	/* For each grant with player, season and key set: fills in the stored row and sets found[i], where there is
	 * one. */
	enum err (*find_grants)(void *self, struct grant_row *const grants[], size_t count, bool found[],
				struct arena *arena);
	/*
	 * Writes the new ledger rows, and xp, revision and updated_at of the rows. ERR_STORE_DUPLICATE: a ledger row
	 * with one of the keys is there already.
	 */
	enum err (*save)(void *self, struct progress_row *const rows[], size_t row_count,
			 const struct grant_row *const grants[], size_t grant_count);
	enum err (*commit)(void *self);
	void (*rollback)(void *self);

	/* Outside a transaction: cache_control if it is still at this change; ERR_OK also when somebody changed it
	 * before. */
	enum err (*switch_cache_off)(void *self, uint64_t change);
	enum err (*settle_cache)(void *self, uint64_t change);
	enum err (*cache_gate)(void *self, struct write_gate *ret_gate);
};

/* How this process stands to the cache at one moment: looked at once when a turn begins. */
struct cache_view {
	bool trusted;     /* a live lease, and a connection to the very Redis that it names */
	bool unconfirmed; /* trusted although MySQL cannot be asked: a hit says so, and no write relies on it */
	uint64_t epoch;
	uint64_t connection; /* number of that connection: what another one says is not to be trusted */
};

enum cache_state {
	CACHE_ABSENT, /* nothing there, and no token was left: ask the database, do not fill */
	CACHE_HIT,    /* body is the answer */
	CACHE_FILL,   /* ask the database, then fill over what was seen */
};

/* One progress document that is looked up. */
struct cache_lookup {
	struct str player;
	const struct season_entry *season;
	enum cache_state state;
	struct str seen; /* CACHE_FILL: what the key held; the fill is refused if it holds anything else by then */
	uint64_t revision;
	struct str body;
};

struct cache_fill {
	struct str player;
	const char *season;
	struct str seen;
	uint64_t revision;
	uint64_t season_revision;
	struct str body;
};

/* One player's part in a write. */
struct cache_write {
	struct str player;
	const char *season;
	bool changed;      /* there is a fence to set: the write makes a new revision */
	uint64_t revision; /* after the write */
	uint64_t season_revision;
	struct str body; /* the document after the write; empty where nothing changed */
	uint64_t nonce;  /* of this attempt's fence; set by fence() */
};

struct cache_port {
	void *self;
	/* Looks at the lease and at the connection. Never blocks longer than a connect. */
	struct cache_view (*view)(void *self);
	/*
	 * One round trip. leave_token: a reader with a store leaves L where nothing is. False: Redis failed, or is not
	 * the one that the view means any more: no state counts.
	 */
	bool (*lookup)(void *self, struct cache_view view, struct cache_lookup *const lookups[], size_t count,
		       bool leave_token, struct arena *arena);
	void (*fill)(void *self, struct cache_view view, const struct cache_fill *fills, size_t count);
	/* Can this process reach the Redis of the gate? A writer asks before it fences. */
	bool (*reaches)(void *self, const struct write_gate *gate);
	/* Each of these in the gate's epoch and on the gate's Redis, or ERR_CACHE_UNAVAILABLE. */
	enum err (*fence)(void *self, const struct write_gate *gate, struct cache_write *const writes[], size_t count);
	/* Lowers own fences again, with the row locks still held, before a rollback. */
	void (*unfence)(void *self, const struct write_gate *gate, struct cache_write *const writes[], size_t count);
	enum err (*confirm)(void *self, const struct write_gate *gate, struct cache_write *const writes[],
			    size_t count);
};

struct codec_port {
	/* ERR_SEASON_INVALID when a stored document cannot be read. The caller frees it with season_free. */
	enum err (*parse_season)(struct str document, struct season **ret_season);
	void (*free_season)(struct season *season);
	/* Appends the progress document. */
	void (*render_progress)(const struct season *season, const struct progress_row *row, struct buf *out);
	/* Appends what a grant's answer says of the tiers crossed and the overflow units: grant_row.unlocked. */
	void (*render_unlocked)(const struct season *season, const struct progress_row *row,
				const struct grant_effect *effect, struct buf *out);
};

#endif
