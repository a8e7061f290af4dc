/*
 * The keys that tokens are checked with: a JWK set (RFC 7517, 7518, 8037) of public keys.
 *
 *     kty   alg                      also demanded
 *     RSA   RS256 (default), PS256   2048 to 8192 bits, an odd public exponent of 3 or more
 *     EC    ES256                    crv P-256, the point lies on it
 *     OKP   EdDSA                    crv Ed25519
 *     oct   HS256                    allowed by the caller; 32 bytes or more
 *
 * A set is taken whole or not at all: other key types and algorithms, private keys, a use other than "sig", key_ops
 * without "verify", a kid that comes twice, and a key without kid beside others are refused. A key's algorithm is fixed
 * here, and never comes from a token.
 */
#ifndef BP_AUTH_JWK_H
#define BP_AUTH_JWK_H

#include "base/err.h"
#include "base/str.h"

enum {
	JWK_DETAIL_SIZE = 256,
	JWK_KEYS_MAX = 64,
	JWK_KID_MAX = 128,
	JWK_SIGNATURE_MAX = 8192 / 8, /* the largest RSA modulus, in bytes */
};

struct jwk;
struct jwk_set;

/* A token taken apart, all borrowed. */
struct jws {
	struct str compact;     /* header.payload.signature; the header is parsed */
	struct str signed_part; /* header.payload */
	struct str signature;   /* decoded */
};

/* ERR_CONFIG with detail (JWK_DETAIL_SIZE bytes) that names the key and its fault; it never holds key material. */
enum err jwk_set_parse(struct str text, bool allow_hs256, struct jwk_set **ret_set, char *detail);
void jwk_set_free(struct jwk_set *set);
/* The key with this kid; for STR_NONE (the token names none) the key of a set that holds only one. NULL: no such key.
 */
const struct jwk *jwk_set_find(const struct jwk_set *set, struct str kid);

/* "RS256", ... */
const char *jwk_algorithm(const struct jwk *jwk);
/* True if the signature was made with this key. The header's alg must have been found equal to jwk_algorithm(). */
bool jwk_verify(const struct jwk *jwk, const struct jws *jws);

#endif
