/*
 * The passes of a season document, what they cost, which others they include and what becomes of rewards that nobody
 * claims. It must never leave an include of the season unresolved: includes has every pass that owning this one opens,
 * however many steps away.
 */
#include <inttypes.h>

#include "document/season_builder.h"

struct price_draft {
	const char *currency;
	int64_t amount;
};

struct pass_draft {
	const char *id;
	struct texts name;
	bool free;
	const struct json *price;
	const struct json *includes;
	int64_t instant_tiers;
	const struct json *auto_claim;
};

struct auto_claim_draft {
	const char *policy;
	const char *item;
	int64_t quantity;
};

static const struct field pass_fields[] = {
	{"pass", decode_id, offsetof(struct pass_draft, id), true, 0, 0},
	{"name", decode_texts, offsetof(struct pass_draft, name), false, 0, 0},
	{"free", decode_boolean, offsetof(struct pass_draft, free), false, 0, 0},
	{"price", decode_object, offsetof(struct pass_draft, price), false, 0, 0},
	{"includes", decode_array, offsetof(struct pass_draft, includes), false, 0, 0},
	{"instant_tiers", decode_integer, offsetof(struct pass_draft, instant_tiers), false, 0, SEASON_TIERS_MAX},
	{"auto_claim", decode_object, offsetof(struct pass_draft, auto_claim), false, 0, 0},
};

static const struct field price_fields[] = {
	{"currency", decode_id, offsetof(struct price_draft, currency), true, 0, 0},
	{"amount", decode_integer, offsetof(struct price_draft, amount), true, 1, QUANTITY_MAX},
};

/* What stands in auto_claim, by its policy. */
static const struct field plain_fields[] = {
	{"policy", decode_word, offsetof(struct auto_claim_draft, policy), true, 0, 0},
};

static const struct field convert_fields[] = {
	{"policy", decode_word, offsetof(struct auto_claim_draft, policy), true, 0, 0},
	{"item", decode_id, offsetof(struct auto_claim_draft, item), true, 0, 0},
	{"quantity", decode_integer, offsetof(struct auto_claim_draft, quantity), true, 1, QUANTITY_MAX},
};

static const struct policy auto_claims[] = {
	{"forfeit", AUTO_CLAIM_FORFEIT, plain_fields, COUNT_OF(plain_fields)},
	{"claim", AUTO_CLAIM_CLAIM, plain_fields, COUNT_OF(plain_fields)},
	{"convert", AUTO_CLAIM_CONVERT, convert_fields, COUNT_OF(convert_fields)},
};

void
season_builder_price(struct season_builder *builder, const struct place *parent, const char *name,
		     const struct json *object, struct price *price)
{
	struct place at = {parent, name, 0};
	struct price_draft draft = {NULL, 0};

	decode_members(&builder->decoder, &at, object, price_fields, COUNT_OF(price_fields), &draft);
	*price = (struct price){draft.currency, (uint64_t)draft.amount};
}

static void
build_auto_claim(struct season_builder *builder, const struct place *parent, const struct json *object,
		 struct pass *pass)
{
	struct place at = {parent, "auto_claim", 0};
	struct auto_claim_draft draft = {0};
	const struct policy *policy = decode_policy(&builder->decoder, &at, object, auto_claims, COUNT_OF(auto_claims),
						    "forfeit, claim or convert", &draft);

	if (!policy)
		return;
	pass->auto_claim = (enum auto_claim)policy->value;
	pass->convert_item = draft.item;
	pass->convert_quantity = (uint64_t)draft.quantity;
}

/* Everybody has a free pass from the start, so what belongs to a purchase has no place in it. */
static void
check_free_pass(struct season_builder *builder, const struct place *at, const struct pass_draft *draft)
{
	const struct {
		const char *name;
		bool stands;
	} members[] = {
		{"price", draft->price != NULL},
		{"includes", draft->includes != NULL},
		{"instant_tiers", draft->instant_tiers > 0},
	};

	for (size_t i = 0; i < COUNT_OF(members); i++) {
		if (members[i].stands)
			decoder_member_fault(&builder->decoder, at, members[i].name, "not_for_free_pass",
					     "a free pass is not bought and cannot have this");
	}
}

int
season_builder_find_pass(const struct season_builder *builder, const char *id)
{
	for (uint32_t i = 0; id && i < builder->season->pass_count; i++) {
		if (builder->passes[i].id && strcmp(builder->passes[i].id, id) == 0)
			return (int)i;
	}
	return -1;
}

static void
build_pass(struct season_builder *builder, const struct place *at, const struct json *value, uint32_t index,
	   const struct json **ret_includes)
{
	struct pass_draft draft = {0};
	struct pass *pass = &builder->passes[index];
	size_t faults = decoder_fault_count(&builder->decoder);

	decode_members(&builder->decoder, at, value, pass_fields, COUNT_OF(pass_fields), &draft);
	bool read_whole = decoder_fault_count(&builder->decoder) == faults;

	if (!draft.id)
		builder->passes_known = false;
	else if (season_builder_find_pass(builder, draft.id) >= 0)
		decoder_member_fault(&builder->decoder, at, "pass", "duplicate_id", "an earlier pass has this id");
	*pass = (struct pass){
		.id = draft.id,
		.name = draft.name,
		.free = draft.free,
		.instant_tiers = (uint32_t)draft.instant_tiers,
	};
	if (draft.price)
		season_builder_price(builder, at, "price", draft.price, &pass->price);
	else if (!draft.free && read_whole)
		decoder_member_fault(&builder->decoder, at, "price", "required", "a pass that is not free has a price");
	if (draft.auto_claim)
		build_auto_claim(builder, at, draft.auto_claim, pass);
	if (draft.free)
		check_free_pass(builder, at, &draft);
	*ret_includes = draft.includes;
}

/* One id of a pass's "includes": its bit is added to *named. */
static void
build_include(struct season_builder *builder, const struct place *at, const struct json *value, uint32_t *named)
{
	const char *id = NULL;

	decode_id(&builder->decoder, at, value, NULL, &id);
	if (!id)
		return;
	int index = season_builder_find_pass(builder, id);

	if (index < 0 && builder->passes_known)
		decoder_fault(&builder->decoder, at, "no_such_pass", "there is no pass %s", id);
	if (index < 0)
		return;
	if (*named >> index & 1)
		decoder_fault(&builder->decoder, at, "duplicate_id", "pass %s stands in this list already", id);
	*named |= UINT32_C(1) << index;
}

/* Are both prices known and in one currency, and the first not above the second? */
static bool
is_not_above(const struct price *price, const struct price *other)
{
	return price->amount > 0 && price->currency && other->currency &&
	       strcmp(price->currency, other->currency) == 0 && price->amount <= other->amount;
}

/* An upgrade costs the difference to what is owned, which must be something. */
static void
check_price(struct season_builder *builder, const struct place *list, uint32_t index)
{
	const struct pass *pass = &builder->passes[index];
	struct place at = place_element(list, index);
	struct place price = {&at, "price", 0};

	for (uint32_t i = 0; i < builder->season->pass_count; i++) {
		const struct pass *other = &builder->passes[i];

		if (i == index || !(pass->includes >> i & 1) || !is_not_above(&pass->price, &other->price))
			continue;
		decoder_fault(&builder->decoder, &(struct place){&price, "amount", 0}, "price_not_above_included",
			      "must be above %" PRIu64 ", the price of a pass that this one includes",
			      other->price.amount);
		return;
	}
}

/* From the passes that each one names to all that it opens. */
static void
close_includes(uint32_t *opened, uint32_t count)
{
	/* Warshall: after round k, opened[i] has every pass that i leads to by way of the passes 0 to k. */
	for (uint32_t k = 0; k < count; k++) {
		for (uint32_t i = 0; i < count; i++) {
			if (opened[i] >> k & 1)
				opened[i] |= opened[k];
		}
	}
}

/* In a cycle no price could be above all others: only the cycle is reported then. */
static void
settle_includes(struct season_builder *builder, const struct place *list, uint32_t *opened)
{
	uint32_t count = builder->season->pass_count;

	close_includes(opened, count);
	for (uint32_t i = 0; i < count; i++) {
		struct place at = place_element(list, i);

		builder->passes[i].includes = opened[i] | UINT32_C(1) << i;
		if (opened[i] >> i & 1)
			decoder_member_fault(&builder->decoder, &at, "includes", "include_cycle",
					     "this pass includes itself, perhaps by way of others");
		else
			check_price(builder, list, i);
	}
}

static void
build_includes(struct season_builder *builder, const struct place *list, const struct json *const *includes)
{
	uint32_t named[SEASON_PASSES_MAX] = {0};

	for (uint32_t i = 0; i < builder->season->pass_count; i++) {
		struct place pass = place_element(list, i);
		struct place ids = {&pass, "includes", 0};
		size_t k = 0;

		for (const struct json *id = includes[i] ? json_first(includes[i]) : NULL; id; id = json_next(id)) {
			struct place at = place_element(&ids, k++);

			build_include(builder, &at, id, &named[i]);
		}
	}
	settle_includes(builder, list, named);
}

void
season_builder_passes(struct season_builder *builder, const struct place *root, const struct json *array)
{
	struct place list = {root, "passes", 0};
	size_t faults = decoder_fault_count(&builder->decoder);
	uint32_t count = decoder_list_size(&builder->decoder, &list, array, 1, SEASON_PASSES_MAX);
	const struct json *includes[SEASON_PASSES_MAX] = {NULL};
	uint32_t i = 0;

	builder->passes = ARENA_ARRAY(builder->arena, count, struct pass);
	builder->passes_known = count > 0;
	builder->season->passes = builder->passes;
	builder->season->pass_count = count;
	for (const struct json *value = json_first(array); value && i < count; value = json_next(value), i++) {
		struct place at = place_element(&list, i);

		build_pass(builder, &at, value, i, &includes[i]);
	}
	if (decoder_fault_count(&builder->decoder) == faults && season_free_passes(builder->season) == 0)
		decoder_fault(&builder->decoder, &list, "no_free_pass", "one pass at least must be free");
	build_includes(builder, &list, includes);
}
