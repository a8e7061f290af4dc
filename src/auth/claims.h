/*
 * What the claims of a token must say (RFC 7519), once its signature is known to be right. Values in, values out: no
 * keys, no clock.
 *
 * iss equal; aud the audience or an array of strings that contains it; exp required; nbf and iat, where present, not in
 * the future; the three are integers (seconds since 1970). role one of the table; sub 1-64 characters: for a player of
 * those that ids are made of (A-Z a-z 0-9 . _ -), for others printable ASCII. Other claims mean nothing here.
 */
#ifndef BP_AUTH_CLAIMS_H
#define BP_AUTH_CLAIMS_H

#include "auth/token.h"
#include "base/json.h"

struct claims_rules {
	struct str issuer;
	struct str audience;
	int64_t leeway_ms;
};

/*
 * ERR_TOKEN_INVALID; ERR_TOKEN_EXPIRED when nothing but the time is wrong: now_ms >= exp + leeway. *ret_identity is
 * untouched on failure.
 */
enum err claims_read(const struct json *claims, const struct claims_rules *rules, int64_t now_ms,
		     struct identity *ret_identity);

/* May a token of this role have this subject? */
bool claims_subject_valid(struct str subject, enum role role);

#endif
