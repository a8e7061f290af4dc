/*
 * The cache protocol on a real Redis: each script's conditions one by one, what hostile values come to, and connections
 * that fail in every way: nothing of one answer may ever be taken for another. Random interleavings stand in
 * cache_history_test.c.
 */
#include "cache/cache.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "fake_service.h"
#include "redis_server.h"
#include "tap.h"

enum { EPOCH = 3, SEASON_REVISION = 7, BOUND_MS = 600, TIMEOUT_MS = 200 };

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
#define KEY             "bp:3:{p}:s1"
#define LIST            "(list)" /* stands for a key of another type */

static struct redis_server server;
static struct cache_shared shared;
static struct conf *conf;
static struct cache *cache;
static const struct cache_port *port;
static struct arena arena;
static struct write_gate gate = {.epoch = EPOCH, .enabled = true, .settled = true, .same_database = true};

static const struct season_entry season = {.id = "s1", .revision = SEASON_REVISION};

static void
give_lease(const char *redis_id, int64_t ms)
{
	struct lease_content content = {.epoch = EPOCH, .until_boot_ms = clock_boot_ms() + ms};

	snprintf(content.redis_id, sizeof(content.redis_id), "%s", redis_id);
	lease_give(&shared.lease, &content, NULL, 0);
}

/* The lease and the gate name the Redis that runs now. */
static void
name_redis(void)
{
	give_lease(redis_identity(server.control), 60000);
	memcpy(gate.redis_id, redis_identity(server.control), sizeof(gate.redis_id));
}

static bool
reaches(const char *redis_id)
{
	struct write_gate other = gate;

	snprintf(other.redis_id, sizeof(other.redis_id), "%s", redis_id);
	return port->reaches(port->self, &other);
}

static void
open_cache(void)
{
	name_redis();
	conf = redis_server_conf(&server, NULL, TIMEOUT_MS);
	cache = cache_new(conf, &shared);
	port = cache_port(cache);
	redis_relay_reset(&server);
	memset(&shared.breaker, 0, sizeof(shared.breaker));
	redis_server_ask(&server, "FLUSHALL");
}

static void
close_cache(void)
{
	cache_free(cache);
	conf_free(conf);
	arena_reset(&arena);
}

static struct cache_view
look(void)
{
	return port->view(port->self);
}

/* What the key holds; "-" if nothing, LIST if something else than a text. */
static const char *
held(void)
{
	const char *value = redis_server_get(&server, KEY);

	if (value)
		return arena_copy(&arena, str_from(value));
	return redis_server_ask(&server, "EXISTS " KEY).number ? LIST : "-";
}

static void
plant(const char *value)
{
	redis_server_ask(&server, "DEL " KEY);
	if (value && strcmp(value, LIST) == 0)
		redis_server_ask(&server, "RPUSH " KEY " x");
	else if (value)
		redis_server_put(&server, KEY, str_from(value));
}

static int64_t
life_ms(void)
{
	return redis_server_ask(&server, "PTTL " KEY).number;
}

/* As configured, +-10 %, and it has been there for a moment. */
static bool
lives_a_value_s_time(void)
{
	int64_t ttl_ms = conf->cache.ttl_s * 1000;

	return life_ms() >= ttl_ms * 88 / 100 && life_ms() <= ttl_ms * 110 / 100;
}

static struct cache_lookup
lookup(bool leave_token)
{
	struct cache_lookup wanted = {.player = STR("p"), .season = &season};
	struct cache_lookup *wanteds[] = {&wanted};

	if (!port->lookup(port->self, look(), wanteds, 1, leave_token, &arena))
		wanted.state = CACHE_ABSENT;
	return wanted;
}

static struct cache_write
a_write(uint64_t revision, bool changed)
{
	return (struct cache_write){
		.player = STR("p"),
		.season = "s1",
		.changed = changed,
		.revision = revision,
		.season_revision = SEASON_REVISION,
		.body = changed ? STR("{new}") : STR_NONE,
	};
}

static enum err
fence(struct cache_write *write)
{
	struct cache_write *writes[] = {write};

	return port->fence(port->self, &gate, writes, 1);
}

static enum err
confirm(struct cache_write *write)
{
	struct cache_write *writes[] = {write};

	return port->confirm(port->self, &gate, writes, 1);
}

static void
fill(const char *seen, uint64_t revision)
{
	struct cache_fill wanted = {
		.player = STR("p"),
		.season = "s1",
		.seen = str_from(seen),
		.revision = revision,
		.season_revision = SEASON_REVISION,
		.body = STR("{new}"),
	};

	port->fill(port->self, look(), &wanted, 1);
}

/* A fence's floor, and that it is a well-formed one of nobody's nonce but a new one. */
static void
expect_fence(const char *value, uint64_t floor, uint64_t not_this_nonce)
{
	unsigned long long number;
	unsigned long long nonce;
	int end = 0;

	CU_ASSERT(sscanf(value, "T%llu.%16llx%n", &number, &nonce, &end) == 2 && value[end] == '\0');
	CU_ASSERT_EQUAL(number, floor);
	CU_ASSERT_NOT_EQUAL(nonce, not_this_nonce);
	CU_ASSERT(life_ms() > FENCE_TTL_MS - 5000 && life_ms() <= FENCE_TTL_MS);
}

static void
test_lookup(void)
{
	static const struct {
		const char *held;
		bool leave_token;
		enum cache_state state;
		const char *seen; /* of CACHE_FILL; NULL: the reader's own token */
	} cases[] = {
		{NULL, true, CACHE_FILL, NULL},
		{NULL, false, CACHE_ABSENT, NULL},
		{"V5.7\np\n{}", true, CACHE_HIT, NULL},
		{"V5.7\np\n{}", false, CACHE_HIT, NULL},
		{"V5.6\np\n{}", true, CACHE_FILL, "V5.6"},
		{"V5.8\np\n{}", true, CACHE_ABSENT, NULL},
		{"T5.0123456789abcdef", true, CACHE_FILL, "T5.0123456789abcdef"},
		{"L0123456789abcdef", true, CACHE_ABSENT, NULL},
		/* hostile */
		{"V5.7\nq\n{}", true, CACHE_ABSENT, NULL},
		{"V5.7\npp\n{}", true, CACHE_ABSENT, NULL},
		{"V5.7\np", true, CACHE_ABSENT, NULL},
		{"V5.7", true, CACHE_ABSENT, NULL},
		{"V5\np\n{}", true, CACHE_ABSENT, NULL},
		{"V9999999999999999999.7\np\n{}", true, CACHE_ABSENT, NULL},
		{"X", true, CACHE_ABSENT, NULL},
		{"", true, CACHE_ABSENT, NULL},
		{"T5.0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0", true, CACHE_ABSENT, NULL},
		{LIST, true, CACHE_ABSENT, NULL},
		{LIST, false, CACHE_ABSENT, NULL},
	};

	open_cache();
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		plant(cases[i].held);
		struct cache_lookup found = lookup(cases[i].leave_token);

		CU_ASSERT_EQUAL(found.state, cases[i].state);
		if (found.state != cases[i].state)
			printf("# lookup case %zu\n", i);
		if (found.state == CACHE_HIT)
			CU_ASSERT(found.revision == 5 && str_equal(found.body, STR("{}")));
		if (cases[i].seen)
			CU_ASSERT(str_equal(found.seen, str_from(cases[i].seen)));
		const char *left = cases[i].leave_token ? arena_copy(&arena, found.seen) : "-";

		CU_ASSERT_STRING_EQUAL(held(), cases[i].held ? cases[i].held : left);
	}
	close_cache();
}

static void
test_token(void)
{
	open_cache();
	struct cache_lookup first = lookup(true);
	struct cache_lookup second = lookup(true);

	CU_ASSERT_EQUAL(first.state, CACHE_FILL);
	CU_ASSERT_EQUAL(second.state, CACHE_ABSENT);
	CU_ASSERT(held()[0] == 'L' && life_ms() > 0 && life_ms() <= atoi(TOKEN_TTL_MS));
	CU_ASSERT_FALSE(str_equal(first.seen, second.seen));
	close_cache();
}

static void
test_fill(void)
{
	static const struct {
		const char *held;
		const char *seen;
		uint64_t revision;
		bool accepted;
	} cases[] = {
		{NULL, "L1", 5, false},
		{NULL, "T5.1", 5, false},
		{"L1", "L1", 5, true},
		{"L1", "L1", 0, true},
		{"L1", "L2", 5, false},
		{"L12", "L1", 5, false},
		{"T5.1", "T5.1", 5, true},
		{"T5.1", "T5.1", 6, true},
		{"T5.1", "T5.1", 4, false},
		{"T5.2", "T5.1", 5, false},
		{"T5.2", "T5.1", 9, false},
		{"T4.1", "T5.1", 5, false},
		{"T5.1", "L1", 5, false},
		{"L1", "T5.1", 5, false},
		{"V5.6\np\nold", "V5.6", 5, true},
		{"V5.6\np\nold", "V5.6", 6, true},
		{"V5.6\np\nold", "V5.6", 4, false},
		{"V6.6\np\nold", "V5.6", 6, false},
		{"V5.8\np\nold", "V5.6", 6, false},
		{"V5.7\np\nold", "L1", 5, false},
		{"V5.7\np\nold", "T5.1", 5, false},
		{LIST, "L1", 5, false},
		/* Revisions are compared as numbers. */
		{"T10.1", "T10.1", 9, false},
		{"T9.1", "T9.1", 10, true},
		{"T900719925474099.1", "T900719925474099.1", 900719925474098, false},
	};

	open_cache();
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		char want[64];

		plant(cases[i].held);
		fill(cases[i].seen, cases[i].revision);
		snprintf(want, sizeof(want), "V%llu.7\np\n{new}", (unsigned long long)cases[i].revision);
		const char *after = held();

		if (strcmp(after, cases[i].accepted ? want : cases[i].held ? cases[i].held : "-") != 0)
			printf("# fill case %zu: %s\n", i, after);
		CU_ASSERT_STRING_EQUAL(after, cases[i].accepted ? want : cases[i].held ? cases[i].held : "-");
		if (cases[i].accepted)
			CU_ASSERT(lives_a_value_s_time());
	}
	close_cache();
}

/* What a key holds before a writer comes; kept: it stays, else a fence stands there. ahead: the database has not made
 * it yet. */
struct writer_case {
	const char *held;
	bool kept;
	bool ahead;
};

static void
test_fence(void)
{
	static const struct writer_case cases[] = {
		{NULL, false, false},         {"L1", false, false},         {"V4.7\np\nold", false, false},
		{"V5.7\np\nold", true, true}, {"V6.1\np\nold", true, true}, {"V10.1\np\nold", true, true},
		{"T4.1", false, false},       {"T5.1", true, false},        {"T6.1", true, false},
		{"nonsense", false, false},   {"V.7\np\n", false, false},   {"V5", false, false},
	};

	open_cache();
	CU_ASSERT_TRUE(look().trusted);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct cache_write write = a_write(5, true);

		plant(cases[i].held);
		CU_ASSERT_EQUAL(fence(&write), cases[i].ahead ? ERR_CACHE_AHEAD : ERR_OK);
		if (cases[i].kept) {
			CU_ASSERT_STRING_EQUAL(held(), cases[i].held);
		} else {
			char own[40];

			snprintf(own, sizeof(own), "T5.%016llx", (unsigned long long)write.nonce);
			CU_ASSERT_STRING_EQUAL(held(), own);
			expect_fence(held(), 5, 0);
		}
	}
	struct cache_write unchanged = a_write(5, false);

	plant(NULL);
	CU_ASSERT_EQUAL(fence(&unchanged), ERR_OK);
	CU_ASSERT_STRING_EQUAL(held(), "-");
	close_cache();
}

static void
test_confirm(void)
{
	static const struct writer_case cases[] = {
		{NULL, false, false},          {"L1", false, false},          {"V4.7\np\nold", false, false},
		{"V5.7\np\nold", true, false}, {"V6.7\np\nold", true, false}, {"T4.1", false, false},
		{"T5.1", true, false},         {"T6.1", true, false},         {"nonsense", false, false},
	};

	open_cache();
	CU_ASSERT_TRUE(look().trusted);
	for (int changed = 0; changed < 2; changed++) {
		for (size_t i = 0; i < COUNT_OF(cases); i++) {
			struct cache_write write = a_write(5, changed);

			write.nonce = 42;
			plant(cases[i].held);
			CU_ASSERT_EQUAL(confirm(&write), ERR_OK);
			if (cases[i].kept) {
				CU_ASSERT_STRING_EQUAL(held(), cases[i].held);
			} else {
				expect_fence(held(), 5, write.nonce);
			}
		}
	}
	close_cache();
}

static void
test_own_fence_becomes_the_value(void)
{
	open_cache();
	CU_ASSERT_TRUE(look().trusted);
	struct cache_write write = a_write(5, true);

	CU_ASSERT_EQUAL(fence(&write), ERR_OK);
	CU_ASSERT_EQUAL(confirm(&write), ERR_OK);
	CU_ASSERT_STRING_EQUAL(held(), "V5.7\np\n{new}");
	CU_ASSERT(lives_a_value_s_time());
	CU_ASSERT_EQUAL(lookup(true).state, CACHE_HIT);
	/* Executed once more, late: the fence is not there any more. */
	plant("T5.1");
	CU_ASSERT_EQUAL(confirm(&write), ERR_OK);
	CU_ASSERT_STRING_EQUAL(held(), "T5.1");
	/* A nonce is of one attempt only. */
	struct cache_write again = a_write(6, true);

	CU_ASSERT_EQUAL(fence(&again), ERR_OK);
	CU_ASSERT_NOT_EQUAL(again.nonce, write.nonce);
	close_cache();
}

/* A relay's fence is of what stands: its own revision may be there. */
static void
test_fence_of_what_stands(void)
{
	static const struct writer_case cases[] = {{"V4.7\np\nold", false, false},
						   {"V5.7\np\nold", true, false},
						   {"V6.1\np\nold", true, true},
						   {"T6.1", true, false}};

	open_cache();
	CU_ASSERT_TRUE(look().trusted);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct cache_write write = a_write(5, true);

		write.stands = true;
		plant(cases[i].held);
		CU_ASSERT_EQUAL(fence(&write), cases[i].ahead ? ERR_CACHE_AHEAD : ERR_OK);
		CU_ASSERT_EQUAL(strcmp(held(), cases[i].held) == 0, cases[i].kept);
	}
	close_cache();
}

/* A key of another type is nothing of ours: a fence takes its place. A reader leaves it alone. */
static void
test_wrong_type(void)
{
	open_cache();
	CU_ASSERT_TRUE(look().trusted);
	struct cache_write write = a_write(5, true);

	plant(LIST);
	CU_ASSERT_EQUAL(lookup(true).state, CACHE_ABSENT);
	CU_ASSERT_STRING_EQUAL(held(), LIST);
	CU_ASSERT_EQUAL(fence(&write), ERR_OK);
	expect_fence(held(), 5, 0);
	CU_ASSERT_EQUAL(confirm(&write), ERR_OK);
	CU_ASSERT_STRING_EQUAL(held(), "V5.7\np\n{new}");
	plant(LIST);
	CU_ASSERT_EQUAL(confirm(&write), ERR_OK);
	expect_fence(held(), 5, 0);
	close_cache();
}

/* One of several that fails fails them all. */
static void
test_several_writes(void)
{
	open_cache();
	CU_ASSERT_TRUE(look().trusted);
	struct cache_write a = a_write(5, true);
	struct cache_write b = a_write(5, true);
	struct cache_write *both[] = {&a, &b};

	a.player = STR("a");
	CU_ASSERT_EQUAL(port->fence(port->self, &gate, both, 2), ERR_OK);
	CU_ASSERT_NOT_EQUAL(a.nonce, b.nonce);
	CU_ASSERT_EQUAL(port->confirm(port->self, &gate, both, 2), ERR_OK);
	CU_ASSERT_STRING_EQUAL(held(), "V5.7\np\n{new}");
	CU_ASSERT_EQUAL(port->fence(port->self, &gate, both, 2), ERR_CACHE_AHEAD);
	close_cache();
}

static void
test_value_parse(void)
{
	static const struct {
		struct str value;
		bool good;
	} cases[] = {
#define CASE(text, good) {{(text), sizeof(text) - 1}, good}
		CASE("V1.2\np\n{body}", true),
		CASE("V0.0\np\n{}", true),
		CASE("V999999999999999999.999999999999999999\np\n{}", true),
		CASE("V1.2\np\n{\nbody\n}", true),
		CASE("V1.2\np\n{\0}", true),
		/* Cut short, or not an object. */
		CASE("V1.2\np\n", false),
		CASE("V1.2\np\n{", false),
		CASE("V1.2\np\n}", false),
		CASE("V1.2\np\n{body", false),
		CASE("V1.2\np\nbody}", false),
		CASE("V1.2\np\n[]", false),
		CASE("", false),
		CASE("V", false),
		CASE("v1.2\np\n{body}", false),
		CASE("T1.2\np\n{body}", false),
		CASE("V1", false),
		CASE("V1.", false),
		CASE("V1.2", false),
		CASE("V1.2\n", false),
		CASE("V1.2\np", false),
		CASE("V1.2p\n{body}", false),
		CASE("V.2\np\n{body}", false),
		CASE("V1.\np\n{body}", false),
		CASE("V-1.2\np\n{body}", false),
		CASE("V+1.2\np\n{body}", false),
		CASE("V 1.2\np\n{body}", false),
		CASE("V1 .2\np\n{body}", false),
		CASE("V1.2 \np\n{body}", false),
		CASE("V1.2\r\np\n{body}", false),
		CASE("V0x1.2\np\n{body}", false),
		CASE("V1e1.2\np\n{body}", false),
		CASE("V1,2\np\n{body}", false),
		CASE("V1.2.3\np\n{body}", false),
		CASE("V1000000000000000000.2\np\n{body}", false),
		CASE("V1.18446744073709551617\np\n{body}", false),
		CASE("V1.2\nq\n{body}", false),
		CASE("V1.2\npq\n{body}", false),
		CASE("V1.2\n\n{body}", false),
		CASE("V1.2\nP\n{body}", false),
		CASE("V1.2\np\0\n{body}", false),
		CASE("\0V1.2\np\n{body}", false),
#undef CASE
	};

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		uint64_t revision = 77;
		uint64_t season_revision = 77;
		struct str body = STR("untouched");
		/* At its very end, so that the sanitizer sees a byte too far. */
		char *exact = malloc(cases[i].value.len + 1);
		char *at = exact + 1;

		if (!exact)
			abort();
		memcpy(at, cases[i].value.ptr, cases[i].value.len);
		bool good = cache_value_parse((struct str){at, cases[i].value.len}, STR("p"), &revision,
					      &season_revision, &body);

		if (good != cases[i].good)
			printf("# value case %zu\n", i);
		CU_ASSERT_EQUAL(good, cases[i].good);
		CU_ASSERT(good || (revision == 77 && season_revision == 77 && str_equal(body, STR("untouched"))));
		free(exact);
	}
}

/* Random bytes, and good values with a few bytes changed: parsed or refused, never more. */
static void
test_value_parse_random(void)
{
	srandom((unsigned)tap_seed());
	for (int i = 0; i < 200000; i++) {
		char value[] = "V12.34\nplayer\n{\"xp\":5}";
		size_t len = (size_t)random() % sizeof(value);
		uint64_t revision;
		uint64_t season_revision;
		struct str body;

		for (long k = random() % 3; k >= 0; k--)
			value[(size_t)random() % (sizeof(value) - 1)] = (char)random();
		if (!cache_value_parse((struct str){value, len}, STR("player"), &revision, &season_revision, &body))
			continue;
		CU_ASSERT(value[0] == 'V' && body.ptr + body.len == value + len);
		CU_ASSERT_EQUAL(memcmp(body.ptr - 8, "\nplayer\n", 8), 0);
	}
}

static void
test_trust(void)
{
	open_cache();
	struct cache_view view = look();

	CU_ASSERT(view.trusted && view.epoch == EPOCH && !view.unconfirmed);
	give_lease(redis_identity(server.control), 0);
	CU_ASSERT_FALSE(look().trusted);
	give_lease("ffffffffffffffffffffffffffffffffffffffff", 60000);
	CU_ASSERT_FALSE(look().trusted);
	give_lease("", 60000);
	CU_ASSERT_FALSE(look().trusted);
	struct lease_content content = {.epoch = 9, .until_boot_ms = clock_boot_ms() + 60000, .unconfirmed = true};

	memcpy(content.redis_id, redis_identity(server.control), sizeof(content.redis_id));
	lease_give(&shared.lease, &content, NULL, 0);
	view = look();
	CU_ASSERT(view.trusted && view.epoch == 9 && view.unconfirmed);
	/* A steward that died while it wrote: nothing is known. */
	shared.lease.lock.sequence |= 1;
	CU_ASSERT_FALSE(look().trusted);
	CU_ASSERT_TRUE(reaches(redis_identity(server.control)));
	CU_ASSERT_FALSE(reaches("ffffffffffffffffffffffffffffffffffffffff"));
	CU_ASSERT_FALSE(reaches(""));
	close_cache();
}

/* Keys of another epoch, player or season are other keys. */
static void
test_keys_are_apart(void)
{
	open_cache();
	plant("V5.7\np\n{}");
	struct cache_view view = look();
	struct cache_lookup other = {.player = STR("q"), .season = &season};
	struct cache_lookup *others[] = {&other};

	CU_ASSERT_TRUE(port->lookup(port->self, view, others, 1, false, &arena));
	CU_ASSERT_EQUAL(other.state, CACHE_ABSENT);
	other.player = STR("p");
	view.epoch = EPOCH + 1;
	CU_ASSERT_TRUE(port->lookup(port->self, view, others, 1, false, &arena));
	CU_ASSERT_EQUAL(other.state, CACHE_ABSENT);
	view.epoch = EPOCH;
	CU_ASSERT_TRUE(port->lookup(port->self, view, others, 1, false, &arena));
	CU_ASSERT_EQUAL(other.state, CACHE_HIT);
	close_cache();
}

/* The server as it is now is the one of lease and gate, and may be asked at once. */
static void
name_redis_anew(void)
{
	redis_server_reconnect(&server);
	name_redis();
	clock_sleep_ms(REDIS_RETRY_MS + 10);
}

static void
test_replica_is_not_trusted(void)
{
	open_cache();
	redis_server_ask(&server, "REPLICAOF 127.0.0.1 1");
	CU_ASSERT_FALSE(look().trusted);
	CU_ASSERT_FALSE(reaches(redis_identity(server.control)));
	redis_server_ask(&server, "REPLICAOF NO ONE");
	/* What it holds may be what its master had: the same run_id is not the same life. */
	clock_sleep_ms(REDIS_RETRY_MS + 10);
	CU_ASSERT_FALSE(look().trusted);
	CU_ASSERT_FALSE(reaches(gate.redis_id));
	name_redis_anew();
	CU_ASSERT_TRUE(look().trusted);
	close_cache();
}

/* A master that has become a replica while it was connected to: what it says is nothing to go by. */
static void
test_demoted_redis(void)
{
	open_cache();
	plant("V5.7\np\n{}");
	CU_ASSERT_EQUAL(lookup(false).state, CACHE_HIT);
	redis_server_ask(&server, "REPLICAOF 127.0.0.1 1");
	CU_ASSERT_EQUAL(lookup(false).state, CACHE_ABSENT);
	CU_ASSERT_EQUAL(lookup(true).state, CACHE_ABSENT);
	struct cache_write write = a_write(6, true);

	CU_ASSERT_EQUAL(fence(&write), ERR_CACHE_UNAVAILABLE);
	CU_ASSERT_EQUAL(confirm(&write), ERR_CACHE_UNAVAILABLE);
	redis_server_ask(&server, "REPLICAOF NO ONE");
	CU_ASSERT_EQUAL(fence(&write), ERR_CACHE_UNAVAILABLE);
	name_redis_anew();
	CU_ASSERT_EQUAL(fence(&write), ERR_OK);
	close_cache();
}

/* It was a replica for a moment in which nobody asked, over a connection that it kept open. */
static void
test_demoted_unseen(void)
{
	struct cache_write write = a_write(6, true);

	open_cache();
	plant("V5.7\np\n{}");
	CU_ASSERT_TRUE(look().trusted);
	redis_server_ask(&server, "REPLICAOF 127.0.0.1 1");
	redis_server_ask(&server, "REPLICAOF NO ONE");
	CU_ASSERT_EQUAL(lookup(false).state, CACHE_ABSENT);
	name_redis_anew();
	CU_ASSERT_EQUAL(lookup(false).state, CACHE_HIT);
	redis_server_ask(&server, "REPLICAOF 127.0.0.1 1");
	redis_server_ask(&server, "REPLICAOF NO ONE");
	CU_ASSERT_EQUAL(fence(&write), ERR_CACHE_UNAVAILABLE);
	name_redis_anew();
	CU_ASSERT_EQUAL(fence(&write), ERR_OK);
	redis_server_ask(&server, "REPLICAOF 127.0.0.1 1");
	redis_server_ask(&server, "REPLICAOF NO ONE");
	CU_ASSERT_EQUAL(confirm(&write), ERR_CACHE_UNAVAILABLE);
	name_redis_anew();
	close_cache();
}

/* A view counts for the connection that it was taken on: another one may lead to another Redis. */
static void
test_view_is_of_one_connection(void)
{
	open_cache();
	plant("V5.7\np\n{}");
	struct cache_view before = look();
	struct cache_lookup wanted = {.player = STR("p"), .season = &season};
	struct cache_lookup *wanteds[] = {&wanted};

	redis_server_ask(&server, "CLIENT KILL TYPE normal SKIPME yes");
	struct cache_write write = a_write(6, true);

	CU_ASSERT_EQUAL(fence(&write), ERR_OK);
	CU_ASSERT_FALSE(port->lookup(port->self, before, wanteds, 1, false, &arena));
	plant("L1");
	struct cache_fill late = {.player = STR("p"), .season = "s1", .seen = STR("L1"), .revision = 5};

	port->fill(port->self, before, &late, 1);
	CU_ASSERT_STRING_EQUAL(held(), "L1");
	close_cache();
}

static void
test_killed_connection(void)
{
	open_cache();
	plant("V5.7\np\n{}");
	CU_ASSERT_EQUAL(lookup(true).state, CACHE_HIT);
	redis_server_ask(&server, "CLIENT KILL TYPE normal SKIPME yes");
	CU_ASSERT_EQUAL(lookup(true).state, CACHE_ABSENT);
	CU_ASSERT_EQUAL(lookup(true).state, CACHE_HIT);
	/* A writer takes one new connection before it gives the cache up for everybody. */
	struct cache_write write = a_write(6, true);

	redis_server_ask(&server, "CLIENT KILL TYPE normal SKIPME yes");
	CU_ASSERT_EQUAL(fence(&write), ERR_OK);
	redis_server_ask(&server, "CLIENT KILL TYPE normal SKIPME yes");
	CU_ASSERT_EQUAL(confirm(&write), ERR_OK);
	CU_ASSERT_STRING_EQUAL(held(), "V6.7\np\n{new}");
	close_cache();
}

static void
test_scripts_flushed(void)
{
	open_cache();
	CU_ASSERT_TRUE(look().trusted);
	struct cache_write write = a_write(5, true);
	unsigned before = redis_relay_connections(&server);

	redis_server_ask(&server, "SCRIPT FLUSH");
	CU_ASSERT_EQUAL(fence(&write), ERR_OK);
	CU_ASSERT_EQUAL(redis_relay_connections(&server), before + 1);
	CU_ASSERT_EQUAL(held()[0], 'T');
	redis_server_ask(&server, "SCRIPT FLUSH");
	CU_ASSERT_EQUAL(confirm(&write), ERR_OK);
	CU_ASSERT_EQUAL(redis_relay_connections(&server), before + 2);
	CU_ASSERT_STRING_EQUAL(held(), "V5.7\np\n{new}");
	close_cache();
}

/* Readers find the scripts gone, too: filling must come back without a writer's help. */
static void
test_fills_come_back_after_script_flush(void)
{
	open_cache();
	CU_ASSERT_TRUE(look().trusted);
	redis_server_ask(&server, "SCRIPT FLUSH");
	for (int tries = 0; tries < 3; tries++) {
		plant("T5.1");
		fill("T5.1", 5);
	}
	CU_ASSERT_STRING_EQUAL(held(), "V5.7\np\n{new}");
	close_cache();
}

/* The network takes the first try away, in each way: the second on a new connection is enough; both gone: it says so.
 */
static void
test_writer_on_a_bad_network(void)
{
	static const enum relay_order orders[] = {RELAY_DROP, RELAY_UNHEARD, RELAY_HOLD};

	for (size_t i = 0; i < COUNT_OF(orders); i++) {
		struct cache_write write = a_write(5, true);

		open_cache();
		CU_ASSERT_TRUE(look().trusted);
		redis_relay_order(&server, orders[i]);
		CU_ASSERT_EQUAL(fence(&write), ERR_OK);
		CU_ASSERT_EQUAL(held()[0], 'T');
		redis_relay_order(&server, orders[i]);
		CU_ASSERT_EQUAL(confirm(&write), ERR_OK);
		/* Its own fence became the value, or another try's fence stands there: never an older value. */
		CU_ASSERT(strcmp(held(), "V5.7\np\n{new}") == 0 || strncmp(held(), "T5.", 3) == 0);
		while (redis_relay_release(&server, 0))
			CU_ASSERT(strcmp(held(), "V5.7\np\n{new}") == 0 || strncmp(held(), "T5.", 3) == 0);
		for (int twice = 0; twice < 2; twice++)
			redis_relay_order(&server, orders[i]);
		CU_ASSERT_EQUAL(fence(&write), ERR_CACHE_UNAVAILABLE);
		CU_ASSERT_TRUE(look().trusted);
		for (int twice = 0; twice < 2; twice++)
			redis_relay_order(&server, orders[i]);
		CU_ASSERT_EQUAL(confirm(&write), ERR_CACHE_UNAVAILABLE);
		close_cache();
	}
}

/* An answer that comes after its time is nobody's answer. Who did not answer is not asked again for a moment, so that
 * nobody waits for it twice. */
static void
test_late_answer_is_nobodys(void)
{
	open_cache();
	plant("V5.7\np\n{five}");
	CU_ASSERT_EQUAL(lookup(false).state, CACHE_HIT);
	unsigned before = redis_relay_connections(&server);
	int64_t begin_ms = clock_boot_ms();

	redis_relay_order(&server, RELAY_LATE);
	CU_ASSERT_EQUAL(lookup(false).state, CACHE_ABSENT);
	CU_ASSERT_TRUE(clock_boot_ms() - begin_ms < BOUND_MS);
	plant("V6.7\np\n{six}");
	redis_relay_flush(&server);
	begin_ms = clock_boot_ms();
	CU_ASSERT_EQUAL(lookup(false).state, CACHE_ABSENT);
	CU_ASSERT(clock_boot_ms() - begin_ms < TIMEOUT_MS);
	clock_sleep_ms(REDIS_RETRY_MS);
	struct cache_lookup next = lookup(false);

	CU_ASSERT_EQUAL(next.state, CACHE_HIT);
	CU_ASSERT(next.revision == 6 && str_equal(next.body, STR("{six}")));
	CU_ASSERT_EQUAL(redis_relay_connections(&server), before + 1);

	/* The same for a fence: a late "done" must not stand for the next one. */
	struct cache_write write = a_write(7, true);

	redis_relay_order(&server, RELAY_LATE);
	CU_ASSERT_EQUAL(fence(&write), ERR_CACHE_UNAVAILABLE);
	redis_relay_flush(&server);
	clock_sleep_ms(REDIS_RETRY_MS);
	shared.breaker = (struct breaker){.state = BREAKER_CLOSED}; /* it opens of less than what follows */
	redis_relay_order(&server, RELAY_DROP);
	redis_relay_order(&server, RELAY_DROP);
	CU_ASSERT_EQUAL(confirm(&write), ERR_CACHE_UNAVAILABLE);
	CU_ASSERT_EQUAL(confirm(&write), ERR_OK);
	close_cache();
}

static void
test_lookup_of_nobody_there(void)
{
	open_cache();
	plant("V5.7\np\n{}");
	struct cache_view view = look();
	struct cache_lookup wanted = {.player = STR("p"), .season = &season};
	struct cache_lookup *wanteds[] = {&wanted};

	redis_relay_order(&server, RELAY_DROP);
	CU_ASSERT_FALSE(port->lookup(port->self, view, wanteds, 1, true, &arena));
	/* The connection is gone, and nothing is asked of a new one before it is looked at. */
	CU_ASSERT_FALSE(port->lookup(port->self, view, wanteds, 1, true, &arena));
	fill("L1", 5);
	CU_ASSERT_STRING_EQUAL(held(), "V5.7\np\n{}");
	close_cache();
}

static int
listen_silently(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 || listen(fd, 8) != 0)
		abort();
	return fd;
}

/* A Redis that accepts and never says a word; and none at all. */
static void
test_silent_redis(void)
{
	char path[96];

	give_lease(redis_identity(server.control), 60000);
	snprintf(path, sizeof(path), "%s/silent.sock", server.folder);
	int fd = listen_silently(path);
	struct conf *silent = redis_server_conf(&server, path, TIMEOUT_MS);
	struct cache *own = cache_new(silent, &shared);

	for (int round = 0; round < 2; round++) {
		int64_t begin_ms = clock_boot_ms();

		CU_ASSERT_FALSE(cache_port(own)->view(cache_port(own)->self).trusted);
		CU_ASSERT_TRUE(clock_boot_ms() - begin_ms < BOUND_MS);
		begin_ms = clock_boot_ms();
		/* The failure is remembered for a moment: the next turn does not wait at all. */
		CU_ASSERT_FALSE(cache_port(own)->view(cache_port(own)->self).trusted);
		CU_ASSERT_TRUE(clock_boot_ms() - begin_ms < 50);
		close(fd);
		unlink(path);
		clock_sleep_ms(REDIS_RETRY_MS);
	}
	cache_free(own);
	conf_free(silent);
}

/* Another Redis in the place of the one that the lease names. */
static void
test_restarted_redis_is_not_trusted(void)
{
	char before[REDIS_ID_SIZE];

	open_cache();
	memcpy(before, redis_identity(server.control), sizeof(before));
	CU_ASSERT_TRUE(look().trusted);
	redis_server_replace(&server);
	CU_ASSERT_STRING_NOT_EQUAL(before, redis_identity(server.control));
	plant("V5.7\np\n{old}");
	CU_ASSERT_EQUAL(lookup(true).state, CACHE_ABSENT);
	CU_ASSERT_FALSE(look().trusted);
	CU_ASSERT_FALSE(reaches(before));
	give_lease(redis_identity(server.control), 60000);
	CU_ASSERT_TRUE(look().trusted);
	close_cache();
}

/* It is replaced under a writer: a new connection leads to another one, and that is no place for its fence. */
static void
test_redis_replaced_under_a_writer(void)
{
	open_cache();
	CU_ASSERT_TRUE(look().trusted);
	struct cache_write write = a_write(5, true);

	redis_server_replace(&server);
	CU_ASSERT_EQUAL(fence(&write), ERR_CACHE_UNAVAILABLE);
	CU_ASSERT_STRING_EQUAL(held(), "-");
	name_redis();
	CU_ASSERT_TRUE(look().trusted);
	CU_ASSERT_EQUAL(fence(&write), ERR_OK);
	redis_server_replace(&server);
	CU_ASSERT_EQUAL(confirm(&write), ERR_CACHE_UNAVAILABLE);
	CU_ASSERT_STRING_EQUAL(held(), "-");
	close_cache();
}

/* A service on the real cache and a store in memory. */
struct mixed {
	struct fake_faults faults;
	struct fake_store store;
	struct directory directory;
	struct service service;
	struct arena arena;
	struct turn turn;
};

static void
mixed_begin(struct mixed *mixed)
{
	arena_reset(&mixed->arena);
	turn_begin(&mixed->turn, &mixed->service, &mixed->arena, FAKE_NOW_MS);
}

static struct grant_command *
mixed_grant(struct mixed *mixed, const char *player, const char *key)
{
	struct grant_command *command =
		turn_add_grant(&mixed->turn, str_from(player), &mixed->service.seasons.seasons[0]);

	command->write.idempotency_key = str_from(key);
	command->row.amount = 10;
	command->row.source = STR("match");
	command->row.tags = STR("[]");
	command->row.occurred_at_ms = FAKE_NOW_MS;
	return command;
}

static void
mixed_init(struct mixed *mixed)
{
	static const struct directory_content content = {
		.version = 1,
		.count = 1,
		.seasons = {{"s1", SEASON_REVISION, SEASON_PUBLISHED, {0, 80000, 90000, 95000, 0}, {0}}},
	};

	memset(mixed, 0, sizeof(*mixed));
	fake_faults_init(&mixed->faults);
	fake_store_init(&mixed->store, &mixed->faults);
	fake_store_set_gate(&mixed->store, EPOCH, true, redis_identity(server.control));
	fake_store_settle(&mixed->store);
	directory_publish(&mixed->directory, &content);
	struct service_rooms rooms = {
		.store = &mixed->store.port,
		.cache = port,
		.codec = &fake_codec,
		.directory = &mixed->directory,
	};

	service_init(&mixed->service, &rooms, &(struct service_limits){.transaction_writes = 16});
	arena_init(&mixed->arena);
}

static void
mixed_release(struct mixed *mixed)
{
	fake_store_check(&mixed->store);
	CU_ASSERT_STRING_EQUAL(mixed->faults.broken, "");
	arena_release(&mixed->arena);
	service_release(&mixed->service);
	fake_store_release(&mixed->store);
}

/*
 * Redis is restarted with old data while a turn runs. The turn's grants notice, and connect to the new one; the turn's
 * reads must not take the trust in the old one to the new one.
 */
static void
test_trust_is_not_carried_to_another_redis(void)
{
	static struct mixed mixed;

	open_cache();
	mixed_init(&mixed);
	mixed_begin(&mixed);
	mixed_grant(&mixed, "p", "one");
	mixed_grant(&mixed, "p", "two");
	turn_run(&mixed.turn);
	CU_ASSERT_STRING_EQUAL(held(), "V2.7\np\n{p s1 2 20}");

	mixed_begin(&mixed);
	CU_ASSERT_TRUE(mixed.turn.view.trusted);
	const struct grant_command *grant = mixed_grant(&mixed, "q", "one");
	const struct progress_read *read = turn_add_read(&mixed.turn, STR("p"), &mixed.service.seasons.seasons[0]);

	redis_server_replace(&server);
	plant("V1.7\np\n{p s1 1 10}");
	turn_run(&mixed.turn);
	turn_fill(&mixed.turn);
	CU_ASSERT_EQUAL(grant->write.err, ERR_OK);
	CU_ASSERT_EQUAL(read->err, ERR_OK);
	CU_ASSERT_EQUAL(read->revision, 2);
	mixed_release(&mixed);
	close_cache();
}

/* The use cases on the real Redis: a grant warms the cache, and a read beside it is a hit. */
static void
test_service_on_redis(void)
{
	static struct mixed mixed;

	open_cache();
	mixed_init(&mixed);
	mixed_begin(&mixed);
	const struct progress_read *read = turn_add_read(&mixed.turn, STR("p"), &mixed.service.seasons.seasons[0]);

	turn_run(&mixed.turn);
	turn_fill(&mixed.turn);
	CU_ASSERT(read->source == SOURCE_STORE && read->revision == 0);
	CU_ASSERT_STRING_EQUAL(held(), "V0.7\np\n{p s1 0 0}");
	mixed_begin(&mixed);
	mixed_grant(&mixed, "p", "one");
	read = turn_add_read(&mixed.turn, STR("p"), &mixed.service.seasons.seasons[0]);
	turn_run(&mixed.turn);
	CU_ASSERT(read->source == SOURCE_CACHE && str_equal(read->body, STR("{p s1 1 10}")));
	CU_ASSERT_STRING_EQUAL(held(), "V1.7\np\n{p s1 1 10}");
	mixed_release(&mixed);
	close_cache();
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"lookup", test_lookup},
		{"a token is left once", test_token},
		{"FILL", test_fill},
		{"FENCE", test_fence},
		{"CONFIRM", test_confirm},
		{"the own fence becomes the value", test_own_fence_becomes_the_value},
		{"FENCE of what stands", test_fence_of_what_stands},
		{"a key of another type", test_wrong_type},
		{"several writes", test_several_writes},
		{"values that Redis may say", test_value_parse},
		{"values with random bytes", test_value_parse_random},
		{"trust", test_trust},
		{"keys are apart", test_keys_are_apart},
		{"a replica is not trusted", test_replica_is_not_trusted},
		{"a master that became a replica", test_demoted_redis},
		{"a master that was a replica unseen", test_demoted_unseen},
		{"a view is of one connection", test_view_is_of_one_connection},
		{"a killed connection", test_killed_connection},
		{"scripts flushed: a writer reconnects", test_scripts_flushed},
		{"scripts flushed: fills come back", test_fills_come_back_after_script_flush},
		{"a writer on a bad network", test_writer_on_a_bad_network},
		{"a late answer is nobody's", test_late_answer_is_nobodys},
		{"a lookup that is lost", test_lookup_of_nobody_there},
		{"a silent Redis", test_silent_redis},
		{"a restarted Redis is not trusted", test_restarted_redis_is_not_trusted},
		{"Redis is replaced under a writer", test_redis_replaced_under_a_writer},
		{"trust is not carried to another Redis", test_trust_is_not_carried_to_another_redis},
		{"the use cases on Redis", test_service_on_redis},
		CU_TEST_INFO_NULL,
	};

	if (!redis_server_installed())
		return redis_server_skip();
	log_set_level(LOG_ERROR);
	signal(SIGPIPE, SIG_IGN);
	arena_init(&arena);
	redis_server_start(&server);
	int status = tap_main("cache/protocol", tests);

	redis_server_stop(&server);
	arena_release(&arena);
	return status;
}
