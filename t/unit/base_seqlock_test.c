/*
 * The sequence lock over shared memory: a writer in one process, readers in others, and no reader ever holds a copy
 * that is half old and half new. A writer that died in the middle leaves nothing to be read until the next one.
 */
#include "base/seqlock.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "tap.h"

enum { WORDS = 500, READERS = 3, RUN_MS = 600, ROUNDS = 40 };

struct content {
	uint64_t words[WORDS];
};

static struct shared {
	struct seqlock lock;
	struct content content;
	bool stop;
} * shared;

static void
fill_with(struct content *content, uint64_t value)
{
	for (size_t i = 0; i < WORDS; i++)
		*(volatile uint64_t *)&content->words[i] = value;
}

static void
publish(uint64_t value)
{
	seqlock_write_begin(&shared->lock);
	fill_with(&shared->content, value);
	seqlock_write_end(&shared->lock);
}

static bool
is_whole(const struct content *content)
{
	for (size_t i = 1; i < WORDS; i++)
		if (content->words[i] != content->words[0])
			return false;
	return true;
}

static bool
stopped(void)
{
	return __atomic_load_n(&shared->stop, __ATOMIC_RELAXED);
}

/* Room to breathe: a writer that never pauses starves its readers. */
static void
breathe(void)
{
	for (volatile int pause = 0; pause < 2000; pause++)
		continue;
}

/* A reader process: exit status 0, or 1 for a torn copy, 2 for time running back, 3 for having seen nothing at all. */
static int
read_until_stopped(void)
{
	static struct content copy;
	uint64_t last = 0;
	unsigned copies = 0;

	while (!stopped()) {
		if (!seqlock_read(&shared->lock, &copy, &shared->content, sizeof(copy)))
			continue;
		if (!is_whole(&copy))
			return 1;
		if (copy.words[0] < last)
			return 2;
		last = copy.words[0];
		copies++;
	}
	return copies ? 0 : 3;
}

static pid_t
start(int (*act)(void))
{
	pid_t child = fork();

	if (child == 0)
		_exit(act());
	return child;
}

static int
result_of(pid_t child)
{
	int status = -1;

	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		continue;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void
test_no_torn_copies(void)
{
	pid_t readers[READERS];
	int64_t end_ms = clock_boot_ms() + RUN_MS;

	memset(shared, 0, sizeof(*shared));
	for (int i = 0; i < READERS; i++)
		readers[i] = start(read_until_stopped);
	for (uint64_t value = 1; clock_boot_ms() < end_ms; value++) {
		publish(value);
		breathe();
	}
	__atomic_store_n(&shared->stop, true, __ATOMIC_RELAXED);
	for (int i = 0; i < READERS; i++)
		CU_ASSERT_EQUAL(result_of(readers[i]), 0);
}

static int
write_until_killed(void)
{
	for (uint64_t value = shared->content.words[0] + 1; !stopped(); value++) {
		publish(value);
		breathe();
	}
	return 0;
}

static bool
read_once(struct content *copy)
{
	return seqlock_read(&shared->lock, copy, &shared->content, sizeof(*copy));
}

/* Killed anywhere: whole or nothing. The next writer makes it good again. */
static void
test_killed_writer(void)
{
	static struct content copy;
	unsigned nothing = 0;

	memset(shared, 0, sizeof(*shared));
	for (int i = 0; i < ROUNDS; i++) {
		pid_t writer = start(write_until_killed);

		clock_sleep_ms(2);
		kill(writer, SIGKILL);
		result_of(writer);
		bool good = read_once(&copy);

		CU_ASSERT_EQUAL(good, !(shared->lock.sequence & 1));
		CU_ASSERT(!good || is_whole(&copy));
		nothing += !good;
		publish(1000000);
		CU_ASSERT(read_once(&copy) && is_whole(&copy) && copy.words[0] == 1000000);
	}
	printf("# %u of %d writers died in the middle\n", nothing, ROUNDS);
}

static void
test_dead_writer(void)
{
	struct content copy;

	memset(shared, 0, sizeof(*shared));
	publish(7);
	CU_ASSERT(read_once(&copy) && copy.words[0] == 7);
	seqlock_write_begin(&shared->lock);
	fill_with(&shared->content, 8);
	CU_ASSERT_FALSE(read_once(&copy));
	/* Another writer takes over. */
	publish(9);
	CU_ASSERT(read_once(&copy) && is_whole(&copy) && copy.words[0] == 9);
	CU_ASSERT_EQUAL(shared->lock.sequence & 1, 0);
}

/* The sequence may wrap around. */
static void
test_wrap(void)
{
	struct content copy;

	memset(shared, 0, sizeof(*shared));
	shared->lock.sequence = UINT32_MAX - 1;
	publish(3);
	CU_ASSERT_EQUAL(shared->lock.sequence, 0);
	CU_ASSERT(read_once(&copy) && copy.words[0] == 3);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"no torn copies", test_no_torn_copies},
		{"a killed writer", test_killed_writer},
		{"a dead writer", test_dead_writer},
		{"the sequence wraps around", test_wrap},
		CU_TEST_INFO_NULL,
	};

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		abort();
	return tap_main("base/seqlock", tests);
}
