/* Counters and gauges: see metrics.h. */
#include "base/metrics.h"

struct described {
	const char *name;
	const char *help;
};

static const struct described counters[METRIC_COUNT] = {
#define X(name, text, help) [METRIC_##name] = {text, help},
	METRIC_TABLE(X)
#undef X
};

static const struct described gauges[METRIC_GAUGE_COUNT] = {
#define X(name, text, help) [METRIC_GAUGE_##name] = {text, help},
	METRIC_GAUGE_TABLE(X)
#undef X
};

static struct metrics_slot unattached;
static struct metrics_slot *own = &unattached;
static uint64_t unattached_gauges[METRIC_GAUGE_COUNT];
static uint64_t *own_gauges = unattached_gauges;

void
metrics_attach(struct metrics *metrics, unsigned slot)
{
	own = &metrics->slots[slot % METRICS_SLOTS];
	own_gauges = metrics->gauges;
}

void
metrics_add(enum metric metric, uint64_t count)
{
	uint64_t *counter = &own->counters[metric];

	__atomic_store_n(counter, *counter + count, __ATOMIC_RELAXED);
}

uint64_t
metrics_sum(const struct metrics *metrics, enum metric metric)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < METRICS_SLOTS; i++)
		sum += __atomic_load_n(&metrics->slots[i].counters[metric], __ATOMIC_RELAXED);
	return sum;
}

void
metrics_set(enum metric_gauge gauge, uint64_t value)
{
	__atomic_store_n(&own_gauges[gauge], value, __ATOMIC_RELAXED);
}

uint64_t
metrics_value(const struct metrics *metrics, enum metric_gauge gauge)
{
	return __atomic_load_n(&metrics->gauges[gauge], __ATOMIC_RELAXED);
}

static void
print(struct buf *out, const struct described *metric, const char *type, uint64_t value)
{
	buf_format(out, "# HELP %s %s\n# TYPE %s %s\n%s %llu\n", metric->name, metric->help, metric->name, type,
		   metric->name, (unsigned long long)value);
}

void
metrics_print(const struct metrics *metrics, struct buf *out)
{
	for (unsigned i = 0; i < METRIC_COUNT; i++)
		print(out, &counters[i], "counter", metrics_sum(metrics, (enum metric)i));
	for (unsigned i = 0; i < METRIC_GAUGE_COUNT; i++)
		print(out, &gauges[i], "gauge", metrics_value(metrics, (enum metric_gauge)i));
}
