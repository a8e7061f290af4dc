/* Counters, gauges and histograms: see metrics.h. */
#include "base/metrics.h"

#include <stdio.h>
#include <string.h>

enum type { COUNTER, TIME, GAUGE, DURATION, SIZE };
enum unit { UNIT_NONE, UNIT_SECONDS, UNIT_BYTES };

/* A label: how many values it has, and what they are called; ROUTE and STATUS are named elsewhere. */
struct label {
	const char *name;
	unsigned count;
	const char *const *texts;
};

#define TEXT(name, text) text,
static const struct label label_NONE = {NULL, 1, NULL};
static const struct label label_ROUTE = {NULL, METRIC_ROUTE_COUNT, NULL};
static const struct label label_STATUS = {"status", METRIC_STATUS_COUNT, NULL};
static const struct label label_SOURCE = {"source", METRIC_SOURCE_COUNT, (const char *[]){METRIC_SOURCE_VALUES(TEXT)}};
static const struct label label_LANE = {"lane", METRIC_LANE_COUNT, (const char *[]){METRIC_LANE_VALUES(TEXT)}};
static const struct label label_BREAKER = {"state", METRIC_BREAKER_COUNT,
					   (const char *[]){METRIC_BREAKER_VALUES(TEXT)}};
static const struct label label_STATEMENT = {"statement", METRIC_STATEMENT_COUNT,
					     (const char *[]){METRIC_STATEMENT_VALUES(TEXT)}};
static const struct label label_PURCHASE = {"state", METRIC_PURCHASE_COUNT,
					    (const char *[]){METRIC_PURCHASE_VALUES(TEXT)}};
static const struct label label_DELIVERY = {"outcome", METRIC_DELIVERY_COUNT,
					    (const char *[]){METRIC_DELIVERY_VALUES(TEXT)}};
#undef TEXT

static const struct described {
	enum type type;
	enum unit unit;
	const struct label *first, *second;
	const char *text;
	const char *help;
	size_t at; /* its first cell */
	size_t cells;
} metrics_table[METRIC_COUNT] = {
#define X(name, type, unit, first, second, text, help)                                                                 \
	[METRIC_##name] = {type, UNIT_##unit, &label_##first,   &label_##second,                                       \
			   text, help,        METRIC_AT_##name, METRIC_##type##_CELLS},
	METRIC_TABLE(X)
#undef X
};

/* Microseconds and counts. */
static const uint64_t duration_bounds[METRIC_DURATION_BUCKETS] = {
	100, 250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 500000, 1000000, 2500000};
static const uint64_t size_bounds[METRIC_SIZE_BUCKETS] = {1, 2, 4, 8, 16, 32, 64, 128, 256};

static const int statuses[METRIC_STATUS_COUNT - 1] = {200, 201, 202, 204, 304, 400, 401, 402, 403, 404, 405, 409,
						      410, 413, 414, 415, 422, 429, 431, 500, 502, 503, 504};

static struct metrics_slot unattached;
static struct metrics_slot *own = &unattached;
static uint64_t unattached_gauges[METRIC_COUNT];
static uint64_t *own_gauges = unattached_gauges;

void
metrics_attach(struct metrics *metrics, unsigned slot)
{
	slot %= METRICS_SLOTS;
	__atomic_store_n(&metrics->attached[slot], true, __ATOMIC_RELAXED);
	own = &metrics->slots[slot];
	own_gauges = metrics->gauges;
}

static void
add(size_t cell, uint64_t count)
{
	__atomic_store_n(&own->cells[cell], own->cells[cell] + count, __ATOMIC_RELAXED);
}

void
metrics_add(enum metric metric, uint64_t count)
{
	add(metrics_table[metric].at, count);
}

/* The first cell for these values of the labels. */
static size_t
cell_of(const struct described *metric, unsigned first, unsigned second)
{
	return metric->at + (first * metric->second->count + second) * metric->cells;
}

void
metrics_add_at(enum metric metric, unsigned first, unsigned second, uint64_t count)
{
	add(cell_of(&metrics_table[metric], first, second), count);
}

static const uint64_t *
bounds_of(const struct described *metric)
{
	return metric->type == DURATION ? duration_bounds : size_bounds;
}

void
metrics_observe(enum metric metric, unsigned first, unsigned second, uint64_t value)
{
	const struct described *histogram = &metrics_table[metric];
	const uint64_t *bounds = bounds_of(histogram);
	size_t cell = cell_of(histogram, first, second);
	size_t bucket = 0;

	while (bucket < histogram->cells - 2 && value > bounds[bucket])
		bucket++;
	add(cell + bucket, 1);
	add(cell + histogram->cells - 1, value);
}

void
metrics_set(enum metric metric, uint64_t value)
{
	__atomic_store_n(&own_gauges[metric], value, __ATOMIC_RELAXED);
}

unsigned
metric_status(int status)
{
	unsigned i = 0;

	while (i < METRIC_STATUS_COUNT - 1 && statuses[i] != status)
		i++;
	return i;
}

static uint64_t
sum_of_cell(const struct metrics *metrics, size_t cell)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < METRICS_SLOTS; i++)
		if (__atomic_load_n(&metrics->attached[i], __ATOMIC_RELAXED))
			sum += __atomic_load_n(&metrics->slots[i].cells[cell], __ATOMIC_RELAXED);
	return sum;
}

uint64_t
metrics_sum(const struct metrics *metrics, enum metric metric)
{
	const struct described *described = &metrics_table[metric];
	size_t end = cell_of(described, described->first->count, 0);
	uint64_t sum = 0;

	for (size_t cell = described->at; cell < end; cell++)
		sum += sum_of_cell(metrics, cell);
	return sum;
}

uint64_t
metrics_value(const struct metrics *metrics, enum metric metric)
{
	return __atomic_load_n(&metrics->gauges[metric], __ATOMIC_RELAXED);
}

/* --- as text --- */

struct printer {
	const struct metrics *metrics;
	metrics_route_labels *routes;
	bool open; /* OpenMetrics */
	const struct described *metric;
	struct buf *out;
	struct buf labels; /* of the cell being printed, without braces */
};

static void
put_label(struct printer *printer, const struct label *label, unsigned value)
{
	struct buf *labels = &printer->labels;

	if (label == &label_NONE)
		return;
	if (labels->len)
		buf_char(labels, ',');
	if (label == &label_ROUTE)
		printer->routes(value, labels);
	else if (label == &label_STATUS && value == METRIC_STATUS_COUNT - 1)
		buf_literal(labels, "status=\"other\"");
	else if (label == &label_STATUS)
		buf_format(labels, "status=\"%d\"", statuses[value]);
	else
		buf_format(labels, "%s=\"%s\"", label->name, label->texts[value]);
}

/* Seconds out of microseconds, without what a double would lose. */
static void
put_value(struct buf *out, uint64_t value, bool microseconds)
{
	if (microseconds)
		buf_format(out, "%llu.%06llu", (unsigned long long)(value / 1000000),
			   (unsigned long long)(value % 1000000));
	else
		buf_format(out, "%llu", (unsigned long long)value);
}

static void
put_sample(struct printer *printer, const char *suffix, const char *bound, uint64_t value, bool microseconds)
{
	struct buf *out = printer->out;
	bool labelled = printer->labels.len || bound;

	buf_cstr(out, printer->metric->text);
	buf_cstr(out, suffix);
	if (labelled)
		buf_char(out, '{');
	buf_str(out, buf_view(&printer->labels));
	if (bound)
		buf_format(out, "%sle=\"%s\"", printer->labels.len ? "," : "", bound);
	if (labelled)
		buf_char(out, '}');
	buf_char(out, ' ');
	put_value(out, value, microseconds);
	buf_char(out, '\n');
}

static void
bound_text(const struct described *metric, size_t bucket, char *text, size_t size)
{
	if (bucket == metric->cells - 2)
		snprintf(text, size, "+Inf");
	else if (metric->type == DURATION)
		snprintf(text, size, "%g", (double)duration_bounds[bucket] / 1e6);
	else
		snprintf(text, size, "%llu.0", (unsigned long long)size_bounds[bucket]);
}

static void
put_histogram(struct printer *printer, size_t cell)
{
	const struct described *metric = printer->metric;
	size_t buckets = metric->cells - 1; /* with +Inf */
	uint64_t counts[METRIC_DURATION_BUCKETS + METRIC_SIZE_BUCKETS + 1];
	uint64_t count = 0;
	char bound[32];

	for (size_t i = 0; i < buckets; i++)
		count += counts[i] = sum_of_cell(printer->metrics, cell + i);
	if (count == 0 && metric->first != &label_NONE)
		return;
	count = 0;
	for (size_t i = 0; i < buckets; i++) {
		count += counts[i];
		bound_text(metric, i, bound, sizeof(bound));
		put_sample(printer, "_bucket", bound, count, false);
	}
	put_sample(printer, "_sum", NULL, sum_of_cell(printer->metrics, cell + buckets), metric->type == DURATION);
	put_sample(printer, "_count", NULL, count, false);
}

static void
put_cell(struct printer *printer, size_t cell)
{
	const struct described *metric = printer->metric;

	if (metric->type == DURATION || metric->type == SIZE) {
		put_histogram(printer, cell);
		return;
	}

	uint64_t value = sum_of_cell(printer->metrics, cell);

	if (value || metric->first == &label_NONE)
		put_sample(printer, "", NULL, value, metric->type == TIME);
}

static void
put_head(const struct printer *printer)
{
	static const char *const types[] = {[COUNTER] = "counter",
					    [TIME] = "counter",
					    [GAUGE] = "gauge",
					    [DURATION] = "histogram",
					    [SIZE] = "histogram"};
	static const char *const units[] = {[UNIT_SECONDS] = "seconds", [UNIT_BYTES] = "bytes"};
	const struct described *metric = printer->metric;
	int length = (int)strlen(metric->text);

	/* A family of counters is called without the end that its samples have, in OpenMetrics only. */
	if (printer->open && (metric->type == COUNTER || metric->type == TIME))
		length -= (int)strlen("_total");
	buf_format(printer->out, "# HELP %.*s %s\n# TYPE %.*s %s\n", length, metric->text, metric->help, length,
		   metric->text, types[metric->type]);
	if (printer->open && metric->unit != UNIT_NONE)
		buf_format(printer->out, "# UNIT %.*s %s\n", length, metric->text, units[metric->unit]);
}

/* What this is, as a label of something that is always 1. */
static void
put_build(const struct printer *printer)
{
	buf_format(printer->out,
		   "# HELP battlepass_build%s What runs here.\n# TYPE battlepass_build%s %s\n"
		   "battlepass_build_info{version=\"%s\"} 1\n",
		   printer->open ? "" : "_info", printer->open ? "" : "_info", printer->open ? "info" : "gauge",
		   BATTLEPASS_VERSION);
}

static void
put_metric(struct printer *printer)
{
	const struct described *metric = printer->metric;

	put_head(printer);
	if (metric->type == GAUGE) {
		put_sample(printer, "", NULL, metrics_value(printer->metrics, (enum metric)(metric - metrics_table)),
			   false);
		return;
	}
	for (unsigned first = 0; first < metric->first->count; first++) {
		for (unsigned second = 0; second < metric->second->count; second++) {
			buf_clear(&printer->labels);
			put_label(printer, metric->first, first);
			put_label(printer, metric->second, second);
			put_cell(printer, cell_of(metric, first, second));
		}
	}
	buf_clear(&printer->labels);
}

void
metrics_print(const struct metrics *metrics, metrics_route_labels *routes, enum metrics_format format, struct buf *out)
{
	struct printer printer = {
		.metrics = metrics, .routes = routes, .open = format == METRICS_OPENMETRICS, .out = out};

	buf_init(&printer.labels);
	put_build(&printer);
	for (unsigned i = 0; i < METRIC_COUNT; i++) {
		printer.metric = &metrics_table[i];
		put_metric(&printer);
	}
	buf_release(&printer.labels);
	if (printer.open)
		buf_literal(out, "# EOF\n");
}
