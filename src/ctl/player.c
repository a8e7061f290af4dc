/*
 * battlepassctl player verify: do the ledgers of a player, or of all, give what is stored? Changes nothing. Each fault
 * is a line on standard output.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/ctl.h"
#include "ctl/entry_reader.h"
#include "store/store.h"

enum { PLAYERS_PAGE = 1000, PROGRESS_EVERY = 100 };

struct verification {
	struct store *store;
	const char *season; /* NULL: any */
	struct replay replay;
	uint64_t checked; /* players, each once a season */
	uint64_t skipped; /* that could not be checked */
	struct arena *arena;
};

/* What a broken row may hold must not speak to the terminal. */
static void
print_plain(struct str text)
{
	for (size_t i = 0; i < text.len; i++)
		putchar(text.ptr[i] >= ' ' && text.ptr[i] != 127 ? text.ptr[i] : '?');
}

static void
say_fault(void *self, struct str player, const char *season, const char *fault)
{
	(void)self;
	print_plain(player);
	printf(" %s: ", season);
	print_plain(str_from(fault));
	putchar('\n');
}

static void
show_progress(const struct verification *verification, const char *season)
{
	if (verification->checked % PROGRESS_EVERY == 0 && isatty(STDERR_FILENO))
		fprintf(stderr, "\rseason %s: %" PRIu64 " players ..", season, verification->checked);
}

/* One that cannot be read does not keep the others from being looked at; a store that is away does. */
static enum err
verify_one(struct verification *verification, struct str player, const char *season)
{
	enum err err = replay_player(&verification->replay, player, season);

	if (err == ERR_OVERLOADED || err == ERR_INTERNAL) {
		ctl_fail("player %.*s, season %s: %s", STR_ARGS(player), season,
			 err == ERR_OVERLOADED ? "written to all the time" : "something stored cannot be read");
		verification->skipped++;
		err = ERR_OK;
	}
	verification->checked++;
	show_progress(verification, season);
	return err;
}

static enum err
verify_player(struct verification *verification, const char *player)
{
	const struct records_port *records = store_records(verification->store);
	struct season_standing *standings;
	size_t count;
	enum err err = records->standings(records->self, str_from(player), verification->arena, &standings, &count);

	for (size_t i = 0; err == ERR_OK && i < count; i++)
		err = verify_one(verification, str_from(player), arena_copy(verification->arena, standings[i].season));
	return err;
}

static enum err
verify_page(struct verification *verification, const char *season, char after[SEASON_ID_MAX + 1], struct arena *arena,
	    size_t *ret_count)
{
	struct str *players;
	enum err err = store_season_players(verification->store, season, str_from(after), PLAYERS_PAGE, arena, &players,
					    ret_count);

	for (size_t i = 0; err == ERR_OK && i < *ret_count; i++)
		err = verify_one(verification, players[i], season);
	if (err == ERR_OK && *ret_count)
		snprintf(after, SEASON_ID_MAX + 1, "%.*s", STR_ARGS(players[*ret_count - 1]));
	return err;
}

static enum err
verify_season(struct verification *verification, const char *season)
{
	char after[SEASON_ID_MAX + 1] = "";
	struct arena arena;
	size_t count;
	enum err err;

	arena_init(&arena);
	do {
		arena_reset(&arena);
		err = verify_page(verification, season, after, &arena, &count);
	} while (err == ERR_OK && count == PLAYERS_PAGE);
	arena_release(&arena);
	return err;
}

static enum err
verify_all(struct verification *verification)
{
	struct season_head *heads;
	size_t count;
	bool found = false;
	enum err err = store_season_heads(verification->store, verification->arena, &heads, &count);

	for (size_t i = 0; err == ERR_OK && i < count; i++) {
		if (verification->season && strcmp(verification->season, heads[i].season) != 0)
			continue;
		found = true;
		err = verify_season(verification, heads[i].season);
	}
	return err == ERR_OK && verification->season && !found ? ERR_SEASON_NOT_FOUND : err;
}

static enum err
verify(struct verification *verification, const char *player)
{
	if (!player)
		return verify_all(verification);
	if (verification->season)
		return verify_one(verification, str_from(player), verification->season);
	return verify_player(verification, player);
}

static int
conclude(const struct verification *verification, enum err err)
{
	const char *said = store_error(verification->store);
	uint64_t faults = verification->replay.faults;

	if (verification->checked >= PROGRESS_EVERY && isatty(STDERR_FILENO))
		fputc('\n', stderr);
	if (err != ERR_OK) {
		ctl_fail("player verify: %s%s%s", err_text(err), err == ERR_STORE_UNAVAILABLE && said[0] ? ": " : "",
			 err == ERR_STORE_UNAVAILABLE ? said : "");
		return CTL_CANNOT_CHECK;
	}
	if (faults)
		fprintf(stderr, "%" PRIu64 " fault%s\n", faults, faults == 1 ? "" : "s");
	else if (verification->skipped == 0)
		printf("%" PRIu64 " checked: good\n", verification->checked);
	if (faults)
		return EXIT_FAILURE;
	return verification->skipped ? CTL_CANNOT_CHECK : EXIT_SUCCESS;
}

static int
run(struct ctl *ctl, const char *player, const char *season)
{
	struct store *store = store_new(ctl->conf, STORE_REPLY_S);
	struct verification verification = {
		.store = store,
		.season = season,
		.replay =
			{
				.store = store_port(store),
				.records = store_records(store),
				.reader = &entry_reader,
				.say = say_fault,
			},
		.arena = &ctl->arena,
	};
	enum err err = verify(&verification, player);
	int status = conclude(&verification, err);

	store_free(store);
	return status;
}

/* An id that no player or season can have is a slip of the hand, not something to be found good. */
static bool
is_id(const char *text)
{
	size_t len = strlen(text);

	return len > 0 && len <= SEASON_ID_MAX;
}

int
ctl_player_verify(struct ctl *ctl, int argc, char **argv)
{
	static const struct option long_options[] = {
		{"season", required_argument, NULL, 's'},
		{"all", no_argument, NULL, 'a'},
		{NULL, 0, NULL, 0},
	};
	const char *season = NULL;
	bool all = false;
	int option;

	while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		if (option == 's')
			season = optarg;
		else if (option == 'a')
			all = true;
		else
			return CTL_CANNOT_CHECK;
	}
	if (argc - optind != (all ? 0 : 1)) {
		ctl_fail("player verify: expected one PLAYER or --all");
		return CTL_CANNOT_CHECK;
	}
	const char *player = all ? NULL : argv[optind];

	if ((season && !is_id(season)) || (player && !is_id(player))) {
		ctl_fail("player verify: \"%s\" is no id", season && !is_id(season) ? season : player);
		return CTL_CANNOT_CHECK;
	}
	return ctl_conf(ctl) ? run(ctl, player, season) : CTL_CANNOT_CHECK;
}
