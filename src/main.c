/* battlepassd: options, configuration, and over to the master. */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/conf.h"
#include "base/log.h"
#include "config.h"
#include "master/master.h"
#include "master/worker.h"

enum { OVERRIDES_MAX = 64 };

/* What the command line said; kept for reloads. */
static struct {
	const char *file;
	const char *overrides[OVERRIDES_MAX + 1];
	size_t override_count;
	bool test;
} options = {.file = BATTLEPASS_CONF};

static const struct option long_options[] = {
	{"config", required_argument, NULL, 'c'},
	{"option", required_argument, NULL, 'o'},
	{"test", no_argument, NULL, 't'},
	{"sample-config", no_argument, NULL, 's'},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, 'V'},
	{NULL, 0, NULL, 0},
};

static const char usage[] =
	"Usage: battlepassd [-c FILE] [-o SECTION.KEY=VALUE]... [-t]\n"
	"\n"
	"The Battle Pass service: FastCGI processes behind nginx, Redis in front of MySQL. Runs in the foreground and "
	"logs to\n"
	"stderr. TERM or INT stops it when what it has taken is answered; HUP reloads configuration and keys;\n"
	"USR2 hands over to the binary that has replaced this one, without a pause.\n"
	"\n"
	"  -c, --config FILE         configuration file (default: " BATTLEPASS_CONF ")\n"
	"  -o, --option S.KEY=VALUE  overrides one key; may be given more than once\n"
	"  -t, --test                tests configuration, keys and schema, and says what is wrong\n"
	"      --sample-config       prints a sample configuration file with every key\n"
	"  -h, --help                this text\n"
	"  -V, --version             the version\n"
	"\n"
	"Exit status: 0 when it was stopped, or -t found nothing wrong; else 1.\n"
	"Manual pages: battlepassd(8), battlepass.conf(5), battlepassctl(1).\n";

/* Returns -1 to go on, or the exit status. */
static int
parse_options(int argc, char **argv)
{
	int option;

	while ((option = getopt_long(argc, argv, "c:o:thV", long_options, NULL)) != -1) {
		switch (option) {
		case 'c':
			options.file = optarg;
			break;
		case 'o':
			if (options.override_count == OVERRIDES_MAX) {
				fputs("battlepassd: too many -o\n", stderr);
				return EXIT_FAILURE;
			}
			options.overrides[options.override_count++] = optarg;
			break;
		case 't':
			options.test = true;
			break;
		case 's':
			conf_print_sample(stdout);
			return EXIT_SUCCESS;
		case 'h':
			fputs(usage, stdout);
			return EXIT_SUCCESS;
		case 'V':
			puts("battlepassd " PACKAGE_VERSION);
			return EXIT_SUCCESS;
		default:
			fputs(usage, stderr);
			return EXIT_FAILURE;
		}
	}
	if (optind == argc)
		return -1;
	fprintf(stderr, "battlepassd: unexpected argument \"%s\"\n%s", argv[optind], usage);
	return EXIT_FAILURE;
}

static enum err
load(struct conf **ret_conf, char *detail)
{
	return conf_load(options.file, options.overrides, ret_conf, detail);
}

int
main(int argc, char **argv)
{
	char detail[CONF_DETAIL_SIZE];
	struct conf *conf;
	int status = parse_options(argc, argv);

	signal(SIGCHLD, SIG_DFL); /* who starts us may have ignored it: nobody could be waited for */
	if (status >= 0)
		return status;
	if (load(&conf, detail) != ERR_OK) {
		fprintf(stderr, "battlepassd: %s\n", detail);
		return EXIT_FAILURE;
	}
	if (!options.test) {
		log_set_format(conf->log.format);
		return master_run(conf, &(struct master_program){.argv = argv, .load = load});
	}
	status = worker_take_keys(conf) && worker_preflight(conf) ? EXIT_SUCCESS : EXIT_FAILURE;
	fprintf(stderr, "battlepassd: %s: %s\n", options.file, status == EXIT_SUCCESS ? "good" : "cannot be used");
	conf_free(conf);
	return status;
}
