/*
 * Tokens: see token.h. The order of the checks is the point of this file: shape, header, key, algorithm, signature, and
 * only then the claims. Must never read a claim of a token whose signature was not checked, and must never log a token.
 *
 * A token that is remembered costs one SHA-256 and one look-up; nothing is allocated but the state of the digest, which
 * OpenSSL 3.0 makes anew each time. One that has expired before it was ever seen is not remembered: nobody would save
 * anything by it.
 */
#include "auth/token.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "auth/base64url.h"
#include "auth/claims.h"
#include "auth/jwk.h"
#include "auth/remembered.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/metrics.h"

enum { TOKEN_SIZE_MAX = 4096 };

struct token_verifier {
	struct claims_rules claims; /* its texts are owned */
	struct jwk_set *keys;
	struct remembered *remembered;           /* may be NULL */
	unsigned char rules_digest[DIGEST_SIZE]; /* of the keys, and of all else that a verdict depends on */
};

static const struct {
	const char *name;
	enum role role;
} roles[] = {
	{"player", ROLE_PLAYER},   {"server", ROLE_SERVER},     {"viewer", ROLE_VIEWER},
	{"support", ROLE_SUPPORT}, {"designer", ROLE_DESIGNER}, {"admin", ROLE_ADMIN},
};

/* Header members that would change how a token is read, or bring a key along. */
static const char *const refused_members[] = {"crit", "b64", "jwk", "jku", "x5u", "x5c"};

/* What typ may say (RFC 7519, RFC 9068); media types are compared without case. */
static const char *const types[] = {"JWT", "at+jwt", "application/at+jwt"};

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

const char *
role_name(enum role role)
{
	for (size_t i = 0; i < COUNT_OF(roles); i++)
		if (roles[i].role == role)
			return roles[i].name;
	return NULL;
}

enum role
role_parse(struct str name)
{
	for (size_t i = 0; i < COUNT_OF(roles); i++)
		if (str_equal(str_from(roles[i].name), name))
			return roles[i].role;
	return (enum role)0;
}

/* Two verifiers of the same digest say the same of every token. Each part stands behind its length. */
static void
digest_rules(const struct token_rules *rules, unsigned char digest[DIGEST_SIZE])
{
	struct buf text;

	buf_init(&text);
	buf_format(&text, "%zu %s %zu %s %d %" PRId64 " ", strlen(rules->issuer), rules->issuer,
		   strlen(rules->audience), rules->audience, rules->allow_hs256, rules->leeway_ms);
	buf_str(&text, rules->keys);
	digest_sha256(buf_view(&text), digest);
	buf_release(&text);
}

static enum err
load_key_set(const struct token_rules *rules, struct token_verifier *verifier, char *detail)
{
	char fault[JWK_DETAIL_SIZE];
	enum err err = jwk_set_parse(rules->keys, rules->allow_hs256, &verifier->keys, fault);

	if (err)
		snprintf(detail, JWK_DETAIL_SIZE, "%.100s: %.150s", rules->keys_file, fault);
	digest_rules(rules, verifier->rules_digest);
	return err;
}

static bool
is_given(const char *text)
{
	return text && text[0];
}

static const char *
fault_of_rules(const struct token_rules *rules)
{
	if (!is_given(rules->keys_file))
		return "no file of keys is named";
	if (!is_given(rules->issuer))
		return "no issuer is named";
	if (!is_given(rules->audience))
		return "no audience is named";
	return rules->leeway_ms < 0 ? "the leeway is negative" : NULL;
}

/* A text of its own; empty only without memory. */
static struct str
copy_of(const char *text)
{
	return str_from(strdup(text));
}

enum err
token_verifier_new(const struct token_rules *rules, struct token_verifier **ret_verifier, char *detail)
{
	const char *fault = fault_of_rules(rules);
	struct token_verifier *verifier;
	enum err err;

	if (fault) {
		snprintf(detail, JWK_DETAIL_SIZE, "%s", fault);
		return ERR_CONFIG;
	}
	verifier = calloc(1, sizeof(*verifier));
	if (!verifier)
		abort();
	err = load_key_set(rules, verifier, detail);
	verifier->claims = (struct claims_rules){copy_of(rules->issuer), copy_of(rules->audience), rules->leeway_ms};
	verifier->remembered = rules->remembered;
	if (!err && (!verifier->claims.issuer.ptr || !verifier->claims.audience.ptr)) {
		snprintf(detail, JWK_DETAIL_SIZE, "no memory");
		err = ERR_CONFIG;
	}
	if (err) {
		token_verifier_free(verifier);
		return err;
	}
	*ret_verifier = verifier;
	return ERR_OK;
}

void
token_verifier_free(struct token_verifier *verifier)
{
	if (!verifier)
		return;
	free((char *)verifier->claims.issuer.ptr);
	free((char *)verifier->claims.audience.ptr);
	jwk_set_free(verifier->keys);
	free(verifier);
}

/* Cuts off what stands before the first dot; false if there is none. */
static bool
cut_part(struct str *rest, struct str *ret_part)
{
	const char *dot = rest->len ? memchr(rest->ptr, '.', rest->len) : NULL;

	if (!dot)
		return false;
	*ret_part = (struct str){rest->ptr, (size_t)(dot - rest->ptr)};
	*rest = (struct str){dot + 1, rest->len - ret_part->len - 1};
	return true;
}

/* The JSON object in a part of the token, to be freed by the caller; NULL if it is not one. */
static struct json *
decode_object(struct str part)
{
	unsigned char bytes[BASE64URL_BYTES_MAX(TOKEN_SIZE_MAX)];
	struct json *root;
	size_t len;

	if (!base64url_decode(part, bytes, sizeof(bytes), &len) ||
	    json_parse((struct str){(const char *)bytes, len}, &root, NULL) != ERR_OK)
		return NULL;
	if (json_type(root) == JSON_OBJECT)
		return root;
	json_free(root);
	return NULL;
}

static bool
type_is_good(const struct json *header)
{
	const struct json *member = json_member(header, "typ");
	struct str type;

	if (!member)
		return true;
	if (!json_get_string(member, &type))
		return false;
	for (size_t i = 0; i < COUNT_OF(types); i++)
		if (type.len == strlen(types[i]) && strncasecmp(type.ptr, types[i], type.len) == 0)
			return true;
	return false;
}

/* The key that the header names, if everything in the header is as it must be; else NULL. */
static const struct jwk *
key_for(const struct jwk_set *keys, const struct json *header)
{
	const struct json *kid_member = json_member(header, "kid");
	struct str kid = STR_NONE;
	struct str algorithm;
	const struct jwk *key;

	for (size_t i = 0; i < COUNT_OF(refused_members); i++)
		if (json_member(header, refused_members[i]))
			return NULL;
	if (!type_is_good(header) || (kid_member && !json_get_string(kid_member, &kid)))
		return NULL;
	key = jwk_set_find(keys, kid);
	if (!key || !json_get_string(json_member(header, "alg"), &algorithm) ||
	    !str_equal(algorithm, str_from(jwk_algorithm(key))))
		return NULL;
	return key;
}

/* Is the signature right? A further dot would stand in the signature, which is not base64url then. */
static bool
signature_is_right(const struct jwk_set *keys, struct str token, struct str *ret_payload)
{
	unsigned char signature[JWK_SIGNATURE_MAX];
	struct jws jws = {.compact = token, .signature = {(const char *)signature, 0}};
	struct str rest = token;
	struct str header_part;
	struct json *header;
	bool right = false;

	if (!cut_part(&rest, &header_part) || !cut_part(&rest, ret_payload) ||
	    !base64url_decode(rest, signature, sizeof(signature), &jws.signature.len))
		return false;
	jws.signed_part = (struct str){token.ptr, token.len - rest.len - 1};
	header = decode_object(header_part);
	if (header) {
		const struct jwk *key = key_for(keys, header);

		right = key && jwk_verify(key, &jws);
		json_free(header);
	}
	return right;
}

static enum err
verify_first_time(const struct token_verifier *verifier, struct str token, int64_t now_ms,
		  struct identity *ret_identity)
{
	struct str payload;
	struct json *claims;
	enum err err;

	if (!signature_is_right(verifier->keys, token, &payload))
		return ERR_TOKEN_INVALID;
	claims = decode_object(payload);
	if (!claims)
		return ERR_TOKEN_INVALID;
	err = claims_read(claims, &verifier->claims, now_ms, ret_identity);
	json_free(claims);
	return err;
}

/*
 * Under what the token is remembered: its digest, which that of the rules is mixed into. To be taken for another token
 * a digest would have to differ from that one's by the difference of two rules' digests, which is as hard to find as a
 * second token of the same digest.
 */
static void
digest_token(const struct token_verifier *verifier, struct str token, unsigned char digest[DIGEST_SIZE])
{
	digest_sha256(token, digest);
	for (size_t i = 0; i < DIGEST_SIZE; i++)
		digest[i] ^= verifier->rules_digest[i];
}

enum err
token_verify(struct token_verifier *verifier, struct str token, int64_t now_ms, struct identity *ret_identity)
{
	unsigned char digest[DIGEST_SIZE];
	struct identity identity;
	enum err err;

	if (token.len == 0 || token.len > TOKEN_SIZE_MAX)
		return ERR_TOKEN_INVALID;
	digest_token(verifier, token, digest);
	err = verifier->remembered ? remembered_find(verifier->remembered, digest, now_ms, ret_identity)
				   : ERR_NOT_FOUND;
	if (err != ERR_NOT_FOUND)
		return err;
	metrics_add(METRIC_SIGNATURES_CHECKED, 1);
	err = verify_first_time(verifier, token, now_ms, &identity);
	if (err)
		return err;
	if (verifier->remembered)
		remembered_put(verifier->remembered, digest, &identity,
			       identity.expires_at_ms + verifier->claims.leeway_ms, now_ms);
	*ret_identity = identity;
	return ERR_OK;
}
