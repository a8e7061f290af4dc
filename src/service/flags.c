/* The rollout flags: see flags.h. */
#include "service/flags.h"

enum { SHARES = 100, AUDITOR_MAX = 1000 };

static const struct flag_form forms[FLAG_COUNT] = {
	[FLAG_CACHE_SHARE] = {"cache_share", false, SHARES, "per cent of the players served from the cache"},
	[FLAG_CACHE] = {"cache", true, 1, "reads are answered from the cache"},
	[FLAG_WARMING] = {"warming", true, 1, "the cache is warmed"},
	[FLAG_AUDITOR] = {"auditor_checks_per_s", false, AUDITOR_MAX,
			  "cached answers checked in a second on each host"},
};

const struct flag_form *
flag_form(enum flag flag)
{
	return &forms[flag];
}

bool
flag_find(struct str name, enum flag *ret_flag)
{
	for (int i = 0; i < FLAG_COUNT; i++) {
		if (!str_equal(name, str_from(forms[i].name)))
			continue;
		*ret_flag = (enum flag)i;
		return true;
	}
	return false;
}

static bool
parse_switch(struct str text, int64_t *ret_value)
{
	static const struct {
		const char *word;
		int64_t value;
	} words[] = {{"on", 1}, {"off", 0}, {"true", 1}, {"false", 0}};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (!str_equal(text, str_from(words[i].word)))
			continue;
		*ret_value = words[i].value;
		return true;
	}
	return false;
}

bool
flag_parse(enum flag flag, struct str text, int64_t *ret_value)
{
	enum { DIGITS_MAX = 9 };
	int64_t value = 0;

	if (forms[flag].is_switch)
		return parse_switch(text, ret_value);
	if (text.len == 0 || text.len > DIGITS_MAX)
		return false;
	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] < '0' || text.ptr[i] > '9')
			return false;
		value = value * 10 + (text.ptr[i] - '0');
	}
	if (value > forms[flag].most)
		return false;
	*ret_value = value;
	return true;
}

void
flags_print(const struct cache_flags *flags, struct buf *out)
{
	buf_format(out, "\"revision\":\"%llu\"", (unsigned long long)flags->revision);
	for (int i = 0; i < FLAG_COUNT; i++) {
		buf_format(out, ",\"%s\":", forms[i].name);
		if (forms[i].is_switch)
			buf_cstr(out, flags->values[i] ? "true" : "false");
		else
			buf_i64(out, flags->values[i]);
	}
}

/* FNV-1a of 64 bits, and the last step of MurmurHash3, without which ids that differ at the end lie close together. */
static uint64_t
hash_of(struct str player)
{
	uint64_t hash = UINT64_C(14695981039346656037);

	for (size_t i = 0; i < player.len; i++)
		hash = (hash ^ (unsigned char)player.ptr[i]) * UINT64_C(1099511628211);
	hash ^= hash >> 33;
	hash *= UINT64_C(0xff51afd7ed558ccd);
	return hash ^ hash >> 33;
}

bool
flags_serve(const struct cache_flags *flags, struct str player)
{
	return flags->values[FLAG_CACHE] && (int64_t)(hash_of(player) % SHARES) < flags->values[FLAG_CACHE_SHARE];
}

void
flags_publish(struct flags *flags, const struct cache_flags *content)
{
	seqlock_write_begin(&flags->lock);
	flags->content = *content;
	seqlock_write_end(&flags->lock);
}

bool
flags_look(const struct flags *flags, struct cache_flags *ret_content)
{
	struct cache_flags content;

	if (!seqlock_read(&flags->lock, &content, &flags->content, sizeof(content)) || content.revision == 0)
		return false;
	*ret_content = content;
	return true;
}
