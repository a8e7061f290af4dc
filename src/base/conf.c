/*
 * Configuration: see conf.h. keys[] below is the only place that names a key; defaults, files, environment, overrides
 * and the sample all go through it, and every value, wherever it comes from, is taken by put(). libconfuse is given the
 * text of a file and nothing else: it must never open a file by itself (it ends the process when it cannot read one),
 * and it must never print.
 */
#include "base/conf.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <confuse.h>

#include "base/buf.h"

enum key_type { TEXT, CHOICE, INTEGER, SWITCH };

struct key {
	const char *section; /* "" is the top level; the keys of a section stand together */
	const char *name;
	size_t offset; /* in struct conf: char *, char *, int64_t or bool */
	enum key_type type;
	bool restart;
	int64_t min; /* of an INTEGER; bytes of a TEXT */
	int64_t max;
	const char *choices[5];
	const char *preset; /* the default, as put() takes it */
	const char *help;
};

enum {
	PATH_BYTES = 4095,
	NAME_BYTES = 255,
	SOCKET_BYTES = 107, /* sun_path without its NUL */
	RUN_DIR_BYTES = 90, /* leaves room for a socket's name */
	PORT_MAX = 65535,
	FILE_BYTES = 1 << 20,
	ECHO_BYTES = 40,  /* of a wrong value in a message */
	PLACE_SIZE = 300, /* of a file and a line in a message */
	RANGE_SIZE = 96,
	VARIABLE_SIZE = 64,
};

#define FIELD(member)         .offset = offsetof(struct conf, member)
#define TEXT_OF(low, high)    .type = TEXT, .min = (low), .max = (high)
#define INTEGER_OF(low, high) .type = INTEGER, .min = (low), .max = (high)

/* clang-format off */
#define LANE(lane, processes_preset, turn_preset, within_preset, does, by_cores)                                      \
	{#lane, "processes", FIELD(lane.processes), INTEGER_OF(0, 256), .preset = (processes_preset),                  \
	 .help = "Processes that " does "; 0: " by_cores "."},                                                                          \
	{#lane, "turn", FIELD(lane.turn), INTEGER_OF(1, 256), .preset = (turn_preset),                                 \
	 .help = "Most requests that one process answers together."},                                                  \
	{#lane, "answer_within_ms", FIELD(lane.answer_within_ms), INTEGER_OF(10, 60000), .preset = (within_preset),    \
	 .help = "Milliseconds that a request may wait for its turn; then it is refused (503, overloaded)."}

static const struct key keys[] = {
	{"", "run_dir", FIELD(run_dir), TEXT_OF(1, RUN_DIR_BYTES), .restart = true, .preset = "/run/battlepass",
	 .help = "Folder of the sockets and of the pid file."},
	{"", "log_level", FIELD(log_level), .type = CHOICE, .choices = {"error", "warning", "info", "debug"},
	 .preset = "info",
	 .help = "Least important messages that are logged."},
	{"", "crash_points", FIELD(crash_points), TEXT_OF(0, PATH_BYTES), .restart = true, .preset = "",
	 .help = "For tests only: folder whose files name the points where a process shall die; empty in production."},

	{"log", "format", FIELD(log.format), .type = CHOICE, .choices = {"auto", "json", "text"}, .restart = true,
	 .preset = "auto",
	 .help = "Form of the log: JSON lines, lines for people, or the journal's own fields where it reads the log and JSON elsewhere."},
	{"log", "access_sample", FIELD(log.access_sample), INTEGER_OF(0, 1000000000), .preset = "1000",
	 .help = "One in so many requests of a process is logged; 1: all, 0: none."},
	{"log", "slow_ms", FIELD(log.slow_ms), INTEGER_OF(0, 3600000), .preset = "250",
	 .help = "Milliseconds from nginx to the answer with which a request counts as slow and is logged; 0: none does."},

	{"store", "socket", FIELD(store.socket), TEXT_OF(0, SOCKET_BYTES), .preset = "/run/mysqld/mysqld.sock",
	 .help = "Unix socket of the database; empty: host and port are used."},
	{"store", "host", FIELD(store.host), TEXT_OF(0, NAME_BYTES), .preset = "",
	 .help = "Host of the database when socket is empty."},
	{"store", "port", FIELD(store.port), INTEGER_OF(1, PORT_MAX), .preset = "3306",
	 .help = "TCP port of the database when socket is empty."},
	{"store", "user", FIELD(store.user), TEXT_OF(1, NAME_BYTES), .preset = "battlepass",
	 .help = "Database user."},
	{"store", "password", FIELD(store.password), TEXT_OF(0, NAME_BYTES), .preset = "",
	 .help = "Password of the database user; empty where the socket itself proves who calls."},
	{"store", "database", FIELD(store.database), TEXT_OF(1, 64), .preset = "battlepass",
	 .help = "Name of the database (schema)."},
	{"store", "connect_timeout_s", FIELD(store.connect_timeout_s), INTEGER_OF(1, 30), .preset = "2",
	 .help = "Seconds to wait for a connection to the database; the steward waits 1, and requests 5 at most."},
	{"store", "read_timeout_ms", FIELD(store.read_timeout_ms), INTEGER_OF(10, 60000), .preset = "2000",
	 .help = "Milliseconds after which the database gives up a single read."},
	{"store", "transaction_grants", FIELD(store.transaction_grants), INTEGER_OF(1, 500), .preset = "128",
	 .help = "Most XP grants in one transaction."},

	{"cache", "socket", FIELD(cache.socket), TEXT_OF(0, SOCKET_BYTES), .preset = "/run/redis/redis-server.sock",
	 .help = "Unix socket of Redis; empty: host and port are used."},
	{"cache", "host", FIELD(cache.host), TEXT_OF(0, NAME_BYTES), .preset = "",
	 .help = "Host of Redis when socket is empty. Better an address: nothing bounds the look-up of a name."},
	{"cache", "port", FIELD(cache.port), INTEGER_OF(1, PORT_MAX), .preset = "6379",
	 .help = "TCP port of Redis when socket is empty."},
	{"cache", "password", FIELD(cache.password), TEXT_OF(0, NAME_BYTES), .preset = "",
	 .help = "Password of Redis; empty: none is sent."},
	{"cache", "connect_timeout_ms", FIELD(cache.connect_timeout_ms), INTEGER_OF(1, 1000), .preset = "20",
	 .help = "Milliseconds to wait for a connection to Redis."},
	{"cache", "turn_timeout_ms", FIELD(cache.turn_timeout_ms), INTEGER_OF(1, 1000), .preset = "20",
	 .help = "Milliseconds to wait for Redis in one round trip."},
	{"cache", "ttl_s", FIELD(cache.ttl_s), INTEGER_OF(10, 86400), .preset = "86400",
	 .help = "Seconds that a cached answer lives; a day, so that who plays every day is not read from the database at login."},
	{"cache", "without_store", FIELD(cache.without_store), .type = CHOICE, .choices = {"serve", "refuse"},
	 .preset = "serve",
	 .help = "Cached answers while the database cannot be reached: serve them marked as unconfirmed, or refuse."},
	{"cache", "warm_per_s", FIELD(cache.warm_per_s), INTEGER_OF(0, 100000), .preset = "2000",
	 .help = "Players that this host loads in a second at most when the cache is warmed; 0: it never warms."},
	{"cache", "warm_players", FIELD(cache.warm_players), INTEGER_OF(1, 10000000), .preset = "100000",
	 .help = "Most players that are loaded into a new cache, those active last first."},

	{"auth", "keys", FIELD(auth.keys), TEXT_OF(1, PATH_BYTES), .preset = "/etc/battlepass/keys.json",
	 .help = "File with the keys that tokens are checked with (JWK set)."},
	{"auth", "issuer", FIELD(auth.issuer), TEXT_OF(1, NAME_BYTES), .preset = "battlepass",
	 .help = "What a token must say as iss."},
	{"auth", "audience", FIELD(auth.audience), TEXT_OF(1, NAME_BYTES), .preset = "battlepass",
	 .help = "What a token must say as aud."},
	{"auth", "allow_hs256", FIELD(auth.allow_hs256), .type = SWITCH, .preset = "false",
	 .help = "Take tokens signed with a shared secret (HS256), too."},
	{"auth", "leeway_s", FIELD(auth.leeway_s), INTEGER_OF(0, 300), .preset = "5",
	 .help = "Seconds that the clocks of token issuers may differ from ours."},
	{"auth", "remembered_tokens", FIELD(auth.remembered_tokens), INTEGER_OF(0, 1048576), .restart = true,
	 .preset = "65536", .help = "Verified tokens that this host remembers until they expire, 128 bytes each; 0: none."},

	LANE(read_lane, "0", "64", "1000", "answer cached reads", "one for two cores"),
	LANE(store_lane, "0", "32", "2000", "answer what needs the database", "two a core"),
	LANE(purchase_lane, "0", "32", "2000", "answer purchases", "one for two cores"),
	LANE(admin_lane, "1", "8", "30000", "answer the admin calls", "one for two cores"),

	{"economy", "url", FIELD(economy.url), TEXT_OF(0, NAME_BYTES), .preset = "",
	 .help = "Address of the economy service (http:// or https://); empty: nothing is sold, and deliveries wait."},
	{"economy", "token", FIELD(economy.token), TEXT_OF(0, NAME_BYTES), .preset = "",
	 .help = "Bearer token that the economy service asks for; empty: none is sent."},
	{"economy", "ca_file", FIELD(economy.ca_file), TEXT_OF(0, PATH_BYTES), .preset = "",
	 .help = "Certificates that its own must be signed by (PEM); empty: those of the system."},
	{"economy", "connect_timeout_ms", FIELD(economy.connect_timeout_ms), INTEGER_OF(10, 60000), .preset = "1000",
	 .help = "Milliseconds to wait for a connection to the economy service."},
	{"economy", "timeout_ms", FIELD(economy.timeout_ms), INTEGER_OF(100, 60000), .preset = "5000",
	 .help = "Milliseconds to wait for the answer to one call."},
	{"economy", "answer_within_ms", FIELD(economy.answer_within_ms), INTEGER_OF(100, 30000), .preset = "1000",
	 .help = "Milliseconds after which a purchase that is not decided yet is answered with 202."},
	{"economy", "give_up_after_s", FIELD(economy.give_up_after_s), INTEGER_OF(1, 86400), .preset = "120",
	 .help = "Seconds after which a debit whose outcome is unknown is cancelled by its key."},
	{"economy", "key_retention_s", FIELD(economy.key_retention_s), INTEGER_OF(1, 31536000), .preset = "86400",
	 .help = "Seconds that the economy service knows an idempotency key at least; no debit is repeated after that."},
	{"economy", "deliveries_per_s", FIELD(economy.deliveries_per_s), INTEGER_OF(1, 100000), .preset = "400",
	 .help = "Deliveries that one host sends in a second at most, so that a flood of claims is not one of deliveries."},
	{"economy", "delivery_tries", FIELD(economy.delivery_tries), INTEGER_OF(1, 1000), .preset = "200",
	 .help = "Times that a delivery is tried before it waits for an admin."},
	{"economy", "retry_first_ms", FIELD(economy.retry_first_ms), INTEGER_OF(10, 60000), .preset = "500",
	 .help = "Milliseconds before the courier asks again; doubled each time, with jitter."},
	{"economy", "retry_most_ms", FIELD(economy.retry_most_ms), INTEGER_OF(10, 3600000), .preset = "60000",
	 .help = "Most milliseconds before the courier asks again."},
};
/* clang-format on */

enum { KEY_COUNT = sizeof(keys) / sizeof(keys[0]) };

/* The file that is read. */
struct reading {
	struct conf *conf;
	const char *file;
	char *detail;
	bool failed;      /* detail holds the first fault */
	bool end_reached; /* END_LINE was seen at the top level */
};

/* For libconfuse's callbacks, because it carries no pointer of ours. Set by parse() only, for the time of the call. */
static struct reading *reading;

/* See check_closed(). */
#define END_KEY  "end-of-file"
#define END_LINE "\n" END_KEY " = reached\n"

static void *
field(const struct conf *conf, const struct key *key)
{
	return (char *)conf + key->offset;
}

static const struct key *
find_key(const char *section, size_t section_len, const char *name, size_t name_len)
{
	for (size_t i = 0; i < KEY_COUNT; i++)
		if (str_equal(str_from(keys[i].section), (struct str){section, section_len}) &&
		    str_equal(str_from(keys[i].name), (struct str){name, name_len}))
			return &keys[i];
	return NULL;
}

static const char *
dot(const struct key *key)
{
	return *key->section ? "." : "";
}

/* What a key takes, in words, for messages and for the sample. */
static void
describe_range(const struct key *key, char range[RANGE_SIZE])
{
	size_t len = 0;

	switch (key->type) {
	case TEXT:
		snprintf(range, RANGE_SIZE, "text of %lld to %lld bytes", (long long)key->min, (long long)key->max);
		break;
	case INTEGER:
		snprintf(range, RANGE_SIZE, "a whole number from %lld to %lld", (long long)key->min,
			 (long long)key->max);
		break;
	case SWITCH:
		snprintf(range, RANGE_SIZE, "true or false");
		break;
	case CHOICE:
		for (size_t i = 0; key->choices[i]; i++)
			len += (size_t)snprintf(range + len, RANGE_SIZE - len, "%s%s", i ? ", " : "one of ",
						key->choices[i]);
		break;
	}
}

static void
replace_text(char **at, const char *text)
{
	char *copy = strdup(text);

	if (!copy)
		abort();
	free(*at);
	*at = copy;
}

static bool
put_text(struct conf *conf, const struct key *key, const char *text)
{
	size_t len = strlen(text);

	if (len < (size_t)key->min || len > (size_t)key->max)
		return false;
	replace_text(field(conf, key), text);
	return true;
}

static bool
put_choice(struct conf *conf, const struct key *key, const char *text)
{
	for (size_t i = 0; key->choices[i]; i++) {
		if (strcmp(key->choices[i], text) == 0) {
			replace_text(field(conf, key), text);
			return true;
		}
	}
	return false;
}

/* Decimal only: 010 is ten here, and 0x10 nothing. What overflows becomes LLONG_MAX, beyond every range. */
static bool
put_integer(struct conf *conf, const struct key *key, const char *text)
{
	char *end;

	if (!isdigit((unsigned char)text[*text == '-']))
		return false;
	long long value = strtoll(text, &end, 10);

	if (*end || value < key->min || value > key->max)
		return false;
	*(int64_t *)field(conf, key) = value;
	return true;
}

static bool
put_switch(struct conf *conf, const struct key *key, const char *text)
{
	static const struct {
		const char *word;
		bool on;
	} words[] = {{"true", true}, {"false", false}, {"yes", true}, {"no", false}, {"on", true}, {"off", false}};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcmp(words[i].word, text) == 0) {
			*(bool *)field(conf, key) = words[i].on;
			return true;
		}
	}
	return false;
}

/* The one way of a value into the configuration; false leaves the old value. */
static bool
put(struct conf *conf, const struct key *key, const char *text)
{
	static bool (*const putters[])(struct conf *, const struct key *, const char *) = {
		[TEXT] = put_text, [CHOICE] = put_choice, [INTEGER] = put_integer, [SWITCH] = put_switch};

	return putters[key->type](conf, key, text);
}

/* "FROM: KEY: RANGE is expected". The wrong value is added, but never that of a text: it may be a password. */
static bool
refuse(const struct key *key, const char *text, const char *from, char *detail)
{
	char range[RANGE_SIZE];
	int len;

	describe_range(key, range);
	len = snprintf(detail, CONF_DETAIL_SIZE, "%s: %s%s%s: %s is expected", from, key->section, dot(key), key->name,
		       range);
	if (key->type != TEXT && len > 0 && len < CONF_DETAIL_SIZE)
		snprintf(detail + len, (size_t)(CONF_DETAIL_SIZE - len), ", not \"%.*s\"", ECHO_BYTES, text);
	return false;
}

static struct conf *
new_conf(void)
{
	struct conf *conf = calloc(1, sizeof(*conf));

	if (!conf)
		abort();
	for (size_t i = 0; i < KEY_COUNT; i++)
		if (!put(conf, &keys[i], keys[i].preset))
			abort();
	return conf;
}

void
conf_free(struct conf *conf)
{
	for (size_t i = 0; conf && i < KEY_COUNT; i++)
		if (keys[i].type == TEXT || keys[i].type == CHOICE)
			free(*(char **)field(conf, &keys[i]));
	if (conf)
		free((char *)conf->auth.keys_text.ptr);
	free(conf);
}

static const char *
file_and_line(const cfg_t *cfg)
{
	static char at[PLACE_SIZE];

	snprintf(at, sizeof(at), "%.*s:%d", PLACE_SIZE - 16, reading->file, cfg->line);
	return at;
}

/* Called by libconfuse with what it does not like. */
__attribute__((format(printf, 2, 0))) static void
on_fault(cfg_t *cfg, const char *format, va_list args)
{
	char what[CONF_DETAIL_SIZE - PLACE_SIZE - 4];

	if (reading->failed)
		return;
	reading->failed = true;
	vsnprintf(what, sizeof(what), format, args);
	snprintf(reading->detail, CONF_DETAIL_SIZE, "%s: %s", file_and_line(cfg), what);
}

/* Called by libconfuse with each value. It wants one back to keep, and gets the same. */
static int
on_value(cfg_t *cfg, cfg_opt_t *option, const char *text, void *ret_kept)
{
	const char *section = strcmp(cfg->name, "root") == 0 ? "" : cfg->name;
	const struct key *key = find_key(section, strlen(section), option->name, strlen(option->name));

	if (!put(reading->conf, key, text)) {
		reading->failed = true;
		refuse(key, text, file_and_line(cfg), reading->detail);
		return -1;
	}
	*(const char **)ret_kept = text;
	return 0;
}

static int
on_end(cfg_t *cfg, cfg_opt_t *option, const char *text, void *ret_kept)
{
	(void)cfg;
	(void)option;
	reading->end_reached = true;
	*(const char **)ret_kept = text;
	return 0;
}

/* libconfuse's form of the table, with END_KEY at the top level or without; it copies what it is given. */
static cfg_t *
new_parser(bool with_end)
{
	cfg_opt_t top[KEY_COUNT + 2];
	cfg_opt_t inner[2 * KEY_COUNT]; /* each section: its keys and an end */
	size_t top_count = 0;
	size_t inner_count = 0;

	for (size_t i = 0; i < KEY_COUNT; i++) {
		cfg_opt_t option = CFG_STR_CB(keys[i].name, NULL, CFGF_NODEFAULT, on_value);
		bool opens = i == 0 || strcmp(keys[i].section, keys[i - 1].section) != 0;
		bool closes = i + 1 == KEY_COUNT || strcmp(keys[i].section, keys[i + 1].section) != 0;

		if (!*keys[i].section) {
			top[top_count++] = option;
			continue;
		}
		if (opens)
			top[top_count++] = (cfg_opt_t)CFG_SEC(keys[i].section, inner + inner_count, CFGF_NONE);
		inner[inner_count++] = option;
		if (closes)
			inner[inner_count++] = (cfg_opt_t)CFG_END();
	}
	if (with_end)
		top[top_count++] = (cfg_opt_t)CFG_STR_CB(END_KEY, NULL, CFGF_NODEFAULT, on_end);
	top[top_count] = (cfg_opt_t)CFG_END();
	cfg_t *parser = cfg_init(top, CFGF_NONE);

	if (!parser)
		abort();
	cfg_set_error_function(parser, on_fault);
	return parser;
}

static bool
say(char *detail, const char *file, const char *what)
{
	snprintf(detail, CONF_DETAIL_SIZE, "%s: %s", file, what);
	return false;
}

/* False with detail on a fault. */
static bool
parse(struct reading *this, const char *text, bool with_end)
{
	cfg_t *parser = new_parser(with_end);

	reading = this;
	if (cfg_parse_buf(parser, text) != CFG_SUCCESS && !this->failed) {
		this->failed = true;
		say(this->detail, file_and_line(parser), "cannot be understood");
	}
	reading = NULL;
	cfg_free(parser);
	return !this->failed;
}

/*
 * libconfuse lets the end of the file close an open section or comment, so that half a file would pass for a whole one.
 * Read once more with a line behind it that only the top level knows, such a file gives itself away.
 */
static bool
check_closed(struct reading *this, struct buf *text)
{
	buf_literal(text, END_LINE);
	if (parse(this, buf_text(text), true) && this->end_reached)
		return true;
	return say(this->detail, this->file, "ends within a section or a comment");
}

/* The whole file into text, NUL-terminated. */
static bool
slurp(const char *file, struct buf *text, char *detail)
{
	FILE *in = fopen(file, "re");

	if (!in)
		return say(detail, file, strerror(errno));
	errno = 0;
	text->len = fread(buf_reserve(text, FILE_BYTES), 1, FILE_BYTES, in);
	const char *fault = NULL;

	if (ferror(in))
		fault = strerror(errno);
	else if (text->len == FILE_BYTES)
		fault = "the file is too large";
	else if (memchr(text->data, '\0', text->len))
		fault = "the file holds a NUL byte";
	fclose(in);
	return !fault || say(detail, file, fault);
}

/* Behind the closing quote of what c opens, or the end of the text. */
static char *
skip_quoted(char *c)
{
	char quote = *c++;

	while (*c && *c != quote)
		c += *c == '\\' && c[1] ? 2 : 1;
	return *c ? c + 1 : c;
}

/* Spaces for all but line ends. */
static char *
blank(char *from, const char *end)
{
	for (; from < end; from++)
		if (*from != '\n')
			*from = ' ';
	return from;
}

/*
 * libconfuse counts lines wrongly behind a comment and takes none between a key and its value, so it gets to see none.
 * As there, # begins one everywhere outside of quotes, the others only where no word has begun: /a//b is a path. A
 * comment without an end is left standing for check_closed().
 */
static void
blank_comments(char *text)
{
	bool in_word = false;

	for (char *c = text; *c;) {
		const char *block_end = !in_word && strncmp(c, "/*", 2) == 0 ? strstr(c + 2, "*/") : NULL;

		if (*c == '"' || *c == '\'') {
			c = skip_quoted(c);
			in_word = false;
		} else if (*c == '#' || (!in_word && strncmp(c, "//", 2) == 0)) {
			c = blank(c, c + strcspn(c, "\n"));
		} else if (block_end) {
			c = blank(c, block_end + 2);
		} else {
			in_word = !strchr(" \t\r\n={}()+,", *c);
			c++;
		}
	}
}

static bool
read_file(struct conf *conf, const char *file, char *detail)
{
	struct reading this = {.conf = conf, .file = file, .detail = detail};
	struct buf text;
	bool good;

	buf_init(&text);
	good = slurp(file, &text, detail);
	if (good) {
		buf_text(&text);
		blank_comments(text.data);
		good = parse(&this, text.data, false) && check_closed(&this, &text);
	}
	buf_release(&text);
	return good;
}

static int
is_conf_file(const struct dirent *entry)
{
	size_t len = strlen(entry->d_name);

	return entry->d_name[0] != '.' && len > 5 && strcmp(entry->d_name + len - 5, ".conf") == 0;
}

/* By bytes, whatever the locale. */
static int
compare_entries(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

/* The files of the folder conf.d beside `file`; that there is none is fine. */
static bool
read_conf_d(struct conf *conf, const char *file, char *detail)
{
	const char *slash = strrchr(file, '/');
	struct dirent **entries = NULL;
	struct buf path;
	bool good = true;

	buf_init(&path);
	buf_bytes(&path, file, slash ? (size_t)(slash - file) + 1 : 0);
	buf_literal(&path, "conf.d");
	int count = scandir(buf_text(&path), &entries, is_conf_file, compare_entries);

	if (count < 0 && errno != ENOENT)
		good = say(detail, buf_text(&path), strerror(errno));
	size_t folder_len = path.len;

	for (int i = 0; i < count; i++) {
		path.len = folder_len;
		buf_char(&path, '/');
		buf_cstr(&path, entries[i]->d_name);
		good = good && read_file(conf, buf_text(&path), detail);
		free(entries[i]);
	}
	free(entries);
	buf_release(&path);
	return good;
}

/* BATTLEPASS_SECTION_KEY, or BATTLEPASS_KEY of the top level. */
static void
name_variable(const struct key *key, char variable[VARIABLE_SIZE])
{
	snprintf(variable, VARIABLE_SIZE, "BATTLEPASS_%s%s%s", key->section, *key->section ? "_" : "", key->name);
	for (char *c = variable; *c; c++)
		*c = (char)toupper((unsigned char)*c);
}

static bool
read_environment(struct conf *conf, char *detail)
{
	for (size_t i = 0; i < KEY_COUNT; i++) {
		char variable[VARIABLE_SIZE];

		name_variable(&keys[i], variable);
		const char *value = getenv(variable);

		if (value && !put(conf, &keys[i], value))
			return refuse(&keys[i], value, variable, detail);
	}
	return true;
}

/* "section.key=value" or "key=value". What stands behind the = is not repeated in a message: it may be a password. */
static bool
read_override(struct conf *conf, const char *override, char *detail)
{
	size_t name_len = strcspn(override, "=");
	const char *separator = memchr(override, '.', name_len);
	size_t section_len = separator ? (size_t)(separator - override) : 0;
	const char *name = separator ? separator + 1 : override;
	const struct key *key = find_key(override, section_len, name, (size_t)(override + name_len - name));
	char from[CONF_DETAIL_SIZE / 2];

	snprintf(from, sizeof(from), "override \"%.*s\"", (int)(name_len < 100 ? name_len : 100), override);
	if (override[name_len] != '=')
		return say(detail, from, "section.key=value is expected");
	if (!key || separator == override)
		return say(detail, from, "no such key");
	return put(conf, key, override + name_len + 1) || refuse(key, override + name_len + 1, from, detail);
}

static bool
read_overrides(struct conf *conf, const char *const *overrides, char *detail)
{
	for (; overrides && *overrides; overrides++)
		if (!read_override(conf, *overrides, detail))
			return false;
	return true;
}

/* What no single key can tell. */
static bool
check_whole(const struct conf *conf, char *detail)
{
	if (!*conf->store.socket && !*conf->store.host)
		return say(detail, "store", "socket and host are both empty");
	if (!*conf->cache.socket && !*conf->cache.host)
		return say(detail, "cache", "socket and host are both empty");
	return true;
}

enum err
conf_load(const char *file, const char *const *overrides, struct conf **ret_conf, char *detail)
{
	struct conf *conf = new_conf();
	bool good = !file || (read_file(conf, file, detail) && read_conf_d(conf, file, detail));

	good = good && read_environment(conf, detail) && read_overrides(conf, overrides, detail) &&
	       check_whole(conf, detail);
	if (!good) {
		conf_free(conf);
		return ERR_CONFIG;
	}
	*ret_conf = conf;
	return ERR_OK;
}

static bool
differs(const struct conf *a, const struct conf *b, const struct key *key)
{
	switch (key->type) {
	case INTEGER:
		return *(int64_t *)field(a, key) != *(int64_t *)field(b, key);
	case SWITCH:
		return *(bool *)field(a, key) != *(bool *)field(b, key);
	default:
		return strcmp(*(char **)field(a, key), *(char **)field(b, key)) != 0;
	}
}

void
conf_each_restart_key(const struct conf *old, const struct conf *fresh, void (*each)(void *, const char *),
		      void *context)
{
	for (size_t i = 0; i < KEY_COUNT; i++) {
		char name[VARIABLE_SIZE];

		if (!keys[i].restart || !differs(old, fresh, &keys[i]))
			continue;
		snprintf(name, sizeof(name), "%s%s%s", keys[i].section, dot(&keys[i]), keys[i].name);
		each(context, name);
	}
}

static void
print_key(FILE *out, const struct key *key)
{
	const char *indent = *key->section ? "\t" : "";
	const char *quote = key->type == TEXT || key->type == CHOICE ? "\"" : "";
	char range[RANGE_SIZE];
	char variable[VARIABLE_SIZE];

	describe_range(key, range);
	name_variable(key, variable);
	fprintf(out, "\n%s# %s\n", indent, key->help);
	fprintf(out, "%s# Takes %s; %s; %s.\n", indent, range, key->restart ? "restart" : "reload", variable);
	fprintf(out, "%s#%s = %s%s%s\n", indent, key->name, quote, key->preset, quote);
}

void
conf_print_sample(FILE *out)
{
	fputs("# Configuration of battlepassd.\n"
	      "#\n"
	      "# Each key stands here with its default, commented out. A later source overrules an earlier one: this\n"
	      "# file, the files conf.d/*.conf beside it in order of their names, the environment (the name in "
	      "capitals\n"
	      "# at each key), and section.key=value on the command line. A key marked \"reload\" changes on "
	      "HUP,\n"
	      "# one marked \"restart\" needs a restart.\n"
	      "#\n"
	      "# Text in 'single quotes' is taken as it stands. In \"double quotes\" \\ begins an escape, and ${NAME} "
	      "is\n"
	      "# replaced by that variable of the environment. A # outside of quotes begins a comment.\n",
	      out);
	for (size_t i = 0; i < KEY_COUNT; i++) {
		bool opens = i > 0 && strcmp(keys[i].section, keys[i - 1].section) != 0;
		bool closes = i + 1 == KEY_COUNT || strcmp(keys[i].section, keys[i + 1].section) != 0;

		if (opens)
			fprintf(out, "\n%s {", keys[i].section);
		print_key(out, &keys[i]);
		if (closes && *keys[i].section)
			fputs("}\n", out);
	}
}
