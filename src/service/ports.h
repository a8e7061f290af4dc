/*
 * What the use cases need from the rooms around them: the store (MySQL), the cache (Redis), the codec (JSON) and the
 * economy service (HTTP). Each port is a table of functions with the room's own state as first argument, so that a test
 * can put another room in.
 *
 * Texts handed out live in the arena given; texts handed in are borrowed for the call.
 */
#ifndef BP_SERVICE_PORTS_H
#define BP_SERVICE_PORTS_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/uuid.h"
#include "domain/claimable.h"
#include "domain/progress.h"
#include "domain/purchase.h"
#include "service/directory.h"
#include "service/flags.h"

/*
 * A host trusts the cache for LEASE_MS by one word of the steward's. Whoever waits LEASE_DEAD_MS after a change of
 * cache_control was committed knows that no lease given before it is alive anywhere: 10 % for clocks that run
 * differently.
 */
enum { LEASE_MS = 500, LEASE_DEAD_MS = 550 };

/* What tells one Redis, in one life of its data, from all others: see cache/redis.h. */
enum { REDIS_ID_SIZE = 82 };

/* A pass that a player bought or was given; one that was taken back stays as a row that is not active. */
struct owned_pass {
	struct str pass;
	int64_t since_ms;
	bool active;
};

enum { AUDIT_HASH_SIZE = 32 };

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
	/* Of a locked row only. */
	uint64_t audit_count;                      /* entries of this player's chain in this season */
	unsigned char audit_hash[AUDIT_HASH_SIZE]; /* of the last of them */
	uint64_t overflow_paid;                    /* units of a currency overflow that have become deliveries */
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

/* Who did it, why, and in which request. */
struct author {
	struct str actor;
	const char *role; /* "player", "support", .. or "service" for what the service does by itself */
	struct str reason;
	struct str request_id;
};

/*
 * An entry of the audit log: any write but an XP grant, or a step of a purchase. It is the idempotency record, too: its
 * facts are what the first answer was written from.
 */
struct audit_entry {
	struct audit_entry *next;
	struct str player;
	const char *season;
	uint64_t sequence; /* 1, 2, 3 .. in the player's chain of this season */
	struct uuid id;
	const char *action;
	struct str idempotency_key; /* empty: none */
	unsigned char request_hash[16];
	struct author author;
	struct str subject; /* id of the purchase, reset or delivery; may be empty */
	uint64_t revision;  /* that it made; 0: the player's progress is as before */
	uint64_t xp_before;
	uint64_t xp_after;
	struct str before; /* JSON: the state, by codec_port.render_state */
	struct str after;
	struct str result; /* JSON members without braces that its answer has besides; may be empty */
	int64_t entered_at_ms;
	unsigned char hash[AUDIT_HASH_SIZE]; /* over the hash before and all of the above */
};

enum delivery_state { DELIVERY_PENDING, DELIVERY_DELIVERED, DELIVERY_FAILED, DELIVERY_STATE_COUNT };

struct delivery_row {
	struct delivery_row *next;
	struct uuid id;
	struct str player;
	const char *season;
	struct str reward; /* empty: overflow that became currency */
	struct str kind;
	struct str item;
	uint64_t quantity;
	enum delivery_state state;
	uint32_t tries;
	struct str last_error;
	int64_t created_at_ms;
	int64_t updated_at_ms;
};

/* A claimed reward. Its delivery is written in the same transaction. */
struct claim_row {
	struct claim_row *next;
	struct str player;
	const char *season;
	uint32_t tier;
	struct str pass;
	struct str reward;
	int64_t claimed_at_ms;
	struct uuid delivery;
	enum delivery_state delivery_state; /* where it is read */
};

struct pass_row {
	struct pass_row *next;
	struct str player;
	const char *season;
	struct owned_pass pass;
};

struct purchase_row {
	struct purchase_row *next;
	bool fresh; /* to be inserted; else its state is changed */
	struct uuid id;
	struct str player;
	const char *season;
	struct str pass; /* empty: tiers */
	uint32_t tiers;
	bool live; /* no second purchase of this pass, or of tiers, may stand beside it */
	struct str currency;
	uint64_t amount;
	enum purchase_state state;
	uint64_t xp_given; /* by its tiers, or by the pass's instant tiers */
	uint32_t tries;
	int64_t due_in_ms; /* until then somebody is at work on it */
	int64_t age_ms;    /* since it was created, by the database's clock */
	int64_t created_at_ms;
	int64_t updated_at_ms;
};

struct reset_row {
	struct reset_row *next;
	struct str player;
	const char *season;
	struct uuid id;
	uint64_t xp_removed;
	uint64_t overflow_paid;
	bool forget; /* its claims were moved away, and come back when it is undone */
	bool undone;
	int64_t reset_at_ms;
	struct str *forgotten; /* ids of the rewards, where it is read */
	uint32_t forgotten_count;
};

/* What a transaction writes beside the players' rows; lists in any order. */
struct changes {
	struct audit_entry *entries;
	struct claim_row *claims;        /* new */
	struct delivery_row *deliveries; /* new */
	struct delivery_row *retries;    /* failed ones that become pending again */
	struct pass_row *passes;         /* new, or set active or not */
	struct purchase_row *purchases;
	struct reset_row *resets; /* new ones move or keep claims; undone ones bring them back */
};

struct write_set {
	struct progress_row *const *rows; /* locked; all of their columns are written */
	size_t row_count;
	const struct grant_row *const *grants;
	size_t grant_count;
	struct changes changes;
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
	uint64_t change;              /* number of the row's last change */
	bool enabled;                 /* readers may trust the cache in this epoch */
	bool settled;                 /* every lease given before the last change is dead */
	bool same_database;           /* the last change was made on the server that is asked now */
	char redis_id[REDIS_ID_SIZE]; /* of the Redis of this epoch */
};

/*
 * A player in a season that no host may trust the cache about: a write could not be fenced there. Once it is settled,
 * every lease from before the row is dead, and writes need no fence as long as the row stands. It goes away only under
 * the lock of the player's progress row.
 */
struct distrust_row {
	struct str player;
	const char *season;
	struct uuid id; /* of this very row: one that comes later has another */
	bool there;     /* where it is looked for */
	bool settled;
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
	/* The same for audit entries, by player, season, action and key. */
	enum err (*find_entries)(void *self, struct audit_entry *const entries[], size_t count, bool found[],
				 struct arena *arena);
	/* Within a transaction that has locked the player's row. ERR_PURCHASE_NOT_FOUND, which rolls nothing back. */
	enum err (*find_purchase)(void *self, struct str player, const char *season, const struct uuid *id,
				  struct arena *arena, struct purchase_row *ret_purchase);
	/* The purchase that stands for this pass. */
	enum err (*live_purchase)(void *self, struct str player, const char *season, struct str pass,
				  struct arena *arena, struct purchase_row *ret_purchase);
	/* Outside a transaction: whoever was at work on these is not any more, and a courier may take them at once. */
	enum err (*release_purchases)(void *self, const struct purchase_row *const purchases[], size_t count);
	/* ERR_RESET_NOT_FOUND, which rolls nothing back. */
	enum err (*find_reset)(void *self, struct str player, const char *season, const struct uuid *id,
			       struct arena *arena, struct reset_row *ret_reset);
	/* ERR_STORE_DUPLICATE: a ledger row or an audit entry with one of the keys is there already. */
	enum err (*save)(void *self, const struct write_set *set);
	enum err (*commit)(void *self);
	void (*rollback)(void *self);

	/* Outside a transaction: cache_control if it is still at this change; ERR_OK also when somebody changed it
	 * before. */
	enum err (*switch_cache_off)(void *self, uint64_t change);
	enum err (*settle_cache)(void *self, uint64_t change);
	enum err (*cache_gate)(void *self, struct write_gate *ret_gate);

	/* Sets there, id and settled of each row (player and season are set); within a transaction or outside. */
	enum err (*find_distrust)(void *self, struct distrust_row rows[], size_t count);
	/* Outside a transaction: makes those that are not there, with these ids. */
	enum err (*distrust)(void *self, const struct distrust_row rows[], size_t count);
	/* Outside a transaction: every lease from before these very rows is dead. */
	enum err (*settle_distrust)(void *self, const struct distrust_row rows[], size_t count);
	/* Within a transaction that has locked the players' rows: the cache can be trusted about them again. */
	enum err (*forget_distrust)(void *self, const struct distrust_row rows[], size_t count);
	/*
	 * Does any host but this one say that it reaches the Redis with this identity? What is said may be old: nothing
	 * that must be right may rest on it.
	 */
	enum err (*others_reach)(void *self, const struct uuid *host, const char *redis_id, bool *ret_reach);
};

/* A page of a list: the newest first, `limit` at most, only what is older than `before`. */
struct page_query {
	struct str player;  /* empty: any; where it may be */
	const char *season; /* NULL: any */
	bool from_newest;   /* before does not count */
	struct uuid before;
	uint32_t limit;
};

struct entry_query {
	struct page_query page;
	struct str actor; /* empty: any */
	struct str action;
	int64_t from_ms; /* entered_at >= */
	int64_t to_ms;   /* entered_at < */
};

/* An entry of a chain, by its place. */
struct chain_position {
	char player[SEASON_ID_MAX + 1];
	char season[SEASON_ID_MAX + 1];
	uint64_t sequence;
};

/* A step of a purchase. */
struct purchase_step {
	struct uuid purchase;
	enum purchase_state state;
	int64_t at_ms;
};

/* What a player has in a season, without passes and claims. */
struct season_standing {
	struct str season;
	uint64_t xp;
	uint64_t revision;
	int64_t updated_at_ms;
};

/* The head of a player's chain, as its progress row says; of the operators', as the row of the flags says. */
struct chain_head {
	char player[SEASON_ID_MAX + 1];
	char season[SEASON_ID_MAX + 1];
	uint64_t count;
	unsigned char hash[AUDIT_HASH_SIZE];
};

/* What is stored, for lists and for checks: pages outside of any transaction. All: ERR_STORE_UNAVAILABLE. */
struct records_port {
	void *self;
	enum err (*claims)(void *self, const struct page_query *query, struct arena *arena, struct claim_row **ret_rows,
			   size_t *ret_count); /* before is a delivery's id */
	enum err (*purchases)(void *self, const struct page_query *query, const char *state, struct arena *arena,
			      struct purchase_row **ret_rows, size_t *ret_count); /* state NULL: any */
	enum err (*purchase)(void *self, struct str player, const char *season, const struct uuid *id,
			     struct arena *arena, struct purchase_row *ret_purchase); /* ERR_PURCHASE_NOT_FOUND */
	/* Of all these purchases (of one player), in the order of the steps. */
	enum err (*history)(void *self, struct str player, const struct purchase_row *purchases, size_t count,
			    struct arena *arena, struct purchase_step **ret_steps, size_t *ret_count);
	enum err (*deliveries)(void *self, const struct page_query *query, const char *state, struct arena *arena,
			       struct delivery_row **ret_rows, size_t *ret_count);
	enum err (*delivery)(void *self, const struct uuid *id, struct arena *arena,
			     struct delivery_row *ret_delivery); /* ERR_DELIVERY_NOT_FOUND */
	enum err (*entries)(void *self, const struct entry_query *query, struct arena *arena,
			    struct audit_entry **ret_rows, size_t *ret_count);
	/* Every season the player has a row in. */
	enum err (*standings)(void *self, struct str player, struct arena *arena, struct season_standing **ret_rows,
			      size_t *ret_count);
	/*
	 * Entries in the order of their chains (player, season, sequence) behind a position (zeroed: from the first),
	 * of one player or season where they are not NULL. First comes the operators' chain, of no player and season.
	 */
	enum err (*chain)(void *self, const char *player, const char *season, const struct chain_position *after,
			  uint32_t limit, struct arena *arena, struct audit_entry **ret_rows, size_t *ret_count);
	/*
	 * The heads of the chains in the same order, behind a player and season (of neither, sequence 0: from the
	 * first); only those with entries.
	 */
	enum err (*chain_heads)(void *self, const char *player, const char *season, const struct chain_position *after,
				uint32_t limit, struct arena *arena, struct chain_head **ret_heads, size_t *ret_count);
};

enum { WARMING_FROM_NEWEST = INT32_MAX }; /* an hour behind all others */

/* The warming that was asked for last, and how far it has come. */
struct warming {
	uint64_t request;               /* counts them */
	uint64_t epoch;                 /* the newest that a warming was begun for */
	char season[SEASON_ID_MAX + 1]; /* empty: all that are active */
	uint64_t players;               /* how many at most */
	bool done;
	uint64_t expected; /* how many players it will look at; 0: not known yet */
	uint64_t looked_at;
	uint64_t loaded; /* of these, who were not in the cache */
	/* Where it is: behind this player, of those who were active last in this hour. */
	char at_season[SEASON_ID_MAX + 1];
	uint32_t at_hour;
	char at_player[SEASON_ID_MAX + 1];
};

/* What operators steer. */
struct operator_state {
	struct cache_flags flags;
	struct write_gate gate;
	struct warming warming;
	/* The head of the operators' chain in the audit log: its entries have neither player nor season. */
	uint64_t audit_count;
	unsigned char audit_hash[AUDIT_HASH_SIZE];
};

/* A transaction of an operator: lock, find, save, commit; errors as in store_port. */
struct operators_port {
	void *self;
	/* Outside of any transaction, one snapshot. ERR_STORE_UNAVAILABLE. */
	enum err (*read)(void *self, struct operator_state *ret_state);
	/* Begins, and lets one operator in at a time. */
	enum err (*lock)(void *self, struct operator_state *ret_state);
	/* Fills in the stored entry of this action and key, if there is one. */
	enum err (*find)(void *self, struct audit_entry *entry, bool *ret_found, struct arena *arena);
	/* Writes what differs, the chain's head and the entry. A gate that is no longer enabled is a change of its row.
	 */
	enum err (*save)(void *self, const struct operator_state *before, const struct operator_state *after,
			 struct audit_entry *entry);
	enum err (*commit)(void *self);
	void (*rollback)(void *self);
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
	bool stands;       /* the revision is not new: a relay or auditor only takes away what is older */
	uint64_t revision; /* after the write */
	uint64_t season_revision;
	struct str body; /* the document after the write; empty where nothing changed */
	uint64_t nonce;  /* of this attempt's fence; set by fence() */
};

enum cache_held {
	CACHE_HOLDS_NOTHING,
	CACHE_HOLDS_VALUE, /* V */
	CACHE_HOLDS_FENCE, /* T */
	CACHE_HOLDS_TOKEN, /* L */
	CACHE_HOLDS_OTHER, /* nothing of ours */
	CACHE_HELD_COUNT
};

/* What Redis holds of a player and season, for people and for the auditor. */
struct cache_content {
	struct str player;
	const char *season;
	/* results */
	enum cache_held held;
	uint64_t revision;        /* of a value; of a fence: its floor */
	uint64_t season_revision; /* of a value */
	int64_t ttl_ms;           /* how long it will live; negative: for ever */
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
	/* Looks without touching, in the gate's epoch and on the gate's Redis; false: it did not answer. */
	bool (*peek)(void *self, const struct write_gate *gate, struct cache_content *contents, size_t count,
		     struct arena *arena);
	/*
	 * Each of these in the gate's epoch and on the gate's Redis, or ERR_CACHE_UNAVAILABLE; ERR_CACHE_AHEAD: the
	 * cache holds a value that this database has not made yet, as after it was restored. A fence whose write does
	 * not come to its commit stays: one that were lowered again could be lowered late, under another writer's feet.
	 */
	enum err (*fence)(void *self, const struct write_gate *gate, struct cache_write *const writes[], size_t count);
	enum err (*confirm)(void *self, const struct write_gate *gate, struct cache_write *const writes[],
			    size_t count);
};

/* What became of one reward that was to be claimed. */
enum claim_status { CLAIM_CLAIMED, CLAIM_ALREADY_CLAIMED, CLAIM_LOCKED, CLAIM_UNKNOWN, CLAIM_STATUS_COUNT };

struct claim_outcome {
	struct str reward;
	enum claim_status status;
	struct uuid delivery;     /* CLAIMED */
	uint32_t missing_tier;    /* LOCKED: the tier to be reached; 0: it is */
	const char *missing_pass; /* LOCKED: the pass to be had; NULL: it is */
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
	/* Appends the state of a player as audit entries have it: revision, xp, tier, passes, number of claims. */
	void (*render_state)(const struct season *season, const struct progress_row *row, struct buf *out);
	/* Appends what a claim's answer says: revision and results. */
	void (*render_claims)(const struct claim_outcome *outcomes, size_t count, uint64_t revision, struct buf *out);
};

enum economy_verb { ECONOMY_DEBIT, ECONOMY_LOOKUP, ECONOMY_CANCEL, ECONOMY_REFUND, ECONOMY_DELIVER };

enum economy_outcome {
	ECONOMY_WAITING,
	ECONOMY_UNKNOWN,    /* anything that proves nothing: no answer, 5xx, 429, a redirect, a wrong echo, rubbish */
	ECONOMY_EXECUTED,   /* proven: charged, with this player, currency and amount (of a cancel: too late for it) */
	ECONOMY_DECLINED,   /* proven: refused, nothing charged */
	ECONOMY_VOIDED,     /* proven: never charged, and a late debit is refused */
	ECONOMY_REFUNDED,   /* proven: the money is back */
	ECONOMY_KEY_REUSED, /* the key is known there with another body */
	ECONOMY_NEVER_SEEN, /* 404 for this key */
	ECONOMY_DELIVERED,
	ECONOMY_REJECTED, /* a delivery that will never be taken: 4xx */
};

/* A call of the economy service. It stays where it is until its outcome is there or it was abandoned. */
struct economy_call {
	enum economy_verb verb;
	struct uuid key; /* of the purchase or delivery */
	struct str player;
	struct str currency; /* DEBIT and what is asked about it */
	uint64_t amount;
	struct str kind; /* DELIVER */
	struct str item;
	uint64_t quantity;
	struct str reference;   /* season and pass, or season and reward: for people */
	struct str traceparent; /* of the request that it is for; empty: none, and the call is a trace of its own */
	/* results */
	enum economy_outcome outcome;
	char detail[128]; /* what was wrong, for the log and the delivery's last_error; printable ASCII */
	void *transfer;   /* the room's own while it waits */
};

struct economy_port {
	void *self;
	/* Sends the call; never waits. The outcome is ECONOMY_WAITING, or at once ECONOMY_UNKNOWN. */
	void (*begin)(void *self, struct economy_call *call);
	/* Readable when drive() has something to do; drive() is due after timeout_ms() at the latest (-1: not). */
	int (*fd)(void *self);
	int (*timeout_ms)(void *self);
	/* Goes on with all calls; never waits. */
	void (*drive)(void *self);
	/* Drops a call that waits: its outcome is ECONOMY_UNKNOWN. */
	void (*abandon)(void *self, struct economy_call *call);
};

#endif
