/* Counters: see metrics.h. */
#include "base/metrics.h"

static const struct {
	const char *name;
	const char *help;
} table[METRIC_COUNT] = {
#define X(name, text, help) [METRIC_##name] = {text, help},
	METRIC_TABLE(X)
#undef X
};

static struct metrics_slot unattached;
static struct metrics_slot *own = &unattached;

void
metrics_attach(struct metrics *metrics, unsigned slot)
{
	own = &metrics->slots[slot % METRICS_SLOTS];
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
metrics_print(const struct metrics *metrics, struct buf *out)
{
	for (unsigned i = 0; i < METRIC_COUNT; i++)
		buf_format(out, "# HELP %s %s\n# TYPE %s counter\n%s %llu\n", table[i].name, table[i].help,
			   table[i].name, table[i].name, (unsigned long long)metrics_sum(metrics, (enum metric)i));
}
