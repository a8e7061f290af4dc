/* What Redis holds: see vitals.h. */
#include "cache/vitals.h"

#include <stdlib.h>

#include "cache/redis.h"

struct vitals {
	struct redis *redis;
	struct arena arena;
};

struct vitals *
vitals_new(const struct conf *conf)
{
	struct vitals *vitals = calloc(1, sizeof(*vitals));

	if (!vitals)
		abort();
	vitals->redis = redis_new(conf, NULL);
	arena_init(&vitals->arena);
	return vitals;
}

void
vitals_free(struct vitals *vitals)
{
	if (!vitals)
		return;
	redis_free(vitals->redis);
	arena_release(&vitals->arena);
	free(vitals);
}

/* The number behind a label of INFO's, which begins with its line. */
static bool
take(struct str info, const char *label, uint64_t *ret_value)
{
	const char *at = memmem(info.ptr, info.len, label, strlen(label));
	const char *end = info.ptr + info.len;
	uint64_t value = 0;

	if (!at)
		return false;
	at += strlen(label);
	for (int digits = 0; at < end && *at >= '0' && *at <= '9' && digits < 18; at++, digits++)
		value = value * 10 + (uint64_t)(*at - '0');
	*ret_value = value;
	return true;
}

static bool
next(struct vitals *vitals, enum redis_reply_type type, struct redis_answer *ret_answer)
{
	return redis_reply(vitals->redis, &vitals->arena, ret_answer) && ret_answer->type == type;
}

static bool
ask(struct vitals *vitals, struct redis_vitals *ret_vitals)
{
	struct redis_answer memory;
	struct redis_answer stats;
	struct redis_answer keys;

	redis_begin(vitals->redis);
	if (!redis_command(vitals->redis, (struct str[]){STR("INFO"), STR("memory")}, 2) ||
	    !redis_command(vitals->redis, (struct str[]){STR("INFO"), STR("stats")}, 2) ||
	    !redis_command(vitals->redis, (struct str[]){STR("DBSIZE")}, 1))
		return false;
	if (!next(vitals, REDIS_TEXT, &memory) || !next(vitals, REDIS_TEXT, &stats) ||
	    !next(vitals, REDIS_NUMBER, &keys) || keys.number < 0)
		return false;
	ret_vitals->keys = (uint64_t)keys.number;
	return take(memory.text, "\nused_memory:", &ret_vitals->memory) &&
	       take(memory.text, "\nmaxmemory:", &ret_vitals->memory_max) &&
	       take(stats.text, "\nevicted_keys:", &ret_vitals->evicted);
}

bool
vitals_ask(struct vitals *vitals, struct redis_vitals *ret_vitals)
{
	bool good = redis_connect(vitals->redis) == ERR_OK && ask(vitals, ret_vitals);

	if (!good)
		redis_disconnect(vitals->redis);
	arena_reset(&vitals->arena);
	return good;
}
