/*
 * Tests of domain/purchase.c: the state machine against what it must promise, when something may be bought, and what it
 * costs. Linked with the domain alone.
 */
#include "domain/purchase.h"

#include "domain/progress.h"
#include "random_season.h"
#include "tap.h"

enum { RANDOM_SEASONS = 500, RANDOM_QUESTIONS = 50, RANDOM_WALKS = 20000 };

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
#define NONE            PURCHASE_STATE_COUNT

static uint64_t seed;

static void
test_names(void)
{
	static const char *const names[] = {"debiting",  "granted",  "declined", "cancelling", "cancelled",
					    "refunding", "refunded", "stuck",    "closed"};

	CU_ASSERT_EQUAL(COUNT_OF(names), PURCHASE_STATE_COUNT);
	for (unsigned i = 0; i < COUNT_OF(names); i++) {
		enum purchase_state state = NONE;

		CU_ASSERT_STRING_EQUAL(purchase_state_name((enum purchase_state)i), names[i]);
		CU_ASSERT_TRUE(purchase_state_parse(names[i], &state));
		CU_ASSERT_EQUAL(state, i);
	}
	CU_ASSERT_STRING_EQUAL(purchase_state_name(PURCHASE_STATE_COUNT), "unknown");
}

static void
test_no_such_name(void)
{
	static const char *const names[] = {"", "unknown", "Granted", "granted ", "grante"};

	for (size_t i = 0; i < COUNT_OF(names); i++) {
		enum purchase_state state = PURCHASE_STUCK;

		CU_ASSERT_FALSE(purchase_state_parse(names[i], &state));
		CU_ASSERT_EQUAL(state, PURCHASE_STUCK);
	}
}

/* Every state with every event, as the manual of purchases has it. */
static const enum purchase_state wanted[PURCHASE_STATE_COUNT][PURCHASE_EVENT_COUNT] = {
	/* charged, charged_ungrantable, refused, given_up, voided, refund_wanted, was_refunded, lost, closed_by_hand */
	[PURCHASE_DEBITING] = {PURCHASE_GRANTED, PURCHASE_REFUNDING, PURCHASE_DECLINED, PURCHASE_CANCELLING,
			       PURCHASE_CANCELLED, NONE, PURCHASE_REFUNDED, PURCHASE_STUCK, NONE},
	[PURCHASE_GRANTED] = {NONE, NONE, NONE, NONE, NONE, PURCHASE_REFUNDING, NONE, NONE, NONE},
	[PURCHASE_DECLINED] = {NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE},
	[PURCHASE_CANCELLING] = {PURCHASE_GRANTED, PURCHASE_REFUNDING, PURCHASE_DECLINED, NONE, PURCHASE_CANCELLED,
				 NONE, PURCHASE_REFUNDED, PURCHASE_STUCK, NONE},
	[PURCHASE_CANCELLED] = {NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE},
	[PURCHASE_REFUNDING] = {NONE, NONE, NONE, NONE, NONE, NONE, PURCHASE_REFUNDED, PURCHASE_STUCK, NONE},
	[PURCHASE_REFUNDED] = {NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE},
	[PURCHASE_STUCK] = {NONE, NONE, NONE, NONE, NONE, PURCHASE_REFUNDING, NONE, NONE, PURCHASE_CLOSED},
	[PURCHASE_CLOSED] = {NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE},
};

/* The next state; NONE if the event does not apply. */
static enum purchase_state
step(enum purchase_state state, enum purchase_event event)
{
	enum purchase_state next = NONE;
	bool applies = purchase_next(state, event, &next);

	CU_ASSERT_EQUAL(applies, next != NONE);
	return next;
}

static void
test_every_step(void)
{
	for (unsigned state = 0; state < PURCHASE_STATE_COUNT; state++) {
		for (unsigned event = 0; event < PURCHASE_EVENT_COUNT; event++)
			CU_ASSERT_EQUAL(step((enum purchase_state)state, (enum purchase_event)event),
					wanted[state][event]);
	}
	CU_ASSERT_EQUAL(step(PURCHASE_STATE_COUNT, PURCHASE_CHARGED), NONE);
	CU_ASSERT_EQUAL(step(PURCHASE_DEBITING, PURCHASE_EVENT_COUNT), NONE);
}

/* Bits of the states that can be reached from one, itself too. */
static unsigned
reachable(enum purchase_state from)
{
	unsigned reached = 1u << from;
	unsigned before;

	do {
		before = reached;
		for (unsigned i = 0; i < PURCHASE_STATE_COUNT * PURCHASE_EVENT_COUNT; i++) {
			enum purchase_state state = (enum purchase_state)(i / PURCHASE_EVENT_COUNT);
			enum purchase_event event = (enum purchase_event)(i % PURCHASE_EVENT_COUNT);
			enum purchase_state next = reached >> state & 1 ? step(state, event) : NONE;

			if (next != NONE)
				reached |= 1u << next;
		}
	} while (reached != before);
	return reached;
}

static bool
is_end(enum purchase_state state)
{
	return reachable(state) == 1u << state;
}

static void
test_reachable(void)
{
	const unsigned ends =
		1u << PURCHASE_DECLINED | 1u << PURCHASE_CANCELLED | 1u << PURCHASE_REFUNDED | 1u << PURCHASE_CLOSED;
	const unsigned uncharged = 1u << PURCHASE_DECLINED | 1u << PURCHASE_CANCELLED;

	CU_ASSERT_EQUAL(reachable(PURCHASE_DEBITING), (1u << PURCHASE_STATE_COUNT) - 1);
	for (unsigned i = 0; i < PURCHASE_STATE_COUNT; i++) {
		enum purchase_state state = (enum purchase_state)i;

		CU_ASSERT_EQUAL(is_end(state), ends >> i & 1);
		CU_ASSERT_TRUE(reachable(state) & ends);
		/* What the courier asks for, it can bring to an end, and nothing goes back to the first call. */
		CU_ASSERT_TRUE(!purchase_is_open(state) || !is_end(state));
		CU_ASSERT_TRUE(state == PURCHASE_DEBITING || !(reachable(state) >> PURCHASE_DEBITING & 1));
	}
	/* Granted was charged: from there no way leads to a state that says otherwise. Nor from a refund on its way. */
	CU_ASSERT_FALSE(reachable(PURCHASE_GRANTED) & uncharged);
	CU_ASSERT_FALSE(reachable(PURCHASE_REFUNDING) & uncharged);
	/* What is taken back is never given again by itself. */
	CU_ASSERT_FALSE(reachable(PURCHASE_REFUNDING) >> PURCHASE_GRANTED & 1);
	CU_ASSERT_FALSE(reachable(PURCHASE_STUCK) >> PURCHASE_GRANTED & 1);
}

static void
test_flags(void)
{
	static const struct {
		bool is_open;
		bool holds_pass;
	} flags[PURCHASE_STATE_COUNT] = {
		[PURCHASE_DEBITING] = {true, true},    [PURCHASE_CANCELLING] = {true, true},
		[PURCHASE_REFUNDING] = {true, false},  [PURCHASE_GRANTED] = {false, true},
		[PURCHASE_STUCK] = {false, true},      [PURCHASE_DECLINED] = {false, false},
		[PURCHASE_CANCELLED] = {false, false}, [PURCHASE_REFUNDED] = {false, false},
		[PURCHASE_CLOSED] = {false, false},
	};

	for (unsigned i = 0; i < PURCHASE_STATE_COUNT; i++) {
		CU_ASSERT_EQUAL(purchase_is_open((enum purchase_state)i), flags[i].is_open);
		CU_ASSERT_EQUAL(purchase_holds_pass((enum purchase_state)i), flags[i].holds_pass);
	}
	CU_ASSERT_FALSE(purchase_is_open(PURCHASE_STATE_COUNT));
	CU_ASSERT_FALSE(purchase_holds_pass(PURCHASE_STATE_COUNT));
}

/* A state that could still come to "granted" keeps others away; else two of them could be granted. */
static void
test_whoever_may_grant_holds(void)
{
	for (unsigned i = 0; i < PURCHASE_STATE_COUNT; i++) {
		if (reachable((enum purchase_state)i) >> PURCHASE_GRANTED & 1)
			CU_ASSERT_TRUE(purchase_holds_pass((enum purchase_state)i));
	}
}

/*
 * An economy that does what it proves, and a purchase that takes random events which this economy could prove. Money
 * and state must go together after every step.
 */
struct world {
	enum purchase_state state;
	bool charged;  /* the economy took the money at some time */
	bool refunded; /* and gave it back */
	bool voided;   /* a late debit is refused */
};

static bool
can_be_proven(const struct world *world, enum purchase_event event)
{
	switch (event) {
	case PURCHASE_CHARGED:
	case PURCHASE_CHARGED_UNGRANTABLE:
		return world->charged && !world->refunded;
	case PURCHASE_REFUSED:
	case PURCHASE_VOIDED:
		return world->voided;
	case PURCHASE_WAS_REFUNDED:
		return world->refunded;
	default:
		return true;
	}
}

/* What the economy may do on its side meanwhile. */
static void
move_economy(struct world *world, uint64_t *state)
{
	if (random_below(state, 3))
		return;
	if (!world->charged && !world->voided) {
		world->charged = random_below(state, 2);
		world->voided = !world->charged;
	} else if (world->charged && world->state == PURCHASE_REFUNDING) {
		world->refunded = true;
	}
}

static void
check_world(const struct world *world)
{
	switch (world->state) {
	case PURCHASE_GRANTED:
		CU_ASSERT_TRUE(world->charged && !world->refunded);
		break;
	case PURCHASE_DECLINED:
	case PURCHASE_CANCELLED:
		CU_ASSERT_TRUE(!world->charged && world->voided);
		break;
	case PURCHASE_REFUNDED:
		CU_ASSERT_TRUE(world->refunded);
		break;
	case PURCHASE_CLOSED: /* a person has answered for it */
		break;
	default:
		CU_ASSERT_TRUE(purchase_is_open(world->state) || world->state == PURCHASE_STUCK);
		break;
	}
}

static void
test_random_walks(void)
{
	uint64_t state = seed;
	unsigned ended[PURCHASE_STATE_COUNT] = {0};

	for (int walk = 0; walk < RANDOM_WALKS; walk++) {
		struct world world = {.state = PURCHASE_DEBITING};

		for (int i = 0; i < 40; i++) {
			enum purchase_event event = (enum purchase_event)random_below(&state, PURCHASE_EVENT_COUNT);
			enum purchase_state next;

			move_economy(&world, &state);
			if (!can_be_proven(&world, event) || !purchase_next(world.state, event, &next))
				continue;
			world.state = next;
			check_world(&world);
		}
		ended[world.state]++;
	}
	CU_ASSERT_TRUE(ended[PURCHASE_DECLINED] && ended[PURCHASE_CANCELLED] && ended[PURCHASE_REFUNDED]);
}

static const struct season_times times = {
	.starts_at_ms = 1000,
	.purchase_closes_at_ms = 2000,
	.ends_at_ms = 3000,
	.claim_until_ms = 4000,
	.late_window_ms = 500,
};

static void
test_admit_boundaries(void)
{
	static const struct {
		int64_t now_ms;
		enum err sale;
		enum err grant;
	} cases[] = {
		{INT64_MIN, ERR_SEASON_NOT_ACTIVE, ERR_SEASON_NOT_ACTIVE},
		{999, ERR_SEASON_NOT_ACTIVE, ERR_SEASON_NOT_ACTIVE},
		{1000, ERR_OK, ERR_OK},
		{1999, ERR_OK, ERR_OK},
		{2000, ERR_PURCHASE_CLOSED, ERR_OK},
		{2999, ERR_PURCHASE_CLOSED, ERR_OK},
		{3000, ERR_SEASON_NOT_ACTIVE, ERR_SEASON_NOT_ACTIVE},
		{3499, ERR_SEASON_NOT_ACTIVE, ERR_SEASON_NOT_ACTIVE},
		{4000, ERR_SEASON_NOT_ACTIVE, ERR_SEASON_NOT_ACTIVE},
		{INT64_MAX, ERR_SEASON_NOT_ACTIVE, ERR_SEASON_NOT_ACTIVE},
	};

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CU_ASSERT_EQUAL(purchase_admit(SEASON_PUBLISHED, &times, cases[i].now_ms), cases[i].sale);
		CU_ASSERT_EQUAL(purchase_grant_admit(SEASON_PUBLISHED, &times, cases[i].now_ms), cases[i].grant);
	}
}

static void
test_admit_states(void)
{
	static const bool runs[SEASON_STATE_COUNT] = {
		[SEASON_PUBLISHED] = true, [SEASON_ACTIVE] = true, [SEASON_PURCHASE_CLOSED] = true};

	for (unsigned i = 0; i < SEASON_STATE_COUNT; i++) {
		enum season_state stored = (enum season_state)i;

		CU_ASSERT_EQUAL(purchase_admit(stored, &times, 1500), runs[i] ? ERR_OK : ERR_SEASON_NOT_ACTIVE);
		CU_ASSERT_EQUAL(purchase_admit(stored, &times, 2500),
				runs[i] ? ERR_PURCHASE_CLOSED : ERR_SEASON_NOT_ACTIVE);
		CU_ASSERT_EQUAL(purchase_grant_admit(stored, &times, 2500), runs[i] ? ERR_OK : ERR_SEASON_NOT_ACTIVE);
	}
}

/* In the order of the bits: free, a, b (with a), c (with b and a), d (gold, with c ..), e (alone), f (no price). */
enum { FREE = 1, A = 2, B = 4, C = 8, D = 16, E = 32, F = 64 };

static const struct pass passes[] = {
	{.id = "free", .free = true, .includes = FREE},
	{.id = "a", .price = {"gems", 100}, .includes = A},
	{.id = "b", .price = {"gems", 250}, .includes = B | A},
	{.id = "c", .price = {"gems", 600}, .includes = C | B | A},
	{.id = "d", .price = {"gold", 3}, .includes = D | C | B | A},
	{.id = "e", .price = {"gems", 9000}, .includes = E},
	{.id = "f", .includes = F | A},
};

static const uint64_t tier_xp[] = {0, 100, 200, 300};
static const uint64_t tier_xp_total[] = {0, 100, 300, 600};

static const struct season small = {
	.id = "small",
	.tier_count = 3,
	.tier_xp = tier_xp,
	.tier_xp_total = tier_xp_total,
	.passes = passes,
	.pass_count = COUNT_OF(passes),
	.tier_price = {"gold", 150},
};

static void
test_pass_price(void)
{
	static const struct {
		uint32_t owned;
		const char *pass;
		enum err err;
		uint64_t amount;
	} cases[] = {
		{0, "a", ERR_OK, 100},
		{0, "b", ERR_OK, 250},
		{A, "b", ERR_OK, 150},
		{A, "c", ERR_OK, 500},
		{B, "c", ERR_OK, 350},
		{A | B, "c", ERR_OK, 350}, /* the dearest, not their sum */
		{E, "c", ERR_OK, 600},     /* it is not included */
		{A | E, "c", ERR_OK, 500},
		{A | B | C, "d", ERR_OK, 3}, /* another currency */
		{A, "e", ERR_OK, 9000},
		{FREE, "a", ERR_OK, 100},
		{A, "a", ERR_ALREADY_OWNED, 0},
		{B, "a", ERR_ALREADY_OWNED, 0},
		{D, "a", ERR_ALREADY_OWNED, 0},
		{D, "c", ERR_ALREADY_OWNED, 0},
		{0, "free", ERR_ALREADY_OWNED, 0},
		{0, "f", ERR_NOT_FOR_SALE, 0},
		{F, "f", ERR_ALREADY_OWNED, 0},
		{F, "b", ERR_OK, 250}, /* a came with one that was not bought */
		{UINT32_MAX, "e", ERR_ALREADY_OWNED, 0},
		{1u << 31, "e", ERR_OK, 9000},
	};

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		int pass = season_find_pass(&small, cases[i].pass, strlen(cases[i].pass));
		struct price price = {"none", 77};

		CU_ASSERT_TRUE_FATAL(pass >= 0);
		CU_ASSERT_EQUAL(purchase_pass_price(&small, cases[i].owned, (uint32_t)pass, &price), cases[i].err);
		CU_ASSERT_EQUAL(price.amount, cases[i].err == ERR_OK ? cases[i].amount : 77);
		CU_ASSERT_PTR_EQUAL(price.currency, cases[i].err == ERR_OK ? passes[pass].price.currency : "none");
	}
}

/* A document would not be taken with such prices; the money must be right all the same. */
static void
test_pass_price_not_above(void)
{
	static const struct pass odd[] = {
		{.id = "a", .price = {"gems", 100}, .includes = 1},
		{.id = "b", .price = {"gems", 100}, .includes = 3},
		{.id = "c", .price = {"gems", 99}, .includes = 5},
	};
	struct season season = small;
	struct price price = {"none", 77};

	season.passes = odd;
	season.pass_count = COUNT_OF(odd);
	CU_ASSERT_EQUAL(purchase_pass_price(&season, 1, 1, &price), ERR_NOT_FOR_SALE);
	CU_ASSERT_EQUAL(purchase_pass_price(&season, 1, 2, &price), ERR_NOT_FOR_SALE);
	CU_ASSERT_EQUAL(price.amount, 77);
	CU_ASSERT_EQUAL(purchase_pass_price(&season, 0, 2, &price), ERR_OK);
	CU_ASSERT_EQUAL(price.amount, 99);
}

/* The price of the dearest of these that the pass includes, told without the functions under test. */
static uint64_t
dearest_below(const struct season *season, uint32_t owned, uint32_t pass)
{
	const struct pass *wanted_pass = &season->passes[pass];
	uint64_t most = 0;

	for (uint32_t i = season->pass_count; i-- > 0;) {
		const struct price *price = &season->passes[i].price;
		bool counts = (owned >> i & 1) && (wanted_pass->includes >> i & 1) && price->currency &&
			      strcmp(price->currency, wanted_pass->price.currency) == 0;

		most = counts && price->amount > most ? price->amount : most;
	}
	return most;
}

/* A pass bought is not for sale again, and a price is never 0 nor above what the season says. */
static void
check_pass_prices(const struct season *season, uint32_t owned)
{
	uint32_t open = season_open_passes(season, owned);

	for (uint32_t pass = 0; pass < season->pass_count; pass++) {
		const struct price *full = &season->passes[pass].price;
		struct price price = {NULL, 0};
		enum err err = purchase_pass_price(season, owned, pass, &price);

		CU_ASSERT_EQUAL(err, open >> pass & 1 ? ERR_ALREADY_OWNED : ERR_OK);
		if (err != ERR_OK)
			continue;
		CU_ASSERT_PTR_EQUAL(price.currency, full->currency);
		CU_ASSERT_TRUE(price.amount > 0 && price.amount <= full->amount);
		CU_ASSERT_EQUAL(price.amount + dearest_below(season, owned, pass), full->amount);
		CU_ASSERT_EQUAL(purchase_pass_price(season, owned | 1u << pass, pass, &price), ERR_ALREADY_OWNED);
	}
}

static void
test_random_pass_prices(void)
{
	struct random_season random;
	uint64_t state = seed;

	for (int i = 0; i < RANDOM_SEASONS; i++) {
		random_season(&random, &state);
		for (uint32_t owned = 0; owned < 1u << random.season.pass_count; owned++)
			check_pass_prices(&random.season, owned);
	}
}

/* Buying up a ladder of one currency, however many of its steps, costs what its top costs. */
static void
test_steps_cost_the_whole(void)
{
	static const uint32_t ladder[] = {1, 2, 3}; /* a, b, c */

	for (uint32_t steps = 0; steps < 1u << COUNT_OF(ladder); steps++) {
		uint32_t owned = 0;
		uint64_t paid = 0;
		uint64_t top = 0;

		for (size_t i = 0; i < COUNT_OF(ladder); i++) {
			struct price price;

			if (!(steps >> i & 1))
				continue;
			CU_ASSERT_EQUAL_FATAL(purchase_pass_price(&small, owned, ladder[i], &price), ERR_OK);
			owned |= 1u << ladder[i];
			paid += price.amount;
			top = passes[ladder[i]].price.amount;
		}
		CU_ASSERT_EQUAL(paid, top);
	}
}

static void
test_tiers_price(void)
{
	static const struct {
		uint64_t xp;
		uint64_t tiers;
		enum err err;
		uint64_t amount;
	} cases[] = {
		{0, 0, ERR_INVALID_FIELD, 0},
		{0, 1, ERR_OK, 150},
		{0, 3, ERR_OK, 450},
		{0, 4, ERR_TOO_MANY_TIERS, 0},
		{0, UINT64_MAX, ERR_TOO_MANY_TIERS, 0},
		{0, UINT64_C(0x100000001), ERR_TOO_MANY_TIERS, 0},
		{299, 2, ERR_OK, 300},
		{300, 1, ERR_OK, 150},
		{300, 2, ERR_TOO_MANY_TIERS, 0},
		{600, 1, ERR_TOO_MANY_TIERS, 0},
		{600, 0, ERR_INVALID_FIELD, 0},
	};

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct price price = {"none", 77};

		CU_ASSERT_EQUAL(purchase_tiers_price(&small, cases[i].xp, cases[i].tiers, &price), cases[i].err);
		CU_ASSERT_EQUAL(price.amount, cases[i].err == ERR_OK ? cases[i].amount : 77);
		CU_ASSERT_STRING_EQUAL(price.currency, cases[i].err == ERR_OK ? "gold" : "none");
	}
}

static void
test_tiers_not_sold(void)
{
	struct season season = small;
	struct price price = {"none", 77};

	season.tier_price = (struct price){NULL, 0};
	CU_ASSERT_EQUAL(purchase_tiers_price(&season, 0, 1, &price), ERR_NOT_FOR_SALE);
	CU_ASSERT_EQUAL(purchase_tiers_price(&season, 600, 0, &price), ERR_NOT_FOR_SALE);
	CU_ASSERT_EQUAL(price.amount, 77);
}

/* What is sold can be given, each tier costs the same, and the last that is left is the last that is sold. */
static void
test_random_tiers(void)
{
	struct random_season random;
	uint64_t state = seed;

	for (int i = 0; i < RANDOM_SEASONS; i++) {
		random_season(&random, &state);
		const struct season *season = &random.season;
		uint64_t end = season->tier_xp_total[season->tier_count] + 2;

		for (int k = 0; k < RANDOM_QUESTIONS; k++) {
			uint64_t xp = random_below(&state, end);
			uint64_t tiers = random_below(&state, season->tier_count + 2);
			uint32_t left = purchase_tiers_left(season, xp);
			struct price price = {NULL, 0};
			uint64_t xp_then;
			enum err err = purchase_tiers_price(season, xp, tiers, &price);

			CU_ASSERT_EQUAL(left, season->tier_count - season_tier_at(season, xp));
			if (!season->tier_price.currency) {
				CU_ASSERT_EQUAL(err, ERR_NOT_FOR_SALE);
				continue;
			}
			CU_ASSERT_EQUAL(err, tiers_apply(season, xp, tiers, &xp_then));
			CU_ASSERT_EQUAL(err == ERR_OK, tiers >= 1 && tiers <= left);
			CU_ASSERT_EQUAL(price.amount, err == ERR_OK ? tiers * season->tier_price.amount : 0);
			CU_ASSERT_TRUE(price.amount < XP_MAX);
		}
	}
}

/* Tiers that would leave no room below XP_MAX are not sold. */
static void
test_tiers_that_cannot_be_given(void)
{
	static const uint64_t total[] = {0, 1000, XP_MAX - 1};
	static const uint64_t cost[] = {0, 1000, XP_MAX - 1001};
	struct season season = {.tier_count = 2, .tier_xp = cost, .tier_xp_total = total, .tier_price = {"gold", 1}};
	struct price price = {"none", 77};

	CU_ASSERT_EQUAL(purchase_tiers_price(&season, 0, 2, &price), ERR_OK);
	CU_ASSERT_EQUAL(purchase_tiers_price(&season, 1, 2, &price), ERR_INVALID_FIELD);
	CU_ASSERT_EQUAL(price.amount, 2);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"names of the states", test_names},
		{"what is no name of a state", test_no_such_name},
		{"every state with every event", test_every_step},
		{"what can be reached from where", test_reachable},
		{"who is open and who holds the pass", test_flags},
		{"whoever may still be granted holds the pass", test_whoever_may_grant_holds},
		{"random walks: money and state go together", test_random_walks},
		{"sales and grants to the millisecond", test_admit_boundaries},
		{"stored states that sell nothing", test_admit_states},
		{"what a pass costs", test_pass_price},
		{"a pass that costs no more than one that it includes", test_pass_price_not_above},
		{"prices of random seasons, whatever is owned", test_random_pass_prices},
		{"steps of an upgrade cost what the whole costs", test_steps_cost_the_whole},
		{"what tiers cost", test_tiers_price},
		{"a season that sells no tiers", test_tiers_not_sold},
		{"tiers of random seasons", test_random_tiers},
		{"tiers that cannot be given", test_tiers_that_cannot_be_given},
		CU_TEST_INFO_NULL,
	};

	seed = tap_seed();
	return tap_main("domain/purchase", tests);
}
