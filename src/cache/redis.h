/*
 * One connection to Redis: connect, pipeline, read replies. The only file that knows hiredis is redis.c. A connection
 * that had an error or a timeout is closed and never used again, because a late reply would answer the next question
 * with another player's data. After a failed connect, and after a time-out, the next try waits REDIS_RETRY_MS.
 */
#ifndef BP_CACHE_REDIS_H
#define BP_CACHE_REDIS_H

#include "base/arena.h"
#include "base/breaker.h"
#include "base/conf.h"
#include "base/err.h"
#include "service/ports.h"

enum { REDIS_RETRY_MS = 100, REDIS_ARGUMENTS_MAX = 12 };

/* The scripts of the cache protocol, loaded on each new connection. Their texts stand in scripts.c. */
enum redis_script { SCRIPT_FILL, SCRIPT_FENCE, SCRIPT_CONFIRM, SCRIPT_COUNT };
const char *redis_script_text(enum redis_script script);

enum redis_reply_type {
	REDIS_NIL,
	REDIS_TEXT,
	REDIS_NUMBER,
	REDIS_PAIR,   /* of a name and a text, as CONFIG GET answers: text is the second */
	REDIS_REFUSED /* an error reply, or of another type */
};

struct redis_answer {
	enum redis_reply_type type;
	bool wrong_type; /* REFUSED: the key holds something that is not a string */
	struct str text; /* TEXT and PAIR: in the arena */
	int64_t number;
};

struct redis;

/*
 * conf and breaker are borrowed for the connection's life; the breaker is told how calls went, and may be NULL. Nothing
 * is connected yet.
 */
struct redis *redis_new(const struct conf *conf, struct breaker *breaker);
void redis_free(struct redis *redis);

/* Connects if it is not, unless the last failure is younger than REDIS_RETRY_MS. ERR_CACHE_UNAVAILABLE. */
enum err redis_connect(struct redis *redis);
/* Forgets the waiting time of redis_connect: the next try is made at once, unless the last one ended in a time-out. */
void redis_retry_now(struct redis *redis);
void redis_disconnect(struct redis *redis);
/* The same after an answer that it should not have given. */
void redis_give_up(struct redis *redis);
/* Counts the connections made; another number is another connection. 0: there is none. */
uint64_t redis_connection(const struct redis *redis);
/*
 * Which Redis this is, "" when there is none: run_id and replication id (INFO's master_replid), a colon between. It was
 * a master when it was connected to. The run_id changes when it is restarted; the replication id also when it was a
 * replica meanwhile, and may hold what its master had.
 */
const char *redis_identity(const struct redis *redis);

/*
 * A round trip begins: all its replies together are waited for no longer than cache.turn_timeout_ms, however slowly
 * they come.
 */
void redis_begin(struct redis *redis);
/* Its replies have come, and said what they should. */
void redis_end(struct redis *redis);
/* Appends a command to the pipeline; false when the connection is lost. */
bool redis_command(struct redis *redis, const struct str *arguments, size_t count);
/* EVALSHA of a script with one key. */
bool redis_script(struct redis *redis, enum redis_script script, struct str key, const struct str *arguments,
		  size_t count);
/* The next reply of the pipeline. False: connection lost (and closed). */
bool redis_reply(struct redis *redis, struct arena *arena, struct redis_answer *ret_answer);
/*
 * Appends the question whether it still is what it was when it was connected to, whose answer is read by
 * redis_is_same(): false closes.
 */
bool redis_ask_life(struct redis *redis);
bool redis_is_same(struct redis *redis);

#endif
