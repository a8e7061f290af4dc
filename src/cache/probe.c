/* The steward's probe: see probe.h. It writes a fence of a key of its own, with a floor that rises, so that it is a
 * write. */
#include "cache/probe.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "cache/redis.h"

struct probe {
	struct redis *redis;
	char host[UUID_TEXT_SIZE];
	struct arena arena;
};

struct probe *
probe_new(const struct conf *conf, const struct uuid *host)
{
	struct probe *probe = calloc(1, sizeof(*probe));

	if (!probe)
		abort();
	probe->redis = redis_new(conf, NULL);
	uuid_format(host, probe->host);
	arena_init(&probe->arena);
	return probe;
}

void
probe_free(struct probe *probe)
{
	if (!probe)
		return;
	redis_free(probe->redis);
	arena_release(&probe->arena);
	free(probe);
}

const char *
probe_redis_id(const struct probe *probe)
{
	return redis_identity(probe->redis);
}

static bool
write_fence(struct probe *probe)
{
	struct redis_answer answer;

	redis_begin(probe->redis);

	struct str key = arena_format(&probe->arena, "bp:probe:%s", probe->host);
	struct str floor = arena_format(&probe->arena, "%" PRId64, clock_boot_ms());
	bool good = redis_script(probe->redis, SCRIPT_FENCE, key,
				 (struct str[]){floor, STR("0000000000000000"), STR("10000"), floor}, 4) &&
		    redis_ask_life(probe->redis) && redis_reply(probe->redis, &probe->arena, &answer) &&
		    answer.type == REDIS_NUMBER;

	arena_reset(&probe->arena);
	return good && redis_is_same(probe->redis);
}

bool
probe_redis(struct probe *probe)
{
	redis_retry_now(probe->redis);
	if (redis_connect(probe->redis) == ERR_OK && write_fence(probe))
		return true;
	redis_disconnect(probe->redis);
	return false;
}
