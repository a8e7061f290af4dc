/*
 * What Prometheus reads: counters, times, gauges and histograms in shared memory, without locks.
 *
 * Each process owns a slot and only ever adds to it with relaxed stores; a reader sums the slots. A slot outlives its
 * process, so that counters never go back when a worker is replaced. A gauge, how something is now, has one value a
 * host, set by the one process that knows it, and keeps it until it is set again.
 *
 * METRIC_TABLE declares all of them: X(name, type, unit, first label, second label, text, help). A metric with labels
 * has a cell for each pair of their values; those that are 0 are not printed.
 *
 *   COUNTER   counts; text ends in _total
 *   TIME      adds microseconds up, and is printed in seconds; text ends in _seconds_total
 *   GAUGE     has no labels
 *   DURATION  a histogram of microseconds, printed in seconds; text ends in _seconds
 *   SIZE      a histogram of how many there were of something
 *
 * Of purchases, deliveries and distrusted players, gauges are of the whole database, as this host saw it last: hosts
 * say the same, and their values are not to be added. Gauges of Redis are of the one that this host reaches.
 */
#ifndef BP_BASE_METRICS_H
#define BP_BASE_METRICS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

/* Labels with the values that they can have. */
#define METRIC_SOURCE_VALUES(X)    X(NONE, "none") X(CACHE, "cache") X(STORE, "store")
#define METRIC_LANE_VALUES(X)      X(READ, "read") X(STORE, "store") X(PURCHASE, "purchase") X(ADMIN, "admin")
#define METRIC_BREAKER_VALUES(X)   X(CLOSED, "closed") X(OPEN, "open") X(HALF_OPEN, "half_open")
#define METRIC_STATEMENT_VALUES(X) X(READ, "read") X(WRITE, "write") X(BEGIN, "begin") X(COMMIT, "commit")
/* In the order of enum purchase_state. */
#define METRIC_PURCHASE_VALUES(X)                                                                                      \
	X(DEBITING, "debiting")                                                                                        \
	X(GRANTED, "granted")                                                                                          \
	X(DECLINED, "declined") X(CANCELLING, "cancelling") X(CANCELLED, "cancelled") X(REFUNDING, "refunding")        \
		X(REFUNDED, "refunded") X(STUCK, "stuck") X(CLOSED, "closed")
#define METRIC_DELIVERY_VALUES(X) X(DELIVERED, "delivered") X(RETRIED, "retried") X(FAILED, "failed")

#define X(name, text) METRIC_SOURCE_##name,
enum { METRIC_SOURCE_VALUES(X) METRIC_SOURCE_COUNT };
#undef X
#define X(name, text) METRIC_LANE_##name,
enum { METRIC_LANE_VALUES(X) METRIC_LANE_COUNT };
#undef X
#define X(name, text) METRIC_BREAKER_##name,
enum { METRIC_BREAKER_VALUES(X) METRIC_BREAKER_COUNT };
#undef X
#define X(name, text) METRIC_STATEMENT_##name,
enum { METRIC_STATEMENT_VALUES(X) METRIC_STATEMENT_COUNT };
#undef X
#define X(name, text) METRIC_PURCHASE_##name,
enum { METRIC_PURCHASE_VALUES(X) METRIC_PURCHASE_COUNT };
#undef X
#define X(name, text) METRIC_DELIVERY_##name,
enum { METRIC_DELIVERY_VALUES(X) METRIC_DELIVERY_COUNT };
#undef X

/* Routes are numbered by api/routes.h, from 1; 0: none. Statuses by metric_status(). */
enum { METRIC_NONE_COUNT = 1, METRIC_ROUTE_COUNT = 48, METRIC_STATUS_COUNT = 24 };

/* Upper bounds of the buckets, beside +Inf. */
enum { METRIC_DURATION_BUCKETS = 14, METRIC_SIZE_BUCKETS = 9 };

#define METRIC_TABLE(X)                                                                                                \
	X(REQUESTS, COUNTER, NONE, ROUTE, STATUS, "battlepass_requests_total", "Requests answered.")                   \
	X(REQUEST_DURATION, DURATION, SECONDS, ROUTE, SOURCE, "battlepass_request_duration_seconds",                   \
	  "From a request's turn to its answer.")                                                                      \
	X(REQUESTS_SHED, COUNTER, NONE, NONE, NONE, "battlepass_requests_shed_total",                                  \
	  "Requests refused because they had waited too long.")                                                        \
	X(REQUESTS_ABANDONED, COUNTER, NONE, NONE, NONE, "battlepass_requests_abandoned_total",                        \
	  "Requests dropped because their client had gone.")                                                           \
	X(REDIRECTS, COUNTER, NONE, NONE, NONE, "battlepass_lane_redirects_total", "Requests handed to another lane.") \
	X(TURN_REQUESTS, SIZE, NONE, LANE, NONE, "battlepass_turn_requests", "Requests a turn.")                       \
	X(STORE_LANE_BUSY, TIME, SECONDS, NONE, NONE, "battlepass_store_lane_busy_seconds_total",                      \
	  "Time that processes of the store lane have spent in turns.")                                                \
	X(SIGNATURES_CHECKED, COUNTER, NONE, NONE, NONE, "battlepass_token_signatures_checked_total",                  \
	  "Tokens that were not remembered.")                                                                          \
	X(TOKENS_VERIFIED, COUNTER, NONE, NONE, NONE, "battlepass_tokens_verified_total",                              \
	  "Token checks that succeeded.")                                                                              \
	X(TOKENS_REFUSED, COUNTER, NONE, NONE, NONE, "battlepass_tokens_refused_total", "Token checks that failed.")   \
	X(CACHE_HITS, COUNTER, NONE, NONE, NONE, "battlepass_cache_hits_total", "Progress reads answered from Redis.") \
	X(CACHE_UNCONFIRMED, COUNTER, NONE, NONE, NONE, "battlepass_cache_hits_unconfirmed_total",                     \
	  "Of the hits, those served and marked while the database could not be asked.")                               \
	X(CACHE_MISSES, COUNTER, NONE, NONE, NONE, "battlepass_cache_misses_total",                                    \
	  "Progress reads that needed the database.")                                                                  \
	X(CACHE_BYPASSED, COUNTER, NONE, NONE, NONE, "battlepass_cache_bypassed_total",                                \
	  "Progress reads that the flags sent around the cache.")                                                      \
	X(CACHE_FILLS, COUNTER, NONE, NONE, NONE, "battlepass_cache_fills_total",                                      \
	  "Documents that readers put into Redis.")                                                                    \
	X(CACHE_FILLS_REFUSED, COUNTER, NONE, NONE, NONE, "battlepass_cache_fills_refused_total",                      \
	  "Fills that Redis refused as possibly old.")                                                                 \
	X(CACHE_FENCES, COUNTER, NONE, NONE, NONE, "battlepass_cache_fences_total", "Fences set before a commit.")     \
	X(CACHE_CONFIRMS, COUNTER, NONE, NONE, NONE, "battlepass_cache_confirms_total",                                \
	  "Confirmations after a commit.")                                                                             \
	X(CACHE_ERRORS, COUNTER, NONE, NONE, NONE, "battlepass_cache_errors_total",                                    \
	  "Redis connections given up for an error or a timeout.")                                                     \
	X(CACHE_SWITCHED_OFF, COUNTER, NONE, NONE, NONE, "battlepass_cache_switched_off_total",                        \
	  "Times a write turned the cache off.")                                                                       \
	X(CACHE_DISTRUSTS, COUNTER, NONE, NONE, NONE, "battlepass_cache_distrusts_total",                              \
	  "Times a write made all hosts distrust one player.")                                                         \
	X(CACHE_RELAYED, COUNTER, NONE, NONE, NONE, "battlepass_cache_relayed_total",                                  \
	  "Distrusted players that were fenced and trusted again.")                                                    \
	X(CACHE_DISTRUSTED, GAUGE, NONE, NONE, NONE, "battlepass_cache_distrusted_players",                            \
	  "Players that no host trusts the cache about.")                                                              \
	X(CACHE_EPOCHS, COUNTER, NONE, NONE, NONE, "battlepass_cache_epochs_total",                                    \
	  "New epochs begun by this host's steward.")                                                                  \
	X(CACHE_WARMED, COUNTER, NONE, NONE, NONE, "battlepass_cache_warmed_total",                                    \
	  "Documents that warming put into Redis.")                                                                    \
	X(CACHE_AUDIT_CHECKS, COUNTER, NONE, NONE, NONE, "battlepass_cache_audit_checks_total",                        \
	  "Cached answers compared with the database.")                                                                \
	X(CACHE_AUDIT_STALE, COUNTER, NONE, NONE, NONE, "battlepass_cache_audit_stale_total",                          \
	  "Cached answers that were not what the database says: not 0 is an alarm.")                                   \
	X(BREAKER_STATE, GAUGE, NONE, NONE, NONE, "battlepass_cache_breaker_state",                                    \
	  "Is Redis asked? 0: yes; 1: no; 2: soon, a probe has found it well.")                                        \
	X(BREAKER_ENTERED, COUNTER, NONE, BREAKER, NONE, "battlepass_cache_breaker_transitions_total",                 \
	  "Times the breaker of Redis came into this state.")                                                          \
	X(BREAKER_SPENT, TIME, SECONDS, BREAKER, NONE, "battlepass_cache_breaker_state_seconds_total",                 \
	  "Time that the breaker of Redis has spent in this state.")                                                   \
	X(REDIS_MEMORY, GAUGE, BYTES, NONE, NONE, "battlepass_redis_memory_bytes",                                     \
	  "What Redis holds, by its own account (used_memory).")                                                       \
	X(REDIS_MEMORY_MAX, GAUGE, BYTES, NONE, NONE, "battlepass_redis_memory_max_bytes",                             \
	  "What it may hold before it evicts (maxmemory); 0: no limit.")                                               \
	X(REDIS_KEYS, GAUGE, NONE, NONE, NONE, "battlepass_redis_keys",                                                \
	  "Keys in Redis, of all epochs and others' too.")                                                             \
	X(REDIS_EVICTED, GAUGE, NONE, NONE, NONE, "battlepass_redis_evicted_keys",                                     \
	  "Keys that Redis has evicted since it was started.")                                                         \
	X(STORE_UP, GAUGE, NONE, NONE, NONE, "battlepass_store_up",                                                    \
	  "Does the database answer this host's steward? 1: yes; 0: no.")                                              \
	X(STORE_DURATION, DURATION, SECONDS, STATEMENT, NONE, "battlepass_store_duration_seconds",                     \
	  "What the database takes for a statement.")                                                                  \
	X(STORE_TRANSACTIONS, COUNTER, NONE, NONE, NONE, "battlepass_store_transactions_total",                        \
	  "Transactions committed.")                                                                                   \
	X(STORE_TRANSACTION_WRITES, SIZE, NONE, NONE, NONE, "battlepass_store_transaction_writes",                     \
	  "Writes a committed transaction.")                                                                           \
	X(STORE_RETRIES, COUNTER, NONE, NONE, NONE, "battlepass_store_retries_total",                                  \
	  "Transactions rolled back and tried again.")                                                                 \
	X(STORE_DEADLOCKS, COUNTER, NONE, NONE, NONE, "battlepass_store_deadlocks_total",                              \
	  "Transactions that the database rolled back because of a deadlock.")                                         \
	X(STORE_CONNECTS, COUNTER, NONE, NONE, NONE, "battlepass_store_connects_total",                                \
	  "Database connections opened.")                                                                              \
	X(SEASON_LOADS, COUNTER, NONE, NONE, NONE, "battlepass_season_loads_total",                                    \
	  "Season definitions loaded and parsed, once a process.")                                                     \
	X(SEASON_LOADS_LATE, COUNTER, NONE, NONE, NONE, "battlepass_season_loads_late_total",                          \
	  "Of these, those that a request waited for.")                                                                \
	X(XP_GRANTS, COUNTER, NONE, NONE, NONE, "battlepass_xp_grants_total", "XP grants made.")                       \
	X(XP_GRANTS_REPLAYED, COUNTER, NONE, NONE, NONE, "battlepass_xp_grants_replayed_total",                        \
	  "XP grants answered from the ledger.")                                                                       \
	X(XP_GRANTS_REJECTED, COUNTER, NONE, NONE, NONE, "battlepass_xp_grants_rejected_total", "XP grants refused.")  \
	X(XP_GRANT_BATCH, SIZE, NONE, NONE, NONE, "battlepass_xp_grant_batch_grants", "Grants a batch.")               \
	X(CLAIMS, COUNTER, NONE, NONE, NONE, "battlepass_claims_total",                                                \
	  "Claims made, also those that found nothing left.")                                                          \
	X(CLAIMED_REWARDS, COUNTER, NONE, NONE, NONE, "battlepass_claimed_rewards_total",                              \
	  "Rewards claimed, by players, support and when claims had closed.")                                          \
	X(AUTO_CLAIMS, COUNTER, NONE, NONE, NONE, "battlepass_auto_claims_total",                                      \
	  "Players whose rewards were claimed when claims had closed.")                                                \
	X(RESETS, COUNTER, NONE, NONE, NONE, "battlepass_resets_total", "Players reset by support.")                   \
	X(PURCHASES, COUNTER, NONE, PURCHASE, NONE, "battlepass_purchases_total",                                      \
	  "Purchases that came into this state.")                                                                      \
	X(CONVERSIONS, COUNTER, NONE, NONE, NONE, "battlepass_conversions_total",                                      \
	  "Purchases that gave a player the first pass of a season.")                                                  \
	X(PURCHASES_OPEN, GAUGE, NONE, NONE, NONE, "battlepass_purchases_open",                                        \
	  "Purchases that wait for a proven word of the economy.")                                                     \
	X(PURCHASES_STUCK, GAUGE, NONE, NONE, NONE, "battlepass_purchases_stuck",                                      \
	  "Purchases that only a person can decide: not 0 is an alarm.")                                               \
	X(DELIVERIES, COUNTER, NONE, DELIVERY, NONE, "battlepass_deliveries_total",                                    \
	  "Deliveries by what a try came to.")                                                                         \
	X(DELIVERIES_PENDING, GAUGE, NONE, NONE, NONE, "battlepass_deliveries_pending",                                \
	  "Deliveries that are to be sent.")                                                                           \
	X(DELIVERIES_FAILED, GAUGE, NONE, NONE, NONE, "battlepass_deliveries_failed",                                  \
	  "Deliveries that wait for an admin.")                                                                        \
	X(DELIVERIES_OLDEST, GAUGE, SECONDS, NONE, NONE, "battlepass_deliveries_oldest_pending_seconds",               \
	  "Age of the oldest delivery to be sent.")                                                                    \
	X(ECONOMY_UNKNOWN, COUNTER, NONE, NONE, NONE, "battlepass_economy_unknown_total",                              \
	  "Courier calls whose answer proved nothing.")                                                                \
	X(PROCESS_DEATHS, COUNTER, NONE, NONE, NONE, "battlepass_process_deaths_total",                                \
	  "Processes that ended unasked.")                                                                             \
	X(PROCESS_STARTS, COUNTER, NONE, NONE, NONE, "battlepass_process_starts_total",                                \
	  "Processes started by the master.")                                                                          \
	X(MEMORY, GAUGE, BYTES, NONE, NONE, "battlepass_private_memory_bytes",                                         \
	  "Private memory of all processes of this host.")                                                             \
	X(STARTED, GAUGE, SECONDS, NONE, NONE, "battlepass_start_time_seconds",                                        \
	  "When the master was started, since 1970.")

enum metric {
#define X(name, type, unit, first, second, text, help) METRIC_##name,
	METRIC_TABLE(X)
#undef X
		METRIC_COUNT
};

/* What a metric takes of a slot: buckets, +Inf and the sum of a histogram stand together. */
enum {
	METRIC_COUNTER_CELLS = 1,
	METRIC_TIME_CELLS = 1,
	METRIC_GAUGE_CELLS = 1,
	METRIC_DURATION_CELLS = METRIC_DURATION_BUCKETS + 2,
	METRIC_SIZE_CELLS = METRIC_SIZE_BUCKETS + 2,
};
enum {
#define X(name, type, unit, first, second, text, help)                                                                 \
	METRIC_AT_##name,                                                                                              \
		METRIC_LAST_##name = METRIC_AT_##name +                                                                \
				     METRIC_##first##_COUNT * METRIC_##second##_COUNT * METRIC_##type##_CELLS - 1,
	METRIC_TABLE(X)
#undef X
		METRIC_CELLS
};

enum { METRICS_SLOTS = 1024 };

struct metrics {
	struct metrics_slot {
		uint64_t cells[METRIC_CELLS];
	} __attribute__((aligned(64))) slots[METRICS_SLOTS];
	bool attached[METRICS_SLOTS]; /* memory of the others is never touched */
	uint64_t gauges[METRIC_COUNT];
};

/* Chooses this process's slot; without it (tests, tools) counts go nowhere. metrics must outlive the process's use. */
void metrics_attach(struct metrics *metrics, unsigned slot);
/* COUNTER and TIME; a label that the metric has not is 0. */
void metrics_add(enum metric metric, uint64_t count);
void metrics_add_at(enum metric metric, unsigned first, unsigned second, uint64_t count);
/* DURATION (microseconds) and SIZE. */
void metrics_observe(enum metric metric, unsigned first, unsigned second, uint64_t value);
/* GAUGE. */
void metrics_set(enum metric metric, uint64_t value);
/* The number of a status of HTTP; those that nobody knows share one. */
unsigned metric_status(int status);

/* COUNTER and TIME: over all processes and labels. */
uint64_t metrics_sum(const struct metrics *metrics, enum metric metric);
uint64_t metrics_value(const struct metrics *metrics, enum metric metric);

/* What names a route in labels: method="GET",route="/v1/seasons". */
typedef void metrics_route_labels(unsigned route, struct buf *out);

enum metrics_format {
	METRICS_PROMETHEUS, /* the text format, version 0.0.4 */
	METRICS_OPENMETRICS /* version 1.0.0 */
};
/* Appends all of them. */
void metrics_print(const struct metrics *metrics, metrics_route_labels *routes, enum metrics_format format,
		   struct buf *out);

#endif
