/* What was seen and acknowledged: see record.h. */
#include "record.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "record_private.h"

enum { TOLD_MAX = 20 }; /* violations told one by one, a class and claim */

struct player players[PLAYERS_MAX];
size_t player_count;

static struct {
	const char *name;
	struct figures figures;
} classes[CLASSES_MAX];
static size_t class_count;

static struct write *writes;
static size_t write_count, write_room, pending;

static const char *const claim_names[CLAIMS] = {"C1", "C2", "C3", "C4", "C5"};

void
record_init(size_t count)
{
	player_count = count;
}

size_t
record_add_class(const char *name)
{
	if (class_count == CLASSES_MAX)
		abort();
	classes[class_count].name = name;
	return class_count++;
}

struct figures *
record_figures(size_t class)
{
	return &classes[class].figures;
}

void
record_violation(enum claim claim, size_t class, const char *format, ...)
{
	va_list arguments;

	if (++classes[class].figures.claims[claim] > TOLD_MAX)
		return;
	fprintf(stderr, "%s in %s: ", claim_names[claim], classes[class].name);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
}

static void *
grow(void *items, size_t *room, size_t wanted, size_t item_size)
{
	size_t more = *room ? *room : 64;

	while (more <= wanted)
		more *= 2;
	items = realloc(items, more * item_size);
	if (!items)
		abort();
	memset((char *)items + *room * item_size, 0, (more - *room) * item_size);
	*room = more;
	return items;
}

/* --- what was seen --- */

/* The first answer that shows a revision is remembered; each later one must be the same. */
static void
note_seen(size_t class, size_t number, const struct state *state)
{
	struct player *player = &players[number];
	bool early = state->revision < REVISIONS_MAX;

	if (!early) {
		record_violation(CLAIM_WRONG, class, "player %zu at an impossible revision", number);
		return;
	}
	if (state->revision >= player->seen_room)
		player->seen = grow(player->seen, &player->seen_room, state->revision, sizeof(struct seen));

	struct seen *seen = &player->seen[state->revision];

	if (!seen->known)
		*seen = (struct seen){
			.known = true, .class = (uint8_t) class, .xp = state->xp, .tier = (uint16_t)state->tier};
	if (!seen->hash)
		seen->hash = state->hash;
	if (seen->xp != state->xp || seen->tier != state->tier || (state->hash && seen->hash != state->hash))
		record_violation(CLAIM_WRONG, class,
				 "player %zu at revision %llu: xp %llu and xp %llu, tier %u and tier %llu%s", number,
				 (unsigned long long)state->revision, (unsigned long long)seen->xp,
				 (unsigned long long)state->xp, seen->tier, (unsigned long long)state->tier,
				 seen->xp == state->xp ? ", or another document" : "");
}

struct bound
record_bound(size_t player)
{
	return players[player].bound;
}

static void
raise(uint32_t *bound, uint64_t revision)
{
	if (*bound < revision)
		*bound = (uint32_t)revision;
}

void
record_read(size_t class, size_t player, struct bound bound, const struct state *state, struct text source,
	    bool unconfirmed)
{
	struct figures *figures = &classes[class].figures;

	note_seen(class, player, state);
	if (unconfirmed) {
		figures->unconfirmed++;
		return;
	}
	figures->reads++;
	if (state->revision < bound.acknowledged)
		record_violation(CLAIM_STALE, class, "player %zu: revision %llu from %.*s, when %u was acknowledged",
				 player, (unsigned long long)state->revision, (int)source.len, source.ptr,
				 bound.acknowledged);
	if (state->revision < bound.read)
		record_violation(CLAIM_BACK, class, "player %zu: revision %llu from %.*s, when %u had been read",
				 player, (unsigned long long)state->revision, (int)source.len, source.ptr, bound.read);
	raise(&players[player].bound.read, state->revision);
}

/* --- writes --- */

size_t
record_new_write(size_t player, unsigned amount, size_t class)
{
	if (write_count >= write_room)
		writes = grow(writes, &write_room, write_count, sizeof(struct write));
	writes[write_count] =
		(struct write){.player = (uint16_t)player, .amount = (uint16_t)amount, .class = (uint8_t) class};
	pending++;
	return write_count++;
}

struct write *
record_write(size_t number)
{
	return &writes[number];
}

size_t
record_write_count(void)
{
	return write_count;
}

size_t
record_pending(void)
{
	return pending;
}

void
record_acknowledged(size_t class, size_t number, const struct state *state)
{
	struct write *write = &writes[number];
	uint32_t revision = (uint32_t)state->revision;

	classes[class].figures.acknowledged++;
	if (write->outcome == OUTCOME_ACKNOWLEDGED && (write->revision != revision || write->xp != state->xp))
		record_violation(CLAIM_COUNT_OFF, class, "write %zu took effect at revisions %u and %u", number,
				 write->revision, revision);
	pending -= write->outcome == OUTCOME_PENDING;
	write->outcome = OUTCOME_ACKNOWLEDGED;
	write->revision = revision;
	write->xp = state->xp;
	note_seen(class, write->player, state);
	raise(&players[write->player].bound.acknowledged, revision);
}

void
record_refused(size_t class, size_t number)
{
	struct write *write = &writes[number];

	classes[class].figures.refused++;
	pending -= write->outcome == OUTCOME_PENDING;
	if (write->outcome == OUTCOME_ACKNOWLEDGED)
		record_violation(CLAIM_COUNT_OFF, class, "write %zu was acknowledged, and then refused", number);
	else
		write->outcome = OUTCOME_REFUSED;
}

/* --- names and figures --- */

static bool
number_after(const char *prefix, const char *name, size_t len, size_t *ret_number)
{
	size_t from = strlen(prefix);
	size_t number = 0;

	if (len <= from || len >= NAME_SIZE || memcmp(name, prefix, from) != 0)
		return false;
	for (size_t i = from; i < len; i++) {
		if (name[i] < '0' || name[i] > '9')
			return false;
		number = number * 10 + (size_t)(name[i] - '0');
	}
	*ret_number = number;
	return true;
}

void
player_name(size_t player, char name[NAME_SIZE])
{
	snprintf(name, NAME_SIZE, "hot-%04zu", player);
}

bool
player_number(const char *name, size_t len, size_t *ret_player)
{
	return number_after("hot-", name, len, ret_player) && *ret_player < player_count;
}

void
write_key(size_t number, char key[NAME_SIZE])
{
	snprintf(key, NAME_SIZE, "grant-%08zu", number);
}

bool
write_number(const char *key, size_t len, size_t *ret_number)
{
	return number_after("grant-", key, len, ret_number) && *ret_number < write_count;
}

void
record_print(void)
{
	for (size_t i = 0; i < class_count; i++) {
		const struct figures *f = &classes[i].figures;
		unsigned long long c[CLAIMS];

		for (size_t claim = 0; claim < CLAIMS; claim++)
			c[claim] = f->claims[claim];
		printf("class %s reads=%llu cache=%llu store=%llu lookup=%llu unconfirmed=%llu unavailable=%llu "
		       "acknowledged=%llu unknown=%llu refused=%llu slowest_ms=%.0f C1=%llu C2=%llu C3=%llu C4=%llu "
		       "C5=%llu\n",
		       classes[i].name, (unsigned long long)f->reads, (unsigned long long)f->from_cache,
		       (unsigned long long)f->from_store, (unsigned long long)f->looked_up,
		       (unsigned long long)f->unconfirmed, (unsigned long long)f->unavailable,
		       (unsigned long long)f->acknowledged, (unsigned long long)f->unknown,
		       (unsigned long long)f->refused, f->slowest_write_ms, c[0], c[1], c[2], c[3], c[4]);
	}
}
