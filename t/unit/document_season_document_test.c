/*
 * Tests of document/season_document.c: the sample season, every fault code with its pointer, and hostile documents.
 * The sample and the manual are read from the source tree ($srcdir, or the working directory).
 */
#include "document/season_document.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "tap.h"

enum { MUTATIONS = 1500 };

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static uint64_t seed;
static struct arena arena;
static struct faults faults;

static uint64_t
random_below(uint64_t *state, uint64_t below)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return (z ^ z >> 31) % below;
}

static void
read_source_file(const char *path, struct buf *buf)
{
	const char *folder = getenv("srcdir");
	char name[4096];
	size_t got;

	snprintf(name, sizeof(name), "%s/%s", folder ? folder : ".", path);
	FILE *file = fopen(name, "r");

	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	buf_init(buf);
	do {
		got = fread(buf_reserve(buf, 65536), 1, 65536, file);
		buf->len += got;
	} while (got > 0);
	fclose(file);
}

/* Parses with an empty list of faults; NULL when there are some. */
static struct season *
parse(struct str text)
{
	struct season *season = NULL;

	arena_reset(&arena);
	faults_init(&faults, &arena);
	enum err err = season_document_parse(text, &season, &faults);

	CU_ASSERT_EQUAL(err, faults.count ? ERR_SEASON_INVALID : ERR_OK);
	CU_ASSERT_EQUAL(season != NULL, faults.count == 0);
	return season;
}

static bool
has_fault(const char *pointer, const char *code)
{
	for (size_t i = 0; i < faults.count; i++) {
		if (strcmp(faults.items[i].pointer, pointer) == 0 && strcmp(faults.items[i].code, code) == 0)
			return true;
	}
	return false;
}

static void
print_faults(const char *about)
{
	printf("# %s\n", about);
	for (size_t i = 0; i < faults.count; i++)
		printf("#   %s %s: %s\n", faults.items[i].pointer, faults.items[i].code, faults.items[i].detail);
}

/*
 * A small season without fault in parts, so that a test replaces one of them. Single quotes stand for double ones.
 */
enum part { HEAD, TIMES, TIER_PRICE, TIERS, PASSES, REWARDS, OVERFLOW, PART_COUNT };

static const char *const good_parts[PART_COUNT] = {
	[HEAD] = "'season':'s9','name':{'en':'Nine','de':'Neun'}",
	[TIMES] = "'starts_at':'2026-01-01T00:00:00Z','purchase_closes_at':'2026-03-01T00:00:00Z',"
		  "'ends_at':'2026-03-08T00:00:00Z','claim_until':'2026-03-15T00:00:00Z','late_window_s':60",
	[TIER_PRICE] = "'tier_price':{'currency':'gold','amount':150}",
	[TIERS] = "'tiers':[{'tier':1,'xp':100},{'tier':2,'xp':200},{'tier':3,'xp':300}]",
	[PASSES] = "'passes':[{'pass':'premium','name':{'en':'Premium'},'price':{'currency':'gems','amount':950}},"
		   "{'pass':'free','free':true,'auto_claim':{'policy':'claim'}},"
		   "{'pass':'plus','price':{'currency':'gems','amount':2000},'includes':['premium'],'instant_tiers':2,"
		   "'auto_claim':{'policy':'convert','item':'dust','quantity':5}},"
		   "{'pass':'all','price':{'currency':'gold','amount':1},'includes':['plus'],"
		   "'auto_claim':{'policy':'forfeit'}}]",
	[REWARDS] = "'rewards':[{'reward':'b','tier':3,'pass':'free','kind':'currency','item':'coins','quantity':5},"
		    "{'reward':'c','tier':1,'pass':'plus','kind':'item','item':'hat','quantity':1,"
		    "'name':{'EN':'Hat'}},"
		    "{'reward':'a','tier':3,'pass':'premium','kind':'item','item':'cape','quantity':1}]",
	[OVERFLOW] = "'overflow':{'policy':'repeat','every':500,'times':7,'reward':{'reward':'extra','pass':'plus',"
		     "'kind':'currency','item':'coins','quantity':9,'name':{'en':'Extra'}}}",
};

static void
put_part(struct buf *buf, const char *part)
{
	if (buf->len > 1 && *part)
		buf_char(buf, ',');
	for (; *part; part++)
		buf_char(buf, *part == '\'' ? '"' : *part);
}

static struct season *
parse_parts(const char *const parts[PART_COUNT])
{
	struct buf buf;

	buf_init(&buf);
	buf_char(&buf, '{');
	for (unsigned i = 0; i < PART_COUNT; i++)
		put_part(&buf, parts[i]);
	buf_char(&buf, '}');
	struct season *season = parse(buf_view(&buf));

	buf_release(&buf);
	return season;
}

/* The good parts but one; replaced may be PART_COUNT. */
static struct season *
parse_with(enum part replaced, const char *part)
{
	const char *parts[PART_COUNT];

	for (unsigned i = 0; i < PART_COUNT; i++)
		parts[i] = i == replaced ? part : good_parts[i];
	return parse_parts(parts);
}

static void
test_sample(void)
{
	struct buf buf;

	read_source_file("examples/season.json", &buf);
	struct season *season = parse(buf_view(&buf));

	buf_release(&buf);
	if (!season)
		print_faults("examples/season.json");
	CU_ASSERT_PTR_NOT_NULL_FATAL(season);
	CU_ASSERT_STRING_EQUAL(season->id, "s1");
	CU_ASSERT_EQUAL(season->tier_count, 100);
	CU_ASSERT_EQUAL(season->pass_count, 3);
	CU_ASSERT_EQUAL(season->times.late_window_ms, 86400000);
	CU_ASSERT_EQUAL(season_state_at(SEASON_PUBLISHED, &season->times, INT64_C(1800000000000)), SEASON_ACTIVE);
	CU_ASSERT_TRUE(season_find_reward(season, "t3-free", 7) >= 0);
	CU_ASSERT_TRUE(season_find_reward(season, "t1-prem", 7) >= 0);
	CU_ASSERT_TRUE(season_find_reward(season, "t10-plus", 8) >= 0);
	CU_ASSERT_EQUAL(season->passes[season_find_pass(season, "premium-plus", 12)].instant_tiers, 10);
	CU_ASSERT_EQUAL(season->overflow.policy, OVERFLOW_REPEAT);
	CU_ASSERT_STRING_EQUAL(season->tier_price.currency, "gems");
	CU_ASSERT_EQUAL(season->tier_price.amount, 150);
	CU_ASSERT_EQUAL(season->passes[season_find_pass(season, "free", 4)].auto_claim, AUTO_CLAIM_CLAIM);
	CU_ASSERT_EQUAL(season->passes[season_find_pass(season, "premium", 7)].auto_claim, AUTO_CLAIM_CONVERT);
	season_free(season);
}

static void
check_rewards(const struct season *season)
{
	static const char *const by_tier[] = {"c", "b", "a"};
	static const uint32_t first[] = {0, 0, 1, 1, 3};

	CU_ASSERT_EQUAL_FATAL(season->reward_count, COUNT_OF(by_tier));
	for (size_t i = 0; i < COUNT_OF(by_tier); i++) {
		CU_ASSERT_STRING_EQUAL(season->rewards[i].id, by_tier[i]);
		CU_ASSERT_EQUAL(season_find_reward(season, by_tier[i], 1), (int)i);
	}
	for (size_t i = 0; i < COUNT_OF(first); i++)
		CU_ASSERT_EQUAL(season->tier_rewards[i], first[i]);
	CU_ASSERT_EQUAL(season->rewards[0].tier, 1);
	CU_ASSERT_EQUAL(season->rewards[0].pass, 2);
	CU_ASSERT_STRING_EQUAL(season->rewards[0].kind, "item");
	CU_ASSERT_STRING_EQUAL(season->rewards[0].item, "hat");
	CU_ASSERT_EQUAL(season->rewards[1].quantity, 5);
	CU_ASSERT_EQUAL(season->rewards[1].name.count, 0);
	CU_ASSERT_STRING_EQUAL(season->rewards[0].name.items[0].language, "en");
}

static void
check_passes(const struct season *season)
{
	CU_ASSERT_EQUAL_FATAL(season->pass_count, 4);
	CU_ASSERT_EQUAL(season->passes[0].includes, 1);
	CU_ASSERT_EQUAL(season->passes[1].includes, 2);
	CU_ASSERT_EQUAL(season->passes[2].includes, 4 | 1);
	CU_ASSERT_EQUAL(season->passes[3].includes, 8 | 4 | 1);
	CU_ASSERT_EQUAL(season_free_passes(season), 2);
	CU_ASSERT_STRING_EQUAL(season->passes[0].price.currency, "gems");
	CU_ASSERT_EQUAL(season->passes[0].price.amount, 950);
	CU_ASSERT_STRING_EQUAL(season->passes[0].name.items[0].text, "Premium");
	CU_ASSERT_PTR_NULL(season->passes[1].price.currency);
	CU_ASSERT_EQUAL(season->passes[2].instant_tiers, 2);
}

static void
check_auto_claims(const struct season *season)
{
	static const struct {
		enum auto_claim auto_claim;
		const char *item;
		uint64_t quantity;
	} wanted[] = {
		{AUTO_CLAIM_FORFEIT, NULL, 0},
		{AUTO_CLAIM_CLAIM, NULL, 0},
		{AUTO_CLAIM_CONVERT, "dust", 5},
		{AUTO_CLAIM_FORFEIT, NULL, 0},
	};

	CU_ASSERT_EQUAL_FATAL(season->pass_count, COUNT_OF(wanted));
	for (size_t i = 0; i < COUNT_OF(wanted); i++) {
		const struct pass *pass = &season->passes[i];

		CU_ASSERT_EQUAL(pass->auto_claim, wanted[i].auto_claim);
		CU_ASSERT_EQUAL(pass->convert_quantity, wanted[i].quantity);
		CU_ASSERT_EQUAL(pass->convert_item != NULL, wanted[i].item != NULL);
		if (pass->convert_item && wanted[i].item)
			CU_ASSERT_STRING_EQUAL(pass->convert_item, wanted[i].item);
	}
}

static void
test_every_member(void)
{
	struct season *season = parse_with(PART_COUNT, "");

	if (!season)
		print_faults("the good parts");
	CU_ASSERT_PTR_NOT_NULL_FATAL(season);
	CU_ASSERT_STRING_EQUAL(season->id, "s9");
	CU_ASSERT_EQUAL(season->revision, 0);
	CU_ASSERT_EQUAL(season->stored_state, SEASON_DRAFT);
	CU_ASSERT_EQUAL(season->times.starts_at_ms, INT64_C(1767225600000));
	CU_ASSERT_EQUAL(season->times.purchase_closes_at_ms, INT64_C(1772323200000));
	CU_ASSERT_EQUAL(season->times.ends_at_ms, INT64_C(1772928000000));
	CU_ASSERT_EQUAL(season->times.claim_until_ms, INT64_C(1773532800000));
	CU_ASSERT_EQUAL(season->times.late_window_ms, 60000);
	CU_ASSERT_EQUAL(season->name.count, 2);
	CU_ASSERT_STRING_EQUAL(texts_pick(&season->name, "de")->text, "Neun");
	CU_ASSERT_EQUAL_FATAL(season->tier_count, 3);
	CU_ASSERT_EQUAL(season->tier_xp[0], 0);
	CU_ASSERT_EQUAL(season->tier_xp[3], 300);
	CU_ASSERT_EQUAL(season->tier_xp_total[0], 0);
	CU_ASSERT_EQUAL(season->tier_xp_total[3], 600);
	check_rewards(season);
	check_passes(season);
	check_auto_claims(season);
	CU_ASSERT_STRING_EQUAL(season->tier_price.currency, "gold");
	CU_ASSERT_EQUAL(season->tier_price.amount, 150);
	CU_ASSERT_EQUAL(season->overflow.policy, OVERFLOW_REPEAT);
	CU_ASSERT_EQUAL(season->overflow.every, 500);
	CU_ASSERT_EQUAL(season->overflow.times, 7);
	CU_ASSERT_STRING_EQUAL(season->overflow.reward.id, "extra");
	CU_ASSERT_EQUAL(season->overflow.reward.tier, 3);
	CU_ASSERT_EQUAL(season->overflow.reward.pass, 2);
	CU_ASSERT_EQUAL(season->overflow.reward.quantity, 9);
	season_free(season);
}

static void
test_other_overflows(void)
{
	static const struct {
		const char *part;
		enum overflow_policy policy;
	} cases[] = {
		{"", OVERFLOW_NONE},
		{"'overflow':{'policy':'none'}", OVERFLOW_NONE},
		{"'overflow':{'policy':'currency','every':10,'item':'dust','quantity':3}", OVERFLOW_CURRENCY},
	};

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct season *season = parse_with(OVERFLOW, cases[i].part);

		CU_ASSERT_PTR_NOT_NULL_FATAL(season);
		CU_ASSERT_EQUAL(season->overflow.policy, cases[i].policy);
		if (cases[i].policy == OVERFLOW_CURRENCY) {
			CU_ASSERT_EQUAL(season->overflow.every, 10);
			CU_ASSERT_STRING_EQUAL(season->overflow.reward.kind, "currency");
			CU_ASSERT_STRING_EQUAL(season->overflow.reward.item, "dust");
			CU_ASSERT_EQUAL(season->overflow.reward.quantity, 3);
		}
		season_free(season);
	}
}

static void
test_no_tier_price(void)
{
	struct season *season = parse_with(TIER_PRICE, "");

	CU_ASSERT_PTR_NOT_NULL_FATAL(season);
	CU_ASSERT_PTR_NULL(season->tier_price.currency);
	season_free(season);
}

static void
test_order_of_members(void)
{
	const char *parts[PART_COUNT];

	for (unsigned i = 0; i < PART_COUNT; i++)
		parts[i] = good_parts[PART_COUNT - 1 - i];
	struct season *season = parse_parts(parts);

	CU_ASSERT_PTR_NOT_NULL_FATAL(season);
	check_rewards(season);
	check_passes(season);
	check_auto_claims(season);
	season_free(season);
}

#define REWARD(id) "{'reward':'" id "','tier':1,'pass':'free','kind':'k','item':'i','quantity':1}"
#define FREE_PASS  "{'pass':'free','free':true}"
#define PRICE      "'price':{'currency':'gems','amount':1}"
#define PRICE_2    "'price':{'currency':'gems','amount':2}"
/* A pass that other members and a brace follow. */
#define PASS_PRICED(id, currency, amount) "{'pass':'" id "','price':{'currency':'" currency "','amount':" amount "}"
#define PASS_CLAIMED(auto_claim)                                                                                       \
	"'passes':[" FREE_PASS "," PASS_PRICED("premium", "gems", "1") ",'auto_claim':" auto_claim                     \
								       "},{'pass':'plus'," PRICE "}]"
#define TEXT_50  "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define TEXT_250 TEXT_50 TEXT_50 TEXT_50 TEXT_50 TEXT_50
#define ID_59    "iiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiii"

#define REPEAT(id)                                                                                                     \
	"'overflow':{'policy':'repeat','every':1,'times':1,'reward':{'reward':'" id                                    \
	"','pass':'free','kind':'k','item':'i','quantity':1}}"

static void
test_what_is_allowed(void)
{
	static const struct {
		enum part replaced;
		const char *part;
	} cases[] = {
		{HEAD, "'$schema':'https://example.org/season','comment':[1,{}],'season':'a','name':{'en':'x'}"},
		{HEAD, "'season':'currents','name':{'en-abcdefgh-abcdefgh-abcdefgh-abcde':'x','zh-hant-tw':'" TEXT_250
			       TEXT_250 "'}"},
		{TIMES, "'starts_at':'2026-01-01T00:00:00Z','purchase_closes_at':'2026-03-01T00:00:00+01:00',"
			"'ends_at':'2026-02-28T23:00:00Z','claim_until':'2026-02-28T23:00:00.000Z'"},
		{TIERS, "'tiers':[{'tier':1,'xp':1},{'tier':2,'xp':1.0},{'xp':999999999999997,'tier':3}]"},
		{TIER_PRICE, ""},
		{TIER_PRICE, "'tier_price':{'amount':1000000000,'currency':'a'}"},
		{PASSES,
		 "'passes':[" FREE_PASS "," PASS_PRICED("premium", "gems", "5") "}," PASS_PRICED(
			 "plus", "gold", "5") ",'includes':['premium']}," PASS_PRICED("all", "gems",
										      "6") ",'includes':['plus']}]"},
		{REWARDS, "'rewards':[]"},
		{REWARDS, "'rewards':[" REWARD("extra.1a") "," REWARD("extra.") "," REWARD("extra1") "," REWARD(
				  "x.extra.1") "]"},
		{OVERFLOW, REPEAT(ID_59)},
	};

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct season *season = parse_with(cases[i].replaced, cases[i].part);

		CU_ASSERT_PTR_NOT_NULL(season);
		if (!season)
			print_faults(cases[i].part);
		season_free(season);
	}
}

/* Documents with a single fault: it is found where it stands, and nothing else is. */
static const struct fault_case {
	enum part replaced;
	const char *part;
	const char *pointer;
	const char *code;
} fault_cases[] = {
	{HEAD, "'season':'s'", "/name", "required"},
	{HEAD, "'name':{'en':'x'}", "/season", "required"},
	{HEAD, "'season':'s','name':{'en':'x'},'Season':1", "/Season", "unknown_field"},
	{HEAD, "'season':'s','name':{'en':'x'},'a/b~c':1", "/a~1b~0c", "unknown_field"},
	{HEAD, "'season':'s','name':{'en':'x'},'':1", "/", "unknown_field"},
	{HEAD, "'season':7,'name':{'en':'x'}", "/season", "wrong_type"},
	{HEAD, "'season':null,'name':{'en':'x'}", "/season", "wrong_type"},
	{HEAD, "'season':'','name':{'en':'x'}", "/season", "bad_id"},
	{HEAD, "'season':'a b','name':{'en':'x'}", "/season", "bad_id"},
	{HEAD, "'season':'" ID_59 "123456','name':{'en':'x'}", "/season", "bad_id"},
	{HEAD, "'season':'current','name':{'en':'x'}", "/season", "reserved_id"},
	{HEAD, "'season':'s','name':'x'", "/name", "wrong_type"},
	{HEAD, "'season':'s','name':{}", "/name", "no_texts"},
	{HEAD, "'season':'s','name':{'en':1}", "/name/en", "wrong_type"},
	{HEAD, "'season':'s','name':{'en':''}", "/name/en", "empty_text"},
	{HEAD, "'season':'s','name':{'en':'" TEXT_250 TEXT_250 "x'}", "/name/en", "too_long"},
	{HEAD, "'season':'s','name':{'e':'x'}", "/name/e", "bad_language"},
	{HEAD, "'season':'s','name':{'':'x'}", "/name/", "bad_language"},
	{HEAD, "'season':'s','name':{'en_US':'x'}", "/name/en_US", "bad_language"},
	{HEAD, "'season':'s','name':{'en-':'x'}", "/name/en-", "bad_language"},
	{HEAD, "'season':'s','name':{'123':'x'}", "/name/123", "bad_language"},
	{HEAD, "'season':'s','name':{'en-abcdefgh-abcdefgh-abcdefgh-abcdefg':'x'}",
	 "/name/en-abcdefgh-abcdefgh-abcdefgh-abcdefg", "bad_language"},
	{HEAD, "'season':'s','name':{'abcdefghi':'x'}", "/name/abcdefghi", "bad_language"},
	{HEAD, "'season':'s','name':{'pt-BR':'x','pt-br':'y'}", "/name/pt-br", "duplicate_language"},

	{TIMES,
	 "'purchase_closes_at':'2026-03-01T00:00:00Z','ends_at':'2026-03-08T00:00:00Z',"
	 "'claim_until':'2026-03-15T00:00:00Z'",
	 "/starts_at", "required"},
	{TIMES,
	 "'starts_at':'2026-02-30T00:00:00Z','purchase_closes_at':'2026-03-01T00:00:00Z',"
	 "'ends_at':'2026-03-08T00:00:00Z','claim_until':'2026-03-15T00:00:00Z'",
	 "/starts_at", "bad_time"},
	{TIMES,
	 "'starts_at':'2026-01-01T00:00:00Z','purchase_closes_at':'2026-03-01T00:00:00Z',"
	 "'ends_at':'2026-03-08T00:00:00Z','claim_until':'9999-12-31T23:59:59-01:00'",
	 "/claim_until", "bad_time"},
	{TIMES,
	 "'starts_at':1767225600,'purchase_closes_at':'2026-03-01T00:00:00Z',"
	 "'ends_at':'2026-03-08T00:00:00Z','claim_until':'2026-03-15T00:00:00Z'",
	 "/starts_at", "wrong_type"},
	{TIMES,
	 "'starts_at':'2026-03-01T00:00:00Z','purchase_closes_at':'2026-03-01T00:00:00Z',"
	 "'ends_at':'2026-03-08T00:00:00Z','claim_until':'2026-03-15T00:00:00Z'",
	 "/purchase_closes_at", "times_out_of_order"},
	{TIMES,
	 "'starts_at':'2026-01-01T00:00:00Z','purchase_closes_at':'2026-03-01T00:00:00Z',"
	 "'ends_at':'2026-02-28T23:59:59.999Z','claim_until':'2026-03-15T00:00:00Z'",
	 "/ends_at", "times_out_of_order"},
	{TIMES,
	 "'starts_at':'2026-01-01T00:00:00Z','purchase_closes_at':'2026-03-01T00:00:00Z',"
	 "'ends_at':'2026-03-08T00:00:00Z','claim_until':'2026-03-07T00:00:00Z'",
	 "/claim_until", "times_out_of_order"},
	{TIMES,
	 "'starts_at':'2026-01-01T00:00:00Z','purchase_closes_at':'2026-03-01T00:00:00Z',"
	 "'ends_at':'2026-03-08T00:00:00Z','claim_until':'2026-03-15T00:00:00Z','late_window_s':-1",
	 "/late_window_s", "out_of_range"},

	{TIER_PRICE, "'tier_price':150", "/tier_price", "wrong_type"},
	{TIER_PRICE, "'tier_price':null", "/tier_price", "wrong_type"},
	{TIER_PRICE, "'tier_price':{'amount':150}", "/tier_price/currency", "required"},
	{TIER_PRICE, "'tier_price':{'currency':'gems'}", "/tier_price/amount", "required"},
	{TIER_PRICE, "'tier_price':{'currency':'','amount':150}", "/tier_price/currency", "bad_id"},
	{TIER_PRICE, "'tier_price':{'currency':'gems','amount':0}", "/tier_price/amount", "out_of_range"},
	{TIER_PRICE, "'tier_price':{'currency':'gems','amount':1000000001}", "/tier_price/amount", "out_of_range"},
	{TIER_PRICE, "'tier_price':{'currency':'gems','amount':1,'tiers':5}", "/tier_price/tiers", "unknown_field"},

	{TIERS, "", "/tiers", "required"},
	{TIERS, "'tiers':{}", "/tiers", "wrong_type"},
	{TIERS, "'tiers':[]", "/tiers", "empty_list"},
	{TIERS, "'tiers':[1,{'tier':2,'xp':1},{'tier':3,'xp':1}]", "/tiers/0", "wrong_type"},
	{TIERS, "'tiers':[{'tier':1,'xp':0},{'tier':2,'xp':1},{'tier':3,'xp':1}]", "/tiers/0/xp", "out_of_range"},
	{TIERS, "'tiers':[{'tier':1,'xp':1.5},{'tier':2,'xp':1},{'tier':3,'xp':1}]", "/tiers/0/xp", "out_of_range"},
	{TIERS, "'tiers':[{'tier':1,'xp':1e300},{'tier':2,'xp':1},{'tier':3,'xp':1}]", "/tiers/0/xp", "out_of_range"},
	{TIERS, "'tiers':[{'tier':1,'xp':'1'},{'tier':2,'xp':1},{'tier':3,'xp':1}]", "/tiers/0/xp", "wrong_type"},
	{TIERS, "'tiers':[{'tier':1,'xp':1},{'tier':3,'xp':1},{'tier':4,'xp':1}]", "/tiers/1/tier", "tier_gap"},
	{TIERS, "'tiers':[{'tier':2,'xp':1},{'tier':3,'xp':1}]", "/tiers/0/tier", "tier_gap"},
	{TIERS, "'tiers':[{'tier':1,'xp':1},{'tier':2,'xp':1},{'tier':2,'xp':1}]", "/tiers/2/tier", "tier_gap"},
	{TIERS, "'tiers':[{'tier':1,'xp':1},{'tier':1001,'xp':1},{'tier':3,'xp':1}]", "/tiers/1/tier", "out_of_range"},
	{TIERS, "'tiers':[{'tier':1,'xp':1},{'tier':2,'xp':999999999999999},{'tier':3,'xp':1}]", "/tiers/1/xp",
	 "xp_total_too_large"},

	{PASSES, "", "/passes", "required"},
	{PASSES, "'passes':[]", "/passes", "empty_list"},
	{PASSES, "'passes':null", "/passes", "wrong_type"},
	{PASSES, "'passes':[" FREE_PASS ",{'pass':'premium'," PRICE "},{'pass':'plus'},{'pass':'all'," PRICE "}]",
	 "/passes/2/price", "required"},
	{PASSES,
	 "'passes':[" FREE_PASS ",{'pass':'premium','price':{'currency':'gems','amount':0}},{'pass':'plus'," PRICE "}]",
	 "/passes/1/price/amount", "out_of_range"},
	{PASSES, "'passes':[" FREE_PASS ",{'pass':'premium','price':950},{'pass':'plus'," PRICE "}]", "/passes/1/price",
	 "wrong_type"},
	{PASSES, "'passes':[" FREE_PASS ",{'pass':'premium','price':{'amount':950}},{'pass':'plus'," PRICE "}]",
	 "/passes/1/price/currency", "required"},
	{PASSES, "'passes':[{'pass':'free'," PRICE "},{'pass':'premium'," PRICE "},{'pass':'plus'," PRICE "}]",
	 "/passes", "no_free_pass"},
	{PASSES, "'passes':[{'pass':'free','free':1},{'pass':'premium'," PRICE "},{'pass':'plus'," PRICE "}]",
	 "/passes/0/free", "wrong_type"},
	{PASSES,
	 "'passes':[{'pass':'free','free':true," PRICE "},{'pass':'premium'," PRICE "},{'pass':'plus'," PRICE "}]",
	 "/passes/0/price", "not_for_free_pass"},
	{PASSES,
	 "'passes':[{'pass':'free','free':true,'instant_tiers':1},{'pass':'premium'," PRICE "},{'pass':'plus'," PRICE
	 "}]",
	 "/passes/0/instant_tiers", "not_for_free_pass"},
	{PASSES,
	 "'passes':[{'pass':'free','free':true,'includes':[]},{'pass':'premium'," PRICE "},{'pass':'plus'," PRICE "}]",
	 "/passes/0/includes", "not_for_free_pass"},
	{PASSES,
	 "'passes':[" FREE_PASS ",{'pass':'premium'," PRICE "},{'pass':'plus'," PRICE "},{'pass':'premium'," PRICE "}]",
	 "/passes/3/pass", "duplicate_id"},
	{PASSES,
	 "'passes':[" FREE_PASS ",{'pass':'premium'," PRICE "},{'pass':'plus'," PRICE_2
	 ",'includes':['premium','gold']}]",
	 "/passes/2/includes/1", "no_such_pass"},
	{PASSES,
	 "'passes':[" FREE_PASS ",{'pass':'premium'," PRICE "},{'pass':'plus'," PRICE_2
	 ",'includes':['premium','premium']}]",
	 "/passes/2/includes/1", "duplicate_id"},
	{PASSES, "'passes':[" FREE_PASS ",{'pass':'premium'," PRICE "},{'pass':'plus'," PRICE ",'includes':[{}]}]",
	 "/passes/2/includes/0", "wrong_type"},
	{PASSES, "'passes':[" FREE_PASS ",{'pass':'premium'," PRICE "},{'pass':'plus'," PRICE ",'includes':['plus']}]",
	 "/passes/2/includes", "include_cycle"},
	{PASSES, "'passes':[" FREE_PASS ",{'pass':'premium'," PRICE "},{'pass':'plus'," PRICE ",'instant_tiers':1001}]",
	 "/passes/2/instant_tiers", "out_of_range"},
	{PASSES, PASS_CLAIMED("'claim'"), "/passes/1/auto_claim", "wrong_type"},
	{PASSES, PASS_CLAIMED("null"), "/passes/1/auto_claim", "wrong_type"},
	{PASSES, PASS_CLAIMED("{}"), "/passes/1/auto_claim/policy", "required"},
	{PASSES, PASS_CLAIMED("{'policy':2}"), "/passes/1/auto_claim/policy", "wrong_type"},
	{PASSES, PASS_CLAIMED("{'policy':'Claim'}"), "/passes/1/auto_claim/policy", "no_such_policy"},
	{PASSES, PASS_CLAIMED("{'policy':'claim','item':'dust'}"), "/passes/1/auto_claim/item", "unknown_field"},
	{PASSES, PASS_CLAIMED("{'policy':'forfeit','quantity':1}"), "/passes/1/auto_claim/quantity", "unknown_field"},
	{PASSES, PASS_CLAIMED("{'policy':'convert','quantity':1}"), "/passes/1/auto_claim/item", "required"},
	{PASSES, PASS_CLAIMED("{'policy':'convert','item':'dust'}"), "/passes/1/auto_claim/quantity", "required"},
	{PASSES, PASS_CLAIMED("{'policy':'convert','item':'a/b','quantity':1}"), "/passes/1/auto_claim/item", "bad_id"},
	{PASSES, PASS_CLAIMED("{'policy':'convert','item':'dust','quantity':0}"), "/passes/1/auto_claim/quantity",
	 "out_of_range"},
	{PASSES, PASS_CLAIMED("{'policy':'convert','item':'dust','quantity':1000000001}"),
	 "/passes/1/auto_claim/quantity", "out_of_range"},
	{PASSES,
	 "'passes':[" FREE_PASS
	 "," PASS_PRICED("premium", "gems", "950") "}," PASS_PRICED("plus", "gems", "950") ",'includes':['premium']}]",
	 "/passes/2/price/amount", "price_not_above_included"},
	{PASSES,
	 "'passes':[" FREE_PASS
	 "," PASS_PRICED("plus", "gems", "949") ",'includes':['premium']}," PASS_PRICED("premium", "gems", "950") "}]",
	 "/passes/1/price/amount", "price_not_above_included"},
	/* By way of one in another currency. */
	{PASSES,
	 "'passes':[" FREE_PASS "," PASS_PRICED("premium", "gems", "7") "}," PASS_PRICED(
		 "plus", "gold", "1") ",'includes':['premium']}," PASS_PRICED("all", "gems",
									      "6") ",'includes':['plus']}]",
	 "/passes/3/price/amount", "price_not_above_included"},
	/* A price that cannot be read is not compared, whichever of the two it is. */
	{PASSES,
	 "'passes':[" FREE_PASS
	 "," PASS_PRICED("premium", "gems", "7") "}," PASS_PRICED("plus", "gems", "0") ",'includes':['premium']}]",
	 "/passes/2/price/amount", "out_of_range"},
	{PASSES,
	 "'passes':[" FREE_PASS
	 "," PASS_PRICED("premium", "gems", "'7'") "}," PASS_PRICED("plus", "gems", "1") ",'includes':['premium']}]",
	 "/passes/1/price/amount", "wrong_type"},
	{PASSES,
	 "'passes':[" FREE_PASS
	 "," PASS_PRICED("premium", "g s", "7") "}," PASS_PRICED("plus", "gems", "1") ",'includes':['premium']}]",
	 "/passes/1/price/currency", "bad_id"},
	/* An id that cannot be read: what may refer to it is not reported too. */
	{PASSES, "'passes':[" FREE_PASS ",{'pass':'premium'," PRICE ",'includes':['plus']},{'pass':'pl us'," PRICE "}]",
	 "/passes/2/pass", "bad_id"},

	{REWARDS, "", "/rewards", "required"},
	{REWARDS, "'rewards':[[]]", "/rewards/0", "wrong_type"},
	{REWARDS, "'rewards':[{'tier':1,'pass':'free','kind':'k','item':'i','quantity':1}]", "/rewards/0/reward",
	 "required"},
	{REWARDS, "'rewards':[{'reward':'a','tier':0,'pass':'free','kind':'k','item':'i','quantity':1}]",
	 "/rewards/0/tier", "out_of_range"},
	{REWARDS, "'rewards':[{'reward':'a','tier':4,'pass':'free','kind':'k','item':'i','quantity':1}]",
	 "/rewards/0/tier", "no_such_tier"},
	{REWARDS, "'rewards':[{'reward':'a','tier':1,'pass':'gold','kind':'k','item':'i','quantity':1}]",
	 "/rewards/0/pass", "no_such_pass"},
	{REWARDS, "'rewards':[{'reward':'a','tier':1,'pass':'free','kind':'','item':'i','quantity':1}]",
	 "/rewards/0/kind", "bad_id"},
	{REWARDS, "'rewards':[{'reward':'a','tier':1,'pass':'free','kind':'k','item':'a/b','quantity':1}]",
	 "/rewards/0/item", "bad_id"},
	{REWARDS, "'rewards':[{'reward':'a','tier':1,'pass':'free','kind':'k','item':'i','quantity':1000000001}]",
	 "/rewards/0/quantity", "out_of_range"},
	{REWARDS, "'rewards':[" REWARD("a") "," REWARD("b") "," REWARD("a") "]", "/rewards/2/reward", "duplicate_id"},
	{REWARDS, "'rewards':[" REWARD("a") "," REWARD("extra.12") "]", "/rewards/1/reward", "reserved_id"},
	{REWARDS, "'rewards':[" REWARD("extra") "]", "/overflow/reward/reward", "duplicate_id"},

	{OVERFLOW, "'overflow':[]", "/overflow", "wrong_type"},
	{OVERFLOW, "'overflow':{}", "/overflow/policy", "required"},
	{OVERFLOW, "'overflow':{'policy':1}", "/overflow/policy", "wrong_type"},
	{OVERFLOW, "'overflow':{'policy':'Repeat','every':0}", "/overflow/policy", "no_such_policy"},
	{OVERFLOW, "'overflow':{'policy':'none','every':5}", "/overflow/every", "unknown_field"},
	{OVERFLOW, "'overflow':{'policy':'currency','item':'i','quantity':1}", "/overflow/every", "required"},
	{OVERFLOW, "'overflow':{'policy':'currency','every':0,'item':'i','quantity':1}", "/overflow/every",
	 "out_of_range"},
	{OVERFLOW, "'overflow':{'policy':'repeat','every':1,'times':1}", "/overflow/reward", "required"},
	{OVERFLOW,
	 "'overflow':{'policy':'repeat','every':1,'times':1001,'reward':{'reward':'e','pass':'free','kind':'k',"
	 "'item':'i','quantity':1}}",
	 "/overflow/times", "out_of_range"},
	{OVERFLOW,
	 "'overflow':{'policy':'repeat','every':1,'times':1,'reward':{'reward':'e','pass':'free','kind':'k',"
	 "'item':'i','quantity':1,'tier':3}}",
	 "/overflow/reward/tier", "unknown_field"},
	{OVERFLOW,
	 "'overflow':{'policy':'repeat','every':1,'times':1,'reward':{'reward':'e','pass':'gold','kind':'k',"
	 "'item':'i','quantity':1}}",
	 "/overflow/reward/pass", "no_such_pass"},
	{OVERFLOW, REPEAT(ID_59 "6"), "/overflow/reward/reward", "bad_id"},
};

static void
test_each_fault(void)
{
	for (size_t i = 0; i < COUNT_OF(fault_cases); i++) {
		const struct fault_case *each = &fault_cases[i];

		season_free(parse_with(each->replaced, each->part));
		bool found = faults.count == 1 && has_fault(each->pointer, each->code);

		CU_ASSERT_TRUE(found);
		if (found)
			continue;
		printf("# wanted: %s %s\n", each->pointer, each->code);
		print_faults(each->part);
	}
}

/* Every code is in the manual's table. */
static void
test_manual_has_every_code(void)
{
	static const char *const others[] = {"malformed_json", "too_many"};
	struct buf manual;
	char row[64];

	read_source_file("docs/season.md", &manual);
	for (size_t i = 0; i < COUNT_OF(fault_cases) + COUNT_OF(others); i++) {
		const char *code = i < COUNT_OF(others) ? others[i] : fault_cases[i - COUNT_OF(others)].code;

		snprintf(row, sizeof(row), "| `%s` |", code);
		CU_ASSERT_PTR_NOT_NULL(strstr(buf_text(&manual), row));
		if (!strstr(buf_text(&manual), row))
			printf("# docs/season.md does not tell %s\n", code);
	}
	buf_release(&manual);
}

static void
test_several_faults(void)
{
	static const char *const parts[PART_COUNT] = {
		[HEAD] = "'season':'current','name':{'en':'','x':'y'},'extra':1",
		[TIMES] = "'starts_at':'soon','ends_at':'2026-03-08T00:00:00Z','claim_until':'2026-01-01T00:00:00Z'",
		[TIER_PRICE] = "'tier_price':{'currency':'g g'}",
		[TIERS] = "'tiers':[{'tier':2,'xp':-5},{'tier':5}]",
		[PASSES] = "'passes':[{'pass':'a'," PRICE ",'includes':['b']},{'pass':'b'," PRICE
			   ",'includes':['c']},{'pass':'c'," PRICE ",'includes':['a']},{'pass':'d'," PRICE
			   ",'includes':['a']}]",
		[REWARDS] = "'rewards':[{'reward':'e.1','tier':9,'pass':'z','kind':1,'item':'i','quantity':0}]",
		[OVERFLOW] = "'overflow':{'policy':'repeat','every':'x','times':0,'reward':{'reward':'e','pass':'y'}}",
	};
	static const struct {
		const char *pointer;
		const char *code;
	} wanted[] = {
		{"/season", "reserved_id"},
		{"/name/en", "empty_text"},
		{"/name/x", "bad_language"},
		{"/extra", "unknown_field"},
		{"/starts_at", "bad_time"},
		{"/purchase_closes_at", "required"},
		{"/claim_until", "times_out_of_order"},
		{"/tier_price/currency", "bad_id"},
		{"/tier_price/amount", "required"},
		{"/tiers/0/tier", "tier_gap"},
		{"/tiers/0/xp", "out_of_range"},
		{"/tiers/1/tier", "tier_gap"},
		{"/tiers/1/xp", "required"},
		{"/passes", "no_free_pass"},
		{"/passes/0/includes", "include_cycle"},
		{"/passes/1/includes", "include_cycle"},
		{"/passes/2/includes", "include_cycle"},
		{"/passes/3/price/amount", "price_not_above_included"},
		{"/rewards/0/reward", "reserved_id"},
		{"/rewards/0/tier", "no_such_tier"},
		{"/rewards/0/pass", "no_such_pass"},
		{"/rewards/0/kind", "wrong_type"},
		{"/rewards/0/quantity", "out_of_range"},
		{"/overflow/every", "wrong_type"},
		{"/overflow/times", "out_of_range"},
		{"/overflow/reward/pass", "no_such_pass"},
		{"/overflow/reward/kind", "required"},
		{"/overflow/reward/item", "required"},
		{"/overflow/reward/quantity", "required"},
	};

	season_free(parse_parts(parts));
	CU_ASSERT_EQUAL(faults.count, COUNT_OF(wanted));
	for (size_t i = 0; i < COUNT_OF(wanted); i++)
		CU_ASSERT_TRUE(has_fault(wanted[i].pointer, wanted[i].code));
	if (faults.count != COUNT_OF(wanted))
		print_faults("several faults");
}

static void
test_untouched_on_failure(void)
{
	struct season other;
	struct season *season = &other;

	faults_init(&faults, &arena);
	CU_ASSERT_EQUAL(season_document_parse(STR("{}"), &season, &faults), ERR_SEASON_INVALID);
	CU_ASSERT_PTR_EQUAL(season, &other);
	CU_ASSERT_EQUAL(season_document_parse(STR("{"), &season, &faults), ERR_SEASON_INVALID);
	CU_ASSERT_PTR_EQUAL(season, &other);
	CU_ASSERT_TRUE(has_fault("", "malformed_json"));
	season_free(NULL);
}

/* Faults of an earlier document in the same list are not this one's. */
static void
test_list_with_faults(void)
{
	struct season *season = NULL;
	struct buf buf;

	read_source_file("examples/season.json", &buf);
	faults_init(&faults, &arena);
	faults_add(&faults, "/x", "unknown_field", "of another document");
	CU_ASSERT_EQUAL(season_document_parse(buf_view(&buf), &season, &faults), ERR_OK);
	CU_ASSERT_EQUAL(faults.count, 1);
	season_free(season);
	buf_release(&buf);
}

static void
put_repeated(struct buf *buf, const char *piece, size_t count)
{
	while (count-- > 0)
		buf_cstr(buf, piece);
}

/* A part: a list named so with count times the element. */
static struct season *
parse_with_list(enum part replaced, const char *name, const char *element, size_t count)
{
	struct buf buf;

	buf_init(&buf);
	buf_format(&buf, "'%s':[%s", name, element);
	for (size_t i = 1; i < count; i++)
		buf_format(&buf, ",%s", element);
	buf_char(&buf, ']');
	struct season *season = parse_with(replaced, buf_text(&buf));

	buf_release(&buf);
	return season;
}

static void
test_too_many(void)
{
	season_free(parse_with_list(TIERS, "tiers", "{'tier':1,'xp':1}", SEASON_TIERS_MAX + 1));
	CU_ASSERT_TRUE(faults.count == 1 && has_fault("/tiers", "too_many"));
	season_free(parse_with_list(PASSES, "passes", FREE_PASS, SEASON_PASSES_MAX + 1));
	CU_ASSERT_TRUE(faults.count == 1 && has_fault("/passes", "too_many"));
	season_free(parse_with_list(REWARDS, "rewards", REWARD("r"), SEASON_REWARDS_MAX + 1));
	CU_ASSERT_TRUE(faults.count == 1 && has_fault("/rewards", "too_many"));
}

static void
test_too_many_languages(void)
{
	struct buf buf;

	buf_init(&buf);
	buf_cstr(&buf, "'season':'s','name':{'en':'x'");
	for (int i = 0; i < 64; i++)
		buf_format(&buf, ",'en-x%d':'x'", i);
	buf_char(&buf, '}');
	season_free(parse_with(HEAD, buf_text(&buf)));
	CU_ASSERT_TRUE(faults.count == 1 && has_fault("/name", "too_many"));
	buf_release(&buf);
}

static void
test_largest(void)
{
	struct buf buf;

	buf_init(&buf);
	buf_cstr(&buf, "'tiers':[{'tier':1,'xp':999999999000}");
	for (int tier = 2; tier <= SEASON_TIERS_MAX; tier++)
		buf_format(&buf, ",{'tier':%d,'xp':999999999000}", tier);
	buf_cstr(&buf, "],'rewards':[" REWARD("r"));
	for (int i = 1; i < SEASON_REWARDS_MAX; i++)
		buf_format(&buf, ",{'reward':'r%d','tier':%d,'pass':'free','kind':'k','item':'i','quantity':1}", i,
			   1 + i * 7 % SEASON_TIERS_MAX);
	buf_char(&buf, ']');
	const char *parts[PART_COUNT] = {
		good_parts[HEAD], good_parts[TIMES], buf_text(&buf), good_parts[PASSES], good_parts[OVERFLOW], "", ""};
	struct season *season = parse_parts(parts);

	CU_ASSERT_PTR_NOT_NULL_FATAL(season);
	CU_ASSERT_EQUAL(season->tier_xp_total[SEASON_TIERS_MAX], UINT64_C(999999999000000));
	CU_ASSERT_EQUAL(season->tier_rewards[SEASON_TIERS_MAX + 1], SEASON_REWARDS_MAX);
	for (uint32_t tier = 1; tier <= SEASON_TIERS_MAX; tier++) {
		for (uint32_t i = season->tier_rewards[tier]; i < season->tier_rewards[tier + 1]; i++)
			CU_ASSERT_EQUAL(season->rewards[i].tier, tier);
	}
	CU_ASSERT_TRUE(season_find_reward(season, "r3999", 5) >= 0);
	season_free(season);
	buf_release(&buf);
}

/* More faults than the list takes: those beyond are counted. */
static void
test_more_faults_than_fit(void)
{
	season_free(parse_with_list(REWARDS, "rewards", "{}", 500));
	CU_ASSERT_EQUAL(faults.count, FAULTS_MAX);
	CU_ASSERT_EQUAL(faults.count + faults.dropped, 500 * 6);
}

static void
test_hostile_texts(void)
{
	static const struct {
		const char *opening;
		const char *piece;
		size_t count;
	} cases[] = {
		{"", "[", 1000000},
		{"", "{\"tiers\":", 100000},
		{"{\"comment\":", "[", 17},
		{"", "9", 100000},
		{"", "\"", 3},
		{"", " ", 1000},
		{"", "\xff", 10},
		{"", "null", 1},
		{"", "[]", 1},
		{"", "1e999999", 1},
		{"", "\"\\ud800\"", 1},
		{"{}", "{}", 1},
	};

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct buf buf;

		buf_init(&buf);
		buf_cstr(&buf, cases[i].opening);
		put_repeated(&buf, cases[i].piece, cases[i].count);
		CU_ASSERT_PTR_NULL(parse(buf_view(&buf)));
		CU_ASSERT_TRUE(faults.count > 0);
		buf_release(&buf);
	}
	CU_ASSERT_PTR_NULL(parse(STR_NONE));
}

/* Every value of the good parts in turn becomes each of these, of whatever type. */
static void
test_wrong_values_everywhere(void)
{
	static const char *const values[] = {"null", "true", "-1",   "1e308", "0.5",        "\"\"",           "\"x\"",
					     "[]",   "{}",   "[{}]", "[[]]",  "{\"a\":{}}", "999999999999999"};
	struct buf whole;

	buf_init(&whole);
	buf_char(&whole, '{');
	for (unsigned i = 0; i < PART_COUNT; i++)
		put_part(&whole, good_parts[i]);
	buf_char(&whole, '}');
	const char *text = buf_text(&whole);

	for (const char *at = text; (at = strstr(at, "\":")); at += 2) {
		size_t value_len = strcspn(at + 2, ",]}");
		size_t head_len = (size_t)(at + 2 - text);

		for (size_t i = 0; i < COUNT_OF(values); i++) {
			struct buf buf;

			buf_init(&buf);
			buf_bytes(&buf, text, head_len);
			buf_cstr(&buf, values[i]);
			buf_cstr(&buf, at + 2 + value_len);
			season_free(parse(buf_view(&buf)));
			buf_release(&buf);
		}
	}
	buf_release(&whole);
}

/* Exchanges the first letter or digit from at on for another: this mostly leaves JSON as it was. */
static void
exchange(struct buf *buf, size_t at, uint64_t *state)
{
	while (at < buf->len && !isalnum((unsigned char)buf->data[at]))
		at++;
	if (at == buf->len)
		return;
	if (isdigit((unsigned char)buf->data[at]))
		buf->data[at] = (char)('0' + random_below(state, 10));
	else
		buf->data[at] = (char)('a' + random_below(state, 26));
}

/* One random change: mostly a letter or digit exchanged, else a byte set, or a run taken away or doubled. */
static void
mutate(struct buf *buf, uint64_t *state)
{
	static const char bytes[] = "{}[]:,\"0123456789.-eE+\\nulltruefalse \x80\xff";
	size_t at = random_below(state, buf->len);
	size_t run = random_below(state, 40);

	if (run > buf->len - at)
		run = buf->len - at;
	switch (random_below(state, 16)) {
	case 0:
		buf->data[at] = bytes[random_below(state, sizeof(bytes))];
		break;
	case 1:
		memmove(buf->data + at, buf->data + at + run, buf->len - at - run);
		buf->len -= run;
		break;
	case 2:
		buf_reserve(buf, run);
		memmove(buf->data + at + run, buf->data + at, buf->len - at);
		buf->len += run;
		break;
	default:
		exchange(buf, at, state);
		break;
	}
}

/* Whoever owns what a pass includes can still buy it, and a pass converts into something exactly if it says so. */
static void
check_pass_promises(const struct season *season)
{
	for (uint32_t i = 0; i < season->pass_count; i++) {
		const struct pass *pass = &season->passes[i];

		CU_ASSERT_EQUAL(pass->free, pass->price.currency == NULL);
		CU_ASSERT_EQUAL(pass->auto_claim == AUTO_CLAIM_CONVERT, pass->convert_item != NULL);
		CU_ASSERT_EQUAL(pass->auto_claim == AUTO_CLAIM_CONVERT, pass->convert_quantity > 0);
		for (uint32_t k = 0; k < season->pass_count; k++) {
			const struct price *other = &season->passes[k].price;

			if (k != i && (pass->includes >> k & 1) && other->currency &&
			    strcmp(other->currency, pass->price.currency) == 0)
				CU_ASSERT_TRUE(pass->price.amount > other->amount);
		}
	}
}

/* What a season promises to those who ask it, whatever document it came from. */
static void
check_season(const struct season *season)
{
	CU_ASSERT_TRUE(season->tier_count >= 1 && season->tier_count <= SEASON_TIERS_MAX);
	CU_ASSERT_TRUE(season->tier_xp_total[season->tier_count] < XP_MAX);
	CU_ASSERT_TRUE(season_free_passes(season) != 0);
	CU_ASSERT_TRUE(season->times.starts_at_ms < season->times.purchase_closes_at_ms);
	CU_ASSERT_TRUE(season->times.purchase_closes_at_ms <= season->times.ends_at_ms);
	CU_ASSERT_TRUE(season->times.ends_at_ms <= season->times.claim_until_ms);
	CU_ASSERT_TRUE(season->name.count > 0);
	CU_ASSERT_EQUAL(season->tier_price.currency != NULL, season->tier_price.amount > 0);
	check_pass_promises(season);
	CU_ASSERT_EQUAL(season->tier_rewards[season->tier_count + 1], season->reward_count);
	for (uint32_t i = 0; i < season->reward_count; i++) {
		const struct reward *reward = &season->rewards[i];

		CU_ASSERT_TRUE(reward->tier >= 1 && reward->tier <= season->tier_count);
		CU_ASSERT_TRUE(reward->pass < season->pass_count);
		CU_ASSERT_TRUE(id_valid(reward->kind, strlen(reward->kind)));
		CU_ASSERT_EQUAL(season_find_reward(season, reward->id, strlen(reward->id)), (int)i);
	}
}

static void
test_random_mutations(void)
{
	struct buf sample;
	uint64_t state = seed;
	unsigned accepted = 0;

	read_source_file("examples/season.json", &sample);
	for (int i = 0; i < MUTATIONS; i++) {
		struct buf buf;

		buf_init(&buf);
		buf_str(&buf, buf_view(&sample));
		for (uint64_t changes = 1 + random_below(&state, 3); changes > 0; changes--)
			mutate(&buf, &state);
		struct season *season = parse(buf_view(&buf));

		if (season) {
			accepted++;
			check_season(season);
		}
		season_free(season);
		buf_release(&buf);
	}
	printf("# %u of %d mutations were seasons\n", accepted, MUTATIONS);
	buf_release(&sample);
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"the sample season", test_sample},
		{"every member is where it belongs", test_every_member},
		{"the other overflow policies", test_other_overflows},
		{"a season that sells no tiers", test_no_tier_price},
		{"the order of members does not matter", test_order_of_members},
		{"what is allowed", test_what_is_allowed},
		{"each fault, alone and with its pointer", test_each_fault},
		{"the manual has every code", test_manual_has_every_code},
		{"several faults at once", test_several_faults},
		{"the output is untouched on failure", test_untouched_on_failure},
		{"faults that were in the list before", test_list_with_faults},
		{"lists that are too long", test_too_many},
		{"too many languages", test_too_many_languages},
		{"the largest season", test_largest},
		{"more faults than fit", test_more_faults_than_fit},
		{"hostile texts", test_hostile_texts},
		{"wrong values everywhere", test_wrong_values_everywhere},
		{"random mutations of the sample", test_random_mutations},
		CU_TEST_INFO_NULL,
	};

	seed = tap_seed();
	arena_init(&arena);
	int status = tap_main("document/season_document", tests);

	arena_release(&arena);
	return status;
}
