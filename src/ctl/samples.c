/* A look at /metrics: see samples.h. */
#include "ctl/samples.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <curl/curl.h>

#include "base/buf.h"
#include "base/clock.h"

enum { FETCH_S = 3, TEXT_MAX = 8 << 20 };

#define AT(member) offsetof(struct samples, member)

/* Samples of a name are added up over their labels, or over those that hold a text. */
static const struct {
	const char *name;
	const char *label; /* NULL: any */
	size_t offset;
} numbers[] = {
	{"battlepass_requests_total", NULL, AT(requests)},
	{"battlepass_requests_total", "status=\"5", AT(server_errors)},
	{"battlepass_requests_shed_total", NULL, AT(shed)},
	{"battlepass_cache_hits_total", NULL, AT(hits)},
	{"battlepass_cache_misses_total", NULL, AT(misses)},
	{"battlepass_store_up", NULL, AT(store_up)},
	{"battlepass_store_lane_busy_seconds_total", NULL, AT(store_busy_s)},
	{"battlepass_store_transactions_total", NULL, AT(transactions)},
	{"battlepass_store_retries_total", NULL, AT(retries)},
	{"battlepass_xp_grants_total", NULL, AT(grants)},
	{"battlepass_claims_total", NULL, AT(claims)},
	{"battlepass_cache_breaker_state", NULL, AT(breaker)},
	{"battlepass_cache_distrusted_players", NULL, AT(distrusted)},
	{"battlepass_purchases_open", NULL, AT(purchases_open)},
	{"battlepass_purchases_stuck", NULL, AT(purchases_stuck)},
	{"battlepass_deliveries_pending", NULL, AT(deliveries_pending)},
	{"battlepass_deliveries_failed", NULL, AT(deliveries_failed)},
	{"battlepass_deliveries_oldest_pending_seconds", NULL, AT(deliveries_oldest_s)},
	{"battlepass_private_memory_bytes", NULL, AT(memory)},
	{"battlepass_redis_memory_bytes", NULL, AT(redis_memory)},
	{"battlepass_redis_memory_max_bytes", NULL, AT(redis_memory_max)},
	{"battlepass_redis_keys", NULL, AT(redis_keys)},
	{"battlepass_start_time_seconds", NULL, AT(started_s)},
	{"battlepass_process_deaths_total", NULL, AT(deaths)},
};

static const char *const source_labels[SAMPLES_SOURCE_COUNT] = {
	[SAMPLES_ALL] = "", [SAMPLES_CACHE] = "source=\"cache\"", [SAMPLES_STORE] = "source=\"store\""};

static bool
holds(struct str labels, const char *text)
{
	return memmem(labels.ptr, labels.len, text, strlen(text)) != NULL;
}

/* Bounds come in ascending order, the same ones for each route. */
static void
add_to_bucket(struct samples_histogram *histogram, double bound, double count)
{
	size_t i = 0;

	while (i < histogram->buckets && histogram->bounds[i] < bound)
		i++;
	if (i == histogram->buckets) {
		if (i == SAMPLES_BUCKETS_MAX)
			return;
		histogram->bounds[histogram->buckets++] = bound;
	}
	histogram->counts[i] += count;
}

static void
take_bucket(struct samples *samples, struct str labels, double value)
{
	const char *le = memmem(labels.ptr, labels.len, "le=\"", 4);

	if (!le)
		return;
	for (int i = 0; i < SAMPLES_SOURCE_COUNT; i++)
		if (holds(labels, source_labels[i]))
			add_to_bucket(&samples->durations[i], strtod(le + 4, NULL), value);
}

static void
take_line(struct samples *samples, const char *line, size_t length)
{
	size_t name_length = strcspn(line, "{ ");
	struct str name = {line, name_length};
	struct str labels = STR_NONE;
	const char *value = line + name_length;

	if (line[0] == '#' || name_length >= length)
		return;
	if (*value == '{') {
		const char *end = memrchr(value, '}', length - name_length); /* a route has some, too */

		if (!end)
			return;
		labels = (struct str){value + 1, (size_t)(end - value) - 1};
		value = end + 1;
	}
	if (str_equal(name, STR("battlepass_request_duration_seconds_bucket")))
		take_bucket(samples, labels, strtod(value, NULL));
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (str_equal(name, str_from(numbers[i].name)) &&
		    (!numbers[i].label || holds(labels, numbers[i].label)))
			*(double *)((char *)samples + numbers[i].offset) += strtod(value, NULL);
}

bool
samples_parse(const char *text, struct samples *ret_samples)
{
	*ret_samples = (struct samples){.at_boot_ms = clock_boot_ms()};
	if (!strstr(text, "battlepass_build_info"))
		return false;
	for (size_t length; *text; text += length + (text[length] == '\n')) {
		length = strcspn(text, "\n");
		take_line(ret_samples, text, length);
	}
	return true;
}

static size_t
take_text(char *bytes, size_t size, size_t count, void *context)
{
	struct buf *text = context;

	if (text->len + size * count > TEXT_MAX)
		return 0;
	buf_bytes(text, bytes, size * count);
	return size * count;
}

static CURLcode
get(CURL *easy, const char *url, struct buf *text)
{
	CURLcode code = curl_easy_setopt(easy, CURLOPT_URL, url);

	if (code == CURLE_OK)
		code = curl_easy_setopt(easy, CURLOPT_PROXY, "");
	if (code == CURLE_OK)
		code = curl_easy_setopt(easy, CURLOPT_TIMEOUT, (long)FETCH_S);
	if (code == CURLE_OK)
		code = curl_easy_setopt(easy, CURLOPT_FAILONERROR, 1L);
	if (code == CURLE_OK)
		code = curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_text);
	if (code == CURLE_OK)
		code = curl_easy_setopt(easy, CURLOPT_WRITEDATA, text);
	return code == CURLE_OK ? curl_easy_perform(easy) : code;
}

enum err
samples_fetch(const char *url, struct samples *ret_samples, char detail[SAMPLES_DETAIL_SIZE])
{
	CURL *easy = curl_easy_init();
	enum err err = ERR_SYSTEM;
	struct buf text;

	if (!easy)
		abort();
	buf_init(&text);

	CURLcode code = get(easy, url, &text);

	if (code != CURLE_OK)
		snprintf(detail, SAMPLES_DETAIL_SIZE, "%s: %s", url, curl_easy_strerror(code));
	else if (!samples_parse(buf_text(&text), ret_samples))
		snprintf(detail, SAMPLES_DETAIL_SIZE, "%s: this is not battlepassd's /metrics", url);
	else
		err = ERR_OK;
	buf_release(&text);
	curl_easy_cleanup(easy);
	return err;
}

double
samples_quantile(const struct samples_histogram *before, const struct samples_histogram *after, double quantile)
{
	double counts[SAMPLES_BUCKETS_MAX];
	size_t last = after->buckets - 1;
	size_t i = 0;

	if (after->buckets == 0)
		return -1;
	for (size_t k = 0; k < after->buckets; k++)
		counts[k] = after->counts[k] - (k < before->buckets ? before->counts[k] : 0);
	if (counts[last] <= 0)
		return -1;

	double rank = quantile * counts[last];

	while (i < last && counts[i] < rank)
		i++;
	if (isinf(after->bounds[i])) /* more than the last bound: nobody knows how much */
		return i ? after->bounds[i - 1] : -1;

	double low = i ? after->bounds[i - 1] : 0;
	double below = i ? counts[i - 1] : 0;

	return low + (after->bounds[i] - low) * (rank - below) / (counts[i] - below);
}
