/*
 * A replay's way through the ledgers: XP grants and audit entries in the order of revisions, each of which must begin
 * where the one before has ended, and may change only what its action changes.
 */
#include <inttypes.h>

#include "service/replay_course.h"

enum { ENTRIES_PAGE = 500 };

/* What an action may change. All that happens to a player but XP grants is one of these. */
static const struct rule {
	const char *action;
	bool xp;
	bool passes;
	enum { CLAIMS_STAY, CLAIMS_ADDED, CLAIMS_FORGOTTEN, CLAIMS_BACK } claims;
} rules[] = {
	{"claim", false, false, CLAIMS_ADDED},
	{"auto_claim", false, false, CLAIMS_ADDED},
	{"xp_correction", true, false, CLAIMS_STAY},
	{"tier_grant", true, false, CLAIMS_STAY},
	{"pass_grant", true, true, CLAIMS_STAY},
	{"pass_revocation", false, true, CLAIMS_STAY},
	{"reset", true, false, CLAIMS_FORGOTTEN},
	{"reset_undo", true, false, CLAIMS_BACK},
	{"purchase_debiting", false, false, CLAIMS_STAY},
	{"purchase_granted", true, true, CLAIMS_STAY},
	{"purchase_declined", false, false, CLAIMS_STAY},
	{"purchase_cancelling", false, false, CLAIMS_STAY},
	{"purchase_cancelled", false, false, CLAIMS_STAY},
	{"purchase_refunding", true, true, CLAIMS_STAY},
	{"purchase_refunded", false, false, CLAIMS_STAY},
	{"purchase_stuck", false, false, CLAIMS_STAY},
	{"purchase_closed", false, false, CLAIMS_STAY},
	{"delivery_retry", false, false, CLAIMS_STAY},
};

void
course_take_revision(struct course *course, uint64_t revision)
{
	uint64_t wanted = course->state.revision + 1;

	if (revision == 0)
		course_fault(course, "an XP grant has no revision");
	else if (revision < wanted)
		course_fault(course, "revision %" PRIu64 " stands in more than one ledger row", revision);
	else if (revision == wanted + 1)
		course_fault(course, "revision %" PRIu64 " stands in no ledger row", wanted);
	else if (revision > wanted)
		course_fault(course, "revisions %" PRIu64 " to %" PRIu64 " stand in no ledger row", wanted,
			     revision - 1);
	if (revision >= wanted)
		course->state.revision = revision;
}

/* XP before a ledger row must be what it was after the one before. */
static void
take_xp(struct course *course, const char *what, uint64_t number, uint64_t xp_before, uint64_t xp_after)
{
	if (xp_before != course->state.xp)
		course_fault(course, "%s %" PRIu64 ": XP before it is %" PRIu64 ", but the ledgers lead to %" PRIu64,
			     what, number, xp_before, course->state.xp);
	course->state.xp = xp_after;
}

static void
take_grant(struct course *course, const struct grant_row *grant)
{
	course_take_revision(course, grant->revision);
	take_xp(course, "XP grant at revision", grant->revision, grant->effect.xp_before, grant->effect.xp_after);
	if (grant->effect.xp_after - grant->effect.xp_before != grant->amount)
		course_fault(course,
			     "XP grant at revision %" PRIu64 ": %" PRIu64 " XP lead from %" PRIu64 " to %" PRIu64,
			     grant->revision, grant->amount, grant->effect.xp_before, grant->effect.xp_after);
}

static enum err
take_grants(struct course *course, uint64_t until)
{
	const struct grant_row *grant;
	enum err err;

	while ((err = course_next_grant(course, until, &grant)) == ERR_OK && grant)
		take_grant(course, grant);
	return err;
}

bool
state_holds_pass(const struct replay_state *state, struct str pass)
{
	for (size_t i = 0; i < state->pass_count; i++)
		if (str_equal(state->passes[i], pass))
			return true;
	return false;
}

static bool
same_passes(const struct replay_state *a, const struct replay_state *b)
{
	if (a->pass_count != b->pass_count)
		return false;
	for (size_t i = 0; i < a->pass_count; i++)
		if (!state_holds_pass(b, a->passes[i]))
			return false;
	return true;
}

/* Passes change seldom: only then are they copied out of the page. */
static void
keep_passes(struct course *course, const struct replay_state *after)
{
	struct replay_state *state = &course->state;

	if (same_passes(state, after))
		return;
	state->passes = ARENA_ARRAY(&course->arena, after->pass_count, struct str);
	state->pass_count = after->pass_count;
	for (size_t i = 0; i < after->pass_count; i++)
		state->passes[i] = arena_str(&course->arena, after->passes[i]);
}

struct made_claim *
claims_find_standing(const struct made_claims *claims, struct str reward)
{
	for (size_t i = 0; i < claims->count; i++)
		if (claims->items[i].standing && str_equal(claims->items[i].reward, reward))
			return &claims->items[i];
	return NULL;
}

static void
add_claims(struct course *course, const struct audit_entry *entry, struct arena *arena)
{
	struct made_claims *claims = &course->claims;
	struct replay_claim *made;
	size_t count;

	if (!course->replay->reader->claims(entry->result, arena, &made, &count)) {
		course_fault(course, "entry %" PRIu64 ": its result cannot be read", entry->sequence);
		return;
	}
	for (size_t i = 0; i < count; i++) {
		bool again = claims_find_standing(claims, made[i].reward) != NULL;

		if (again)
			course_fault(course, "entry %" PRIu64 ": reward %.*s is claimed once more", entry->sequence,
				     STR_ARGS(made[i].reward));
		claims->items = course_grow(&course->arena, claims->items, claims->count, &claims->room,
					    sizeof(*claims->items));
		claims->items[claims->count++] = (struct made_claim){
			.reward = arena_str(&course->arena, made[i].reward),
			.delivery = made[i].delivery,
			.standing = !again,
		};
		course->standing += !again;
	}
}

static void
forget_claims(struct course *course, const struct uuid *reset)
{
	for (size_t i = 0; i < course->claims.count; i++) {
		struct made_claim *claim = &course->claims.items[i];

		if (claim->standing)
			claim->reset = *reset;
		claim->standing = false;
	}
	course->standing = 0;
}

/* One that was made once more since stands already, and the forgotten one stays away. */
static void
bring_back(struct course *course, const struct uuid *reset)
{
	for (size_t i = 0; i < course->claims.count; i++) {
		struct made_claim *claim = &course->claims.items[i];

		if (claim->standing || memcmp(&claim->reset, reset, sizeof(*reset)) != 0 ||
		    claims_find_standing(&course->claims, claim->reward))
			continue;
		claim->standing = true;
		course->standing++;
	}
}

static void
move_claims(struct course *course, const struct audit_entry *entry, bool back)
{
	struct uuid reset;
	bool forget;

	if (!course->replay->reader->reset(entry->result, &reset, &forget))
		course_fault(course, "entry %" PRIu64 ": its result cannot be read", entry->sequence);
	else if (forget && back)
		bring_back(course, &reset);
	else if (forget)
		forget_claims(course, &reset);
}

/* The state before an entry must be the one that the ledgers have led to. */
static void
compare_before(struct course *course, const struct audit_entry *entry, const struct replay_state *before)
{
	const struct replay_state *state = &course->state;
	uint64_t revision = entry->revision ? entry->revision - 1 : state->revision;

	if (before->xp != entry->xp_before)
		course_fault(course, "entry %" PRIu64 ": its state before has another XP than itself", entry->sequence);
	if (before->revision != revision)
		course_fault(course, "entry %" PRIu64 ": it begins at revision %" PRIu64 " instead of %" PRIu64,
			     entry->sequence, before->revision, revision);
	if (!same_passes(before, state))
		course_fault(course, "entry %" PRIu64 ": the passes before it are not those that the ledgers lead to",
			     entry->sequence);
	if (before->claim_count != state->claim_count)
		course_fault(course,
			     "entry %" PRIu64 ": %" PRIu64 " claims before it, but the ledgers lead to %" PRIu64,
			     entry->sequence, before->claim_count, state->claim_count);
}

/* What an entry may change at all, and whether it says that it made a revision. */
static void
compare_change(struct course *course, const struct audit_entry *entry, const struct rule *rule,
	       const struct replay_state *before, const struct replay_state *after)
{
	uint64_t revision = entry->revision ? entry->revision : before->revision;
	bool changes = entry->revision != 0;

	if (after->revision != revision || after->xp != entry->xp_after)
		course_fault(course, "entry %" PRIu64 ": its state after has another revision or XP than itself",
			     entry->sequence);
	if (entry->xp_after != entry->xp_before && !(changes && rule->xp))
		course_fault(course, "entry %" PRIu64 ": it changes the XP, which a %s does not", entry->sequence,
			     entry->action);
	if (!same_passes(before, after) && !(changes && rule->passes))
		course_fault(course, "entry %" PRIu64 ": it changes the passes, which a %s does not", entry->sequence,
			     entry->action);
}

static const struct rule *
find_rule(const char *action)
{
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		if (strcmp(rules[i].action, action) == 0)
			return &rules[i];
	return NULL;
}

/* What it did to the claims, and whether it has counted so. */
static void
change_claims(struct course *course, const struct audit_entry *entry, const struct rule *rule, struct arena *arena,
	      const struct replay_state *before, const struct replay_state *after)
{
	size_t standing = course->standing;

	if (rule->claims == CLAIMS_ADDED)
		add_claims(course, entry, arena);
	else if (rule->claims != CLAIMS_STAY)
		move_claims(course, entry, rule->claims == CLAIMS_BACK);
	if (after->claim_count - before->claim_count != course->standing - standing)
		course_fault(course,
			     "entry %" PRIu64 ": the number of claims is %" PRIu64 " before and %" PRIu64
			     " after, which is not what it did",
			     entry->sequence, before->claim_count, after->claim_count);
	else if (course->standing != standing && entry->revision == 0)
		course_fault(course, "entry %" PRIu64 ": it changes claims and makes no revision", entry->sequence);
	course->state.claim_count = after->claim_count;
}

static void
take_entry(struct course *course, const struct audit_entry *entry, struct arena *arena,
	   const struct replay_state *before)
{
	const struct rule *rule = find_rule(entry->action);
	struct replay_state after;

	if (!rule || !course->replay->reader->state(entry->after, arena, &after)) {
		course_fault(course, "entry %" PRIu64 ": %s", entry->sequence,
			     rule ? "its state after cannot be read" : "its action is not known");
		return;
	}
	if (entry->revision)
		course_take_revision(course, entry->revision);
	compare_before(course, entry, before);
	take_xp(course, "entry", entry->sequence, entry->xp_before, entry->xp_after);
	compare_change(course, entry, rule, before, &after);
	change_claims(course, entry, rule, arena, before, &after);
	keep_passes(course, &after);
}

/* Grants and entries meet by their revisions; one that made none says at which it stood. */
static enum err
take_up_to_entry(struct course *course, const struct audit_entry *entry, struct arena *arena)
{
	uint64_t last = course->stored.row.revision;
	struct replay_state before;

	if (entry->revision > last) {
		course->newest = entry->revision;
		return ERR_OK;
	}
	if (!course->replay->reader->state(entry->before, arena, &before)) {
		course_fault(course, "entry %" PRIu64 ": its state before cannot be read", entry->sequence);
		return ERR_OK;
	}
	if (entry->revision == 0 && before.revision > last)
		return ERR_OK;
	enum err err = take_grants(course, entry->revision ? entry->revision - 1 : before.revision);

	if (err == ERR_OK)
		take_entry(course, entry, arena, &before);
	return err;
}

static enum err
take_page(struct course *course, struct chain_position *after, struct arena *arena, size_t *ret_count)
{
	const struct records_port *records = course->replay->records;
	struct audit_entry *entries;
	enum err err = records->chain(records->self, arena_copy(arena, course->player), course->season.id, after,
				      ENTRIES_PAGE, arena, &entries, ret_count);

	for (size_t i = 0; err == ERR_OK && i < *ret_count; i++) {
		err = take_up_to_entry(course, &entries[i], arena);
		after->sequence = entries[i].sequence;
	}
	return err;
}

enum err
course_take_ledgers(struct course *course)
{
	struct chain_position after = {.sequence = 0};
	struct arena arena;
	size_t count;
	enum err err;

	memcpy(after.player, course->player.ptr, course->player.len);
	memcpy(after.season, course->season.id, sizeof(after.season));
	arena_init(&arena);
	do {
		arena_reset(&arena);
		err = take_page(course, &after, &arena, &count);
	} while (err == ERR_OK && count == ENTRIES_PAGE);
	arena_release(&arena);
	return err == ERR_OK ? take_grants(course, course->stored.row.revision) : err;
}
