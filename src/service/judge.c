/*
 * What each write of an attempt comes to: a replay, a reuse of its key, or what the rule of its kind makes of it. The
 * table of the kinds is here.
 */
#include "base/metrics.h"
#include "service/audit.h"
#include "service/payments.h"
#include "service/rules.h"

/* How each kind of write is done. action: of its audit entry; NULL: it says itself what it did. */
static const struct {
	const char *action;
	write_rule *rule;
	bool seldom_new; /* or often refused: ledger and log are looked into at the first try */
	bool alone;      /* looks up rows that other writes to the same player change: never shares a save with one */
	bool sells;      /* its result is a purchase */
} kinds[WRITE_KIND_COUNT] = {
	[WRITE_XP_GRANT] = {"xp_grant", rule_xp_grant, false, false, false},
	[WRITE_CLAIM] = {"claim", rule_claim, false, false, false},
	[WRITE_AUTO_CLAIM] = {"auto_claim", rule_auto_claim, false, false, false},
	[WRITE_XP_CORRECTION] = {"xp_correction", rule_xp_correction, true, false, false},
	[WRITE_TIER_GRANT] = {"tier_grant", rule_tier_grant, true, false, false},
	[WRITE_PASS_GRANT] = {"pass_grant", rule_pass_grant, true, false, false},
	[WRITE_PASS_REVOCATION] = {"pass_revocation", rule_pass_revocation, true, true, false},
	[WRITE_RESET] = {"reset", rule_reset, true, true, false},
	[WRITE_RESET_UNDO] = {"reset_undo", rule_reset_undo, true, true, false},
	[WRITE_PURCHASE] = {"purchase_debiting", rule_purchase, true, true, true},
	[WRITE_REFUND] = {"purchase_refunding", rule_refund, true, true, true},
	[WRITE_PURCHASE_CLOSE] = {"purchase_closed", rule_purchase_close, true, true, true},
	[WRITE_SETTLEMENT] = {NULL, rule_settlement, false, true, false},
	[WRITE_DELIVERY_RETRY] = {"delivery_retry", rule_delivery_retry, true, true, false},
};

void
work_init(struct work *work, struct write *write, struct target *target)
{
	work->write = write;
	work->target = target;
	if (write_is_grant(write)) {
		work->grant = ((struct grant_command *)write)->row;
		work->grant.player = write->player;
		work->grant.season = write->season->id;
		work->grant.idempotency_key = write->idempotency_key;
		work->grant.id = write->id;
		memcpy(work->grant.request_hash, write->request_hash, sizeof(write->request_hash));
	} else {
		work->entry.player = write->player;
		work->entry.season = write->season->id;
		work->entry.action = kinds[write->kind].action;
		work->entry.idempotency_key = write->idempotency_key;
		work->entry.id = write->id;
		work->entry.author = operation_of(work)->author;
		memcpy(work->entry.request_hash, write->request_hash, sizeof(write->request_hash));
	}
}

bool
write_seldom_new(const struct write *write)
{
	return kinds[write->kind].seldom_new;
}

bool
write_alone(const struct write *write)
{
	return kinds[write->kind].alone;
}

/* What ledger and audit log had already of each work. */
struct known {
	bool *found;
	struct grant_row *grants;
	struct audit_entry *entries;
};

static enum err
find_grants(struct attempt *attempt, struct known *known)
{
	const struct store_port *store = attempt->turn->service->rooms.store;
	struct arena *arena = attempt->turn->arena;
	struct grant_row **rows = ARENA_ARRAY(arena, attempt->work_count, struct grant_row *);
	size_t *places = ARENA_ARRAY(arena, attempt->work_count, size_t);
	bool *found = ARENA_ARRAY(arena, attempt->work_count, bool);
	size_t count = 0;

	for (size_t i = 0; i < attempt->work_count; i++) {
		if (!write_is_grant(attempt->works[i].write))
			continue;
		known->grants[i] = attempt->works[i].grant;
		places[count] = i;
		rows[count++] = &known->grants[i];
	}
	enum err err = count ? store->find_grants(store->self, rows, count, found, arena) : ERR_OK;

	for (size_t i = 0; i < count; i++)
		known->found[places[i]] = found[i];
	return err;
}

static enum err
find_entries(struct attempt *attempt, struct known *known)
{
	const struct store_port *store = attempt->turn->service->rooms.store;
	struct arena *arena = attempt->turn->arena;
	struct audit_entry **rows = ARENA_ARRAY(arena, attempt->work_count, struct audit_entry *);
	size_t *places = ARENA_ARRAY(arena, attempt->work_count, size_t);
	bool *found = ARENA_ARRAY(arena, attempt->work_count, bool);
	size_t count = 0;

	for (size_t i = 0; i < attempt->work_count; i++) {
		const struct work *work = &attempt->works[i];

		if (write_is_grant(work->write) || work->write->idempotency_key.len == 0)
			continue;
		known->entries[i] = work->entry;
		places[count] = i;
		rows[count++] = &known->entries[i];
	}
	enum err err = count ? store->find_entries(store->self, rows, count, found, arena) : ERR_OK;

	for (size_t i = 0; i < count; i++)
		known->found[places[i]] = found[i];
	return err;
}

static enum err
look_up(struct attempt *attempt, struct known *known)
{
	struct arena *arena = attempt->turn->arena;

	known->found = ARENA_ARRAY(arena, attempt->work_count, bool);
	known->grants = ARENA_ARRAY(arena, attempt->work_count, struct grant_row);
	known->entries = ARENA_ARRAY(arena, attempt->work_count, struct audit_entry);
	if (!attempt->looks_up)
		return ERR_OK;

	enum err err = find_grants(attempt, known);

	return err == ERR_OK ? find_entries(attempt, known) : err;
}

/* Of a write that is known already: the answer was given before (replay), to another request (reuse), or it is this
 * very one, in an attempt whose end is unknown. */
static void
judge_known(struct work *work, const unsigned char request_hash[16], const struct uuid *id)
{
	if (memcmp(request_hash, work->write->request_hash, sizeof(work->write->request_hash)) != 0)
		work->err = ERR_IDEMPOTENCY_KEY_REUSED;
	work->replayed = memcmp(id, &work->write->id, sizeof(*id)) != 0;
}

static void
judge_known_grant(struct work *work, const struct grant_row *stored)
{
	judge_known(work, stored->request_hash, &stored->id);
	work->grant = *stored;
}

/* A purchase that was asked for before is what it has come to since, unless somebody is serving it just now. */
static enum err
judge_known_purchase(struct attempt *attempt, struct work *work)
{
	const struct store_port *store = attempt->turn->service->rooms.store;
	struct uuid id;

	if (work->err != ERR_OK)
		return ERR_OK;
	if (!uuid_parse(work->entry.subject, &id))
		return ERR_INTERNAL;
	enum err err = store->find_purchase(store->self, work->write->player, work->write->season->id, &id,
					    attempt->turn->arena, &work->purchase);

	if (err != ERR_OK)
		return err == ERR_PURCHASE_NOT_FOUND ? ERR_INTERNAL : err;
	if (work->replayed && work->purchase.tries == 0 && work->purchase.due_in_ms > PAYMENT_MARGIN_MS &&
	    purchase_is_open(work->purchase.state))
		work->err = ERR_IDEMPOTENCY_IN_FLIGHT;
	return ERR_OK;
}

static enum err
judge_known_entry(struct attempt *attempt, struct work *work, const struct audit_entry *stored)
{
	judge_known(work, stored->request_hash, &stored->id);
	work->entry = *stored;
	return kinds[work->write->kind].sells ? judge_known_purchase(attempt, work) : ERR_OK;
}

/* An earlier write of the same attempt, of the same kind and with the same key, or NULL. */
static const struct work *
earlier_twin(const struct attempt *attempt, const struct work *work)
{
	if (work->write->idempotency_key.len == 0)
		return NULL;
	for (const struct work *each = work; each-- > attempt->works && each->target == work->target;)
		if (each->fresh && each->write->kind == work->write->kind &&
		    str_equal(each->write->idempotency_key, work->write->idempotency_key))
			return each;
	return NULL;
}

static void
judge_twin(struct work *work, const struct work *twin)
{
	judge_known(work, twin->write->request_hash, &twin->write->id);
	work->grant = twin->grant;
	work->entry = twin->entry;
}

static struct str
state_of(const struct attempt *attempt, const struct target *target)
{
	struct buf text;

	buf_init(&text);
	attempt->turn->service->rooms.codec->render_state(target->season, &target->row, &text);
	struct str state = arena_str(attempt->turn->arena, buf_view(&text));

	buf_release(&text);
	return state;
}

/* What an operation leaves behind: the new revision, if it made one, and its link of the chain. */
static void
enter(struct attempt *attempt, struct work *work)
{
	struct turn *turn = attempt->turn;
	struct target *target = work->target;
	struct progress_row *row = &target->row;
	struct audit_entry *entry = &work->entry;

	entry->sequence = ++row->audit_count;
	entry->revision = work->changes ? row->revision : 0;
	audit_hash(row->audit_hash, entry, entry->hash);
	memcpy(row->audit_hash, entry->hash, sizeof(row->audit_hash));
	entry->next = attempt->changes.entries;
	attempt->changes.entries = ARENA_NEW(turn->arena, struct audit_entry);
	*attempt->changes.entries = *entry;
	target->touched = true;
	target->write.changed |= work->changes;
	work->fresh = true;
	attempt->fresh_count++;
}

static enum err
operate(struct attempt *attempt, struct work *work)
{
	struct target *target = work->target;
	struct progress_row row_before = target->row;
	struct changes changes_before = attempt->changes;

	work->entry.before = state_of(attempt, target);
	work->entry.xp_before = target->row.xp;

	enum err err = kinds[work->write->kind].rule(attempt, work);

	if (err != ERR_OK || work->err != ERR_OK || work->idle)
		return err;
	if (work->changes) {
		target->row.revision++;
		if (target->row.updated_at_ms < attempt->turn->now_ms)
			target->row.updated_at_ms = attempt->turn->now_ms;
		pay_overflow(attempt, target);
	}
	work->entry.xp_after = target->row.xp;
	work->entry.after = state_of(attempt, target);
	work->entry.entered_at_ms = attempt->turn->now_ms;
	if (operation_of(work)->validate_only) {
		target->row = row_before;
		attempt->changes = changes_before;
		return ERR_OK;
	}
	enter(attempt, work);
	return ERR_OK;
}

static enum err
grant(struct attempt *attempt, struct work *work)
{
	enum err err = rule_xp_grant(attempt, work);

	if (err == ERR_OK && work->err == ERR_OK) {
		pay_overflow(attempt, work->target);
		work->fresh = true;
		work->target->touched = true;
		work->target->write.changed = true;
		attempt->fresh_count++;
	}
	return err;
}

static enum err
judge_new(struct attempt *attempt, struct work *work)
{
	enum err err = write_is_grant(work->write) ? grant(attempt, work) : operate(attempt, work);

	/* Only a write that was never made may be refused, or do nothing: ledger and log must be asked. */
	if (err == ERR_OK && (work->err != ERR_OK || work->idle) && !attempt->looks_up &&
	    work->write->idempotency_key.len)
		return ERR_STORE_DUPLICATE;
	return err;
}

enum err
judge_all(struct attempt *attempt)
{
	struct known known;
	enum err err = look_up(attempt, &known);

	for (size_t i = 0; i < attempt->work_count && err == ERR_OK; i++) {
		struct work *work = &attempt->works[i];
		const struct work *twin = known.found[i] ? NULL : earlier_twin(attempt, work);

		if (twin)
			judge_twin(work, twin);
		else if (!known.found[i])
			err = judge_new(attempt, work);
		else if (write_is_grant(work->write))
			judge_known_grant(work, &known.grants[i]);
		else
			err = judge_known_entry(attempt, work, &known.entries[i]);
	}
	return err;
}
