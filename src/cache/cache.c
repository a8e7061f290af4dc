/* The cache protocol: see cache.h. What the commands do stands in scripts.c. */
#include "cache/cache.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/metrics.h"
#include "cache/redis.h"

enum { KEY_SIZE = 32 + SEASON_ID_MAX * 2, HEAD_SIZE = 64 };

struct cache {
	const struct conf *conf;
	const struct cache_shared *shared;
	struct distrusted distrusted; /* the lease's, as of the last look */
	const struct flags *flags;    /* NULL: everybody is served */
	struct cache_flags in_force;
	struct recent *recent; /* NULL: nobody wants to know */
	struct redis *redis;
	struct buf value; /* scratch for the V being sent */
	struct arena scratch;
	struct cache_port port;
};

static struct str print(char *text, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));

static struct str
print(char *text, size_t size, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	int length = vsnprintf(text, size, format, args);

	va_end(args);
	if (length < 0 || (size_t)length >= size)
		abort(); /* ids and numbers are bounded: this cannot be */
	return (struct str){text, (size_t)length};
}

/* Written by hand: every read needs one. */
static struct str
key_of(char text[KEY_SIZE], uint64_t epoch, struct str player, const char *season)
{
	struct buf key = {text, 0, KEY_SIZE};

	buf_literal(&key, "bp:");
	buf_u64(&key, epoch);
	buf_literal(&key, ":{");
	buf_str(&key, player);
	buf_literal(&key, "}:");
	buf_cstr(&key, season);
	return buf_view(&key);
}

static struct str
fence_of(char text[HEAD_SIZE], uint64_t floor, uint64_t nonce)
{
	return print(text, HEAD_SIZE, "T%" PRIu64 ".%016" PRIx64, floor, nonce);
}

/* The V value, in the cache's scratch buffer until the next one. */
static struct str
value_of(struct cache *cache, uint64_t revision, uint64_t season_revision, struct str player, struct str body)
{
	buf_clear(&cache->value);
	buf_format(&cache->value, "V%" PRIu64 ".%" PRIu64 "\n", revision, season_revision);
	buf_str(&cache->value, player);
	buf_char(&cache->value, '\n');
	buf_str(&cache->value, body);
	return buf_view(&cache->value);
}

/* The configured life of a value, +-10 %, so that what was warmed together does not expire together. */
static int64_t
value_ttl_ms(const struct cache *cache)
{
	int64_t ttl_ms = cache->conf->cache.ttl_s * 1000;

	return ttl_ms - ttl_ms / 10 + (int64_t)(random_u64() % (uint64_t)(ttl_ms / 5));
}

/* Takes a decimal number below 10^18 and the character behind it. */
static bool
take_number(struct str *at, char end, uint64_t *ret_number)
{
	uint64_t number = 0;
	size_t i = 0;

	while (i < at->len && i < 18 && at->ptr[i] >= '0' && at->ptr[i] <= '9')
		number = number * 10 + (uint64_t)(at->ptr[i++] - '0');
	if (i == 0 || i == at->len || at->ptr[i] != end)
		return false;
	*at = (struct str){at->ptr + i + 1, at->len - i - 1};
	*ret_number = number;
	return true;
}

/* What we put there is a JSON object; a value cut short is not. */
static bool
is_document(struct str body)
{
	return body.len >= 2 && body.ptr[0] == '{' && body.ptr[body.len - 1] == '}';
}

bool
cache_value_parse(struct str value, struct str player, uint64_t *ret_revision, uint64_t *ret_season_revision,
		  struct str *ret_body)
{
	uint64_t revision;
	uint64_t season_revision;

	if (!str_starts_with(value, STR("V")))
		return false;
	value = (struct str){value.ptr + 1, value.len - 1};
	if (!take_number(&value, '.', &revision) || !take_number(&value, '\n', &season_revision))
		return false;
	if (!str_starts_with(value, player) || value.len == player.len || value.ptr[player.len] != '\n')
		return false;
	value = (struct str){value.ptr + player.len + 1, value.len - player.len - 1};
	if (!is_document(value))
		return false;
	*ret_revision = revision;
	*ret_season_revision = season_revision;
	*ret_body = value;
	return true;
}

/*
 * Connected to the Redis? A connection to another one (it was restarted, or the address leads
 * elsewhere now) is given up for a new one. With the breaker open nobody tries.
 */
static bool
connected_to(struct cache *cache, const char *redis_id)
{
	if (!breaker_allows(&cache->shared->breaker) || redis_connect(cache->redis) != ERR_OK)
		return false;
	if (strcmp(redis_identity(cache->redis), redis_id) == 0)
		return true;
	redis_disconnect(cache->redis);
	return redis_connect(cache->redis) == ERR_OK && strcmp(redis_identity(cache->redis), redis_id) == 0;
}

static struct cache_view
view(void *self)
{
	struct cache *cache = self;
	struct lease_content lease;

	if (!lease_look(&cache->shared->lease, &lease, &cache->distrusted) || !connected_to(cache, lease.redis_id))
		return (struct cache_view){.trusted = false};
	return (struct cache_view){
		.trusted = true,
		.unconfirmed = lease.unconfirmed,
		.epoch = lease.epoch,
		.connection = redis_connection(cache->redis),
	};
}

static bool
reaches(void *self, const struct write_gate *gate)
{
	struct cache *cache = self;

	redis_retry_now(cache->redis);
	return connected_to(cache, gate->redis_id);
}

/* What a key held decides what the reader does next. */
static void
judge(struct cache_lookup *lookup, struct str value)
{
	uint64_t season_revision;

	if (cache_value_parse(value, lookup->player, &lookup->revision, &season_revision, &lookup->body)) {
		if (season_revision == lookup->season->revision) {
			lookup->state = CACHE_HIT;
		} else if (season_revision < lookup->season->revision) {
			const char *end = memchr(value.ptr, '\n', value.len);

			lookup->state = CACHE_FILL;
			lookup->seen = (struct str){value.ptr, (size_t)(end - value.ptr)};
		}
	} else if (str_starts_with(value, STR("T")) && value.len < HEAD_SIZE) {
		lookup->state = CACHE_FILL;
		lookup->seen = value;
	}
}

/* Looked at once for all lookups of a turn. What cannot be read serves nobody. */
static void
take_flags(struct cache *cache)
{
	if (cache->flags && !flags_look(cache->flags, &cache->in_force))
		cache->in_force = (struct cache_flags){.revision = 0};
}

/*
 * May this read be answered from the cache, and fill it? Else it goes around, and leaves nothing there. Nothing that
 * the cache says of a distrusted player counts.
 */
static bool
asks_cache(const struct cache *cache, const struct cache_lookup *lookup)
{
	return (!cache->flags || flags_serve(&cache->in_force, lookup->player)) &&
	       !distrusted_names(&cache->distrusted, lookup->player, str_from(lookup->season->id));
}

/* Those of the lookups that ask; the others are CACHE_ABSENT. */
static size_t
choose_asking(struct cache *cache, struct cache_lookup *const lookups[], size_t count, struct cache_lookup **asking)
{
	size_t chosen = 0;

	take_flags(cache);
	for (size_t i = 0; i < count; i++) {
		lookups[i]->state = CACHE_ABSENT;
		if (asks_cache(cache, lookups[i]))
			asking[chosen++] = lookups[i];
	}
	return chosen;
}

static bool
send_lookup(struct cache *cache, uint64_t epoch, struct cache_lookup *lookup, bool leave_token, struct arena *arena)
{
	char text[KEY_SIZE];
	struct str key = key_of(text, epoch, lookup->player, lookup->season->id);

	if (!leave_token)
		return redis_command(cache->redis, (struct str[]){STR("GET"), key}, 2);
	lookup->seen = arena_format(arena, "L%016" PRIx64, random_u64());
	return redis_command(
		cache->redis,
		(struct str[]){STR("SET"), key, lookup->seen, STR("PX"), STR(TOKEN_TTL_MS), STR("NX"), STR("GET")}, 7);
}

/* Reads the answers; then whose they are: what a replica said, or an error reply, is nothing to go by. */
static bool
receive_lookups(struct cache *cache, struct cache_lookup *const lookups[], size_t count, bool leave_token,
		struct arena *arena)
{
	struct redis_answer answer;
	bool refused = false;

	for (size_t i = 0; i < count; i++) {
		if (!redis_reply(cache->redis, arena, &answer))
			return false;
		if (answer.type == REDIS_TEXT)
			judge(lookups[i], answer.text);
		else if (answer.type == REDIS_NIL && leave_token)
			lookups[i]->state = CACHE_FILL;
		refused |= answer.type == REDIS_REFUSED && !answer.wrong_type;
	}
	if (refused)
		redis_give_up(cache->redis);
	if (!redis_is_same(cache->redis))
		return false;
	redis_end(cache->redis);
	return true;
}

static bool
lookup_all(void *self, struct cache_view at, struct cache_lookup *const lookups[], size_t count, bool leave_token,
	   struct arena *arena)
{
	struct cache *cache = self;
	struct cache_lookup **asking = ARENA_ARRAY(arena, count, struct cache_lookup *);
	size_t asked = choose_asking(cache, lookups, count, asking);

	/* The read lane hands on what it did not ask for; it counts where it is answered. */
	if (leave_token)
		metrics_add(METRIC_CACHE_BYPASSED, count - asked);
	if (asked == 0)
		return true;
	if (redis_connection(cache->redis) != at.connection)
		return false;
	redis_begin(cache->redis);
	for (size_t i = 0; i < asked; i++)
		if (!send_lookup(cache, at.epoch, asking[i], leave_token, arena))
			return false;
	return redis_ask_life(cache->redis) && receive_lookups(cache, asking, asked, leave_token, arena);
}

static bool
send_fill(struct cache *cache, uint64_t epoch, const struct cache_fill *fill)
{
	char key[KEY_SIZE];
	char revision[HEAD_SIZE];
	char ttl[HEAD_SIZE];

	return redis_script(
		cache->redis, SCRIPT_FILL, key_of(key, epoch, fill->player, fill->season),
		(struct str[]){fill->seen, print(revision, HEAD_SIZE, "%" PRIu64, fill->revision),
			       value_of(cache, fill->revision, fill->season_revision, fill->player, fill->body),
			       print(ttl, HEAD_SIZE, "%" PRId64, value_ttl_ms(cache))},
		4);
}

static void
fill_all(void *self, struct cache_view at, const struct cache_fill *fills, size_t count)
{
	struct cache *cache = self;
	struct redis_answer answer;
	uint64_t filled = 0;
	bool refused = false;

	if (redis_connection(cache->redis) != at.connection)
		return;
	redis_begin(cache->redis);
	for (size_t i = 0; i < count; i++)
		if (!send_fill(cache, at.epoch, &fills[i]))
			return;
	for (size_t i = 0; i < count; i++) {
		if (!redis_reply(cache->redis, &cache->scratch, &answer))
			break;
		if (answer.type != REDIS_NUMBER)
			refused = true;
		filled += answer.type == REDIS_NUMBER && answer.number == 1;
	}
	if (refused) /* scripts flushed, out of memory: a new connection starts afresh */
		redis_give_up(cache->redis);
	arena_reset(&cache->scratch);
	metrics_add(METRIC_CACHE_FILLS, filled);
	metrics_add(METRIC_CACHE_FILLS_REFUSED, count - filled);
}

/*
 * Reads one integer reply for each command sent, and then whose they are. A fence or a confirmation that the Redis of
 * this connection did not answer as it must is no fence: the connection is given up with it. *ret_beyond (NULL: nobody
 * asks): has one answered 2?
 */
static enum err
numbers_only(struct cache *cache, size_t count, bool *ret_beyond)
{
	struct redis_answer answer;
	enum err err = redis_ask_life(cache->redis) ? ERR_OK : ERR_CACHE_UNAVAILABLE;

	bool beyond = false;

	for (size_t i = 0; i < count && err == ERR_OK; i++) {
		if (!redis_reply(cache->redis, &cache->scratch, &answer) || answer.type != REDIS_NUMBER)
			err = ERR_CACHE_UNAVAILABLE;
		else
			beyond |= answer.number == 2;
	}
	if (ret_beyond)
		*ret_beyond = beyond;
	arena_reset(&cache->scratch);
	if (err == ERR_OK && !redis_is_same(cache->redis))
		err = ERR_CACHE_UNAVAILABLE;
	if (err == ERR_OK)
		redis_end(cache->redis);
	else
		redis_give_up(cache->redis);
	return err;
}

static bool
send_fence(struct cache *cache, uint64_t epoch, struct cache_write *write)
{
	char key[KEY_SIZE];
	char floor[HEAD_SIZE];
	char nonce[HEAD_SIZE];
	char ttl[HEAD_SIZE];
	char newest[HEAD_SIZE];

	write->nonce = random_u64();
	return redis_script(cache->redis, SCRIPT_FENCE, key_of(key, epoch, write->player, write->season),
			    (struct str[]){print(floor, HEAD_SIZE, "%" PRIu64, write->revision),
					   print(nonce, HEAD_SIZE, "%016" PRIx64, write->nonce),
					   print(ttl, HEAD_SIZE, "%d", FENCE_TTL_MS),
					   print(newest, HEAD_SIZE, "%" PRIu64, write->revision - !write->stands)},
			    4);
}

static enum err
fence_once(struct cache *cache, uint64_t epoch, struct cache_write *const writes[], size_t count)
{
	size_t sent = 0;

	for (size_t i = 0; i < count; i++) {
		if (!writes[i]->changed)
			continue;
		if (!send_fence(cache, epoch, writes[i]))
			return ERR_CACHE_UNAVAILABLE;
		sent++;
	}
	metrics_add(METRIC_CACHE_FENCES, sent);

	bool beyond;
	enum err err = numbers_only(cache, sent, &beyond);

	return err == ERR_OK && beyond ? ERR_CACHE_AHEAD : err;
}

/*
 * A connection may have died of old age (Redis closes idle ones, an operator kills one, the scripts were flushed): one
 * new connection to the same Redis is tried before the cache is given up for everybody. A nonce is never sent twice.
 */
static enum err
twice(struct cache *cache, const struct write_gate *gate, struct cache_write *const writes[], size_t count,
      enum err (*once)(struct cache *, uint64_t, struct cache_write *const[], size_t))
{
	enum err err = ERR_CACHE_UNAVAILABLE;

	for (int tries = 0; tries < 2 && err == ERR_CACHE_UNAVAILABLE; tries++) {
		if (!reaches(cache, gate))
			return ERR_CACHE_UNAVAILABLE;
		redis_begin(cache->redis);
		err = once(cache, gate->epoch, writes, count);
	}
	return err;
}

static enum err
fence(void *self, const struct write_gate *gate, struct cache_write *const writes[], size_t count)
{
	return twice(self, gate, writes, count, fence_once);
}

static bool
send_confirm(struct cache *cache, uint64_t epoch, const struct cache_write *write)
{
	char key[KEY_SIZE];
	char revision[HEAD_SIZE];
	char own[HEAD_SIZE];
	char value_ttl[HEAD_SIZE];
	char fresh[HEAD_SIZE];
	char fence_ttl[HEAD_SIZE];
	struct str value =
		write->changed ? value_of(cache, write->revision, write->season_revision, write->player, write->body)
			       : STR("");

	return redis_script(cache->redis, SCRIPT_CONFIRM, key_of(key, epoch, write->player, write->season),
			    (struct str[]){print(revision, HEAD_SIZE, "%" PRIu64, write->revision),
					   write->changed ? fence_of(own, write->revision, write->nonce) : STR("-"),
					   value, print(value_ttl, HEAD_SIZE, "%" PRId64, value_ttl_ms(cache)),
					   fence_of(fresh, write->revision, random_u64()),
					   print(fence_ttl, HEAD_SIZE, "%d", FENCE_TTL_MS)},
			    6);
}

static enum err
confirm_once(struct cache *cache, uint64_t epoch, struct cache_write *const writes[], size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!send_confirm(cache, epoch, writes[i]))
			return ERR_CACHE_UNAVAILABLE;
	metrics_add(METRIC_CACHE_CONFIRMS, count);
	return numbers_only(cache, count, NULL);
}

static enum err
confirm(void *self, const struct write_gate *gate, struct cache_write *const writes[], size_t count)
{
	struct cache *cache = self;
	enum err err = twice(cache, gate, writes, count, confirm_once);

	for (size_t i = 0; i < count && err == ERR_OK && cache->recent; i++)
		if (writes[i]->changed)
			recent_note(cache->recent, writes[i]->player, str_from(writes[i]->season));
	return err;
}

enum { PEEK_BYTES = 95 }; /* of a value: all that stands before the player */

static bool
send_peek(struct cache *cache, uint64_t epoch, const struct cache_content *content)
{
	char text[KEY_SIZE];
	char end[HEAD_SIZE];
	struct str key = key_of(text, epoch, content->player, content->season);

	return redis_command(cache->redis,
			     (struct str[]){STR("GETRANGE"), key, STR("0"), print(end, HEAD_SIZE, "%d", PEEK_BYTES)},
			     4) &&
	       redis_command(cache->redis, (struct str[]){STR("PTTL"), key}, 2);
}

static void
take_head(struct cache_content *content, struct str head)
{
	struct str rest = {head.ptr + 1, head.len ? head.len - 1 : 0};

	content->held = head.len ? CACHE_HOLDS_OTHER : CACHE_HOLDS_NOTHING;
	if (str_starts_with(head, STR("V")) && take_number(&rest, '.', &content->revision) &&
	    take_number(&rest, '\n', &content->season_revision))
		content->held = CACHE_HOLDS_VALUE;
	else if (str_starts_with(head, STR("T")) && take_number(&rest, '.', &content->revision))
		content->held = CACHE_HOLDS_FENCE;
	else if (str_starts_with(head, STR("L")))
		content->held = CACHE_HOLDS_TOKEN;
}

static bool
receive_peek(struct cache *cache, struct cache_content *content, struct arena *arena)
{
	struct redis_answer head;
	struct redis_answer ttl;

	if (!redis_reply(cache->redis, arena, &head) || !redis_reply(cache->redis, arena, &ttl))
		return false;
	content->held = CACHE_HOLDS_OTHER;
	if (head.type == REDIS_TEXT)
		take_head(content, head.text);
	content->ttl_ms = ttl.type == REDIS_NUMBER ? ttl.number : -1;
	return true;
}

static bool
peek(void *self, const struct write_gate *gate, struct cache_content *contents, size_t count, struct arena *arena)
{
	struct cache *cache = self;

	if (!connected_to(cache, gate->redis_id))
		return false;
	redis_begin(cache->redis);
	for (size_t i = 0; i < count; i++)
		if (!send_peek(cache, gate->epoch, &contents[i]))
			return false;
	if (!redis_ask_life(cache->redis))
		return false;
	for (size_t i = 0; i < count; i++)
		if (!receive_peek(cache, &contents[i], arena))
			return false;
	if (!redis_is_same(cache->redis))
		return false;
	redis_end(cache->redis);
	return true;
}

struct cache *
cache_new(const struct conf *conf, struct cache_shared *shared)
{
	struct cache *cache = calloc(1, sizeof(*cache));

	if (!cache)
		abort();
	cache->conf = conf;
	cache->shared = shared;
	cache->redis = redis_new(conf, &shared->breaker);
	buf_init(&cache->value);
	arena_init(&cache->scratch);
	cache->port = (struct cache_port){
		.self = cache,
		.view = view,
		.lookup = lookup_all,
		.fill = fill_all,
		.peek = peek,
		.reaches = reaches,
		.fence = fence,
		.confirm = confirm,
	};
	return cache;
}

void
cache_free(struct cache *cache)
{
	if (!cache)
		return;
	redis_free(cache->redis);
	buf_release(&cache->value);
	arena_release(&cache->scratch);
	free(cache);
}

void
cache_steer(struct cache *cache, const struct flags *flags)
{
	cache->flags = flags;
}

void
cache_note_writes(struct cache *cache, struct recent *recent)
{
	cache->recent = recent;
}

const struct cache_port *
cache_port(const struct cache *cache)
{
	return &cache->port;
}
