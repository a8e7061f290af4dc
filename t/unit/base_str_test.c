/* struct str: comparisons that mind the length, and order that is that of the database's keys. */
#include "base/str.h"

#include <stdlib.h>

#include "random_season.h"
#include "tap.h"

static uint64_t seed;

static int
sign(int order)
{
	return (order > 0) - (order < 0);
}

static void
test_equal(void)
{
	CU_ASSERT_TRUE(str_equal(STR("abc"), STR("abc")));
	CU_ASSERT_FALSE(str_equal(STR("abc"), STR("ab")));
	CU_ASSERT_FALSE(str_equal(STR("ab"), STR("abc")));
	CU_ASSERT_FALSE(str_equal(STR("abc"), STR("abd")));
	CU_ASSERT_TRUE(str_equal(STR_NONE, STR("")));
	CU_ASSERT_TRUE(str_equal(STR_NONE, STR_NONE));
	CU_ASSERT_FALSE(str_equal(STR("a\0b"), STR("a\0c")));
	CU_ASSERT_FALSE(str_equal(STR("a"), STR("a\0")));
}

static void
test_from(void)
{
	CU_ASSERT(str_from(NULL).ptr == NULL && str_from(NULL).len == 0);
	CU_ASSERT(str_from("").ptr != NULL && str_from("").len == 0);
	CU_ASSERT(str_equal(str_from("abc"), STR("abc")));
}

static void
test_starts_with(void)
{
	CU_ASSERT_TRUE(str_starts_with(STR("abc"), STR("ab")));
	CU_ASSERT_TRUE(str_starts_with(STR("abc"), STR("abc")));
	CU_ASSERT_TRUE(str_starts_with(STR("abc"), STR("")));
	CU_ASSERT_TRUE(str_starts_with(STR_NONE, STR_NONE));
	CU_ASSERT_FALSE(str_starts_with(STR("ab"), STR("abc")));
	CU_ASSERT_FALSE(str_starts_with(STR("abc"), STR("b")));
	CU_ASSERT_FALSE(str_starts_with(STR_NONE, STR("a")));
}

static void
test_compare(void)
{
	static const char *const ascending[] = {"", "A", "AA", "B", "a", "aa", "ab", "b", "\x7f", "\x80", "\xff"};
	size_t count = sizeof(ascending) / sizeof(ascending[0]);

	for (size_t i = 0; i < count; i++)
		for (size_t k = 0; k < count; k++)
			CU_ASSERT_EQUAL(sign(str_compare(str_from(ascending[i]), str_from(ascending[k]))),
					(i > k) - (i < k));
	CU_ASSERT_EQUAL(str_compare(STR_NONE, STR("")), 0);
	CU_ASSERT_TRUE(str_compare(STR("a\0a"), STR("a\0b")) < 0);
}

static struct str
random_text(char bytes[6])
{
	size_t len = random_below(&seed, 6);

	for (size_t i = 0; i < len; i++)
		bytes[i] = (char)"\0ab\xff"[random_below(&seed, 4)];
	return (struct str){bytes, len};
}

/* An order: total, and equal only what is equal. */
static void
test_compare_random(void)
{
	char bytes[3][6];

	for (int i = 0; i < 20000; i++) {
		struct str a = random_text(bytes[0]);
		struct str b = random_text(bytes[1]);
		struct str c = random_text(bytes[2]);

		CU_ASSERT_EQUAL(sign(str_compare(a, b)), -sign(str_compare(b, a)));
		CU_ASSERT_EQUAL(str_compare(a, b) == 0, str_equal(a, b));
		CU_ASSERT(!(str_compare(a, b) <= 0 && str_compare(b, c) <= 0) || str_compare(a, c) <= 0);
		CU_ASSERT(!str_starts_with(a, b) || str_compare(a, b) >= 0);
	}
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"equal", test_equal},
		{"from", test_from},
		{"starts with", test_starts_with},
		{"compare", test_compare},
		{"compare random texts", test_compare_random},
		CU_TEST_INFO_NULL,
	};

	seed = tap_seed();
	return tap_main("base/str", tests);
}
