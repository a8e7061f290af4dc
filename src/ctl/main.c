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

static const struct {
	const char *first;
	const char *second; /* NULL: one word */
	ctl_command *run;
	const char *arguments;
	const char *help;
} commands[] = {
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

static void
print_usage(FILE *out)
{
	fputs("Usage: battlepassctl [-c FILE] [-o SECTION.KEY=VALUE]... COMMAND [ARGUMENTS]\n\n"
	      "  -c, --config FILE         configuration file (default: " BATTLEPASS_CONF ")\n"
	      "  -o, --option S.KEY=VALUE  overrides one key; may be given more than once\n"
	      "  -h, --help                this text\n"
	      "  -V, --version             the version\n\nCommands:\n",
	      out);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		fprintf(out, "  %s%s%s %s\n      %s\n", commands[i].first, commands[i].second ? " " : "",
			commands[i].second ? commands[i].second : "", commands[i].arguments, commands[i].help);
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

static int
run_command(struct ctl *ctl, int argc, char **argv)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		int words = commands[i].second ? 2 : 1;

		if (argc < words || strcmp(argv[0], commands[i].first) != 0 ||
		    (words == 2 && strcmp(argv[1], commands[i].second) != 0))
			continue;
		return commands[i].run(ctl, argc - words + 1, argv + words - 1);
	}
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
