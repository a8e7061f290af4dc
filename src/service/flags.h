/*
 * The rollout flags: what operators steer while the service runs. They stand in the database; the steward copies them
 * into shared memory ten times a second. They steer reads only: a write fences and confirms whatever they say, so that
 * any change of them is safe at any moment.
 */
#ifndef BP_SERVICE_FLAGS_H
#define BP_SERVICE_FLAGS_H

#include "base/buf.h"
#include "base/seqlock.h"

enum flag {
	FLAG_CACHE_SHARE, /* per cent of the players whose reads the cache answers */
	FLAG_CACHE,       /* 1: reads may be answered from it */
	FLAG_WARMING,
	FLAG_AUDITOR, /* checks a second on each host */
	FLAG_COUNT
};

struct cache_flags {
	uint64_t revision; /* 0: never read */
	int64_t values[FLAG_COUNT];
};

struct flag_form {
	const char *name; /* of the column and of the API's member, too */
	bool is_switch;   /* 0 or 1, for people off or on */
	int64_t most;
	const char *help;
};

const struct flag_form *flag_form(enum flag flag);
/* False if there is no such flag. */
bool flag_find(struct str name, enum flag *ret_flag);
/* A value as people write it: a number, or on, off, true, false. False if the flag cannot have it. */
bool flag_parse(enum flag flag, struct str text, int64_t *ret_value);
/* Appends them as the members of a JSON object, revision first, without the braces. */
void flags_print(const struct cache_flags *flags, struct buf *out);

/*
 * May this player's reads be answered from the cache? By a hash of the id, the same on every host and for ever: a
 * greater share takes nobody out.
 */
bool flags_serve(const struct cache_flags *flags, struct str player);

/* In shared memory; the steward is its only writer. */
struct flags {
	struct seqlock lock;
	struct cache_flags content;
};

void flags_publish(struct flags *flags, const struct cache_flags *content);
/* False when they cannot be read, or never were: no read is served from the cache then. */
bool flags_look(const struct flags *flags, struct cache_flags *ret_content);

#endif
