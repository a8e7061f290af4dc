/* Fault lists and the error table. */
#include "base/err.h"
#include "base/fault.h"

#include <ctype.h>
#include <stdio.h>

#include "base/json.h"
#include "tap.h"

static void
test_copies(void)
{
	static struct faults faults;
	struct arena arena;
	char pointer[] = "/a/0";
	char value[] = "x";

	arena_init(&arena);
	faults_init(&faults, &arena);
	CU_ASSERT(faults.count == 0 && faults.dropped == 0);
	faults_add(&faults, pointer, "bad_thing", "%s is %d too many", value, 3);
	faults_add(&faults, "", "other", "plain");
	pointer[1] = value[0] = '!';
	CU_ASSERT(faults.count == 2);
	CU_ASSERT_STRING_EQUAL(faults.items[0].pointer, "/a/0");
	CU_ASSERT_STRING_EQUAL(faults.items[0].code, "bad_thing");
	CU_ASSERT_STRING_EQUAL(faults.items[0].detail, "x is 3 too many");
	CU_ASSERT_STRING_EQUAL(faults.items[1].pointer, "");
	arena_release(&arena);
}

static void
test_counts_what_it_drops(void)
{
	static struct faults faults;
	struct arena arena;

	arena_init(&arena);
	faults_init(&faults, &arena);
	for (int i = 0; i < FAULTS_MAX + 7; i++)
		faults_add(&faults, "", "many", "number %d", i);
	CU_ASSERT(faults.count == FAULTS_MAX && faults.dropped == 7);
	CU_ASSERT_STRING_EQUAL(faults.items[FAULTS_MAX - 1].detail, "number 99");
	arena_release(&arena);
}

/* A long detail is cut between two characters: half of one would make the answer no JSON. */
static void
test_cuts_between_characters(void)
{
	static const char *const characters[] = {"x", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x8e\xae"};
	static struct faults faults;
	struct arena arena;

	arena_init(&arena);
	for (size_t i = 0; i < 4; i++) {
		for (int shift = 0; shift < 5; shift++) {
			char text[2000] = "";

			faults_init(&faults, &arena);
			memset(text, '-', (size_t)shift);
			for (size_t at = (size_t)shift; at < sizeof(text) - 5; at += strlen(characters[i]))
				memcpy(text + at, characters[i], strlen(characters[i]) + 1);
			faults_add(&faults, "", "long", "%s", text);

			struct str detail = str_from(faults.items[0].detail);

			CU_ASSERT(utf8_valid(detail));
			CU_ASSERT(detail.len >= 500 && detail.len < 512);
			CU_ASSERT(str_starts_with(str_from(text), detail));
		}
	}
	arena_release(&arena);
}

static void
test_every_error_has_words(void)
{
	for (int i = 0; i < ERR_COUNT; i++) {
		const char *code = err_code((enum err)i);

		CU_ASSERT(*code != '\0' && *err_text((enum err)i) != '\0');
		for (const char *c = code; *c; c++)
			CU_ASSERT(islower((unsigned char)*c) || *c == '_');
		for (int before = 0; before < i; before++)
			CU_ASSERT(strcmp(code, err_code((enum err)before)) != 0);
	}
	CU_ASSERT_STRING_EQUAL(err_code(ERR_OK), "ok");
	CU_ASSERT_STRING_EQUAL(err_code((enum err)ERR_COUNT), "internal");
	CU_ASSERT_STRING_EQUAL(err_code((enum err) - 1), "internal");
	CU_ASSERT_PTR_NOT_NULL(err_text((enum err) - 1));
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"copies what it is given", test_copies},
		{"counts what it drops", test_counts_what_it_drops},
		{"cuts between characters", test_cuts_between_characters},
		{"every error has words of its own", test_every_error_has_words},
		CU_TEST_INFO_NULL,
	};

	return tap_main("base/fault", tests);
}
