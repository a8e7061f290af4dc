/* What Redis holds and how it is set up: see vitals.h. */
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

/* The rest of INFO's line behind a label, which begins with the line end before it. */
static struct str
line_of(struct str info, const char *label)
{
	const char *at = memmem(info.ptr, info.len, label, strlen(label));
	size_t length = 0;

	if (!at)
		return STR_NONE;
	at += strlen(label);
	while (at + length < info.ptr + info.len && at[length] != '\r' && at[length] != '\n')
		length++;
	return (struct str){at, length};
}

static bool
take(struct str info, const char *label, uint64_t *ret_value)
{
	struct str line = line_of(info, label);

	*ret_value = 0;
	for (size_t i = 0; i < line.len && i < 18 && line.ptr[i] >= '0' && line.ptr[i] <= '9'; i++)
		*ret_value = *ret_value * 10 + (uint64_t)(line.ptr[i] - '0');
	return line.len != 0;
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

static bool
ask_info(struct vitals *vitals, struct arena *arena, struct redis_setup *ret_setup)
{
	struct redis_answer info;

	redis_begin(vitals->redis);
	if (!redis_command(vitals->redis, (struct str[]){STR("INFO")}, 1) ||
	    !redis_reply(vitals->redis, arena, &info) || info.type != REDIS_TEXT)
		return false;
	ret_setup->version = line_of(info.text, "\nredis_version:");
	ret_setup->identity = arena_str(arena, str_from(redis_identity(vitals->redis)));
	take(info.text, "\nmaxmemory:", &ret_setup->memory_max);
	take(info.text, "\nserver_time_usec:", &ret_setup->unix_s);
	ret_setup->unix_s /= 1000000;
	return true;
}

/* Where it is forbidden nothing is said. */
static void
ask_config(struct vitals *vitals, struct arena *arena, struct redis_setup *ret_setup)
{
	const struct {
		struct str name;
		struct str *text;
	} asked[] = {
		{STR("maxmemory-policy"), &ret_setup->policy}, {STR("save"), &ret_setup->save},
		{STR("appendonly"), &ret_setup->appendonly},   {STR("tcp-keepalive"), &ret_setup->tcp_keepalive},
		{STR("timeout"), &ret_setup->timeout},
	};
	struct redis_answer answer;

	for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
		redis_begin(vitals->redis);
		if (!redis_command(vitals->redis, (struct str[]){STR("CONFIG"), STR("GET"), asked[i].name}, 3) ||
		    !redis_reply(vitals->redis, arena, &answer) || answer.type != REDIS_PAIR)
			return;
		*asked[i].text = answer.text;
	}
	ret_setup->told_setup = true;
}

bool
vitals_ask_setup(struct vitals *vitals, struct arena *arena, struct redis_setup *ret_setup)
{
	*ret_setup = (struct redis_setup){.unix_s = 0};
	if (redis_connect(vitals->redis) != ERR_OK || !ask_info(vitals, arena, ret_setup)) {
		redis_disconnect(vitals->redis);
		return false;
	}
	ask_config(vitals, arena, ret_setup);
	return true;
}
