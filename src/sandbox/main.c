/*
 * economy-sandbox: a small economy service for development and tests, with wallets and a ledger in MariaDB, and with
 * faults that can be switched on while it runs. It has no authentication: it must never listen where others can reach
 * it.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "config.h"
#include "sandbox/calls.h"

enum { OVERRIDES_MAX = 8, OVERRIDE_SIZE = 512, RETENTION_S_MAX = 1000000000 };

/* What the command line said. */
struct options {
	const char *listen;
	const char *port_file;
	int64_t retention_s; /* 0: for ever */
	struct bank_wallet wallets[BANK_WALLETS_MAX];
	size_t wallet_count;
	char overrides[OVERRIDES_MAX][OVERRIDE_SIZE]; /* for the configuration */
	size_t override_count;
};

static const char usage[] =
	"Usage: economy-sandbox [--listen ADDRESS:PORT] [OPTION]...\n"
	"\n"
	"An economy service for development and tests: wallets, debits, refunds and deliveries in a database of its "
	"own.\n"
	"Runs in the foreground and logs to stderr; TERM or INT stops it.\n"
	"\n"
	"  --listen A.B.C.D:PORT     where to listen (default: 127.0.0.1:0, any free port)\n"
	"  --port-file FILE          writes the port there once it listens\n"
	"  --socket PATH             socket of the database server\n"
	"  --database NAME           the database (default: economy); its tables are made as needed\n"
	"  --user NAME               database user (default: economy)\n"
	"  --wallet CURRENCY=AMOUNT  what a player who was not seen before has; may be given more than once\n"
	"  --key-retention-s N       forgets idempotency keys after N seconds (default: never)\n"
	"  --help                    this text\n"
	"  --version                 the version\n"
	"\n"
	"Economy:      POST /v1/debits, GET /v1/debits/KEY, POST /v1/debits/KEY/cancel, POST /v1/debits/KEY/refund,\n"
	"              POST /v1/deliveries\n"
	"For tests:    GET /healthz, GET /sandbox/players/PLAYER, GET /sandbox/totals,\n"
	"              GET /sandbox/calls (those of the economy that came last, with their traces),\n"
	"              PUT /sandbox/wallets/PLAYER {\"currency\",\"balance\"}, GET and PUT /sandbox/faults\n"
	"\n"
	"PUT /sandbox/faults {\"faults\":[{\"fault\":KIND, \"calls\":CALLS, \"probability\":P, \"delay_ms\":N, "
	"\"times\":N}, ..]}\n"
	"replaces the list; only \"fault\" is needed. CALLS is debits, deliveries, cancel, refund, lookup or all. KIND "
	"is one of\n";

enum option_code {
	OPTION_LISTEN = 1,
	OPTION_PORT_FILE,
	OPTION_SOCKET,
	OPTION_DATABASE,
	OPTION_USER,
	OPTION_WALLET,
	OPTION_RETENTION,
	OPTION_HELP,
	OPTION_VERSION
};

static const struct option long_options[] = {
	{"listen", required_argument, NULL, OPTION_LISTEN},
	{"port-file", required_argument, NULL, OPTION_PORT_FILE},
	{"socket", required_argument, NULL, OPTION_SOCKET},
	{"database", required_argument, NULL, OPTION_DATABASE},
	{"user", required_argument, NULL, OPTION_USER},
	{"wallet", required_argument, NULL, OPTION_WALLET},
	{"key-retention-s", required_argument, NULL, OPTION_RETENTION},
	{"help", no_argument, NULL, OPTION_HELP},
	{"version", no_argument, NULL, OPTION_VERSION},
	{NULL, 0, NULL, 0},
};

static bool
parse_number(const char *text, int64_t max, int64_t *ret)
{
	char *end;

	errno = 0;
	long long value = strtoll(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || errno || value > max)
		return false;
	*ret = value;
	return true;
}

/* CURRENCY=AMOUNT; the text is cut in two. */
static bool
add_wallet(struct options *options, char *text)
{
	struct bank_wallet wallet = {.currency = text};
	char *equals = strchr(text, '=');

	if (!equals || equals == text || equals - text > BANK_ID_MAX || options->wallet_count == BANK_WALLETS_MAX ||
	    !parse_number(equals + 1, BANK_AMOUNT_MAX, &wallet.balance))
		return false;
	*equals = '\0';
	options->wallets[options->wallet_count++] = wallet;
	return true;
}

static bool
add_override(struct options *options, const char *key, const char *value)
{
	char *to = options->overrides[options->override_count];

	if (options->override_count == OVERRIDES_MAX ||
	    snprintf(to, OVERRIDE_SIZE, "%s=%s", key, value) >= OVERRIDE_SIZE)
		return false;
	options->override_count++;
	return true;
}

static bool
take_option(struct options *options, int code, char *value)
{
	switch (code) {
	case OPTION_LISTEN:
		options->listen = value;
		return true;
	case OPTION_PORT_FILE:
		options->port_file = value;
		return true;
	case OPTION_SOCKET:
		return add_override(options, "store.socket", value);
	case OPTION_DATABASE:
		return add_override(options, "store.database", value);
	case OPTION_USER:
		return add_override(options, "store.user", value);
	case OPTION_WALLET:
		return add_wallet(options, value);
	case OPTION_RETENTION:
		return parse_number(value, RETENTION_S_MAX, &options->retention_s);
	default:
		return false;
	}
}

/* Returns -1 to go on, or the exit status. */
static int
parse_options(int argc, char **argv, struct options *options)
{
	int code;

	while ((code = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		if (code == OPTION_HELP) {
			fputs(usage, stdout);
			trouble_print_kinds(stdout);
			return EXIT_SUCCESS;
		}
		if (code == OPTION_VERSION) {
			puts("economy-sandbox " PACKAGE_VERSION);
			return EXIT_SUCCESS;
		}
		if (code == '?')
			return EXIT_FAILURE; /* getopt has said why */
		if (!take_option(options, code, optarg)) {
			fprintf(stderr, "economy-sandbox: \"%s\" cannot be used\n", optarg);
			return EXIT_FAILURE;
		}
	}
	if (optind == argc)
		return -1;
	fprintf(stderr, "economy-sandbox: unexpected argument \"%s\"\n", argv[optind]);
	return EXIT_FAILURE;
}

static enum err
load_conf(const struct options *options, struct conf **ret_conf)
{
	char detail[CONF_DETAIL_SIZE];
	const char *overrides[OVERRIDES_MAX + 1] = {NULL};

	for (size_t i = 0; i < options->override_count; i++)
		overrides[i] = options->overrides[i];
	enum err err = conf_load(NULL, overrides, ret_conf, detail);

	if (err != ERR_OK)
		log_error("%s", detail);
	return err;
}

/* Whole or not at all: whoever waits for the file may read it at once. */
static bool
write_port(const char *file, unsigned port)
{
	char fresh[4096];

	if (snprintf(fresh, sizeof(fresh), "%s.new", file) >= (int)sizeof(fresh))
		return false;
	FILE *out = fopen(fresh, "we");

	if (!out)
		return false;
	bool written = fprintf(out, "%u\n", port) > 0;

	return fclose(out) == 0 && written && rename(fresh, file) == 0;
}

static enum err
serve(const struct options *options, struct calls *calls)
{
	enum err err = server_open(options->listen, calls_handle, calls, &calls->server);

	if (err != ERR_OK)
		return err;
	printf("listening on http://%.*s:%u\n", (int)strcspn(options->listen, ":"), options->listen,
	       server_port(calls->server));
	if (fflush(stdout) == 0 &&
	    (!options->port_file || write_port(options->port_file, server_port(calls->server)))) {
		server_run(calls->server);
	} else {
		log_error("cannot say on which port it listens: %s", strerror(errno));
		err = ERR_SYSTEM;
	}
	server_close(calls->server);
	return err;
}

static enum err
run(const struct options *options)
{
	struct calls calls = {.retention_ms = options->retention_s ? options->retention_s * 1000 : BANK_KEEP_KEYS};
	struct conf *conf;
	enum err err = load_conf(options, &conf);

	if (err != ERR_OK)
		return err;
	err = bank_open(conf, options->wallets, options->wallet_count, &calls.bank);
	if (err == ERR_OK) {
		calls.troubles = troubles_new();
		calls.journey = journey_new();
		err = serve(options, &calls);
		journey_free(calls.journey);
		troubles_free(calls.troubles);
	}
	bank_close(calls.bank);
	conf_free(conf);
	return err;
}

int
main(int argc, char **argv)
{
	static struct options options = {.listen = "127.0.0.1:0"};

	log_set_role("economy-sandbox");
	add_override(&options, "store.database", "economy");
	add_override(&options, "store.user", "economy");
	int status = parse_options(argc, argv, &options);

	if (status >= 0)
		return status;
	return run(&options) == ERR_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
