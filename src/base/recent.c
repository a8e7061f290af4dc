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

	if (player.len > RECENT_TEXT_MAX || season.len > RECENT_TEXT_MAX)
		return;
	if (!seqlock_try_write_begin(&slot->lock))
		return; /* another one, a whole round ahead or behind */
	copy_text(slot->item.player, player);
	copy_text(slot->item.season, season);
	seqlock_write_end(&slot->lock);
}

bool
recent_sample(const struct recent *recent, uint64_t number, struct recent_item *ret_item)
{
	uint64_t noted = __atomic_load_n(&recent->noted, __ATOMIC_RELAXED);
	uint64_t there = noted < RECENT_SLOTS ? noted : RECENT_SLOTS;

	if (there == 0)
		return false;

	const struct recent_slot *slot = &recent->slots[number % there];
	struct recent_item item;

	if (!seqlock_read(&slot->lock, &item, &slot->item, sizeof(item)) || item.player[0] == '\0')
		return false;
	*ret_item = item;
	return true;
}
