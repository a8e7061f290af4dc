/* The directory of seasons: see directory.h. */
#include "service/directory.h"

#include <stdlib.h>

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
directory_is_published(const struct directory *directory)
{
	return __atomic_load_n(&directory->content.version, __ATOMIC_RELAXED) != 0;
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

/* The entry as it is at now_ms; ret_seasons counts at moments between which the entry does not change. */
static struct season_entry
entry_at(const struct season_entry *entry, int64_t now_ms, struct directory_content *ret_seasons)
{
	const struct season_switch *next = &entry->next;
	struct season_entry now = *entry;

	if (next->revision && next->at_ms <= now_ms) {
		now.revision = next->revision;
		now.times = next->times;
		now.next = (struct season_switch){0};
		if (next->at_ms > ret_seasons->from_ms)
			ret_seasons->from_ms = next->at_ms;
	} else if (next->revision && next->at_ms < ret_seasons->until_ms) {
		ret_seasons->until_ms = next->at_ms;
	}
	return now;
}

static int
newest_first(const void *a, const void *b)
{
	const struct season_entry *x = a;
	const struct season_entry *y = b;

	if (x->times.starts_at_ms != y->times.starts_at_ms)
		return x->times.starts_at_ms > y->times.starts_at_ms ? -1 : 1;
	return strcmp(x->id, y->id);
}

void
directory_resolve(const struct directory_content *published, int64_t now_ms, struct directory_content *seasons)
{
	if (seasons->version == published->version && now_ms >= seasons->from_ms && now_ms < seasons->until_ms)
		return;
	seasons->version = published->version;
	seasons->from_ms = INT64_MIN;
	seasons->until_ms = INT64_MAX;
	seasons->count = 0;
	for (uint32_t i = 0; i < published->count; i++) {
		struct season_entry *place = &seasons->seasons[seasons->count];

		*place = entry_at(&published->seasons[i], now_ms, seasons);
		seasons->count += place->revision != 0;
	}
	qsort(seasons->seasons, seasons->count, sizeof(seasons->seasons[0]), newest_first);
}

const struct season_entry *
directory_find(const struct directory_content *content, struct str id)
{
	for (uint32_t i = 0; i < content->count; i++)
		if (str_equal(str_from(content->seasons[i].id), id))
			return &content->seasons[i];
	return NULL;
}

bool
season_entry_runs(const struct season_entry *entry, int64_t now_ms)
{
	enum season_state state = season_state_at(entry->stored_state, &entry->times, now_ms);

	return state == SEASON_ACTIVE || state == SEASON_PURCHASE_CLOSED;
}

enum err
directory_current(const struct directory_content *content, int64_t now_ms, const struct season_entry **ret)
{
	const struct season_entry *found = NULL;

	for (uint32_t i = 0; i < content->count; i++) {
		const struct season_entry *entry = &content->seasons[i];

		if (!season_entry_runs(entry, now_ms))
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
