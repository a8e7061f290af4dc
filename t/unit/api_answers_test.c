/*
 * Claims, purchases, what support does, deliveries and the audit: what a request becomes in the turn, and what is
 * answered from its result. The rules are not run: their results are put in by hand. The store is a few rows.
 */
#include "api/resources.h"

#include <stdio.h>
#include <stdlib.h>

#include "api/render.h"
#include "api/routes.h"
#include "tap.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
#define ID_A            "018bcfe5-687b-7abc-8def-0123456789ab"
#define ID_B            "018bcfe5-687b-7abc-8def-0123456789ac"

enum { NOW_MS = 50000, ROWS_MAX = 4 };

static const char season_text[] =
	"{'season':'s1','name':{'en':'One'},'starts_at':'1970-01-01T00:00:00Z',"
	"'purchase_closes_at':'1970-01-01T00:01:20Z','ends_at':'1970-01-01T00:01:30Z',"
	"'claim_until':'1970-01-01T00:01:40Z','tiers':[{'tier':1,'xp':100},{'tier':2,'xp':100}],"
	"'tier_price':{'currency':'gems','amount':150},"
	"'passes':[{'pass':'free','free':true},{'pass':'gold','price':{'currency':'gems','amount':950}},"
	"{'pass':'plus','price':{'currency':'gems','amount':2400},'includes':['gold']}],"
	"'rewards':[{'reward':'r1','tier':1,'pass':'free','kind':'item','item':'hat','quantity':1}]}";

static const struct directory_content seasons = {
	.version = 1,
	.count = 1,
	.seasons = {{"s1", 7, SEASON_PUBLISHED, {0, 80000, 90000, 100000, 0}, {0}}},
};

/* What is stored, and the last query. */
static struct {
	enum err err;         /* of every read */
	enum err history_err; /* of histories */
	struct purchase_row purchases[ROWS_MAX];
	size_t purchase_count;
	struct purchase_step steps[ROWS_MAX];
	size_t step_count;
	struct delivery_row delivery;
	struct claim_row claims[ROWS_MAX];
	size_t claim_count;
	struct audit_entry entry;
	struct season_standing standings[ROWS_MAX];
	size_t standing_count;
	uint64_t chain; /* entries that a head tells of; there are none */
	struct owned_pass passes[1];
	uint32_t pass_count;
	uint64_t xp;
	struct page_query page;
	struct entry_query entries;
	const char *state;
} stored;

static struct arena arena;
static struct directory directory;
static struct service service;
static struct turn turn;
static struct request request;
static struct response response;
static struct api api = {.service = &service};

static enum err
load(void *self, struct progress_row *const rows[], size_t count, struct arena *into)
{
	(void)self;
	(void)into;
	for (size_t i = 0; i < count; i++) {
		rows[i]->exists = true;
		rows[i]->xp = stored.xp;
		rows[i]->revision = 3;
		rows[i]->passes = stored.passes;
		rows[i]->pass_count = stored.pass_count;
	}
	return stored.err;
}

static enum err
season_document(void *self, const char *season, uint64_t revision, struct arena *into, struct str *ret_document)
{
	char *text = arena_copy(into, str_from(season_text));

	(void)self;
	(void)season;
	(void)revision;
	for (char *at = text; *at; at++)
		if (*at == '\'')
			*at = '"';
	*ret_document = str_from(text);
	return stored.err;
}

static enum err
read_claims(void *self, const struct page_query *query, struct arena *into, struct claim_row **ret_rows,
	    size_t *ret_count)
{
	(void)self;
	(void)into;
	stored.page = *query;
	*ret_rows = stored.claims;
	*ret_count = stored.claim_count < query->limit ? stored.claim_count : query->limit;
	return stored.err;
}

static enum err
read_purchases(void *self, const struct page_query *query, const char *state, struct arena *into,
	       struct purchase_row **ret_rows, size_t *ret_count)
{
	struct purchase_row *rows = ARENA_ARRAY(into, ROWS_MAX, struct purchase_row);

	(void)self;
	stored.page = *query;
	stored.state = state;
	*ret_rows = rows;
	*ret_count = 0;
	for (size_t i = 0; i < stored.purchase_count && *ret_count < query->limit; i++)
		if (!state || strcmp(purchase_state_name(stored.purchases[i].state), state) == 0)
			rows[(*ret_count)++] = stored.purchases[i];
	return stored.err;
}

static enum err
read_purchase(void *self, struct str player, const char *season, const struct uuid *id, struct arena *into,
	      struct purchase_row *ret_purchase)
{
	(void)self;
	(void)player;
	(void)season;
	(void)into;
	for (size_t i = 0; i < stored.purchase_count; i++) {
		if (memcmp(&stored.purchases[i].id, id, sizeof(*id)) != 0)
			continue;
		*ret_purchase = stored.purchases[i];
		return stored.err;
	}
	return ERR_PURCHASE_NOT_FOUND;
}

static enum err
read_history(void *self, struct str player, const struct purchase_row *purchases, size_t count, struct arena *into,
	     struct purchase_step **ret_steps, size_t *ret_count)
{
	(void)self;
	(void)player;
	(void)purchases;
	(void)count;
	(void)into;
	if (stored.history_err != ERR_OK)
		return stored.history_err;
	*ret_steps = stored.steps;
	*ret_count = stored.step_count;
	return ERR_OK;
}

static enum err
read_deliveries(void *self, const struct page_query *query, const char *state, struct arena *into,
		struct delivery_row **ret_rows, size_t *ret_count)
{
	(void)self;
	(void)into;
	stored.page = *query;
	stored.state = state;
	*ret_rows = &stored.delivery;
	*ret_count = stored.delivery.season != NULL;
	return stored.err;
}

static enum err
read_delivery(void *self, const struct uuid *id, struct arena *into, struct delivery_row *ret_delivery)
{
	(void)self;
	(void)into;
	if (memcmp(&stored.delivery.id, id, sizeof(*id)) != 0)
		return ERR_DELIVERY_NOT_FOUND;
	*ret_delivery = stored.delivery;
	return stored.err;
}

static enum err
read_entries(void *self, const struct entry_query *query, struct arena *into, struct audit_entry **ret_rows,
	     size_t *ret_count)
{
	(void)self;
	(void)into;
	stored.entries = *query;
	*ret_rows = &stored.entry;
	*ret_count = stored.entry.action != NULL;
	return stored.err;
}

static enum err
read_standings(void *self, struct str player, struct arena *into, struct season_standing **ret_rows, size_t *ret_count)
{
	(void)self;
	(void)player;
	(void)into;
	*ret_rows = stored.standings;
	*ret_count = stored.standing_count;
	return stored.err;
}

static enum err
read_chain(void *self, const char *player, const char *season, const struct chain_position *after, uint32_t limit,
	   struct arena *into, struct audit_entry **ret_rows, size_t *ret_count)
{
	(void)self;
	(void)player;
	(void)season;
	(void)after;
	(void)limit;
	(void)into;
	*ret_rows = NULL;
	*ret_count = 0;
	return stored.err;
}

static enum err
read_heads(void *self, const char *player, const char *season, const struct chain_position *after, uint32_t limit,
	   struct arena *into, struct chain_head **ret_heads, size_t *ret_count)
{
	struct chain_head *head = ARENA_NEW(into, struct chain_head);

	(void)self;
	(void)player;
	(void)season;
	(void)limit;
	*head = (struct chain_head){.player = "p-1", .season = "s1", .count = stored.chain};
	*ret_heads = head;
	*ret_count = stored.chain && strcmp(after->player, "p-1") < 0;
	return stored.err;
}

static struct cache_view
no_view(void *self)
{
	(void)self;
	return (struct cache_view){.trusted = false};
}

static const struct store_port store = {.load = load, .season_document = season_document};
static const struct cache_port cache = {.view = no_view};
static const struct records_port records = {
	.claims = read_claims,
	.purchases = read_purchases,
	.purchase = read_purchase,
	.history = read_history,
	.deliveries = read_deliveries,
	.delivery = read_delivery,
	.entries = read_entries,
	.standings = read_standings,
	.chain = read_chain,
	.chain_heads = read_heads,
};

static struct uuid
uuid_of(const char *text)
{
	struct uuid id;

	CU_ASSERT_TRUE_FATAL(uuid_parse(str_from(text), &id));
	return id;
}

static void
start(void)
{
	static const struct service_rooms rooms = {
		.store = &store,
		.records = &records,
		.cache = &cache,
		.codec = &render_codec,
		.directory = &directory,
	};
	static const struct service_limits limits = {.transaction_writes = 100, .answer_within_ms = 900, .sells = true};

	memset(&stored, 0, sizeof(stored));
	directory_publish(&directory, &seasons);
	service_release(&service);
	service_init(&service, &rooms, &limits);
}

/* What comes before decode: route, player, season and id, which are all good here. The body has single quotes. */
static struct call *
call_as(enum role role, const char *method, const char *target, const char *body)
{
	struct call *call = ARENA_NEW(&arena, struct call);
	struct str text = arena_str(&arena, str_from(body));
	struct route_match match;
	struct str allow;

	turn_begin(&turn, &service, &arena, NOW_MS);
	for (size_t i = 0; i < text.len; i++)
		if (text.ptr[i] == '\'')
			((char *)(uintptr_t)text.ptr)[i] = '"';
	request = (struct request){
		.method_text = str_from(method),
		.target = str_from(target),
		.content_type = STR("application/json"),
		.idempotency_key = STR("k-1"),
		.request_id = STR("req-1"),
		.traceparent = STR("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
		.body = text,
	};
	response_clear(&response);
	CU_ASSERT_TRUE_FATAL(request_parse_target(&request, &arena));
	CU_ASSERT_EQUAL_FATAL(route_find(&request, &arena, &match, &allow), ERR_OK);
	*call = (struct call){.api = &api, .turn = &turn, .arena = &arena, .request = &request, .response = &response};
	call->route = match.route;
	call->who.role = role;
	strcpy(call->who.subject, role == ROLE_PLAYER ? "p-1" : "agent");
	call->player = match.player;
	faults_init(&call->faults, &arena);
	if (match.season.ptr)
		CU_ASSERT_EQUAL_FATAL(turn_season(&turn, match.season, &call->season), ERR_OK);
	if (match.id.ptr)
		call->id = uuid_of(arena_copy(&arena, match.id));
	call->err = match.route->decode ? match.route->decode(call) : ERR_OK;
	json_free(call->body);
	return call;
}

/* The body of the answer; the error's code if there is none. */
static const char *
encoded(struct call *call)
{
	enum err err = call->err == ERR_OK ? call->route->encode(call) : call->err;

	return err == ERR_OK ? arena_copy(&arena, response.body) : err_code(err);
}

static void
expect(struct call *call, const char *expected)
{
	const char *body = encoded(call);

	if (strcmp(body, expected) != 0)
		printf("# got  %s\n# want %s\n", body, expected);
	CU_ASSERT_STRING_EQUAL(body, expected);
}

static const char *
get(const char *target)
{
	return encoded(call_as(ROLE_ADMIN, "GET", target, ""));
}

static bool
has_header(const char *line)
{
	return strstr(buf_text(&response.headers), line) != NULL;
}

static bool
has(const char *text, const char *part)
{
	if (!strstr(text, part))
		printf("# %s is not in %s\n", part, text);
	return strstr(text, part) != NULL;
}

#define CARE "/v1/admin/seasons/s1/players/p-1"
#define MINE "/v1/seasons/s1/players/p-1"

static void
test_operations_asked(void)
{
	static const struct {
		enum role role;
		const char *target;
		const char *body;
		enum write_kind kind;
	} cases[] = {
		{ROLE_PLAYER, MINE "/claims", "{'all':true}", WRITE_CLAIM},
		{ROLE_SUPPORT, MINE "/claims", "{'rewards':['r1','r2']}", WRITE_CLAIM},
		{ROLE_SUPPORT, MINE "/claims", "{'rewards':['r2','r1']}", WRITE_CLAIM},
		{ROLE_PLAYER, MINE "/purchases", "{'pass':'gold'}", WRITE_PURCHASE},
		{ROLE_PLAYER, MINE "/purchases", "{'tiers':5}", WRITE_PURCHASE},
		{ROLE_SUPPORT, CARE "/xp-corrections", "{'amount':-5,'reason':'x'}", WRITE_XP_CORRECTION},
		{ROLE_SUPPORT, CARE "/xp-corrections", "{'amount':-5,'reason':'y'}", WRITE_XP_CORRECTION},
		{ROLE_SUPPORT, CARE "/xp-corrections", "{'amount':-5,'reason':'x','validate_only':true}",
		 WRITE_XP_CORRECTION},
		{ROLE_SUPPORT, CARE "/tier-grants", "{'tiers':5,'reason':'x'}", WRITE_TIER_GRANT},
		{ROLE_SUPPORT, CARE "/pass-grants", "{'pass':'gold','reason':'x'}", WRITE_PASS_GRANT},
		{ROLE_SUPPORT, CARE "/pass-revocations", "{'pass':'gold','reason':'x'}", WRITE_PASS_REVOCATION},
		{ROLE_SUPPORT, CARE "/reset", "{'claims':'keep','reason':'x'}", WRITE_RESET},
		{ROLE_SUPPORT, CARE "/reset", "{'claims':'forget','reason':'x'}", WRITE_RESET},
		{ROLE_SUPPORT, CARE "/reset/" ID_A "/undo", "{'reason':'x'}", WRITE_RESET_UNDO},
		{ROLE_SUPPORT, CARE "/reset/" ID_B "/undo", "{'reason':'x'}", WRITE_RESET_UNDO},
		{ROLE_SUPPORT, CARE "/purchases/" ID_A "/refund", "{'reason':'x'}", WRITE_REFUND},
	};
	unsigned char hashes[COUNT_OF(cases)][16];

	start();
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct call *call = call_as(cases[i].role, "POST", cases[i].target, cases[i].body);
		struct operation *operation = call->operation;

		CU_ASSERT_EQUAL_FATAL(call->err, ERR_OK);
		CU_ASSERT_PTR_EQUAL_FATAL(turn.writes, &operation->write);
		CU_ASSERT_EQUAL(operation->write.kind, cases[i].kind);
		CU_ASSERT(str_equal(operation->write.player, STR("p-1")) && operation->write.season == call->season);
		CU_ASSERT(str_equal(operation->write.idempotency_key, STR("k-1")));
		CU_ASSERT(str_equal(operation->author.actor, cases[i].role == ROLE_PLAYER ? STR("p-1") : STR("agent")));
		CU_ASSERT_STRING_EQUAL(operation->author.role, role_name(cases[i].role));
		CU_ASSERT(str_equal(operation->author.request_id, STR("req-1")));
		CU_ASSERT_EQUAL(operation->author.reason.len, strstr(cases[i].body, "reason") ? 1 : 0);
		CU_ASSERT_EQUAL(operation->validate_only, strstr(cases[i].body, "validate_only") != NULL);
		CU_ASSERT(str_equal(operation->traceparent, request.traceparent));
		CU_ASSERT_EQUAL(memcmp(&operation->subject, &call->id, sizeof(call->id)), 0);
		/* The hash is of what is asked, not of who asks. */
		memcpy(hashes[i], operation->write.request_hash, 16);
		call = call_as(ROLE_ADMIN, "POST", cases[i].target, cases[i].body);
		CU_ASSERT_EQUAL(memcmp(hashes[i], call->operation->write.request_hash, 16), 0);
		for (size_t k = 0; k < i; k++)
			CU_ASSERT_NOT_EQUAL(memcmp(hashes[i], hashes[k], 16), 0);
	}
}

static void
test_operations_members(void)
{
	start();
	const struct operation *operation =
		call_as(ROLE_PLAYER, "POST", MINE "/claims", "{'rewards':['r1','x.2']}")->operation;

	CU_ASSERT_FATAL(operation->reward_count == 2 && operation->rewards);
	CU_ASSERT(str_equal(operation->rewards[1], STR("x.2")));
	operation = call_as(ROLE_PLAYER, "POST", MINE "/claims", "{'all':true}")->operation;
	CU_ASSERT(operation->reward_count == 0 && !operation->rewards);
	operation = call_as(ROLE_PLAYER, "POST", MINE "/purchases", "{'tiers':1000}")->operation;
	CU_ASSERT(operation->tiers == 1000 && operation->pass.len == 0);
	operation = call_as(ROLE_PLAYER, "POST", MINE "/purchases", "{'pass':'gold'}")->operation;
	CU_ASSERT(operation->tiers == 0 && str_equal(operation->pass, STR("gold")));
	operation = call_as(ROLE_SUPPORT, "POST", CARE "/xp-corrections", "{'amount':-7,'reason':'x'}")->operation;
	CU_ASSERT_EQUAL(operation->amount, -7);
	operation = call_as(ROLE_SUPPORT, "POST", CARE "/reset", "{'claims':'forget','reason':'x'}")->operation;
	CU_ASSERT_TRUE(operation->forget);
	operation = call_as(ROLE_SUPPORT, "POST", CARE "/reset", "{'claims':'keep','reason':'x'}")->operation;
	CU_ASSERT_FALSE(operation->forget);
}

static void
test_operations_refused(void)
{
	static const struct {
		const char *target;
		const char *body;
		const char *pointer;
	} cases[] = {
		{MINE "/claims", "{}", ""},
		{MINE "/claims", "{'all':true,'rewards':['r1']}", ""},
		{MINE "/claims", "{'all':false}", "/all"},
		{MINE "/claims", "{'rewards':[]}", "/rewards"},
		{MINE "/claims", "{'rewards':['r1',5]}", "/rewards/1"},
		{MINE "/purchases", "{}", ""},
		{MINE "/purchases", "{'pass':'gold','tiers':1}", ""},
		{MINE "/purchases", "{'tiers':0}", "/tiers"},
		{MINE "/purchases", "{'tiers':1001}", "/tiers"},
		{MINE "/purchases", "{'pass':''}", "/pass"},
		{CARE "/xp-corrections", "{'amount':1000000001,'reason':'x'}", "/amount"},
		{CARE "/xp-corrections", "{'amount':-1000000001,'reason':'x'}", "/amount"},
		{CARE "/xp-corrections", "{'amount':5}", "/reason"},
		{CARE "/xp-corrections", "{'amount':5,'reason':'x','validate_only':1}", "/validate_only"},
		{CARE "/tier-grants", "{'tiers':0,'reason':'x'}", "/tiers"},
		{CARE "/pass-grants", "{'reason':'x'}", "/pass"},
		{CARE "/reset", "{'claims':'burn','reason':'x'}", "/claims"},
		{CARE "/reset", "{'reason':'x'}", "/claims"},
		{CARE "/reset/" ID_A "/undo", "{}", "/reason"},
	};

	start();
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct call *call = call_as(ROLE_SUPPORT, "POST", cases[i].target, cases[i].body);

		CU_ASSERT_EQUAL(call->err, ERR_INVALID_FIELD);
		CU_ASSERT_EQUAL_FATAL(call->faults.count, 1);
		CU_ASSERT_STRING_EQUAL(call->faults.items[0].pointer, cases[i].pointer);
		CU_ASSERT(!call->operation && !turn.writes);
	}
	CU_ASSERT_EQUAL(call_as(ROLE_PLAYER, "POST", MINE "/claims", "{'all':true,'x':1}")->err, ERR_UNKNOWN_FIELD);
}

static void
test_claim_answer(void)
{
	start();
	struct call *call = call_as(ROLE_PLAYER, "POST", MINE "/claims", "{'all':true}");

	call->operation->entry.result = STR("\"revision\":\"4\",\"results\":[]");
	expect(call, "{\"player\":\"p-1\",\"season\":\"s1\",\"revision\":\"4\",\"results\":[]}");
	CU_ASSERT(response.status == 200 && !has_header("Idempotent-Replayed"));
	call->operation->write.replayed = true;
	CU_ASSERT(has(encoded(call), "\"revision\":\"4\""));
	CU_ASSERT(has_header("Idempotent-Replayed: true\r\n"));
	response_clear(&response);
	call->operation->write.err = ERR_IDEMPOTENCY_KEY_REUSED;
	expect(call, "idempotency_key_reused");
	CU_ASSERT_FALSE(has_header("Idempotent-Replayed"));
}

static void
test_claims_list(void)
{
	start();
	stored.claim_count = 2;
	for (size_t i = 0; i < 2; i++)
		stored.claims[i] = (struct claim_row){
			.player = STR("p-1"),
			.season = "s1",
			.tier = 1,
			.pass = STR("free"),
			.reward = i ? STR("r2") : STR("r1"),
			.claimed_at_ms = 5,
			.delivery = uuid_of(i ? ID_B : ID_A),
			.delivery_state = i ? DELIVERY_FAILED : DELIVERY_PENDING,
		};
#define CLAIM_1                                                                                                        \
	"{\"reward\":\"r1\",\"tier\":1,\"pass\":\"free\",\"claimed_at\":\"1970-01-01T00:00:00.005Z\","                 \
	"\"delivery\":\"pending\",\"delivery_id\":\"" ID_A "\"}"
#define CLAIM_2                                                                                                        \
	"{\"reward\":\"r2\",\"tier\":1,\"pass\":\"free\",\"claimed_at\":\"1970-01-01T00:00:00.005Z\","                 \
	"\"delivery\":\"failed\",\"delivery_id\":\"" ID_B "\"}"
	CU_ASSERT_STRING_EQUAL(get(MINE "/claims"), "{\"items\":[" CLAIM_1 "," CLAIM_2 "]}");
	CU_ASSERT(stored.page.from_newest && stored.page.limit == 51);
	CU_ASSERT(str_equal(stored.page.player, STR("p-1")) && strcmp(stored.page.season, "s1") == 0);
	CU_ASSERT_FALSE(has_header("Link"));
	CU_ASSERT_STRING_EQUAL(get(MINE "/claims?page_size=1"), "{\"items\":[" CLAIM_1 "],\"next\":\"" ID_A "\"}");
	CU_ASSERT(has_header("Link: <" MINE "/claims?page_size=1&cursor=" ID_A ">; rel=\"next\""));
	CU_ASSERT(has(get(MINE "/claims?page_size=2&cursor=" ID_B), "\"items\""));
	CU_ASSERT(!stored.page.from_newest && stored.page.before.bytes[15] == 0xac && stored.page.limit == 3);
	CU_ASSERT_STRING_EQUAL(get(MINE "/claims?cursor=zz"), "invalid_field");
	stored.claim_count = 0;
	CU_ASSERT_STRING_EQUAL(get(MINE "/claims"), "{\"items\":[]}");
	stored.err = ERR_STORE_UNAVAILABLE;
	CU_ASSERT_STRING_EQUAL(get(MINE "/claims"), "store_unavailable");
}

static struct purchase_row
a_purchase(enum purchase_state state)
{
	return (struct purchase_row){
		.id = uuid_of(ID_A),
		.player = STR("p-1"),
		.season = "s1",
		.pass = STR("gold"),
		.live = true,
		.currency = STR("gems"),
		.amount = 950,
		.state = state,
		.created_at_ms = 1,
		.updated_at_ms = 2,
	};
}

#define PURCHASE(state)                                                                                                \
	"\"purchase\":\"" ID_A "\",\"player\":\"p-1\",\"season\":\"s1\",\"pass\":\"gold\",\"price\":{"                 \
	"\"currency\":\"gems\",\"amount\":950},\"state\":\"" state "\","                                               \
	"\"created_at\":\"1970-01-01T00:00:00.001Z\",\"updated_at\":\"1970-01-01T00:00:00.002Z\""
#define HISTORY ",\"history\":[{\"state\":\"debiting\",\"at\":\"1970-01-01T00:00:00.003Z\"}]"

/* A step of this purchase between those of another. */
static void
store_steps(void)
{
	for (size_t i = 0; i < 3; i++)
		stored.steps[i] =
			(struct purchase_step){uuid_of(i == 1 ? ID_A : ID_B), PURCHASE_DEBITING, (int64_t)(2 + i)};
	stored.step_count = 3;
}

static void
test_purchase_answers(void)
{
	static const struct {
		enum purchase_state state;
		int status; /* 402: refused */
		bool located;
	} cases[] = {
		{PURCHASE_GRANTED, 201, false},   {PURCHASE_DEBITING, 202, true},   {PURCHASE_DECLINED, 402, false},
		{PURCHASE_CANCELLING, 202, true}, {PURCHASE_CANCELLED, 200, false}, {PURCHASE_REFUNDING, 202, true},
		{PURCHASE_REFUNDED, 200, false},  {PURCHASE_STUCK, 202, true},      {PURCHASE_CLOSED, 200, false},
	};

	CU_ASSERT_EQUAL(COUNT_OF(cases), PURCHASE_STATE_COUNT);
	start();
	store_steps();
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct call *call = call_as(ROLE_PLAYER, "POST", MINE "/purchases", "{'pass':'gold'}");

		call->operation->purchase = a_purchase(cases[i].state);
		call->operation->write.replayed = true;
		const char *body = encoded(call);

		CU_ASSERT_EQUAL(response.status, cases[i].status == 402 ? 0 : cases[i].status);
		CU_ASSERT_EQUAL(strcmp(body, "payment_declined") == 0, cases[i].status == 402);
		CU_ASSERT(cases[i].status == 402 || has(body, purchase_state_name(cases[i].state)));
		CU_ASSERT_EQUAL(has_header("Location: " MINE "/purchases/" ID_A "\r\n"), cases[i].located);
		CU_ASSERT(has_header("Idempotent-Replayed: true\r\n"));
	}
	struct call *call = call_as(ROLE_PLAYER, "POST", MINE "/purchases", "{'pass':'gold'}");

	call->operation->purchase = a_purchase(PURCHASE_GRANTED);
	expect(call, "{" PURCHASE("granted") HISTORY "}");
	/* What is done is told even if its history cannot be read. */
	stored.history_err = ERR_STORE_UNAVAILABLE;
	expect(call, "{" PURCHASE("granted") "}");
	CU_ASSERT(has_header("Location") == false && response.status == 201);
}

static void
test_purchase_refusals(void)
{
	static const struct {
		const char *body;
		enum err err;
		const char *pointer; /* NULL: the error itself */
	} cases[] = {
		{"{'pass':'none'}", ERR_INVALID_FIELD, "/pass"},     {"{'tiers':5}", ERR_INVALID_FIELD, "/tiers"},
		{"{'pass':'free'}", ERR_ALREADY_OWNED, "/pass"},     {"{'pass':'gold'}", ERR_ALREADY_OWNED, NULL},
		{"{'pass':'gold'}", ERR_PURCHASE_IN_PROGRESS, NULL}, {"{'tiers':5}", ERR_TOO_MANY_TIERS, NULL},
	};

	start();
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct call *call = call_as(ROLE_PLAYER, "POST", MINE "/purchases", cases[i].body);

		call->operation->write.err = cases[i].err;
		expect(call, cases[i].pointer ? "invalid_field" : err_code(cases[i].err));
		CU_ASSERT_EQUAL(call->faults.count, cases[i].pointer ? 1 : 0);
		CU_ASSERT(!cases[i].pointer || strcmp(call->faults.items[0].pointer, cases[i].pointer) == 0);
		CU_ASSERT_FALSE(has_header("Retry-After"));
	}
	struct call *call = call_as(ROLE_PLAYER, "POST", MINE "/purchases", "{'tiers':5}");

	call->operation->write.err = ERR_IDEMPOTENCY_IN_FLIGHT;
	call->operation->write.replayed = true;
	expect(call, "idempotency_in_flight");
	CU_ASSERT(has_header("Retry-After: 1\r\n") && !has_header("Idempotent-Replayed"));
}

static void
test_purchases_read(void)
{
	start();
	store_steps();
	stored.purchases[0] = a_purchase(PURCHASE_STUCK);
	stored.purchase_count = 1;
	CU_ASSERT_STRING_EQUAL(get(MINE "/purchases"), "{\"items\":[{" PURCHASE("stuck") HISTORY "}]}");
	CU_ASSERT_STRING_EQUAL(get(MINE "/purchases/" ID_A), "{" PURCHASE("stuck") HISTORY "}");
	CU_ASSERT_STRING_EQUAL(get(MINE "/purchases/" ID_B), "purchase_not_found");
	CU_ASSERT_STRING_EQUAL(get("/v1/admin/purchases?state=stuck"), "{\"items\":[{" PURCHASE("stuck") "}]}");
	CU_ASSERT(strcmp(stored.state, "stuck") == 0 && stored.page.player.len == 0 && !stored.page.season);
	CU_ASSERT_STRING_EQUAL(get("/v1/admin/purchases?state=odd"), "invalid_field");
	CU_ASSERT(has(get("/v1/admin/purchases"), ID_A) && !stored.state);
	stored.history_err = ERR_STORE_UNAVAILABLE;
	CU_ASSERT_STRING_EQUAL(get(MINE "/purchases"), "store_unavailable");
	stored.purchases[0].pass = STR_NONE;
	stored.purchases[0].tiers = 5;
	CU_ASSERT(has(get("/v1/admin/purchases"), "\"season\":\"s1\",\"tiers\":5,\"price\""));
}

static void
test_refund_answers(void)
{
	start();
	struct call *call = call_as(ROLE_SUPPORT, "POST", CARE "/purchases/" ID_A "/refund", "{'reason':'x'}");

	call->operation->purchase = a_purchase(PURCHASE_REFUNDED);
	expect(call, "{" PURCHASE("refunded") ",\"history\":[]}");
	CU_ASSERT_EQUAL(response.status, 200);
	call->operation->purchase.state = PURCHASE_REFUNDING;
	CU_ASSERT(has(encoded(call), "refunding") && response.status == 202);
	CU_ASSERT(has_header("Location: " MINE "/purchases/" ID_A "\r\n"));
	response_clear(&response);
	call->operation->validate_only = true;
	CU_ASSERT(has(encoded(call), ",\"validate_only\":true}") && response.status == 200);
	CU_ASSERT_FALSE(has_header("Location"));
	call->operation->write.err = ERR_PASS_UPGRADED;
	expect(call, "pass_upgraded");
}

#define GEMS(amount) "\"price\":{\"currency\":\"gems\",\"amount\":" amount "}"
#define YES          ",\"available\":true"
#define NO(reason)   ",\"available\":false,\"reason\":\"" reason "\""

static void
expect_options(const char *gold, const char *plus, const char *tiers)
{
	struct str body = arena_format(
		&arena,
		"{\"player\":\"p-1\",\"season\":\"s1\",\"passes\":[{\"pass\":\"gold\",%s},{\"pass\":\"plus\",%s}],"
		"\"tiers\":{%s}}",
		gold, plus, tiers);

	expect(call_as(ROLE_ADMIN, "GET", MINE "/purchase-options", ""), body.ptr);
}

static void
test_options(void)
{
	start();
	expect_options(GEMS("950") YES, GEMS("2400") YES, GEMS("150") YES ",\"max_tiers\":2");
	stored.passes[0] = (struct owned_pass){STR("gold"), 1, true};
	stored.pass_count = 1;
	stored.xp = 250;
	expect_options(GEMS("950") NO("already_owned"), GEMS("1450") YES,
		       GEMS("150") NO("too_many_tiers") ",\"max_tiers\":0");
	/* One that was taken back can be bought again. */
	stored.passes[0].active = false;
	stored.xp = 100;
	expect_options(GEMS("950") YES, GEMS("2400") YES, GEMS("150") YES ",\"max_tiers\":1");
	for (int state = 0; state < PURCHASE_STATE_COUNT; state++) {
		bool open = state == PURCHASE_DEBITING || state == PURCHASE_CANCELLING || state == PURCHASE_STUCK;

		stored.purchases[0] = a_purchase((enum purchase_state)state);
		stored.purchase_count = 1;
		/* What includes the pass has to wait, too: its price hangs on it. */
		expect_options(open ? GEMS("950") NO("purchase_in_progress") : GEMS("950") YES,
			       open ? GEMS("2400") NO("purchase_in_progress") : GEMS("2400") YES,
			       GEMS("150") YES ",\"max_tiers\":1");
		stored.purchases[0].pass = STR_NONE;
		expect_options(GEMS("950") YES, GEMS("2400") YES,
			       open ? GEMS("150") NO("purchase_in_progress") ",\"max_tiers\":1"
				    : GEMS("150") YES ",\"max_tiers\":1");
	}
	/* One that holds no pass any more keeps nobody from buying. */
	stored.purchases[0] = a_purchase(PURCHASE_STUCK);
	stored.purchases[0].live = false;
	expect_options(GEMS("950") YES, GEMS("2400") YES, GEMS("150") YES ",\"max_tiers\":1");
	service.limits.sells = false;
	expect_options(GEMS("950") NO("not_for_sale"), GEMS("2400") NO("not_for_sale"),
		       GEMS("150") NO("not_for_sale") ",\"max_tiers\":1");
	stored.err = ERR_STORE_UNAVAILABLE;
	CU_ASSERT_STRING_EQUAL(get(MINE "/purchase-options"), "store_unavailable");
}

static struct call *
operate(const char *path, const char *body)
{
	struct call *call = call_as(ROLE_SUPPORT, "POST", path, body);
	struct audit_entry *entry = &call->operation->entry;

	entry->id = uuid_of(ID_A);
	entry->action = "reset";
	entry->author = (struct author){STR("first"), "admin", STR("why"), STR("req-0")};
	entry->before = STR("{\"revision\":\"18\"}");
	entry->after = STR("{\"revision\":\"19\"}");
	entry->result = STR("\"reset\":\"" ID_A "\",\"claims\":\"keep\"");
	entry->entered_at_ms = 5;
	return call;
}

#define OPERATION                                                                                                      \
	"\"action\":\"reset\",\"player\":\"p-1\",\"season\":\"s1\",\"revision\":\"19\","                               \
	"\"before\":{\"revision\":\"18\"},\"after\":{\"revision\":\"19\"}"
/* Of the entry, not of who repeats it. */
#define AUTHOR "\"actor\":\"first\",\"role\":\"admin\",\"reason\":\"why\",\"at\":\"1970-01-01T00:00:00.005Z\""

static void
test_operation_answers(void)
{
	static const struct {
		const char *path;
		const char *body;
		const char *pointer;
	} wrong[] = {
		{CARE "/xp-corrections", "{'amount':0,'reason':'x'}", "/amount"},
		{CARE "/tier-grants", "{'tiers':5,'reason':'x'}", "/tiers"},
		{CARE "/pass-grants", "{'pass':'x','reason':'x'}", "/pass"},
		{CARE "/pass-revocations", "{'pass':'x','reason':'x'}", "/pass"},
		{CARE "/reset/" ID_A "/undo", "{'reason':'x'}", ""},
	};

	start();
	struct call *call = operate(CARE "/reset", "{'claims':'keep','reason':'x'}");

	expect(call,
	       "{\"operation\":\"" ID_A "\"," OPERATION ",\"reset\":\"" ID_A "\",\"claims\":\"keep\"," AUTHOR "}");
	CU_ASSERT_EQUAL(response.status, 200);
	call->operation->validate_only = true;
	expect(call, "{\"validate_only\":true," OPERATION "," AUTHOR "}");
	for (size_t i = 0; i < COUNT_OF(wrong); i++) {
		call = operate(wrong[i].path, wrong[i].body);
		call->operation->write.err = ERR_INVALID_FIELD;
		expect(call, "invalid_field");
		CU_ASSERT_STRING_EQUAL_FATAL(call->faults.items[0].pointer, wrong[i].pointer);
		call->operation->write.err = ERR_ALREADY_UNDONE;
		expect(call, "already_undone");
	}
}

#define DELIVERY(state, tries, at)                                                                                     \
	"\"delivery\":\"" ID_A "\",\"player\":\"p-1\",\"season\":\"s1\",\"reward\":\"r1\",\"kind\":\"item\","          \
	"\"item\":\"hat\",\"quantity\":2,\"state\":\"" state "\",\"tries\":" tries ",\"last_error\":\"no\","           \
	"\"created_at\":\"1970-01-01T00:00:00.001Z\",\"updated_at\":\"1970-01-01T00:00:00." at "Z\""

static void
test_deliveries(void)
{
	start();
	stored.delivery = (struct delivery_row){
		.id = uuid_of(ID_A),
		.player = STR("p-1"),
		.season = "s1",
		.reward = STR("r1"),
		.kind = STR("item"),
		.item = STR("hat"),
		.quantity = 2,
		.state = DELIVERY_FAILED,
		.tries = 9,
		.last_error = STR("no"),
		.created_at_ms = 1,
		.updated_at_ms = 2,
	};
	CU_ASSERT_STRING_EQUAL(get("/v1/admin/deliveries?state=failed"),
			       "{\"items\":[{" DELIVERY("failed", "9", "002") "}]}");
	CU_ASSERT(strcmp(stored.state, "failed") == 0 && stored.page.player.len == 0);
	CU_ASSERT_STRING_EQUAL(get("/v1/admin/deliveries?state=odd"), "invalid_field");
	struct call *call = call_as(ROLE_SUPPORT, "POST", "/v1/admin/deliveries/" ID_A "/retry", "{'reason':'again'}");

	CU_ASSERT_PTR_NOT_NULL_FATAL(call->operation);
	CU_ASSERT_EQUAL(call->operation->delivery_state, DELIVERY_FAILED);
	CU_ASSERT(str_equal(call->operation->write.player, STR("p-1")));
	CU_ASSERT_STRING_EQUAL(call->operation->write.season->id, "s1");
	CU_ASSERT_EQUAL(memcmp(&call->operation->subject, &stored.delivery.id, sizeof(struct uuid)), 0);
	call->operation->write.replayed = true;
	expect(call, "{" DELIVERY("failed", "9", "002") "}");
	call->operation->write.replayed = false;
	call->operation->entry.entered_at_ms = 7;
	expect(call, "{" DELIVERY("pending", "0", "007") "}");
	call->operation->validate_only = true;
	expect(call, "{" DELIVERY("pending", "0", "007") ",\"validate_only\":true}");
	call->operation->write.err = ERR_DELIVERY_NOT_FAILED;
	expect(call, "delivery_not_failed");
	expect(call_as(ROLE_SUPPORT, "POST", "/v1/admin/deliveries/" ID_B "/retry", "{'reason':'again'}"),
	       "delivery_not_found");
	CU_ASSERT_PTR_NULL(turn.writes);
	stored.delivery.reward = STR_NONE;
	stored.delivery.last_error = STR_NONE;
	CU_ASSERT(has(get("/v1/admin/deliveries"), "\"reward\":null") && !stored.state);
}

static void
test_audit(void)
{
	start();
	stored.entry = (struct audit_entry){
		.player = STR("p-1"),
		.season = "s1",
		.sequence = 3,
		.id = uuid_of(ID_A),
		.action = "reset",
		.author = {STR("agent"), "support", STR("\"why\""), STR("req-1")},
		.subject = STR(ID_B),
		.revision = 19,
		.before = STR("{\"xp\":1}"),
		.after = STR("{\"xp\":0}"),
		.result = STR("\"claims\":\"forget\""),
		.entered_at_ms = 5,
	};
	const char *body = get("/v1/admin/audit?player=p-1&season=s1&actor=agent&action=reset&"
			       "from=1970-01-01T00:00:01Z&to=1970-01-01T00:00:02Z&page_size=7");

	CU_ASSERT(has(body,
		      "{\"items\":[{\"entry\":\"" ID_A "\",\"sequence\":\"3\",\"player\":\"p-1\",\"season\":\"s1\","
		      "\"action\":\"reset\",\"actor\":\"agent\",\"role\":\"support\",\"reason\":\"\\\"why\\\"\","
		      "\"request_id\":\"req-1\",\"subject\":\"" ID_B "\",\"revision\":\"19\","
		      "\"before\":{\"xp\":1},\"after\":{\"xp\":0},\"result\":{\"claims\":\"forget\"},"
		      "\"at\":\"1970-01-01T00:00:00.005Z\",\"hash\":\"00000000"));
	CU_ASSERT(str_equal(stored.entries.page.player, STR("p-1")) && stored.entries.page.limit == 8);
	CU_ASSERT_STRING_EQUAL(stored.entries.page.season, "s1");
	CU_ASSERT(str_equal(stored.entries.actor, STR("agent")) && str_equal(stored.entries.action, STR("reset")));
	CU_ASSERT(stored.entries.from_ms == 1000 && stored.entries.to_ms == 2000 && stored.entries.page.from_newest);
	stored.entry.revision = 0;
	stored.entry.subject = STR_NONE;
	CU_ASSERT(has(get("/v1/admin/audit"), "\"subject\":null,\"revision\":null"));
	CU_ASSERT(stored.entries.page.player.len == 0 && !stored.entries.page.season && stored.entries.actor.len == 0);
	CU_ASSERT(stored.entries.from_ms == 0 && stored.entries.to_ms == INT64_MAX);
	static const char *const bad[] = {
		"from=yesterday", "to=", "player=a%20b", "season=", "action=odd", "cursor=zz", "actor=", "actor=%ff"};

	for (size_t i = 0; i < COUNT_OF(bad); i++)
		CU_ASSERT_STRING_EQUAL(get(arena_format(&arena, "/v1/admin/audit?%s", bad[i]).ptr), "invalid_field");
}

static void
test_verify(void)
{
	static const char *const bad[] = {"zz", "p~s", "p~s~", "p~s~x", "p~s~1~2", "a%20b~s~1", "p~~1", "~s~1"};

	start();
	CU_ASSERT_STRING_EQUAL(get("/v1/admin/audit:verify"), "{\"good\":true,\"checked\":0}");
	CU_ASSERT_STRING_EQUAL(get("/v1/admin/audit:verify?player=p-1&cursor=p-0~s1~12"),
			       "{\"good\":true,\"checked\":0}");
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		CU_ASSERT_STRING_EQUAL(get(arena_format(&arena, "/v1/admin/audit:verify?cursor=%s", bad[i]).ptr),
				       "invalid_field");
	/* A head tells of two entries that are not there. */
	stored.chain = 2;
	const char *body = get("/v1/admin/audit:verify?player=p-1");

	CU_ASSERT(has(body, "{\"good\":false,\"checked\":0,\"broken\":{\"player\":\"p-1\",\"season\":\"s1\","
			    "\"sequence\":\""));
	CU_ASSERT(has(body, "\"detail\":\"") && !strstr(body, "next"));
	stored.err = ERR_STORE_UNAVAILABLE;
	CU_ASSERT_STRING_EQUAL(get("/v1/admin/audit:verify"), "store_unavailable");
}

static void
test_players(void)
{
	start();
	CU_ASSERT_STRING_EQUAL(get("/v1/players/p-1/seasons"), "{\"items\":[]}");
	CU_ASSERT_STRING_EQUAL(get("/v1/admin/players/p-1"),
			       "{\"player\":\"p-1\",\"seasons\":[],\"purchases\":[],\"claims\":[],\"deliveries\":[],"
			       "\"audit\":[]}");
	stored.standings[0] = (struct season_standing){STR("old"), 5, 2, 6};
	stored.standings[1] = (struct season_standing){STR("s1"), 0, 0, 0};
	stored.standing_count = 2;
#define OLD "{\"season\":\"old\",\"revision\":\"2\",\"xp\":5,\"updated_at\":\"1970-01-01T00:00:00.006Z\"}"
#define NEW "{\"season\":\"s1\",\"revision\":\"0\",\"xp\":0,\"updated_at\":null}"
	CU_ASSERT_STRING_EQUAL(get("/v1/players/p-1/seasons"), "{\"items\":[" OLD "," NEW "]}");
	CU_ASSERT_STRING_EQUAL(get("/v1/players/p-1/seasons?page_size=1"), "{\"items\":[" OLD "],\"next\":\"old\"}");
	CU_ASSERT_STRING_EQUAL(get("/v1/players/p-1/seasons?page_size=1&cursor=old"), "{\"items\":[" NEW "]}");
	CU_ASSERT_STRING_EQUAL(get("/v1/players/p-1/seasons?cursor=zz"), "{\"items\":[]}");
	CU_ASSERT_STRING_EQUAL(get("/v1/players/p-1/seasons?cursor=a%20b"), "invalid_field");
	stored.purchases[0] = a_purchase(PURCHASE_GRANTED);
	stored.purchase_count = 1;
	store_steps();
	stored.claims[0] = (struct claim_row){.player = STR("p-1"), .season = "s1", .reward = STR("r1")};
	stored.claim_count = 1;
	const char *body = get("/v1/admin/players/p-1");

	/* A season that is not in the directory has its standing only. */
	CU_ASSERT(has(body, "\"seasons\":[" OLD ",{\"player\":\"p-1\",\"season\":\"s1\",\"revision\":\"3\""));
	CU_ASSERT(has(body, "\"purchases\":[{" PURCHASE("granted") HISTORY "}]"));
	CU_ASSERT(has(body, "\"claims\":[{\"reward\":\"r1\",\"player\":\"p-1\",\"season\":\"s1\",\"tier\":0"));
	CU_ASSERT(stored.entries.page.limit == 50 && stored.entries.to_ms == INT64_MAX);
	stored.history_err = ERR_STORE_UNAVAILABLE;
	CU_ASSERT_STRING_EQUAL(get("/v1/admin/players/p-1"), "store_unavailable");
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"what operations ask, and their hashes", test_operations_asked},
		{"members of operations", test_operations_members},
		{"operations that are refused", test_operations_refused},
		{"a claim", test_claim_answer},
		{"the list of claims", test_claims_list},
		{"each state of a purchase", test_purchase_answers},
		{"purchases that are refused", test_purchase_refusals},
		{"purchases read", test_purchases_read},
		{"refunds", test_refund_answers},
		{"purchase options", test_options},
		{"what support did", test_operation_answers},
		{"deliveries", test_deliveries},
		{"the audit", test_audit},
		{"verification", test_verify},
		{"players", test_players},
		CU_TEST_INFO_NULL,
	};

	arena_init(&arena);
	int status = tap_main("api/answers", tests);

	service_release(&service);
	buf_release(&response.headers);
	arena_release(&arena);
	return status;
}
