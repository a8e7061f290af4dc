/* The log: one line an event, whatever is in the message, and never more than a line's length. */
#include "base/log.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "tap.h"

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
	log_error("%s", "a\nb\rc\td\033[31me\177f\001g");
	const char *message = message_of(caught(), "error");

	CU_ASSERT_PTR_NOT_NULL_FATAL(message);
	CU_ASSERT_STRING_EQUAL(message, "a b c d [31me f g\n");
	catch_stderr();
	log_error("%s", "\xc3\xa9 and \xf0\x9f\x8e\xae");
	message = message_of(caught(), "error");
	CU_ASSERT_PTR_NOT_NULL_FATAL(message);
	CU_ASSERT_STRING_EQUAL(message, "\xc3\xa9 and \xf0\x9f\x8e\xae\n");
}

static void
test_long_lines_are_cut(void)
{
	static char message[4000];

	for (size_t length = 900; length < sizeof(message); length += 1 + length / 100) {
		memset(message, 'm', length);
		message[length] = '\0';
		catch_stderr();
		log_info("%s", message);
		const char *line = caught();
		size_t size = strlen(line);

		CU_ASSERT(size > 900 && size <= 1024);
		CU_ASSERT_EQUAL(line[size - 1], '\n');
		CU_ASSERT_PTR_EQUAL(strchr(line, '\n'), line + size - 1);
	}
}

static void
test_levels(void)
{
	static const struct {
		enum log_level level;
		unsigned lines;
	} cases[] = {{LOG_ERROR, 1}, {LOG_WARNING, 2}, {LOG_INFO, 3}, {LOG_DEBUG, 4}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
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
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"a line", test_line},
		{"nothing forges a line", test_nothing_forges_a_line},
		{"long lines are cut", test_long_lines_are_cut},
		{"levels", test_levels},
		{"names of levels", test_level_names},
		CU_TEST_INFO_NULL,
	};

	log_set_role("tester");
	return tap_main("base/log", tests);
}
