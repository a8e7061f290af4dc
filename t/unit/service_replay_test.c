/*
 * Replay (service/replay): histories as the service writes them give what is stored, and whatever is changed in the
 * ledgers or in what is stored is found. Entries are read by the reader of battlepassctl.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/uuid.h"
#include "ctl/entry_reader.h"
#include "service/replay.h"
#include "tap.h"

enum { GRANTS_MAX = 20000, ENTRIES_MAX = 8000, CLAIMS_MAX = 2000, DELIVERIES_MAX = 8000, PASSES_MAX = 4 };

struct forgotten {
	struct claim_row claim;
	struct uuid reset;
};

/* One player in one season, as a store holds it. */
struct world {
	struct grant_row grants[GRANTS_MAX];
	size_t grant_count;
	struct audit_entry entries[ENTRIES_MAX];
	size_t entry_count;
	struct claim_row claims[CLAIMS_MAX];
	size_t claim_count;
	struct forgotten forgotten[CLAIMS_MAX];
	size_t forgotten_count;
	struct delivery_row deliveries[DELIVERIES_MAX];
	size_t delivery_count;
	struct owned_pass passes[PASSES_MAX];
	uint32_t pass_count;
	uint64_t xp;
	uint64_t revision;
	uint32_t claim_room;
	uint32_t passes_lost; /* that the row counts and nobody finds */
	uint64_t ids;
	unsigned calls;
	unsigned fail_at;
	void (*meanwhile)(void);
};

static struct world world;
static struct arena texts;
static char faults[8192]; /* that were said, a line each */
static uint64_t fault_count;

#define PLAYER STR("berta")

static bool
call_fails(void)
{
	if (world.meanwhile)
		world.meanwhile();
	return ++world.calls == world.fail_at;
}

/* The ports. */

static enum err
fake_load(void *self, struct progress_row *const rows[], size_t count, struct arena *arena)
{
	(void)self;
	if (call_fails())
		return ERR_STORE_UNAVAILABLE;
	CU_ASSERT_EQUAL(count, 1);
	CU_ASSERT_TRUE(str_equal(rows[0]->player, PLAYER));
	rows[0]->exists = true;
	rows[0]->xp = world.xp;
	rows[0]->revision = world.revision;
	rows[0]->claim_room = world.claim_room;
	rows[0]->pass_count = world.pass_count;
	rows[0]->pass_room = world.pass_count + world.passes_lost;
	rows[0]->passes = ARENA_ARRAY(arena, PASSES_MAX, struct owned_pass);
	memcpy(rows[0]->passes, world.passes, sizeof(world.passes));
	return ERR_OK;
}

static enum err
fake_ledger(void *self, const struct ledger_query *query, struct arena *arena, struct grant_row **ret_rows,
	    size_t *ret_count)
{
	(void)self;
	if (call_fails())
		return ERR_STORE_UNAVAILABLE;
	*ret_rows = ARENA_ARRAY(arena, query->limit, struct grant_row);
	*ret_count = 0;
	for (size_t i = world.grant_count; i-- > 0 && *ret_count < query->limit;)
		if (world.grants[i].revision < query->before)
			(*ret_rows)[(*ret_count)++] = world.grants[i];
	return ERR_OK;
}

static enum err
fake_claims(void *self, const struct page_query *query, struct arena *arena, struct claim_row **ret_rows,
	    size_t *ret_count)
{
	(void)self;
	if (call_fails())
		return ERR_STORE_UNAVAILABLE;
	*ret_rows = ARENA_ARRAY(arena, query->limit, struct claim_row);
	*ret_count = 0;
	for (size_t i = world.claim_count; i-- > 0 && *ret_count < query->limit;)
		if (query->from_newest || memcmp(&world.claims[i].delivery, &query->before, sizeof(struct uuid)) < 0)
			(*ret_rows)[(*ret_count)++] = world.claims[i];
	return ERR_OK;
}

static enum err
fake_deliveries(void *self, const struct page_query *query, const char *state, struct arena *arena,
		struct delivery_row **ret_rows, size_t *ret_count)
{
	(void)self;
	CU_ASSERT_PTR_NULL(state);
	if (call_fails())
		return ERR_STORE_UNAVAILABLE;
	*ret_rows = ARENA_ARRAY(arena, query->limit, struct delivery_row);
	*ret_count = 0;
	for (size_t i = world.delivery_count; i-- > 0 && *ret_count < query->limit;) {
		struct delivery_row *row = &world.deliveries[i];

		if (!query->from_newest && memcmp(&row->id, &query->before, sizeof(struct uuid)) >= 0)
			continue;
		(*ret_rows)[*ret_count] = *row;
		(*ret_rows)[(*ret_count)++].reward = arena_str(arena, row->reward);
	}
	return ERR_OK;
}

static enum err
fake_chain(void *self, const char *player, const char *season, const struct chain_position *after, uint32_t limit,
	   struct arena *arena, struct audit_entry **ret_rows, size_t *ret_count)
{
	(void)self;
	if (call_fails())
		return ERR_STORE_UNAVAILABLE;
	CU_ASSERT_STRING_EQUAL(player, "berta");
	CU_ASSERT_STRING_EQUAL(season, "s1");
	*ret_rows = ARENA_ARRAY(arena, limit, struct audit_entry);
	*ret_count = 0;
	for (size_t i = 0; i < world.entry_count && *ret_count < limit; i++) {
		if (world.entries[i].sequence <= after->sequence)
			continue;
		struct audit_entry *row = &(*ret_rows)[(*ret_count)++];

		*row = world.entries[i];
		row->before = arena_str(arena, row->before);
		row->after = arena_str(arena, row->after);
		row->result = arena_str(arena, row->result);
	}
	return ERR_OK;
}

static const struct store_port store = {.load = fake_load, .ledger = fake_ledger};
static const struct records_port records = {
	.claims = fake_claims,
	.deliveries = fake_deliveries,
	.chain = fake_chain,
};

/* What the service does. */

static struct uuid
next_id(void)
{
	struct uuid id = {{0}};

	world.ids++;
	for (size_t i = 0; i < 8; i++)
		id.bytes[i] = (unsigned char)(world.ids >> (56 - 8 * i));
	return id;
}

static struct str
state_now(void)
{
	struct str text = arena_format(&texts, "{\"revision\":\"%llu\",\"xp\":%llu,\"tier\":1,\"passes\":[",
				       (unsigned long long)world.revision, (unsigned long long)world.xp);
	bool first = true;

	for (uint32_t i = 0; i < world.pass_count; i++) {
		if (!world.passes[i].active)
			continue;
		text = arena_format(&texts, "%.*s%s\"%.*s\"", STR_ARGS(text), first ? "" : ",",
				    STR_ARGS(world.passes[i].pass));
		first = false;
	}
	return arena_format(&texts, "%.*s],\"claims\":%u}", STR_ARGS(text), world.claim_room);
}

static struct audit_entry *
begin_entry(const char *action)
{
	if (world.entry_count == ENTRIES_MAX)
		abort();
	struct audit_entry *entry = &world.entries[world.entry_count++];

	*entry = (struct audit_entry){
		.player = PLAYER,
		.season = "s1",
		.sequence = world.entry_count,
		.action = action,
		.xp_before = world.xp,
		.before = state_now(),
	};
	return entry;
}

static void
end_entry(struct audit_entry *entry, bool changes)
{
	if (changes)
		entry->revision = ++world.revision;
	entry->xp_after = world.xp;
	entry->after = state_now();
}

static void
grant(uint64_t amount)
{
	if (world.grant_count == GRANTS_MAX)
		abort();
	world.grants[world.grant_count++] = (struct grant_row){
		.player = PLAYER,
		.season = "s1",
		.amount = amount,
		.effect = {.xp_before = world.xp, .xp_after = world.xp + amount},
		.revision = ++world.revision,
	};
	world.xp += amount;
}

static void
change_xp(const char *action, int64_t amount)
{
	struct audit_entry *entry = begin_entry(action);

	world.xp += (uint64_t)amount;
	end_entry(entry, true);
}

static void
step(const char *action)
{
	end_entry(begin_entry(action), false);
}

static void
set_pass(const char *action, struct str pass, bool active)
{
	struct audit_entry *entry = begin_entry(action);
	uint32_t at = 0;

	while (at < world.pass_count && !str_equal(world.passes[at].pass, pass))
		at++;
	if (at == world.pass_count)
		world.pass_count++;
	world.passes[at] = (struct owned_pass){.pass = pass, .active = active};
	end_entry(entry, true);
}

static bool
is_claimed(struct str reward)
{
	for (size_t i = 0; i < world.claim_count; i++)
		if (str_equal(world.claims[i].reward, reward))
			return true;
	return false;
}

static struct uuid
deliver(struct str reward)
{
	if (world.delivery_count == DELIVERIES_MAX)
		abort();
	struct delivery_row *row = &world.deliveries[world.delivery_count++];

	*row = (struct delivery_row){.id = next_id(), .player = PLAYER, .season = "s1", .reward = reward};
	return row->id;
}

/* Claims rewards from .. to - 1; those that are claimed already are said to be so. */
static void
claim(const char *action, unsigned from, unsigned to)
{
	struct audit_entry *entry = begin_entry(action);
	struct str text = STR("\"revision\":\"1\",\"results\":[");
	bool changes = false;

	for (unsigned i = from; i < to; i++) {
		struct str reward = arena_format(&texts, "r%u", i);
		bool known = is_claimed(reward);
		char id[UUID_TEXT_SIZE] = "";

		if (!known) {
			struct uuid delivery = deliver(reward);

			uuid_format(&delivery, id);
			world.claims[world.claim_count++] =
				(struct claim_row){.player = PLAYER, .reward = reward, .delivery = delivery};
			changes = true;
		}
		text = arena_format(&texts, "%.*s%s{\"reward\":\"%.*s\",\"status\":\"%s\"%s%s%s}", STR_ARGS(text),
				    i == from ? "" : ",", STR_ARGS(reward), known ? "already_claimed" : "claimed",
				    known ? "" : ",\"delivery\":\"", id, known ? "" : "\"");
	}
	entry->result = arena_format(&texts, "%.*s]", STR_ARGS(text));
	world.claim_room = (uint32_t)world.claim_count;
	end_entry(entry, changes);
}

static void
say_reset(struct audit_entry *entry, const struct uuid *reset, bool forget)
{
	char id[UUID_TEXT_SIZE];

	uuid_format(reset, id);
	entry->result = arena_format(&texts, "\"reset\":\"%s\",\"claims\":\"%s\"", id, forget ? "forget" : "keep");
}

static struct uuid
reset(bool forget)
{
	struct audit_entry *entry = begin_entry("reset");
	struct uuid id = next_id();

	world.xp = 0;
	for (size_t i = 0; forget && i < world.claim_count; i++)
		world.forgotten[world.forgotten_count++] = (struct forgotten){world.claims[i], id};
	if (forget)
		world.claim_room = (uint32_t)(world.claim_count = 0);
	say_reset(entry, &id, forget);
	end_entry(entry, true);
	return id;
}

static int
by_delivery(const void *a, const void *b)
{
	return memcmp(&((const struct claim_row *)a)->delivery, &((const struct claim_row *)b)->delivery,
		      sizeof(struct uuid));
}

static void
undo(const struct uuid *id, bool forget, uint64_t xp)
{
	struct audit_entry *entry = begin_entry("reset_undo");

	world.xp += xp;
	for (size_t i = 0; forget && i < world.forgotten_count; i++) {
		const struct forgotten *each = &world.forgotten[i];

		if (memcmp(&each->reset, id, sizeof(*id)) == 0 && !is_claimed(each->claim.reward))
			world.claims[world.claim_count++] = each->claim;
	}
	qsort(world.claims, world.claim_count, sizeof(world.claims[0]), by_delivery);
	world.claim_room = (uint32_t)world.claim_count;
	say_reset(entry, id, forget);
	end_entry(entry, true);
}

/* A bit of everything. */
static void
busy_player(void)
{
	memset(&world, 0, sizeof(world));
	grant(100);
	grant(50);
	step("purchase_debiting");
	grant(7);
	set_pass("purchase_granted", STR("premium"), true);
	claim("claim", 0, 4);
	claim("claim", 2, 6);
	claim("claim", 0, 3);
	change_xp("xp_correction", -57);
	struct uuid forgotten = reset(true);

	grant(500);
	deliver(STR_NONE);
	claim("claim", 3, 5);
	change_xp("tier_grant", 200);
	undo(&forgotten, true, 100);
	struct uuid kept = reset(false);

	set_pass("pass_grant", STR("plus"), true);
	undo(&kept, false, 800);
	set_pass("purchase_refunding", STR("premium"), false);
	step("purchase_refunded");
	step("delivery_retry");
	grant(1);
	claim("auto_claim", 6, 8);
	grant(2);
}

static void
say(void *self, struct str player, const char *season, const char *fault)
{
	size_t len = strlen(faults);

	(void)self;
	CU_ASSERT_TRUE(str_equal(player, PLAYER));
	CU_ASSERT_STRING_EQUAL(season, "s1");
	snprintf(faults + len, sizeof(faults) - len, "%s\n", fault);
}

static enum err
run(void)
{
	struct replay replay = {.store = &store, .records = &records, .reader = &entry_reader, .say = say};

	faults[0] = '\0';
	enum err err = replay_player(&replay, PLAYER, "s1");

	fault_count = replay.faults;
	return err;
}

static void
assert_good(void)
{
	CU_ASSERT_EQUAL(run(), ERR_OK);
	CU_ASSERT_EQUAL(fault_count, 0);
	CU_ASSERT_STRING_EQUAL(faults, "");
	if (faults[0])
		printf("# %.500s\n", faults);
}

static void
assert_fault(const char *text)
{
	CU_ASSERT_EQUAL(run(), ERR_OK);
	CU_ASSERT_NOT_EQUAL(fault_count, 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(faults, text));
	if (!strstr(faults, text))
		printf("# wanted \"%s\", got: %.500s\n", text, faults);
}

static void
test_good(void)
{
	memset(&world, 0, sizeof(world));
	assert_good();
	grant(5);
	assert_good();
	busy_player();
	assert_good();
}

/* Entry of the busy player by its action and which of them. */
static struct audit_entry *
entry_of(const char *action, unsigned number)
{
	for (size_t i = 0; i < world.entry_count; i++)
		if (strcmp(world.entries[i].action, action) == 0 && number-- == 0)
			return &world.entries[i];
	abort();
}

static struct str
replace(struct str text, const char *from, const char *to)
{
	const char *copy = arena_copy(&texts, text);
	const char *at = strstr(copy, from);

	if (!at)
		abort();
	return arena_format(&texts, "%.*s%s%s", (int)(at - copy), copy, to, at + strlen(from));
}

static void
remove_grant(size_t at)
{
	memmove(&world.grants[at], &world.grants[at + 1], (--world.grant_count - at) * sizeof(world.grants[0]));
}

static void
remove_entry(size_t at)
{
	memmove(&world.entries[at], &world.entries[at + 1], (--world.entry_count - at) * sizeof(world.entries[0]));
}

/* What can be wrong: a change, and what must be said of it. Numbers are those of the busy player. */

#define WRONG(name, expression)                                                                                        \
	static void wrong_##name(void)                                                                                 \
	{                                                                                                              \
		expression;                                                                                            \
	}

WRONG(xp, world.xp += 3)
WRONG(revision, world.revision++)
WRONG(revision_less, world.revision--)
WRONG(pass_too_many, world.passes[0].active = true)
WRONG(pass_missing, world.passes[1].active = false)
WRONG(pass_other, world.passes[1].pass = STR("silver"))
WRONG(claim_missing, world.claims[2] = world.claims[--world.claim_count]; world.claim_room--)
WRONG(claim_count, world.claim_room++)
WRONG(claim_other, world.claims[1].reward = STR("r99"))
WRONG(claim_delivery, world.claims[1].delivery = world.claims[2].delivery)
WRONG(claim_again, world.claims[world.claim_count++] = world.claims[0]; world.claim_room++)
WRONG(delivery_missing, world.deliveries[0] = world.deliveries[1])
WRONG(delivery_reward, world.deliveries[0].reward = STR("r77"))
WRONG(delivery_too_many, deliver(STR("r1")))
WRONG(grant_missing, remove_grant(1))
WRONG(last_grant_missing, remove_grant(world.grant_count - 1))
WRONG(grant_twice, world.grants[2] = world.grants[1])
WRONG(grant_revision, world.grants[0].revision = 0)
WRONG(grant_amount, world.grants[1].amount++)
WRONG(grant_effect, world.grants[1].amount++; world.grants[1].effect.xp_after++)
WRONG(grant_behind, grant(5); world.revision--)
WRONG(grant_and_entry, world.grants[2].revision = entry_of("purchase_granted", 0)->revision)
WRONG(entry_missing, remove_entry(0); remove_entry(0))
WRONG(step_in_between,
      entry_of("purchase_debiting", 0)->before = replace(entry_of("purchase_debiting", 0)->before, "\"2\"", "\"3\""))
WRONG(entry_xp, entry_of("tier_grant", 0)->xp_before++)
WRONG(entry_xp_after, entry_of("tier_grant", 0)->xp_after++)
WRONG(entry_state, entry_of("tier_grant", 0)->after = STR("{\"revision\":\"1\"}"))
WRONG(entry_before, entry_of("tier_grant", 0)->before = STR("rubbish"))
WRONG(entry_passes, entry_of("tier_grant", 0)->after = replace(entry_of("tier_grant", 0)->after, "premium", "plus"))
WRONG(entry_claims,
      entry_of("tier_grant", 0)->after = replace(entry_of("tier_grant", 0)->after, "claims\":2", "claims\":3"))
WRONG(entry_action, entry_of("tier_grant", 0)->action = "miracle")
WRONG(entry_kind, entry_of("tier_grant", 0)->action = "purchase_stuck")
WRONG(entry_no_revision, entry_of("tier_grant", 0)->revision = 0)
WRONG(entry_other_revision, entry_of("tier_grant", 0)->revision--)
WRONG(result, entry_of("claim", 0)->result = STR("\"results\":[{\"reward\":\"r1\",\"status\":\"claimed\"}]"))
WRONG(result_less, entry_of("claim", 1)->result = STR("\"results\":[]"))
WRONG(result_again, entry_of("claim", 2)->result = entry_of("claim", 0)->result)
WRONG(result_other, entry_of("claim", 1)->result = replace(entry_of("claim", 1)->result, "\"r5\"", "\"r6\""))
WRONG(reset, entry_of("reset", 0)->result = STR("\"reset\":\"x\""))
WRONG(reset_kept, entry_of("reset", 0)->result = replace(entry_of("reset", 0)->result, "forget", "keep"))
WRONG(undo_of_another, entry_of("reset_undo", 0)->result = entry_of("reset_undo", 1)->result)

WRONG(begins_elsewhere, entry_of("tier_grant", 0)->before = replace(entry_of("tier_grant", 0)->before, "\"1", "\"2"))
WRONG(step_passes, step("purchase_stuck");
      entry_of("purchase_stuck", 0)->before = entry_of("purchase_stuck", 0)->after = replace(state_now(), "plus",
											     "silver"))
WRONG(step_claims, step("purchase_stuck");
      entry_of("purchase_stuck", 0)->before = entry_of("purchase_stuck", 0)->after = replace(state_now(), "claims\":8",
											     "claims\":7"))
WRONG(claims_no_revision, entry_of("claim", 0)->revision = 0)
WRONG(pass_count, world.passes_lost = 1)
WRONG(entry_behind, change_xp("tier_grant", 5); world.revision--)

static const struct {
	void (*make)(void);
	const char *said;
} wrongs[] = {
	{wrong_xp, "XP is 806, but the ledgers lead to 803"},
	{wrong_revision, "stands in no ledger row"},
	{wrong_revision_less, "the ledgers go on to revision"},
	{wrong_pass_too_many, "pass premium is owned, but the ledgers do not give it"},
	{wrong_pass_missing, "0 passes are owned, but the ledgers give 1"},
	{wrong_pass_other, "pass silver is owned"},
	{wrong_claim_missing, "was claimed, but its claim is missing"},
	{wrong_claim_count, "the progress row counts 9 claims, and there are 8"},
	{wrong_claim_other, "reward r99 is claimed, but the ledgers do not say so"},
	{wrong_claim_delivery, "is claimed with another delivery than the ledgers say"},
	{wrong_claim_again, "is claimed, but the ledgers do not say so"},
	{wrong_delivery_missing, "reward r0 is claimed, but has no delivery"},
	{wrong_delivery_reward, "reward r0 is claimed, but its delivery is of r77"},
	{wrong_delivery_too_many, "delivery of reward r1 for which there was no claim"},
	{wrong_grant_missing, "revision 2 stands in no ledger row"},
	{wrong_last_grant_missing, "stands in no ledger row"},
	{wrong_grant_twice, "revision 2 stands in more than one ledger row"},
	{wrong_grant_revision, "an XP grant has no revision"},
	{wrong_grant_amount, "51 XP lead from 100 to 150"},
	{wrong_grant_effect, "XP before it is 150, but the ledgers lead to 151"},
	{wrong_grant_behind, "the ledgers go on to revision"},
	{wrong_grant_and_entry, "revision 4 stands in more than one ledger row"},
	{wrong_entry_missing, "revision 4 stands in no ledger row"},
	{wrong_step_in_between, "entry 1: its state after has another revision"},
	{wrong_entry_xp, "its state before has another XP than itself"},
	{wrong_entry_xp_after, "its state after has another revision or XP than itself"},
	{wrong_entry_state, "its state after cannot be read"},
	{wrong_entry_before, "its state before cannot be read"},
	{wrong_entry_passes, "it changes the passes, which a tier_grant does not"},
	{wrong_entry_claims, "the number of claims is 2 before and 3 after"},
	{wrong_entry_action, "its action is not known"},
	{wrong_entry_kind, "it changes the XP, which a purchase_stuck does not"},
	{wrong_entry_no_revision, "it changes the XP, which a tier_grant does not"},
	{wrong_entry_other_revision, "stands in more than one ledger row"},
	{wrong_result, "its result cannot be read"},
	{wrong_result_less, "the number of claims is 4 before and 6 after"},
	{wrong_result_again, "reward r0 is claimed once more"},
	{wrong_result_other, "reward r5 is claimed, but the ledgers do not say so"},
	{wrong_reset, "its result cannot be read"},
	{wrong_reset_kept, "is claimed once more"},
	{wrong_begins_elsewhere, "it begins at revision 2"},
	{wrong_step_passes, "the passes before it are not those that the ledgers lead to"},
	{wrong_step_claims, "7 claims before it, but the ledgers lead to 8"},
	{wrong_step_claims, "the progress row counts 8 claims, but the ledgers lead to 7"},
	{wrong_claims_no_revision, "it changes claims and makes no revision"},
	{wrong_pass_count, "the progress row counts 3 passes, and there are 2"},
	{wrong_entry_behind, "the ledgers go on to revision"},
	{wrong_undo_of_another, "the number of claims is 2 before and 6 after"},
};

static void
test_faults(void)
{
	for (size_t i = 0; i < sizeof(wrongs) / sizeof(wrongs[0]); i++) {
		busy_player();
		wrongs[i].make();
		assert_fault(wrongs[i].said);
		/* One thing that is wrong does not make everything behind it wrong. */
		CU_ASSERT_TRUE(fault_count <= 12);
		if (fault_count > 12)
			printf("# too many: %.1000s\n", faults);
	}
}

/* Pages of grants, entries, claims and deliveries. */
static void
test_long_history(void)
{
	static const size_t missing[] = {0, 1, 998, 999, 1000, 1001, 1999, 2000, 4998, 4999};

	memset(&world, 0, sizeof(world));
	for (unsigned i = 0; i < 5000; i++)
		grant(1 + i % 7);
	assert_good();
	for (size_t i = 0; i < sizeof(missing) / sizeof(missing[0]); i++) {
		struct grant_row row = world.grants[missing[i]];
		char said[64];

		snprintf(said, sizeof(said), "revision %zu stands in no ledger row", missing[i] + 1);
		remove_grant(missing[i]);
		assert_fault(said);
		memmove(&world.grants[missing[i] + 1], &world.grants[missing[i]],
			(world.grant_count++ - missing[i]) * sizeof(row));
		world.grants[missing[i]] = row;
	}
	for (unsigned i = 0; i < 1100; i++) {
		claim("claim", i, i + 1);
		if (i % 3 == 0)
			grant(2);
		if (i % 5 == 0)
			deliver(STR_NONE);
	}
	/* Long without any grant. */
	for (unsigned i = 0; i < 2500; i++)
		change_xp("xp_correction", 1);
	grant(1);
	assert_good();
	/* A number that is far off costs nothing. */
	world.revision = UINT64_C(1) << 60;
	world.calls = 0;
	assert_fault("stand in no ledger row");
	CU_ASSERT_TRUE(world.calls < 50);
}

static unsigned writes_left;
static unsigned quiet; /* so many calls before */

static void
player_writes(void)
{
	if (writes_left == 0 || world.calls < quiet)
		return;
	writes_left--;
	grant(3);
	claim("claim", 100 + writes_left, 101 + writes_left);
	step("purchase_debiting");
}

static void
test_written_to_meanwhile(void)
{
	for (unsigned writes = 1; writes < 60; writes++) {
		for (quiet = 0; quiet < 8; quiet++) {
			busy_player();
			world.meanwhile = player_writes;
			writes_left = writes;
			assert_good();
		}
	}
	quiet = 0;
	busy_player();
	world.meanwhile = player_writes;
	writes_left = 1000;
	CU_ASSERT_EQUAL(run(), ERR_OVERLOADED);
	CU_ASSERT_EQUAL(fault_count, 0);
}

static void
test_store_is_away(void)
{
	busy_player();
	assert_good();
	unsigned calls = world.calls;

	CU_ASSERT_TRUE(calls >= 7);
	for (unsigned i = 1; i <= calls; i++) {
		world.calls = 0;
		world.fail_at = i;
		CU_ASSERT_EQUAL(run(), ERR_STORE_UNAVAILABLE);
		CU_ASSERT_EQUAL(fault_count, 0);
	}
}

struct open_reset {
	struct uuid id;
	bool forget;
	uint64_t xp;
};

static void
random_step(struct open_reset *resets, size_t *reset_count)
{
	static const struct str passes[] = {{"premium", 7}, {"plus", 4}, {"silver", 6}};
	unsigned from = (unsigned)(random_u64() % 20);

	switch (random_u64() % 10) {
	case 0:
		set_pass("pass_grant", passes[random_u64() % 3], true);
		break;
	case 1:
		set_pass("pass_revocation", passes[random_u64() % 3], false);
		break;
	case 2:
		change_xp("xp_correction", (int64_t)(random_u64() % 1000));
		break;
	case 3:
		resets[*reset_count].forget = random_u64() % 2;
		resets[*reset_count].xp = world.xp;
		resets[*reset_count].id = reset(resets[*reset_count].forget);
		++*reset_count;
		break;
	case 4:
		if (*reset_count == 0)
			break;
		size_t at = random_u64() % *reset_count;

		undo(&resets[at].id, resets[at].forget, resets[at].xp);
		resets[at] = resets[--*reset_count];
		break;
	case 5:
		step("purchase_debiting");
		break;
	case 6:
	case 7:
		claim("claim", from, from + (unsigned)(random_u64() % 6));
		break;
	default:
		grant(1 + random_u64() % 1000);
	}
}

static void
test_random_histories(void)
{
	for (unsigned round = 0; round < 100; round++) {
		struct open_reset resets[200];
		size_t reset_count = 0;

		memset(&world, 0, sizeof(world));
		for (unsigned i = 0; i < 100; i++)
			random_step(resets, &reset_count);
		assert_good();
	}
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"good histories", test_good},
		{"faults", test_faults},
		{"a long history", test_long_history},
		{"written to meanwhile", test_written_to_meanwhile},
		{"a store that is away", test_store_is_away},
		{"random histories", test_random_histories},
		CU_TEST_INFO_NULL,
	};

	arena_init(&texts);
	int status = tap_main("service/replay", tests);

	arena_release(&texts);
	return status;
}
