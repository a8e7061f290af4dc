/* The traceparent header: what is one to the letter, and what goes on from it. */
#include "base/trace.h"

#include <stdio.h>

#include "tap.h"

#define COUNT_OF(table) (sizeof(table) / sizeof((table)[0]))
#define TEXT(literal)                                                                                                  \
	{                                                                                                              \
		(literal), sizeof(literal) - 1                                                                         \
	}
#define TRACE "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-"

static void
test_valid(void)
{
	static const struct {
		struct str text;
		bool good;
	} cases[] = {
		{TEXT("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), true},
		{TEXT("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"), true},
		{TEXT("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff"), true},
		{TEXT("00-00000000000000000000000000000000-b7ad6b7169203331-01"), false},
		{TEXT("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01"), false},
		{TEXT("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), false},
		{TEXT("ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), false},
		{TEXT("00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), false},
		{TEXT("00-0af7651916cd43dd8448eb211c80319c-B7ad6b7169203331-01"), false},
		{TEXT("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0A"), false},
		{TEXT("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0g"), false},
		{TEXT("00-0af7651916cd43dd8448eb211c80319g-b7ad6b7169203331-01"), false},
		{TEXT("00-0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331-01"), false},
		{TEXT("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331_01"), false},
		{TEXT("00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), false},
		{TEXT("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1"), false},
		{TEXT("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\n"), false},
		{TEXT("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x"), false},
		{TEXT(""), false},
	};

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		if (trace_valid(cases[i].text) != cases[i].good)
			printf("# traceparent %s\n", cases[i].text.ptr);
		CU_ASSERT_EQUAL(trace_valid(cases[i].text), cases[i].good);
	}
}

/* A byte that is changed in any place is still a header only where it is a digit among digits. */
static void
test_each_byte(void)
{
	for (size_t at = 0; at < sizeof(TRACE "01") - 1; at++) {
		for (int c = 0; c < 256; c++) {
			char text[] = TRACE "01";
			bool is_digit = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');

			text[at] = (char)c;
			CU_ASSERT_EQUAL(trace_valid((struct str){text, sizeof(text) - 1}),
					c == (TRACE "01")[at] || (is_digit && at > 2 && at != 35 && at != 52));
		}
	}
}

static void
test_id(void)
{
	CU_ASSERT(str_equal(trace_id(STR(TRACE "01")), STR("0af7651916cd43dd8448eb211c80319c")));
	CU_ASSERT_EQUAL(trace_id(STR_NONE).len, 0);
}

static void
test_onward(void)
{
	static const char *const flags[] = {"00", "01", "ff"};
	char text[TRACE_TEXT_SIZE], again[TRACE_TEXT_SIZE], from[TRACE_TEXT_SIZE];

	for (size_t i = 0; i < COUNT_OF(flags); i++) {
		snprintf(from, sizeof(from), TRACE "%s", flags[i]);
		trace_onward(str_from(from), text);
		CU_ASSERT(trace_valid(str_from(text)));
		CU_ASSERT_EQUAL(strncmp(text, from, 36), 0);
		CU_ASSERT_STRING_EQUAL(text + 52, from + 52);
		CU_ASSERT(strncmp(text + 36, from + 36, 16) != 0);
		trace_onward(str_from(from), again);
		CU_ASSERT(strcmp(text, again) != 0);
	}
}

static void
test_new_trace(void)
{
	static const struct str texts[] = {
		{NULL, 0},
		TEXT(""),
		TEXT("00-00000000000000000000000000000000-b7ad6b7169203331-01"),
		TEXT(TRACE "01\r\nX-Forged: 1"),
		TEXT("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
	};
	char before[TRACE_TEXT_SIZE] = "";

	for (size_t i = 0; i < COUNT_OF(texts); i++) {
		char text[TRACE_TEXT_SIZE];

		trace_onward(texts[i], text);
		CU_ASSERT(trace_valid(str_from(text)));
		CU_ASSERT_STRING_EQUAL(text + 52, "-00");
		CU_ASSERT_PTR_NULL(strstr(text, "0af7651916cd43dd8448eb211c80319c"));
		CU_ASSERT(strncmp(text, before, 35) != 0);
		memcpy(before, text, sizeof(before));
	}
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"what is one", test_valid}, {"each byte of it", test_each_byte}, {"its trace", test_id},
		{"onward", test_onward},     {"a new trace", test_new_trace},     CU_TEST_INFO_NULL,
	};

	return tap_main("base/trace", tests);
}
