/* Tests of auth/remembered: examples, and random histories beside a model that forgets nothing. */
#include "auth/remembered.c" /* not its header alone: a writer that has died leaves its lock */

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tap.h"

enum { DIGESTS = 4096, PLACES = 256 };

static unsigned long long state;

static unsigned
random_below(unsigned limit)
{
	state = state * 6364136223846793005ull + 1442695040888963407ull;
	return (unsigned)(state >> 33) % limit;
}

/* A digest that stands for number. Many share a set, and neighbours differ in their last bytes only. */
static void
make_digest(unsigned char digest[DIGEST_SIZE], unsigned number)
{
	unsigned char place[DIGEST_SIZE];

	digest_sha256((struct str){(const char *)&number, sizeof(number)}, place);
	memset(digest, 0, DIGEST_SIZE);
	memcpy(digest, place, 2);
	memcpy(digest + DIGEST_SIZE - sizeof(number), &number, sizeof(number));
}

static struct identity
identity_of(unsigned number, int64_t expires_at_ms)
{
	struct identity identity = {.role = number % 2 ? ROLE_PLAYER : ROLE_SERVER, .expires_at_ms = expires_at_ms};

	snprintf(identity.subject, sizeof(identity.subject), "p-%u", number);
	return identity;
}

static void
put(struct remembered *table, unsigned number, int64_t until_ms, int64_t now_ms)
{
	struct identity identity = identity_of(number, until_ms);
	unsigned char digest[DIGEST_SIZE];

	make_digest(digest, number);
	remembered_put(table, digest, &identity, until_ms, now_ms);
}

static enum err
find(struct remembered *table, unsigned number, int64_t now_ms, struct identity *ret_identity)
{
	unsigned char digest[DIGEST_SIZE];

	make_digest(digest, number);
	return remembered_find(table, digest, now_ms, ret_identity);
}

static void
rounds_its_capacity_up(void)
{
	static const struct {
		uint32_t asked;
		size_t made;
	} cases[] = {{0, 16}, {1, 16}, {16, 16}, {17, 32}, {64, 64}, {65, 128}, {65536, 65536}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct remembered *table = remembered_new(cases[i].asked);

		CU_ASSERT_PTR_NOT_NULL_FATAL(table);
		CU_ASSERT_EQUAL(remembered_capacity(table), cases[i].made);
		CU_ASSERT_EQUAL(remembered_count(table, 0), 0);
		remembered_free(table);
	}
	remembered_free(NULL);
}

static void
finds_what_was_put(void)
{
	struct remembered *table = remembered_new(64);
	struct identity identity = {0};

	CU_ASSERT_EQUAL(find(table, 1, 0, &identity), ERR_NOT_FOUND);
	put(table, 1, 1000, 0);
	CU_ASSERT_EQUAL(find(table, 1, 0, &identity), ERR_OK);
	CU_ASSERT_STRING_EQUAL(identity.subject, "p-1");
	CU_ASSERT_EQUAL(identity.role, ROLE_PLAYER);
	CU_ASSERT_EQUAL(identity.expires_at_ms, 1000);
	CU_ASSERT_EQUAL(find(table, 2, 0, &identity), ERR_NOT_FOUND);
	remembered_free(table);
}

static void
expires_to_the_millisecond(void)
{
	struct remembered *table = remembered_new(64);
	struct identity identity = {.subject = "untouched"};

	put(table, 1, 1000, 0);
	CU_ASSERT_EQUAL(find(table, 1, 1000, &identity), ERR_TOKEN_EXPIRED);
	CU_ASSERT_STRING_EQUAL(identity.subject, "untouched");
	CU_ASSERT_EQUAL(remembered_count(table, 1000), 0);
	CU_ASSERT_EQUAL(remembered_count(table, 999), 1);
	CU_ASSERT_EQUAL(find(table, 1, 999, &identity), ERR_OK);
	remembered_free(table);
}

/* An empty place holds zeros: that is not the digest of zeros. */
static void
does_not_find_zeros_in_empty_places(void)
{
	struct remembered *table = remembered_new(4);
	const unsigned char zeros[DIGEST_SIZE] = {0};
	struct identity identity;

	CU_ASSERT_EQUAL(remembered_find(table, zeros, -1, &identity), ERR_NOT_FOUND);
	remembered_free(table);
}

static void
compares_the_whole_digest(void)
{
	struct remembered *table = remembered_new(4);
	struct identity identity = identity_of(1, 1000);
	unsigned char digest[DIGEST_SIZE] = {0};

	remembered_put(table, digest, &identity, 1000, 0);
	for (size_t bit = 0; bit < 8 * (size_t)DIGEST_SIZE; bit++) {
		digest[bit / 8] ^= (unsigned char)(1 << bit % 8);
		CU_ASSERT_EQUAL(remembered_find(table, digest, 0, &identity), ERR_NOT_FOUND);
		digest[bit / 8] ^= (unsigned char)(1 << bit % 8);
	}
	CU_ASSERT_EQUAL(remembered_find(table, digest, 0, &identity), ERR_OK);
	remembered_free(table);
}

static void
replaces_what_has_expired(void)
{
	struct remembered *table = remembered_new(REMEMBERED_WAYS);
	struct identity identity;

	for (unsigned number = 1; number <= REMEMBERED_WAYS; number++)
		put(table, number, number == 3 ? 10 : 1000, 0);
	put(table, 101, 1000, 10);
	CU_ASSERT_EQUAL(remembered_count(table, 10), REMEMBERED_WAYS);
	for (unsigned number = 1; number <= REMEMBERED_WAYS; number++)
		CU_ASSERT_EQUAL(find(table, number, 10, &identity), number == 3 ? ERR_NOT_FOUND : ERR_OK);
	remembered_free(table);
}

/* Whatever comes once, however many and however long it is good: what is asked for in between stays. */
static void
keeps_what_is_asked_for(void)
{
	enum { KNOWN = PLACES / 2, ASKED_BETWEEN = PLACES / 4 };
	struct remembered *table = remembered_new(PLACES);
	struct identity identity;
	unsigned asked = 0;
	unsigned lost = 0;

	for (unsigned stranger = KNOWN; stranger < DIGESTS; stranger++) {
		put(table, stranger, 1000000, 0);
		for (unsigned i = 0; i < ASKED_BETWEEN; i++, asked++) {
			unsigned number = asked % KNOWN;

			if (find(table, number, 0, &identity) != ERR_OK) {
				put(table, number, 1000, 0);
				lost++;
			}
		}
	}
	/* Each once at first, and some that share their set with too many. */
	CU_ASSERT(lost < asked / 100);
	printf("# %u of %u times it had to be verified again\n", lost, asked);
	remembered_free(table);
}

/* Put twice it takes one place, and the second word counts. */
static void
puts_again_in_place(void)
{
	struct remembered *table = remembered_new(4);
	struct identity identity;

	put(table, 1, 1000, 0);
	put(table, 2, 1000, 0);
	put(table, 1, 2000, 0);
	CU_ASSERT_EQUAL(remembered_count(table, 0), 2);
	CU_ASSERT_EQUAL(find(table, 1, 1500, &identity), ERR_OK);
	CU_ASSERT_EQUAL(identity.expires_at_ms, 2000);
	remembered_free(table);
}

/* One step of a history: what is found must be what was put last, and never after its time. */
static void
check_find(struct remembered *table, const int64_t *until_ms, unsigned number, int64_t now_ms)
{
	struct identity identity = {0};
	struct identity wanted = identity_of(number, until_ms[number]);
	enum err err = find(table, number, now_ms, &identity);

	if (err == ERR_NOT_FOUND)
		return;
	CU_ASSERT_NOT_EQUAL(until_ms[number], 0);
	CU_ASSERT_EQUAL(err, now_ms < until_ms[number] ? ERR_OK : ERR_TOKEN_EXPIRED);
	if (err == ERR_OK)
		CU_ASSERT(memcmp(&identity, &wanted, sizeof(identity)) == 0);
}

static void
keeps_its_word_over_random_histories(void)
{
	static int64_t until_ms[DIGESTS];
	struct remembered *table = remembered_new(PLACES);
	struct identity identity;
	int64_t now_ms = 1;

	state = tap_seed();
	memset(until_ms, 0, sizeof(until_ms));
	for (unsigned step = 0; step < 200000; step++) {
		unsigned number = random_below(DIGESTS);

		now_ms += random_below(4) == 0;
		if (random_below(3) == 0) {
			until_ms[number] = now_ms + 1 + random_below(500);
			put(table, number, until_ms[number], now_ms);
			CU_ASSERT_EQUAL(find(table, number, now_ms, &identity), ERR_OK);
		}
		check_find(table, until_ms, random_below(2) ? number : random_below(DIGESTS), now_ms);
		if (step % 1000 == 0)
			CU_ASSERT(remembered_count(table, now_ms) <= PLACES);
	}
	CU_ASSERT(remembered_count(table, now_ms) > PLACES / 2);
	CU_ASSERT_EQUAL(remembered_count(table, now_ms + 1000), 0);
	remembered_free(table);
}

/* The identity and the time of a number never change, so that whoever finds them can tell whether they belong together.
 */
static bool
one_step(struct remembered *table, unsigned number)
{
	struct identity wanted = identity_of(number, 1000 + number);
	struct identity identity = {0};

	if (find(table, number, 0, &identity) == ERR_OK)
		return memcmp(&identity, &wanted, sizeof(identity)) == 0;
	put(table, number, 1000 + number, 0);
	return true;
}

/* A process that works on the table until it is killed; it ends by itself once something is wrong. */
static pid_t
start_worker(struct remembered *table, unsigned seed)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	state = seed;
	while (one_step(table, random_below(DIGESTS)))
		continue;
	_exit(1);
}

static bool
kill_worker(pid_t pid)
{
	int status;

	kill(pid, SIGKILL);
	return waitpid(pid, &status, 0) == pid && WIFSIGNALED(status);
}

/* Four processes over a table that is far too small for them, each killed at any point and started anew. */
static void
never_mixes_what_processes_write(void)
{
	enum { WORKERS = 4, KILLS = 150 };
	struct remembered *table = remembered_new(PLACES);
	pid_t workers[WORKERS];
	unsigned wrong = 0;

	for (unsigned i = 0; i < WORKERS; i++)
		workers[i] = start_worker(table, i + 1);
	for (unsigned kills = 0; kills < KILLS; kills++) {
		unsigned i = kills % WORKERS;

		usleep(2000);
		wrong += !kill_worker(workers[i]);
		workers[i] = start_worker(table, kills + WORKERS);
	}
	for (unsigned i = 0; i < WORKERS; i++)
		wrong += !kill_worker(workers[i]);
	CU_ASSERT_EQUAL(wrong, 0);

	unsigned found = 0;

	for (unsigned number = 0; number < DIGESTS; number++) {
		struct identity identity;

		found += find(table, number, 0, &identity) == ERR_OK;
		CU_ASSERT(one_step(table, number));
	}
	CU_ASSERT(found > PLACES / 2);
	remembered_free(table);
}

/* A writer that was killed costs its place, and not the others of its set. */
static void
loses_one_place_by_a_writer_that_died(void)
{
	for (unsigned dead = 0; dead < REMEMBERED_WAYS; dead++) {
		for (unsigned before = 0; before <= REMEMBERED_WAYS; before += REMEMBERED_WAYS) {
			struct remembered *table = remembered_new(REMEMBERED_WAYS);
			struct identity identity;

			for (unsigned number = 0; number < before; number++)
				put(table, number, 1000, 0);
			CU_ASSERT(seqlock_try_write_begin(&table->entries[dead].lock));
			for (unsigned number = 100; number < 100 + 4 * REMEMBERED_WAYS; number++) {
				put(table, number, 1000, 0);
				CU_ASSERT_EQUAL(find(table, number, 0, &identity), ERR_OK);
			}
			remembered_free(table);
		}
	}
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"rounds its capacity up", rounds_its_capacity_up},
		{"finds what was put", finds_what_was_put},
		{"expires to the millisecond", expires_to_the_millisecond},
		{"does not find zeros in empty places", does_not_find_zeros_in_empty_places},
		{"compares the whole digest", compares_the_whole_digest},
		{"replaces what has expired", replaces_what_has_expired},
		{"keeps what is asked for", keeps_what_is_asked_for},
		{"puts again in place", puts_again_in_place},
		{"loses one place by a writer that died", loses_one_place_by_a_writer_that_died},
		{"never mixes what processes write", never_mixes_what_processes_write},
		{"keeps its word over random histories", keeps_its_word_over_random_histories},
		CU_TEST_INFO_NULL,
	};

	return tap_main("auth/remembered", tests);
}
