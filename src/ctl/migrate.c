/* battlepassctl migrate */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "config.h"
#include "ctl/ctl.h"
#include "store/migrate.h"

static void
say(const char *line)
{
	puts(line);
	fflush(stdout);
}

int
ctl_migrate(struct ctl *ctl, int argc, char **argv)
{
	static const struct option long_options[] = {{"sql", required_argument, NULL, 's'}, {NULL, 0, NULL, 0}};
	const char *given = getenv("BATTLEPASS_SQL_DIR");
	const char *folder = given ? given : BATTLEPASS_SQL_DIR;
	char detail[MIGRATE_DETAIL_SIZE];
	int option;

	while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		if (option != 's')
			return EXIT_FAILURE;
		folder = optarg;
	}
	if (optind != argc)
		return ctl_fail("migrate: unexpected argument \"%s\"", argv[optind]);
	if (!ctl_conf(ctl))
		return EXIT_FAILURE;
	if (migrate(ctl->conf, folder, say, detail) != ERR_OK)
		return ctl_fail("migrate: %s", detail);
	printf("the schema of database \"%s\" is up to date\n", ctl->conf->store.database);
	return EXIT_SUCCESS;
}
