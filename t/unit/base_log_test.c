/*
 * The log: one line an event, whatever is in the message and the fields, in each form, and never more than a line's
 * length; and entries of the journal, taken by a socket that stands for its own.
 */
#include "base/log.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "tap.h"

#define COUNT_OF(table) (sizeof(table) / sizeof((table)[0]))

enum { FIELDS_MOST = LOG_FIELDS_MAX - 2 };

static const struct str no_text;
static char text[8192];
static int pipe_ends[2];
static int own_stderr;

static void
catch_stderr(void)
{
	fflush(stderr);
	if (pipe(pipe_ends) != 0 || fcntl(pipe_ends[0], F_SETFL, O_NONBLOCK) != 0)
		abort();
	own_stderr = dup(STDERR_FILENO);
	dup2(pipe_ends[1], STDERR_FILENO);
}

/* What was logged since catch_stderr. */
static const char *
caught(void)
{
	dup2(own_stderr, STDERR_FILENO);
	close(own_stderr);
	close(pipe_ends[1]);
	ssize_t got = read(pipe_ends[0], text, sizeof(text) - 1);

	close(pipe_ends[0]);
	text[got > 0 ? got : 0] = '\0';
	return text;
}

/* The message of a line of this level and role, NULL if the line has another form. */
static const char *
message_of(const char *line, const char *level)
{
	char head[128];
	char now[CLOCK_TEXT_SIZE];
	int64_t when;

	snprintf(now, sizeof(now), "%.24s", line);
	snprintf(head, sizeof(head), " %s tester[%d]: ", level, (int)getpid());
	if (strlen(line) < 24 || !clock_parse(str_from(now), &when) || strncmp(line + 24, head, strlen(head)) != 0)
		return NULL;
	return line + 24 + strlen(head);
}

static void
test_line(void)
{
	catch_stderr();
	log_warning("%d of %s", 5, "them");
	const char *message = message_of(caught(), "warning");

	CU_ASSERT_PTR_NOT_NULL_FATAL(message);
	CU_ASSERT_STRING_EQUAL(message, "5 of them\n");
}

static void
test_nothing_forges_a_line(void)
{
	catch_stderr();
	log_error("%s", "a\nb\rc\td\033[31me\177f\001g\xffh");
	const char *message = message_of(caught(), "error");

	CU_ASSERT_PTR_NOT_NULL_FATAL(message);
	CU_ASSERT_STRING_EQUAL(message, "a b c d [31me f g?h\n");
	catch_stderr();
	log_error("%s", "\xc3\xa9 and \xf0\x9f\x8e\xae");
	message = message_of(caught(), "error");
	CU_ASSERT_PTR_NOT_NULL_FATAL(message);
	CU_ASSERT_STRING_EQUAL(message, "\xc3\xa9 and \xf0\x9f\x8e\xae\n");
}

static void
test_long_lines_are_cut(void)
{
	static const char *const formats[] = {"text", "json"};
	static char message[8000];

	for (size_t i = 0; i < COUNT_OF(formats); i++) {
		CU_ASSERT(log_set_format(formats[i]));
		for (size_t length = 1900; length < sizeof(message); length += 1 + length / 100) {
			memset(message, 'm', length);
			message[length] = '\0';
			catch_stderr();
			log_info("%s", message);
			const char *line = caught();
			size_t size = strlen(line);

			CU_ASSERT(size > 1900 && size <= LOG_LINE_SIZE);
			CU_ASSERT_EQUAL(line[size - 1], '\n');
			CU_ASSERT_PTR_EQUAL(strchr(line, '\n'), line + size - 1);
		}
	}
	log_set_format("text");
}

static void
test_levels(void)
{
	static const struct {
		enum log_level level;
		unsigned lines;
	} cases[] = {{LOG_ERROR, 1}, {LOG_WARNING, 2}, {LOG_INFO, 3}, {LOG_DEBUG, 4}};

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		unsigned lines = 0;

		log_set_level(cases[i].level);
		catch_stderr();
		log_error("e");
		log_warning("w");
		log_info("i");
		log_debug("d");
		for (const char *at = caught(); (at = strchr(at, '\n')) != NULL; at++)
			lines++;
		CU_ASSERT_EQUAL(lines, cases[i].lines);
	}
	log_set_level(LOG_INFO);
}

static void
test_level_names(void)
{
	enum log_level level = LOG_DEBUG;

	CU_ASSERT(log_level_parse("error", &level) && level == LOG_ERROR);
	CU_ASSERT(log_level_parse("warning", &level) && level == LOG_WARNING);
	CU_ASSERT(log_level_parse("info", &level) && level == LOG_INFO);
	CU_ASSERT(log_level_parse("debug", &level) && level == LOG_DEBUG);
	CU_ASSERT_FALSE(log_level_parse("Error", &level));
	CU_ASSERT_FALSE(log_level_parse("", &level));
	CU_ASSERT_FALSE(log_level_parse("errors", &level));
	CU_ASSERT_EQUAL(level, LOG_DEBUG);
	CU_ASSERT_FALSE(log_set_format("JSON"));
	CU_ASSERT_FALSE(log_set_format(""));
}

static void
test_text_fields(void)
{
	const struct log_field fields[] = {{"route", STR("/v1/seasons"), 0},
					   {"status", no_text, 200},
					   {"odd", STR("a\nb"), 0},
					   {"empty", STR(""), 0}};

	log_set_request(STR("req-1"), STR_NONE);
	catch_stderr();
	log_fields(LOG_INFO, STR("100 % done"), fields, COUNT_OF(fields));
	const char *message = message_of(caught(), "info");

	log_set_request(STR_NONE, STR_NONE);
	CU_ASSERT_PTR_NOT_NULL_FATAL(message);
	CU_ASSERT_STRING_EQUAL(message, "100 % done route=/v1/seasons status=200 odd=a b empty= request_id=req-1\n");
}

/* --- JSON --- */

/* The one line that was caught, as a tree that the caller frees; NULL: it is none, or not alone. */
static struct json *
parse_caught(void)
{
	const char *line = caught();
	size_t size = strlen(line);
	char detail[JSON_DETAIL_SIZE] = "not one line";
	struct json *root = NULL;

	if (size == 0 || size > LOG_LINE_SIZE || strchr(line, '\n') != line + size - 1 ||
	    json_parse((struct str){line, size - 1}, &root, detail) != ERR_OK) {
		printf("# %s: %s\n", detail, line);
		return NULL;
	}
	return root;
}

static bool
says(const struct json *root, const char *name, struct str wanted)
{
	struct str value;

	return json_get_string(json_member(root, name), &value) && str_equal(value, wanted);
}

static bool
counts(const struct json *root, const char *name, int64_t wanted)
{
	int64_t value;

	return json_get_integer(json_member(root, name), &value) && value == wanted;
}

static void
test_json(void)
{
	static const char *const order[] = {"time",  "level",  "role",       "pid",     "message",
					    "route", "status", "request_id", "trace_id"};
	const struct log_field fields[] = {{"route", STR("a \"b\" \\ \b\f\n\r\t\001\177"), 0}, {"status", no_text, -7}};
	struct str when;
	int64_t unix_ms;
	size_t number = 0;

	CU_ASSERT(log_set_format("json"));
	log_set_request(STR("req-1"), STR("0af7651916cd43dd8448eb211c80319c"));
	catch_stderr();
	log_fields(LOG_WARNING, STR("\xc3\xa9\xff\xed\xa0\x80%s\0."), fields, COUNT_OF(fields));
	struct json *root = parse_caught();

	CU_ASSERT_PTR_NOT_NULL_FATAL(root);
	CU_ASSERT(json_get_string(json_member(root, "time"), &when) && when.len == 24 && clock_parse(when, &unix_ms) &&
		  llabs(clock_unix_ms() - unix_ms) < 60000);
	CU_ASSERT(says(root, "level", STR("warning")));
	CU_ASSERT(says(root, "role", STR("tester")));
	CU_ASSERT(counts(root, "pid", getpid()));
	/* Each byte that is part of no character becomes one that stands for it. */
	CU_ASSERT(
		says(root, "message", STR("\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd%s\xef\xbf\xbd.")));
	CU_ASSERT(says(root, "route", fields[0].text));
	CU_ASSERT(counts(root, "status", -7));
	CU_ASSERT(says(root, "request_id", STR("req-1")));
	CU_ASSERT(says(root, "trace_id", STR("0af7651916cd43dd8448eb211c80319c")));
	CU_ASSERT_EQUAL(json_count(root), COUNT_OF(order));
	for (const struct json *each = json_first(root); each && number < COUNT_OF(order); each = json_next(each))
		CU_ASSERT_STRING_EQUAL(json_name(each), order[number++]);
	json_free(root);

	log_set_request(STR_NONE, STR_NONE);
	catch_stderr();
	log_info("nothing %s", "more");
	root = parse_caught();
	CU_ASSERT_PTR_NOT_NULL_FATAL(root);
	CU_ASSERT_EQUAL(json_count(root), 5);
	CU_ASSERT(says(root, "message", STR("nothing more")));
	json_free(root);
	log_set_format("text");
}

static unsigned long long state;

static size_t
below(size_t bound)
{
	state = state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (size_t)(state >> 33) % bound;
}

/* Mostly what has to be escaped: control characters, quotes, pieces of characters. */
static struct str
random_text(char *bytes, size_t most)
{
	static const char pieces[] = "\"\\\n\r\t\0\x1f\x7f\x80\xc3\xa9\xe2\x82\xac\xf0\x9f\x8e\xae\xff a=}{,:";
	size_t length = below(below(2) ? most : 40);

	for (size_t i = 0; i < length; i++)
		bytes[i] = below(2) ? pieces[below(sizeof(pieces) - 1)] : (char)below(256);
	return (struct str){bytes, length};
}

static void
test_random_json(void)
{
	static char bytes[FIELDS_MOST + 3][6000];
	struct log_field fields[FIELDS_MOST];

	log_set_format("json");
	for (int round = 0; round < 3000; round++) {
		size_t count = below(FIELDS_MOST + 1);
		char names[FIELDS_MOST][8];

		for (size_t i = 0; i < count; i++) {
			snprintf(names[i], sizeof(names[i]), "f_%c", (char)('a' + i));
			fields[i] = (struct log_field){.name = names[i], .number = (int64_t)below(1 << 30) - (1 << 29)};
			if (below(4))
				fields[i].text = random_text(bytes[i], 600);
		}
		log_set_request(random_text(bytes[FIELDS_MOST], 300), random_text(bytes[FIELDS_MOST + 1], 40));
		catch_stderr();
		log_fields(LOG_INFO, random_text(bytes[FIELDS_MOST + 2], 6000), fields, count);
		struct json *root = parse_caught();

		CU_ASSERT_PTR_NOT_NULL(root);
		CU_ASSERT(says(root, "level", STR("info")));
		if (count)
			CU_ASSERT_PTR_NOT_NULL(json_member(root, names[0]));
		json_free(root);
	}
	log_set_request(STR_NONE, STR_NONE);
	log_set_format("text");
}

/* --- the journal --- */

static char journal_path[96];
static int journal = -1;

/* A socket in the place of the journal's, and stderr a stream that it has given. */
static void
open_journal(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct stat status;
	char stream[64];

	snprintf(journal_path, sizeof(journal_path), "/tmp/battlepass-journal-%d", (int)getpid());
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", journal_path);
	journal = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	if (bind(journal, (const struct sockaddr *)&address, sizeof(address)) != 0)
		abort();
	catch_stderr();
	fstat(STDERR_FILENO, &status);
	snprintf(stream, sizeof(stream), "%" PRIuMAX ":%" PRIuMAX, (uintmax_t)status.st_dev, (uintmax_t)status.st_ino);
	setenv("JOURNAL_STREAM", stream, 1);
	log_set_journal(journal_path);
}

/* What came to stderr meanwhile. */
static const char *
shut_journal(void)
{
	const char *rest = caught();

	close(journal);
	unlink(journal_path);
	unsetenv("JOURNAL_STREAM");
	log_set_format("text");
	return rest;
}

/* An entry as the journal reads it. */
struct entry {
	char bytes[LOG_LINE_SIZE + 1];
	struct {
		struct str name;
		struct str value;
	} fields[LOG_FIELDS_MAX + 4];
	size_t count;
};

/* The protocol as it is documented: "NAME=value\n", or "NAME\n", eight bytes of length, the value and "\n". */
static bool
parse_entry(struct entry *entry, struct str rest)
{
	for (entry->count = 0; rest.len; entry->count++) {
		const char *end = memchr(rest.ptr, '\n', rest.len);
		const char *equals = end ? memchr(rest.ptr, '=', (size_t)(end - rest.ptr)) : NULL;
		struct str name = {rest.ptr, (size_t)((equals ? equals : end) - rest.ptr)};
		struct str value = {name.ptr + name.len + 1, (size_t)(end - name.ptr) - name.len - 1};

		if (!end || name.len == 0 || entry->count == COUNT_OF(entry->fields))
			return false;
		if (!equals) {
			uint64_t length = 0;

			if (rest.len < name.len + 1 + 8)
				return false;
			for (int i = 7; i >= 0; i--)
				length = length << 8 | (unsigned char)end[1 + i];
			value = (struct str){end + 1 + 8, (size_t)length};
			if (length >= rest.len - name.len - 1 - 8 || value.ptr[value.len] != '\n')
				return false;
			end = value.ptr + value.len;
		}
		for (size_t i = 0; i < name.len; i++)
			if (!(name.ptr[i] >= 'A' && name.ptr[i] <= 'Z') && name.ptr[i] != '_')
				return false;
		entry->fields[entry->count].name = name;
		entry->fields[entry->count].value = value;
		rest = (struct str){end + 1, rest.len - (size_t)(end + 1 - rest.ptr)};
	}
	return entry->count > 0;
}

static bool
receive_entry(struct entry *entry)
{
	ssize_t got = recv(journal, entry->bytes, sizeof(entry->bytes), 0);

	return got > 0 && got <= LOG_LINE_SIZE && parse_entry(entry, (struct str){entry->bytes, (size_t)got});
}

/* It stands in the entry once, with this value. */
static bool
holds(const struct entry *entry, const char *name, struct str value)
{
	size_t found = 0;
	bool right = true;

	for (size_t i = 0; i < entry->count; i++) {
		if (!str_equal(entry->fields[i].name, str_from(name)))
			continue;
		found++;
		right = right && str_equal(entry->fields[i].value, value);
	}
	return found == 1 && right;
}

static void
test_journal(void)
{
	const struct log_field fields[] = {
		{"route", STR("/v1/seasons"), 0},
		{"two_lines", STR("one\nPRIORITY=0"), 0},
		{"status", no_text, 503},
	};
	struct entry entry;

	open_journal();
	CU_ASSERT(log_set_format("auto"));
	log_set_request(STR("req-1"), STR("0af7651916cd43dd8448eb211c80319c"));
	log_fields(LOG_WARNING, STR("first\nMESSAGE=second\tthird\001\xff"), fields, COUNT_OF(fields));
	log_set_request(STR_NONE, STR_NONE);
	log_error("%s", "a line");
	CU_ASSERT_FATAL(receive_entry(&entry));
	CU_ASSERT_EQUAL(entry.count, 9);
	CU_ASSERT(holds(&entry, "MESSAGE", STR("first\nMESSAGE=second\tthird ?")));
	CU_ASSERT(holds(&entry, "PRIORITY", STR("4")));
	CU_ASSERT(holds(&entry, "SYSLOG_IDENTIFIER", STR("battlepassd")));
	CU_ASSERT(holds(&entry, "BATTLEPASS_ROLE", STR("tester")));
	CU_ASSERT(holds(&entry, "BATTLEPASS_ROUTE", STR("/v1/seasons")));
	CU_ASSERT(holds(&entry, "BATTLEPASS_TWO_LINES", STR("one\nPRIORITY=0")));
	CU_ASSERT(holds(&entry, "BATTLEPASS_STATUS", STR("503")));
	CU_ASSERT(holds(&entry, "REQUEST_ID", STR("req-1")));
	CU_ASSERT(holds(&entry, "TRACE_ID", STR("0af7651916cd43dd8448eb211c80319c")));
	CU_ASSERT_FATAL(receive_entry(&entry));
	CU_ASSERT_EQUAL(entry.count, 4);
	CU_ASSERT(holds(&entry, "MESSAGE", STR("a line")));
	CU_ASSERT(holds(&entry, "PRIORITY", STR("3")));
	CU_ASSERT_STRING_EQUAL(shut_journal(), "");
}

static void
test_random_entries(void)
{
	static char bytes[FIELDS_MOST + 2][6000];
	struct log_field fields[FIELDS_MOST];
	struct entry entry;

	open_journal();
	log_set_format("auto");
	for (int round = 0; round < 3000; round++) {
		size_t count = below(FIELDS_MOST + 1);

		for (size_t i = 0; i < count; i++)
			fields[i] = (struct log_field){.name = "field", .text = random_text(bytes[i], 600)};
		log_set_request(random_text(bytes[FIELDS_MOST], 300), STR_NONE);
		log_fields(LOG_DEBUG, STR("not wanted"), fields, count);
		log_fields(LOG_INFO, random_text(bytes[FIELDS_MOST + 1], 6000), fields, count);
		CU_ASSERT(receive_entry(&entry));
		CU_ASSERT(holds(&entry, "PRIORITY", STR("6")));
		CU_ASSERT(entry.count >= 4 && entry.count <= 5 + count);
	}
	log_set_request(STR_NONE, STR_NONE);
	CU_ASSERT_STRING_EQUAL(shut_journal(), "");
}

/* Without the journal, or where it does not take an entry, the line is on stderr, in JSON. */
static void
test_without_journal(void)
{
	static const struct {
		const char *format, *stream, *path;
		char first; /* of the line on stderr; NUL: there is none */
	} cases[] = {
		{"auto", NULL, NULL, '\0'},
		{"auto", NULL, "/tmp/battlepass-journal/nowhere", '{'},
		{"auto", NULL,
		 "/tmp/a-path-that-is-longer-than-any-address-of-a-socket-can-ever-be-so-that-nobody-can-"
		 "listen-there-whatever-happens",
		 '{'},
		{"auto", "1:1", NULL, '{'},
		{"auto", "", NULL, '{'},
		{"json", NULL, NULL, '{'},
		{"text", NULL, NULL, '2'},
	};

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct entry entry;

		open_journal();
		if (cases[i].stream)
			setenv("JOURNAL_STREAM", cases[i].stream, 1);
		if (cases[i].path)
			log_set_journal(cases[i].path);
		log_set_format(cases[i].format);
		log_info("a line");
		CU_ASSERT_EQUAL(receive_entry(&entry), cases[i].first == '\0');
		CU_ASSERT_EQUAL(shut_journal()[0], cases[i].first);
	}
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"a line", test_line},
		{"nothing forges a line", test_nothing_forges_a_line},
		{"long lines are cut", test_long_lines_are_cut},
		{"levels", test_levels},
		{"names of levels and forms", test_level_names},
		{"fields of a text", test_text_fields},
		{"JSON", test_json},
		{"JSON of random bytes", test_random_json},
		{"the journal", test_journal},
		{"the journal and random bytes", test_random_entries},
		{"without the journal", test_without_journal},
		CU_TEST_INFO_NULL,
	};

	state = tap_seed();
	log_set_role("tester");
	return tap_main("base/log", tests);
}
