/*
 * Counters in shared memory. Each process owns a slot and only ever adds to it with relaxed stores; a reader sums the
 * slots. A slot outlives its process, so that counters never go back when a worker is replaced. One table declares name
 * and help of each; Prometheus text comes out of metrics_print().
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
	X(REDIRECTS, "battlepass_lane_redirects_total", "Requests handed to another lane.")                            \
	X(CACHE_HITS, "battlepass_cache_hits_total", "Progress reads answered from Redis.")                            \
	X(CACHE_MISSES, "battlepass_cache_misses_total", "Progress reads that needed the database.")                   \
	X(CACHE_FILLS, "battlepass_cache_fills_total", "Documents that readers put into Redis.")                       \
	X(CACHE_FILLS_REFUSED, "battlepass_cache_fills_refused_total", "Fills that Redis refused as possibly old.")    \
	X(CACHE_FENCES, "battlepass_cache_fences_total", "Fences set before a commit.")                                \
	X(CACHE_CONFIRMS, "battlepass_cache_confirms_total", "Confirmations after a commit.")                          \
	X(CACHE_ERRORS, "battlepass_cache_errors_total", "Redis connections given up for an error or a timeout.")      \
	X(CACHE_SWITCHED_OFF, "battlepass_cache_switched_off_total", "Times a write turned the cache off.")            \
	X(CACHE_EPOCHS, "battlepass_cache_epochs_total", "New epochs begun by this host's steward.")                   \
	X(STORE_TRANSACTIONS, "battlepass_store_transactions_total", "Transactions committed.")                        \
	X(STORE_RETRIES, "battlepass_store_retries_total", "Transactions rolled back and tried again.")                \
	X(STORE_CONNECTS, "battlepass_store_connects_total", "Database connections opened.")                           \
	X(XP_GRANTS, "battlepass_xp_grants_total", "XP grants made.")                                                  \
	X(XP_GRANTS_REPLAYED, "battlepass_xp_grants_replayed_total", "XP grants answered from the ledger.")            \
	X(XP_GRANTS_REJECTED, "battlepass_xp_grants_rejected_total", "XP grants refused.")                             \
	X(TOKENS_VERIFIED, "battlepass_tokens_verified_total", "Token checks that succeeded.")                         \
	X(TOKENS_REFUSED, "battlepass_tokens_refused_total", "Token checks that failed.")                              \
	X(PROCESS_DEATHS, "battlepass_process_deaths_total", "Processes that ended unasked.")                          \
	X(PROCESS_STARTS, "battlepass_process_starts_total", "Processes started by the master.")

enum metric {
#define X(name, text, help) METRIC_##name,
	METRIC_TABLE(X)
#undef X
		METRIC_COUNT
};

enum { METRICS_SLOTS = 1024 };

struct metrics {
	struct metrics_slot {
		uint64_t counters[METRIC_COUNT];
	} __attribute__((aligned(64))) slots[METRICS_SLOTS];
};

/* Chooses this process's slot; without it (tests, tools) counts go nowhere. metrics must outlive the process's use. */
void metrics_attach(struct metrics *metrics, unsigned slot);
void metrics_add(enum metric metric, uint64_t count);
uint64_t metrics_sum(const struct metrics *metrics, enum metric metric);
/* Appends the Prometheus text format, version 0.0.4. */
void metrics_print(const struct metrics *metrics, struct buf *out);

#endif
