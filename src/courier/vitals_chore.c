/* What Redis holds, and what memory the processes have: see vitals_chore.h. */
#include "courier/vitals_chore.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/metrics.h"

enum { PROC_FILE_MAX = 64 * 1024 };

void
vitals_chore_init(struct vitals_chore *chore, const struct conf *conf)
{
	*chore = (struct vitals_chore){.redis = vitals_new(conf)};
}

void
vitals_chore_release(struct vitals_chore *chore)
{
	vitals_free(chore->redis);
}

/* The numbers, in kB, of the lines of /proc/PID/smaps_rollup that begin so: Private_Clean and Private_Dirty. */
static uint64_t
sum_lines(const char *text, const char *beginning)
{
	uint64_t sum = 0;

	for (const char *at = text; (at = strstr(at, beginning)); at++) {
		const char *colon = strchr(at, ':');

		if (colon)
			sum += strtoull(colon + 1, NULL, 10);
	}
	return sum;
}

/* 0 of a process that has gone. */
static uint64_t
private_memory(long pid, struct arena *arena)
{
	char path[64];
	struct str text;

	snprintf(path, sizeof(path), "/proc/%ld/smaps_rollup", pid);
	if (file_read(path, PROC_FILE_MAX, arena, &text) != ERR_OK)
		return 0;
	return sum_lines(text.ptr, "\nPrivate_") * 1024;
}

/* The master is this process's parent, and all others are its children. */
static uint64_t
private_memory_of_all(void)
{
	long master = (long)getppid();
	char path[96];
	struct arena arena;
	struct str children;
	uint64_t sum;

	arena_init(&arena);
	sum = private_memory(master, &arena);
	snprintf(path, sizeof(path), "/proc/%ld/task/%ld/children", master, master);
	if (file_read(path, PROC_FILE_MAX, &arena, &children) == ERR_OK) {
		char *at = (char *)children.ptr;

		for (char *end; *at && strtol(at, &end, 10) > 0 && end != at; at = end)
			sum += private_memory(strtol(at, NULL, 10), &arena);
	}
	arena_release(&arena);
	return sum;
}

void
vitals_chore_run(struct vitals_chore *chore)
{
	struct redis_vitals redis;

	if (clock_boot_ms() < chore->due_boot_ms)
		return;
	chore->due_boot_ms = clock_boot_ms() + VITALS_MS;
	metrics_set(METRIC_MEMORY, private_memory_of_all());
	if (!vitals_ask(chore->redis, &redis))
		return;
	metrics_set(METRIC_REDIS_MEMORY, redis.memory);
	metrics_set(METRIC_REDIS_MEMORY_MAX, redis.memory_max);
	metrics_set(METRIC_REDIS_KEYS, redis.keys);
	metrics_set(METRIC_REDIS_EVICTED, redis.evicted);
}

int64_t
vitals_chore_due_boot_ms(const struct vitals_chore *chore)
{
	return chore->due_boot_ms;
}
