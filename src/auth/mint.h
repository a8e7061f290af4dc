/*
 * Keys and tokens for development and tests: battlepassctl key and token. Never linked into the daemon.
 */
#ifndef BP_AUTH_MINT_H
#define BP_AUTH_MINT_H

#include "auth/token.h"
#include "base/buf.h"

struct minter;

/*
 * Makes a new key of algorithm "ES256", "RS256", "PS256", "EdDSA" or "HS256": appends the private JWK to private_jwk
 * and the JWK set with its public half to public_set (for HS256 the set holds the secret). kid is a fresh random text.
 */
enum err mint_key(const char *algorithm, struct buf *private_jwk, struct buf *public_set);

/* From the text of a private JWK. ERR_CONFIG with detail (256 bytes). */
enum err minter_new(struct str private_jwk, struct minter **ret_minter, char *detail);
void minter_free(struct minter *minter);

struct token_claims {
	const char *issuer;
	const char *audience;
	struct str subject;
	enum role role;
	int64_t issued_at_ms;
	int64_t expires_at_ms;
};

/* Appends a signed compact JWT. */
enum err mint_token(struct minter *minter, const struct token_claims *claims, struct buf *token);

#endif
