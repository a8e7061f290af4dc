/* Who was written to lately: see recent.h. */
#include "base/recent.h"

static void
copy_text(char to[RECENT_TEXT_MAX + 1], struct str text)
{
	if (text.len)
		memcpy(to, text.ptr, text.len);
	memset(to + text.len, 0, RECENT_TEXT_MAX + 1 - text.len);
}

void
recent_note(struct recent *recent, struct str player, struct str season)
{
	uint64_t number = __atomic_fetch_add(&recent->noted, 1, __ATOMIC_RELAXED);
	struct recent_slot *slot = &recent->slots[number % RECENT_SLOTS];
	uint32_t sequence = __atomic_load_n(&slot->sequence, __ATOMIC_RELAXED);

	if (player.len > RECENT_TEXT_MAX || season.len > RECENT_TEXT_MAX || sequence & 1u)
		return;
	if (!__atomic_compare_exchange_n(&slot->sequence, &sequence, sequence + 1, false, __ATOMIC_SEQ_CST,
					 __ATOMIC_RELAXED))
		return; /* another one, a whole round ahead or behind */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	copy_text(slot->item.player, player);
	copy_text(slot->item.season, season);
	__atomic_store_n(&slot->sequence, sequence + 2, __ATOMIC_RELEASE);
}

bool
recent_sample(const struct recent *recent, uint64_t number, struct recent_item *ret_item)
{
	uint64_t noted = __atomic_load_n(&recent->noted, __ATOMIC_RELAXED);
	uint64_t there = noted < RECENT_SLOTS ? noted : RECENT_SLOTS;

	if (there == 0)
		return false;

	const struct recent_slot *slot = &recent->slots[number % there];
	uint32_t sequence = __atomic_load_n(&slot->sequence, __ATOMIC_ACQUIRE);
	struct recent_item item = slot->item;

	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	if (sequence == 0 || sequence & 1u || __atomic_load_n(&slot->sequence, __ATOMIC_RELAXED) != sequence)
		return false;
	*ret_item = item;
	return true;
}
