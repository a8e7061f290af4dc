/*
 * The strict reader against tables of what RFC 8259 allows and forbids, and against documents made at random: every one
 * that is made well must come back as it was made, and no damage to one may crash the reader or slip past it as
 * something that is not JSON.
 */
#include "base/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/buf.h"
#include "tap.h"

enum { LARGE = 1 << 20, HISTORIES = 3000, MUTATIONS = 20 };

#define TEXT(literal) literal, sizeof(literal) - 1

struct text_case {
	const char *text;
	size_t len;
};

static const struct text_case accepted[] = {
	/* values and space around them */
	{TEXT("null")},
	{TEXT("true")},
	{TEXT("false")},
	{TEXT(" \t\r\n null \t\r\n ")},
	{TEXT("[]")},
	{TEXT("{}")},
	{TEXT("[ ]")},
	{TEXT("{ }")},
	{TEXT("\"\"")},
	{TEXT("0")},
	/* arrays and objects */
	{TEXT("[null]")},
	{TEXT("[1,\n2 , \t3]")},
	{TEXT("[[],{},[{}]]")},
	{TEXT("[\"a\",1,null,true,{\"b\":[]}]")},
	{TEXT("{\"\":0}")},
	{TEXT("{\"a\" : 1 , \"b\" : 2}")},
	{TEXT("{\"a\":1,\"A\":2}")},
	{TEXT("{\"a\":{\"a\":{\"a\":1}}}")},
	{TEXT("[{\"a\":1},{\"a\":1}]")},
	{TEXT("{\"a\\u0020b\":1,\"a b \":2}")},
	/* numbers */
	{TEXT("-0")},
	{TEXT("-1")},
	{TEXT("10")},
	{TEXT("1234567890")},
	{TEXT("0.0")},
	{TEXT("-0.0")},
	{TEXT("0.10")},
	{TEXT("1.50")},
	{TEXT("1e5")},
	{TEXT("1E5")},
	{TEXT("1e+5")},
	{TEXT("1e-5")},
	{TEXT("0e0")},
	{TEXT("0E+00")},
	{TEXT("-1.25e-10")},
	{TEXT("1e00007")},
	{TEXT("1e400")},
	{TEXT("-1e400")},
	{TEXT("1e-400")},
	{TEXT("123456789012345678901234567890")},
	{TEXT("100000000000000000000000000000000000000000000000000000000000000")}, /* 63 bytes */
	/* strings */
	{TEXT("\"plain\"")},
	{TEXT("\" \x7f \"")},
	{TEXT("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"")},
	{TEXT("\"\\u0001\\u001f\\u0020\\u007F\"")},
	{TEXT("\"\\uabcd\\uABCD\\uAbCd\"")},
	{TEXT("\"\\ud83c\\udfae\"")},
	{TEXT("\"\\uD800\\uDC00\\uDBFF\\uDFFF\"")},
	{TEXT("\"\\uffff\\ufffe\"")},
	{TEXT("\"\\\\u0000\"")},
	{TEXT("\"// no comment /* at all */\"")},
	{TEXT("\"\xc2\x80\xdf\xbf\"")},
	{TEXT("\"\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf\"")},
	{TEXT("\"\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\"")},
	{TEXT("\"\xe2\x80\xa8\xe2\x80\xa9\xef\xbb\xbf\"")},
	{TEXT("{\"\xe2\x82\xac\":1}")},
};

static const struct {
	const char *text;
	size_t len;
	const char *detail;
} refused[] = {
	/* nothing, and not only one value */
	{TEXT(""), "a value is expected at byte 0"},
	{TEXT(" "), "a value is expected at byte 1"},
	{TEXT("\n\n"), "a value is expected at byte 2"},
	{TEXT("1 2"), "text behind the value at byte 2"},
	{TEXT("{} {}"), "text behind the value at byte 3"},
	{TEXT("[]]"), "text behind the value at byte 2"},
	{TEXT("{}}"), "text behind the value at byte 2"},
	{TEXT("null,"), "text behind the value at byte 4"},
	{TEXT("nullx"), "text behind the value at byte 4"},
	{TEXT("1\0"), "text behind the value at byte 1"},
	{TEXT("\0"), "a value is expected at byte 0"},
	{TEXT("[]#"), "text behind the value at byte 2"},
	{TEXT("[] // x"), "text behind the value at byte 3"},
	{TEXT("\xef\xbb\xbf{}"), "a value is expected at byte 0"},
	{TEXT("\xff\xfe[\0]\0"), "a value is expected at byte 0"},
	/* space that JSON does not know */
	{TEXT("\v1"), "a value is expected at byte 0"},
	{TEXT("\f1"), "a value is expected at byte 0"},
	{TEXT("\xc2\xa0"
	      "1"),
	 "a value is expected at byte 0"},
	{TEXT("[\xe2\x81\xa0]"), "a value is expected at byte 1"},
	{TEXT("[1\f]"), "a comma or ] is expected at byte 2"},
	/* literals */
	{TEXT("nul"), "a value is expected at byte 0"},
	{TEXT("NULL"), "a value is expected at byte 0"},
	{TEXT("True"), "a value is expected at byte 0"},
	{TEXT("tru"), "a value is expected at byte 0"},
	{TEXT("fals"), "a value is expected at byte 0"},
	{TEXT("falsy"), "a value is expected at byte 0"},
	{TEXT("undefined"), "a value is expected at byte 0"},
	{TEXT("NaN"), "a value is expected at byte 0"},
	{TEXT("Infinity"), "a value is expected at byte 0"},
	{TEXT("nan"), "a value is expected at byte 0"},
	/* arrays */
	{TEXT("["), "a value is expected at byte 1"},
	{TEXT("[1"), "a comma or ] is expected at byte 2"},
	{TEXT("[1,"), "a value is expected at byte 3"},
	{TEXT("[1,]"), "a value is expected at byte 3"},
	{TEXT("[,1]"), "a value is expected at byte 1"},
	{TEXT("[,]"), "a value is expected at byte 1"},
	{TEXT("[1,,2]"), "a value is expected at byte 3"},
	{TEXT("[1 2]"), "a comma or ] is expected at byte 3"},
	{TEXT("[1;2]"), "a comma or ] is expected at byte 2"},
	{TEXT("[1}"), "a comma or ] is expected at byte 2"},
	{TEXT("[\"a\":1]"), "a comma or ] is expected at byte 4"},
	{TEXT("[*]"), "a value is expected at byte 1"},
	{TEXT("]"), "a value is expected at byte 0"},
	{TEXT("[[]"), "a comma or ] is expected at byte 3"},
	{TEXT("[/**/]"), "a value is expected at byte 1"},
	/* objects */
	{TEXT("{"), "a member name is expected at byte 1"},
	{TEXT("}"), "a value is expected at byte 0"},
	{TEXT("{]"), "a member name is expected at byte 1"},
	{TEXT("{1:1}"), "a member name is expected at byte 1"},
	{TEXT("{a:1}"), "a member name is expected at byte 1"},
	{TEXT("{'a':1}"), "a member name is expected at byte 1"},
	{TEXT("{null:1}"), "a member name is expected at byte 1"},
	{TEXT("{[]:1}"), "a member name is expected at byte 1"},
	{TEXT("{\"a\"}"), "a colon is expected at byte 4"},
	{TEXT("{\"a\""), "a colon is expected at byte 4"},
	{TEXT("{\"a\",1}"), "a colon is expected at byte 4"},
	{TEXT("{\"a\" 1}"), "a colon is expected at byte 5"},
	{TEXT("{\"a\"=1}"), "a colon is expected at byte 4"},
	{TEXT("{\"a\":}"), "a value is expected at byte 5"},
	{TEXT("{\"a\":"), "a value is expected at byte 5"},
	{TEXT("{\"a\"::1}"), "a value is expected at byte 5"},
	{TEXT("{\"a\":1"), "a comma or } is expected at byte 6"},
	{TEXT("{\"a\":1]"), "a comma or } is expected at byte 6"},
	{TEXT("{\"a\":1,}"), "a member name is expected at byte 7"},
	{TEXT("{\"a\":1,"), "a member name is expected at byte 7"},
	{TEXT("{,\"a\":1}"), "a member name is expected at byte 1"},
	{TEXT("{\"a\":1,,\"b\":2}"), "a member name is expected at byte 7"},
	{TEXT("{\"a\":1 \"b\":2}"), "a comma or } is expected at byte 7"},
	{TEXT("{\"a\":1/**/}"), "a comma or } is expected at byte 6"},
	/* numbers */
	{TEXT("-"), "a digit is expected at byte 1"},
	{TEXT("--1"), "a digit is expected at byte 1"},
	{TEXT("+1"), "a value is expected at byte 0"},
	{TEXT("- 1"), "a digit is expected at byte 1"},
	{TEXT("-a"), "a digit is expected at byte 1"},
	{TEXT("-Infinity"), "a digit is expected at byte 1"},
	{TEXT("01"), "text behind the value at byte 1"},
	{TEXT("-01"), "text behind the value at byte 2"},
	{TEXT("00"), "text behind the value at byte 1"},
	{TEXT("1."), "a digit is expected at byte 2"},
	{TEXT("1.e1"), "a digit is expected at byte 2"},
	{TEXT(".5"), "a value is expected at byte 0"},
	{TEXT("-.5"), "a digit is expected at byte 1"},
	{TEXT("1.2.3"), "text behind the value at byte 3"},
	{TEXT("1e"), "a digit is expected at byte 2"},
	{TEXT("1e+"), "a digit is expected at byte 3"},
	{TEXT("1e+-1"), "a digit is expected at byte 3"},
	{TEXT("1ee1"), "a digit is expected at byte 2"},
	{TEXT("1e1.5"), "text behind the value at byte 3"},
	{TEXT("0x10"), "text behind the value at byte 1"},
	{TEXT("1_000"), "text behind the value at byte 1"},
	{TEXT("1 000"), "text behind the value at byte 2"},
	{TEXT("1,5"), "text behind the value at byte 1"},
	{TEXT("[1a]"), "a comma or ] is expected at byte 2"},
	{TEXT("\xef\xbc\x91"), "a value is expected at byte 0"},
	{TEXT("[1,1000000000000000000000000000000000000000000000000000000000000000]"), /* 64 bytes */
	 "the number has too many digits at byte 3"},
	/* strings */
	{TEXT("\""), "the string has no end at byte 1"},
	{TEXT("\"a"), "the string has no end at byte 2"},
	{TEXT("\"a\\\""), "the string has no end at byte 4"},
	{TEXT("\"a\0"), "control character in a string at byte 2"},
	{TEXT("'a'"), "a value is expected at byte 0"},
	{TEXT("\"a\"\""), "text behind the value at byte 3"},
	{TEXT("\"\n\""), "control character in a string at byte 1"},
	{TEXT("\"\t\""), "control character in a string at byte 1"},
	{TEXT("\"ab\x1f\""), "control character in a string at byte 3"},
	{TEXT("\"a\0b\""), "control character in a string at byte 2"},
	{TEXT("{\"a\nb\":1}"), "control character in a string at byte 3"},
	/* escapes */
	{TEXT("\"\\"), "unknown escape at byte 2"},
	{TEXT("\"\\x41\""), "unknown escape at byte 2"},
	{TEXT("\"\\a\""), "unknown escape at byte 2"},
	{TEXT("\"\\'\""), "unknown escape at byte 2"},
	{TEXT("\"\\0\""), "unknown escape at byte 2"},
	{TEXT("\"\\N\""), "unknown escape at byte 2"},
	{TEXT("\"\\U0041\""), "unknown escape at byte 2"},
	{TEXT("\"\\\n\""), "unknown escape at byte 2"},
	{TEXT("\"\\\xc3\xa9\""), "unknown escape at byte 2"},
	{TEXT("\\u0041"), "a value is expected at byte 0"},
	{TEXT("\"\\u\""), "\\u without four hexadecimal digits at byte 3"},
	{TEXT("\"\\u004\""), "\\u without four hexadecimal digits at byte 6"},
	{TEXT("\"\\u00"), "\\u without four hexadecimal digits at byte 5"},
	{TEXT("\"\\u00g0\""), "\\u without four hexadecimal digits at byte 5"},
	{TEXT("\"\\u-041\""), "\\u without four hexadecimal digits at byte 3"},
	{TEXT("\"\\u 041\""), "\\u without four hexadecimal digits at byte 3"},
	{TEXT("\"ab\\u0000\""), "\\u0000 is not taken at byte 3"},
	{TEXT("{\"\\u0000\":1}"), "\\u0000 is not taken at byte 2"},
	/* surrogates */
	{TEXT("\"\\ud800\""), "half of a surrogate pair at byte 1"},
	{TEXT("\"x\\udc00\""), "half of a surrogate pair at byte 2"},
	{TEXT("\"\\ud800\\n\""), "half of a surrogate pair at byte 1"},
	{TEXT("\"\\ud800x\""), "half of a surrogate pair at byte 1"},
	{TEXT("\"\\ud800\\u0041\""), "half of a surrogate pair at byte 1"},
	{TEXT("\"\\ud800\\u0000\""), "half of a surrogate pair at byte 1"},
	{TEXT("\"\\ud800\\ud800\""), "half of a surrogate pair at byte 1"},
	{TEXT("\"\\ud83c\\udfae\\udfae\""), "half of a surrogate pair at byte 13"},
	{TEXT("\"\\udfae\\ud83c\""), "half of a surrogate pair at byte 1"},
	{TEXT("\"\\ud800\\u\""), "\\u without four hexadecimal digits at byte 9"},
	{TEXT("\"\\ud800\\"), "half of a surrogate pair at byte 1"},
	{TEXT("\"\\ud800"), "half of a surrogate pair at byte 1"},
	/* UTF-8 */
	{TEXT("\"\x80\""), "not UTF-8 at byte 1"},
	{TEXT("\"a\xbf\""), "not UTF-8 at byte 2"},
	{TEXT("\"\xc0\x80\""), "not UTF-8 at byte 1"},
	{TEXT("\"\xc1\xbf\""), "not UTF-8 at byte 1"},
	{TEXT("\"\xc2\""), "not UTF-8 at byte 1"},
	{TEXT("\"\xc2"), "not UTF-8 at byte 1"},
	{TEXT("\"\xc3\x28\""), "not UTF-8 at byte 1"},
	{TEXT("\"\xe0\x80\xaf\""), "not UTF-8 at byte 1"},
	{TEXT("\"\xe0\x9f\xbf\""), "not UTF-8 at byte 1"},
	{TEXT("\"\xe2\x82\""), "not UTF-8 at byte 1"},
	{TEXT("\"\xe2\x82"), "not UTF-8 at byte 1"},
	{TEXT("\"\xe2\x28\xa1\""), "not UTF-8 at byte 1"},
	{TEXT("\"\xed\xa0\x80\""), "not UTF-8 at byte 1"},
	{TEXT("\"\xed\xbf\xbf\""), "not UTF-8 at byte 1"},
	{TEXT("\"\xf0\x80\x80\xaf\""), "not UTF-8 at byte 1"},
	{TEXT("\"\xf0\x8f\xbf\xbf\""), "not UTF-8 at byte 1"},
	{TEXT("\"\xf0\x9f\x8e\""), "not UTF-8 at byte 1"},
	{TEXT("\"\xf4\x90\x80\x80\""), "not UTF-8 at byte 1"},
	{TEXT("\"\xf5\x80\x80\x80\""), "not UTF-8 at byte 1"},
	{TEXT("\"\xf8\x88\x80\x80\x80\""), "not UTF-8 at byte 1"},
	{TEXT("\"\xfe\""), "not UTF-8 at byte 1"},
	{TEXT("\"\xff\""), "not UTF-8 at byte 1"},
	{TEXT("{\"\xe9\":1}"), "not UTF-8 at byte 2"},
	{TEXT("[\xff]"), "a value is expected at byte 1"},
	/* names that stand twice */
	{TEXT("{\"a\":1,\"a\":1}"), "a member name stands twice at byte 7"},
	{TEXT("{\"a\":1,\"b\":2,\"a\":3}"), "a member name stands twice at byte 13"},
	{TEXT("{\"\":1,\"\":1}"), "a member name stands twice at byte 6"},
	{TEXT("{\"a\":1,\"\\u0061\":1}"), "a member name stands twice at byte 7"},
	{TEXT("{\"\\u20ac\":1, \"\xe2\x82\xac\":1}"), "a member name stands twice at byte 13"},
	{TEXT("{\"\\/\":1,\"/\":1}"), "a member name stands twice at byte 8"},
	{TEXT("[{\"a\":{\"b\":[{\"c\":1},{\"c\":1,\"d\":2,\"c\":3}]}}]"), "a member name stands twice at byte 33"},
	{TEXT("{\"x\":{\"a\":0},\"y\":{\"a\":0,\"a\":0},\"x\":0}"), "a member name stands twice at byte 31"},
};

/* json_parse on a copy that ends where the text ends, so that reading beyond it is seen. */
static enum err
parse_copy(const char *text, size_t len, struct json **ret_root, char *detail)
{
	char *copy = malloc(len ? len : 1);
	enum err err;

	if (len)
		memcpy(copy, text, len);
	err = json_parse((struct str){copy, len}, ret_root, detail);
	free(copy);
	return err;
}

static void
test_accepts(void)
{
	for (size_t i = 0; i < sizeof(accepted) / sizeof(accepted[0]); i++) {
		struct json *root = NULL;
		char detail[JSON_DETAIL_SIZE] = "";
		enum err err = parse_copy(accepted[i].text, accepted[i].len, &root, detail);

		CU_ASSERT(err == ERR_OK);
		if (err)
			printf("# refused: %s (%s)\n", accepted[i].text, detail);
		else
			CU_ASSERT_PTR_NOT_NULL(root);
		json_free(root);
	}
}

static void
test_refuses(void)
{
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		struct json *root = (struct json *)&i;
		char detail[JSON_DETAIL_SIZE] = "";
		enum err err = parse_copy(refused[i].text, refused[i].len, &root, detail);
		bool good = err == ERR_MALFORMED_JSON && strcmp(detail, refused[i].detail) == 0;

		CU_ASSERT(good);
		CU_ASSERT_PTR_EQUAL(root, &i);
		if (!good)
			printf("# %s: %s, not: %s\n", refused[i].text, err ? detail : "accepted", refused[i].detail);
		CU_ASSERT(parse_copy(refused[i].text, refused[i].len, &root, NULL) == ERR_MALFORMED_JSON);
	}
}

/* Whatever is cut from a document whose last byte closes it is no document. */
static void
test_refuses_every_beginning(void)
{
	static const char text[] =
		"{\"a\":[1,-2.5e3,\"x\\ud83c\\udfae\xe2\x82\xac\",true,null,{}],\"b\":{\"c\":false}}";

	for (size_t len = 0; len < sizeof(text) - 1; len++) {
		struct json *root = NULL;

		CU_ASSERT(parse_copy(text, len, &root, NULL) == ERR_MALFORMED_JSON);
		CU_ASSERT_PTR_NULL(root);
	}
}

static enum err
parse_nested(unsigned depth, const char *open, const char *close)
{
	struct buf text;
	struct json *root = NULL;
	enum err err;

	buf_init(&text);
	for (unsigned i = 0; i < depth; i++)
		buf_cstr(&text, open);
	buf_cstr(&text, "0");
	for (unsigned i = 0; i < depth; i++)
		buf_cstr(&text, close);
	err = json_parse(buf_view(&text), &root, NULL);
	json_free(root);
	buf_release(&text);
	return err;
}

static void
test_depth(void)
{
	CU_ASSERT(parse_nested(JSON_DEPTH_MAX, "[", "]") == ERR_OK);
	CU_ASSERT(parse_nested(JSON_DEPTH_MAX, "{\"a\":", "}") == ERR_OK);
	CU_ASSERT(parse_nested(JSON_DEPTH_MAX + 1, "[", "]") == ERR_MALFORMED_JSON);
	CU_ASSERT(parse_nested(JSON_DEPTH_MAX + 1, "{\"a\":", "}") == ERR_MALFORMED_JSON);
	CU_ASSERT(parse_nested(LARGE / 2, "[", "]") == ERR_MALFORMED_JSON);

	char detail[JSON_DETAIL_SIZE];
	struct json *root;

	CU_ASSERT(json_parse(STR("[[],[[[[[[[[[[[[[[[ [1] ]]]]]]]]]]]]]]]]"), &root, detail) == ERR_MALFORMED_JSON);
	CU_ASSERT_STRING_EQUAL(detail, "nested too deeply at byte 20");
}

static void
test_depth_counts_what_is_open(void)
{
	struct json *root = NULL;

	/* Many side by side are not deep. */
	CU_ASSERT(json_parse(STR("[[[]],[[]],[[]],[[]],[[]],[[]],[[]],[[]],[[]],[[]],[[]],[[]]]"), &root, NULL) ==
		  ERR_OK);
	CU_ASSERT(json_count(root) == 12);
	json_free(root);
}

static struct json *
must_parse(const char *text)
{
	struct json *root = NULL;

	CU_ASSERT_FATAL(json_parse(str_from(text), &root, NULL) == ERR_OK);
	return root;
}

static void
test_reads_the_tree(void)
{
	struct json *root =
		must_parse("{\"name\":\"a\\u0041\\n\",\"Name\":true,\"list\":[1,\"x\",null,{}],\"none\":{}}");
	const struct json *list = json_member(root, "list");
	struct str text;
	bool flag = false;

	CU_ASSERT(json_type(root) == JSON_OBJECT);
	CU_ASSERT(json_count(root) == 4);
	CU_ASSERT(json_get_string(json_member(root, "name"), &text) && str_equal(text, STR("aA\n")));
	CU_ASSERT(json_get_bool(json_member(root, "Name"), &flag) && flag);
	CU_ASSERT_PTR_NULL(json_member(root, "NAME"));
	CU_ASSERT_PTR_NULL(json_member(root, "nam"));
	CU_ASSERT_PTR_NULL(json_member(list, "x"));
	CU_ASSERT_PTR_NULL(json_member(NULL, "x"));
	CU_ASSERT_STRING_EQUAL(json_name(list), "list");
	CU_ASSERT_PTR_NULL(json_name(root));
	CU_ASSERT_PTR_NULL(json_name(json_first(list)));
	CU_ASSERT_PTR_NULL(json_name(NULL));

	static const enum json_type types[] = {JSON_NUMBER, JSON_STRING, JSON_NULL, JSON_OBJECT};
	const struct json *child = json_first(list);

	for (size_t i = 0; i < 4; i++, child = json_next(child))
		CU_ASSERT(json_type(child) == types[i]);
	CU_ASSERT_PTR_NULL(child);
	CU_ASSERT_PTR_NULL(json_next(NULL));
	CU_ASSERT_PTR_NULL(json_first(NULL));
	CU_ASSERT_PTR_NULL(json_first(json_member(root, "none")));
	CU_ASSERT_PTR_NULL(json_first(json_member(root, "name")));
	CU_ASSERT(json_count(json_member(root, "none")) == 0);
	CU_ASSERT(json_type(json_member(root, "none")) == JSON_OBJECT);
	CU_ASSERT(json_type(list) == JSON_ARRAY);
	json_free(root);
	json_free(NULL);
}

static void
test_getters_refuse_other_types(void)
{
	struct json *root = must_parse("[null,true,1,\"1\",[1],{\"a\":1}]");

	for (const struct json *node = json_first(root); node; node = json_next(node)) {
		struct str text = STR("untouched");
		bool flag = false;
		int64_t integer = 77;

		CU_ASSERT(json_get_string(node, &text) == (json_type(node) == JSON_STRING));
		CU_ASSERT(str_equal(text, json_type(node) == JSON_STRING ? STR("1") : STR("untouched")));
		CU_ASSERT(json_get_bool(node, &flag) == (json_type(node) == JSON_BOOL));
		CU_ASSERT(flag == (json_type(node) == JSON_BOOL));
		CU_ASSERT(json_get_integer(node, &integer) == (json_type(node) == JSON_NUMBER));
		CU_ASSERT(integer == (json_type(node) == JSON_NUMBER ? 1 : 77));
	}
	struct str text;
	bool flag;
	int64_t integer;

	CU_ASSERT_FALSE(json_get_string(NULL, &text));
	CU_ASSERT_FALSE(json_get_bool(NULL, &flag));
	CU_ASSERT_FALSE(json_get_integer(NULL, &integer));
	json_free(root);
}

static void
test_integers(void)
{
	static const struct {
		const char *text;
		bool good;
		int64_t value;
	} cases[] = {
		{"0", true, 0},
		{"-0", true, 0},
		{"-0.0", true, 0},
		{"1e3", true, 1000},
		{"1.0", true, 1},
		{"-25.0e1", true, -250},
		{"100e-2", true, 1},
		{"2147483648", true, INT64_C(2147483648)},
		{"-2147483649", true, INT64_C(-2147483649)},
		{"999999999999999", true, JSON_INTEGER_MAX},
		{"-999999999999999", true, -JSON_INTEGER_MAX},
		{"1000000000000000", false, 0},
		{"-1000000000000000", false, 0},
		{"1e15", false, 0},
		{"9007199254740993", false, 0},
		{"9223372036854775807", false, 0},
		{"9223372036854775808", false, 0},
		{"-9223372036854775808", false, 0},
		{"18446744073709551617", false, 0},
		{"1e400", false, 0},
		{"-1e400", false, 0},
		{"1e-400", true, 0},
		{"0.5", false, 0},
		{"-1.5", false, 0},
		{"1e-1", false, 0},
		{"999999999999998.5", false, 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct json *root = must_parse(cases[i].text);
		int64_t value = 42;
		bool good = json_get_integer(root, &value);

		CU_ASSERT(good == cases[i].good && value == (good ? cases[i].value : 42));
		if (good != cases[i].good || value != (good ? cases[i].value : 42))
			printf("# %s gave %lld\n", cases[i].text, (long long)value);
		json_free(root);
	}
}

/* An object of `count` different names, then `last`. */
static enum err
parse_members(unsigned count, const char *last, char *detail, size_t *ret_last_at)
{
	struct buf text;
	struct json *root = NULL;
	enum err err;

	buf_init(&text);
	buf_char(&text, '{');
	for (unsigned i = 0; i < count; i++)
		buf_format(&text, "\"n%u\":{\"inner\":%u},", i, i);
	*ret_last_at = text.len;
	buf_format(&text, "\"%s\":0}", last);
	err = json_parse(buf_view(&text), &root, detail);
	CU_ASSERT(err || json_count(root) == count + 1);
	json_free(root);
	buf_release(&text);
	return err;
}

static void
test_twins_in_objects_of_every_size(void)
{
	for (unsigned count = 1; count < 60; count++) {
		char detail[JSON_DETAIL_SIZE] = "";
		char expected[JSON_DETAIL_SIZE];
		char name[16];
		size_t at;

		CU_ASSERT(parse_members(count, "other", detail, &at) == ERR_OK);
		for (unsigned twin = 0; twin < count; twin++) {
			snprintf(name, sizeof(name), "n%u", twin);
			CU_ASSERT(parse_members(count, name, detail, &at) == ERR_MALFORMED_JSON);
			snprintf(expected, sizeof(expected), "a member name stands twice at byte %zu", at);
			CU_ASSERT_STRING_EQUAL(detail, expected);
		}
	}
}

static void
test_first_twin_is_named(void)
{
	struct json *root;
	char detail[JSON_DETAIL_SIZE];
	static const char text[] = "{\"z\":1,\"b\":1,\"c\":1,\"d\":1,\"e\":1,\"f\":1,\"g\":1,\"h\":1,\"i\":1,\"j\":1,"
				   "\"k\":1,\"z\":1,\"b\":1,\"b\":1,\"z\":1}";

	CU_ASSERT(json_parse(str_from(text), &root, detail) == ERR_MALFORMED_JSON);
	CU_ASSERT_STRING_EQUAL(detail, "a member name stands twice at byte 67");
}

static int64_t
cpu_ms(void)
{
	return (int64_t)clock() * 1000 / CLOCKS_PER_SEC;
}

/* 1 MiB of members: comparing all pairs would take minutes. */
static void
test_many_members_are_not_quadratic(void)
{
	static const int widths[] = {1, 60};

	for (size_t form = 0; form < sizeof(widths) / sizeof(widths[0]); form++) {
		struct buf text;
		struct json *root = NULL;
		int64_t started = cpu_ms();

		buf_init(&text);
		buf_char(&text, '{');
		for (unsigned i = 0; text.len < LARGE; i++)
			buf_format(&text, "\"%0*x\":0,", widths[form], i);
		buf_literal(&text, "\"last\":0}");
		CU_ASSERT(json_parse(buf_view(&text), &root, NULL) == ERR_OK);
		CU_ASSERT(cpu_ms() - started < 5000);
		json_free(root);
		buf_release(&text);
	}
}

static void
test_large_documents(void)
{
	struct buf text;
	struct json *root = NULL;
	struct str string;
	size_t count = 0;

	buf_init(&text);
	buf_char(&text, '[');
	for (; text.len < LARGE; count++)
		buf_format(&text, "{\"player\":\"p-%zu\",\"amount\":%zu},", count, count);
	buf_literal(&text, "null]");
	CU_ASSERT_FATAL(json_parse(buf_view(&text), &root, NULL) == ERR_OK);
	CU_ASSERT(json_count(root) == count + 1);
	json_free(root);

	buf_clear(&text);
	buf_char(&text, '"');
	for (count = 0; text.len < LARGE; count++)
		buf_literal(&text, "\\ud83c\\udfae\xf0\x9f\x8e\xae");
	buf_char(&text, '"');
	CU_ASSERT_FATAL(json_parse(buf_view(&text), &root, NULL) == ERR_OK);
	CU_ASSERT(json_get_string(root, &string) && string.len == count * 8);
	CU_ASSERT(utf8_valid(string));
	json_free(root);
	buf_release(&text);
}

static unsigned
pick(unsigned below)
{
	return (unsigned)random() % below;
}

static void
make_string(struct buf *text, unsigned number)
{
	static const char *const pieces[] = {"a",
					     " ",
					     "\\n",
					     "\\\"",
					     "\\u00e9",
					     "\xc3\xa9",
					     "\xe2\x82\xac",
					     "\\ud83c\\udfae",
					     "\xf0\x9f\x8e\xae",
					     "\\\\",
					     "\x7f",
					     "\\/"};

	buf_format(text, "\"%u", number);
	for (unsigned left = pick(4); left > 0; left--)
		buf_cstr(text, pieces[pick(sizeof(pieces) / sizeof(pieces[0]))]);
	buf_char(text, '"');
}

static void
make_space(struct buf *text)
{
	if (pick(8) == 0)
		buf_char(text, " \t\r\n"[pick(4)]);
}

static void
make_value(struct buf *text, unsigned depth)
{
	static const char *const scalars[] = {"null", "true", "false",           "0",   "-1",
					      "1.5",  "1e3",  "999999999999999", "-0.0"};
	unsigned kind = pick(depth < JSON_DEPTH_MAX ? 4 : 2);

	make_space(text);
	if (kind == 0) {
		buf_cstr(text, scalars[pick(sizeof(scalars) / sizeof(scalars[0]))]);
	} else if (kind == 1) {
		make_string(text, pick(100));
	} else {
		unsigned count = pick(5);

		buf_char(text, kind == 2 ? '[' : '{');
		for (unsigned i = 0; i < count; i++) {
			if (i)
				buf_char(text, ',');
			make_space(text);
			if (kind == 3) {
				make_string(text, i);
				make_space(text);
				buf_char(text, ':');
			}
			make_value(text, depth + 1);
		}
		make_space(text);
		buf_char(text, kind == 2 ? ']' : '}');
	}
	make_space(text);
}

/* The tree as text again, without space and with as few escapes as can be. */
static void
write_tree(struct buf *text, const struct json *node)
{
	bool array = json_type(node) == JSON_ARRAY;
	struct str string;
	bool flag;
	int64_t integer;

	if (json_get_string(node, &string)) {
		CU_ASSERT(utf8_valid(string));
		buf_json_string(text, string);
	} else if (json_get_bool(node, &flag)) {
		buf_cstr(text, flag ? "true" : "false");
	} else if (json_type(node) == JSON_NULL) {
		buf_literal(text, "null");
	} else if (json_type(node) == JSON_NUMBER) {
		if (json_get_integer(node, &integer))
			buf_i64(text, integer);
		else
			buf_literal(text, "1.5");
	} else {
		buf_char(text, array ? '[' : '{');
		for (const struct json *child = json_first(node); child; child = json_next(child)) {
			if (child != json_first(node))
				buf_char(text, ',');
			if (!array) {
				buf_json_string(text, str_from(json_name(child)));
				buf_char(text, ':');
			}
			write_tree(text, child);
		}
		buf_char(text, array ? ']' : '}');
	}
}

/* Written, read and written again is the same text. */
static void
check_round_trip(const struct json *root)
{
	struct buf first;
	struct buf second;
	struct json *again = NULL;

	buf_init(&first);
	buf_init(&second);
	write_tree(&first, root);
	CU_ASSERT(json_parse(buf_view(&first), &again, NULL) == ERR_OK);
	if (again)
		write_tree(&second, again);
	CU_ASSERT(str_equal(buf_view(&first), buf_view(&second)));
	json_free(again);
	buf_release(&first);
	buf_release(&second);
}

static void
test_random_documents(void)
{
	struct buf text;

	buf_init(&text);
	srandom((unsigned)tap_seed());
	for (unsigned i = 0; i < HISTORIES; i++) {
		struct json *root = NULL;
		char detail[JSON_DETAIL_SIZE] = "";

		buf_clear(&text);
		make_value(&text, 0);
		enum err err = parse_copy(text.data, text.len, &root, detail);

		CU_ASSERT(err == ERR_OK);
		if (err)
			printf("# refused: %s: %s\n", buf_text(&text), detail);
		else
			check_round_trip(root);
		json_free(root);
	}
	buf_release(&text);
}

/* One small damage: a byte changed, taken away, put in, or a run of bytes doubled. */
static void
mutate(struct buf *text)
{
	static const char bytes[] = "{}[]:,\"\\u0dD8cC-+.eE19 tfn\n\x01\x80\xc2\xe0\xed\xf0\xf4\xff";
	size_t at = pick((unsigned)text->len);
	char byte = bytes[pick(sizeof(bytes))];

	switch (pick(4)) {
	case 0:
		text->data[at] = byte;
		break;
	case 1:
		memmove(text->data + at, text->data + at + 1, text->len - at - 1);
		text->len--;
		break;
	case 2:
		buf_reserve(text, 1);
		memmove(text->data + at + 1, text->data + at, text->len - at);
		text->data[at] = byte;
		text->len++;
		break;
	default: {
		size_t run = 1 + pick((unsigned)(text->len - at));

		buf_reserve(text, run);
		memmove(text->data + at + run, text->data + at, text->len - at);
		text->len += run;
	}
	}
}

static void
test_random_damage(void)
{
	struct buf text;
	unsigned accepts = 0;
	unsigned refuses = 0;

	buf_init(&text);
	srandom((unsigned)tap_seed());
	for (unsigned i = 0; i < HISTORIES; i++) {
		buf_clear(&text);
		make_value(&text, 0);
		for (unsigned k = 0; k < MUTATIONS && text.len > 0; k++) {
			struct json *root = NULL;
			char detail[JSON_DETAIL_SIZE] = "";

			mutate(&text);
			if (parse_copy(text.data, text.len, &root, detail) == ERR_OK) {
				accepts++;
				CU_ASSERT(utf8_valid(buf_view(&text)));
				check_round_trip(root);
			} else {
				refuses++;
				CU_ASSERT(strstr(detail, " at byte ") != NULL);
				CU_ASSERT(strtoul(strstr(detail, " at byte ") + 9, NULL, 10) <= text.len);
			}
			json_free(root);
		}
	}
	/* Neither may be for want of cases. */
	CU_ASSERT(accepts > 100);
	CU_ASSERT(refuses > 100);
	buf_release(&text);
}

/* The definition itself: encode every number of up to 21 bits in every length; only the shortest form of a character is
 * valid. */
static void
test_utf8_against_its_definition(void)
{
	for (unsigned code = 0; code < 0x200000; code++) {
		unsigned shortest = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;

		for (unsigned bytes = shortest; bytes <= 4; bytes++) {
			static const unsigned char leads[] = {0, 0, 0xc0, 0xe0, 0xf0};
			char text[4];
			unsigned rest = code;
			bool character = code > 0 && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff);

			for (unsigned i = bytes - 1; i > 0; i--, rest >>= 6)
				text[i] = (char)(0x80 | (rest & 0x3f));
			text[0] = (char)(leads[bytes] | rest);
			if (utf8_valid((struct str){text, bytes}) != (character && bytes == shortest)) {
				CU_FAIL("utf8_valid is wrong");
				printf("# U+%X in %u bytes\n", code, bytes);
				return;
			}
		}
	}
	CU_PASS("all");
}

static void
test_utf8_of_runs(void)
{
	CU_ASSERT(utf8_valid(STR_NONE));
	CU_ASSERT(utf8_valid(STR("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x8e\xae z")));
	CU_ASSERT_FALSE(utf8_valid(STR("a\0b")));
	CU_ASSERT_FALSE(utf8_valid(STR("good\xc3")));
	CU_ASSERT_FALSE(utf8_valid(STR("\xc3\xa9\xa9")));
	CU_ASSERT_FALSE(utf8_valid(STR("\xf0\x9f\x8e")));
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"accepts what RFC 8259 allows", test_accepts},
		{"refuses what it forbids, and says where", test_refuses},
		{"refuses every beginning of a document", test_refuses_every_beginning},
		{"bounds the depth", test_depth},
		{"depth counts what is open", test_depth_counts_what_is_open},
		{"reads the tree", test_reads_the_tree},
		{"getters refuse other types", test_getters_refuse_other_types},
		{"integers are exact or none", test_integers},
		{"finds a name that stands twice in objects of every size", test_twins_in_objects_of_every_size},
		{"names the first of several", test_first_twin_is_named},
		{"many members are not quadratic", test_many_members_are_not_quadratic},
		{"large documents", test_large_documents},
		{"random documents come back as they were", test_random_documents},
		{"random damage", test_random_damage},
		{"utf8_valid is its definition", test_utf8_against_its_definition},
		{"utf8_valid over runs", test_utf8_of_runs},
		CU_TEST_INFO_NULL,
	};

	return tap_main("base/json", tests);
}
