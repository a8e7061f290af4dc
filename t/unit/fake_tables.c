/* Tables in memory: see fake_tables.h. */
#include "fake_tables.h"

#include <stdlib.h>

#define IS_OF(row, player_wanted, season_wanted)                                                                       \
	(str_equal((row)->player, (player_wanted)) && strcmp((row)->season, (season_wanted)) == 0)

static bool
same_id(const struct uuid *a, const struct uuid *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

/* Room for one more row; a test that needs more must say so. */
static size_t
more(size_t *count)
{
	if (*count == FAKE_ROWS_MAX)
		abort();
	return (*count)++;
}

static const char *
keep(struct arena *memory, const char *text)
{
	return arena_copy(memory, str_from(text));
}

#define COPY(rows, count)                                                                                              \
	do {                                                                                                           \
		memcpy(to->rows, from->rows, from->count * sizeof(to->rows[0]));                                       \
		to->count = from->count;                                                                               \
	} while (0)

void
fake_tables_copy(struct fake_tables *to, const struct fake_tables *from)
{
	COPY(passes, pass_count);
	COPY(claims, claim_count);
	COPY(forgotten, forgotten_count);
	COPY(deliveries, delivery_count);
	COPY(purchases, purchase_count);
	COPY(resets, reset_count);
	COPY(entries, entry_count);
}

static void
save_passes(struct fake_tables *tables, const struct pass_row *rows, struct arena *memory)
{
	if (!rows)
		return;
	save_passes(tables, rows->next, memory); /* lists grow at their head */
	for (size_t i = 0; i < tables->pass_count; i++) {
		struct pass_row *known = &tables->passes[i];

		if (!IS_OF(known, rows->player, rows->season) || !str_equal(known->pass.pass, rows->pass.pass))
			continue;
		known->pass.since_ms = rows->pass.since_ms;
		known->pass.active = rows->pass.active;
		return;
	}
	struct pass_row *row = &tables->passes[more(&tables->pass_count)];

	*row = *rows;
	row->player = arena_str(memory, rows->player);
	row->season = keep(memory, rows->season);
	row->pass.pass = arena_str(memory, rows->pass.pass);
}

static bool
is_claimed(const struct fake_tables *tables, const struct claim_row *wanted)
{
	for (size_t i = 0; i < tables->claim_count; i++)
		if (IS_OF(&tables->claims[i], wanted->player, wanted->season) &&
		    str_equal(tables->claims[i].reward, wanted->reward))
			return true;
	return false;
}

static void
save_claims(struct fake_tables *tables, const struct claim_row *rows, struct arena *memory, struct fake_faults *faults)
{
	for (; rows; rows = rows->next) {
		if (is_claimed(tables, rows))
			fake_broken(faults, "reward %.*s is claimed twice", STR_ARGS(rows->reward));

		struct claim_row *row = &tables->claims[more(&tables->claim_count)];

		*row = *rows;
		row->player = arena_str(memory, rows->player);
		row->season = keep(memory, rows->season);
		row->reward = arena_str(memory, rows->reward);
		row->pass = arena_str(memory, rows->pass);
	}
}

static void
save_deliveries(struct fake_tables *tables, const struct delivery_row *rows, struct arena *memory)
{
	for (; rows; rows = rows->next) {
		struct delivery_row *row = &tables->deliveries[more(&tables->delivery_count)];

		*row = *rows;
		row->player = arena_str(memory, rows->player);
		row->season = keep(memory, rows->season);
		row->reward = arena_str(memory, rows->reward);
	}
}

static void
save_purchase(struct fake_tables *tables, const struct purchase_row *wanted, struct arena *memory,
	      struct fake_faults *faults)
{
	struct purchase_row *row =
		(struct purchase_row *)fake_tables_purchase(tables, wanted->player, wanted->season, &wanted->id);
	const struct purchase_row *live =
		wanted->live ? fake_tables_live(tables, wanted->player, wanted->season, wanted->pass) : NULL;

	if (wanted->fresh == (row != NULL))
		fake_broken(faults, "a purchase that %s", row ? "is there already" : "is not there is changed");
	if (live && !same_id(&live->id, &wanted->id))
		fake_broken(faults, "two purchases of %.*s stand at once", STR_ARGS(wanted->pass));
	if (!row)
		row = &tables->purchases[more(&tables->purchase_count)];
	*row = *wanted;
	row->fresh = false;
	row->player = arena_str(memory, wanted->player);
	row->season = keep(memory, wanted->season);
	row->pass = arena_str(memory, wanted->pass);
	row->currency = arena_str(memory, wanted->currency);
}

static void
forget_claims(struct fake_tables *tables, const struct reset_row *reset)
{
	size_t left = 0;

	for (size_t i = 0; i < tables->claim_count; i++) {
		if (IS_OF(&tables->claims[i], reset->player, reset->season))
			tables->forgotten[more(&tables->forgotten_count)] =
				(struct forgotten){reset->id, tables->claims[i]};
		else
			tables->claims[left++] = tables->claims[i];
	}
	tables->claim_count = left;
}

static void
bring_back_claims(struct fake_tables *tables, const struct reset_row *reset)
{
	size_t left = 0;

	for (size_t i = 0; i < tables->forgotten_count; i++) {
		const struct forgotten *each = &tables->forgotten[i];

		if (!same_id(&each->reset, &reset->id))
			tables->forgotten[left++] = *each;
		else if (!is_claimed(tables, &each->claim))
			tables->claims[more(&tables->claim_count)] = each->claim;
	}
	tables->forgotten_count = left;
}

static void
save_reset(struct fake_tables *tables, const struct reset_row *wanted, struct arena *memory)
{
	for (size_t i = 0; i < tables->reset_count; i++) {
		if (!same_id(&tables->resets[i].id, &wanted->id))
			continue;
		tables->resets[i].undone = wanted->undone;
		if (wanted->forget)
			bring_back_claims(tables, wanted);
		return;
	}
	struct reset_row *row = &tables->resets[more(&tables->reset_count)];

	*row = *wanted;
	row->player = arena_str(memory, wanted->player);
	row->season = keep(memory, wanted->season);
	if (wanted->forget)
		forget_claims(tables, row);
}

static void
save_entries(struct fake_tables *tables, const struct audit_entry *entries, struct arena *memory)
{
	if (!entries)
		return;
	save_entries(tables, entries->next, memory);

	struct audit_entry *row = &tables->entries[more(&tables->entry_count)];

	*row = *entries;
	row->player = arena_str(memory, entries->player);
	row->season = keep(memory, entries->season);
	row->action = keep(memory, entries->action);
	row->idempotency_key = arena_str(memory, entries->idempotency_key);
	row->subject = arena_str(memory, entries->subject);
	row->before = arena_str(memory, entries->before);
	row->after = arena_str(memory, entries->after);
	row->result = arena_str(memory, entries->result);
}

enum err
fake_tables_save(struct fake_tables *tables, const struct changes *changes, struct arena *memory,
		 struct fake_faults *faults)
{
	for (const struct audit_entry *entry = changes->entries; entry; entry = entry->next)
		if (fake_tables_entry(tables, entry))
			return ERR_STORE_DUPLICATE;
	save_entries(tables, changes->entries, memory);
	save_claims(tables, changes->claims, memory, faults);
	save_deliveries(tables, changes->deliveries, memory);
	save_passes(tables, changes->passes, memory);
	for (const struct purchase_row *row = changes->purchases; row; row = row->next)
		save_purchase(tables, row, memory, faults);
	for (const struct reset_row *row = changes->resets; row; row = row->next)
		save_reset(tables, row, memory);
	return ERR_OK;
}

void
fake_tables_take(const struct fake_tables *tables, struct progress_row *row, struct arena *arena)
{
	row->passes = ARENA_ARRAY(arena, tables->pass_count, struct owned_pass);
	row->claims = ARENA_ARRAY(arena, tables->claim_count, struct str);
	for (size_t i = 0; i < tables->pass_count; i++)
		if (IS_OF(&tables->passes[i], row->player, row->season->id))
			row->passes[row->pass_count++] = tables->passes[i].pass;
	for (size_t i = 0; i < tables->claim_count; i++)
		if (IS_OF(&tables->claims[i], row->player, row->season->id))
			row->claims[row->claim_count++] = tables->claims[i].reward;
}

const struct audit_entry *
fake_tables_entry(const struct fake_tables *tables, const struct audit_entry *wanted)
{
	for (size_t i = 0; wanted->idempotency_key.len && i < tables->entry_count; i++) {
		const struct audit_entry *each = &tables->entries[i];

		if (IS_OF(each, wanted->player, wanted->season) && strcmp(each->action, wanted->action) == 0 &&
		    str_equal(each->idempotency_key, wanted->idempotency_key))
			return each;
	}
	return NULL;
}

const struct purchase_row *
fake_tables_purchase(const struct fake_tables *tables, struct str player, const char *season, const struct uuid *id)
{
	for (size_t i = 0; i < tables->purchase_count; i++)
		if (IS_OF(&tables->purchases[i], player, season) && same_id(&tables->purchases[i].id, id))
			return &tables->purchases[i];
	return NULL;
}

const struct purchase_row *
fake_tables_live(const struct fake_tables *tables, struct str player, const char *season, struct str pass)
{
	for (size_t i = 0; i < tables->purchase_count; i++) {
		const struct purchase_row *each = &tables->purchases[i];

		if (each->live && IS_OF(each, player, season) && str_equal(each->pass, pass))
			return each;
	}
	return NULL;
}

bool
fake_tables_reset(const struct fake_tables *tables, struct str player, const char *season, const struct uuid *id,
		  struct arena *arena, struct reset_row *ret_reset)
{
	for (size_t i = 0; i < tables->reset_count; i++) {
		if (!IS_OF(&tables->resets[i], player, season) || !same_id(&tables->resets[i].id, id))
			continue;
		*ret_reset = tables->resets[i];
		ret_reset->forgotten = ARENA_ARRAY(arena, tables->forgotten_count, struct str);
		ret_reset->forgotten_count = 0;
		for (size_t j = 0; j < tables->forgotten_count; j++)
			if (same_id(&tables->forgotten[j].reset, id))
				ret_reset->forgotten[ret_reset->forgotten_count++] = tables->forgotten[j].claim.reward;
		return true;
	}
	return false;
}

bool
fake_tables_owns(const struct fake_tables *tables, struct str player, const char *season, const char *pass)
{
	for (size_t i = 0; i < tables->pass_count; i++)
		if (IS_OF(&tables->passes[i], player, season) && str_equal(tables->passes[i].pass.pass, str_from(pass)))
			return tables->passes[i].pass.active;
	return false;
}
