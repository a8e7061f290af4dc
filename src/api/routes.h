/*
 * The table of routes, and finding the one that a request means.
 */
#ifndef BP_API_ROUTES_H
#define BP_API_ROUTES_H

#include "api/call.h"

/* Path parameters, by the order in which a pattern can have them. */
struct route_match {
	const struct route *route;
	struct str season; /* ptr is NULL: the pattern has none */
	struct str player;
	struct str id; /* {purchase}, {reset} or {delivery}: as the path has it */
};

/*
 * ERR_NO_SUCH_ROUTE; ERR_METHOD_NOT_ALLOWED, with what is allowed in ret_allow (in the arena).
 */
enum err route_find(const struct request *request, struct arena *arena, struct route_match *ret_match,
		    struct str *ret_allow);
/* The name of the lane where others send a request for this route: "read", "store", "purchase", "admin". */
struct str route_lane(const struct route *route);
/* The number of a route, from 1 on; 0 for NULL. */
unsigned route_number(const struct route *route);
/* metrics_route_labels of base/metrics.h. */
void route_put_labels(unsigned number, struct buf *out);

#endif
