/* Routes: see routes.h. */
#include "api/routes.h"

#include "api/resources.h"

enum {
	VIEWERS = ROLE_VIEWER | ROLE_SUPPORT | ROLE_DESIGNER | ROLE_ADMIN,
	SUPPORTERS = ROLE_SUPPORT | ROLE_ADMIN,
	OWNERS = ROLE_PLAYER | VIEWERS,
	ANY = OWNERS | ROLE_SERVER,
};

#define SEASON "/v1/seasons/{season}"
#define PLAYER SEASON "/players/{player}"
#define ADMIN  "/v1/admin"
#define CARE   ADMIN "/seasons/{season}/players/{player}"

static const struct route routes[] = {
	{METHOD_GET, PLAYER "/progress", LANE_READ | LANE_STORE, ANY, false, progress_decode, progress_encode, ERR_OK},
	{METHOD_POST, PLAYER "/xp-grants", LANE_STORE, ROLE_SERVER | SUPPORTERS, false, grant_decode, grant_encode,
	 ERR_OK},
	{METHOD_GET, PLAYER "/xp-grants", LANE_STORE, ANY, false, ledger_decode, ledger_encode, ERR_OK},
	{METHOD_POST, PLAYER "/claims", LANE_STORE, ROLE_PLAYER | SUPPORTERS, false, claim_decode, claim_encode,
	 ERR_OK},
	{METHOD_GET, PLAYER "/claims", LANE_STORE, OWNERS, false, claims_decode, claims_encode, ERR_OK},
	{METHOD_GET, PLAYER "/purchase-options", LANE_STORE, OWNERS, false, NULL, options_encode, ERR_OK},
	{METHOD_POST, PLAYER "/purchases", LANE_PURCHASE, ROLE_PLAYER, false, purchase_decode, purchase_encode, ERR_OK},
	{METHOD_GET, PLAYER "/purchases", LANE_STORE, OWNERS, false, purchases_decode, purchases_encode, ERR_OK},
	{METHOD_GET, PLAYER "/purchases/{purchase}", LANE_STORE, OWNERS, false, NULL, purchase_get_encode,
	 ERR_PURCHASE_NOT_FOUND},
	{METHOD_POST, SEASON "/xp-grants", LANE_STORE, ROLE_SERVER, false, batch_decode, batch_encode, ERR_OK},
	{METHOD_POST, SEASON "/progress:lookup", LANE_STORE, ROLE_SERVER | VIEWERS, false, lookup_decode, lookup_encode,
	 ERR_OK},
	{METHOD_GET, SEASON, LANE_STORE, ANY, false, NULL, season_encode, ERR_OK},
	{METHOD_GET, "/v1/seasons", LANE_STORE, ANY, false, seasons_decode, seasons_encode, ERR_OK},
	{METHOD_GET, "/v1/players/{player}/seasons", LANE_STORE, OWNERS, false, standings_decode, standings_encode,
	 ERR_OK},
	{METHOD_POST, CARE "/xp-corrections", LANE_ADMIN, SUPPORTERS, false, correction_decode, operation_encode,
	 ERR_OK},
	{METHOD_POST, CARE "/tier-grants", LANE_ADMIN, SUPPORTERS, false, tier_grant_decode, operation_encode, ERR_OK},
	{METHOD_POST, CARE "/pass-grants", LANE_ADMIN, SUPPORTERS, false, pass_grant_decode, operation_encode, ERR_OK},
	{METHOD_POST, CARE "/pass-revocations", LANE_ADMIN, SUPPORTERS, false, pass_revocation_decode, operation_encode,
	 ERR_OK},
	{METHOD_POST, CARE "/reset", LANE_ADMIN, SUPPORTERS, false, reset_decode, operation_encode, ERR_OK},
	{METHOD_POST, CARE "/reset/{reset}/undo", LANE_ADMIN, SUPPORTERS, false, reset_undo_decode, operation_encode,
	 ERR_RESET_NOT_FOUND},
	{METHOD_POST, CARE "/purchases/{purchase}/close", LANE_ADMIN, SUPPORTERS, false, purchase_close_decode,
	 purchase_close_encode, ERR_PURCHASE_NOT_FOUND},
	{METHOD_POST, CARE "/purchases/{purchase}/refund", LANE_PURCHASE, SUPPORTERS, false, refund_decode,
	 refund_encode, ERR_PURCHASE_NOT_FOUND},
	{METHOD_GET, ADMIN "/players/{player}", LANE_ADMIN, VIEWERS, false, NULL, player_encode, ERR_OK},
	{METHOD_GET, ADMIN "/purchases", LANE_ADMIN, VIEWERS, false, admin_purchases_decode, admin_purchases_encode,
	 ERR_OK},
	{METHOD_GET, ADMIN "/deliveries", LANE_ADMIN, SUPPORTERS, false, deliveries_decode, deliveries_encode, ERR_OK},
	{METHOD_POST, ADMIN "/deliveries/{delivery}/retry", LANE_ADMIN, SUPPORTERS, false, retry_decode, retry_encode,
	 ERR_DELIVERY_NOT_FOUND},
	{METHOD_GET, ADMIN "/audit", LANE_ADMIN, VIEWERS, false, audit_decode, audit_encode, ERR_OK},
	{METHOD_GET, ADMIN "/audit:verify", LANE_ADMIN, VIEWERS, false, verify_decode, verify_encode, ERR_OK},
	{METHOD_GET, ADMIN "/flags", LANE_ADMIN, ROLE_ADMIN, false, NULL, flags_encode, ERR_OK},
	{METHOD_PUT, ADMIN "/flags", LANE_ADMIN, ROLE_ADMIN, false, flags_decode, operator_encode, ERR_OK},
	{METHOD_POST, ADMIN "/cache/flush", LANE_ADMIN, ROLE_ADMIN, false, flush_decode, operator_encode, ERR_OK},
	{METHOD_POST, ADMIN "/cache/warm", LANE_ADMIN, ROLE_ADMIN, false, warm_decode, operator_encode, ERR_OK},
	{METHOD_GET, ADMIN "/cache/players/{player}", LANE_ADMIN, ROLE_ADMIN, false, NULL, cache_player_encode, ERR_OK},
	{METHOD_GET, "/livez", LANE_READ | LANE_STORE | LANE_ADMIN, 0, false, NULL, livez_encode, ERR_OK},
	{METHOD_GET, "/readyz", LANE_ADMIN, 0, false, NULL, readyz_encode, ERR_OK},
	{METHOD_GET, "/metrics", LANE_ADMIN, 0, true, NULL, metrics_encode, ERR_OK},
};

enum { ROUTE_COUNT = sizeof(routes) / sizeof(routes[0]) };
_Static_assert((int)ROUTE_COUNT < (int)METRIC_ROUTE_COUNT, "the metrics have no room for so many routes");

static const struct {
	enum lane lane;
	struct str name;
} lane_names[] = {
	{LANE_READ, {"read", 4}},
	{LANE_STORE, {"store", 5}},
	{LANE_PURCHASE, {"purchase", 8}},
	{LANE_ADMIN, {"admin", 5}},
};

/* What a route of this method adds to Allow. */
static const struct {
	enum method method;
	const char *allow;
} allowances[] = {
	{METHOD_GET, "GET, HEAD"},
	{METHOD_POST, "POST"},
	{METHOD_PUT, "PUT"},
	{METHOD_DELETE, "DELETE"},
};

struct str
route_lane(const struct route *route)
{
	for (size_t i = 0; i < sizeof(lane_names) / sizeof(lane_names[0]); i++)
		if (route->lanes & lane_names[i].lane)
			return lane_names[i].name;
	return STR_NONE;
}

/* Does the path fit the pattern? Takes the parameters as it goes. */
static bool
fits(const char *pattern, const struct request *request, struct route_match *match)
{
	for (size_t i = 0; i < request->segment_count; i++) {
		size_t length = *pattern == '/' ? strcspn(pattern + 1, "/") : 0;
		struct str part = {pattern + 1, length};

		if (length == 0)
			return false;
		if (str_equal(part, STR("{season}")))
			match->season = request->segments[i];
		else if (str_equal(part, STR("{player}")))
			match->player = request->segments[i];
		else if (part.ptr[0] == '{')
			match->id = request->segments[i];
		else if (!str_equal(part, request->segments[i]))
			return false;
		pattern += 1 + length;
	}
	return *pattern == '\0';
}

static void
add_allowed(struct arena *arena, const struct route *route, struct str *allow)
{
	for (size_t i = 0; i < sizeof(allowances) / sizeof(allowances[0]); i++)
		if (allowances[i].method == route->method)
			*allow = arena_format(arena, "%.*s%s%s", STR_ARGS(*allow), allow->len ? ", " : "",
					      allowances[i].allow);
}

enum err
route_find(const struct request *request, struct arena *arena, struct route_match *ret_match, struct str *ret_allow)
{
	enum method method = request->method == METHOD_HEAD ? METHOD_GET : request->method;
	struct str allow = STR_NONE;

	for (size_t i = 0; i < ROUTE_COUNT; i++) {
		struct route_match match = {.route = &routes[i]};

		if ((routes[i].internal && !request->internal) || !fits(routes[i].pattern, request, &match))
			continue;
		if (routes[i].method == method) {
			*ret_match = match;
			return ERR_OK;
		}
		add_allowed(arena, &routes[i], &allow);
	}
	*ret_allow = allow;
	return allow.len ? ERR_METHOD_NOT_ALLOWED : ERR_NO_SUCH_ROUTE;
}

unsigned
route_number(const struct route *route)
{
	return route ? (unsigned)(route - routes) + 1 : 0;
}

void
route_put_labels(unsigned number, struct buf *out)
{
	const struct route *route = number > 0 && number <= ROUTE_COUNT ? &routes[number - 1] : NULL;

	buf_format(out, "method=\"%s\",route=\"%s\"", route ? method_name(route->method) : "",
		   route ? route->pattern : "none");
}
