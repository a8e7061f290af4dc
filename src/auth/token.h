/*
 * Bearer tokens: JWTs (RFC 7519) checked against a JWK set file (RFC 7517). RS256, PS256, ES256 and EdDSA (Ed25519);
 * HS256 only where allowed. The algorithm comes from the key (its `alg`, or its type), never from the token; a token
 * whose header names another is refused, as are `none`, `crit`, and keys named inside the token (jwk, jku, x5u, x5c).
 *
 * A verified token is remembered by its SHA-256 until it expires, in a bounded table that the host's processes share
 * (remembered.h), because verifying a signature costs more than all the rest of a cached read. What is remembered holds
 * only for verifiers of the same keys and rules: a key that is gone takes its tokens with it.
 */
#ifndef BP_AUTH_TOKEN_H
#define BP_AUTH_TOKEN_H

#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

enum role {
	ROLE_PLAYER = 1 << 0,
	ROLE_SERVER = 1 << 1,
	ROLE_VIEWER = 1 << 2,
	ROLE_SUPPORT = 1 << 3,
	ROLE_DESIGNER = 1 << 4,
	ROLE_ADMIN = 1 << 5,
};

/* "player", ...; NULL if role is not exactly one of the above. */
const char *role_name(enum role role);
/* 0 if there is no such role. */
enum role role_parse(struct str name);

struct identity {
	char subject[65]; /* `sub`: 1-64 characters, for a player its player id */
	enum role role;
	int64_t expires_at_ms;
};

struct remembered;

enum { TOKEN_KEYS_MAX = 256 * 1024 }; /* bytes of a key set */

struct token_rules {
	struct str keys;       /* JWK set */
	const char *keys_file; /* where it was read; for messages */
	const char *issuer;    /* required `iss` */
	const char *audience;  /* required in `aud` (a string or an array) */
	bool allow_hs256;
	int64_t leeway_ms;             /* for exp, nbf and iat */
	struct remembered *remembered; /* not owned; NULL: nothing is remembered */
};

struct token_verifier;

/* Parses the key set. On failure says why in detail (256 bytes) and returns ERR_CONFIG. */
enum err token_verifier_new(const struct token_rules *rules, struct token_verifier **ret_verifier, char *detail);
void token_verifier_free(struct token_verifier *verifier);

/*
 * Who is it? token: the part after "Bearer ". ERR_TOKEN_INVALID, ERR_TOKEN_EXPIRED; *ret_identity is untouched on
 * failure. A token is at most 4096 bytes.
 */
enum err token_verify(struct token_verifier *verifier, struct str token, int64_t now_ms, struct identity *ret_identity);

#endif
