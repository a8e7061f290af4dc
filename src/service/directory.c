/* The directory of seasons: see directory.h. */
#include "service/directory.h"

void
directory_publish(struct directory *directory, const struct directory_content *content)
{
	seqlock_write_begin(&directory->lock);
	directory->content.version = content->version;
	directory->content.count = content->count;
	memcpy(directory->content.seasons, content->seasons, content->count * sizeof(content->seasons[0]));
	seqlock_write_end(&directory->lock);
}

bool
directory_refresh(const struct directory *directory, struct directory_content *copy)
{
	static struct directory_content fresh; /* of the process: too large for the stack, and copy must stay whole */

	if (__atomic_load_n(&directory->content.version, __ATOMIC_ACQUIRE) == copy->version)
		return true;
	if (!seqlock_read(&directory->lock, &fresh, &directory->content, sizeof(fresh)))
		return false;
	*copy = fresh;
	return true;
}

const struct season_entry *
directory_find(const struct directory_content *content, struct str id)
{
	for (uint32_t i = 0; i < content->count; i++)
		if (str_equal(str_from(content->seasons[i].id), id))
			return &content->seasons[i];
	return NULL;
}

enum err
directory_current(const struct directory_content *content, int64_t now_ms, const struct season_entry **ret)
{
	const struct season_entry *found = NULL;

	for (uint32_t i = 0; i < content->count; i++) {
		const struct season_entry *entry = &content->seasons[i];
		enum season_state state = season_state_at(entry->stored_state, &entry->times, now_ms);

		if (state != SEASON_ACTIVE && state != SEASON_PURCHASE_CLOSED)
			continue;
		if (found)
			return ERR_SEASON_AMBIGUOUS;
		found = entry;
	}
	if (!found)
		return ERR_SEASON_NOT_FOUND;
	*ret = found;
	return ERR_OK;
}
