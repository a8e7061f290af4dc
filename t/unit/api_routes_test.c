/* Routes: each is found by its path and method, nothing else is, and what is refused says what would be allowed. */
#include "api/routes.h"

#include <stdio.h>

#include "api/resources.h"
#include "tap.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static struct arena arena;

struct outcome {
	enum err err;
	struct route_match match;
	struct str allow;
};

static struct outcome
find(const char *method, const char *target, bool internal)
{
	struct request request = {
		.method_text = str_from(method),
		.target = str_from(target),
		.internal = internal,
	};
	struct outcome outcome = {.err = ERR_NO_SUCH_ROUTE};

	if (request_parse_target(&request, &arena))
		outcome.err = route_find(&request, &arena, &outcome.match, &outcome.allow);
	return outcome;
}

static const struct {
	const char *method;
	const char *target;
	bool internal;
	call_decode *decode;
	call_encode *encode;
	const char *lane;
	const char *season;
	const char *player;
	const char *id;
	enum err unknown_id;
} routes[] = {
	{"GET", "/v1/seasons/s1/players/p-1/progress", false, progress_decode, progress_encode, "read", "s1", "p-1",
	 NULL, ERR_OK},
	{"POST", "/v1/seasons/s1/players/p-1/xp-grants", false, grant_decode, grant_encode, "store", "s1", "p-1", NULL,
	 ERR_OK},
	{"GET", "/v1/seasons/s1/players/me/xp-grants", false, ledger_decode, ledger_encode, "store", "s1", "me", NULL,
	 ERR_OK},
	{"POST", "/v1/seasons/current/xp-grants", false, batch_decode, batch_encode, "store", "current", NULL, NULL,
	 ERR_OK},
	{"POST", "/v1/seasons/s1/progress:lookup", false, lookup_decode, lookup_encode, "store", "s1", NULL, NULL,
	 ERR_OK},
	{"GET", "/v1/seasons/s1", false, NULL, season_encode, "store", "s1", NULL, NULL, ERR_OK},
	{"GET", "/v1/seasons", false, seasons_decode, seasons_encode, "store", NULL, NULL, NULL, ERR_OK},
	{"GET", "/livez", false, NULL, livez_encode, "read", NULL, NULL, NULL, ERR_OK},
	{"GET", "/readyz", false, NULL, readyz_encode, "admin", NULL, NULL, NULL, ERR_OK},
	{"GET", "/metrics", true, NULL, metrics_encode, "admin", NULL, NULL, NULL, ERR_OK},
	{"POST", "/v1/seasons/s1/players/p-1/claims", false, claim_decode, claim_encode, "store", "s1", "p-1", NULL,
	 ERR_OK},
	{"GET", "/v1/seasons/s1/players/p-1/claims", false, claims_decode, claims_encode, "store", "s1", "p-1", NULL,
	 ERR_OK},
	{"GET", "/v1/seasons/s1/players/p-1/purchase-options", false, NULL, options_encode, "store", "s1", "p-1", NULL,
	 ERR_OK},
	{"POST", "/v1/seasons/s1/players/me/purchases", false, purchase_decode, purchase_encode, "purchase", "s1", "me",
	 NULL, ERR_OK},
	{"GET", "/v1/seasons/s1/players/me/purchases", false, purchases_decode, purchases_encode, "store", "s1", "me",
	 NULL, ERR_OK},
	{"GET", "/v1/seasons/s1/players/me/purchases/x-1", false, NULL, purchase_get_encode, "store", "s1", "me", "x-1",
	 ERR_PURCHASE_NOT_FOUND},
	{"GET", "/v1/players/me/seasons", false, standings_decode, standings_encode, "store", NULL, "me", NULL, ERR_OK},
	{"POST", "/v1/admin/seasons/s1/players/p-1/xp-corrections", false, correction_decode, operation_encode, "admin",
	 "s1", "p-1", NULL, ERR_OK},
	{"POST", "/v1/admin/seasons/s1/players/p-1/tier-grants", false, tier_grant_decode, operation_encode, "admin",
	 "s1", "p-1", NULL, ERR_OK},
	{"POST", "/v1/admin/seasons/s1/players/p-1/pass-grants", false, pass_grant_decode, operation_encode, "admin",
	 "s1", "p-1", NULL, ERR_OK},
	{"POST", "/v1/admin/seasons/s1/players/p-1/pass-revocations", false, pass_revocation_decode, operation_encode,
	 "admin", "s1", "p-1", NULL, ERR_OK},
	{"POST", "/v1/admin/seasons/s1/players/p-1/reset", false, reset_decode, operation_encode, "admin", "s1", "p-1",
	 NULL, ERR_OK},
	{"POST", "/v1/admin/seasons/s1/players/p-1/reset/r-1/undo", false, reset_undo_decode, operation_encode, "admin",
	 "s1", "p-1", "r-1", ERR_RESET_NOT_FOUND},
	{"POST", "/v1/admin/seasons/s1/players/p-1/purchases/x-1/refund", false, refund_decode, refund_encode,
	 "purchase", "s1", "p-1", "x-1", ERR_PURCHASE_NOT_FOUND},
	{"GET", "/v1/admin/players/p-1", false, NULL, player_encode, "admin", NULL, "p-1", NULL, ERR_OK},
	{"GET", "/v1/admin/purchases", false, admin_purchases_decode, admin_purchases_encode, "admin", NULL, NULL, NULL,
	 ERR_OK},
	{"GET", "/v1/admin/deliveries", false, deliveries_decode, deliveries_encode, "admin", NULL, NULL, NULL, ERR_OK},
	{"POST", "/v1/admin/deliveries/d-1/retry", false, retry_decode, retry_encode, "admin", NULL, NULL, "d-1",
	 ERR_DELIVERY_NOT_FOUND},
	{"GET", "/v1/admin/audit", false, audit_decode, audit_encode, "admin", NULL, NULL, NULL, ERR_OK},
	{"GET", "/v1/admin/audit:verify", false, verify_decode, verify_encode, "admin", NULL, NULL, NULL, ERR_OK},
};

static void
expect_part(struct str part, const char *want)
{
	CU_ASSERT_EQUAL(part.ptr != NULL, want != NULL);
	CU_ASSERT(str_equal(part, str_from(want)));
}

static void
test_every_route_is_found(void)
{
	for (size_t i = 0; i < COUNT_OF(routes); i++) {
		struct outcome outcome = find(routes[i].method, routes[i].target, routes[i].internal);

		if (outcome.err != ERR_OK)
			printf("# %s %s\n", routes[i].method, routes[i].target);
		CU_ASSERT_EQUAL_FATAL(outcome.err, ERR_OK);
		CU_ASSERT(outcome.match.route->decode == routes[i].decode);
		CU_ASSERT(outcome.match.route->encode == routes[i].encode);
		CU_ASSERT(str_equal(route_lane(outcome.match.route), str_from(routes[i].lane)));
		expect_part(outcome.match.season, routes[i].season);
		expect_part(outcome.match.player, routes[i].player);
		expect_part(outcome.match.id, routes[i].id);
		CU_ASSERT_EQUAL(outcome.match.route->unknown_id, routes[i].unknown_id);
	}
}

/* No two routes fit one request: each is the only one, so the order of the table means nothing. */
static void
test_no_two_fit(void)
{
	const struct route *found[COUNT_OF(routes)];

	for (size_t i = 0; i < COUNT_OF(routes); i++) {
		found[i] = find(routes[i].method, routes[i].target, routes[i].internal).match.route;
		for (size_t k = 0; k < i; k++)
			CU_ASSERT_PTR_NOT_EQUAL(found[i], found[k]);
	}
	/* The words of the patterns are not taken for ids of one another. */
	CU_ASSERT(find("POST", "/v1/seasons/xp-grants", false).err != ERR_OK);
	CU_ASSERT(str_equal(find("GET", "/v1/seasons/players", false).match.season, STR("players")));
	CU_ASSERT(str_equal(find("GET", "/v1/seasons/progress:lookup", false).match.season, STR("progress:lookup")));
}

static void
test_head_is_get(void)
{
	for (size_t i = 0; i < COUNT_OF(routes); i++) {
		struct outcome outcome = find("HEAD", routes[i].target, routes[i].internal);
		bool get = strcmp(routes[i].method, "GET") == 0;

		CU_ASSERT(!get || (outcome.err == ERR_OK && outcome.match.route->encode == routes[i].encode));
	}
}

static void
test_other_methods(void)
{
	static const struct {
		const char *method;
		const char *target;
		const char *allow;
	} cases[] = {
		{"POST", "/v1/seasons", "GET, HEAD"},
		{"DELETE", "/v1/seasons/s1", "GET, HEAD"},
		{"PUT", "/v1/seasons/s1/players/p/progress", "GET, HEAD"},
		{"PATCH", "/v1/seasons/s1/players/p/progress", "GET, HEAD"},
		{"get", "/v1/seasons/s1/players/p/progress", "GET, HEAD"},
		{"GET", "/v1/seasons/s1/xp-grants", "POST"},
		{"HEAD", "/v1/seasons/s1/progress:lookup", "POST"},
		{"OPTIONS", "/livez", "GET, HEAD"},
		{"DELETE", "/v1/admin/audit", "GET, HEAD"},
		{"GET", "/v1/admin/seasons/s1/players/p/reset", "POST"},
		{"PUT", "/v1/seasons/s1/players/p/purchases/x", "GET, HEAD"},
	};

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct outcome outcome = find(cases[i].method, cases[i].target, false);

		CU_ASSERT_EQUAL(outcome.err, ERR_METHOD_NOT_ALLOWED);
		CU_ASSERT(str_equal(outcome.allow, str_from(cases[i].allow)));
		CU_ASSERT_PTR_NULL(outcome.match.route);
	}
	/* Two routes on one path: both are named. */
	struct str allow = find("PUT", "/v1/seasons/s1/players/p/xp-grants", false).allow;

	CU_ASSERT(str_equal(allow, STR("POST, GET, HEAD")) || str_equal(allow, STR("GET, HEAD, POST")));
}

static void
test_no_route(void)
{
	static const char *const targets[] = {
		"/",
		"/v1",
		"/v2/seasons",
		"/v1/season",
		"/v1/seasonsx",
		"/V1/seasons",
		"/v1/seasons/",
		"/v1/seasons/s1/",
		"/v1/seasons/s1/progress",
		"/v1/seasons/s1/players",
		"/v1/seasons/s1/players/p",
		"/v1/seasons/s1/players/p/progress/x",
		"/v1/seasons/s1/players/p/q/progress",
		"/v1/seasons/s1/players//progress",
		"/v1/seasons/s1/progress:lookup/x",
		"/v1/seasons/s1/progress%3Alookupx",
		"/livez/x",
		"/livezx",
		"/live",
		"/v1%2Fseasons",
		"/{season}",
		"/v1/seasons/s1/{player}/p/progress",
		"/v1/players/p",
		"/v1/players/p/seasons/s1",
		"/v1/admin",
		"/v1/admin/players",
		"/v1/admin/audit/verify",
		"/v1/admin/seasons/s1/players/p/progress",
		"/v1/admin/seasons/s1/players/p/reset/r",
		"/v1/admin/seasons/s1/players/p/reset/r/undo/x",
		"/v1/admin/seasons/s1/players/p/purchases/x",
		"/v1/seasons/s1/players/p/purchases/x/refund",
		"/v1/seasons/s1/players/p/purchases/x/y",
		"/v1/admin/deliveries/d",
		"/metrics", /* not from outside */
	};

	for (size_t i = 0; i < COUNT_OF(targets); i++) {
		CU_ASSERT_EQUAL(find("GET", targets[i], false).err, ERR_NO_SUCH_ROUTE);
		CU_ASSERT_EQUAL(find("DELETE", targets[i], false).err, ERR_NO_SUCH_ROUTE);
	}
}

/* Escapes are undone before routes are looked for. */
static void
test_escapes(void)
{
	CU_ASSERT_EQUAL(find("GET", "/v1/%73easons", false).err, ERR_OK);
	CU_ASSERT_EQUAL(find("POST", "/v1/seasons/s1/progress%3Alookup", false).err, ERR_OK);
	CU_ASSERT(str_equal(find("GET", "/v1/seasons/a%2Fb", false).match.season, STR("a/b")));
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"every route is found", test_every_route_is_found},
		{"no two routes fit one request", test_no_two_fit},
		{"HEAD is GET", test_head_is_get},
		{"other methods: what is allowed", test_other_methods},
		{"no such route", test_no_route},
		{"escapes", test_escapes},
		CU_TEST_INFO_NULL,
	};

	arena_init(&arena);
	int status = tap_main("api/routes", tests);

	arena_release(&arena);
	return status;
}
