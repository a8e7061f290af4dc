/*
 * The rewards of a season document and its overflow, which may unlock one reward again and again. It must never let two
 * rewards be known by one id: claims are kept by it.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "document/season_builder.h"

/* The times a repeated reward is unlocked are known as "<id>.1" to "<id>.1000", which must be ids too. */
enum { REPEAT_ID_MAX = SEASON_ID_MAX - 5 };

struct reward_draft {
	const char *id;
	int64_t tier;
	const char *pass;
	const char *kind;
	const char *item;
	int64_t quantity;
	struct texts name;
};

struct overflow_draft {
	const char *policy;
	int64_t every;
	int64_t times;
	const struct json *reward;
	const char *item;
	int64_t quantity;
};

/* The repeated reward of the overflow has all of these but the first. */
static const struct field reward_fields[] = {
	{"tier", decode_integer, offsetof(struct reward_draft, tier), true, 1, SEASON_TIERS_MAX},
	{"reward", decode_id, offsetof(struct reward_draft, id), true, 0, 0},
	{"pass", decode_id, offsetof(struct reward_draft, pass), true, 0, 0},
	{"kind", decode_id, offsetof(struct reward_draft, kind), true, 0, 0},
	{"item", decode_id, offsetof(struct reward_draft, item), true, 0, 0},
	{"quantity", decode_integer, offsetof(struct reward_draft, quantity), true, 1, QUANTITY_MAX},
	{"name", decode_texts, offsetof(struct reward_draft, name), false, 0, 0},
};

/* What stands in the overflow, by its policy. */
static const struct field none_fields[] = {
	{"policy", decode_word, offsetof(struct overflow_draft, policy), true, 0, 0},
};

static const struct field repeat_fields[] = {
	{"policy", decode_word, offsetof(struct overflow_draft, policy), true, 0, 0},
	{"every", decode_integer, offsetof(struct overflow_draft, every), true, 1, XP_MAX - 1},
	{"times", decode_integer, offsetof(struct overflow_draft, times), true, 1, SEASON_OVERFLOW_UNITS_MAX},
	{"reward", decode_object, offsetof(struct overflow_draft, reward), true, 0, 0},
};

static const struct field currency_fields[] = {
	{"policy", decode_word, offsetof(struct overflow_draft, policy), true, 0, 0},
	{"every", decode_integer, offsetof(struct overflow_draft, every), true, 1, XP_MAX - 1},
	{"item", decode_id, offsetof(struct overflow_draft, item), true, 0, 0},
	{"quantity", decode_integer, offsetof(struct overflow_draft, quantity), true, 1, QUANTITY_MAX},
};

static const struct policy policies[] = {
	{"none", OVERFLOW_NONE, none_fields, COUNT_OF(none_fields)},
	{"repeat", OVERFLOW_REPEAT, repeat_fields, COUNT_OF(repeat_fields)},
	{"currency", OVERFLOW_CURRENCY, currency_fields, COUNT_OF(currency_fields)},
};

/* Reads a reward by the given fields and resolves its pass. */
static struct reward
build_reward(struct season_builder *builder, const struct place *at, const struct json *value,
	     const struct field *fields, size_t field_count)
{
	struct reward_draft draft = {0};

	decode_members(&builder->decoder, at, value, fields, field_count, &draft);
	int pass = season_builder_find_pass(builder, draft.pass);

	if (draft.pass && pass < 0 && builder->passes_known)
		decoder_fault(&builder->decoder, &(struct place){at, "pass", 0}, "no_such_pass", "there is no pass %s",
			      draft.pass);
	return (struct reward){
		.id = draft.id,
		.tier = (uint32_t)draft.tier,
		.pass = pass < 0 ? 0 : (uint32_t)pass,
		.kind = draft.kind,
		.item = draft.item,
		.quantity = (uint64_t)draft.quantity,
		.name = draft.name,
	};
}

static int
compare_rewards(const void *left, const void *right)
{
	const struct reward *a = *(const struct reward *const *)left;
	const struct reward *b = *(const struct reward *const *)right;
	int order = strcmp(a->id, b->id);

	return order ? order : (a > b) - (a < b);
}

/* The rewards that have an id, by id, those with the same one in the order of the array. */
static const struct reward **
sort_by_id(struct arena *arena, const struct reward *rewards, uint32_t count, uint32_t *ret_count)
{
	const struct reward **sorted = ARENA_ARRAY(arena, count, const struct reward *);
	uint32_t with_id = 0;

	for (uint32_t i = 0; i < count; i++) {
		if (rewards[i].id)
			sorted[with_id++] = &rewards[i];
	}
	qsort(sorted, with_id, sizeof(sorted[0]), compare_rewards);
	*ret_count = with_id;
	return sorted;
}

static void
check_reward_ids(struct season_builder *builder, const struct place *list)
{
	uint32_t count;
	const struct reward **sorted = sort_by_id(builder->arena, builder->rewards, builder->reward_count, &count);

	for (uint32_t i = 1; i < count; i++) {
		struct place at = place_element(list, (size_t)(sorted[i] - builder->rewards));

		if (strcmp(sorted[i - 1]->id, sorted[i]->id) == 0)
			decoder_member_fault(&builder->decoder, &at, "reward", "duplicate_id",
					     "an earlier reward has this id");
	}
}

void
season_builder_rewards(struct season_builder *builder, const struct place *root, const struct json *array)
{
	struct place list = {root, "rewards", 0};
	uint32_t count = decoder_list_size(&builder->decoder, &list, array, 0, SEASON_REWARDS_MAX);
	uint32_t i = 0;

	builder->rewards = ARENA_ARRAY(builder->arena, count, struct reward);
	builder->reward_count = count;
	for (const struct json *value = json_first(array); value && i < count; value = json_next(value), i++) {
		struct place at = place_element(&list, i);
		struct reward *reward = &builder->rewards[i];

		*reward = build_reward(builder, &at, value, reward_fields, COUNT_OF(reward_fields));
		if (builder->tiers_known > 0 && reward->tier > builder->tiers_known)
			decoder_fault(&builder->decoder, &(struct place){&at, "tier", 0}, "no_such_tier",
				      "the last tier is %" PRId64, builder->tiers_known);
	}
	check_reward_ids(builder, &list);
}

/* Has the id the form "<repeated id>.<digits>"? */
static bool
is_repeat_of(const char *id, const char *repeated)
{
	size_t len = strlen(repeated);

	if (strncmp(id, repeated, len) != 0 || id[len] != '.')
		return false;
	id += len + 1;
	return *id && id[strspn(id, "0123456789")] == '\0';
}

/* The ids under which a repeated reward is unlocked must be nobody else's. */
static void
check_repeat_id(struct season_builder *builder, const struct place *root, const struct place *repeat, const char *id)
{
	struct place list = {root, "rewards", 0};

	if (strlen(id) > REPEAT_ID_MAX)
		decoder_fault(&builder->decoder, &(struct place){repeat, "reward", 0}, "bad_id",
			      "the id of a repeated reward must have at most %d characters", REPEAT_ID_MAX);
	for (uint32_t i = 0; i < builder->reward_count; i++) {
		struct place at = place_element(&list, i);
		const char *other = builder->rewards[i].id;

		if (other && strcmp(other, id) == 0)
			decoder_member_fault(&builder->decoder, repeat, "reward", "duplicate_id",
					     "another reward has this id");
		else if (other && is_repeat_of(other, id))
			decoder_member_fault(&builder->decoder, &at, "reward", "reserved_id",
					     "this id is one of the repeated reward of the overflow");
	}
}

static void
build_repeat(struct season_builder *builder, const struct place *root, const struct place *overflow,
	     const struct json *object)
{
	struct place at = {overflow, "reward", 0};
	struct reward reward = build_reward(builder, &at, object, reward_fields + 1, COUNT_OF(reward_fields) - 1);

	if (reward.id)
		check_repeat_id(builder, root, &at, reward.id);
	reward.tier = builder->season->tier_count;
	builder->season->overflow.reward = reward;
}

void
season_builder_overflow(struct season_builder *builder, const struct place *root, const struct json *object)
{
	struct place at = {root, "overflow", 0};
	struct overflow_draft draft = {0};
	const struct policy *policy = decode_policy(&builder->decoder, &at, object, policies, COUNT_OF(policies),
						    "none, repeat or currency", &draft);

	if (!policy)
		return;
	builder->season->overflow = (struct overflow){
		.policy = (enum overflow_policy)policy->value,
		.every = (uint64_t)draft.every,
		.times = (uint32_t)draft.times,
	};
	if (draft.reward)
		build_repeat(builder, root, &at, draft.reward);
	if (policy->value == OVERFLOW_CURRENCY)
		builder->season->overflow.reward = (struct reward){
			.tier = builder->season->tier_count,
			.kind = "currency",
			.item = draft.item,
			.quantity = (uint64_t)draft.quantity,
		};
}

/* Sorts the rewards by tier, in a tier by their order in the document, and finds the first of each tier. */
static void
place_rewards(struct season_builder *builder)
{
	struct season *season = builder->season;
	uint32_t *first = ARENA_ARRAY(builder->arena, season->tier_count + 2, uint32_t);
	uint32_t *next = ARENA_ARRAY(builder->arena, season->tier_count + 2, uint32_t);
	struct reward *placed = ARENA_ARRAY(builder->arena, builder->reward_count, struct reward);

	for (uint32_t i = 0; i < builder->reward_count; i++)
		first[builder->rewards[i].tier + 1]++;
	for (uint32_t tier = 1; tier <= season->tier_count + 1; tier++)
		first[tier] += first[tier - 1];
	memcpy(next, first, (season->tier_count + 2) * sizeof(first[0]));
	for (uint32_t i = 0; i < builder->reward_count; i++)
		placed[next[builder->rewards[i].tier]++] = builder->rewards[i];
	season->rewards = placed;
	season->reward_count = builder->reward_count;
	season->tier_rewards = first;
}

static void
index_rewards(struct season_builder *builder)
{
	struct season *season = builder->season;
	uint32_t count;
	const struct reward **sorted = sort_by_id(builder->arena, season->rewards, season->reward_count, &count);
	uint32_t *by_id = ARENA_ARRAY(builder->arena, count, uint32_t);

	for (uint32_t i = 0; i < count; i++)
		by_id[i] = (uint32_t)(sorted[i] - season->rewards);
	season->reward_by_id = by_id;
}

void
season_builder_finish(struct season_builder *builder)
{
	place_rewards(builder);
	index_rewards(builder);
}
