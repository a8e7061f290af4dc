/*
 * Keys and signatures: see jwk.h. Must never let a token choose how it is checked.
 *
 * The signatures of RS256, PS256, ES256 and HS256 are checked by cjose, that of EdDSA, which cjose does not know, by
 * OpenSSL. The keys are decoded here, strictly, and given to cjose as numbers. cjose would take an ES256 or PSS
 * signature of another length that has the same value (a second text for one token): so the length is checked first.
 * ECDSA itself has a second signature for each (r, n - s), which is left: issuers need not prefer the smaller.
 */
#include "auth/jwk.h"

#include <stdio.h>
#include <stdlib.h>

#include <cjose/jwk.h>
#include <cjose/jws.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include "auth/base64url.h"
#include "base/json.h"

enum {
	RSA_BITS_MIN = 2048,
	EXPONENT_BYTES_MAX = 8,
	POINT_BYTES = 32,
	ED25519_BYTES = 32,
	ED25519_SIGNATURE_BYTES = 64,
	SECRET_BYTES_MIN = 32,
	SECRET_BYTES_MAX = 512,
	SHA256_BYTES = 32,
};

struct jwk {
	char kid[JWK_KID_MAX + 1]; /* "": none */
	const struct algorithm *algorithm;
	size_t signature_len;
	cjose_jwk_t *cjose; /* all but EdDSA */
	EVP_PKEY *ed25519;
};

struct jwk_set {
	size_t count;
	struct jwk keys[JWK_KEYS_MAX];
};

/* What a loader says: NULL, or what is wrong with the key. */
typedef const char *load_function(struct jwk *jwk, const struct json *node);

static load_function load_rsa;
static load_function load_p256;
static load_function load_ed25519;
static load_function load_secret;
static bool verify_by_cjose(const struct jwk *jwk, const struct jws *jws);
static bool verify_ed25519(const struct jwk *jwk, const struct jws *jws);

/* The first algorithm of a key type is the one of a key that names none. */
static const struct algorithm {
	const char *name;
	const char *key_type;
	load_function *load;
	bool (*verify)(const struct jwk *jwk, const struct jws *jws);
	bool is_symmetric;
} algorithms[] = {
	{"RS256", "RSA", load_rsa, verify_by_cjose, false},   {"PS256", "RSA", load_rsa, verify_by_cjose, false},
	{"ES256", "EC", load_p256, verify_by_cjose, false},   {"EdDSA", "OKP", load_ed25519, verify_ed25519, false},
	{"HS256", "oct", load_secret, verify_by_cjose, true},
};

/* Members that only a private (or, k, a secret) key has. */
static const char *const private_members[] = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"};

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static bool
member_is(const struct json *node, const char *name, const char *wanted)
{
	struct str value;

	return json_get_string(json_member(node, name), &value) && str_equal(value, str_from(wanted));
}

static bool
decode_member(const struct json *node, const char *name, unsigned char *bytes, size_t capacity, size_t *ret_len)
{
	struct str text;

	return json_get_string(json_member(node, name), &text) && base64url_decode(text, bytes, capacity, ret_len);
}

/* The value must fill the size exactly, as a coordinate does. */
static bool
decode_exactly(const struct json *node, const char *name, unsigned char *bytes, size_t size)
{
	size_t len = 0;

	return decode_member(node, name, bytes, size, &len) && len == size;
}

static bool
modulus_is_good(const unsigned char *modulus, size_t len)
{
	if (len == 0 || modulus[0] == 0 || modulus[len - 1] % 2 == 0)
		return false;
	size_t unused_bits = (size_t)__builtin_clz(modulus[0]) - (sizeof(unsigned) - 1) * 8;

	return len * 8 - unused_bits >= RSA_BITS_MIN;
}

static bool
exponent_is_good(const unsigned char *exponent, size_t len)
{
	return len > 0 && exponent[0] != 0 && exponent[len - 1] % 2 == 1 && (len > 1 || exponent[0] >= 3);
}

static const char *
load_rsa(struct jwk *jwk, const struct json *node)
{
	unsigned char modulus[JWK_SIGNATURE_MAX];
	unsigned char exponent[EXPONENT_BYTES_MAX];
	cjose_jwk_rsa_keyspec spec = {.n = modulus, .e = exponent};

	if (!decode_member(node, "n", modulus, sizeof(modulus), &spec.nlen))
		return "n must be the base64url text of at most 8192 bits";
	if (!modulus_is_good(modulus, spec.nlen))
		return "n must be an odd number of 2048 bits or more, without leading zeros";
	if (!decode_member(node, "e", exponent, sizeof(exponent), &spec.elen) || !exponent_is_good(exponent, spec.elen))
		return "e must be the base64url text of an odd number of 3 or more, without leading zeros";
	jwk->signature_len = spec.nlen;
	jwk->cjose = cjose_jwk_create_RSA_spec(&spec, NULL);
	return jwk->cjose ? NULL : "the RSA key cannot be used";
}

static const char *
load_p256(struct jwk *jwk, const struct json *node)
{
	unsigned char x[POINT_BYTES];
	unsigned char y[POINT_BYTES];
	cjose_jwk_ec_keyspec spec = {.crv = CJOSE_JWK_EC_P_256, .x = x, .xlen = sizeof(x), .y = y, .ylen = sizeof(y)};

	if (!member_is(node, "crv", "P-256"))
		return "crv must be P-256";
	if (!decode_exactly(node, "x", x, sizeof(x)) || !decode_exactly(node, "y", y, sizeof(y)))
		return "x and y must be the base64url texts of 32 bytes each";
	jwk->signature_len = sizeof(x) + sizeof(y);
	jwk->cjose = cjose_jwk_create_EC_spec(&spec, NULL);
	return jwk->cjose ? NULL : "x and y are not a point of the curve";
}

static const char *
load_ed25519(struct jwk *jwk, const struct json *node)
{
	unsigned char x[ED25519_BYTES];

	if (!member_is(node, "crv", "Ed25519"))
		return "crv must be Ed25519";
	if (!decode_exactly(node, "x", x, sizeof(x)))
		return "x must be the base64url text of 32 bytes";
	jwk->signature_len = ED25519_SIGNATURE_BYTES;
	jwk->ed25519 = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, x, sizeof(x));
	return jwk->ed25519 ? NULL : "the Ed25519 key cannot be used";
}

static const char *
load_secret(struct jwk *jwk, const struct json *node)
{
	unsigned char secret[SECRET_BYTES_MAX];
	size_t len = 0;
	bool fits = decode_member(node, "k", secret, sizeof(secret), &len) && len >= SECRET_BYTES_MIN;

	if (fits) {
		jwk->signature_len = SHA256_BYTES;
		jwk->cjose = cjose_jwk_create_oct_spec(secret, len, NULL);
	}
	OPENSSL_cleanse(secret, sizeof(secret));
	if (!fits)
		return "k must be the base64url text of 32 to 512 bytes";
	return jwk->cjose ? NULL : "the secret cannot be used";
}

/* The row for kty and, where the key names one, alg. NULL, and why, when there is none. */
static const struct algorithm *
algorithm_of(const struct json *node, const char **ret_why)
{
	const struct json *name = json_member(node, "alg");

	*ret_why = "kty must be RSA, EC, OKP or oct";
	for (const struct algorithm *row = algorithms; row < algorithms + COUNT_OF(algorithms); row++) {
		if (!member_is(node, "kty", row->key_type))
			continue;
		if (!name || member_is(node, "alg", row->name))
			return row;
		*ret_why =
			"alg is not one that this kty is used with: RSA RS256 or PS256, EC ES256, OKP EdDSA, oct HS256";
	}
	return NULL;
}

static bool
has_private_member(const struct json *node)
{
	for (size_t i = 0; i < COUNT_OF(private_members); i++)
		if (json_member(node, private_members[i]))
			return true;
	return false;
}

static bool
is_for_verifying(const struct json *node)
{
	const struct json *operations = json_member(node, "key_ops");

	if (json_member(node, "use") && !member_is(node, "use", "sig"))
		return false;
	if (!operations)
		return true;
	for (const struct json *each = json_first(operations); each; each = json_next(each)) {
		struct str operation;

		if (json_get_string(each, &operation) && str_equal(operation, STR("verify")))
			return true;
	}
	return false;
}

static const char *
read_kid(struct jwk *jwk, const struct json *node)
{
	const struct json *member = json_member(node, "kid");
	struct str kid;

	if (!member)
		return NULL;
	if (!json_get_string(member, &kid) || kid.len == 0 || kid.len > JWK_KID_MAX)
		return "kid must be a text of 1 to 128 bytes";
	memcpy(jwk->kid, kid.ptr, kid.len);
	return NULL;
}

static const char *
load_key(struct jwk *jwk, const struct json *node, bool allow_hs256)
{
	const char *why;

	jwk->algorithm = algorithm_of(node, &why);
	if (!jwk->algorithm)
		return why;
	if (jwk->algorithm->is_symmetric && !allow_hs256)
		return "a secret (kty oct) is used only where HS256 is allowed";
	if (!jwk->algorithm->is_symmetric && has_private_member(node))
		return "this is a private key: the set must hold its public half only";
	if (!is_for_verifying(node))
		return "use must be sig, and key_ops must contain verify";
	why = read_kid(jwk, node);
	return why ? why : jwk->algorithm->load(jwk, node);
}

/* A kid that comes twice, or none beside others, would leave it to chance which key is meant. */
static const char *
check_kid(const struct jwk_set *set, const struct jwk *jwk, size_t keys_in_file)
{
	if (jwk->kid[0] == '\0')
		return keys_in_file > 1 ? "a key beside others needs a kid" : NULL;
	for (const struct jwk *other = set->keys; other < jwk; other++)
		if (strcmp(other->kid, jwk->kid) == 0)
			return "another key of the set has the same kid";
	return NULL;
}

static enum err
load_keys(struct jwk_set *set, const struct json *keys, bool allow_hs256, char *detail)
{
	size_t keys_in_file = json_count(keys);

	if (json_type(keys) != JSON_ARRAY || keys_in_file == 0 || keys_in_file > JWK_KEYS_MAX) {
		snprintf(detail, JWK_DETAIL_SIZE, "keys must be an array of 1 to %d keys", JWK_KEYS_MAX);
		return ERR_CONFIG;
	}
	for (const struct json *node = json_first(keys); node; node = json_next(node)) {
		/* Counted before it is loaded, so that whatever it holds by then is released with the set. */
		struct jwk *jwk = &set->keys[set->count++];
		const char *why = load_key(jwk, node, allow_hs256);

		if (!why)
			why = check_kid(set, jwk, keys_in_file);
		if (why) {
			snprintf(detail, JWK_DETAIL_SIZE, "keys[%zu]: %s", set->count - 1, why);
			return ERR_CONFIG;
		}
	}
	return ERR_OK;
}

enum err
jwk_set_parse(struct str text, bool allow_hs256, struct jwk_set **ret_set, char *detail)
{
	char fault[JSON_DETAIL_SIZE];
	struct json *root;
	struct jwk_set *set;
	enum err err = ERR_CONFIG;

	if (json_parse(text, &root, fault) != ERR_OK) {
		snprintf(detail, JWK_DETAIL_SIZE, "not well-formed JSON: %s", fault);
		return ERR_CONFIG;
	}
	set = calloc(1, sizeof(*set));
	if (!set)
		snprintf(detail, JWK_DETAIL_SIZE, "out of memory");
	else if (!json_member(root, "keys"))
		snprintf(detail, JWK_DETAIL_SIZE, "not a JWK set: there is no array \"keys\"");
	else
		err = load_keys(set, json_member(root, "keys"), allow_hs256, detail);
	json_free(root);
	ERR_clear_error();
	if (err)
		jwk_set_free(set);
	else
		*ret_set = set;
	return err;
}

void
jwk_set_free(struct jwk_set *set)
{
	if (!set)
		return;
	for (size_t i = 0; i < set->count; i++) {
		cjose_jwk_release(set->keys[i].cjose);
		EVP_PKEY_free(set->keys[i].ed25519);
	}
	free(set);
}

const struct jwk *
jwk_set_find(const struct jwk_set *set, struct str kid)
{
	if (!kid.ptr)
		return set->count == 1 ? &set->keys[0] : NULL;
	for (size_t i = 0; i < set->count; i++)
		if (kid.len > 0 && str_equal(str_from(set->keys[i].kid), kid))
			return &set->keys[i];
	return NULL;
}

const char *
jwk_algorithm(const struct jwk *jwk)
{
	return jwk->algorithm->name;
}

static bool
verify_by_cjose(const struct jwk *jwk, const struct jws *jws)
{
	cjose_jws_t *parsed = cjose_jws_import(jws->compact.ptr, jws->compact.len, NULL);
	bool right = parsed && cjose_jws_verify(parsed, jwk->cjose, NULL);

	cjose_jws_release(parsed);
	return right;
}

static bool
verify_ed25519(const struct jwk *jwk, const struct jws *jws)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	bool right = context && EVP_DigestVerifyInit(context, NULL, NULL, NULL, jwk->ed25519) == 1 &&
		     EVP_DigestVerify(context, (const unsigned char *)jws->signature.ptr, jws->signature.len,
				      (const unsigned char *)jws->signed_part.ptr, jws->signed_part.len) == 1;

	EVP_MD_CTX_free(context);
	return right;
}

bool
jwk_verify(const struct jwk *jwk, const struct jws *jws)
{
	bool right = jws->signature.len == jwk->signature_len && jwk->algorithm->verify(jwk, jws);

	/* What a wrong signature leaves in the queue must not be taken for an error of the next library that looks. */
	ERR_clear_error();
	return right;
}
