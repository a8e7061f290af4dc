/*
 * A turn of requests, from bytes to answers: find the route, ask who it is, decode; run the turn's work; encode. No
 * error of one request touches another. A request that waits for the economy service is answered later, and holds
 * nobody up.
 */
#ifndef BP_API_API_H
#define BP_API_API_H

#include "api/call.h"

struct exchange {
	struct request request;
	struct response response;
};

/* A turn under way: what it holds lives in the arena given to api_begin(), as long as something waits. */
struct api_turn {
	const struct api *api;
	struct turn turn;
	struct turn_times times;
	struct call *calls;
	size_t count;
	size_t unanswered;
	/* Told of each exchange, by its place, whose response is there. */
	void (*answered)(void *context, size_t place);
	void *context;
};

/* Answers with an error and looks at nothing; the request takes no part in a turn. */
void api_refuse(const struct api *api, struct arena *arena, struct exchange *exchange, enum err err, int64_t now_ms);
/*
 * Does the work of these requests and answers all that need not wait. turn->answered and turn->context are set by the
 * caller. When nothing is unanswered any more, api_end() warms the cache; then the arena may be reset.
 */
void api_begin(struct api_turn *turn, const struct api *api, struct arena *arena, struct exchange *const exchanges[],
	       size_t count);
/* Goes on with those that wait; never waits itself. It is due when the economy has moved, or at api_due_boot_ms(). */
void api_continue(struct api_turn *turn);
int64_t api_due_boot_ms(const struct api_turn *turn);
void api_end(struct api_turn *turn);

/* Between turns: work that no request should wait for; nothing before it is due. */
void api_look_ahead(const struct api *api);
int64_t api_look_ahead_due_boot_ms(const struct api *api);

#endif
