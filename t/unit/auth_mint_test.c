/* Tests of auth/mint: what it makes, the verifier accepts, and nothing private gets into the public set. */
#include "auth/mint.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/json.h"
#include "tap.h"

#define NOW_MS INT64_C(1800000000123)

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static const char *const algorithms[] = {"RS256", "PS256", "ES256", "EdDSA", "HS256"};

static char detail[256];

static struct token_verifier *
verifier_of(struct str set)
{
	struct token_rules rules = {set, "keys.json", "i\"\\", "a", true, 0, NULL};
	struct token_verifier *verifier = NULL;

	CU_ASSERT_EQUAL_FATAL(token_verifier_new(&rules, &verifier, detail), ERR_OK);
	return verifier;
}

static struct token_claims
claims_of(struct str subject, enum role role)
{
	return (struct token_claims){"i\"\\", "a", subject, role, NOW_MS, NOW_MS + 60000};
}

static struct minter *
minter_of(struct str jwk)
{
	struct minter *minter = NULL;

	CU_ASSERT_EQUAL_FATAL(minter_new(jwk, &minter, detail), ERR_OK);
	return minter;
}

static void
check_token(struct minter *minter, struct token_verifier *verifier, struct str subject, enum role role)
{
	struct token_claims claims = claims_of(subject, role);
	struct identity identity = {0};
	struct buf token;

	buf_init(&token);
	CU_ASSERT_EQUAL(mint_token(minter, &claims, &token), ERR_OK);
	CU_ASSERT_EQUAL(token_verify(verifier, buf_view(&token), NOW_MS, &identity), ERR_OK);
	CU_ASSERT(str_equal(str_from(identity.subject), subject));
	CU_ASSERT_EQUAL(identity.role, role);
	CU_ASSERT_EQUAL(identity.expires_at_ms, INT64_C(1800000060000));
	CU_ASSERT_EQUAL(token_verify(verifier, buf_view(&token), NOW_MS + 60000, &identity), ERR_TOKEN_EXPIRED);
	buf_release(&token);
}

static void
mints_what_the_verifier_accepts(void)
{
	for (size_t i = 0; i < COUNT_OF(algorithms); i++) {
		struct buf jwk;
		struct buf set;

		buf_init(&jwk);
		buf_init(&set);
		CU_ASSERT_EQUAL_FATAL(mint_key(algorithms[i], &jwk, &set), ERR_OK);
		struct token_verifier *verifier = verifier_of(buf_view(&set));
		struct minter *minter = minter_of(buf_view(&jwk));

		check_token(minter, verifier, STR("p-1"), ROLE_PLAYER);
		check_token(minter, verifier, STR("a \"server\""), ROLE_SERVER);
		check_token(minter, verifier, STR("ops"), ROLE_ADMIN);
		minter_free(minter);
		token_verifier_free(verifier);
		buf_release(&jwk);
		buf_release(&set);
	}
}

/* The public set of one key does not accept what another key has signed. */
static void
makes_a_new_key_each_time(void)
{
	for (size_t i = 0; i < COUNT_OF(algorithms); i++) {
		struct token_claims claims = claims_of(STR("p-1"), ROLE_PLAYER);
		struct identity identity;
		struct buf jwk;
		struct buf set;
		struct buf other;
		struct buf token;

		buf_init(&jwk);
		buf_init(&set);
		buf_init(&other);
		buf_init(&token);
		CU_ASSERT_EQUAL(mint_key(algorithms[i], &jwk, &other), ERR_OK);
		buf_clear(&other);
		buf_clear(&jwk);
		CU_ASSERT_EQUAL(mint_key(algorithms[i], &jwk, &set), ERR_OK);
		CU_ASSERT_EQUAL(mint_key(algorithms[i], &token, &other), ERR_OK);
		buf_clear(&token);
		CU_ASSERT_FALSE(str_equal(buf_view(&set), buf_view(&other)));
		struct token_verifier *verifier = verifier_of(buf_view(&other));
		struct minter *minter = minter_of(buf_view(&jwk));

		CU_ASSERT_EQUAL(mint_token(minter, &claims, &token), ERR_OK);
		CU_ASSERT_EQUAL(token_verify(verifier, buf_view(&token), NOW_MS, &identity), ERR_TOKEN_INVALID);
		minter_free(minter);
		token_verifier_free(verifier);
		buf_release(&jwk);
		buf_release(&set);
		buf_release(&other);
		buf_release(&token);
	}
}

/* Strictly parsed: cjose's own members and ours do not come twice. */
static void
writes_public_keys_only(void)
{
	static const char *const private_members[] = {"d", "p", "q", "dp", "dq", "qi", "k"};

	for (size_t i = 0; i < COUNT_OF(algorithms); i++) {
		bool is_secret = strcmp(algorithms[i], "HS256") == 0;
		struct json *root = NULL;
		struct buf jwk;
		struct buf set;
		struct str text;

		buf_init(&jwk);
		buf_init(&set);
		CU_ASSERT_EQUAL_FATAL(mint_key(algorithms[i], &jwk, &set), ERR_OK);
		CU_ASSERT_EQUAL_FATAL(json_parse(buf_view(&set), &root, detail), ERR_OK);
		const struct json *key = json_first(json_member(root, "keys"));

		CU_ASSERT(json_get_string(json_member(key, "alg"), &text) && str_equal(text, str_from(algorithms[i])));
		CU_ASSERT(json_get_string(json_member(key, "kid"), &text) && text.len == 16);
		for (size_t m = 0; m < COUNT_OF(private_members); m++)
			CU_ASSERT_EQUAL(json_member(key, private_members[m]) != NULL,
					is_secret && strcmp(private_members[m], "k") == 0);
		json_free(root);
		CU_ASSERT_EQUAL_FATAL(json_parse(buf_view(&jwk), &root, detail), ERR_OK);
		CU_ASSERT_PTR_NOT_NULL(json_member(root, is_secret ? "k" : "d"));
		json_free(root);
		buf_release(&jwk);
		buf_release(&set);
	}
}

static void
refuses_unknown_algorithms(void)
{
	static const char *const unknown[] = {"none", "RS512", "es256", ""};
	struct buf jwk;
	struct buf set;

	buf_init(&jwk);
	buf_init(&set);
	for (size_t i = 0; i < COUNT_OF(unknown); i++)
		CU_ASSERT_EQUAL(mint_key(unknown[i], &jwk, &set), ERR_INVALID_FIELD);
	CU_ASSERT(jwk.len == 0 && set.len == 0);
	buf_release(&jwk);
	buf_release(&set);
}

static void
check_refused_jwk(struct str jwk, const char *wanted)
{
	struct minter *minter = NULL;

	detail[0] = '\0';
	CU_ASSERT_EQUAL(minter_new(jwk, &minter, detail), ERR_CONFIG);
	CU_ASSERT_PTR_NULL(minter);
	CU_ASSERT_PTR_NOT_NULL(strstr(detail, wanted));
	if (!strstr(detail, wanted))
		printf("# detail \"%s\", wanted \"%s\"\n", detail, wanted);
}

static void
refuses_keys_that_cannot_sign(void)
{
	static const struct {
		const char *jwk;
		const char *detail;
	} bad[] = {
		{"", "JSON"},
		{"[]", "alg must"},
		{"{\"kty\":\"RSA\"}", "alg must"},
		{"{\"alg\":\"none\"}", "alg must"},
		{"{\"alg\":\"RS256\",\"kty\":\"EC\",\"d\":\"AQ\"}", "kty and crv"},
		{"{\"alg\":\"ES256\",\"kty\":\"EC\",\"crv\":\"P-384\",\"d\":\"AQ\"}", "kty and crv"},
		{"{\"alg\":\"EdDSA\",\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AQ\"}", "public key"},
		{"{\"alg\":\"EdDSA\",\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"d\":\"AQ\"}", "cannot be used"},
		{"{\"alg\":\"RS256\",\"kty\":\"RSA\",\"d\":\"AQ\",\"n\":\"AQ\",\"e\":\"AQAB\"}", "cannot be used"},
		{"{\"alg\":\"HS256\",\"kty\":\"oct\",\"k\":\"AAAA\"}", "cannot be used"},
	};

	for (size_t i = 0; i < COUNT_OF(bad); i++)
		check_refused_jwk(str_from(bad[i].jwk), bad[i].detail);
	minter_free(NULL);
}

static void
refuses_bad_claims(void)
{
	struct token_claims bad[] = {
		claims_of(STR(""), ROLE_SERVER),
		claims_of(STR("a b"), ROLE_PLAYER),
		claims_of(STR("a\nb"), ROLE_SERVER),
		claims_of(STR("12345678901234567890123456789012345678901234567890123456789012345"), ROLE_PLAYER),
		claims_of(STR("p"), (enum role)0),
		claims_of(STR("p"), (enum role)(ROLE_PLAYER | ROLE_ADMIN)),
		{"\xff", "a", STR("p"), ROLE_PLAYER, NOW_MS, NOW_MS},
		{"i", "\xc0\x80", STR("p"), ROLE_PLAYER, NOW_MS, NOW_MS},
	};
	struct buf jwk;
	struct buf token;

	buf_init(&jwk);
	buf_init(&token);
	CU_ASSERT_EQUAL_FATAL(mint_key("EdDSA", &jwk, &token), ERR_OK);
	buf_clear(&token);
	struct minter *minter = minter_of(buf_view(&jwk));

	for (size_t i = 0; i < COUNT_OF(bad); i++)
		CU_ASSERT_EQUAL(mint_token(minter, &bad[i], &token), ERR_INVALID_FIELD);
	CU_ASSERT_EQUAL(token.len, 0);
	minter_free(minter);
	buf_release(&jwk);
	buf_release(&token);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"mints what the verifier accepts", mints_what_the_verifier_accepts},
		{"makes a new key each time", makes_a_new_key_each_time},
		{"writes public keys only", writes_public_keys_only},
		{"refuses unknown algorithms", refuses_unknown_algorithms},
		{"refuses keys that cannot sign", refuses_keys_that_cannot_sign},
		{"refuses bad claims", refuses_bad_claims},
		CU_TEST_INFO_NULL,
	};

	return tap_main("auth/mint", tests);
}
