/* battlepassctl audit verify: every chain of the audit log, or those of one player or season. Changes nothing. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "ctl/ctl.h"
#include "service/audit.h"
#include "store/store.h"

enum { ENTRIES_A_STEP = 20000 };

static void
show_progress(const struct audit_check *check)
{
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r%" PRIu64 " entries%s", check->checked, check->more ? " .." : "\n");
}

/* A broken chain is told, and the next one is looked at. */
static enum err
verify(const struct records_port *records, const char *player, const char *season, struct audit_check *check,
       uint64_t *broken)
{
	do {
		enum err err = audit_check(records, player, season, ENTRIES_A_STEP, check);

		if (err != ERR_OK)
			return err;
		if (check->broken) {
			printf("%s%s%s: entry %" PRIu64 ": %s\n", check->at.player[0] ? check->at.player : "operators",
			       check->at.player[0] ? " " : "", check->at.season, check->at.sequence, check->detail);
			++*broken;
		}
		show_progress(check);
	} while (check->more);
	return ERR_OK;
}

static int
run(struct ctl *ctl, const char *player, const char *season)
{
	struct store *store = store_new(ctl->conf, STORE_REPLY_S);
	struct audit_check check = {.checked = 0};
	uint64_t broken = 0;
	enum err err = verify(store_records(store), player, season, &check, &broken);

	if (err != ERR_OK)
		ctl_fail("audit verify: %s%s%s", err_text(err), store_error(store)[0] ? ": " : "", store_error(store));
	else if (broken)
		fprintf(stderr, "%" PRIu64 " chain%s broken\n", broken, broken == 1 ? " is" : "s are");
	else
		printf("%" PRIu64 " entries: good\n", check.checked);
	store_free(store);
	return err != ERR_OK ? CTL_CANNOT_CHECK : broken ? EXIT_FAILURE : EXIT_SUCCESS;
}

int
ctl_audit_verify(struct ctl *ctl, int argc, char **argv)
{
	static const struct option long_options[] = {
		{"player", required_argument, NULL, 'p'},
		{"season", required_argument, NULL, 's'},
		{NULL, 0, NULL, 0},
	};
	const char *player = NULL;
	const char *season = NULL;
	int option;

	while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		if (option == 'p')
			player = optarg;
		else if (option == 's')
			season = optarg;
		else
			return CTL_CANNOT_CHECK;
	}
	if (optind != argc) {
		ctl_fail("audit verify: unexpected argument \"%s\"", argv[optind]);
		return CTL_CANNOT_CHECK;
	}
	return ctl_conf(ctl) ? run(ctl, player, season) : CTL_CANNOT_CHECK;
}
