/* Claims: see claims.h. Must never say "expired" of a token that has another fault: that would vouch for it. */
#include "auth/claims.h"

static bool
is_printable(char c)
{
	return c >= 0x20 && c <= 0x7e;
}

/* The characters of ids in paths. A player's subject is compared with a path: nothing else may get that far. */
static bool
is_id_character(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
	       c == '-';
}

bool
claims_subject_valid(struct str subject, enum role role)
{
	bool (*allowed)(char) = role == ROLE_PLAYER ? is_id_character : is_printable;

	if (subject.len == 0 || subject.len >= sizeof(((struct identity *)0)->subject))
		return false;
	for (size_t i = 0; i < subject.len; i++)
		if (!allowed(subject.ptr[i]))
			return false;
	return true;
}

static bool
member_equals(const struct json *claims, const char *name, struct str wanted)
{
	struct str value;

	return json_get_string(json_member(claims, name), &value) && str_equal(value, wanted);
}

/* An array of anything but strings is refused even when the audience is among them. */
static bool
audience_contains(const struct json *claims, struct str audience)
{
	const struct json *node = json_member(claims, "aud");
	bool found = false;

	if (!node || json_type(node) != JSON_ARRAY)
		return member_equals(claims, "aud", audience);
	for (const struct json *each = json_first(node); each; each = json_next(each)) {
		struct str value;

		if (!json_get_string(each, &value))
			return false;
		found |= str_equal(value, audience);
	}
	return found;
}

/* json_get_integer() bounds the seconds, so that the milliseconds fit. */
static bool
read_time(const struct json *claims, const char *name, int64_t *ret_ms)
{
	int64_t seconds;

	if (!json_get_integer(json_member(claims, name), &seconds))
		return false;
	*ret_ms = seconds * 1000;
	return true;
}

static bool
absent_or_past(const struct json *claims, const char *name, int64_t latest_ms)
{
	int64_t time_ms;

	if (!json_member(claims, name))
		return true;
	return read_time(claims, name, &time_ms) && time_ms <= latest_ms;
}

static bool
read_identity(const struct json *claims, struct identity *identity)
{
	struct str role;
	struct str subject;

	if (!json_get_string(json_member(claims, "role"), &role) ||
	    !json_get_string(json_member(claims, "sub"), &subject))
		return false;
	identity->role = role_parse(role);
	if (!identity->role || !claims_subject_valid(subject, identity->role))
		return false;
	memcpy(identity->subject, subject.ptr, subject.len);
	return read_time(claims, "exp", &identity->expires_at_ms);
}

enum err
claims_read(const struct json *claims, const struct claims_rules *rules, int64_t now_ms, struct identity *ret_identity)
{
	struct identity identity = {0};
	int64_t latest_ms = now_ms + rules->leeway_ms;

	if (!member_equals(claims, "iss", rules->issuer) || !audience_contains(claims, rules->audience) ||
	    !absent_or_past(claims, "nbf", latest_ms) || !absent_or_past(claims, "iat", latest_ms) ||
	    !read_identity(claims, &identity))
		return ERR_TOKEN_INVALID;
	if (now_ms >= identity.expires_at_ms + rules->leeway_ms)
		return ERR_TOKEN_EXPIRED;
	*ret_identity = identity;
	return ERR_OK;
}
