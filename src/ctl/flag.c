/* battlepassctl flag: the rollout flags, listed, printed or set. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "ctl/ctl.h"
#include "service/operators.h"
#include "store/store.h"

static int
fail(struct store *store, enum err err)
{
	return ctl_fail("flag: %s%s%s", err_text(err), store_error(store)[0] ? ": " : "", store_error(store));
}

static void
print_value(const struct cache_flags *flags, enum flag flag)
{
	if (flag_form(flag)->is_switch)
		puts(flags->values[flag] ? "on" : "off");
	else
		printf("%lld\n", (long long)flags->values[flag]);
}

/* flag NULL: all of them. */
static int
show(struct store *store, const enum flag *flag)
{
	const struct operators_port *operators = store_operators(store);
	struct operator_state state;
	enum err err = operators->read(operators->self, &state);

	if (err != ERR_OK)
		return fail(store, err);
	for (int i = 0; i < FLAG_COUNT && !flag; i++) {
		printf("%s: %s\n  ", flag_form((enum flag)i)->name, flag_form((enum flag)i)->help);
		print_value(&state.flags, (enum flag)i);
	}
	if (flag)
		print_value(&state.flags, *flag);
	return EXIT_SUCCESS;
}

static int
set(struct ctl *ctl, struct store *store, enum flag flag, int64_t value, const char *reason)
{
	struct operator_command command = {.action = OPERATOR_SET_FLAGS};

	ctl_operator(ctl, reason, &command);
	command.named[flag] = true;
	command.values[flag] = value;

	enum err err = operator_run(store_operators(store), &command, &ctl->arena, clock_unix_ms());

	if (err != ERR_OK)
		return fail(store, err);
	printf("before: %s\nafter:  %s\n", command.entry.before.ptr, command.entry.after.ptr);
	return EXIT_SUCCESS;
}

static int
run(struct ctl *ctl, int argc, char **argv, const char *reason)
{
	enum flag flag;
	int64_t value = 0;

	if (argc > 2)
		return ctl_fail("flag: unexpected argument \"%s\"", argv[2]);
	if (argc && !flag_find(str_from(argv[0]), &flag))
		return ctl_fail("flag: no such flag: %s", argv[0]);
	if (argc == 2 && !flag_parse(flag, str_from(argv[1]), &value))
		return flag_form(flag)->is_switch ? ctl_fail("flag: %s is on or off, not \"%s\"", argv[0], argv[1])
						  : ctl_fail("flag: %s is a number from 0 to %lld, not \"%s\"", argv[0],
							     (long long)flag_form(flag)->most, argv[1]);
	if (argc == 2 && !ctl_reason_valid(reason))
		return ctl_fail("flag: --reason TEXT of 1-500 bytes is needed to set one");
	if (!ctl_conf(ctl))
		return EXIT_FAILURE;

	struct store *store = store_new(ctl->conf, STORE_REPLY_S);
	int status = argc == 2 ? set(ctl, store, flag, value, reason) : show(store, argc ? &flag : NULL);

	store_free(store);
	return status;
}

int
ctl_flag(struct ctl *ctl, int argc, char **argv)
{
	static const struct option long_options[] = {{"reason", required_argument, NULL, 'r'}, {NULL, 0, NULL, 0}};
	const char *reason = NULL;
	int option;

	while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		if (option != 'r')
			return EXIT_FAILURE;
		reason = optarg;
	}
	return run(ctl, argc - optind, argv + optind, reason);
}
