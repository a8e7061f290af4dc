/*
 * The conditional commands of the cache protocol. Each can be executed late, or twice, and still only takes a value
 * away or leaves a newer one: that is what makes lost and late commands harmless.
 *
 * Values: V<revision>.<season revision>\n<player>\n<body> | T<floor>.<nonce> | L<token>
 */
#include "base/mutant.h"
#include "cache/redis.h"

/* head: what tells values apart, '' for nothing and for what is not a string. revision_of: what stands before the dot
 * of a V or T, as a number; nil for anything else. */
#define HEAD                                                                                                           \
	"local head = redis.pcall('GETRANGE', KEYS[1], 0, 95) if type(head) ~= 'string' then head = '' end "           \
	"local function revision_of(head) return tonumber(string.match(head, '^[VT](%d+)%.')) end "

static const char *const texts[SCRIPT_COUNT] = {
	/* seen, revision, value, ttl: a reader's fill, only over exactly what the reader saw before its database read.
	 */
	[SCRIPT_FILL] = HEAD "if string.sub(ARGV[1], 1, 1) == 'V' then head = string.match(head, '^V[^\\n]*') end "
			     "if head ~= ARGV[1] then return 0 end "
			     "local floor = revision_of(head) "
			     "if floor and floor > tonumber(ARGV[2]) then return 0 end "
			     "redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4]) "
			     "return 1",

	/* floor, nonce, ttl, newest revision that the database can have made: before COMMIT. 2: there is a value beyond
	 * that. */
	[SCRIPT_FENCE] =
		HEAD "local revision = revision_of(head) "
		     "if revision and revision > tonumber(ARGV[4]) and string.sub(head, 1, 1) == 'V' then return 2 end "
		     "if revision and revision >= tonumber(ARGV[1]) then return 0 end "
		     "redis.call('SET', KEYS[1], 'T' .. ARGV[1] .. '.' .. ARGV[2], 'PX', ARGV[3]) "
		     "return 1",

	/* revision, own fence, value, ttl of the value, new fence, ttl of a fence: after COMMIT. */
	[SCRIPT_CONFIRM] =
		HEAD "if head == ARGV[2] then redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4]) return 1 end "
		     "local revision = revision_of(head) "
		     "if revision and revision >= tonumber(ARGV[1]) then return 0 end "
		     "redis.call('SET', KEYS[1], ARGV[5], 'PX', ARGV[6]) "
		     "return 2",
};

/* Planted: the fill looks at less than it must. */
static const char fill_absent[] = HEAD "if head ~= '' and head ~= ARGV[1] then return 0 end "
				       "redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4]) "
				       "return 1";
static const char fill_any_fence[] = HEAD "if string.sub(head, 1, 1) ~= 'T' and head ~= ARGV[1] then return 0 end "
					  "local floor = revision_of(head) "
					  "if floor and floor > tonumber(ARGV[2]) then return 0 end "
					  "redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4]) "
					  "return 1";

const char *
redis_script_text(enum redis_script script)
{
	if (script == SCRIPT_FILL && mutant(MUTANT_FILL_ABSENT))
		return fill_absent;
	if (script == SCRIPT_FILL && mutant(MUTANT_FILL_ANY_FENCE))
		return fill_any_fence;
	return texts[script];
}
