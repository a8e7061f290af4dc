/*
 * Inside of the season document's reader: what is being built, and the parts that build it. They run in this order,
 * since each refers to what stands before it: tiers, passes, rewards, overflow. Each adds its faults and goes on; what
 * they leave in the season may only be used when there was none.
 */
#ifndef BP_DOCUMENT_SEASON_BUILDER_H
#define BP_DOCUMENT_SEASON_BUILDER_H

#include "document/decode.h"
#include "domain/season.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

enum { QUANTITY_MAX = 1000000000 };

struct season_builder {
	struct decoder decoder;
	struct arena *arena;
	struct season *season;
	struct pass *passes;
	bool passes_known;      /* every pass has its id: a reference that finds none is a fault */
	int64_t tiers_known;    /* the highest tier; 0: not known, references are not checked */
	struct reward *rewards; /* in document order; the id is NULL where it could not be read */
	uint32_t reward_count;
};

/* Reads a price, the member of this name. Where a part cannot be read, the currency is NULL or the amount 0. */
void season_builder_price(struct season_builder *builder, const struct place *parent, const char *name,
			  const struct json *object, struct price *price);

void season_builder_passes(struct season_builder *builder, const struct place *root, const struct json *array);
/* Index of the pass with this id, -1 if there is none or the id is NULL. */
int season_builder_find_pass(const struct season_builder *builder, const char *id);

void season_builder_rewards(struct season_builder *builder, const struct place *root, const struct json *array);
void season_builder_overflow(struct season_builder *builder, const struct place *root, const struct json *object);
/* Puts the rewards into the season, by tier and by id. Only for a document without fault. */
void season_builder_finish(struct season_builder *builder);

#endif
