/* Tests of auth/claims: what a payload must say, and when. */
#include "auth/claims.h"

#include <stdio.h>

#include "tap.h"

#define NOW_MS   INT64_C(1800000000000)
#define ISSUER   "https://id.example"
#define AUDIENCE "battlepass"
/* Claims that are good at NOW_MS, but for what a test adds. */
#define CLAIMS_BUT_SUBJECT "\"iss\":\"" ISSUER "\",\"aud\":\"" AUDIENCE "\",\"exp\":1800000600"
#define GOOD_CLAIMS        "{" CLAIMS_BUT_SUBJECT ",\"sub\":\"p-1\",\"role\":\"player\"}"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* What the rules say of the claims; checks that the identity is untouched on failure. */
static enum err
verdict(const char *text, int64_t now_ms, int64_t leeway_ms)
{
	const struct claims_rules rules = {STR(ISSUER), STR(AUDIENCE), leeway_ms};
	struct identity identity;
	struct identity before;
	struct json *claims;
	enum err err;

	if (json_parse(str_from(text), &claims, NULL) != ERR_OK)
		return ERR_TOKEN_INVALID;
	memset(&identity, 0x5a, sizeof(identity));
	before = identity;
	err = claims_read(claims, &rules, now_ms, &identity);
	if (err)
		CU_ASSERT_EQUAL(memcmp(&identity, &before, sizeof(identity)), 0);
	json_free(claims);
	return err;
}

static void
accepts_good_claims(void)
{
	static const char *const good[] = {
		"{" CLAIMS_BUT_SUBJECT
		",\"sub\":\"A.z_0-9\",\"role\":\"player\",\"nbf\":1800000000,\"iat\":1800000000}",
		"{" CLAIMS_BUT_SUBJECT ",\"sub\":\"studio server #1\",\"role\":\"server\",\"scope\":{\"x\":[1,null]}}",
		"{\"iss\":\"" ISSUER "\",\"aud\":[\"other\",\"" AUDIENCE
		"\"],\"exp\":1800000001,\"sub\":\"p\",\"role\":\"player\"}",
		"{" CLAIMS_BUT_SUBJECT ",\"role\":\"player\",\"sub\":"
		"\"1234567890123456789012345678901234567890123456789012345678901234\"}",
		"{" CLAIMS_BUT_SUBJECT ",\"sub\":\"\\u0070\",\"role\":\"player\"}",
	};

	for (size_t i = 0; i < COUNT_OF(good); i++)
		CU_ASSERT_EQUAL(verdict(good[i], NOW_MS, 0), ERR_OK);
}

static void
refuses_bad_claims(void)
{
#define WITH(rest) "{" CLAIMS_BUT_SUBJECT "," rest "}"
#define PLAYER     "\"sub\":\"p-1\",\"role\":\"player\""
#define NAMES      "\"iss\":\"" ISSUER "\",\"aud\":\"" AUDIENCE "\","
	static const char *const bad[] = {
		/* sub */
		WITH("\"role\":\"player\""),
		WITH("\"sub\":\"\",\"role\":\"player\""),
		WITH("\"sub\":1,\"role\":\"player\""),
		WITH("\"sub\":\"a b\",\"role\":\"player\""),
		WITH("\"sub\":\"a/b\",\"role\":\"player\""),
		WITH("\"sub\":\"\\u00e9\",\"role\":\"player\""),
		WITH("\"sub\":\"p\\u0000\",\"role\":\"player\""),
		WITH("\"sub\":\"a\\nb\",\"role\":\"server\""),
		WITH("\"sub\":\"\\u007f\",\"role\":\"server\""),
		WITH("\"sub\":\"\\u00e9\",\"role\":\"admin\""),
		WITH("\"sub\":\"12345678901234567890123456789012345678901234567890123456789012345\",\"role\":"
		     "\"player\""),
		/* role */
		WITH("\"sub\":\"p-1\""),
		WITH("\"sub\":\"p-1\",\"role\":\"\""),
		WITH("\"sub\":\"p-1\",\"role\":\"root\""),
		WITH("\"sub\":\"p-1\",\"role\":\"Player\""),
		WITH("\"sub\":\"p-1\",\"role\":[\"player\"]"),
		WITH("\"sub\":\"p-1\",\"role\":1"),
		/* a claim twice */
		WITH(PLAYER ",\"role\":\"admin\""),
		WITH(PLAYER ",\"exp\":1800000600"),
		/* iss, aud */
		"{\"aud\":\"" AUDIENCE "\",\"exp\":1800000600," PLAYER "}",
		"{\"iss\":\"" ISSUER "/\",\"aud\":\"" AUDIENCE "\",\"exp\":1800000600," PLAYER "}",
		"{\"iss\":[\"" ISSUER "\"],\"aud\":\"" AUDIENCE "\",\"exp\":1800000600," PLAYER "}",
		"{\"iss\":\"" ISSUER "\",\"exp\":1800000600," PLAYER "}",
		"{\"iss\":\"" ISSUER "\",\"aud\":\"battle\",\"exp\":1800000600," PLAYER "}",
		"{\"iss\":\"" ISSUER "\",\"aud\":[],\"exp\":1800000600," PLAYER "}",
		"{\"iss\":\"" ISSUER "\",\"aud\":[\"other\"],\"exp\":1800000600," PLAYER "}",
		"{\"iss\":\"" ISSUER "\",\"aud\":[\"" AUDIENCE "\",1],\"exp\":1800000600," PLAYER "}",
		"{\"iss\":\"" ISSUER "\",\"aud\":{\"a\":\"" AUDIENCE "\"},\"exp\":1800000600," PLAYER "}",
		/* times */
		"{" NAMES PLAYER "}",
		"{" NAMES "\"exp\":\"1800000600\"," PLAYER "}",
		"{" NAMES "\"exp\":1800000600.5," PLAYER "}",
		"{" NAMES "\"exp\":null," PLAYER "}",
		"{" NAMES "\"exp\":1e300," PLAYER "}",
		"{" NAMES "\"exp\":9223372036854775807," PLAYER "}",
		WITH(PLAYER ",\"nbf\":1800000001"),
		WITH(PLAYER ",\"nbf\":\"0\""),
		WITH(PLAYER ",\"nbf\":null"),
		WITH(PLAYER ",\"iat\":1800000001"),
		WITH(PLAYER ",\"iat\":true"),
		/* not an object */
		"[]",
		"null",
	};
#undef WITH
#undef PLAYER
#undef NAMES

	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		enum err err = verdict(bad[i], NOW_MS, 0);

		CU_ASSERT_EQUAL(err, ERR_TOKEN_INVALID);
		if (err != ERR_TOKEN_INVALID)
			printf("# %s: %s\n", err_code(err), bad[i]);
	}
}

/* To the millisecond: exp is the first moment at which a token is no longer good, nbf and iat the first at which it is.
 */
static void
keeps_its_times(void)
{
	static const int64_t leeways_ms[] = {0, 1, 999, 30000};
	const char *dated = "{" CLAIMS_BUT_SUBJECT ",\"sub\":\"p\",\"role\":\"player\",\"iat\":1800000010}";
	const char *delayed = "{" CLAIMS_BUT_SUBJECT ",\"sub\":\"p\",\"role\":\"player\",\"nbf\":1800000010}";

	for (size_t i = 0; i < COUNT_OF(leeways_ms); i++) {
		int64_t leeway_ms = leeways_ms[i];
		int64_t begin_ms = NOW_MS + 10000 - leeway_ms;
		int64_t end_ms = NOW_MS + 600000 + leeway_ms;

		CU_ASSERT_EQUAL(verdict(dated, begin_ms - 1, leeway_ms), ERR_TOKEN_INVALID);
		CU_ASSERT_EQUAL(verdict(dated, begin_ms, leeway_ms), ERR_OK);
		CU_ASSERT_EQUAL(verdict(delayed, begin_ms - 1, leeway_ms), ERR_TOKEN_INVALID);
		CU_ASSERT_EQUAL(verdict(delayed, begin_ms, leeway_ms), ERR_OK);
		CU_ASSERT_EQUAL(verdict(GOOD_CLAIMS, end_ms - 1, leeway_ms), ERR_OK);
		CU_ASSERT_EQUAL(verdict(GOOD_CLAIMS, end_ms, leeway_ms), ERR_TOKEN_EXPIRED);
	}
}

/* Whatever else is wrong comes first. */
static void
says_expired_only_when_all_else_is_right(void)
{
	static const char *const bad[] = {
		"{\"aud\":\"" AUDIENCE "\",\"exp\":1,\"sub\":\"p\",\"role\":\"player\"}",
		"{\"iss\":\"" ISSUER "\",\"exp\":1,\"sub\":\"p\",\"role\":\"player\"}",
		"{\"iss\":\"" ISSUER "\",\"aud\":\"" AUDIENCE "\",\"exp\":1,\"role\":\"player\"}",
		"{\"iss\":\"" ISSUER "\",\"aud\":\"" AUDIENCE "\",\"exp\":1,\"sub\":\"p\"}",
	};

	CU_ASSERT_EQUAL(verdict("{\"iss\":\"" ISSUER "\",\"aud\":\"" AUDIENCE
				"\",\"exp\":-1,\"sub\":\"p\",\"role\":\"player\"}",
				NOW_MS, 0),
			ERR_TOKEN_EXPIRED);
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		CU_ASSERT_EQUAL(verdict(bad[i], NOW_MS, 0), ERR_TOKEN_INVALID);
}

/* Byte by byte, beside the rule as ids have it. */
static void
knows_the_characters_of_subjects(void)
{
	for (int c = 0; c < 256; c++) {
		char text[] = {'a', (char)c};
		struct str subject = {text, 2};
		bool is_id = c && strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-", c);

		CU_ASSERT_EQUAL(claims_subject_valid(subject, ROLE_PLAYER), is_id);
		CU_ASSERT_EQUAL(claims_subject_valid(subject, ROLE_SERVER), c >= 0x20 && c < 0x7f);
	}
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"accepts good claims", accepts_good_claims},
		{"refuses bad claims", refuses_bad_claims},
		{"keeps its times", keeps_its_times},
		{"says expired only when all else is right", says_expired_only_when_all_else_is_right},
		{"knows the characters of subjects", knows_the_characters_of_subjects},
		CU_TEST_INFO_NULL,
	};

	return tap_main("auth/claims", tests);
}
