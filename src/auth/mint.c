/*
 * Minting: see mint.h. For development and tests; must never be linked into the daemon, which holds no private key and
 * has no use for code that signs.
 *
 * cjose makes and serializes the keys and signs; EdDSA, which it does not know, is done by OpenSSL.
 */
#include "auth/mint.h"

#include <stdio.h>
#include <stdlib.h>

#include <cjose/header.h>
#include <cjose/jwk.h>
#include <cjose/jws.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "auth/base64url.h"
#include "auth/claims.h"
#include "base/json.h"

enum {
	DETAIL_SIZE = 256,
	KID_BYTES = 12,
	RSA_BITS = 2048,
	SECRET_BITS = 256,
	ED25519_BYTES = 32,
	ED25519_SIGNATURE_BYTES = 64,
};

struct minter {
	const struct algorithm *algorithm;
	struct buf kid;     /* empty: the key has none */
	cjose_jwk_t *cjose; /* all but EdDSA */
	EVP_PKEY *ed25519;
};

typedef enum err generate_function(struct buf *private_half, struct buf *public_half);
typedef bool load_function(struct minter *minter, const struct json *node, struct str text);
typedef bool sign_function(struct minter *minter, struct str claims, struct buf *token);

static generate_function generate_rsa;
static generate_function generate_p256;
static generate_function generate_ed25519;
static generate_function generate_secret;
static load_function load_by_cjose;
static load_function load_ed25519;
static sign_function sign_by_cjose;
static sign_function sign_ed25519;

static const struct algorithm {
	const char *name;
	const char *key_type;
	const char *curve;          /* NULL: the key type has none */
	const char *private_member; /* what a key that can sign has */
	size_t bits_min;            /* what the verifier demands */
	generate_function *generate;
	load_function *load;
	sign_function *sign;
} algorithms[] = {
	{"RS256", "RSA", NULL, "d", 2048, generate_rsa, load_by_cjose, sign_by_cjose},
	{"PS256", "RSA", NULL, "d", 2048, generate_rsa, load_by_cjose, sign_by_cjose},
	{"ES256", "EC", "P-256", "d", 256, generate_p256, load_by_cjose, sign_by_cjose},
	{"EdDSA", "OKP", "Ed25519", "d", 256, generate_ed25519, load_ed25519, sign_ed25519},
	{"HS256", "oct", NULL, "k", 256, generate_secret, load_by_cjose, sign_by_cjose},
};

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static const struct algorithm *
algorithm_named(struct str name)
{
	for (size_t i = 0; i < COUNT_OF(algorithms); i++)
		if (str_equal(name, str_from(algorithms[i].name)))
			return &algorithms[i];
	return NULL;
}

/* Appends the key as JSON, both halves or the public one, as wanted. */
static bool
write_key(const cjose_jwk_t *key, bool with_private, struct buf *json)
{
	char *text = key ? cjose_jwk_to_json(key, with_private, NULL) : NULL;

	if (text)
		buf_cstr(json, text);
	free(text);
	return text != NULL;
}

static enum err
write_halves(cjose_jwk_t *key, bool is_secret, struct buf *private_half, struct buf *public_half)
{
	bool written = write_key(key, true, private_half) && write_key(key, is_secret, public_half);

	cjose_jwk_release(key);
	return written ? ERR_OK : ERR_INTERNAL;
}

static enum err
generate_rsa(struct buf *private_half, struct buf *public_half)
{
	return write_halves(cjose_jwk_create_RSA_random(RSA_BITS, NULL, 0, NULL), false, private_half, public_half);
}

static enum err
generate_p256(struct buf *private_half, struct buf *public_half)
{
	return write_halves(cjose_jwk_create_EC_random(CJOSE_JWK_EC_P_256, NULL), false, private_half, public_half);
}

static enum err
generate_secret(struct buf *private_half, struct buf *public_half)
{
	return write_halves(cjose_jwk_create_oct_random(SECRET_BITS, NULL), true, private_half, public_half);
}

static enum err
generate_ed25519(struct buf *private_half, struct buf *public_half)
{
	EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	unsigned char seed[ED25519_BYTES];
	unsigned char point[ED25519_BYTES];
	size_t seed_len = sizeof(seed);
	size_t point_len = sizeof(point);
	bool made = key && EVP_PKEY_get_raw_private_key(key, seed, &seed_len) == 1 &&
		    EVP_PKEY_get_raw_public_key(key, point, &point_len) == 1;

	EVP_PKEY_free(key);
	if (!made)
		return ERR_INTERNAL;
	buf_literal(public_half, "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"");
	base64url_encode(public_half, point, point_len);
	buf_str(private_half, buf_view(public_half));
	buf_literal(public_half, "\"}");
	buf_literal(private_half, "\",\"d\":\"");
	base64url_encode(private_half, seed, seed_len);
	buf_literal(private_half, "\"}");
	return ERR_OK;
}

/* Appends the object `half` with alg, use and kid as its first members. */
static void
write_jwk(struct buf *jwk, const struct algorithm *algorithm, struct str kid, struct str half)
{
	buf_format(jwk, "{\"alg\":\"%s\",\"use\":\"sig\",\"kid\":\"%.*s\",", algorithm->name, STR_ARGS(kid));
	buf_bytes(jwk, half.ptr + 1, half.len - 1);
}

static enum err
make_kid(struct buf *kid)
{
	unsigned char bytes[KID_BYTES];

	if (RAND_bytes(bytes, sizeof(bytes)) != 1)
		return ERR_INTERNAL;
	base64url_encode(kid, bytes, sizeof(bytes));
	return ERR_OK;
}

enum err
mint_key(const char *algorithm_name, struct buf *private_jwk, struct buf *public_set)
{
	const struct algorithm *algorithm = algorithm_named(str_from(algorithm_name));
	struct buf private_half;
	struct buf public_half;
	struct buf kid;
	enum err err;

	if (!algorithm)
		return ERR_INVALID_FIELD;
	buf_init(&private_half);
	buf_init(&public_half);
	buf_init(&kid);
	err = make_kid(&kid);
	if (!err)
		err = algorithm->generate(&private_half, &public_half);
	if (!err) {
		write_jwk(private_jwk, algorithm, buf_view(&kid), buf_view(&private_half));
		buf_literal(public_set, "{\"keys\":[");
		write_jwk(public_set, algorithm, buf_view(&kid), buf_view(&public_half));
		buf_literal(public_set, "]}");
	}
	buf_release(&private_half);
	buf_release(&public_half);
	buf_release(&kid);
	return err;
}

static bool
member_is(const struct json *node, const char *name, const char *wanted)
{
	struct str value;

	return json_get_string(json_member(node, name), &value) && str_equal(value, str_from(wanted));
}

static bool
load_by_cjose(struct minter *minter, const struct json *node, struct str text)
{
	(void)node;
	minter->cjose = cjose_jwk_import(text.ptr, text.len, NULL);
	return minter->cjose && cjose_jwk_get_keysize(minter->cjose, NULL) >= minter->algorithm->bits_min;
}

static bool
load_ed25519(struct minter *minter, const struct json *node, struct str text)
{
	unsigned char seed[ED25519_BYTES];
	struct str member;
	size_t len = 0;

	(void)text;
	if (!json_get_string(json_member(node, "d"), &member) || !base64url_decode(member, seed, sizeof(seed), &len) ||
	    len != sizeof(seed))
		return false;
	minter->ed25519 = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, sizeof(seed));
	return minter->ed25519 != NULL;
}

/* NULL, or what is wrong with the key. */
static const char *
load_private_key(struct minter *minter, const struct json *node, struct str text)
{
	struct str name = STR_NONE;
	struct str kid = STR_NONE;

	json_get_string(json_member(node, "alg"), &name);
	json_get_string(json_member(node, "kid"), &kid);
	minter->algorithm = algorithm_named(name);
	if (!minter->algorithm)
		return "alg must be RS256, PS256, ES256, EdDSA or HS256";
	if (!member_is(node, "kty", minter->algorithm->key_type) ||
	    (minter->algorithm->curve && !member_is(node, "crv", minter->algorithm->curve)))
		return "kty and crv are not those of alg";
	if (!json_member(node, minter->algorithm->private_member))
		return "this is a public key: it cannot sign";
	buf_str(&minter->kid, kid);
	return minter->algorithm->load(minter, node, text) ? NULL : "the key cannot be used";
}

enum err
minter_new(struct str private_jwk, struct minter **ret_minter, char *detail)
{
	char fault[JSON_DETAIL_SIZE];
	struct minter *minter;
	struct json *root;
	const char *why;

	if (json_parse(private_jwk, &root, fault) != ERR_OK) {
		snprintf(detail, DETAIL_SIZE, "not well-formed JSON: %s", fault);
		return ERR_CONFIG;
	}
	minter = calloc(1, sizeof(*minter));
	if (!minter)
		abort();
	why = load_private_key(minter, root, private_jwk);
	json_free(root);
	ERR_clear_error();
	if (why) {
		snprintf(detail, DETAIL_SIZE, "%s", why);
		minter_free(minter);
		return ERR_CONFIG;
	}
	*ret_minter = minter;
	return ERR_OK;
}

void
minter_free(struct minter *minter)
{
	if (!minter)
		return;
	buf_release(&minter->kid);
	cjose_jwk_release(minter->cjose);
	EVP_PKEY_free(minter->ed25519);
	free(minter);
}

static bool
sign_by_cjose(struct minter *minter, struct str claims, struct buf *token)
{
	cjose_header_t *header = cjose_header_new(NULL);
	cjose_jws_t *jws = NULL;
	const char *compact = NULL;

	if (header && cjose_header_set(header, CJOSE_HDR_ALG, minter->algorithm->name, NULL) &&
	    cjose_header_set(header, "typ", "JWT", NULL) &&
	    (minter->kid.len == 0 || cjose_header_set(header, CJOSE_HDR_KID, buf_text(&minter->kid), NULL)))
		jws = cjose_jws_sign(minter->cjose, header, (const uint8_t *)claims.ptr, claims.len, NULL);
	if (jws && cjose_jws_export(jws, &compact, NULL))
		buf_cstr(token, compact);
	cjose_jws_release(jws);
	cjose_header_release(header);
	return compact != NULL;
}

static void
write_header(const struct minter *minter, struct buf *json)
{
	buf_format(json, "{\"alg\":\"%s\",\"typ\":\"JWT\"", minter->algorithm->name);
	if (minter->kid.len) {
		buf_literal(json, ",\"kid\":");
		buf_json_string(json, buf_view(&minter->kid));
	}
	buf_char(json, '}');
}

static bool
sign_bytes(EVP_PKEY *key, struct str bytes, unsigned char signature[ED25519_SIGNATURE_BYTES])
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	size_t len = ED25519_SIGNATURE_BYTES;
	bool is_signed = context && EVP_DigestSignInit(context, NULL, NULL, NULL, key) == 1 &&
			 EVP_DigestSign(context, signature, &len, (const unsigned char *)bytes.ptr, bytes.len) == 1;

	EVP_MD_CTX_free(context);
	return is_signed;
}

static bool
sign_ed25519(struct minter *minter, struct str claims, struct buf *token)
{
	unsigned char signature[ED25519_SIGNATURE_BYTES];
	struct buf header;
	struct buf text;
	bool is_signed;

	buf_init(&header);
	buf_init(&text);
	write_header(minter, &header);
	base64url_encode(&text, header.data, header.len);
	buf_char(&text, '.');
	base64url_encode(&text, claims.ptr, claims.len);
	is_signed = sign_bytes(minter->ed25519, buf_view(&text), signature);
	if (is_signed) {
		buf_str(token, buf_view(&text));
		buf_char(token, '.');
		base64url_encode(token, signature, sizeof(signature));
	}
	buf_release(&header);
	buf_release(&text);
	return is_signed;
}

static void
write_claims(const struct token_claims *claims, struct buf *json)
{
	buf_literal(json, "{\"iss\":");
	buf_json_string(json, str_from(claims->issuer));
	buf_literal(json, ",\"aud\":");
	buf_json_string(json, str_from(claims->audience));
	buf_literal(json, ",\"sub\":");
	buf_json_string(json, claims->subject);
	buf_format(json, ",\"role\":\"%s\",\"iat\":", role_name(claims->role));
	buf_i64(json, claims->issued_at_ms / 1000);
	buf_literal(json, ",\"exp\":");
	buf_i64(json, claims->expires_at_ms / 1000);
	buf_char(json, '}');
}

/* What the verifier would refuse whatever its rules is refused here already. */
static bool
claims_are_good(const struct token_claims *claims)
{
	return role_name(claims->role) && claims_subject_valid(claims->subject, claims->role) &&
	       utf8_valid(str_from(claims->issuer)) && utf8_valid(str_from(claims->audience));
}

enum err
mint_token(struct minter *minter, const struct token_claims *claims, struct buf *token)
{
	struct buf json;
	bool is_signed;

	if (!claims_are_good(claims))
		return ERR_INVALID_FIELD;
	buf_init(&json);
	write_claims(claims, &json);
	is_signed = minter->algorithm->sign(minter, buf_view(&json), token);
	buf_release(&json);
	ERR_clear_error();
	return is_signed ? ERR_OK : ERR_INTERNAL;
}
