/*
 * The store: MySQL or MariaDB. Implements struct store_port of service/ports.h, and what the steward and battlepassctl
 * need besides. One connection, opened when first needed; after fork.
 */
#ifndef BP_STORE_STORE_H
#define BP_STORE_STORE_H

#include "base/conf.h"
#include "service/ports.h"

struct store;

enum {
	STORE_REPLY_S = 5,         /* longer than any statement of a request may take */
	STORE_STEWARD_REPLY_S = 1, /* the steward must not sleep on a database that hangs */
};

/* conf is borrowed for the store's life. reply_timeout_s: how long an answer of the server is waited for. */
struct store *store_new(const struct conf *conf, unsigned reply_timeout_s);
void store_free(struct store *store);
const struct store_port *store_port(const struct store *store);
const struct records_port *store_records(const struct store *store);
const struct operators_port *store_operators(const struct store *store);

/* Connects and checks the schema. ERR_STORE_UNAVAILABLE, ERR_STORE_SCHEMA; detail: what the server said (256 bytes). */
enum err store_check(struct store *store, char *detail);
/* The version of the schema that was found; 0: it never was. This build brings SCHEMA_VERSION (migrate.h). */
uint64_t store_schema(const struct store *store);
/* How the database is set up: for people (inspect.c). */
struct store_facts {
	char version[64];
	int64_t unix_ms; /* its clock */
	uint64_t connections_max;
	uint64_t flush_at_commit; /* innodb_flush_log_at_trx_commit */
	bool binary_log;
	uint64_t sync_binary_log; /* sync_binlog */
	uint64_t seasons;         /* published */
};

enum err store_inspect(struct store *store, struct store_facts *ret_facts);
/* What the server said last. */
const char *store_error(const struct store *store);

/*
 * cache_control as the steward sees it, the version of the season directory, the flags, and whom nobody may trust the
 * cache about: one snapshot, in one round trip.
 */
enum { DISTRUSTED_MAX = 1000 };

struct store_control {
	struct write_gate gate;
	uint64_t directory_version;
	struct cache_flags flags;
	uint32_t distrusted_count; /* more than DISTRUSTED_MAX: only so many are named, and everybody is to be
				      distrusted */
	struct store_distrusted {
		char player[SEASON_ID_MAX + 1];
		char season[SEASON_ID_MAX + 1];
	} distrusted[DISTRUSTED_MAX];
};

enum err store_control_read(struct store *store, struct store_control *ret_control);
/* Those of cache_distrust that have stood for so long, the oldest first. */
enum err store_distrust_page(struct store *store, int64_t older_than_ms, uint32_t limit, struct arena *arena,
			     struct distrust_row **ret_rows, size_t *ret_count);
/* This host reaches the Redis with this identity; empty: none. */
enum err store_say_host(struct store *store, const struct uuid *id, const char *redis_id);
/* Those that have said nothing for an hour. */
enum err store_forget_hosts(struct store *store);
/*
 * Begins a new epoch for the Redis with this identity if the row is still as the gate says. ERR_OK whether or not it
 * was; read it again.
 */
enum err store_new_epoch(struct store *store, const struct write_gate *gate, const char *redis_id);
enum err store_settle(struct store *store, uint64_t change);
/* The player's revision in the season (0: no row), cache_control, and whether the player is distrusted: one snapshot.
 */
enum err store_revision(struct store *store, struct str player, const char *season, struct write_gate *ret_gate,
			uint64_t *ret_revision, bool *ret_distrusted);

/*
 * The courier's work. Times are the database's clock, so that hosts need not agree. Taking gives what is due to `owner`
 * alone until hold_ms have passed, and counts a try; what is not given back by then is due again, for anybody.
 */
enum err store_take_purchases(struct store *store, const struct uuid *owner, int64_t hold_ms, uint32_t limit,
			      struct arena *arena, struct purchase_row **ret_rows, size_t *ret_count);
enum err store_take_deliveries(struct store *store, const struct uuid *owner, int64_t hold_ms, uint32_t limit,
			       struct arena *arena, struct delivery_row **ret_rows, size_t *ret_count);
/* Still owned and open: it is due again in this time. Of somebody else's: nothing happens. */
enum err store_put_off_purchase(struct store *store, const struct uuid *owner, const struct purchase_row *purchase,
				int64_t due_in_ms);
/*
 * The same for deliveries, whose state and last_error are written, too (PENDING: due again in due_in_ms[i]). One
 * transaction for all.
 */
enum err store_end_deliveries(struct store *store, const struct uuid *owner,
			      const struct delivery_row *const deliveries[], const int64_t due_in_ms[], size_t count);

/* What stands in the outbox and what needs a person: for metrics. Counted up to 100,000 each. */
struct store_backlog {
	uint64_t purchases_open; /* debiting, cancelling, refunding */
	uint64_t purchases_stuck;
	uint64_t deliveries_pending;
	uint64_t deliveries_failed;
	int64_t oldest_pending_ms; /* age of the delivery that waits longest; 0: none does */
};

enum err store_backlog(struct store *store, struct store_backlog *ret_backlog);

/*
 * A chore that one host at a time does for all. Holds it for hold_ms if it is free or held by owner; ret_held says
 * whether. position and done: as they were left. ERR_OK whether or not it was taken.
 */
struct store_chore {
	char position[SEASON_ID_MAX + 1];
	bool done;
};

enum err store_hold_chore(struct store *store, const char *name, const struct uuid *owner, int64_t hold_ms,
			  bool *ret_held, struct store_chore *ret_chore);
/* Only while it is held by owner. */
enum err store_leave_chore(struct store *store, const char *name, const struct uuid *owner,
			   const struct store_chore *chore);
/* Players with a row in this season, by id, behind `after` (empty: from the first). */
enum err store_season_players(struct store *store, const char *season, struct str after, uint32_t limit,
			      struct arena *arena, struct str **ret_players, size_t *ret_count);

/*
 * Warming. Players of a season behind the place that `at` names (hour and player), the last active first; and how many
 * there are, counted up to a limit.
 */
struct active_player {
	struct str player;
	uint32_t hour;
};

enum err store_active_players(struct store *store, const char *season, const struct warming *at, uint32_t limit,
			      struct arena *arena, struct active_player **ret_rows, size_t *ret_count);
enum err store_count_active(struct store *store, const char *season, uint64_t limit, uint64_t *ret_count);
/* Only while it is still this request. ERR_OK whether or not it was. */
enum err store_save_warming(struct store *store, const struct warming *warming, uint64_t request);

/* Seasons. */
enum err store_directory(struct store *store, uint64_t version, struct directory_content *ret_content);

struct season_head {
	const char *season;
	uint64_t revision; /* published last; 0: never */
	enum season_state stored_state;
	struct season_times times;
	int64_t in_force_at_ms;     /* when the revision takes force, or took it; 0: long ago */
	uint64_t previous_revision; /* in force until then; 0: none */
	struct season_times previous_times;
	bool has_draft; /* there is a document that is not published */
};

enum { SEASON_SWITCH_LEAD_MS = 2000 }; /* 1 s for every host to see a publish, 1 s to load it */

enum err store_season_heads(struct store *store, struct arena *arena, struct season_head **ret_heads,
			    size_t *ret_count);
/* Keeps the document as the season's draft, replacing an older draft; a new season gets the times given. */
enum err store_season_import(struct store *store, const char *season, struct str document,
			     const struct season_times *times, int64_t now_ms);
/*
 * The draft becomes the next revision, and is in force from lead_ms after now by the database's clock. Revisions take
 * force one after the other: ERR_SEASON_SWITCH_PENDING: the one before is not in force yet, try again in wait_ms.
 * ERR_NOT_FOUND: there is no draft (or season). ERR_REVISION_CHANGED: the draft is not this document any more.
 */
struct season_publication {
	const char *season;
	struct str document; /* the draft, as it was checked */
	struct season_times times;
	int64_t lead_ms;
	/* results */
	uint64_t revision;
	int64_t in_force_at_ms;
	int64_t wait_ms;
};

enum err store_season_publish(struct store *store, struct season_publication *publication);
/* The document at a revision (0: the draft). ERR_SEASON_NOT_FOUND. */
enum err store_season_document(struct store *store, const char *season, uint64_t revision, struct arena *arena,
			       struct str *ret_document);

#endif
