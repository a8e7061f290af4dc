/* Purchases, claims, deliveries and audit entries as JSON: see records.h. */
#include "api/records.h"

#include "api/members.h"

void
record_price(struct str currency, uint64_t amount, struct buf *out)
{
	member_text(out, "{\"currency\":", currency);
	member_number(out, ",\"amount\":", amount);
	buf_char(out, '}');
}

static void
put_history(const struct uuid *purchase, const struct purchase_step *steps, size_t count, struct buf *out)
{
	const char *comma = "";

	buf_literal(out, ",\"history\":[");
	for (size_t i = 0; i < count; i++) {
		if (memcmp(&steps[i].purchase, purchase, sizeof(*purchase)) != 0)
			continue;
		buf_format(out, "%s{\"state\":\"%s\"", comma, purchase_state_name(steps[i].state));
		member_moment(out, ",\"at\":", steps[i].at_ms);
		buf_char(out, '}');
		comma = ",";
	}
	buf_char(out, ']');
}

void
record_purchase(const struct purchase_row *row, const struct purchase_step *steps, size_t count, struct buf *out)
{
	member_uuid(out, "\"purchase\":", &row->id);
	member_text(out, ",\"player\":", row->player);
	member_text(out, ",\"season\":", str_from(row->season));
	if (row->pass.len)
		member_text(out, ",\"pass\":", row->pass);
	else
		member_number(out, ",\"tiers\":", row->tiers);
	buf_literal(out, ",\"price\":");
	record_price(row->currency, row->amount, out);
	buf_format(out, ",\"state\":\"%s\"", purchase_state_name(row->state));
	member_moment(out, ",\"created_at\":", row->created_at_ms);
	member_moment(out, ",\"updated_at\":", row->updated_at_ms);
	if (steps)
		put_history(&row->id, steps, count, out);
}

static const char *const delivery_states[DELIVERY_STATE_COUNT] = {
	[DELIVERY_PENDING] = "pending",
	[DELIVERY_DELIVERED] = "delivered",
	[DELIVERY_FAILED] = "failed",
};

const char *
delivery_state_name(enum delivery_state state)
{
	return delivery_states[state];
}

bool
delivery_state_parse(struct str name, enum delivery_state *ret_state)
{
	for (int i = 0; i < DELIVERY_STATE_COUNT; i++) {
		if (!str_equal(name, str_from(delivery_states[i])))
			continue;
		*ret_state = (enum delivery_state)i;
		return true;
	}
	return false;
}

void
record_claim(const struct claim_row *row, bool with_player, struct buf *out)
{
	member_text(out, "\"reward\":", row->reward);
	if (with_player) {
		member_text(out, ",\"player\":", row->player);
		member_text(out, ",\"season\":", str_from(row->season));
	}
	member_number(out, ",\"tier\":", row->tier);
	member_text(out, ",\"pass\":", row->pass);
	member_moment(out, ",\"claimed_at\":", row->claimed_at_ms);
	buf_format(out, ",\"delivery\":\"%s\"", delivery_state_name(row->delivery_state));
	member_uuid(out, ",\"delivery_id\":", &row->delivery);
}

void
record_delivery(const struct delivery_row *row, struct buf *out)
{
	member_uuid(out, "\"delivery\":", &row->id);
	member_text(out, ",\"player\":", row->player);
	member_text(out, ",\"season\":", str_from(row->season));
	member_optional(out, ",\"reward\":", row->reward);
	member_text(out, ",\"kind\":", row->kind);
	member_text(out, ",\"item\":", row->item);
	member_number(out, ",\"quantity\":", row->quantity);
	buf_format(out, ",\"state\":\"%s\"", delivery_state_name(row->state));
	member_number(out, ",\"tries\":", row->tries);
	member_optional(out, ",\"last_error\":", row->last_error);
	member_moment(out, ",\"created_at\":", row->created_at_ms);
	member_moment(out, ",\"updated_at\":", row->updated_at_ms);
}

/* before, after and result are JSON already. */
static void
put_entry_states(const struct audit_entry *entry, struct buf *out)
{
	buf_literal(out, ",\"before\":");
	buf_str(out, entry->before);
	buf_literal(out, ",\"after\":");
	buf_str(out, entry->after);
	if (entry->result.len) {
		buf_literal(out, ",\"result\":{");
		buf_str(out, entry->result);
		buf_char(out, '}');
	}
}

void
record_entry(const struct audit_entry *entry, struct buf *out)
{
	member_uuid(out, "\"entry\":", &entry->id);
	member_number(out, ",\"sequence\":\"", entry->sequence);
	member_optional(out, "\",\"player\":", entry->player);
	member_optional(out, ",\"season\":", str_from(entry->season));
	member_text(out, ",\"action\":", str_from(entry->action));
	member_text(out, ",\"actor\":", entry->author.actor);
	member_text(out, ",\"role\":", str_from(entry->author.role));
	member_text(out, ",\"reason\":", entry->author.reason);
	member_text(out, ",\"request_id\":", entry->author.request_id);
	member_optional(out, ",\"subject\":", entry->subject);
	if (entry->revision) {
		member_number(out, ",\"revision\":\"", entry->revision);
		buf_char(out, '"');
	} else {
		buf_literal(out, ",\"revision\":null");
	}
	put_entry_states(entry, out);
	member_moment(out, ",\"at\":", entry->entered_at_ms);
	buf_literal(out, ",\"hash\":\"");
	buf_hex(out, entry->hash, sizeof(entry->hash));
	buf_char(out, '"');
}
