/*
 * Tests of auth/token: headers, signatures and forgeries, from the text of a token to the identity. Tokens are signed
 * here by OpenSSL alone, so that nothing that makes a token shares a line with what checks it.
 */
#include "auth/token.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "auth/base64url.h"
#include "auth/jwk.h"
#include "auth/remembered.h"
#include "tap.h"

#define NOW_MS   INT64_C(1800000000000)
#define ISSUER   "https://id.example"
#define AUDIENCE "battlepass"
/* Claims that are good at NOW_MS, but for what a test adds. */
#define CLAIMS_BUT_SUBJECT "\"iss\":\"" ISSUER "\",\"aud\":\"" AUDIENCE "\",\"exp\":1800000600"
#define GOOD_CLAIMS        "{" CLAIMS_BUT_SUBJECT ",\"sub\":\"p-1\",\"role\":\"player\"}"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

enum key_index { KEY_RS256, KEY_PS256, KEY_ES256, KEY_EDDSA, KEY_HS256, KEY_COUNT };

struct key {
	const char *algorithm;
	const char *header; /* a good one */
	EVP_PKEY *pair;     /* NULL for HS256 */
};

static struct key keys[KEY_COUNT] = {
	{"RS256", "{\"alg\":\"RS256\",\"kid\":\"RS256\"}", NULL},
	{"PS256", "{\"alg\":\"PS256\",\"kid\":\"PS256\"}", NULL},
	{"ES256", "{\"alg\":\"ES256\",\"kid\":\"ES256\"}", NULL},
	{"EdDSA", "{\"alg\":\"EdDSA\",\"kid\":\"EdDSA\"}", NULL},
	{"HS256", "{\"alg\":\"HS256\",\"kid\":\"HS256\"}", NULL},
};

static const char secret[] = "a secret of thirty-two bytes....";

static char detail[JWK_DETAIL_SIZE];

static void
make_keys(void)
{
	keys[KEY_RS256].pair = EVP_RSA_gen(2048);
	keys[KEY_PS256].pair = EVP_RSA_gen(3072);
	keys[KEY_ES256].pair = EVP_EC_gen("P-256");
	keys[KEY_EDDSA].pair = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
}

static void
free_keys(void)
{
	for (size_t i = 0; i < KEY_COUNT; i++)
		EVP_PKEY_free(keys[i].pair);
}

/* ---- signing ---- */

static void
add_hmac(struct buf *token, const void *key, size_t key_len)
{
	unsigned char mac[32];

	HMAC(EVP_sha256(), key, (int)key_len, (const unsigned char *)token->data, token->len, mac, NULL);
	buf_char(token, '.');
	base64url_encode(token, mac, sizeof(mac));
}

/* ECDSA: from the DER that OpenSSL writes to r and s of 32 bytes each. */
static size_t
raw_ecdsa(unsigned char *signature, size_t len)
{
	const unsigned char *der = signature;
	ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &der, (long)len);

	BN_bn2binpad(ECDSA_SIG_get0_s(pair), signature + 32, 32);
	BN_bn2binpad(ECDSA_SIG_get0_r(pair), signature, 32);
	ECDSA_SIG_free(pair);
	return 64;
}

/* Appends the signature of what the token holds so far. salt_len is for PS256. */
static void
add_signature(struct buf *token, enum key_index index, int salt_len)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	EVP_PKEY_CTX *options;
	unsigned char signature[1024];
	size_t len = sizeof(signature);
	int good =
		EVP_DigestSignInit(context, &options, index == KEY_EDDSA ? NULL : EVP_sha256(), NULL, keys[index].pair);

	if (index == KEY_PS256)
		good &= EVP_PKEY_CTX_set_rsa_padding(options, RSA_PKCS1_PSS_PADDING) > 0 &&
			EVP_PKEY_CTX_set_rsa_pss_saltlen(options, salt_len) > 0;
	good &= EVP_DigestSign(context, signature, &len, (const unsigned char *)token->data, token->len);
	CU_ASSERT_FATAL(good == 1);
	if (index == KEY_ES256)
		len = raw_ecdsa(signature, len);
	buf_char(token, '.');
	base64url_encode(token, signature, len);
	EVP_MD_CTX_free(context);
}

static void
begin_token(struct buf *token, const char *header, const char *claims)
{
	buf_init(token);
	base64url_encode(token, header, strlen(header));
	buf_char(token, '.');
	base64url_encode(token, claims, strlen(claims));
}

static void
make_token(struct buf *token, enum key_index index, const char *header, const char *claims)
{
	begin_token(token, header, claims);
	if (index == KEY_HS256)
		add_hmac(token, secret, strlen(secret));
	else
		add_signature(token, index, RSA_PSS_SALTLEN_DIGEST);
}

/* ---- key sets ---- */

static void
add_number(struct buf *jwk, EVP_PKEY *pair, const char *parameter, const char *member, int width)
{
	BIGNUM *number = NULL;
	unsigned char bytes[1024];
	int len;

	CU_ASSERT_FATAL(EVP_PKEY_get_bn_param(pair, parameter, &number) == 1);
	len = BN_bn2binpad(number, bytes, width ? width : BN_num_bytes(number));
	buf_format(jwk, ",\"%s\":\"", member);
	base64url_encode(jwk, bytes, (size_t)len);
	buf_char(jwk, '"');
	BN_free(number);
}

static void
add_key_members(struct buf *jwk, enum key_index index)
{
	unsigned char point[32];
	size_t len = sizeof(point);

	if (index == KEY_RS256 || index == KEY_PS256) {
		buf_literal(jwk, "\"kty\":\"RSA\"");
		add_number(jwk, keys[index].pair, OSSL_PKEY_PARAM_RSA_N, "n", 0);
		add_number(jwk, keys[index].pair, OSSL_PKEY_PARAM_RSA_E, "e", 0);
	} else if (index == KEY_ES256) {
		buf_literal(jwk, "\"kty\":\"EC\",\"crv\":\"P-256\"");
		add_number(jwk, keys[index].pair, OSSL_PKEY_PARAM_EC_PUB_X, "x", 32);
		add_number(jwk, keys[index].pair, OSSL_PKEY_PARAM_EC_PUB_Y, "y", 32);
	} else if (index == KEY_EDDSA) {
		EVP_PKEY_get_raw_public_key(keys[index].pair, point, &len);
		buf_literal(jwk, "\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"");
		base64url_encode(jwk, point, len);
		buf_char(jwk, '"');
	} else {
		buf_literal(jwk, "\"kty\":\"oct\",\"k\":\"");
		base64url_encode(jwk, secret, strlen(secret));
		buf_char(jwk, '"');
	}
}

/* Appends the key with alg and kid. */
static void
add_key(struct buf *set, enum key_index index)
{
	buf_cstr(set, set->len ? "," : "{\"keys\":[");
	buf_format(set, "{\"alg\":\"%s\",\"kid\":\"%s\",", keys[index].algorithm, keys[index].algorithm);
	add_key_members(set, index);
	buf_char(set, '}');
}

/* What verifiers remember; each has its own, but where they are to share one. They live as long as the program. */
static struct remembered *tables[256];
static size_t table_count;
static bool share_table;

static struct remembered *
table_for_verifier(void)
{
	if (share_table && table_count)
		return tables[table_count - 1];
	CU_ASSERT_FATAL(table_count < COUNT_OF(tables));
	return tables[table_count++] = remembered_new(64);
}

static enum err
verifier_for(struct str text, const char *audience, bool allow_hs256, int64_t leeway_ms,
	     struct token_verifier **ret_verifier)
{
	struct token_rules rules = {.keys = text,
				    .keys_file = "keys.json",
				    .issuer = ISSUER,
				    .audience = audience,
				    .allow_hs256 = allow_hs256,
				    .leeway_ms = leeway_ms,
				    .remembered = table_for_verifier()};

	detail[0] = '\0';
	return token_verifier_new(&rules, ret_verifier, detail);
}

static enum err
verifier_from(struct str text, bool allow_hs256, int64_t leeway_ms, struct token_verifier **ret_verifier)
{
	return verifier_for(text, AUDIENCE, allow_hs256, leeway_ms, ret_verifier);
}

static struct token_verifier *
verifier_of_all(void)
{
	struct token_verifier *verifier = NULL;
	struct buf set;

	buf_init(&set);
	for (enum key_index i = 0; i < KEY_COUNT; i++)
		add_key(&set, i);
	buf_literal(&set, "]}");
	CU_ASSERT_EQUAL_FATAL(verifier_from(buf_view(&set), true, 0, &verifier), ERR_OK);
	buf_release(&set);
	return verifier;
}

static struct token_verifier *
verifier_of_one(enum key_index index)
{
	struct token_verifier *verifier = NULL;
	struct buf set;

	buf_init(&set);
	add_key(&set, index);
	buf_literal(&set, "]}");
	CU_ASSERT_EQUAL_FATAL(verifier_from(buf_view(&set), index == KEY_HS256, 0, &verifier), ERR_OK);
	buf_release(&set);
	return verifier;
}

/* What the verifier says; checks that the identity is untouched on failure. */
static enum err
verdict(struct token_verifier *verifier, struct str token, int64_t now_ms)
{
	struct identity identity;
	struct identity before;
	enum err err;

	memset(&identity, 0x5a, sizeof(identity));
	before = identity;
	err = token_verify(verifier, token, now_ms, &identity);
	if (err)
		CU_ASSERT_EQUAL(memcmp(&identity, &before, sizeof(identity)), 0);
	return err;
}

static enum err
verdict_on(struct token_verifier *verifier, enum key_index index, const char *header, const char *claims)
{
	struct buf token;
	enum err err;

	make_token(&token, index, header, claims);
	err = verdict(verifier, buf_view(&token), NOW_MS);
	buf_release(&token);
	return err;
}

/* ---- acceptance ---- */

static void
accepts_every_algorithm(void)
{
	struct token_verifier *verifier = verifier_of_all();

	for (enum key_index i = 0; i < KEY_COUNT; i++) {
		struct identity identity = {0};
		struct buf token;

		make_token(&token, i, keys[i].header, GOOD_CLAIMS);
		for (int round = 0; round < 3; round++) {
			CU_ASSERT_EQUAL(token_verify(verifier, buf_view(&token), NOW_MS, &identity), ERR_OK);
			CU_ASSERT_STRING_EQUAL(identity.subject, "p-1");
			CU_ASSERT_EQUAL(identity.role, ROLE_PLAYER);
			CU_ASSERT_EQUAL(identity.expires_at_ms, INT64_C(1800000600000));
		}
		buf_release(&token);
	}
	token_verifier_free(verifier);
}

static void
names_every_role(void)
{
	static const char *const names[] = {"player", "server", "viewer", "support", "designer", "admin"};
	struct token_verifier *verifier = verifier_of_one(KEY_EDDSA);

	for (unsigned i = 0; i < COUNT_OF(names); i++) {
		struct identity identity = {0};
		struct buf claims;
		struct buf token;

		buf_init(&claims);
		buf_format(&claims, "{" CLAIMS_BUT_SUBJECT ",\"sub\":\"s\",\"role\":\"%s\"}", names[i]);
		make_token(&token, KEY_EDDSA, keys[KEY_EDDSA].header, buf_text(&claims));
		CU_ASSERT_EQUAL(token_verify(verifier, buf_view(&token), NOW_MS, &identity), ERR_OK);
		CU_ASSERT_EQUAL(identity.role, 1u << i);
		CU_ASSERT_STRING_EQUAL(role_name(identity.role), names[i]);
		CU_ASSERT_EQUAL(role_parse(str_from(names[i])), identity.role);
		buf_release(&claims);
		buf_release(&token);
	}
	CU_ASSERT_PTR_NULL(role_name((enum role)0));
	CU_ASSERT_PTR_NULL(role_name((enum role)(ROLE_PLAYER | ROLE_ADMIN)));
	CU_ASSERT_EQUAL(role_parse(STR("Player")), 0);
	CU_ASSERT_EQUAL(role_parse(STR_NONE), 0);
	token_verifier_free(verifier);
}

static void
needs_no_kid_with_one_key(void)
{
	struct token_verifier *one = verifier_of_one(KEY_ES256);
	struct token_verifier *all = verifier_of_all();

	CU_ASSERT_EQUAL(verdict_on(one, KEY_ES256, "{\"alg\":\"ES256\"}", GOOD_CLAIMS), ERR_OK);
	CU_ASSERT_EQUAL(verdict_on(all, KEY_ES256, "{\"alg\":\"ES256\"}", GOOD_CLAIMS), ERR_TOKEN_INVALID);
	CU_ASSERT_EQUAL(verdict_on(one, KEY_ES256, "{\"alg\":\"ES256\",\"kid\":\"other\"}", GOOD_CLAIMS),
			ERR_TOKEN_INVALID);
	CU_ASSERT_EQUAL(verdict_on(one, KEY_ES256, "{\"alg\":\"ES256\",\"kid\":\"\"}", GOOD_CLAIMS), ERR_TOKEN_INVALID);
	token_verifier_free(one);
	token_verifier_free(all);
}

/* The type of the key says the algorithm where the key does not. */
static void
takes_the_algorithm_from_the_key_type(void)
{
	static const enum key_index typed[] = {KEY_RS256, KEY_ES256, KEY_EDDSA, KEY_HS256};

	for (size_t i = 0; i < COUNT_OF(typed); i++) {
		struct token_verifier *verifier = NULL;
		struct buf header;
		struct buf set;

		buf_init(&header);
		buf_init(&set);
		buf_format(&header, "{\"alg\":\"%s\"}", keys[typed[i]].algorithm);
		buf_literal(&set, "{\"keys\":[{");
		add_key_members(&set, typed[i]);
		buf_literal(&set, "}]}");
		CU_ASSERT_EQUAL_FATAL(verifier_from(buf_view(&set), true, 0, &verifier), ERR_OK);
		CU_ASSERT_EQUAL(verdict_on(verifier, typed[i], buf_text(&header), GOOD_CLAIMS), ERR_OK);
		CU_ASSERT_EQUAL(verdict_on(verifier, typed[i], keys[typed[i]].header, GOOD_CLAIMS), ERR_TOKEN_INVALID);
		token_verifier_free(verifier);
		buf_release(&header);
		buf_release(&set);
	}
}

/* ---- headers ---- */

static void
accepts_good_types(void)
{
	static const char *const types[] = {"JWT", "jwt", "at+jwt", "application/at+jwt"};
	struct token_verifier *verifier = verifier_of_one(KEY_EDDSA);

	for (size_t i = 0; i < COUNT_OF(types); i++) {
		struct buf header;

		buf_init(&header);
		buf_format(&header, "{\"typ\":\"%s\",\"alg\":\"EdDSA\",\"x5t\":\"ignored\"}", types[i]);
		CU_ASSERT_EQUAL(verdict_on(verifier, KEY_EDDSA, buf_text(&header), GOOD_CLAIMS), ERR_OK);
		buf_release(&header);
	}
	token_verifier_free(verifier);
}

static void
refuses_bad_headers(void)
{
	static const char *const bad[] = {
		"{\"alg\":\"EdDSA\",\"crit\":[\"exp\"]}",
		"{\"alg\":\"EdDSA\",\"crit\":[]}",
		"{\"alg\":\"EdDSA\",\"b64\":true}",
		"{\"alg\":\"EdDSA\",\"b64\":false,\"crit\":[\"b64\"]}",
		"{\"alg\":\"EdDSA\",\"jwk\":{}}",
		"{\"alg\":\"EdDSA\",\"jku\":\"https://evil.example/keys\"}",
		"{\"alg\":\"EdDSA\",\"x5u\":\"https://evil.example/key\"}",
		"{\"alg\":\"EdDSA\",\"x5c\":[]}",
		"{\"alg\":\"EdDSA\",\"typ\":\"dpop+jwt\"}",
		"{\"alg\":\"EdDSA\",\"typ\":\"\"}",
		"{\"alg\":\"EdDSA\",\"typ\":1}",
		"{\"alg\":\"EdDSA\",\"kid\":1}",
		"{\"alg\":\"EdDSA\",\"kid\":null}",
		"{\"alg\":\"EdDSA\",\"kid\":\"eddsa\"}",
		"{\"alg\":\"EdDSA\",\"kid\":\"EdDSA\\u0000\"}",
		"{\"alg\":\"EdDSA\",\"alg\":\"EdDSA\"}",
		"{\"alg\":\"eddsa\"}",
		"{\"alg\":\"Ed25519\"}",
		"{\"alg\":\"none\"}",
		"{\"alg\":\"None\"}",
		"{\"alg\":\"\"}",
		"{\"alg\":[\"EdDSA\"]}",
		"{\"Alg\":\"EdDSA\"}",
		"{}",
		"{\"alg\":\"EdDSA\"",
		"{\"alg\":\"EdDSA\"} x",
		"{\"alg\":\"EdDSA\",}",
		"[\"alg\",\"EdDSA\"]",
		"\"EdDSA\"",
		"",
	};
	struct token_verifier *verifier = verifier_of_one(KEY_EDDSA);

	CU_ASSERT_EQUAL(verdict_on(verifier, KEY_EDDSA, "{\"alg\":\"EdDSA\"}", GOOD_CLAIMS), ERR_OK);
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		enum err err = verdict_on(verifier, KEY_EDDSA, bad[i], GOOD_CLAIMS);

		CU_ASSERT_EQUAL(err, ERR_TOKEN_INVALID);
		if (err != ERR_TOKEN_INVALID)
			printf("# accepted: %s\n", bad[i]);
	}
	token_verifier_free(verifier);
}

/* ---- times ---- */

static struct token_verifier *
verifier_with_leeway(int64_t leeway_ms)
{
	struct token_verifier *verifier = NULL;
	struct buf set;

	buf_init(&set);
	add_key(&set, KEY_EDDSA);
	buf_literal(&set, "]}");
	CU_ASSERT_EQUAL_FATAL(verifier_from(buf_view(&set), false, leeway_ms, &verifier), ERR_OK);
	buf_release(&set);
	return verifier;
}

/* To the millisecond, for a token seen for the first time and for one remembered. */
static void
expires_at_the_boundary(void)
{
	static const int64_t leeways_ms[] = {0, 1, 30000};
	const int64_t exp_ms = INT64_C(1800000600000);
	struct buf token;

	make_token(&token, KEY_EDDSA, "{\"alg\":\"EdDSA\"}", GOOD_CLAIMS);
	for (size_t i = 0; i < COUNT_OF(leeways_ms); i++) {
		const int64_t end_ms = exp_ms + leeways_ms[i];
		struct token_verifier *fresh = verifier_with_leeway(leeways_ms[i]);
		struct token_verifier *used = verifier_with_leeway(leeways_ms[i]);

		CU_ASSERT_EQUAL(verdict(fresh, buf_view(&token), end_ms), ERR_TOKEN_EXPIRED);
		CU_ASSERT_EQUAL(verdict(fresh, buf_view(&token), end_ms - 1), ERR_OK);
		CU_ASSERT_EQUAL(verdict(used, buf_view(&token), NOW_MS), ERR_OK);
		CU_ASSERT_EQUAL(verdict(used, buf_view(&token), end_ms - 1), ERR_OK);
		CU_ASSERT_EQUAL(verdict(used, buf_view(&token), end_ms), ERR_TOKEN_EXPIRED);
		CU_ASSERT_EQUAL(verdict(used, buf_view(&token), end_ms + 86400000), ERR_TOKEN_EXPIRED);
		token_verifier_free(fresh);
		token_verifier_free(used);
	}
	buf_release(&token);
}

/* In one table: what one verifier has accepted holds for another of the same rules, and for no other. */
static void
shares_what_is_remembered_with_its_like_only(void)
{
	struct token_verifier *first = verifier_of_one(KEY_EDDSA);
	struct token_verifier *others[4];
	struct remembered *table = tables[table_count - 1];
	struct buf set;
	struct buf token;

	make_token(&token, KEY_EDDSA, "{\"alg\":\"EdDSA\"}", GOOD_CLAIMS);
	share_table = true;
	buf_init(&set);
	add_key(&set, KEY_EDDSA);
	buf_literal(&set, "]}");
	others[0] = verifier_of_one(KEY_ES256);
	CU_ASSERT_EQUAL_FATAL(verifier_for(buf_view(&set), "another", false, 0, &others[1]), ERR_OK);
	CU_ASSERT_EQUAL_FATAL(verifier_from(buf_view(&set), false, 1, &others[2]), ERR_OK);
	others[3] = verifier_of_one(KEY_EDDSA);

	CU_ASSERT_EQUAL(verdict(first, buf_view(&token), NOW_MS), ERR_OK);
	CU_ASSERT_EQUAL(remembered_count(table, NOW_MS), 1);
	CU_ASSERT_EQUAL(verdict(others[0], buf_view(&token), NOW_MS), ERR_TOKEN_INVALID);
	CU_ASSERT_EQUAL(verdict(others[1], buf_view(&token), NOW_MS), ERR_TOKEN_INVALID);
	CU_ASSERT_EQUAL(verdict(others[3], buf_view(&token), NOW_MS), ERR_OK);
	CU_ASSERT_EQUAL(remembered_count(table, NOW_MS), 1);
	CU_ASSERT_EQUAL(verdict(others[2], buf_view(&token), NOW_MS), ERR_OK);
	CU_ASSERT_EQUAL(remembered_count(table, NOW_MS), 2);
	share_table = false;
	for (size_t i = 0; i < COUNT_OF(others); i++)
		token_verifier_free(others[i]);
	token_verifier_free(first);
	buf_release(&token);
	buf_release(&set);
}

/* "Expired" vouches for the rest of the token: nothing else may be wrong. */
static void
says_expired_of_good_tokens_only(void)
{
	struct token_verifier *verifier = verifier_of_one(KEY_EDDSA);
	const char *old_claims = "{\"iss\":\"" ISSUER "\",\"aud\":\"" AUDIENCE
				 "\",\"exp\":1700000000,\"sub\":\"p-1\",\"role\":\"player\"}";
	struct buf token;

	CU_ASSERT_EQUAL(verdict_on(verifier, KEY_EDDSA, "{\"alg\":\"EdDSA\"}", old_claims), ERR_TOKEN_EXPIRED);
	CU_ASSERT_EQUAL(verdict_on(verifier, KEY_EDDSA, "{\"alg\":\"EdDSA\"}",
				   "{\"iss\":\"x\",\"aud\":\"" AUDIENCE
				   "\",\"exp\":1700000000,\"sub\":\"p-1\",\"role\":\"player\"}"),
			ERR_TOKEN_INVALID);
	make_token(&token, KEY_EDDSA, "{\"alg\":\"EdDSA\"}", old_claims);
	token.data[token.len - 10] = (char)(token.data[token.len - 10] == 'A' ? 'B' : 'A');
	CU_ASSERT_EQUAL(verdict(verifier, buf_view(&token), NOW_MS), ERR_TOKEN_INVALID);
	buf_release(&token);
	token_verifier_free(verifier);
}

/* ---- forgeries ---- */

/* Every bit of every token, with the true one remembered. */
static void
refuses_every_bit_flip(void)
{
	struct token_verifier *verifier = verifier_of_all();

	for (enum key_index i = 0; i < KEY_COUNT; i++) {
		struct buf token;
		unsigned accepted = 0;

		make_token(&token, i, keys[i].header, GOOD_CLAIMS);
		CU_ASSERT_EQUAL(verdict(verifier, buf_view(&token), NOW_MS), ERR_OK);
		for (size_t bit = 0; bit < token.len * 8; bit++) {
			char *byte = &token.data[bit / 8];
			char before = *byte;

			*byte = (char)(before ^ 1 << bit % 8);
			accepted += verdict(verifier, buf_view(&token), NOW_MS) != ERR_TOKEN_INVALID;
			*byte = before;
		}
		CU_ASSERT_EQUAL(accepted, 0);
		CU_ASSERT_EQUAL(verdict(verifier, buf_view(&token), NOW_MS), ERR_OK);
		buf_release(&token);
	}
	token_verifier_free(verifier);
}

static void
refuses_every_truncation(void)
{
	struct token_verifier *verifier = verifier_of_all();

	for (enum key_index i = 0; i < KEY_COUNT; i++) {
		struct buf token;
		unsigned accepted = 0;

		make_token(&token, i, keys[i].header, GOOD_CLAIMS);
		for (size_t len = 0; len < token.len; len++) {
			/* A copy of exactly this size lets the sanitizer see a read past its end. */
			char *cut = malloc(len ? len : 1);

			memcpy(cut, token.data, len);
			accepted += verdict(verifier, (struct str){cut, len}, NOW_MS) != ERR_TOKEN_INVALID;
			free(cut);
		}
		for (size_t from = 1; from < token.len; from++)
			accepted += verdict(verifier, (struct str){token.data + from, token.len - from}, NOW_MS) !=
				    ERR_TOKEN_INVALID;
		CU_ASSERT_EQUAL(accepted, 0);
		buf_release(&token);
	}
	token_verifier_free(verifier);
}

static void
refuses_trailing_data(void)
{
	static const char *const tails[] = {".", "=", "==", "A", "AA", "AAAA", " ", "\n", ".AAAA", "..", "\x80"};
	struct token_verifier *verifier = verifier_of_all();

	for (enum key_index i = 0; i < KEY_COUNT; i++) {
		for (size_t t = 0; t < COUNT_OF(tails); t++) {
			struct buf token;

			make_token(&token, i, keys[i].header, GOOD_CLAIMS);
			buf_cstr(&token, tails[t]);
			CU_ASSERT_EQUAL(verdict(verifier, buf_view(&token), NOW_MS), ERR_TOKEN_INVALID);
			buf_release(&token);
		}
	}
	token_verifier_free(verifier);
}

static void
refuses_odd_shapes(void)
{
	static const char *const odd[] = {"", ".", "..", "...", "a", "a.b", "a.b.c", "....", "e30.e30.", "e30.e30.AA"};
	struct token_verifier *verifier = verifier_of_all();

	for (size_t i = 0; i < COUNT_OF(odd); i++)
		CU_ASSERT_EQUAL(verdict(verifier, str_from(odd[i]), NOW_MS), ERR_TOKEN_INVALID);
	CU_ASSERT_EQUAL(verdict(verifier, STR_NONE, NOW_MS), ERR_TOKEN_INVALID);
	token_verifier_free(verifier);
}

/* The signature covers the text: padding or another alphabet in a part is refused though it is signed. */
static void
refuses_other_base64(void)
{
	static const char *const headers[] = {
		"eyJhbGciOiJFZERTQSJ9", /* good: {"alg":"EdDSA"} */
		"eyJhbGciOiJFZERTQSJ9=",
		"eyJhbGciOiJFZERTQSJ9IA==", /* padding */
		"eyJhbGciOiJFZERTQSJ9 ",
		"eyJhbGci\nOiJFZERTQSJ9", /* white space */
		"eyJhbGciOiJFZERTQSJ9IB", /* unused bits that are not zero */
		"eyJhbGciOiJFZERTQSIsIng1dCI6Ij8+In0",
		"eyJhbGciOiJFZERTQSIsIng1dCI6Ij8/In0", /* + and / */
	};
	struct token_verifier *verifier = verifier_of_one(KEY_EDDSA);

	for (size_t i = 0; i < COUNT_OF(headers); i++) {
		struct buf token;

		buf_init(&token);
		buf_format(&token, "%s.", headers[i]);
		base64url_encode(&token, GOOD_CLAIMS, strlen(GOOD_CLAIMS));
		add_signature(&token, KEY_EDDSA, 0);
		CU_ASSERT_EQUAL(verdict(verifier, buf_view(&token), NOW_MS), i ? ERR_TOKEN_INVALID : ERR_OK);
		buf_release(&token);
	}
	token_verifier_free(verifier);
}

/* The last character of a signature of 64, 32 or 256 bytes has bits that mean nothing: only zeros are accepted. */
static void
refuses_a_second_text_of_the_signature(void)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	static const enum key_index with_unused_bits[] = {KEY_RS256, KEY_ES256, KEY_EDDSA, KEY_HS256};
	struct token_verifier *verifier = verifier_of_all();

	for (size_t i = 0; i < COUNT_OF(with_unused_bits); i++) {
		struct buf token;
		unsigned accepted = 0;

		make_token(&token, with_unused_bits[i], keys[with_unused_bits[i]].header, GOOD_CLAIMS);
		for (size_t c = 0; c < 64; c++) {
			token.data[token.len - 1] = alphabet[c];
			accepted += verdict(verifier, buf_view(&token), NOW_MS) == ERR_OK;
		}
		CU_ASSERT_EQUAL(accepted, 1);
		buf_release(&token);
	}
	token_verifier_free(verifier);
}

/* A token signed with each key, saying that it was made with each other algorithm. */
static void
refuses_a_changed_algorithm(void)
{
	static const char *const names[] = {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384",
					    "ES512", "EdDSA", "HS256", "HS384", "HS512", "none",  "NONE"};
	struct token_verifier *verifier = verifier_of_all();

	for (enum key_index i = 0; i < KEY_COUNT; i++) {
		for (size_t n = 0; n < COUNT_OF(names); n++) {
			bool is_own = strcmp(names[n], keys[i].algorithm) == 0;
			struct buf header;

			buf_init(&header);
			buf_format(&header, "{\"alg\":\"%s\",\"kid\":\"%s\"}", names[n], keys[i].algorithm);
			CU_ASSERT_EQUAL(verdict_on(verifier, i, buf_text(&header), GOOD_CLAIMS),
					is_own ? ERR_OK : ERR_TOKEN_INVALID);
			buf_release(&header);
		}
	}
	token_verifier_free(verifier);
}

static void
refuses_tokens_without_signature(void)
{
	static const char *const headers[] = {"{\"alg\":\"none\"}", "{\"alg\":\"none\",\"kid\":\"RS256\"}"};
	struct token_verifier *verifier = verifier_of_all();

	for (size_t i = 0; i < COUNT_OF(headers) + KEY_COUNT; i++) {
		struct buf token;

		begin_token(&token, i < KEY_COUNT ? keys[i].header : headers[i - KEY_COUNT], GOOD_CLAIMS);
		CU_ASSERT_EQUAL(verdict(verifier, buf_view(&token), NOW_MS), ERR_TOKEN_INVALID);
		buf_char(&token, '.');
		CU_ASSERT_EQUAL(verdict(verifier, buf_view(&token), NOW_MS), ERR_TOKEN_INVALID);
		buf_release(&token);
	}
	token_verifier_free(verifier);
}

/* Signatures of zeros, of every length up to 256 bytes. */
static void
refuses_zero_signatures(void)
{
	static const unsigned char zeros[400];
	struct token_verifier *verifier = verifier_of_all();
	unsigned accepted = 0;

	for (enum key_index i = 0; i < KEY_COUNT; i++) {
		for (size_t len = 0; len <= sizeof(zeros); len += len == 64 || len == 256 ? 1 : 16) {
			struct buf token;

			begin_token(&token, keys[i].header, GOOD_CLAIMS);
			buf_char(&token, '.');
			base64url_encode(&token, zeros, len);
			accepted += verdict(verifier, buf_view(&token), NOW_MS) != ERR_TOKEN_INVALID;
			buf_release(&token);
		}
	}
	CU_ASSERT_EQUAL(accepted, 0);
	token_verifier_free(verifier);
}

/* The same r and s with zeros in front are the same numbers, and yet another text. */
static void
refuses_a_padded_ecdsa_signature(void)
{
	struct token_verifier *verifier = verifier_of_one(KEY_ES256);
	unsigned char padded[66] = {0};
	unsigned char raw[64];
	size_t len = 0;
	struct buf token;

	make_token(&token, KEY_ES256, keys[KEY_ES256].header, GOOD_CLAIMS);
	size_t signature_at = token.len - 86;

	CU_ASSERT(base64url_decode((struct str){token.data + signature_at, 86}, raw, sizeof(raw), &len) && len == 64);
	memcpy(padded + 1, raw, 32);
	memcpy(padded + 34, raw + 32, 32);
	token.len = signature_at;
	base64url_encode(&token, padded, sizeof(padded));
	CU_ASSERT_EQUAL(verdict(verifier, buf_view(&token), NOW_MS), ERR_TOKEN_INVALID);
	buf_release(&token);
	token_verifier_free(verifier);
}

static void
refuses_another_pss_salt(void)
{
	static const int salts[] = {32, 0, 20, 31, 33, 64};
	struct token_verifier *verifier = verifier_of_one(KEY_PS256);

	for (size_t i = 0; i < COUNT_OF(salts); i++) {
		struct buf token;

		begin_token(&token, keys[KEY_PS256].header, GOOD_CLAIMS);
		add_signature(&token, KEY_PS256, salts[i]);
		CU_ASSERT_EQUAL(verdict(verifier, buf_view(&token), NOW_MS), i ? ERR_TOKEN_INVALID : ERR_OK);
		buf_release(&token);
	}
	token_verifier_free(verifier);
}

static void
check_confusion(struct token_verifier *verifier, const char *header, struct str as_secret)
{
	struct buf token;

	begin_token(&token, header, GOOD_CLAIMS);
	add_hmac(&token, as_secret.ptr, as_secret.len);
	CU_ASSERT_EQUAL(verdict(verifier, buf_view(&token), NOW_MS), ERR_TOKEN_INVALID);
	buf_release(&token);
}

/* HS256 with what everybody knows of a public key as the secret: its PEM, its JWK, the set, its bare numbers. */
static void
refuses_a_public_key_as_secret(void)
{
	struct token_verifier *verifier = verifier_of_all();

	for (enum key_index i = 0; i < KEY_HS256; i++) {
		BIO *pem = BIO_new(BIO_s_mem());
		struct str text;
		struct buf header;
		struct buf jwk;

		PEM_write_bio_PUBKEY(pem, keys[i].pair);
		text.len = (size_t)BIO_get_mem_data(pem, (char **)&text.ptr);
		buf_init(&header);
		buf_init(&jwk);
		buf_format(&header, "{\"alg\":\"HS256\",\"kid\":\"%s\"}", keys[i].algorithm);
		add_key(&jwk, i);
		check_confusion(verifier, buf_text(&header), text);
		check_confusion(verifier, buf_text(&header), buf_view(&jwk));
		check_confusion(verifier, buf_text(&header), STR(""));
		check_confusion(verifier, "{\"alg\":\"HS256\"}", text);
		check_confusion(verifier, "{\"alg\":\"HS256\",\"kid\":\"HS256\"}", text);
		check_confusion(verifier, keys[i].header, text);
		buf_release(&header);
		buf_release(&jwk);
		BIO_free(pem);
	}
	token_verifier_free(verifier);
}

/* Signed well, but with the key of another. */
static void
refuses_the_wrong_key(void)
{
	struct token_verifier *verifier = verifier_of_all();
	EVP_PKEY *mine = keys[KEY_RS256].pair;

	keys[KEY_RS256].pair = keys[KEY_PS256].pair;
	CU_ASSERT_EQUAL(verdict_on(verifier, KEY_RS256, keys[KEY_RS256].header, GOOD_CLAIMS), ERR_TOKEN_INVALID);
	keys[KEY_RS256].pair = mine;
	CU_ASSERT_EQUAL(verdict_on(verifier, KEY_RS256, keys[KEY_RS256].header, GOOD_CLAIMS), ERR_OK);
	token_verifier_free(verifier);
}

/* 4096 bytes are a token, 4097 are not. */
static void
bounds_the_size(void)
{
	struct token_verifier *verifier = verifier_of_one(KEY_HS256);
	unsigned met = 0;

	for (size_t filler = 2800; filler < 3000; filler++) {
		struct buf claims;
		struct buf token;

		buf_init(&claims);
		buf_literal(&claims, "{" CLAIMS_BUT_SUBJECT ",\"sub\":\"p-1\",\"role\":\"player\",\"x\":\"");
		for (size_t i = 0; i < filler; i++)
			buf_char(&claims, 'x');
		buf_literal(&claims, "\"}");
		make_token(&token, KEY_HS256, "{\"alg\":\"HS256\"}", buf_text(&claims));
		CU_ASSERT_EQUAL(verdict(verifier, buf_view(&token), NOW_MS),
				token.len <= 4096 ? ERR_OK : ERR_TOKEN_INVALID);
		met += token.len == 4096 || token.len == 4097;
		buf_release(&claims);
		buf_release(&token);
	}
	CU_ASSERT_EQUAL(met, 2);
	token_verifier_free(verifier);
}

static void
never_mixes_identities(void)
{
	struct token_verifier *verifier = verifier_of_one(KEY_HS256);

	for (int round = 0; round < 2; round++) {
		for (int player = 0; player < 500; player++) {
			struct identity identity = {0};
			char name[16];
			struct buf claims;
			struct buf token;

			snprintf(name, sizeof(name), "p-%d", player);
			buf_init(&claims);
			buf_format(&claims, "{" CLAIMS_BUT_SUBJECT ",\"sub\":\"%s\",\"role\":\"player\"}", name);
			make_token(&token, KEY_HS256, keys[KEY_HS256].header, buf_text(&claims));
			CU_ASSERT_EQUAL(token_verify(verifier, buf_view(&token), NOW_MS, &identity), ERR_OK);
			CU_ASSERT_STRING_EQUAL(identity.subject, name);
			CU_ASSERT_EQUAL(token_verify(verifier, buf_view(&token), NOW_MS, &identity), ERR_OK);
			CU_ASSERT_STRING_EQUAL(identity.subject, name);
			buf_release(&claims);
			buf_release(&token);
		}
	}
	token_verifier_free(verifier);
}

/* ---- rules ---- */

static void
refuses_bad_rules(void)
{
	static const struct {
		struct token_rules rules;
		const char *detail;
	} bad[] = {
		{{{"", 0}, NULL, "i", "a", false, 0, NULL}, "file"},
		{{{"", 0}, "", "i", "a", false, 0, NULL}, "file"},
		{{{"", 0}, "keys.json", "i", "a", false, 0, NULL}, "keys.json: "},
		{{{"{}\0", 3}, "keys.json", "i", "a", false, 0, NULL}, "JSON"},
		{{{"", 0}, "keys.json", NULL, "a", false, 0, NULL}, "issuer"},
		{{{"", 0}, "keys.json", "i", "", false, 0, NULL}, "audience"},
		{{{"", 0}, "keys.json", "i", "a", false, -1, NULL}, "leeway"},
	};

	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		struct token_verifier *verifier = NULL;

		detail[0] = '\0';
		CU_ASSERT_EQUAL(token_verifier_new(&bad[i].rules, &verifier, detail), ERR_CONFIG);
		CU_ASSERT_PTR_NULL(verifier);
		CU_ASSERT_PTR_NOT_NULL(strstr(detail, bad[i].detail));
	}
	token_verifier_free(NULL);
}

/* The fault of the set comes with the name of the file. */
static void
names_the_file_of_a_bad_set(void)
{
	struct token_verifier *verifier = NULL;

	CU_ASSERT_EQUAL(verifier_from(STR("{\"keys\":[{\"kty\":\"DSA\"}]}"), true, 0, &verifier), ERR_CONFIG);
	CU_ASSERT_PTR_NULL(verifier);
	CU_ASSERT_EQUAL(strncmp(detail, "keys.json: ", 11), 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(detail, ": keys[0]: kty must be"));
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"accepts every algorithm", accepts_every_algorithm},
		{"names every role", names_every_role},
		{"needs no kid with one key", needs_no_kid_with_one_key},
		{"takes the algorithm from the key type", takes_the_algorithm_from_the_key_type},
		{"accepts good types", accepts_good_types},
		{"refuses bad headers", refuses_bad_headers},
		{"shares what is remembered with its like only", shares_what_is_remembered_with_its_like_only},
		{"expires at the boundary", expires_at_the_boundary},
		{"says expired of good tokens only", says_expired_of_good_tokens_only},
		{"refuses every bit flip", refuses_every_bit_flip},
		{"refuses every truncation", refuses_every_truncation},
		{"refuses trailing data", refuses_trailing_data},
		{"refuses odd shapes", refuses_odd_shapes},
		{"refuses other base64", refuses_other_base64},
		{"refuses a second text of the signature", refuses_a_second_text_of_the_signature},
		{"refuses a changed algorithm", refuses_a_changed_algorithm},
		{"refuses tokens without signature", refuses_tokens_without_signature},
		{"refuses zero signatures", refuses_zero_signatures},
		{"refuses a padded ECDSA signature", refuses_a_padded_ecdsa_signature},
		{"refuses another PSS salt", refuses_another_pss_salt},
		{"refuses a public key as secret", refuses_a_public_key_as_secret},
		{"refuses the wrong key", refuses_the_wrong_key},
		{"bounds the size", bounds_the_size},
		{"never mixes identities", never_mixes_identities},
		{"refuses bad rules", refuses_bad_rules},
		{"names the file of a bad set", names_the_file_of_a_bad_set},
		CU_TEST_INFO_NULL,
	};
	int status;

	make_keys();
	status = tap_main("auth/token", tests);
	while (table_count)
		remembered_free(tables[--table_count]);
	free_keys();
	return status;
}
