/* Buffers against snprintf and, for JSON strings, against the strict reader. */
#include "base/buf.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/json.h"
#include "tap.h"

enum { HISTORIES = 20000 };

static uint64_t
random_u64(void)
{
	uint64_t bits = (uint64_t)random() << 42 ^ (uint64_t)random() << 21 ^ (uint64_t)random();

	return bits >> random() % 64;
}

static void
test_empty(void)
{
	struct buf buf;

	buf_init(&buf);
	CU_ASSERT(buf_view(&buf).len == 0);
	buf_bytes(&buf, NULL, 0);
	buf_str(&buf, STR_NONE);
	buf_cstr(&buf, "");
	buf_hex(&buf, NULL, 0);
	CU_ASSERT_PTR_NOT_NULL(buf_reserve(&buf, 0));
	CU_ASSERT(buf.len == 0);
	CU_ASSERT_STRING_EQUAL(buf_text(&buf), "");
	buf_release(&buf);
	CU_ASSERT(buf.data == NULL && buf.len == 0 && buf.cap == 0);
	buf_release(&buf);
	CU_ASSERT_STRING_EQUAL(buf_text(&buf), "");
	buf_release(&buf);
}

static void
test_appends(void)
{
	struct buf buf;

	buf_init(&buf);
	buf_literal(&buf, "a\0b");
	buf_char(&buf, '-');
	buf_str(&buf, STR("str"));
	buf_cstr(&buf, "-cstr-");
	buf_format(&buf, "%s %d", "format", 42);
	buf_hex(&buf, "\x00\x0f\xf0\xff", 4);
	CU_ASSERT(str_equal(buf_view(&buf), STR("a\0b-str-cstr-format 42000ff0ff")));
	CU_ASSERT(strlen(buf_text(&buf) + 4) == buf.len - 4);
	buf_clear(&buf);
	buf_format(&buf, "%s", "");
	CU_ASSERT_STRING_EQUAL(buf_text(&buf), "");
	buf_release(&buf);
}

/* Grown in steps of every size the content stays what was put in, and the terminator never counts. */
static void
test_grows(void)
{
	struct buf buf;
	size_t expected = 0;

	buf_init(&buf);
	for (size_t step = 1; step < 700; step++) {
		char *room = buf_reserve(&buf, step);

		for (size_t i = 0; i < step; i++)
			room[i] = (char)('a' + (expected + i) % 26);
		buf.len += step;
		expected += step;
		CU_ASSERT(buf_text(&buf)[buf.len] == '\0');
		CU_ASSERT(buf.len == expected && buf.cap > buf.len);
	}
	bool same = true;

	for (size_t i = 0; i < expected; i++)
		same = same && buf.data[i] == (char)('a' + i % 26);
	CU_ASSERT(same);
	buf_release(&buf);
}

static void
test_format_grows(void)
{
	struct buf buf;

	buf_init(&buf);
	for (int width = 1; width < 5000; width += 37) {
		buf_clear(&buf);
		buf_format(&buf, "%*d", width, 7);
		CU_ASSERT(buf.len == (size_t)width && buf.data[width - 1] == '7');
	}
	buf_release(&buf);
}

/* Behind so many bytes that it just fits, or just does not. */
static void
test_format_at_the_edge(void)
{
	for (size_t before = 0; before < 600; before++) {
		struct buf buf;

		buf_init(&buf);
		for (size_t i = 0; i < before; i++)
			buf_char(&buf, 'x');
		buf_format(&buf, "%d.%s", 1234567, "end");
		CU_ASSERT(buf.len == before + 11 && memcmp(buf.data + before, "1234567.end", 11) == 0);
		CU_ASSERT(before == 0 || (buf.data[0] == 'x' && buf.data[before - 1] == 'x'));
		buf_release(&buf);
	}
}

static void
check_number(struct buf *buf, uint64_t bits)
{
	char expected[64];

	snprintf(expected, sizeof(expected), "%" PRIu64 " %" PRId64, bits, (int64_t)bits);
	buf_clear(buf);
	buf_u64(buf, bits);
	buf_char(buf, ' ');
	buf_i64(buf, (int64_t)bits);
	CU_ASSERT(strcmp(buf_text(buf), expected) == 0);
}

static void
test_numbers(void)
{
	static const uint64_t edges[] = {0, 1, 9, 10, 99, 100, UINT32_MAX, INT64_MAX, (uint64_t)INT64_MIN, UINT64_MAX};
	struct buf buf;

	buf_init(&buf);
	srandom((unsigned)tap_seed());
	for (size_t i = 0; i < sizeof(edges) / sizeof(edges[0]); i++)
		check_number(&buf, edges[i]);
	for (unsigned i = 0; i < HISTORIES; i++) {
		uint64_t bits = random_u64();

		check_number(&buf, bits);
		check_number(&buf, 0 - bits);
	}
	buf_release(&buf);
}

static void
test_json_strings(void)
{
	static const struct {
		struct str text;
		const char *json;
	} cases[] = {
		{{NULL, 0}, "\"\""},
		{{"plain", 5}, "\"plain\""},
		{{"\"", 1}, "\"\\\"\""},
		{{"a\\b", 3}, "\"a\\\\b\""},
		{{"\b\t\n\f\r", 5}, "\"\\b\\t\\n\\f\\r\""},
		{{"x\x01y\x1fz", 5}, "\"x\\u0001y\\u001fz\""},
		{{"\0", 1}, "\"\\u0000\""},
		{{"/\x7f", 2}, "\"/\x7f\""},
		{{"\xe2\x82\xac\xf0\x9f\x8e\xae", 7}, "\"\xe2\x82\xac\xf0\x9f\x8e\xae\""},
		{{"\"\"", 2}, "\"\\\"\\\"\""},
	};
	struct buf buf;

	buf_init(&buf);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		buf_clear(&buf);
		buf_json_string(&buf, cases[i].text);
		CU_ASSERT_STRING_EQUAL(buf_text(&buf), cases[i].json);
	}
	buf_release(&buf);
}

/* What is written, the strict reader reads back. */
static void
test_json_strings_come_back(void)
{
	static const char *const pieces[] = {
		"a", "\"", "\\", "\x01", "\x1f", "\n", "\x7f", "/", "\xc3\xa9", "\xed\x9f\xbf", "\xf4\x8f\xbf\xbf"};
	struct buf text;
	struct buf json;

	buf_init(&text);
	buf_init(&json);
	srandom((unsigned)tap_seed());
	for (unsigned i = 0; i < HISTORIES; i++) {
		struct json *root = NULL;
		struct str back = STR_NONE;

		buf_clear(&text);
		buf_clear(&json);
		for (long left = random() % 20; left > 0; left--)
			buf_cstr(&text, pieces[(size_t)random() % (sizeof(pieces) / sizeof(pieces[0]))]);
		buf_json_string(&json, buf_view(&text));
		CU_ASSERT_FATAL(json_parse(buf_view(&json), &root, NULL) == ERR_OK);
		CU_ASSERT(json_get_string(root, &back) && str_equal(back, buf_view(&text)));
		json_free(root);
	}
	buf_release(&text);
	buf_release(&json);
}

static void
test_time(void)
{
	struct buf buf;

	buf_init(&buf);
	/* Short of room by the one byte of the terminator. */
	buf_reserve(&buf, 256);
	buf.len = 256 - 24;
	memset(buf.data, 'x', buf.len);
	buf_time(&buf, INT64_C(1769860800123));
	CU_ASSERT_STRING_EQUAL(buf_text(&buf) + 256 - 24, "2026-01-31T12:00:00.123Z");
	CU_ASSERT(buf.len == 256);
	buf_release(&buf);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"empty", test_empty},
		{"appends", test_appends},
		{"grows", test_grows},
		{"format grows", test_format_grows},
		{"format at the edge", test_format_at_the_edge},
		{"numbers are what printf prints", test_numbers},
		{"JSON strings", test_json_strings},
		{"JSON strings come back from the reader", test_json_strings_come_back},
		{"time", test_time},
		CU_TEST_INFO_NULL,
	};

	return tap_main("base/buf", tests);
}
