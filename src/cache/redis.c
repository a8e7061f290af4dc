/* One connection to Redis: see redis.h. The only file that includes hiredis.h. */
#include "cache/redis.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/time.h>

#include <hiredis/hiredis.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/mutant.h"

enum { SHA1_HEX_SIZE = 41, LOOK_UP_MS = 5 };

struct redis {
	const struct conf *conf;
	struct breaker *breaker; /* NULL: nobody wants to know */
	redisContext *context;   /* NULL: not connected */
	uint64_t connections;    /* made so far */
	char id[REDIS_ID_SIZE];
	char scripts[SCRIPT_COUNT][SHA1_HEX_SIZE];
	int64_t retry_at_boot_ms;
	int64_t answer_by_boot_ms; /* of this round trip */
	bool looked_late;          /* whether an answer lies there, when its time had passed */
	bool silent;               /* the last failure was a time-out */
	bool reported;             /* the present outage is in the log already */
};

struct redis *
redis_new(const struct conf *conf, struct breaker *breaker)
{
	struct redis *redis = calloc(1, sizeof(*redis));

	if (!redis)
		abort();
	redis->conf = conf;
	redis->breaker = breaker;
	return redis;
}

void
redis_free(struct redis *redis)
{
	if (!redis)
		return;
	if (redis->context)
		redisFree(redis->context);
	free(redis);
}

void
redis_disconnect(struct redis *redis)
{
	if (!redis->context)
		return;
	metrics_add(METRIC_CACHE_ERRORS, 1);
	redisFree(redis->context);
	redis->context = NULL;
	redis->id[0] = '\0';
}

static void
note(struct redis *redis, enum breaker_outcome outcome)
{
	if (redis->breaker)
		breaker_note(redis->breaker, outcome, clock_boot_ms());
}

/* Who was waited for in vain is not asked again at once, whoever wants it: the next request would wait, too. */
static void
note_failure(struct redis *redis)
{
	int64_t now_ms = clock_boot_ms();

	redis->silent = now_ms >= redis->answer_by_boot_ms;
	if (redis->silent)
		redis->retry_at_boot_ms = now_ms + REDIS_RETRY_MS;
	note(redis, redis->silent ? BREAKER_TIMED_OUT : BREAKER_FAILED);
}

/* After an error or a time-out: a late reply would answer the next question. */
void
redis_give_up(struct redis *redis)
{
	if (mutant(MUTANT_REUSE_CONNECTION) && redis->context) {
		redis->context->err = 0;
		return;
	}
	if (redis->context)
		note_failure(redis);
	redis_disconnect(redis);
}

void
redis_begin(struct redis *redis)
{
	redis->answer_by_boot_ms = clock_boot_ms() + redis->conf->cache.turn_timeout_ms;
	redis->looked_late = false;
}

void
redis_end(struct redis *redis)
{
	note(redis, BREAKER_GOOD);
}

void
redis_retry_now(struct redis *redis)
{
	if (!redis->silent)
		redis->retry_at_boot_ms = 0;
}

uint64_t
redis_connection(const struct redis *redis)
{
	return redis->context ? redis->connections : 0;
}

const char *
redis_identity(const struct redis *redis)
{
	return redis->id;
}

static struct timeval
timeout(int64_t ms)
{
	return (struct timeval){.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
}

static redisContext *
open_context(const struct conf *conf)
{
	struct timeval limit = timeout(conf->cache.connect_timeout_ms);

	if (conf->cache.socket[0])
		return redisConnectUnixWithTimeout(conf->cache.socket, limit);
	return redisConnectWithTimeout(conf->cache.host, (int)conf->cache.port, limit);
}

/* Who takes a byte now and then must not hold us either. */
static bool
send_all(struct redis *redis)
{
	int done = 0;

	while (!done)
		if (clock_boot_ms() > redis->answer_by_boot_ms || redisBufferWrite(redis->context, &done) != REDIS_OK)
			return false;
	return true;
}

/*
 * Is there something to read, in time? All replies of a round trip together are waited for, or who sends a byte now and
 * then holds us for ever; and nobody waits on once others have found that it is in vain. What lies there already,
 * because it was this process that was held up, is taken once.
 */
static bool
wait_readable(struct redis *redis)
{
	struct pollfd watched = {.fd = redis->context->fd, .events = POLLIN};

	for (;;) {
		int64_t left_ms = redis->answer_by_boot_ms - clock_boot_ms();

		bool late = left_ms <= 0 || (redis->breaker && !breaker_allows(redis->breaker));

		if (late && redis->looked_late)
			return false;
		redis->looked_late |= late;

		int ready = poll(&watched, 1, late ? 0 : left_ms < LOOK_UP_MS ? (int)left_ms : LOOK_UP_MS);

		if (ready > 0)
			return true;
		if (late)
			return false;
		if (ready < 0 && errno != EINTR)
			return false;
	}
}

/* The next reply, or NULL; the caller frees it. */
static redisReply *
next_reply(struct redis *redis)
{
	redisContext *context = redis->context;
	void *reply = NULL;

	if (redisGetReplyFromReader(context, &reply) != REDIS_OK || reply)
		return reply;
	if (!send_all(redis))
		return NULL;
	while (!reply) {
		if (!wait_readable(redis) || redisBufferRead(context) != REDIS_OK ||
		    redisGetReplyFromReader(context, &reply) != REDIS_OK)
			return NULL;
	}
	return reply;
}

/* A reply of one type, or NULL; the caller frees it. */
static redisReply *
expect(struct redis *redis, int type)
{
	redisReply *reply = next_reply(redis);

	if (!reply || reply->type == type)
		return reply;
	freeReplyObject(reply);
	return NULL;
}

enum { HEX_ID = 40 }; /* digits of a run_id and of a replication id */

/* The 40 hexadecimal digits behind a label of INFO's; NULL if they are not there. */
static const char *
hex_id(const redisReply *info, const char *label)
{
	const char *at = strstr(info->str, label);

	if (!at)
		return NULL;
	at += strlen(label);
	return strspn(at, "0123456789abcdef") == HEX_ID ? at : NULL;
}

static bool
take_run_id(struct redis *redis, const redisReply *info)
{
	const char *run_id = hex_id(info, "\nrun_id:");

	if (!run_id)
		return false;
	memcpy(redis->id, run_id, HEX_ID);
	redis->id[HEX_ID] = ':';
	return true;
}

/* Of a master; NULL for a replica, which has its master's id. */
static const char *
replication_id(const redisReply *info)
{
	return strstr(info->str, "\nrole:master\r") ? hex_id(info, "\nmaster_replid:") : NULL;
}

static bool
take_replication_id(struct redis *redis, const redisReply *info)
{
	const char *id = replication_id(info);

	if (!id)
		return false;
	memcpy(redis->id + HEX_ID + 1, id, HEX_ID);
	redis->id[2 * HEX_ID + 1] = '\0';
	return true;
}

static bool
receive_greeting(struct redis *redis)
{
	redisReply *reply;
	bool good;

	if (redis->conf->cache.password[0]) {
		if (!(reply = expect(redis, REDIS_REPLY_STATUS)))
			return false;
		freeReplyObject(reply);
	}
	if (!(reply = expect(redis, REDIS_REPLY_STRING)))
		return false;
	good = take_run_id(redis, reply);
	freeReplyObject(reply);
	if (!good || !(reply = expect(redis, REDIS_REPLY_STRING)))
		return false;
	good = take_replication_id(redis, reply);
	freeReplyObject(reply);
	for (int i = 0; good && i < SCRIPT_COUNT; i++) {
		if (!(reply = expect(redis, REDIS_REPLY_STRING)))
			return false;
		good = reply->len == SHA1_HEX_SIZE - 1;
		if (good)
			memcpy(redis->scripts[i], reply->str, SHA1_HEX_SIZE);
		freeReplyObject(reply);
	}
	return good;
}

/* Who are you, are you a master, and here are our scripts: in one round trip. */
static bool
greet(struct redis *redis)
{
	redisContext *context = redis->context;

	redis_begin(redis);
	if (redis->conf->cache.password[0])
		redisAppendCommand(context, "AUTH %s", redis->conf->cache.password);
	redisAppendCommand(context, "INFO server");
	redisAppendCommand(context, "INFO replication");
	for (int i = 0; i < SCRIPT_COUNT; i++)
		redisAppendCommand(context, "SCRIPT LOAD %s", redis_script_text((enum redis_script)i));
	return receive_greeting(redis);
}

static const char *
what_failed(const struct redis *redis)
{
	if (redis->context->err)
		return redis->context->errstr;
	return clock_boot_ms() >= redis->answer_by_boot_ms ? "no answer in time"
							   : "unexpected greeting (not a master?)";
}

static void
report(struct redis *redis, bool connected)
{
	if (connected == !redis->reported)
		return;
	redis->reported = !connected;
	if (connected)
		log_info("redis: connected again: %s", redis->id);
	else
		log_warning("redis: cannot be used: %s", what_failed(redis));
}

enum err
redis_connect(struct redis *redis)
{
	if (redis->context)
		return ERR_OK;
	if (clock_boot_ms() < redis->retry_at_boot_ms)
		return ERR_CACHE_UNAVAILABLE;
	redis->answer_by_boot_ms = clock_boot_ms() + redis->conf->cache.connect_timeout_ms;
	redis->context = open_context(redis->conf);
	if (!redis->context)
		abort();
	bool good = redis->context->err == 0 &&
		    redisSetTimeout(redis->context, timeout(redis->conf->cache.turn_timeout_ms)) == REDIS_OK &&
		    greet(redis);

	report(redis, good);
	if (good) {
		redis->connections++;
		return ERR_OK;
	}
	note_failure(redis);
	redis_disconnect(redis);
	redis->retry_at_boot_ms = clock_boot_ms() + REDIS_RETRY_MS;
	return ERR_CACHE_UNAVAILABLE;
}

bool
redis_command(struct redis *redis, const struct str *arguments, size_t count)
{
	const char *texts[REDIS_ARGUMENTS_MAX];
	size_t lengths[REDIS_ARGUMENTS_MAX];

	if (!redis->context || count > REDIS_ARGUMENTS_MAX)
		return false;
	for (size_t i = 0; i < count; i++) {
		texts[i] = arguments[i].ptr;
		lengths[i] = arguments[i].len;
	}
	if (redisAppendCommandArgv(redis->context, (int)count, texts, lengths) == REDIS_OK)
		return true;
	redis_give_up(redis);
	return false;
}

bool
redis_script(struct redis *redis, enum redis_script script, struct str key, const struct str *arguments, size_t count)
{
	struct str all[REDIS_ARGUMENTS_MAX] = {
		STR("EVALSHA"), {redis->scripts[script], SHA1_HEX_SIZE - 1}, STR("1"), key};

	if (count > REDIS_ARGUMENTS_MAX - 4)
		return false;
	for (size_t i = 0; i < count; i++)
		all[4 + i] = arguments[i];
	return redis_command(redis, all, 4 + count);
}

bool
redis_reply(struct redis *redis, struct arena *arena, struct redis_answer *ret_answer)
{
	redisReply *reply = redis->context ? next_reply(redis) : NULL;

	if (!reply) {
		redis_give_up(redis);
		return false;
	}
	*ret_answer = (struct redis_answer){.type = REDIS_REFUSED};
	if (reply->type == REDIS_REPLY_NIL) {
		ret_answer->type = REDIS_NIL;
	} else if (reply->type == REDIS_REPLY_INTEGER) {
		ret_answer->type = REDIS_NUMBER;
		ret_answer->number = reply->integer;
	} else if (reply->type == REDIS_REPLY_STRING) {
		ret_answer->type = REDIS_TEXT;
		ret_answer->text = arena_str(arena, (struct str){reply->str, (size_t)reply->len});
	}
	if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 && reply->element[1]->type == REDIS_REPLY_STRING) {
		ret_answer->type = REDIS_PAIR;
		ret_answer->text = arena_str(arena, (struct str){reply->element[1]->str, reply->element[1]->len});
	}
	ret_answer->wrong_type = reply->type == REDIS_REPLY_ERROR && strncmp(reply->str, "WRONGTYPE", 9) == 0;
	freeReplyObject(reply);
	return true;
}

bool
redis_ask_life(struct redis *redis)
{
	return redis_command(redis, (struct str[]){STR("INFO"), STR("replication")}, 2);
}

bool
redis_is_same(struct redis *redis)
{
	redisReply *reply = redis->context ? expect(redis, REDIS_REPLY_STRING) : NULL;
	const char *id = reply ? replication_id(reply) : NULL;
	bool good = id && memcmp(id, redis->id + HEX_ID + 1, HEX_ID) == 0;

	if (reply)
		freeReplyObject(reply);
	if (!good)
		redis_give_up(redis);
	return good;
}
