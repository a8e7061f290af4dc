/*
 * The configuration from every source, and each kind of fault with the place it is named at. Files are written to a
 * folder of their own that goes away with the test.
 */
#include "base/conf.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "tap.h"

extern char **environ;

enum { DAMAGES = 3000 };

static char folder[200];
static char file[240];

static void
write_file(const char *path, const char *text, size_t len)
{
	FILE *out = fopen(path, "w");

	CU_ASSERT_FATAL(out != NULL);
	CU_ASSERT(fwrite(text, 1, len, out) == len);
	CU_ASSERT(fclose(out) == 0);
}

/* A file of the folder conf.d. */
static void
write_part(const char *name, const char *text)
{
	char path[300];

	snprintf(path, sizeof(path), "%s/conf.d", folder);
	mkdir(path, 0700);
	snprintf(path, sizeof(path), "%s/conf.d/%s", folder, name);
	write_file(path, text, strlen(text));
}

static void
remove_part(const char *name)
{
	char path[300];

	snprintf(path, sizeof(path), "%s/conf.d/%s", folder, name);
	unlink(path);
	snprintf(path, sizeof(path), "%s/conf.d", folder);
	rmdir(path);
}

/* Loads the text as the file; NULL on failure, then detail holds why. */
static struct conf *
load(const char *text, const char *const *overrides, char *detail)
{
	struct conf *conf = NULL;
	enum err err;

	write_file(file, text, strlen(text));
	detail[0] = '\0';
	err = conf_load(file, overrides, &conf, detail);
	CU_ASSERT(err == (conf ? ERR_OK : ERR_CONFIG));
	return conf;
}

static void
check_defaults(const struct conf *conf)
{
	CU_ASSERT_STRING_EQUAL(conf->run_dir, "/run/battlepass");
	CU_ASSERT_STRING_EQUAL(conf->log_level, "info");
	CU_ASSERT_STRING_EQUAL(conf->store.socket, "/run/mysqld/mysqld.sock");
	CU_ASSERT_STRING_EQUAL(conf->store.host, "");
	CU_ASSERT(conf->store.port == 3306);
	CU_ASSERT_STRING_EQUAL(conf->store.user, "battlepass");
	CU_ASSERT_STRING_EQUAL(conf->store.password, "");
	CU_ASSERT_STRING_EQUAL(conf->store.database, "battlepass");
	CU_ASSERT(conf->store.connect_timeout_s == 2);
	CU_ASSERT(conf->store.read_timeout_ms == 2000);
	CU_ASSERT(conf->store.transaction_grants == 128);
	CU_ASSERT_STRING_EQUAL(conf->cache.socket, "/run/redis/redis-server.sock");
	CU_ASSERT_STRING_EQUAL(conf->cache.host, "");
	CU_ASSERT(conf->cache.port == 6379);
	CU_ASSERT_STRING_EQUAL(conf->cache.password, "");
	CU_ASSERT(conf->cache.connect_timeout_ms == 20);
	CU_ASSERT(conf->cache.turn_timeout_ms == 20);
	CU_ASSERT(conf->cache.ttl_s == 86400);
	CU_ASSERT_STRING_EQUAL(conf->cache.without_store, "serve");
	CU_ASSERT_STRING_EQUAL(conf->auth.keys, "/etc/battlepass/keys.json");
	CU_ASSERT_STRING_EQUAL(conf->auth.issuer, "battlepass");
	CU_ASSERT_STRING_EQUAL(conf->auth.audience, "battlepass");
	CU_ASSERT(conf->auth.allow_hs256 == false);
	CU_ASSERT(conf->auth.leeway_s == 5);
	CU_ASSERT(conf->auth.remembered_tokens == 65536);
	CU_ASSERT(conf->read_lane.processes == 0 && conf->read_lane.turn == 64);
	CU_ASSERT(conf->read_lane.answer_within_ms == 1000 && conf->store_lane.answer_within_ms == 2000);
	CU_ASSERT(conf->store_lane.processes == 0 && conf->store_lane.turn == 32);
	CU_ASSERT(conf->admin_lane.processes == 1 && conf->admin_lane.turn == 8);
}

static void
test_defaults(void)
{
	struct conf *conf = NULL;
	char detail[CONF_DETAIL_SIZE];

	CU_ASSERT_FATAL(conf_load(NULL, NULL, &conf, detail) == ERR_OK);
	check_defaults(conf);
	conf_free(conf);
	conf_free(NULL);
	conf = load("", NULL, detail);
	CU_ASSERT_FATAL(conf != NULL);
	check_defaults(conf);
	conf_free(conf);
}

static void
test_file(void)
{
	char detail[CONF_DETAIL_SIZE];
	struct conf *conf = load("# comment\n"
				 "run_dir = /tmp/bp\n"
				 "/* more\n   of it */ log_level = debug // and more\n"
				 "store {\n\tpassword = 'a\\n\"$b # ${HOME}'\n\tport = 13306\n}\n"
				 "auth { allow_hs256 = yes leeway_s = 0 }\n"
				 "store { user = \"tab\\there\" }\n"
				 "read_lane { processes = 008 }\n"
				 "admin_lane { turn = 1 turn = 256 }\n"
				 "cache { host = # here it comes:\n /a//b /**/ password = ab#c */ 'd'\n }\n",
				 NULL, detail);

	CU_ASSERT_FATAL(conf != NULL);
	CU_ASSERT_STRING_EQUAL(conf->run_dir, "/tmp/bp");
	CU_ASSERT_STRING_EQUAL(conf->log_level, "debug");
	CU_ASSERT_STRING_EQUAL(conf->store.password, "a\\n\"$b # ${HOME}");
	CU_ASSERT(conf->store.port == 13306);
	CU_ASSERT_STRING_EQUAL(conf->store.user, "tab\there");
	CU_ASSERT(conf->auth.allow_hs256 && conf->auth.leeway_s == 0);
	CU_ASSERT(conf->read_lane.processes == 8 && conf->read_lane.turn == 64);
	CU_ASSERT(conf->admin_lane.turn == 256);
	CU_ASSERT_STRING_EQUAL(conf->cache.host, "/a//b");
	CU_ASSERT_STRING_EQUAL(conf->cache.password, "ab");
	conf_free(conf);
}

static void
test_order_of_strength(void)
{
	static const char *const overrides[] = {"store.user=override", "run_dir=/override", NULL};
	char detail[CONF_DETAIL_SIZE];
	struct conf *conf;

	/* Written neither in the order of their names nor in the opposite one. */
	write_part("20-b.conf", "store { user = part_b port = 2 }\nlog_level = debug");
	write_part("30-c.conf", "store { port = 3 }");
	write_part("10-a.conf", "store { user = part_a port = 1 connect_timeout_s = 7 }");
	write_part("40-d.conf.off", "this is not read");
	write_part(".40-d.conf", "neither is this");
	setenv("BATTLEPASS_STORE_USER", "environment", 1);
	setenv("BATTLEPASS_LOG_LEVEL", "error", 1);
	setenv("BATTLEPASS_URL", "somebody else's", 1);
	setenv("BATTLEPASS_STORE_LANE_TURN", "16", 1);
	conf = load("store { user = file port = 9 connect_timeout_s = 9 read_timeout_ms = 99 }", overrides, detail);
	CU_ASSERT_FATAL(conf != NULL);
	CU_ASSERT_STRING_EQUAL(conf->store.user, "override");
	CU_ASSERT_STRING_EQUAL(conf->run_dir, "/override");
	CU_ASSERT_STRING_EQUAL(conf->log_level, "error");
	CU_ASSERT(conf->store_lane.turn == 16);
	CU_ASSERT(conf->store.port == 3);
	CU_ASSERT(conf->store.connect_timeout_s == 7);
	CU_ASSERT(conf->store.read_timeout_ms == 99);
	conf_free(conf);

	/* Without a file no conf.d is read. */
	CU_ASSERT_FATAL(conf_load(NULL, NULL, &conf, detail) == ERR_OK);
	CU_ASSERT_STRING_EQUAL(conf->store.user, "environment");
	CU_ASSERT(conf->store.port == 3306);
	conf_free(conf);
	unsetenv("BATTLEPASS_STORE_USER");
	unsetenv("BATTLEPASS_LOG_LEVEL");
	unsetenv("BATTLEPASS_URL");
	unsetenv("BATTLEPASS_STORE_LANE_TURN");
	remove_part(".40-d.conf");
	remove_part("40-d.conf.off");
	remove_part("30-c.conf");
	remove_part("10-a.conf");
	remove_part("20-b.conf");
}

/* Empty is a value: this is how a socket is taken back in favour of a host. */
static void
test_empty_values(void)
{
	static const char *const overrides[] = {"cache.socket=", "cache.host=r=1", NULL};
	char detail[CONF_DETAIL_SIZE];

	setenv("BATTLEPASS_STORE_SOCKET", "", 1);
	struct conf *conf = load("store { host = '::1' }", overrides, detail);

	CU_ASSERT_FATAL(conf != NULL);
	CU_ASSERT_STRING_EQUAL(conf->store.socket, "");
	CU_ASSERT_STRING_EQUAL(conf->store.host, "::1");
	CU_ASSERT_STRING_EQUAL(conf->cache.socket, "");
	CU_ASSERT_STRING_EQUAL(conf->cache.host, "r=1");
	conf_free(conf);
	unsetenv("BATTLEPASS_STORE_SOCKET");
}

/* FILE stands for the name of the file. */
static const struct {
	const char *text;
	const char *detail;
} faults[] = {
	{"nope = 1", "FILE:1: no such option 'nope'"},
	{"\n\nstore {\n\tnope = 1\n}", "FILE:4: no such option 'nope'"},
	{"# one\n// two\n/* three\n*/ /* four */ nope = 1 # five", "FILE:4: no such option 'nope'"},
	{"store { # 'quoted\n\tuser = 'a # b' // c\"\n\thost = \"a\\\"//\n\" nope = 1 }",
	 "FILE:4: no such option 'nope'"},
	{"run_dir = \"two\nlines\"\nnope = 1", "FILE:3: no such option 'nope'"},
	{"\nshop { a = 1 }", "FILE:2: no such option 'shop'"},
	{"socket = /x", "FILE:1: no such option 'socket'"},
	{"store { run_dir = /x }", "FILE:1: no such option 'run_dir'"},
	{"STORE { port = 1 }", "FILE:1: no such option 'STORE'"},
	{"include('/etc/passwd')", "FILE:1: no such option 'include'"},
	{"end-of-file = reached", "FILE:1: no such option 'end-of-file'"},
	{"store { port = x }", "FILE:1: store.port: a whole number from 1 to 65535 is expected, not \"x\""},
	{"store {\nport = 0 }", "FILE:2: store.port: a whole number from 1 to 65535 is expected, not \"0\""},
	{"store { port = 65536 }", "FILE:1: store.port: a whole number from 1 to 65535 is expected, not \"65536\""},
	{"store { port = -1 }", "FILE:1: store.port: a whole number from 1 to 65535 is expected, not \"-1\""},
	{"store { port = 0x10 }", "FILE:1: store.port: a whole number from 1 to 65535 is expected, not \"0x10\""},
	{"store { port = 1.5 }", "FILE:1: store.port: a whole number from 1 to 65535 is expected, not \"1.5\""},
	{"store { port = '' }", "FILE:1: store.port: a whole number from 1 to 65535 is expected, not \"\""},
	{"store { port = ' 1' }", "FILE:1: store.port: a whole number from 1 to 65535 is expected, not \" 1\""},
	{"store { port = '1 ' }", "FILE:1: store.port: a whole number from 1 to 65535 is expected, not \"1 \""},
	{"store { port = 99999999999999999999999999999999999999999999999999 }",
	 "FILE:1: store.port: a whole number from 1 to 65535 is expected, not "
	 "\"9999999999999999999999999999999999999999\""},
	{"auth { leeway_s = 301 }", "FILE:1: auth.leeway_s: a whole number from 0 to 300 is expected, not \"301\""},
	{"auth { allow_hs256 = 1 }", "FILE:1: auth.allow_hs256: true or false is expected, not \"1\""},
	{"log_level = loud", "FILE:1: log_level: one of error, warning, info, debug is expected, not \"loud\""},
	{"log_level = INFO", "FILE:1: log_level: one of error, warning, info, debug is expected, not \"INFO\""},
	{"cache { without_store = '' }", "FILE:1: cache.without_store: one of serve, refuse is expected, not \"\""},
	{"run_dir = ''", "FILE:1: run_dir: text of 1 to 90 bytes is expected"},
	{"store = 3", "FILE:1: missing opening brace for section 'store'"},
	{"store 'a' { port = 2 }", "FILE:1: missing opening brace for section 'store'"},
	{"store { port 3 }", "FILE:1: missing equal sign after option 'port'"},
	{"store { port = {1, 2} }", "FILE:1: unexpected token '{'"},
	{"store { port += 1 }", "FILE:1: attempt to append to non-list option 'port'"},
	{"run_dir =", "FILE:1: premature end of file"},
	{"run_dir = 'a\n", "FILE:2: unterminated string constant"},
	{"}", "FILE:1: unexpected closing brace"},
	{"store { port = 3", "FILE: ends within a section or a comment"},
	{"store {", "FILE: ends within a section or a comment"},
	{"run_dir = /x /* ...", "FILE: ends within a section or a comment"},
	{"store { socket = '' }", "store: socket and host are both empty"},
	{"cache { socket = '' }", "cache: socket and host are both empty"},
};

/* Expects that detail is `expected` with `name` in the place of FILE. */
static void
check_detail(const char *detail, const char *expected, const char *name)
{
	char whole[CONF_DETAIL_SIZE * 2];
	bool with_file = strncmp(expected, "FILE", 4) == 0;

	snprintf(whole, sizeof(whole), "%s%s", with_file ? name : "", with_file ? expected + 4 : expected);
	CU_ASSERT_STRING_EQUAL(detail, whole);
	if (strcmp(detail, whole) != 0)
		printf("# %s, not: %s\n", detail, whole);
}

static void
test_faults_in_a_file(void)
{
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		char detail[CONF_DETAIL_SIZE];
		struct conf *conf = load(faults[i].text, NULL, detail);

		CU_ASSERT_PTR_NULL(conf);
		check_detail(detail, faults[i].detail, file);
		conf_free(conf);

		/* A fault leaves nothing behind that the next reading, a HUP's, would trip over. */
		conf = load("run_dir = /next", NULL, detail);
		CU_ASSERT_FATAL(conf != NULL);
		CU_ASSERT_STRING_EQUAL(conf->run_dir, "/next");
		conf_free(conf);
	}
}

static void
test_faults_in_conf_d(void)
{
	char detail[CONF_DETAIL_SIZE];
	char path[300];

	snprintf(path, sizeof(path), "%s/conf.d/local.conf", folder);
	write_part("local.conf", "store {\n}\nnope = 1");
	CU_ASSERT_PTR_NULL(load("store { port = 1 }\n\n\n\n", NULL, detail));
	check_detail(detail, "FILE:3: no such option 'nope'", path);
	write_part("local.conf", "store {\nport = 0\n}");
	CU_ASSERT_PTR_NULL(load("store { port = 1 }\n\n\n\n", NULL, detail));
	check_detail(detail, "FILE:2: store.port: a whole number from 1 to 65535 is expected, not \"0\"", path);
	remove_part("local.conf");

	/* A link that leads nowhere is no reason to go on without it. */
	write_part("other.conf", "");
	CU_ASSERT(symlink("nowhere", path) == 0);
	CU_ASSERT_PTR_NULL(load("", NULL, detail));
	check_detail(detail, "FILE: No such file or directory", path);
	remove_part("local.conf");
	remove_part("other.conf");

	snprintf(path, sizeof(path), "%s/conf.d", folder);
	write_file(path, "", 0);
	CU_ASSERT_PTR_NULL(load("", NULL, detail));
	check_detail(detail, "FILE: Not a directory", path);
	unlink(path);
}

static void
check_unreadable(const char *path, const char *expected)
{
	struct conf *conf = (struct conf *)folder;
	char detail[CONF_DETAIL_SIZE] = "";

	CU_ASSERT(conf_load(path, NULL, &conf, detail) == ERR_CONFIG);
	CU_ASSERT_PTR_EQUAL(conf, folder);
	check_detail(detail, expected, path);
}

static void
test_files_that_cannot_be_read(void)
{
	char *large = calloc(1, 1 << 20);
	char path[300];

	snprintf(path, sizeof(path), "%s/none.conf", folder);
	check_unreadable(path, "FILE: No such file or directory");
	check_unreadable(folder, "FILE: Is a directory");
	write_file(file, "run_dir\0= /x", 12);
	check_unreadable(file, "FILE: the file holds a NUL byte");
	memset(large, '\n', 1 << 20);
	write_file(file, large, 1 << 20);
	check_unreadable(file, "FILE: the file is too large");
	free(large);
}

static void
test_faults_in_the_environment(void)
{
	char detail[CONF_DETAIL_SIZE];

	setenv("BATTLEPASS_CACHE_TTL_S", "9", 1);
	CU_ASSERT_PTR_NULL(load("", NULL, detail));
	CU_ASSERT_STRING_EQUAL(
		detail, "BATTLEPASS_CACHE_TTL_S: cache.ttl_s: a whole number from 10 to 86400 is expected, not \"9\"");
	unsetenv("BATTLEPASS_CACHE_TTL_S");
	setenv("BATTLEPASS_LOG_LEVEL", "", 1);
	CU_ASSERT_PTR_NULL(load("", NULL, detail));
	CU_ASSERT(strncmp(detail, "BATTLEPASS_LOG_LEVEL: log_level: one of ", 40) == 0);
	unsetenv("BATTLEPASS_LOG_LEVEL");
}

static void
test_faults_in_overrides(void)
{
	static const struct {
		const char *text;
		const char *detail;
	} cases[] = {
		{"store.socket", "override \"store.socket\": section.key=value is expected"},
		{"", "override \"\": section.key=value is expected"},
		{"nope=1", "override \"nope\": no such key"},
		{"store=1", "override \"store\": no such key"},
		{"=1", "override \"\": no such key"},
		{".run_dir=1", "override \".run_dir\": no such key"},
		{"store.=1", "override \"store.\": no such key"},
		{"store.port.x=1", "override \"store.port.x\": no such key"},
		{"store.run_dir=/x", "override \"store.run_dir\": no such key"},
		{"socket=/x", "override \"socket\": no such key"},
		{"Store.port=1", "override \"Store.port\": no such key"},
		{"store.port =1", "override \"store.port \": no such key"},
		{"store.port=x.y", "override \"store.port\": store.port: a whole number from 1 to 65535 is expected, "
				   "not \"x.y\""},
		{"run_dir=", "override \"run_dir\": run_dir: text of 1 to 90 bytes is expected"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *const overrides[] = {"log_level=debug", cases[i].text, NULL};
		char detail[CONF_DETAIL_SIZE];

		CU_ASSERT_PTR_NULL(load("", overrides, detail));
		CU_ASSERT_STRING_EQUAL(detail, cases[i].detail);
	}
}

/* A password must not reach a log by way of a message. */
static void
test_messages_keep_secrets(void)
{
	char override[400] = "store.password=hunter2-";
	const char *const overrides[] = {override, NULL};
	char detail[CONF_DETAIL_SIZE];

	memset(override + strlen(override), 'x', 300);
	CU_ASSERT_PTR_NULL(load("", overrides, detail));
	CU_ASSERT_STRING_EQUAL(detail,
			       "override \"store.password\": store.password: text of 0 to 255 bytes is expected");
	setenv("BATTLEPASS_CACHE_PASSWORD", override, 1);
	CU_ASSERT_PTR_NULL(load("", NULL, detail));
	CU_ASSERT_STRING_EQUAL(detail, "BATTLEPASS_CACHE_PASSWORD: cache.password: text of 0 to 255 bytes is expected");
	unsetenv("BATTLEPASS_CACHE_PASSWORD");
}

/* Both ends of a text's range, by way of an override. */
static void
test_length_of_texts(void)
{
	char override[128];
	const char *const overrides[] = {override, NULL};
	char detail[CONF_DETAIL_SIZE];

	for (int len = 88; len < 93; len++) {
		snprintf(override, sizeof(override), "run_dir=/%0*d", len - 1, 0);
		struct conf *conf = load("", overrides, detail);

		CU_ASSERT((conf != NULL) == (len <= 90));
		conf_free(conf);
	}
}

static void
collect(void *context, const char *key)
{
	buf_cstr(context, key);
	buf_char(context, ' ');
}

static void
test_restart_keys(void)
{
	static const char *const others[] = {"log_level=debug", "store.port=1", "auth.allow_hs256=on",
					     "read_lane.turn=3", NULL};
	static const char *const moved[] = {"run_dir=/elsewhere", "store.port=1", NULL};
	struct conf *confs[3];
	char detail[CONF_DETAIL_SIZE];
	struct buf seen;

	buf_init(&seen);
	CU_ASSERT_FATAL(conf_load(NULL, NULL, &confs[0], detail) == ERR_OK);
	CU_ASSERT_FATAL(conf_load(NULL, others, &confs[1], detail) == ERR_OK);
	CU_ASSERT_FATAL(conf_load(NULL, moved, &confs[2], detail) == ERR_OK);
	conf_each_restart_key(confs[0], confs[0], collect, &seen);
	conf_each_restart_key(confs[0], confs[1], collect, &seen);
	CU_ASSERT_STRING_EQUAL(buf_text(&seen), "");
	conf_each_restart_key(confs[0], confs[2], collect, &seen);
	CU_ASSERT_STRING_EQUAL(buf_text(&seen), "run_dir ");
	for (size_t i = 0; i < 3; i++)
		conf_free(confs[i]);
	buf_release(&seen);
}

static char *
sample_text(void)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	CU_ASSERT_FATAL(out != NULL);
	conf_print_sample(out);
	fclose(out);
	return text;
}

/* As it stands and with every key switched on the sample says what is the default anyway. */
static void
test_sample_is_the_defaults(void)
{
	char *text = sample_text();
	char detail[CONF_DETAIL_SIZE];
	struct conf *conf = load(text, NULL, detail);
	unsigned keys = 0;

	CU_ASSERT_FATAL(conf != NULL);
	check_defaults(conf);
	conf_free(conf);
	for (char *hash = strchr(text, '#'); hash; hash = strchr(hash + 1, '#')) {
		if (hash[1] >= 'a' && hash[1] <= 'z') {
			*hash = ' ';
			keys++;
		}
	}
	CU_ASSERT(keys == 55);
	conf = load(text, NULL, detail);
	CU_ASSERT_FATAL(conf != NULL);
	check_defaults(conf);
	conf_free(conf);
	free(text);
}

/* Each variable that the sample names is one that is read: a value that nothing takes is a fault in each. */
static void
test_sample_names_the_variables(void)
{
	char *text = sample_text();
	static char wrong[8192];
	unsigned variables = 0;

	memset(wrong, 'x', sizeof(wrong) - 1);
	for (char *at = strstr(text, "BATTLEPASS_"); at; at = strstr(at, "BATTLEPASS_")) {
		char detail[CONF_DETAIL_SIZE];
		char *end = at + strcspn(at, ".");

		*end = '\0';
		setenv(at, wrong, 1);
		CU_ASSERT_PTR_NULL(load("", NULL, detail));
		CU_ASSERT(strncmp(detail, at, (size_t)(end - at)) == 0 && detail[end - at] == ':');
		unsetenv(at);
		at = end + 1;
		variables++;
	}
	CU_ASSERT(variables == 55);
	free(text);
}

/* examples/battlepass.conf is what conf_print_sample() prints. */
static void
test_sample_in_the_tree(void)
{
	const char *top = getenv("TEST_SRCDIR");
	char path[512];
	char *text = sample_text();
	size_t len = strlen(text);
	char *stored = calloc(1, len + 2);

	snprintf(path, sizeof(path), "%s/examples/battlepass.conf", top ? top : ".");
	FILE *in = fopen(path, "r");

	CU_ASSERT_FATAL(in != NULL);
	CU_ASSERT(fread(stored, 1, len + 1, in) == len);
	CU_ASSERT_STRING_EQUAL(stored, text);
	fclose(in);
	free(stored);
	free(text);
}

/* A fault put in front of any line of the sample, which is mostly comments, is named with that line. */
static void
test_lines_are_counted(void)
{
	char *text = sample_text();
	struct buf damaged;
	int line = 1;

	buf_init(&damaged);
	for (const char *at = text; *at; at = strchr(at, '\n') + 1, line++) {
		char detail[CONF_DETAIL_SIZE];
		char expected[64];

		buf_clear(&damaged);
		buf_bytes(&damaged, text, (size_t)(at - text));
		buf_literal(&damaged, "nope = 1\n");
		buf_cstr(&damaged, at);
		snprintf(expected, sizeof(expected), "FILE:%d: no such option 'nope'", line);
		CU_ASSERT_PTR_NULL(load(buf_text(&damaged), NULL, detail));
		check_detail(detail, expected, file);
	}
	CU_ASSERT(line > 100);
	buf_release(&damaged);
	free(text);
}

/* The sample with bytes changed at random: read or refused with a place, and never a word on the standard error. */
static void
test_damaged_files(void)
{
	static const char bytes[] = "{}=#\"'\\$(),;/*+ \n\tax01.\x80\xff";
	char *text = sample_text();
	char *damaged = malloc(strlen(text) + 1);
	char path[300];
	struct stat chatter;
	int saved = dup(2);

	snprintf(path, sizeof(path), "%s/stderr", folder);
	FILE *stream = fopen(path, "w");

	CU_ASSERT_FATAL(stream != NULL && dup2(fileno(stream), 2) == 2);
	srandom((unsigned)tap_seed());
	for (unsigned i = 0; i < DAMAGES; i++) {
		char detail[CONF_DETAIL_SIZE];

		memcpy(damaged, text, strlen(text) + 1);
		for (long left = random() % 40; left >= 0; left--)
			damaged[(size_t)random() % strlen(text)] = bytes[(size_t)random() % (sizeof(bytes) - 1)];
		for (char *hash = damaged; (hash = strchr(hash, '#')); hash++)
			*hash = random() % 4 ? '#' : ' ';
		struct conf *conf = load(damaged, NULL, detail);

		CU_ASSERT(conf || detail[0]);
		conf_free(conf);
	}
	dup2(saved, 2);
	close(saved);
	CU_ASSERT(fstat(fileno(stream), &chatter) == 0 && chatter.st_size == 0);
	fclose(stream);
	unlink(path);
	free(damaged);
	free(text);
}

/* The tests set what they need; what the caller's environment says must not matter. */
static void
clear_environment(void)
{
	for (char **entry = environ; *entry;) {
		char name[256];

		snprintf(name, sizeof(name), "%.*s", (int)strcspn(*entry, "="), *entry);
		if (strncmp(name, "BATTLEPASS_", 11) == 0 && unsetenv(name) == 0)
			entry = environ;
		else
			entry++;
	}
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"defaults", test_defaults},
		{"a file", test_file},
		{"order of strength", test_order_of_strength},
		{"empty is a value", test_empty_values},
		{"faults in a file are named with file and line", test_faults_in_a_file},
		{"faults in conf.d", test_faults_in_conf_d},
		{"files that cannot be read", test_files_that_cannot_be_read},
		{"faults in the environment", test_faults_in_the_environment},
		{"faults in overrides", test_faults_in_overrides},
		{"messages keep secrets", test_messages_keep_secrets},
		{"length of texts", test_length_of_texts},
		{"keys that need a restart", test_restart_keys},
		{"the sample is the defaults", test_sample_is_the_defaults},
		{"the sample names the variables", test_sample_names_the_variables},
		{"the sample in the tree", test_sample_in_the_tree},
		{"lines are counted", test_lines_are_counted},
		{"damaged files", test_damaged_files},
		CU_TEST_INFO_NULL,
	};
	const char *scratch = getenv("TMPDIR");
	int failed;

	clear_environment();
	snprintf(folder, sizeof(folder), "%.180s/bp-conf-XXXXXX", scratch ? scratch : "/tmp");
	if (!mkdtemp(folder)) {
		printf("Bail out! no scratch folder\n");
		return 2;
	}
	snprintf(file, sizeof(file), "%s/battlepass.conf", folder);
	failed = tap_main("base/conf", tests);
	unlink(file);
	rmdir(folder);
	return failed;
}
