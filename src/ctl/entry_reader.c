/*
 * What audit entries say in JSON, read back: the state before and after, the rewards that were claimed, the reset that
 * is meant. Strict in what it looks at; members that it does not need may be there.
 */
#include "ctl/entry_reader.h"

#include "base/json.h"

static bool
get_count(const struct json *node, uint64_t *ret)
{
	int64_t value;

	if (!json_get_integer(node, &value) || value < 0)
		return false;
	*ret = (uint64_t)value;
	return true;
}

/* A number that stands in a text of digits, as revisions do. */
static bool
get_decimal(const struct json *node, uint64_t *ret)
{
	struct str text;
	uint64_t value = 0;

	if (!json_get_string(node, &text) || text.len == 0)
		return false;
	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] < '0' || text.ptr[i] > '9' || value > UINT64_MAX / 10 - 1)
			return false;
		value = value * 10 + (uint64_t)(text.ptr[i] - '0');
	}
	*ret = value;
	return true;
}

static bool
get_uuid(const struct json *node, struct uuid *ret)
{
	struct str text;

	return json_get_string(node, &text) && uuid_parse(text, ret);
}

static bool
get_passes(const struct json *node, struct arena *arena, struct replay_state *state)
{
	if (!node || json_type(node) != JSON_ARRAY)
		return false;
	state->passes = ARENA_ARRAY(arena, json_count(node), struct str);
	state->pass_count = 0;
	for (const struct json *each = json_first(node); each; each = json_next(each)) {
		struct str pass;

		if (!json_get_string(each, &pass))
			return false;
		state->passes[state->pass_count++] = arena_str(arena, pass);
	}
	return true;
}

static bool
read_state(struct str text, struct arena *arena, struct replay_state *ret_state)
{
	struct replay_state state;
	struct json *root;

	if (json_parse(text, &root, NULL) != ERR_OK)
		return false;
	bool good = get_decimal(json_member(root, "revision"), &state.revision) &&
		    get_count(json_member(root, "xp"), &state.xp) &&
		    get_count(json_member(root, "claims"), &state.claim_count) &&
		    get_passes(json_member(root, "passes"), arena, &state);

	json_free(root);
	if (good)
		*ret_state = state;
	return good;
}

/* A result is members without their braces. */
static bool
parse_result(struct str result, struct json **ret_root)
{
	struct buf text;

	buf_init(&text);
	buf_char(&text, '{');
	buf_str(&text, result);
	buf_char(&text, '}');
	bool good = json_parse(buf_view(&text), ret_root, NULL) == ERR_OK;

	buf_release(&text);
	return good;
}

/* One of the results; those that did not claim anything are passed over. */
static bool
get_claim(const struct json *node, struct arena *arena, struct replay_claim *claims, size_t *count)
{
	struct str status;
	struct str reward;

	if (!json_get_string(json_member(node, "status"), &status))
		return false;
	if (!str_equal(status, STR("claimed")))
		return true;
	if (!json_get_string(json_member(node, "reward"), &reward) ||
	    !get_uuid(json_member(node, "delivery"), &claims[*count].delivery))
		return false;
	claims[(*count)++].reward = arena_str(arena, reward);
	return true;
}

static bool
read_claims(struct str result, struct arena *arena, struct replay_claim **ret_claims, size_t *ret_count)
{
	struct json *root;

	if (!parse_result(result, &root))
		return false;
	const struct json *results = json_member(root, "results");
	bool good = results && json_type(results) == JSON_ARRAY;
	struct replay_claim *claims = ARENA_ARRAY(arena, good ? json_count(results) : 0, struct replay_claim);
	size_t count = 0;

	for (const struct json *each = good ? json_first(results) : NULL; each && good; each = json_next(each))
		good = get_claim(each, arena, claims, &count);
	json_free(root);
	if (good) {
		*ret_claims = claims;
		*ret_count = count;
	}
	return good;
}

static bool
read_reset(struct str result, struct uuid *ret_reset, bool *ret_forget)
{
	struct json *root;
	struct str claims;
	struct uuid reset;

	if (!parse_result(result, &root))
		return false;
	bool good = get_uuid(json_member(root, "reset"), &reset) &&
		    json_get_string(json_member(root, "claims"), &claims) &&
		    (str_equal(claims, STR("forget")) || str_equal(claims, STR("keep")));

	if (good) {
		*ret_reset = reset;
		*ret_forget = str_equal(claims, STR("forget"));
	}
	json_free(root);
	return good;
}

const struct replay_reader entry_reader = {
	.state = read_state,
	.claims = read_claims,
	.reset = read_reset,
};
