/* battlepassctl cache ...: status, flush, warm with its progress, and what Redis holds of a player. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "cache/cache.h"
#include "ctl/ctl.h"
#include "service/operators.h"
#include "store/store.h"

enum { POLL_MS = 200, LINE_MS = 2000, PATIENCE_MS = 30000, BAR = 40, PLAYERS_MAX = 10000000 };

static int
fail(const char *command, struct store *store, enum err err)
{
	return ctl_fail("cache %s: %s%s%s", command, err_text(err), store_error(store)[0] ? ": " : "",
			store_error(store));
}

static enum err
read_state(struct store *store, struct operator_state *ret_state)
{
	const struct operators_port *operators = store_operators(store);

	return operators->read(operators->self, ret_state);
}

int
ctl_cache_status(struct ctl *ctl, int argc, char **argv)
{
	struct operator_state state;

	if (argc > 1)
		return ctl_fail("cache status: unexpected argument \"%s\"", argv[1]);
	if (!ctl_conf(ctl))
		return EXIT_FAILURE;

	struct store *store = store_new(ctl->conf, STORE_REPLY_S);
	enum err err = read_state(store, &state);
	int status = err == ERR_OK ? EXIT_SUCCESS : fail("status", store, err);

	if (err == ERR_OK) {
		printf("epoch %" PRIu64 ": %s%s\n", state.gate.epoch, state.gate.enabled ? "on" : "off",
		       state.gate.settled ? "" : ", not settled yet");
		printf("warming %" PRIu64 ": %s, %" PRIu64 " of %" PRIu64 " players, %" PRIu64 " loaded\n",
		       state.warming.request, state.warming.done ? "done" : "under way", state.warming.looked_at,
		       state.warming.expected, state.warming.loaded);
	}
	store_free(store);
	return status;
}

/* On a terminal a bar that is drawn over itself; else a line now and then, and when it ends. */
static void
show_progress(const struct warming *warming, int64_t *line_due_ms)
{
	uint64_t all = warming->expected > warming->looked_at ? warming->expected : warming->looked_at;
	int filled = all ? (int)(warming->looked_at * BAR / all) : 0;

	if (isatty(STDOUT_FILENO)) {
		printf("\r[%.*s%*s] %" PRIu64 "/%" PRIu64 "%s", filled, "########################################",
		       BAR - filled, "", warming->looked_at, all, warming->done ? "\n" : "");
	} else if (warming->done || clock_boot_ms() >= *line_due_ms) {
		printf("%" PRIu64 " of %" PRIu64 " players\n", warming->looked_at, all);
		*line_due_ms = clock_boot_ms() + LINE_MS;
	}
	fflush(stdout);
}

/* Until that warming is done, or another one has taken its place. */
static int
await_warming(struct store *store, uint64_t request)
{
	int64_t moved_ms = clock_boot_ms();
	int64_t line_due_ms = 0;
	uint64_t looked_at = 0;
	struct operator_state state;
	enum err err;

	while ((err = read_state(store, &state)) == ERR_OK) {
		if (state.warming.request != request)
			return ctl_fail("cache warm: warming %" PRIu64 " has taken its place", state.warming.request);
		show_progress(&state.warming, &line_due_ms);
		if (state.warming.done)
			break;
		if (looked_at != state.warming.looked_at)
			moved_ms = clock_boot_ms();
		looked_at = state.warming.looked_at;
		if (clock_boot_ms() - moved_ms > PATIENCE_MS)
			return ctl_fail("cache warm: no host goes on with it: busy, or warming or the cache is off");
		clock_sleep_ms(POLL_MS);
	}
	if (err != ERR_OK)
		return fail("warm", store, err);
	printf("done: %" PRIu64 " players loaded, %" PRIu64 " were in the cache\n", state.warming.loaded,
	       state.warming.looked_at - state.warming.loaded);
	return EXIT_SUCCESS;
}

static int
run_command(struct ctl *ctl, const char *name, struct operator_command *command)
{
	if (!ctl_conf(ctl))
		return EXIT_FAILURE;

	struct store *store = store_new(ctl->conf, STORE_REPLY_S);
	struct operator_state state;

	if (command->action == OPERATOR_WARM && command->players == 0)
		command->players = (uint64_t)ctl->conf->cache.warm_players;

	enum err err = operator_run(store_operators(store), command, &ctl->arena, clock_unix_ms());
	int status = EXIT_SUCCESS;

	if (err == ERR_OK && command->action == OPERATOR_WARM)
		err = read_state(store, &state);
	if (err != ERR_OK)
		status = fail(name, store, err);
	else if (command->action == OPERATOR_WARM)
		status = await_warming(store, state.warming.request);
	else
		printf("before: %s\nafter:  %s\n", command->entry.before.ptr, command->entry.after.ptr);
	store_free(store);
	return status;
}

static bool
take_options(int argc, char **argv, const char **reason, struct operator_command *command)
{
	static const struct option long_options[] = {
		{"reason", required_argument, NULL, 'r'},
		{"season", required_argument, NULL, 's'},
		{"players", required_argument, NULL, 'p'},
		{NULL, 0, NULL, 0},
	};
	bool warms = command->action == OPERATOR_WARM;
	char *end;
	int option;

	while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		if (option == 'r') {
			*reason = optarg;
		} else if (option == 's' && warms && id_valid(optarg, strlen(optarg))) {
			command->season = str_from(optarg);
		} else if (option == 'p' && warms) {
			command->players = strtoull(optarg, &end, 10);
			if (*end || command->players < 1 || command->players > PLAYERS_MAX)
				return false;
		} else {
			return false;
		}
	}
	return optind == argc && ctl_reason_valid(*reason);
}

int
ctl_cache_flush(struct ctl *ctl, int argc, char **argv)
{
	struct operator_command command = {.action = OPERATOR_FLUSH};
	const char *reason = NULL;

	if (!take_options(argc, argv, &reason, &command))
		return ctl_fail("cache flush: expected --reason TEXT of 1-500 bytes");
	ctl_operator(ctl, reason, &command);
	return run_command(ctl, "flush", &command);
}

int
ctl_cache_warm(struct ctl *ctl, int argc, char **argv)
{
	struct operator_command command = {.action = OPERATOR_WARM};
	const char *reason = NULL;

	if (!take_options(argc, argv, &reason, &command))
		return ctl_fail("cache warm: expected --reason TEXT of 1-500 bytes, [--season ID] and [--players 1-%d]",
				PLAYERS_MAX);
	ctl_operator(ctl, reason, &command);
	return run_command(ctl, "warm", &command);
}

static const char *const held_texts[CACHE_HELD_COUNT] = {
	[CACHE_HOLDS_NOTHING] = "nothing",       [CACHE_HOLDS_VALUE] = "value of revision",
	[CACHE_HOLDS_FENCE] = "fence from",      [CACHE_HOLDS_TOKEN] = "being filled",
	[CACHE_HOLDS_OTHER] = "nothing of ours",
};

static void
print_content(const struct cache_content *content)
{
	printf("; cache: %s", held_texts[content->held]);
	if (content->held == CACHE_HOLDS_VALUE || content->held == CACHE_HOLDS_FENCE)
		printf(" %" PRIu64, content->revision);
	if (content->held == CACHE_HOLDS_VALUE)
		printf(", season revision %" PRIu64, content->season_revision);
	if (content->held != CACHE_HOLDS_NOTHING)
		printf(", %" PRId64 " ms to live", content->ttl_ms);
}

static void
print_view(const struct cache_of_player *view)
{
	printf("epoch %" PRIu64 ": %s%s\n", view->gate.epoch, view->gate.enabled ? "on" : "off",
	       view->reached ? "" : "; its Redis does not answer");
	for (size_t i = 0; i < view->count; i++) {
		printf("%s: revision %" PRIu64, view->contents[i].season, view->standings[i].revision);
		if (view->reached)
			print_content(&view->contents[i]);
		putchar('\n');
	}
}

int
ctl_cache_show(struct ctl *ctl, int argc, char **argv)
{
	struct cache_of_player view;

	if (argc != 2 || !id_valid(argv[1], strlen(argv[1])))
		return ctl_fail("cache show: expected one PLAYER");
	if (!ctl_conf(ctl))
		return EXIT_FAILURE;

	struct store *store = store_new(ctl->conf, STORE_REPLY_S);
	static struct cache_shared alone; /* of this process: nobody shares it */
	struct cache *cache = cache_new(ctl->conf, &alone);
	enum err err = cache_of_player(store_operators(store), store_records(store), cache_port(cache),
				       str_from(argv[1]), &ctl->arena, &view);
	int status = err == ERR_OK ? EXIT_SUCCESS : fail("show", store, err);

	if (err == ERR_OK)
		print_view(&view);
	cache_free(cache);
	store_free(store);
	return status;
}
