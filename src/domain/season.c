/* Seasons: see season.h. Only arithmetic over what the caller holds: no memory, no clock, no locale. */
#include "domain/season.h"

#include <string.h>

static const char *const state_names[SEASON_STATE_COUNT] = {
	[SEASON_DRAFT] = "draft",   [SEASON_PUBLISHED] = "published",
	[SEASON_ACTIVE] = "active", [SEASON_PURCHASE_CLOSED] = "purchase_closed",
	[SEASON_ENDED] = "ended",   [SEASON_ARCHIVED] = "archived",
};

const char *
season_state_name(enum season_state state)
{
	return (unsigned)state < SEASON_STATE_COUNT ? state_names[state] : "unknown";
}

bool
season_state_parse(const char *name, enum season_state *ret_state)
{
	for (unsigned i = 0; i < SEASON_STATE_COUNT; i++) {
		if (strcmp(name, state_names[i]) == 0) {
			*ret_state = (enum season_state)i;
			return true;
		}
	}
	return false;
}

enum season_state
season_state_at(enum season_state stored, const struct season_times *times, int64_t now_ms)
{
	if (stored == SEASON_DRAFT || stored == SEASON_ENDED || stored == SEASON_ARCHIVED)
		return stored;
	const struct {
		int64_t until_ms;
		enum season_state state;
	} path[] = {
		{times->starts_at_ms, SEASON_PUBLISHED},
		{times->purchase_closes_at_ms, SEASON_ACTIVE},
		{times->ends_at_ms, SEASON_PURCHASE_CLOSED},
		{times->claim_until_ms, SEASON_ENDED},
	};

	for (size_t i = 0; i < sizeof(path) / sizeof(path[0]); i++) {
		if (now_ms < path[i].until_ms)
			return path[i].state;
	}
	return SEASON_ARCHIVED;
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool
is_alphanumeric(char c)
{
	return is_digit(c) || (lower(c) >= 'a' && lower(c) <= 'z');
}

bool
id_valid(const char *id, size_t len)
{
	if (len < 1 || len > SEASON_ID_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!is_alphanumeric(id[i]) && id[i] != '.' && id[i] != '_' && id[i] != '-')
			return false;
	}
	return true;
}

/* strcmp of an id with a run of bytes. */
static int
compare_id(const char *id, const char *bytes, size_t len)
{
	size_t id_len = strlen(id);
	int order = memcmp(id, bytes, id_len < len ? id_len : len);

	return order ? order : (id_len > len) - (id_len < len);
}

int
season_find_pass(const struct season *season, const char *id, size_t len)
{
	for (uint32_t i = 0; i < season->pass_count; i++) {
		if (compare_id(season->passes[i].id, id, len) == 0)
			return (int)i;
	}
	return -1;
}

int
season_find_reward(const struct season *season, const char *id, size_t len)
{
	uint32_t low = 0;
	uint32_t high = season->reward_count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		uint32_t index = season->reward_by_id[middle];
		int order = compare_id(season->rewards[index].id, id, len);

		if (order == 0)
			return (int)index;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return -1;
}

uint32_t
season_free_passes(const struct season *season)
{
	uint32_t passes = 0;

	for (uint32_t i = 0; i < season->pass_count; i++) {
		if (season->passes[i].free)
			passes |= UINT32_C(1) << i;
	}
	return passes;
}

uint32_t
season_open_passes(const struct season *season, uint32_t owned)
{
	uint32_t held = owned | season_free_passes(season);
	uint32_t open = 0;

	for (uint32_t i = 0; i < season->pass_count; i++) {
		if (held >> i & 1)
			open |= season->passes[i].includes;
	}
	return open;
}

uint32_t
season_tier_at(const struct season *season, uint64_t xp)
{
	uint32_t low = 0; /* reached */
	uint32_t high = season->tier_count + 1;

	while (high - low > 1) {
		uint32_t middle = low + (high - low) / 2;

		if (season->tier_xp_total[middle] <= xp)
			low = middle;
		else
			high = middle;
	}
	return low;
}

uint64_t
season_overflow_units(const struct season *season, uint64_t xp)
{
	const struct overflow *overflow = &season->overflow;
	uint64_t last = season->tier_xp_total[season->tier_count];

	if (overflow->policy == OVERFLOW_NONE || xp < last)
		return 0;
	uint64_t units = (xp - last) / overflow->every;

	return overflow->policy == OVERFLOW_REPEAT && units > overflow->times ? overflow->times : units;
}

/*
 * Accept-Language. At most RANGES_MAX well-formed ranges are looked at, so a header of any length costs a bounded
 * amount; elements that break the grammar are passed over one by one.
 */
enum { RANGES_MAX = 32, SUBTAG_MAX = 8, QUALITY_ONE = 1000 };

struct range {
	const char *tag;
	size_t len;
	unsigned quality; /* in thousandths */
};

struct ranges {
	struct range items[RANGES_MAX]; /* best quality first, equals in the order of the header */
	size_t count;
};

static const char *
skip_space(const char *at, const char *end)
{
	while (at < end && (*at == ' ' || *at == '\t'))
		at++;
	return at;
}

/* "*" or subtags of 1 to 8 letters and digits. */
static bool
is_range(const char *tag, size_t len)
{
	size_t subtag = 0;

	if (len == 1 && tag[0] == '*')
		return true;
	for (size_t i = 0; i < len; i++) {
		if (tag[i] == '-' && subtag > 0)
			subtag = 0;
		else if (!is_alphanumeric(tag[i]) || ++subtag > SUBTAG_MAX)
			return false;
	}
	return subtag > 0;
}

/* A qvalue: 0 to 1 with at most three decimals. */
static bool
parse_quality(const char *at, const char *end, unsigned *ret_quality)
{
	unsigned scale = QUALITY_ONE;
	unsigned quality;

	if (at == end || (*at != '0' && *at != '1'))
		return false;
	quality = (unsigned)(*at++ - '0') * scale;
	if (at < end && *at++ != '.')
		return false;
	for (; at < end; at++) {
		scale /= 10;
		if (!is_digit(*at) || scale == 0)
			return false;
		quality += (unsigned)(*at - '0') * scale;
	}
	*ret_quality = quality;
	return quality <= QUALITY_ONE;
}

/* One list element, spaces around it taken away: range [OWS ";" OWS "q=" qvalue]. */
static bool
parse_range(const char *at, const char *end, struct range *ret_range)
{
	struct range range = {.tag = at, .quality = QUALITY_ONE};

	while (at < end && *at != ';' && *at != ' ' && *at != '\t')
		at++;
	range.len = (size_t)(at - range.tag);
	if (!is_range(range.tag, range.len))
		return false;
	at = skip_space(at, end);
	if (at < end) {
		if (*at != ';')
			return false;
		at = skip_space(at + 1, end);
		if (end - at < 2 || lower(at[0]) != 'q' || at[1] != '=' || !parse_quality(at + 2, end, &range.quality))
			return false;
	}
	*ret_range = range;
	return true;
}

static void
insert_range(struct ranges *ranges, struct range range)
{
	size_t at = ranges->count++;

	for (; at > 0 && ranges->items[at - 1].quality < range.quality; at--)
		ranges->items[at] = ranges->items[at - 1];
	ranges->items[at] = range;
}

static void
parse_ranges(const char *header, struct ranges *ret_ranges)
{
	ret_ranges->count = 0;
	while (*header && ret_ranges->count < RANGES_MAX) {
		const char *next = header + strcspn(header, ",");
		const char *start = skip_space(header, next);
		const char *end = next;
		struct range range;

		while (end > start && (end[-1] == ' ' || end[-1] == '\t'))
			end--;
		if (parse_range(start, end, &range))
			insert_range(ret_ranges, range);
		header = *next ? next + 1 : next;
	}
}

/* Does the language begin with these len bytes of a tag? Case does not matter. */
static bool
begins_with(const char *language, const char *tag, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (lower(language[i]) != lower(tag[i]))
			return false;
	}
	return true;
}

/* The longest range, "*" aside, that is the language or a whole prefix of it: its word on the language is final. */
static const struct range *
range_of(const struct ranges *ranges, const char *language)
{
	const struct range *longest = NULL;

	for (size_t i = 0; i < ranges->count; i++) {
		const struct range *range = &ranges->items[i];

		if (begins_with(language, range->tag, range->len) &&
		    (language[range->len] == '\0' || language[range->len] == '-') &&
		    (!longest || range->len > longest->len))
			longest = range;
	}
	return longest;
}

static bool
is_refused(const struct ranges *ranges, const char *language)
{
	const struct range *range = range_of(ranges, language);

	return range && range->quality == 0;
}

static const struct localized *
find_language(const struct texts *texts, const char *tag, size_t len)
{
	for (size_t i = 0; i < texts->count; i++) {
		if (begins_with(texts->items[i].language, tag, len) && texts->items[i].language[len] == '\0')
			return &texts->items[i];
	}
	return NULL;
}

/* RFC 4647 section 3.4: without its last subtag, nor a single letter that would then stand at the end. */
static size_t
truncated(const char *tag, size_t len)
{
	do {
		while (len > 0 && tag[len - 1] != '-')
			len--;
		len = len > 0 ? len - 1 : 0;
	} while (len >= 2 && tag[len - 2] == '-');
	return len;
}

static const struct localized *
look_up(const struct texts *texts, const struct ranges *ranges, const struct range *range)
{
	for (size_t len = range->len; len > 0; len = truncated(range->tag, len)) {
		const struct localized *found = find_language(texts, range->tag, len);

		if (found && !is_refused(ranges, found->language))
			return found;
	}
	return NULL;
}

/* "*" stands for every language that no other range names. */
static const struct localized *
any_other(const struct texts *texts, const struct ranges *ranges)
{
	for (size_t i = 0; i < texts->count; i++) {
		if (!range_of(ranges, texts->items[i].language))
			return &texts->items[i];
	}
	return NULL;
}

const struct localized *
texts_pick(const struct texts *texts, const char *accept_language)
{
	struct ranges ranges;

	if (texts->count == 0)
		return NULL;
	parse_ranges(accept_language ? accept_language : "", &ranges);
	for (size_t i = 0; i < ranges.count && ranges.items[i].quality > 0; i++) {
		const struct range *range = &ranges.items[i];
		const struct localized *found =
			range->tag[0] == '*' ? any_other(texts, &ranges) : look_up(texts, &ranges, range);

		if (found)
			return found;
	}
	return &texts->items[0];
}
