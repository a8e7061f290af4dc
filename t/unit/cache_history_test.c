/*
 * The claim of the cache protocol, on a real Redis: in random interleavings of the single steps of writers and readers,
 * with evictions, expiry, crashes, and requests that are lost, unheard, or executed much later from another connection,
 * no lookup returns a revision older than what was acknowledged before it began. The same histories find a stale read
 * soon when one ingredient of the protocol is left out: they can fail.
 *
 * In calm histories (nothing is evicted, and no fence is lowered late) the fence promises more: no lookup returns a
 * revision older than what anybody was shown before, acknowledged or not.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "cache/cache.h"
#include "random_season.h"
#include "redis_server.h"
#include "tap.h"

enum {
	HISTORIES = 2000,
	CALM_HISTORIES = 800,
	MUTANT_HISTORIES = 4000, /* at most: one find ends it */
	STEPS = 80,
	KEYS = 2,
	WRITERS = 3,
	READERS = 5,
	HOSTS = 2,
	EPOCH = 5,
	BODY_SIZE = 64,
};

enum mutant { THE_PROTOCOL, FILL_OVER_NOTHING, NO_FENCE, NO_CONFIRM };

static struct redis_server server;
static struct cache_shared shared;
static struct write_gate gate = {.epoch = EPOCH, .enabled = true, .settled = true, .same_database = true};
static struct conf *conf;
static struct cache *hosts[HOSTS];
static struct arena arena;
static uint64_t seed;

/* A definition is being changed: some processes know the new one already. */
static const struct season_entry seasons[] = {{.id = "s1", .revision = 1}, {.id = "s1", .revision = 2}};

static const char *const ids[KEYS] = {"p0", "p1"};

/* One player in the database, and what the world knows of him. */
struct player {
	const char *id;
	uint64_t committed;
	bool locked;
	uint64_t acknowledged;
	uint64_t shown;
};

enum writer_step { WRITER_IDLE, WRITER_LOCKED, WRITER_FENCED, WRITER_COMMITTED };

struct writer {
	enum writer_step step;
	struct player *player;
	struct cache_write write;
	char body[BODY_SIZE];
};

enum reader_step { READER_IDLE, READER_LOOKED, READER_READ };

struct reader {
	enum reader_step step;
	struct player *player;
	struct cache_lookup lookup;
	char seen[BODY_SIZE];
	uint64_t revision;
};

struct history {
	uint64_t random;
	enum mutant mutant;
	bool calm;
	struct player players[KEYS];
	struct writer writers[WRITERS];
	struct reader readers[READERS];
	unsigned hits;
	unsigned stale;        /* older than what was acknowledged */
	unsigned out_of_order; /* older than what somebody was shown */
	unsigned wrong;        /* a body that is not that of its revision */
};

static uint64_t
below(struct history *history, uint64_t limit)
{
	return random_below(&history->random, limit);
}

static const struct cache_port *
any_host(struct history *history)
{
	return cache_port(hosts[below(history, HOSTS)]);
}

static struct str
body_of(char text[BODY_SIZE], const struct player *player, uint64_t revision, uint64_t season_revision)
{
	int length = snprintf(text, BODY_SIZE, "{%s %llu %llu}", player->id, (unsigned long long)revision,
			      (unsigned long long)season_revision);

	return (struct str){text, (size_t)length};
}

static void
raise_to(uint64_t *value, uint64_t least)
{
	if (*value < least)
		*value = least;
}

/* The next request of whoever it is may fail in any way; sometimes its repeat, too. */
static void
bad_network(struct history *history)
{
	static const enum relay_order orders[] = {RELAY_DROP, RELAY_UNHEARD, RELAY_HOLD};

	if (below(history, 8))
		return;
	redis_relay_order(&server, orders[below(history, 3)]);
	if (below(history, 3) == 0)
		redis_relay_order(&server, orders[below(history, 3)]);
}

static void
give_up(struct writer *writer)
{
	writer->player->locked = false;
	writer->step = WRITER_IDLE;
}

static void
begin_write(struct history *history, struct writer *writer)
{
	struct player *player = &history->players[below(history, KEYS)];
	bool replay = below(history, 6) == 0;

	if (player->locked)
		return;
	writer->player = player;
	writer->write = (struct cache_write){
		.player = str_from(player->id),
		.season = "s1",
		.changed = !replay,
		.revision = player->committed + !replay,
		.season_revision = seasons[below(history, 2)].revision,
	};
	if (!replay)
		writer->write.body =
			body_of(writer->body, player, writer->write.revision, writer->write.season_revision);
	player->locked = !replay;
	writer->step = replay ? WRITER_COMMITTED : WRITER_LOCKED;
}

/* Looks at the lease like everybody who is about to write. */
static bool
trusts(const struct cache_port *port)
{
	struct cache_view view = port->view(port->self);

	return view.trusted && view.epoch == EPOCH;
}

static void
fence(struct history *history, struct writer *writer)
{
	const struct cache_port *port = any_host(history);
	struct cache_write *writes[] = {&writer->write};

	writer->step = WRITER_FENCED;
	if (history->mutant == NO_FENCE)
		return;
	bad_network(history);
	if (trusts(port) && port->fence(port->self, &gate, writes, 1) == ERR_OK)
		return;
	give_up(writer);
}

static void
commit(struct history *history, struct writer *writer)
{
	if (below(history, 8) == 0) {
		give_up(writer);
		return;
	}
	writer->player->committed = writer->write.revision;
	writer->player->locked = false;
	writer->step = WRITER_COMMITTED;
}

/* Acknowledged only when confirmed. A writer that cannot turns the cache off; here it does not answer. */
static void
confirm(struct history *history, struct writer *writer)
{
	const struct cache_port *port = any_host(history);
	struct cache_write *writes[] = {&writer->write};

	writer->step = WRITER_IDLE;
	if (history->mutant != NO_CONFIRM) {
		bad_network(history);
		if (!trusts(port) || port->confirm(port->self, &gate, writes, 1) != ERR_OK)
			return;
	}
	raise_to(&writer->player->acknowledged, writer->write.revision);
}

static void
step_writer(struct history *history, struct writer *writer)
{
	if (writer->step != WRITER_IDLE && below(history, 20) == 0) {
		/* kill -9: the database lets its lock go, unless it had committed. */
		if (writer->step == WRITER_COMMITTED)
			writer->step = WRITER_IDLE;
		else
			give_up(writer);
		return;
	}
	switch (writer->step) {
	case WRITER_IDLE:
		begin_write(history, writer);
		break;
	case WRITER_LOCKED:
		fence(history, writer);
		break;
	case WRITER_FENCED:
		commit(history, writer);
		break;
	case WRITER_COMMITTED:
		confirm(history, writer);
		break;
	}
}

static void
judge_hit(struct history *history, const struct reader *reader, uint64_t acknowledged, uint64_t shown)
{
	const struct cache_lookup *lookup = &reader->lookup;
	char body[BODY_SIZE];

	history->hits++;
	history->stale += lookup->revision < acknowledged;
	history->out_of_order += lookup->revision < shown;
	history->wrong +=
		!str_equal(lookup->body, body_of(body, reader->player, lookup->revision, lookup->season->revision)) ||
		lookup->revision > reader->player->committed;
	raise_to(&reader->player->shown, lookup->revision);
}

static void
look_up(struct history *history, struct reader *reader)
{
	const struct cache_port *port = any_host(history);
	struct player *player = &history->players[below(history, KEYS)];
	struct cache_lookup *lookups[] = {&reader->lookup};
	bool leave_token = below(history, 6) && history->mutant != FILL_OVER_NOTHING;
	uint64_t acknowledged = player->acknowledged;
	uint64_t shown = player->shown;
	struct cache_view view = port->view(port->self);

	reader->player = player;
	reader->lookup = (struct cache_lookup){.player = str_from(player->id), .season = &seasons[below(history, 2)]};
	reader->step = READER_LOOKED;
	if (!view.trusted)
		return; /* around the cache */
	if (below(history, 3) == 0)
		bad_network(history);
	if (!port->lookup(port->self, view, lookups, 1, leave_token, &arena))
		reader->lookup.state = CACHE_ABSENT;
	if (reader->lookup.state == CACHE_HIT) {
		judge_hit(history, reader, acknowledged, shown);
		reader->step = READER_IDLE;
	} else if (reader->lookup.state == CACHE_FILL) {
		/* The arena does not live as long as this reader. */
		snprintf(reader->seen, sizeof(reader->seen), "%.*s", STR_ARGS(reader->lookup.seen));
	}
}

/* The mutant's: nothing is there, so it must be right to put something there. */
static void
fill_over_nothing(const struct reader *reader)
{
	char body[BODY_SIZE];
	char value[2 * BODY_SIZE];
	char command[3 * BODY_SIZE];

	body_of(body, reader->player, reader->revision, reader->lookup.season->revision);
	snprintf(value, sizeof(value), "V%llu.%llu\n%s\n%s", (unsigned long long)reader->revision,
		 (unsigned long long)reader->lookup.season->revision, reader->player->id, body);
	snprintf(command, sizeof(command), "EXISTS bp:%d:{%s}:s1", EPOCH, reader->player->id);
	if (redis_server_ask(&server, command).number == 0)
		redis_server_put(&server, command + sizeof("EXISTS ") - 1, str_from(value));
}

static void
fill(struct history *history, struct reader *reader)
{
	const struct cache_port *port = any_host(history);
	struct cache_view view = port->view(port->self);
	char body[BODY_SIZE];
	struct cache_fill wanted = {
		.player = str_from(reader->player->id),
		.season = "s1",
		.seen = str_from(reader->seen),
		.revision = reader->revision,
		.season_revision = reader->lookup.season->revision,
		.body = body_of(body, reader->player, reader->revision, reader->lookup.season->revision),
	};

	reader->step = READER_IDLE;
	if (history->mutant == FILL_OVER_NOTHING && reader->lookup.state == CACHE_ABSENT)
		fill_over_nothing(reader);
	if (reader->lookup.state != CACHE_FILL)
		return;
	bad_network(history);
	port->fill(port->self, view, &wanted, 1);
}

static void
step_reader(struct history *history, struct reader *reader)
{
	if (reader->step == READER_IDLE) {
		look_up(history, reader);
	} else if (reader->step == READER_LOOKED) {
		reader->revision = reader->player->committed;
		raise_to(&reader->player->shown, reader->revision);
		reader->step = READER_READ;
	} else {
		fill(history, reader);
	}
}

/* Eviction, expiry, a late request, a reader elsewhere who goes around the cache. */
static void
happen(struct history *history)
{
	struct player *player = &history->players[below(history, KEYS)];
	char command[64];

	switch (below(history, 5)) {
	case 0:
	case 1:
		if (history->calm)
			break;
		snprintf(command, sizeof(command), "DEL bp:%d:{%s}:s1", EPOCH, player->id);
		redis_server_ask(&server, command);
		break;
	case 2:
	case 3:
		redis_relay_release(&server, (unsigned)below(history, 256));
		break;
	default:
		raise_to(&player->shown, player->committed);
		break;
	}
}

static void
run_history(struct history *history, uint64_t from, enum mutant mutant, bool calm)
{
	*history = (struct history){.random = from, .mutant = mutant, .calm = calm};
	for (unsigned i = 0; i < KEYS; i++)
		history->players[i].id = ids[i];
	redis_relay_reset(&server);
	redis_server_ask(&server, "FLUSHALL");
	for (unsigned step = 0; step < STEPS; step++) {
		uint64_t who = below(history, WRITERS + READERS + 1);

		memset(&shared.breaker, 0, sizeof(shared.breaker)); /* it would end the history's own faults */
		if (who < WRITERS)
			step_writer(history, &history->writers[who]);
		else if (who < WRITERS + READERS)
			step_reader(history, &history->readers[who - WRITERS]);
		else
			happen(history);
		arena_reset(&arena);
	}
	while (redis_relay_release(&server, 0))
		continue;
}

/* What must not be: a stale read, and in calm histories one out of order, too. */
static bool
is_bad(const struct history *history)
{
	return history->stale || history->wrong || (history->calm && history->out_of_order);
}

static void
tell(const char *of, const struct history *history, uint64_t from)
{
	printf("# %s: history %llu: %u hits, %u stale, %u out of order, %u wrong\n", of, (unsigned long long)from,
	       history->hits, history->stale, history->out_of_order, history->wrong);
}

static void
run_histories(unsigned count, bool calm)
{
	struct history history;
	unsigned hits = 0;
	unsigned bad = 0;

	for (unsigned i = 0; i < count && bad < 3; i++) {
		uint64_t from = random_next(&seed);

		run_history(&history, from, THE_PROTOCOL, calm);
		hits += history.hits;
		if (!is_bad(&history))
			continue;
		tell("the protocol", &history, from);
		bad++;
	}
	printf("# %u histories, %u hits\n", count, hits);
	CU_ASSERT_EQUAL(bad, 0);
	/* The histories must be worth something: readers do find values. */
	CU_ASSERT_TRUE(hits > count);
}

static void
test_no_stale_read(void)
{
	run_histories(HISTORIES, false);
}

static void
test_reads_in_order(void)
{
	run_histories(CALM_HISTORIES, true);
}

/* True when a history is found in which the mutant does wrong. */
static bool
is_caught(enum mutant mutant, const char *name, bool calm)
{
	struct history history;

	for (unsigned i = 0; i < MUTANT_HISTORIES; i++) {
		uint64_t from = random_next(&seed);

		run_history(&history, from, mutant, calm);
		if (!is_bad(&history))
			continue;
		printf("# found after %u histories\n", i + 1);
		tell(name, &history, from);
		return true;
	}
	return false;
}

static void
test_filling_over_nothing(void)
{
	CU_ASSERT_TRUE(is_caught(FILL_OVER_NOTHING, "fills over nothing", false));
}

/* The confirmation still takes the old value away before the answer; but until then readers see time run back. */
static void
test_without_fence(void)
{
	CU_ASSERT_TRUE(is_caught(NO_FENCE, "no fence", true));
}

static void
test_without_confirmation(void)
{
	CU_ASSERT_TRUE(is_caught(NO_CONFIRM, "no confirmation", false));
}

static void
open_hosts(void)
{
	struct lease_content content = {.epoch = EPOCH, .until_boot_ms = clock_boot_ms() + 3600 * 1000};

	memcpy(content.redis_id, redis_identity(server.control), sizeof(content.redis_id));
	memcpy(gate.redis_id, content.redis_id, sizeof(gate.redis_id));
	lease_give(&shared.lease, &content, NULL, 0);
	conf = redis_server_conf(&server, NULL, 1000);
	for (unsigned i = 0; i < HOSTS; i++)
		hosts[i] = cache_new(conf, &shared);
	arena_init(&arena);
}

static void
close_hosts(void)
{
	for (unsigned i = 0; i < HOSTS; i++)
		cache_free(hosts[i]);
	conf_free(conf);
	arena_release(&arena);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"no stale read in any history", test_no_stale_read},
		{"reads in order in calm histories", test_reads_in_order},
		{"caught: a fill over an absent key", test_filling_over_nothing},
		{"caught: a commit without a fence", test_without_fence},
		{"caught: an answer without a confirmation", test_without_confirmation},
		CU_TEST_INFO_NULL,
	};

	if (!redis_server_installed())
		return redis_server_skip();
	log_set_level(LOG_ERROR);
	signal(SIGPIPE, SIG_IGN);
	seed = tap_seed();
	redis_server_start(&server);
	open_hosts();
	int status = tap_main("cache/history", tests);

	close_hosts();
	redis_server_stop(&server);
	return status;
}
