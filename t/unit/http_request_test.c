/* Requests taken apart: targets, percent escapes, queries, limits, and the ids that clients may send. */
#include "http/request.h"

#include <stdio.h>
#include <stdlib.h>

#include "tap.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
#define TEXT(literal)                                                                                                  \
	{                                                                                                              \
		(literal), sizeof(literal) - 1                                                                         \
	}

static struct arena arena;

/* Parses a copy at the end of a block of its own, so that the sanitizer sees a byte too far. */
static bool
parse(struct request *request, struct str target)
{
	char *copy = malloc(target.len + 1);

	if (!copy)
		abort();
	memcpy(copy, target.len ? target.ptr : "", target.len);
	*request = (struct request){.method_text = STR("GET"), .target = {copy, target.len}};
	bool good = request_parse_target(request, &arena);

	/* What points into the copy must outlive it here. */
	for (size_t i = 0; good && i < request->segment_count; i++)
		request->segments[i] = arena_str(&arena, request->segments[i]);
	for (size_t i = 0; good && i < request->query_count; i++) {
		request->query[i].name = arena_str(&arena, request->query[i].name);
		request->query[i].value = arena_str(&arena, request->query[i].value);
	}
	free(copy);
	return good;
}

/* The parts with | between, the query items as ?name=value. */
static void
join(const struct request *request, char *text, size_t size)
{
	size_t at = 0;

	text[0] = '\0';
	for (size_t i = 0; i < request->segment_count; i++)
		at += (size_t)snprintf(text + at, size - at, "%s%.*s", i ? "|" : "", STR_ARGS(request->segments[i]));
	for (size_t i = 0; i < request->query_count; i++)
		at += (size_t)snprintf(text + at, size - at, "?%.*s=%.*s", STR_ARGS(request->query[i].name),
				       STR_ARGS(request->query[i].value));
}

static void
test_targets(void)
{
	static const struct {
		struct str target;
		const char *parts; /* NULL: refused */
	} cases[] = {
		{TEXT("/a"), "a"},
		{TEXT("/v1/seasons/s1"), "v1|seasons|s1"},
		{TEXT("/v1/progress:lookup"), "v1|progress:lookup"},
		{TEXT("/a.b/c_d/e-f~g"), "a.b|c_d|e-f~g"},
		{TEXT("/.."), ".."}, /* no file system here: a segment as any other */
		{TEXT("/a?b=c"), "a?b=c"},
		{TEXT("/a?"), "a"},
		{TEXT("/a?&&"), "a"},
		{TEXT("/a?b"), "a?b="},
		{TEXT("/a?b="), "a?b="},
		{TEXT("/a?=c"), "a?=c"},
		{TEXT("/a?b=c=d"), "a?b=c=d"},
		{TEXT("/a?b=c&b=d"), "a?b=c?b=d"},
		{TEXT("/a?b=c?d"), "a?b=c?d"},
		{TEXT("/a?b=/c/"), "a?b=/c/"},
		{TEXT("/a?x=1&&y=2&"), "a?x=1?y=2"},
		/* escapes */
		{TEXT("/%61"), "a"},
		{TEXT("/a%2Fb"), "a/b"},
		{TEXT("/a%2fb/c"), "a/b|c"},
		{TEXT("/%25"), "%"},
		{TEXT("/%2525"), "%25"},
		{TEXT("/a%3Fb"), "a?b"},
		{TEXT("/a+b"), "a+b"}, /* a plus is a plus in a path */
		{TEXT("/a?b=c+d%2Be"), "a?b=c d+e"},
		{TEXT("/a?b+c=%26%3D"), "a?b c=&="},
		{TEXT("/%C3%A9"), "\xc3\xa9"},
		{TEXT("/%"), NULL},
		{TEXT("/%4"), NULL},
		{TEXT("/a%4"), NULL},
		{TEXT("/%zz"), NULL},
		{TEXT("/%4z"), NULL},
		{TEXT("/%z4"), NULL},
		{TEXT("/% 41"), NULL},
		{TEXT("/%+1"), NULL},
		{TEXT("/%00"), NULL},
		{TEXT("/a%00b"), NULL},
		{TEXT("/a?b=%"), NULL},
		{TEXT("/a?%=b"), NULL},
		{TEXT("/a?b=%00"), NULL},
		/* empty segments, and what is no path at all */
		{TEXT(""), NULL},
		{TEXT("/"), NULL},
		{TEXT("//"), NULL},
		{TEXT("a"), NULL},
		{TEXT("a/b"), NULL},
		{TEXT("?a=b"), NULL},
		{TEXT("/?a=b"), NULL},
		{TEXT("//a"), NULL},
		{TEXT("/a/"), NULL},
		{TEXT("/a//b"), NULL},
		{TEXT("/a/?b=c"), NULL},
		{TEXT("*"), NULL},
		{TEXT("http://host/a"), NULL},
	};
	char text[256];

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct request request;
		bool good = parse(&request, cases[i].target);

		if (good != (cases[i].parts != NULL))
			printf("# target %s\n", cases[i].target.ptr);
		CU_ASSERT_EQUAL(good, cases[i].parts != NULL);
		if (!good || !cases[i].parts)
			continue;
		join(&request, text, sizeof(text));
		CU_ASSERT_STRING_EQUAL(text, cases[i].parts);
	}
	arena_reset(&arena);
}

/* A target of n segments and m query items. */
static struct str
target_of(size_t segments, size_t items)
{
	char *text = arena_alloc(&arena, 2 * segments + 4 * items + 2);
	size_t at = 0;

	for (size_t i = 0; i < segments; i++, at += 2)
		memcpy(text + at, "/s", 2);
	for (size_t i = 0; i < items; i++, at += 4)
		memcpy(text + at, i ? "&q=1" : "?q=1", 4);
	return (struct str){text, at};
}

static void
test_limits(void)
{
	struct request request;

	CU_ASSERT_TRUE(parse(&request, target_of(REQUEST_SEGMENTS_MAX, REQUEST_QUERY_MAX)));
	CU_ASSERT_EQUAL(request.segment_count, REQUEST_SEGMENTS_MAX);
	CU_ASSERT_EQUAL(request.query_count, REQUEST_QUERY_MAX);
	CU_ASSERT_FALSE(parse(&request, target_of(REQUEST_SEGMENTS_MAX + 1, 0)));
	CU_ASSERT_FALSE(parse(&request, target_of(REQUEST_SEGMENTS_MAX + 100, 0)));
	CU_ASSERT_FALSE(parse(&request, target_of(1, REQUEST_QUERY_MAX + 1)));
	CU_ASSERT_FALSE(parse(&request, target_of(1, 1000)));
	arena_reset(&arena);
}

static void
test_no_target_at_all(void)
{
	struct request request = {.method_text = STR_NONE, .target = STR_NONE};

	CU_ASSERT_FALSE(request_parse_target(&request, &arena));
	CU_ASSERT_EQUAL(request.method, METHOD_OTHER);
}

static void
test_methods(void)
{
	static const struct {
		struct str text;
		enum method method;
	} cases[] = {
		{TEXT("GET"), METHOD_GET},   {TEXT("HEAD"), METHOD_HEAD},     {TEXT("POST"), METHOD_POST},
		{TEXT("PUT"), METHOD_PUT},   {TEXT("DELETE"), METHOD_DELETE}, {TEXT("PATCH"), METHOD_OTHER},
		{TEXT("get"), METHOD_OTHER}, {TEXT("GETS"), METHOD_OTHER},    {TEXT("GE"), METHOD_OTHER},
		{TEXT(""), METHOD_OTHER},    {TEXT("GET\0"), METHOD_OTHER},   {TEXT("OPTIONS"), METHOD_OTHER},
	};

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct request request = {.method_text = cases[i].text, .target = STR("/a")};

		CU_ASSERT_TRUE(request_parse_target(&request, &arena));
		CU_ASSERT_EQUAL(request.method, cases[i].method);
	}
}

static void
test_query(void)
{
	struct request request;
	struct str value = STR("untouched");

	CU_ASSERT_TRUE(parse(&request, STR("/a?size=5&cursor=&size=6&Size=7")));
	CU_ASSERT_TRUE(request_query(&request, STR("size"), &value));
	CU_ASSERT(str_equal(value, STR("5")));
	CU_ASSERT_TRUE(request_query(&request, STR("cursor"), &value));
	CU_ASSERT_EQUAL(value.len, 0);
	value = STR("untouched");
	CU_ASSERT_FALSE(request_query(&request, STR("siz"), &value));
	CU_ASSERT_FALSE(request_query(&request, STR("sizes"), &value));
	CU_ASSERT_FALSE(request_query(&request, STR(""), &value));
	CU_ASSERT(str_equal(value, STR("untouched")));
	/* Parsed again, nothing of the first is left. */
	request.target = STR("/b");
	CU_ASSERT_TRUE(request_parse_target(&request, &arena));
	CU_ASSERT(request.segment_count == 1 && request.query_count == 0);
	arena_reset(&arena);
}

static void
test_request_ids(void)
{
	char longest[REQUEST_ID_MAX + 1];

	memset(longest, 'x', sizeof(longest));
	CU_ASSERT_TRUE(request_id_valid((struct str){longest, REQUEST_ID_MAX}));
	CU_ASSERT_FALSE(request_id_valid((struct str){longest, REQUEST_ID_MAX + 1}));
	CU_ASSERT_TRUE(request_id_valid(STR("a")));
	CU_ASSERT_TRUE(request_id_valid(STR("AZaz09._-")));
	CU_ASSERT_FALSE(request_id_valid(STR_NONE));
	for (int c = 0; c < 256; c++) {
		char text[] = {'a', (char)c, 'b'};
		bool good = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '.' ||
			    c == '_' || c == '-';

		CU_ASSERT_EQUAL(request_id_valid((struct str){text, 3}), good);
	}
}

static void
test_arrival(void)
{
	static const struct {
		struct str text;
		int64_t ms;
	} cases[] = {
		{TEXT("1795829377.196"), INT64_C(1795829377196)},
		{TEXT("0000000000.000"), 0},
		{TEXT("1.001"), 1001},
		{TEXT("9999999999.999"), INT64_C(9999999999999)},
		{TEXT(""), 0},
		{TEXT("1795829377"), 0},
		{TEXT("1795829377196"), 0},
		{TEXT("1795829377.19"), 0},
		{TEXT("1795829377.1966"), 0},
		{TEXT("17958293770.196"), 0},
		{TEXT("-795829377.196"), 0},
		{TEXT("+795829377.196"), 0},
		{TEXT("179582 377.196"), 0},
		{TEXT("1795829377,196"), 0},
		{TEXT("17958.9377.196"), 0},
		{TEXT("1795829377.1 6"), 0},
		{TEXT("0x7958293f.196"), 0},
		{TEXT(".196"), 0},
		{TEXT("\0\0\0\0\0\0\0\0\0\0.196"), 0},
	};

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		if (request_arrived_ms(cases[i].text) != cases[i].ms)
			printf("# arrived %s\n", cases[i].text.ptr);
		CU_ASSERT_EQUAL(request_arrived_ms(cases[i].text), cases[i].ms);
	}
	CU_ASSERT_EQUAL(request_arrived_ms(STR_NONE), 0);
}

/* Any bytes: refused, or parts that are decoded and not empty. */
static void
test_random_targets(void)
{
	static const char alphabet[] = "//%%??&&==++..09afAFzZ~\x80\xff\x01\0";

	srandom((unsigned)tap_seed());
	for (int i = 0; i < 100000; i++) {
		char bytes[40];
		size_t len = (size_t)random() % sizeof(bytes);
		struct request request;

		for (size_t k = 0; k < len; k++)
			bytes[k] = alphabet[(size_t)random() % (sizeof(alphabet) - 1)];
		if (len)
			bytes[0] = '/';
		if (!parse(&request, (struct str){bytes, len}))
			continue;
		CU_ASSERT(request.segment_count >= 1 && request.segment_count <= REQUEST_SEGMENTS_MAX);
		CU_ASSERT(request.query_count <= REQUEST_QUERY_MAX);
		for (size_t k = 0; k < request.segment_count; k++)
			CU_ASSERT(request.segments[k].len >= 1);
		if (i % 1000 == 0)
			arena_reset(&arena);
	}
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"targets", test_targets},
		{"limits", test_limits},
		{"no target at all", test_no_target_at_all},
		{"methods", test_methods},
		{"query", test_query},
		{"request ids", test_request_ids},
		{"time of arrival", test_arrival},
		{"random targets", test_random_targets},
		CU_TEST_INFO_NULL,
	};

	arena_init(&arena);
	int status = tap_main("http/request", tests);

	arena_release(&arena);
	return status;
}
