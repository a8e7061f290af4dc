/* battlepassctl: options and the table of commands. */
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "config.h"
#include "ctl/ctl.h"

enum { OVERRIDES_MAX = 64 };

struct command {
	const char *first;
	const char *second; /* NULL: one word */
	ctl_command *run;
	const char *arguments;
	const char *help;
};

static const struct command commands[] = {
	{"migrate", NULL, ctl_migrate, "[--sql DIR]",
	 "brings the schema up to date; safe to run twice and from several hosts"},
	{"season", "validate", ctl_season_validate, "FILE", "lists every fault of a season file; changes nothing"},
	{"season", "import", ctl_season_import, "FILE", "keeps a season file as the season's draft"},
	{"season", "publish", ctl_season_publish, "[--in SECONDS] ID",
	 "makes a season's draft its next revision, in force on all hosts at once in 2 s (0 to 60)"},
	{"season", "show", ctl_season_show, "ID [--draft]", "prints the document published last, or the draft"},
	{"season", "list", ctl_season_list, "", "lists the seasons with state and revision"},
	{"player", "verify", ctl_player_verify, "[--season S] PLAYER | --all",
	 "checks that the ledgers of a player, or of all, give what is stored; a line for each fault"},
	{"top", NULL, ctl_top, "[--url URL] [--every SECONDS] [--once]",
	 "shows live what this host does: rates, latencies, hit ratio, breaker, what waits; URL: of its /metrics"},
	{"doctor", NULL, ctl_doctor, "",
	 "looks at configuration, database, Redis, keys, sockets, clocks and limits: what is wrong, and what to type"},
	{"flag", NULL, ctl_flag, "[NAME [VALUE --reason TEXT]]",
	 "lists the rollout flags, prints one, or sets it: in force on all hosts within 2 seconds"},
	{"cache", "status", ctl_cache_status, "", "prints the cache's epoch, and how far warming has come"},
	{"cache", "flush", ctl_cache_flush, "--reason TEXT",
	 "makes all that is cached worth nothing: a new epoch begins"},
	{"cache", "warm", ctl_cache_warm, "[--season S] [--players N] --reason TEXT",
	 "has the players active last loaded into the cache, and waits until it is done"},
	{"cache", "show", ctl_cache_show, "PLAYER",
	 "prints what Redis holds of a player beside the database's revision"},
	{"audit", "verify", ctl_audit_verify, "[--player P] [--season S]",
	 "checks the hash chains of the audit log; a line for each that is broken"},
	{"key", "generate", ctl_key_generate, "--private FILE --set FILE [--algorithm A]",
	 "makes a key: ES256 (default), RS256, PS256, EdDSA or HS256"},
	{"token", NULL, ctl_token, "--key FILE --role R --sub S [--ttl SECONDS]",
	 "mints a token; --sub - reads one subject a line from stdin"},
};

/* What COMMAND --help says of its options; t/manual.t holds it against what the commands take. */
static const struct {
	ctl_command *of;
	const char *form;
	const char *help;
} options[] = {
	{ctl_migrate, "--sql DIR",
	 "folder of the migrations (default: $BATTLEPASS_SQL_DIR, else " BATTLEPASS_SQL_DIR ")"},
	{ctl_season_publish, "--in SECONDS", "in force so many seconds from now, 0 to 60 (default: 2)"},
	{ctl_season_show, "--draft", "the draft instead"},
	{ctl_player_verify, "--season S", "in this season only"},
	{ctl_player_verify, "--all", "every player instead of one"},
	{ctl_top, "--url URL", "the metrics (default: $BATTLEPASS_METRICS_URL/metrics, else " TOP_URL ")"},
	{ctl_top, "--every SECONDS", "from one look to the next, 1 to 3600 (default: 2)"},
	{ctl_top, "--once", "one look, and out"},
	{ctl_flag, "--reason TEXT", "why, for the audit log: 1 to 500 bytes"},
	{ctl_cache_flush, "--reason TEXT", "why, for the audit log: 1 to 500 bytes"},
	{ctl_cache_warm, "--season S", "players of this season only"},
	{ctl_cache_warm, "--players N", "so many at most, 1 to 10000000 (default: cache.warm_players)"},
	{ctl_cache_warm, "--reason TEXT", "why, for the audit log: 1 to 500 bytes"},
	{ctl_audit_verify, "--player P", "the chains of this player only"},
	{ctl_audit_verify, "--season S", "the chains of this season only"},
	{ctl_key_generate, "--private FILE", "new file for the private key, which signs tokens"},
	{ctl_key_generate, "--set FILE", "new file for the set of public keys, which auth.keys names"},
	{ctl_key_generate, "--algorithm A", "ES256 (default), RS256, PS256, EdDSA or HS256"},
	{ctl_token, "--key FILE", "the private key"},
	{ctl_token, "--role R", "player, server, viewer, support, designer or admin"},
	{ctl_token, "--sub S", "whose it is, of a player its id; -: one a line from stdin"},
	{ctl_token, "--ttl SECONDS", "how long it is good (default: 86400)"},
};

enum { COMMAND_COUNT = sizeof(commands) / sizeof(commands[0]) };

static void
print_command(FILE *out, const struct command *command)
{
	fprintf(out, "  %s%s%s%s%s\n      %s\n", command->first, command->second ? " " : "",
		command->second ? command->second : "", *command->arguments ? " " : "", command->arguments,
		command->help);
}

static void
print_usage(FILE *out)
{
	fputs("Usage: battlepassctl [-c FILE] [-o SECTION.KEY=VALUE]... COMMAND [ARGUMENTS]\n\n"
	      "  -c, --config FILE         configuration file (default: " BATTLEPASS_CONF ")\n"
	      "  -o, --option S.KEY=VALUE  overrides one key; may be given more than once\n"
	      "  -h, --help                this text; behind a command: that command's options\n"
	      "  -V, --version             the version\n\nCommands:\n",
	      out);
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		print_command(out, &commands[i]);
	fputs("\nExit status: 0 when all is well; 1 when it is not, or something failed; 2 when a verify could not "
	      "look.\n"
	      "Manual pages: battlepassctl(1), battlepass.conf(5), battlepassd(8).\n",
	      out);
}

static void
print_command_help(const struct command *command)
{
	const char *gap = "\n";

	fputs("Usage: battlepassctl [-c FILE] [-o SECTION.KEY=VALUE]...\n", stdout);
	print_command(stdout, command);
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		if (options[i].of != command->run)
			continue;
		printf("%s  %-18s%s\n", gap, options[i].form, options[i].help);
		gap = "";
	}
	fputs("\nManual page: battlepassctl(1).\n", stdout);
}

int
ctl_fail(const char *format, ...)
{
	va_list args;

	fputs("battlepassctl: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	return EXIT_FAILURE;
}

bool
ctl_conf(struct ctl *ctl)
{
	char detail[CONF_DETAIL_SIZE];

	if (ctl->conf || conf_load(ctl->config_file, ctl->overrides, &ctl->conf, detail) == ERR_OK)
		return true;
	ctl_fail("%s", detail);
	return false;
}

static bool
asks_for_help(int argc, char **argv)
{
	return argc > 0 && (strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0);
}

/* The commands that begin with this word; false when there are none. */
static bool
print_group_help(const char *first)
{
	bool found = false;

	for (size_t i = 0; i < COMMAND_COUNT; i++) {
		if (strcmp(first, commands[i].first) != 0)
			continue;
		print_command(stdout, &commands[i]);
		found = true;
	}
	return found;
}

static int
run_command(struct ctl *ctl, int argc, char **argv)
{
	for (size_t i = 0; i < COMMAND_COUNT; i++) {
		int words = commands[i].second ? 2 : 1;

		if (argc < words || strcmp(argv[0], commands[i].first) != 0 ||
		    (words == 2 && strcmp(argv[1], commands[i].second) != 0))
			continue;
		if (!asks_for_help(argc - words, argv + words))
			return commands[i].run(ctl, argc - words + 1, argv + words - 1);
		print_command_help(&commands[i]);
		return EXIT_SUCCESS;
	}
	if (argc > 1 && asks_for_help(argc - 1, argv + 1) && print_group_help(argv[0]))
		return EXIT_SUCCESS;
	if (argc)
		ctl_fail("no such command: %s%s%s", argv[0], argc > 1 ? " " : "", argc > 1 ? argv[1] : "");
	print_usage(stderr);
	return EXIT_FAILURE;
}

int
main(int argc, char **argv)
{
	static const struct option long_options[] = {
		{"config", required_argument, NULL, 'c'},
		{"option", required_argument, NULL, 'o'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{NULL, 0, NULL, 0},
	};
	const char *overrides[OVERRIDES_MAX + 1] = {NULL};
	struct ctl ctl = {.config_file = BATTLEPASS_CONF, .overrides = overrides};
	size_t count = 0;
	int option;

	log_set_role("battlepassctl");
	log_set_level(LOG_ERROR);
	/* '+': what stands behind the command belongs to it. */
	while ((option = getopt_long(argc, argv, "+c:o:hV", long_options, NULL)) != -1) {
		if (option == 'c') {
			ctl.config_file = optarg;
		} else if (option == 'o' && count < OVERRIDES_MAX) {
			overrides[count++] = optarg;
		} else if (option == 'V') {
			puts("battlepassctl " PACKAGE_VERSION);
			return EXIT_SUCCESS;
		} else {
			print_usage(option == 'h' ? stdout : stderr);
			return option == 'h' ? EXIT_SUCCESS : EXIT_FAILURE;
		}
	}
	arena_init(&ctl.arena);
	int first = optind;

	optind = 0; /* the command reads its own options with a fresh getopt */
	int status = run_command(&ctl, argc - first, argv + first);

	if (fflush(stdout) != 0 || ferror(stdout))
		status = ctl_fail("standard output: %s", strerror(errno));
	arena_release(&ctl.arena);
	conf_free(ctl.conf);
	return status;
}
