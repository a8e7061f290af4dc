/* Tests of auth/jwk: which sets of keys are taken, and which key is found. Signatures are tested with auth/token. */
#include "auth/jwk.h"

#include <stdio.h>

#include "auth/base64url.h"
#include "tap.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

#define X32 "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"" /* 32 bytes */
#define OKP "\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":" X32
#define OCT "{\"kty\":\"oct\",\"k\":" X32 "}"
/* The base point of P-256. */
#define POINT                                                                                                          \
	"\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpY\",\"y\":\"T-"            \
	"NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU\""

static char detail[JWK_DETAIL_SIZE];

static void
check_refused_set(struct str text, bool allow_hs256, const char *wanted)
{
	struct jwk_set *parsed = NULL;
	enum err err = jwk_set_parse(text, allow_hs256, &parsed, detail);

	CU_ASSERT_EQUAL(err, ERR_CONFIG);
	CU_ASSERT_PTR_NULL(parsed);
	CU_ASSERT_PTR_NOT_NULL(strstr(detail, wanted));
	if (err != ERR_CONFIG || !strstr(detail, wanted))
		printf("# detail \"%s\", wanted \"%s\", of %.*s\n", detail, wanted, STR_ARGS(text));
}

static void
refuses_bad_sets(void)
{
	static const struct {
		const char *text;
		const char *detail;
	} bad[] = {
		{"", "JSON"},
		{"{\"keys\":[}", "JSON"},
		{"[]", "no array \"keys\""},
		{"{" OKP "}", "no array \"keys\""},
		{"{\"keys\":{}}", "1 to 64"},
		{"{\"keys\":[]}", "1 to 64"},
		{"{\"keys\":[1]}", "keys[0]: kty"},
		{"{\"keys\":[{}]}", "keys[0]: kty"},
		{"{\"keys\":[{\"kty\":\"DSA\"}]}", "keys[0]: kty"},
		{"{\"keys\":[{\"kty\":\"rsa\"}]}", "keys[0]: kty"},
		{"{\"keys\":[{\"kid\":\"a\"," OKP "},{\"kid\":\"b\",\"kty\":\"AKP\"}]}", "keys[1]: kty"},
		{"{\"keys\":[{\"alg\":\"ES256\"," OKP "}]}", "alg"},
		{"{\"keys\":[{\"alg\":\"none\"," OKP "}]}", "alg"},
		{"{\"keys\":[{\"alg\":1," OKP "}]}", "alg"},
		{"{\"keys\":[{\"alg\":\"RS512\",\"kty\":\"RSA\"}]}", "alg"},
		{"{\"keys\":[{\"alg\":\"HS256\",\"kty\":\"RSA\"}]}", "alg"},
		{"{\"keys\":[{\"alg\":\"RSA-OAEP\",\"kty\":\"RSA\"}]}", "alg"},
		{"{\"keys\":[{\"kid\":\"\"," OKP "}]}", "kid"},
		{"{\"keys\":[{\"kid\":1," OKP "}]}", "kid"},
		{"{\"keys\":[{\"use\":\"enc\"," OKP "}]}", "use"},
		{"{\"keys\":[{\"use\":1," OKP "}]}", "use"},
		{"{\"keys\":[{\"key_ops\":[\"sign\"]," OKP "}]}", "key_ops"},
		{"{\"keys\":[{\"key_ops\":\"verify\"," OKP "}]}", "key_ops"},
		{"{\"keys\":[{\"kid\":\"a\"," OKP "},{" OKP "}]}", "keys[1]: a key beside others needs a kid"},
		{"{\"keys\":[{\"kid\":\"a\"," OKP "},{\"kid\":\"a\"," OKP "}]}", "same kid"},
		{"{\"keys\":[{\"d\":" X32 "," OKP "}]}", "private"},
		{"{\"keys\":[{\"k\":" X32 "," OKP "}]}", "private"},
		{"{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed448\",\"x\":" X32 "}]}", "crv"},
		{"{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":" X32 "}]}", "crv"},
		{"{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AAAA\"}]}", "32 bytes"},
		{"{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\"}]}", "32 bytes"},
		{"{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-384\",\"x\":" X32 ",\"y\":" X32 "}]}", "P-256"},
		{"{\"keys\":[{\"kty\":\"EC\",\"crv\":\"secp256k1\",\"x\":" X32 ",\"y\":" X32 "}]}", "P-256"},
		{"{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":" X32 ",\"y\":" X32 "}]}", "point"},
		{"{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":" X32 "}]}", "32 bytes"},
		{"{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAA\"}]}", "32 to 512"},
		{"{\"keys\":[{\"kty\":\"oct\"}]}", "32 to 512"},
		{"{\"keys\":[{\"kty\":\"RSA\",\"e\":\"AQAB\"}]}", "n must"},
		{"{\"keys\":[{\"kty\":\"RSA\",\"n\":\"\",\"e\":\"AQAB\"}]}", "n must"},
		{"{\"keys\":[{\"kty\":\"RSA\",\"n\":" X32 ",\"e\":\"AQAB\"}]}", "n must"},
	};

	for (size_t i = 0; i < COUNT_OF(bad); i++)
		check_refused_set(str_from(bad[i].text), true, bad[i].detail);
}

static void
check_modulus(const unsigned char *modulus, size_t len, const char *exponent, const char *wanted)
{
	struct jwk_set *parsed = NULL;
	struct buf set;

	buf_init(&set);
	buf_literal(&set, "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"");
	base64url_encode(&set, modulus, len);
	buf_format(&set, "\",\"e\":\"%s\"}]}", exponent);
	if (wanted)
		check_refused_set(buf_view(&set), false, wanted);
	else
		CU_ASSERT_EQUAL(jwk_set_parse(buf_view(&set), false, &parsed, detail), ERR_OK);
	jwk_set_free(parsed);
	buf_release(&set);
}

static void
bounds_rsa_numbers(void)
{
	unsigned char modulus[1025] = {0};

	memset(modulus, 0xff, sizeof(modulus));
	check_modulus(modulus, 256, "AQAB", NULL);
	check_modulus(modulus, 256, "Aw", NULL);
	check_modulus(modulus, 1024, "AQAB", NULL);
	check_modulus(modulus, 1025, "AQAB", "8192 bits");
	check_modulus(modulus, 255, "AQAB", "2048 bits");
	check_modulus(modulus, 256, "AQ", "e must");
	check_modulus(modulus, 256, "AAEAAQ", "e must");
	check_modulus(modulus, 256, "AQAA", "e must");
	check_modulus(modulus, 256, "", "e must");
	modulus[0] = 0x80;
	check_modulus(modulus, 256, "AQAB", NULL);
	modulus[0] = 0x7f;
	check_modulus(modulus, 256, "AQAB", "2048 bits");
	modulus[0] = 0;
	check_modulus(modulus, 257, "AQAB", "leading zeros");
	modulus[0] = 0xff;
	modulus[255] = 0xfe;
	check_modulus(modulus, 256, "AQAB", "odd");
}

/* Each member that only a private key has, on each type of key that has public ones. */
static void
refuses_private_keys(void)
{
	static const char *const members[] = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"};
	static const char *const types[] = {OKP, POINT, "\"kty\":\"RSA\""};

	for (size_t i = 0; i < COUNT_OF(members) * COUNT_OF(types); i++) {
		struct buf set;

		buf_init(&set);
		buf_format(&set, "{\"keys\":[{\"%s\":\"AQ\",%s}]}", members[i / COUNT_OF(types)],
			   types[i % COUNT_OF(types)]);
		check_refused_set(buf_view(&set), true, "private key");
		buf_release(&set);
	}
}

static void
takes_secrets_only_where_allowed(void)
{
	struct jwk_set *set = NULL;

	check_refused_set(STR("{\"keys\":[" OCT "]}"), false, "HS256 is allowed");
	CU_ASSERT_EQUAL_FATAL(jwk_set_parse(STR("{\"keys\":[" OCT "]}"), true, &set, detail), ERR_OK);
	CU_ASSERT_STRING_EQUAL(jwk_algorithm(jwk_set_find(set, STR_NONE)), "HS256");
	jwk_set_free(set);
	jwk_set_free(NULL);
}

static void
finds_keys_by_kid(void)
{
	const char *text = "{\"note\":1,\"keys\":[{\"kid\":\"a\",\"use\":\"sig\"," OKP "},"
			   "{\"kid\":\"b\",\"key_ops\":[\"verify\"],\"x5t\":\"ignored\"," POINT "}]}";
	struct jwk_set *set = NULL;

	CU_ASSERT_EQUAL_FATAL(jwk_set_parse(str_from(text), false, &set, detail), ERR_OK);
	CU_ASSERT_STRING_EQUAL(jwk_algorithm(jwk_set_find(set, STR("a"))), "EdDSA");
	CU_ASSERT_STRING_EQUAL(jwk_algorithm(jwk_set_find(set, STR("b"))), "ES256");
	CU_ASSERT_PTR_NULL(jwk_set_find(set, STR_NONE));
	CU_ASSERT_PTR_NULL(jwk_set_find(set, STR("A")));
	CU_ASSERT_PTR_NULL(jwk_set_find(set, STR("")));
	CU_ASSERT_PTR_NULL(jwk_set_find(set, STR("ab")));
	jwk_set_free(set);
}

static void
finds_the_only_key_without_kid(void)
{
	struct jwk_set *set = NULL;

	CU_ASSERT_EQUAL_FATAL(jwk_set_parse(STR("{\"keys\":[{" OKP "}]}"), false, &set, detail), ERR_OK);
	CU_ASSERT_PTR_NOT_NULL(jwk_set_find(set, STR_NONE));
	CU_ASSERT_PTR_NULL(jwk_set_find(set, STR("")));
	CU_ASSERT_PTR_NULL(jwk_set_find(set, STR("a")));
	jwk_set_free(set);
}

/* 64 keys and kids of 128 bytes, and not one more. */
static void
bounds_keys_and_kids(void)
{
	for (int count = 63; count <= 65; count++) {
		for (int width = 127; width <= 129; width++) {
			struct jwk_set *set = NULL;
			enum err err;
			struct buf text;

			buf_init(&text);
			buf_literal(&text, "{\"keys\":[");
			for (int i = 0; i < count; i++)
				buf_format(&text, "%s{\"kid\":\"%0*d\"," OKP "}", i ? "," : "", width, i);
			buf_literal(&text, "]}");
			err = jwk_set_parse(buf_view(&text), false, &set, detail);
			CU_ASSERT_EQUAL(err, count <= 64 && width <= 128 ? ERR_OK : ERR_CONFIG);
			jwk_set_free(set);
			buf_release(&text);
		}
	}
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"refuses bad sets", refuses_bad_sets},
		{"bounds RSA numbers", bounds_rsa_numbers},
		{"refuses private keys", refuses_private_keys},
		{"takes secrets only where allowed", takes_secrets_only_where_allowed},
		{"finds keys by kid", finds_keys_by_kid},
		{"finds the only key without kid", finds_the_only_key_without_kid},
		{"bounds keys and kids", bounds_keys_and_kids},
		CU_TEST_INFO_NULL,
	};

	return tap_main("auth/jwk", tests);
}
