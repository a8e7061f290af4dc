/* The arena: what it hands out is zeroed, aligned and nobody else's, and a turn like the last one allocates nothing. */
#include "base/arena.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tap.h"

enum { PIECES = 400, TURNS = 60 };

static bool
is_zero(const char *memory, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (memory[i])
			return false;
	return true;
}

static bool
is_filled(const char *memory, size_t size, char with)
{
	for (size_t i = 0; i < size; i++)
		if (memory[i] != with)
			return false;
	return true;
}

/* Pieces of any size over many turns: each is filled with a mark of its own, and at the end of the turn all are whole.
 */
static void
test_pieces_are_apart(void)
{
	struct arena arena;
	static struct {
		char *memory;
		size_t size;
	} pieces[PIECES];

	arena_init(&arena);
	srandom((unsigned)tap_seed());
	for (unsigned turn = 0; turn < TURNS; turn++) {
		size_t count = 1 + (size_t)random() % PIECES;

		for (size_t i = 0; i < count; i++) {
			size_t size = (size_t)random() % (random() % 30 ? 200 : 200000);
			char *memory = arena_alloc(&arena, size);

			CU_ASSERT((uintptr_t)memory % alignof(max_align_t) == 0);
			CU_ASSERT(is_zero(memory, size));
			memset(memory, (int)('A' + i % 50), size);
			pieces[i].memory = memory;
			pieces[i].size = size;
		}
		for (size_t i = 0; i < count; i++)
			CU_ASSERT(is_filled(pieces[i].memory, pieces[i].size, (char)('A' + i % 50)));
		arena_reset(&arena);
	}
	arena_release(&arena);
	arena_release(&arena);
}

static void
take_turn(struct arena *arena, size_t count, size_t size)
{
	for (size_t i = 0; i < count; i++)
		memset(arena_alloc(arena, size), 'x', size);
	arena_reset(arena);
}

/* The kept blocks are all used again, not only the first two, and a large one is found behind small ones. */
static void
test_steady_turns_allocate_nothing(void)
{
	static const struct {
		size_t count;
		size_t size;
	} turns[] = {{1, 10}, {100, 1000}, {10, 60000}, {14, 65536}, {3, 300000}, {1, 1000000}};

	for (size_t i = 0; i < sizeof(turns) / sizeof(turns[0]); i++) {
		struct arena arena;

		arena_init(&arena);
		take_turn(&arena, turns[i].count, turns[i].size);
		/* Which blocks there are shows in their addresses: the same ones, whatever the order. */
		uintptr_t before = 0;
		uintptr_t after = 0;

		for (size_t k = 0; k < turns[i].count; k++)
			before ^= (uintptr_t)arena_alloc(&arena, turns[i].size);
		arena_reset(&arena);
		struct mallinfo2 held = mallinfo2();

		for (size_t turn = 0; turn < 5; turn++) {
			after = 0;
			for (size_t k = 0; k < turns[i].count; k++)
				after ^= (uintptr_t)arena_alloc(&arena, turns[i].size);
			CU_ASSERT(mallinfo2().uordblks == held.uordblks && mallinfo2().hblkhd == held.hblkhd);
			arena_reset(&arena);
		}
		CU_ASSERT(before == after);
		arena_release(&arena);
	}
}

/* A large block is found again behind small ones. */
static void
test_large_block_is_found_again(void)
{
	struct arena arena;

	arena_init(&arena);
	arena_alloc(&arena, 60000);
	arena_alloc(&arena, 60000);
	char *large = arena_alloc(&arena, 500000);

	arena_alloc(&arena, 60000);
	arena_reset(&arena);
	CU_ASSERT_PTR_EQUAL(arena_alloc(&arena, 500000), large);
	arena_release(&arena);
}

/* One large turn does not stay in memory for ever. */
static void
test_keeps_no_more_than_it_says(void)
{
	struct arena arena;

	arena_init(&arena);
	take_turn(&arena, 1, 64 << 20);
	CU_ASSERT_PTR_NULL(arena.first);
	take_turn(&arena, 1000, 60000);
	CU_ASSERT_PTR_NOT_NULL(arena.first);
	CU_ASSERT(mallinfo2().uordblks < 4 * ARENA_KEEP);
	arena_release(&arena);
	CU_ASSERT_PTR_NULL(arena.first);
}

static void
test_copies(void)
{
	struct arena arena;
	char source[] = "text";

	arena_init(&arena);
	char *copy = arena_copy(&arena, (struct str){source, 3});
	struct str view = arena_str(&arena, (struct str){source, 4});

	source[0] = 'x';
	CU_ASSERT_STRING_EQUAL(copy, "tex");
	CU_ASSERT(str_equal(view, STR("text")) && view.ptr[4] == '\0');
	CU_ASSERT_STRING_EQUAL(arena_copy(&arena, STR_NONE), "");
	view = arena_str(&arena, STR("a\0b"));
	CU_ASSERT(view.len == 3 && memcmp(view.ptr, "a\0b", 4) == 0);
	view = arena_format(&arena, "%s-%0*d", "n", 100000, 5);
	CU_ASSERT(view.len == 100002 && view.ptr[view.len - 1] == '5' && view.ptr[view.len] == '\0');
	CU_ASSERT(arena_format(&arena, "%s", "").len == 0);
	arena_release(&arena);
}

static void
test_arrays(void)
{
	struct arena arena;

	arena_init(&arena);
	uint64_t *numbers = ARENA_ARRAY(&arena, 1000, uint64_t);

	CU_ASSERT(is_zero((const char *)numbers, 8000));
	CU_ASSERT_PTR_NOT_NULL(ARENA_ARRAY(&arena, 0, uint64_t));
	CU_ASSERT_PTR_NOT_NULL(ARENA_NEW(&arena, struct str));
	arena_release(&arena);
}

static void
overflow_product(struct arena *arena)
{
	arena_array(arena, SIZE_MAX / 2, 3);
}

static void
overflow_rounding(struct arena *arena)
{
	arena_alloc(arena, SIZE_MAX - 1);
}

static void
overflow_header(struct arena *arena)
{
	arena_alloc(arena, SIZE_MAX - 2 * alignof(max_align_t));
}

/* True when doing it ends the process by abort(). */
static bool
aborts(void (*act)(struct arena *))
{
	int status = 0;
	pid_t child = fork();

	if (child == 0) {
		struct rlimit none = {0, 0};
		struct arena arena;

		setrlimit(RLIMIT_CORE, &none);
		signal(SIGABRT, SIG_DFL);
		arena_init(&arena);
		act(&arena);
		_exit(0);
	}
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		continue;
	return child > 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void
test_overflow_ends_the_process(void)
{
	CU_ASSERT(aborts(overflow_product));
	CU_ASSERT(aborts(overflow_rounding));
	CU_ASSERT(aborts(overflow_header));
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"pieces are apart, zeroed and aligned", test_pieces_are_apart},
		{"steady turns allocate nothing", test_steady_turns_allocate_nothing},
		{"a large block is found again", test_large_block_is_found_again},
		{"keeps no more than it says", test_keeps_no_more_than_it_says},
		{"copies", test_copies},
		{"arrays", test_arrays},
		{"overflow ends the process", test_overflow_ends_the_process},
		CU_TEST_INFO_NULL,
	};

	return tap_main("base/arena", tests);
}
