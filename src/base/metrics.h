/*
 * Counters in shared memory. Each process owns a slot and only ever adds to it with relaxed stores; a reader sums the
 * slots. A slot outlives its process, so that counters never go back when a worker is replaced. One table declares name
 * and help of each; Prometheus text comes out of metrics_print().
 *
 * Beside them stand gauges: how something is now. Each has one value a host, set by the one process that knows it, and
 * keeps it until it is set again.
 */
#ifndef BP_BASE_METRICS_H
#define BP_BASE_METRICS_H

#include <stdint.h>

#include "base/buf.h"

#define METRIC_TABLE(X)                                                                                                \
	X(TURNS, "battlepass_turns_total", "Turns in which at least one request was answered.")                        \
	X(REQUESTS, "battlepass_requests_total", "Requests answered.")                                                 \
	X(RESPONSES_4XX, "battlepass_responses_client_error_total", "Answers with a status of 400 to 499.")            \
	X(RESPONSES_5XX, "battlepass_responses_server_error_total", "Answers with a status of 500 to 599.")            \
	X(REQUESTS_SHED, "battlepass_requests_shed_total", "Requests refused because they had waited too long.")       \
	X(REQUESTS_ABANDONED, "battlepass_requests_abandoned_total",                                                   \
	  "Requests dropped because their client had gone.")                                                           \
	X(REDIRECTS, "battlepass_lane_redirects_total", "Requests handed to another lane.")                            \
	X(CACHE_HITS, "battlepass_cache_hits_total", "Progress reads answered from Redis.")                            \
	X(CACHE_MISSES, "battlepass_cache_misses_total", "Progress reads that needed the database.")                   \
	X(CACHE_BYPASSED, "battlepass_cache_bypassed_total", "Progress reads that the flags sent around the cache.")   \
	X(CACHE_FILLS, "battlepass_cache_fills_total", "Documents that readers put into Redis.")                       \
	X(CACHE_FILLS_REFUSED, "battlepass_cache_fills_refused_total", "Fills that Redis refused as possibly old.")    \
	X(CACHE_FENCES, "battlepass_cache_fences_total", "Fences set before a commit.")                                \
	X(CACHE_CONFIRMS, "battlepass_cache_confirms_total", "Confirmations after a commit.")                          \
	X(CACHE_ERRORS, "battlepass_cache_errors_total", "Redis connections given up for an error or a timeout.")      \
	X(CACHE_SWITCHED_OFF, "battlepass_cache_switched_off_total", "Times a write turned the cache off.")            \
	X(CACHE_DISTRUSTS, "battlepass_cache_distrusts_total", "Times a write made all hosts distrust one player.")    \
	X(CACHE_RELAYED, "battlepass_cache_relayed_total", "Distrusted players that were fenced and trusted again.")   \
	X(BREAKER_OPENED, "battlepass_cache_breaker_opened_total", "Times this host stopped asking Redis.")             \
	X(BREAKER_HALF_OPENED, "battlepass_cache_breaker_half_opened_total", "Times a probe found Redis well again.")  \
	X(BREAKER_CLOSED, "battlepass_cache_breaker_closed_total", "Times this host began to ask Redis again.")        \
	X(CACHE_EPOCHS, "battlepass_cache_epochs_total", "New epochs begun by this host's steward.")                   \
	X(CACHE_WARMED, "battlepass_cache_warmed_total", "Documents that warming put into Redis.")                     \
	X(CACHE_AUDIT_CHECKS, "battlepass_cache_audit_checks_total", "Cached answers compared with the database.")     \
	X(CACHE_AUDIT_STALE, "battlepass_cache_audit_stale_total",                                                     \
	  "Cached answers that were not what the database says: not 0 is an alarm.")                                   \
	X(STORE_LANE_BUSY, "battlepass_store_lane_busy_microseconds_total",                                            \
	  "Time that processes of the store lane have spent in turns.")                                                \
	X(STORE_TRANSACTIONS, "battlepass_store_transactions_total", "Transactions committed.")                        \
	X(STORE_RETRIES, "battlepass_store_retries_total", "Transactions rolled back and tried again.")                \
	X(STORE_CONNECTS, "battlepass_store_connects_total", "Database connections opened.")                           \
	X(SEASON_LOADS, "battlepass_season_loads_total", "Season definitions loaded and parsed, once a process.")      \
	X(SEASON_LOADS_LATE, "battlepass_season_loads_late_total", "Of these, those that a request waited for.")       \
	X(XP_GRANTS, "battlepass_xp_grants_total", "XP grants made.")                                                  \
	X(XP_GRANTS_REPLAYED, "battlepass_xp_grants_replayed_total", "XP grants answered from the ledger.")            \
	X(XP_GRANTS_REJECTED, "battlepass_xp_grants_rejected_total", "XP grants refused.")                             \
	X(TOKENS_VERIFIED, "battlepass_tokens_verified_total", "Token checks that succeeded.")                         \
	X(TOKENS_REFUSED, "battlepass_tokens_refused_total", "Token checks that failed.")                              \
	X(PURCHASES_GRANTED, "battlepass_purchases_granted_total", "Purchases charged and given.")                     \
	X(PURCHASES_DECLINED, "battlepass_purchases_declined_total", "Purchases that the economy refused.")            \
	X(PURCHASES_CANCELLED, "battlepass_purchases_cancelled_total", "Purchases given up and never charged.")        \
	X(PURCHASES_REFUNDED, "battlepass_purchases_refunded_total", "Purchases whose money went back.")               \
	X(PURCHASES_STUCK, "battlepass_purchases_stuck_total", "Times a purchase became stuck.")                       \
	X(DELIVERIES_DELIVERED, "battlepass_deliveries_delivered_total", "Deliveries that the economy took.")          \
	X(DELIVERIES_RETRIED, "battlepass_deliveries_retried_total",                                                   \
	  "Deliveries put off after a try of unknown outcome.")                                                        \
	X(DELIVERIES_FAILED, "battlepass_deliveries_failed_total", "Deliveries given up until an admin retries them.") \
	X(AUTO_CLAIMS, "battlepass_auto_claims_total", "Players whose rewards were claimed when claims had closed.")   \
	X(ECONOMY_UNKNOWN, "battlepass_economy_unknown_total", "Courier calls whose answer proved nothing.")           \
	X(PROCESS_DEATHS, "battlepass_process_deaths_total", "Processes that ended unasked.")                          \
	X(PROCESS_STARTS, "battlepass_process_starts_total", "Processes started by the master.")

enum metric {
#define X(name, text, help) METRIC_##name,
	METRIC_TABLE(X)
#undef X
		METRIC_COUNT
};

#define METRIC_GAUGE_TABLE(X)                                                                                          \
	X(BREAKER_STATE, "battlepass_cache_breaker_state",                                                             \
	  "Is Redis asked? 0: yes; 1: no; 2: soon, a probe has found it well.")                                       \
	X(BREAKER_CLOSED, "battlepass_cache_breaker_closed_seconds", "Time in which requests asked Redis.")            \
	X(BREAKER_OPEN, "battlepass_cache_breaker_open_seconds", "Time in which none did.")                            \
	X(BREAKER_HALF_OPEN, "battlepass_cache_breaker_half_open_seconds", "Time in which probes had to show more.")   \
	X(DISTRUSTED, "battlepass_cache_distrusted_players", "Players that no host trusts the cache about.")           \
	X(PURCHASES_OPEN, "battlepass_purchases_open", "Purchases that wait for a proven word of the economy.")        \
	X(PURCHASES_STUCK, "battlepass_purchases_stuck",                                                               \
	  "Purchases that only a person can decide: not 0 is an alarm.")                                               \
	X(DELIVERIES_PENDING, "battlepass_deliveries_pending", "Deliveries that are to be sent.")                      \
	X(DELIVERIES_FAILED, "battlepass_deliveries_failed", "Deliveries that wait for an admin.")                     \
	X(DELIVERIES_OLDEST, "battlepass_deliveries_oldest_pending_seconds", "Age of the oldest delivery to be sent.")

/*
 * Of purchases, deliveries and distrusted players: of the whole database, as this host saw it last; hosts say the same,
 * and their values are not to be added. Of the breaker: of this host.
 */
enum metric_gauge {
#define X(name, text, help) METRIC_GAUGE_##name,
	METRIC_GAUGE_TABLE(X)
#undef X
		METRIC_GAUGE_COUNT
};

enum { METRICS_SLOTS = 1024 };

struct metrics {
	struct metrics_slot {
		uint64_t counters[METRIC_COUNT];
	} __attribute__((aligned(64))) slots[METRICS_SLOTS];
	uint64_t gauges[METRIC_GAUGE_COUNT];
};

/* Chooses this process's slot; without it (tests, tools) counts go nowhere. metrics must outlive the process's use. */
void metrics_attach(struct metrics *metrics, unsigned slot);
void metrics_add(enum metric metric, uint64_t count);
uint64_t metrics_sum(const struct metrics *metrics, enum metric metric);
void metrics_set(enum metric_gauge gauge, uint64_t value);
uint64_t metrics_value(const struct metrics *metrics, enum metric_gauge gauge);
/* Appends the Prometheus text format, version 0.0.4. */
void metrics_print(const struct metrics *metrics, struct buf *out);

#endif
