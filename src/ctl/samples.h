/*
 * One look at a host's /metrics, as numbers. Rates and quantiles are of the time between two looks.
 */
#ifndef BP_CTL_SAMPLES_H
#define BP_CTL_SAMPLES_H

#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"

enum { SAMPLES_BUCKETS_MAX = 32, SAMPLES_DETAIL_SIZE = 512 };

/* Of durations in seconds; counts are cumulative, the last bound is infinite. */
struct samples_histogram {
	size_t buckets;
	double bounds[SAMPLES_BUCKETS_MAX];
	double counts[SAMPLES_BUCKETS_MAX];
};

/* All answers, or those with a progress document from there. */
enum samples_source { SAMPLES_ALL, SAMPLES_CACHE, SAMPLES_STORE, SAMPLES_SOURCE_COUNT };

struct samples {
	int64_t at_boot_ms;
	double requests, server_errors, shed;
	struct samples_histogram durations[SAMPLES_SOURCE_COUNT];
	double hits, misses;
	double store_up, store_busy_s;
	double transactions, retries;
	double grants, claims;
	double breaker, distrusted;
	double purchases_open, purchases_stuck;
	double deliveries_pending, deliveries_failed, deliveries_oldest_s;
	double memory, redis_memory, redis_memory_max, redis_keys;
	double started_s;
	double deaths;
};

/* url: of the text. ERR_SYSTEM with detail. */
enum err samples_fetch(const char *url, struct samples *ret_samples, char detail[SAMPLES_DETAIL_SIZE]);
/* What Prometheus's text says; unknown names are passed over. False: it is none of battlepassd's. */
bool samples_parse(const char *text, struct samples *ret_samples);
/* The quantile (0 to 1) of what was observed between two looks, in seconds, as Prometheus interpolates; -1: nothing. */
double samples_quantile(const struct samples_histogram *before, const struct samples_histogram *after, double quantile);

#endif
