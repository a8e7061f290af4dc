/*
 * The chain of audit entries: how a link is hashed, and how chains are checked (see audit.h). Only reads; what it holds
 * at a time is a page of entries and a page of heads, however long the chains are.
 */
#include "service/audit.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/digest.h"

enum {
	ENTRIES_PAGE = 500,
	HEADS_PAGE = 200,
	TRIES = 3, /* a chain is called broken only when it was found so as often as this */
};

static_assert((int)AUDIT_HASH_SIZE == (int)DIGEST_SIZE, "a link is a SHA-256");

/* With its length in front no text can be shifted into its neighbour. */
static void
put_text(struct buf *out, struct str text)
{
	buf_u64(out, text.len);
	buf_char(out, ':');
	buf_str(out, text);
}

static void
put_bytes(struct buf *out, const unsigned char *bytes, size_t size)
{
	put_text(out, (struct str){(const char *)bytes, size});
}

static void
put_number(struct buf *out, uint64_t value)
{
	char text[24];
	int len = snprintf(text, sizeof(text), "%llu", (unsigned long long)value);

	put_text(out, (struct str){text, (size_t)len});
}

static void
put_time(struct buf *out, int64_t unix_ms)
{
	char text[24];
	int len = snprintf(text, sizeof(text), "%lld", (long long)unix_ms);

	put_text(out, (struct str){text, (size_t)len});
}

static void
put_author(struct buf *out, const struct author *author)
{
	put_text(out, author->actor);
	put_text(out, str_from(author->role));
	put_text(out, author->reason);
	put_text(out, author->request_id);
}

void
audit_hash(const unsigned char before[AUDIT_HASH_SIZE], const struct audit_entry *entry,
	   unsigned char hash[AUDIT_HASH_SIZE])
{
	struct buf text;

	buf_init(&text);
	put_bytes(&text, before, AUDIT_HASH_SIZE);
	put_number(&text, entry->sequence);
	put_bytes(&text, entry->id.bytes, sizeof(entry->id.bytes));
	put_text(&text, str_from(entry->action));
	put_text(&text, entry->idempotency_key);
	put_bytes(&text, entry->request_hash, sizeof(entry->request_hash));
	put_author(&text, &entry->author);
	put_text(&text, entry->subject);
	put_number(&text, entry->revision);
	put_number(&text, entry->xp_before);
	put_number(&text, entry->xp_after);
	put_text(&text, entry->before);
	put_text(&text, entry->after);
	put_text(&text, entry->result);
	put_time(&text, entry->entered_at_ms);
	put_text(&text, entry->player);
	put_text(&text, str_from(entry->season));
	digest_sha256(buf_view(&text), hash);
	buf_release(&text);
}

/* A chain as far as it was followed, and what was found wrong there. */
struct trail {
	struct chain_position at; /* sequence 0: nothing yet */
	unsigned char hash[AUDIT_HASH_SIZE];
	uint64_t good; /* entries that are as they must be */
	bool broken;   /* at `at` */
	char detail[sizeof(((struct audit_check *)NULL)->detail)];
};

static void __attribute__((format(printf, 3, 4)))
call_broken(struct trail *trail, uint64_t sequence, const char *format, ...)
{
	va_list args;

	trail->broken = true;
	trail->at.sequence = sequence;
	va_start(args, format);
	vsnprintf(trail->detail, sizeof(trail->detail), format, args);
	va_end(args);
}

/* The next entry of the chain. */
static void
follow(struct trail *trail, const struct audit_entry *entry)
{
	uint64_t wanted = trail->at.sequence + 1;
	unsigned char hash[AUDIT_HASH_SIZE];

	if (entry->sequence != wanted) {
		call_broken(trail, entry->sequence < wanted ? entry->sequence : wanted,
			    "entry %llu stands where %llu should be", (unsigned long long)entry->sequence,
			    (unsigned long long)wanted);
		return;
	}
	audit_hash(trail->hash, entry, hash);
	if (memcmp(hash, entry->hash, sizeof(hash)) != 0) {
		call_broken(trail, wanted, "its hash is not that of what it says behind the entry before it");
		return;
	}
	trail->at.sequence = wanted;
	trail->good = wanted;
	memcpy(trail->hash, hash, sizeof(trail->hash));
}

/* Is this where the chain must end? head NULL: the player's row knows of no entries. */
static void
compare_end(struct trail *trail, const struct chain_head *head)
{
	uint64_t count = head ? head->count : 0;

	if (trail->at.sequence < count)
		call_broken(trail, trail->at.sequence + 1, "it is missing: there should be %llu entries",
			    (unsigned long long)count);
	else if (trail->at.sequence > count)
		call_broken(trail, count + 1, "there should be %llu entries and not this one",
			    (unsigned long long)count);
	else if (head && memcmp(head->hash, trail->hash, sizeof(trail->hash)) != 0)
		call_broken(trail, count, "it is the last, and its hash is not that of the chain's head");
}

/* Where the chains are read, and of whom. */
struct source {
	const struct records_port *records;
	const char *player; /* NULL: any */
	const char *season;
};

/* The entries behind a place, page by page. */
struct entry_stream {
	const struct source *source;
	struct chain_position after;
	struct arena arena; /* of this page */
	struct audit_entry *rows;
	size_t count;
	size_t next;
	bool last; /* there is no page behind this one */
};

static void
stream_open(struct entry_stream *stream, const struct source *source, const struct chain_position *after)
{
	*stream = (struct entry_stream){.source = source, .after = *after};
	arena_init(&stream->arena);
}

static bool
copy_id(char id[SEASON_ID_MAX + 1], struct str text)
{
	if (text.len > SEASON_ID_MAX)
		return false;
	if (text.len)
		memcpy(id, text.ptr, text.len);
	id[text.len] = '\0';
	return true;
}

static bool
position_of(const struct audit_entry *entry, struct chain_position *ret_position)
{
	ret_position->sequence = entry->sequence;
	return copy_id(ret_position->player, entry->player) && copy_id(ret_position->season, str_from(entry->season));
}

/* NULL behind the last one. What it gave before may be gone. */
static enum err
stream_peek(struct entry_stream *stream, const struct audit_entry **ret_entry)
{
	const struct source *source = stream->source;

	if (stream->next == stream->count && !stream->last) {
		const struct records_port *records = source->records;

		if (stream->count && !position_of(&stream->rows[stream->count - 1], &stream->after))
			return ERR_INTERNAL;
		stream->next = stream->count = 0;
		arena_reset(&stream->arena);
		enum err err = records->chain(records->self, source->player, source->season, &stream->after,
					      ENTRIES_PAGE, &stream->arena, &stream->rows, &stream->count);

		if (err != ERR_OK)
			return err;
		stream->last = stream->count < ENTRIES_PAGE;
	}
	*ret_entry = stream->next < stream->count ? &stream->rows[stream->next] : NULL;
	return ERR_OK;
}

/* Order of an entry against a chain. */
static int
compare_chain(const struct audit_entry *entry, const struct chain_position *chain)
{
	int order = str_compare(entry->player, str_from(chain->player));

	return order ? order : strcmp(entry->season, chain->season);
}

/* Follows the trail's chain to its end, or until it has so many entries. Once it is broken the rest is passed over. */
static enum err
follow_chain(struct entry_stream *stream, struct trail *trail, uint64_t until)
{
	const struct audit_entry *entry;
	enum err err = ERR_OK;

	while (trail->good < until && (err = stream_peek(stream, &entry)) == ERR_OK && entry &&
	       compare_chain(entry, &trail->at) == 0) {
		if (!trail->broken)
			follow(trail, entry);
		stream->next++;
	}
	return err;
}

/* The same from where the trail is. */
static enum err
follow_from(const struct source *source, struct trail *trail, uint64_t until)
{
	struct chain_position beginning = {.sequence = 0};
	struct entry_stream stream;

	/* A chain begins with 1, but one that should not be there may stand before it. */
	stream_open(&stream, source, trail->at.sequence ? &trail->at : &beginning);
	enum err err = follow_chain(&stream, trail, until);

	arena_release(&stream.arena);
	return err;
}

static enum err
read_head(const struct source *source, struct chain_head *ret_head, bool *ret_there)
{
	const struct records_port *records = source->records;
	struct chain_position beginning = {.sequence = 0};
	struct chain_head *heads;
	struct arena arena;
	size_t count;

	arena_init(&arena);
	enum err err = records->chain_heads(records->self, source->player, source->season, &beginning, 1, &arena,
					    &heads, &count);

	if (err == ERR_OK) {
		*ret_there = count != 0;
		if (count)
			*ret_head = heads[0];
	}
	arena_release(&arena);
	return err;
}

/*
 * One chain by itself, while it may grow: all entries, then the head, which counts these at least, then those that came
 * between the two. Each entry was written together with the head that counts it, so there is nothing to be tolerated.
 */
static enum err
look_alone(const struct source *source, struct trail *trail)
{
	struct chain_head head;
	bool there = false;
	enum err err = follow_from(source, trail, UINT64_MAX);

	if (err == ERR_OK && !trail->broken)
		err = read_head(source, &head, &there);
	if (err == ERR_OK && there && !trail->broken && head.count > trail->good)
		err = follow_from(source, trail, head.count);
	if (err == ERR_OK && !trail->broken)
		compare_end(trail, there ? &head : NULL);
	return err;
}

/* What looked broken in passing, judged by itself. */
static enum err
look_again(const struct source *source, struct trail *trail)
{
	struct chain_position chain = trail->at;
	struct source alone = {source->records, chain.player, chain.season};
	enum err err = ERR_OK;

	chain.sequence = 0;
	for (int tries = 0; tries < TRIES && err == ERR_OK && trail->broken; tries++) {
		*trail = (struct trail){.at = chain};
		err = look_alone(&alone, trail);
	}
	return err;
}

/* The heads in the order of the chains, page by page. */
struct head_stream {
	const struct source *source;
	struct chain_position after;
	struct arena arena;
	struct chain_head *heads;
	size_t count;
	size_t next;
	bool last;
};

static void
heads_open(struct head_stream *stream, const struct source *source, const struct chain_position *after)
{
	*stream = (struct head_stream){.source = source, .after = *after};
	arena_init(&stream->arena);
}

static enum err
heads_peek(struct head_stream *stream, const struct chain_head **ret_head)
{
	const struct source *source = stream->source;

	if (stream->next == stream->count && !stream->last) {
		const struct records_port *records = source->records;

		if (stream->count) {
			const struct chain_head *end = &stream->heads[stream->count - 1];

			memcpy(stream->after.player, end->player, sizeof(end->player));
			memcpy(stream->after.season, end->season, sizeof(end->season));
			stream->after.sequence = UINT64_MAX; /* behind this one, also where it is the operators' */
		}
		stream->next = stream->count = 0;
		arena_reset(&stream->arena);
		enum err err = records->chain_heads(records->self, source->player, source->season, &stream->after,
						    HEADS_PAGE, &stream->arena, &stream->heads, &stream->count);

		if (err != ERR_OK)
			return err;
		stream->last = stream->count < HEADS_PAGE;
	}
	*ret_head = stream->next < stream->count ? &stream->heads[stream->next] : NULL;
	return ERR_OK;
}

/* Both in step. */
struct walk {
	struct source source;
	struct entry_stream entries;
	struct head_stream heads;
};

/* The chain that comes next: that of the next entry or of the next head, whichever is first; false: none. */
static enum err
next_chain(struct walk *walk, struct trail *trail, bool *ret_there)
{
	const struct audit_entry *entry;
	const struct chain_head *head;
	enum err err = stream_peek(&walk->entries, &entry);

	if (err == ERR_OK)
		err = heads_peek(&walk->heads, &head);
	if (err != ERR_OK)
		return err;
	*trail = (struct trail){.good = 0};
	*ret_there = entry || head;
	if (head) {
		memcpy(trail->at.player, head->player, sizeof(head->player));
		memcpy(trail->at.season, head->season, sizeof(head->season));
	}
	if (entry && (!head || compare_chain(entry, &trail->at) < 0) && !position_of(entry, &trail->at))
		return ERR_INTERNAL;
	trail->at.sequence = 0;
	return ERR_OK;
}

/* Takes the chain's head out of the stream, if it has one. */
static enum err
take_head(struct walk *walk, const struct trail *trail, const struct chain_head **ret_head)
{
	enum err err = heads_peek(&walk->heads, ret_head);

	if (err != ERR_OK)
		return err;
	if (*ret_head && strcmp((*ret_head)->player, trail->at.player) == 0 &&
	    strcmp((*ret_head)->season, trail->at.season) == 0)
		walk->heads.next++;
	else
		*ret_head = NULL;
	return ERR_OK;
}

static enum err
check_chain(struct walk *walk, struct trail *trail)
{
	const struct chain_head *head;
	enum err err = follow_chain(&walk->entries, trail, UINT64_MAX);

	if (err == ERR_OK)
		err = take_head(walk, trail, &head);
	if (err == ERR_OK && !trail->broken)
		compare_end(trail, head);
	if (err == ERR_OK && trail->broken)
		err = look_again(&walk->source, trail);
	return err;
}

static enum err
check_chains(struct walk *walk, uint64_t limit, struct audit_check *check)
{
	uint64_t until = limit < UINT64_MAX - check->checked ? check->checked + limit : UINT64_MAX;

	for (;;) {
		struct trail trail;
		enum err err = next_chain(walk, &trail, &check->more);

		if (err != ERR_OK || !check->more || check->checked >= until)
			return err;
		err = check_chain(walk, &trail);
		if (err != ERR_OK)
			return err;
		check->at = trail.at;
		check->checked += trail.good;
		if (trail.broken) {
			check->broken = true;
			memcpy(check->detail, trail.detail, sizeof(check->detail));
			return ERR_OK;
		}
	}
}

enum err
audit_check(const struct records_port *records, const char *player, const char *season, uint64_t limit,
	    struct audit_check *check)
{
	struct walk walk = {.source = {records, player, season}};
	struct audit_check result = *check;
	struct chain_position after = check->at;

	/* Chains are checked whole: what this one has got since is not looked at without what is before it. */
	after.sequence = after.player[0] || after.sequence || check->broken ? UINT64_MAX : 0;
	result.broken = false;
	result.detail[0] = '\0';
	stream_open(&walk.entries, &walk.source, &after);
	heads_open(&walk.heads, &walk.source, &after);
	enum err err = check_chains(&walk, limit ? limit : 1, &result);

	arena_release(&walk.entries.arena);
	arena_release(&walk.heads.arena);
	if (err == ERR_OK)
		*check = result;
	return err;
}
