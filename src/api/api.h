/*
 * A turn of requests, from bytes to answers: find the route, ask who it is, decode; run the turn's work; encode. No
 * error of one request touches another.
 */
#ifndef BP_API_API_H
#define BP_API_API_H

#include "api/call.h"

struct exchange {
	struct request request;
	struct response response;
};

/* Answers all. After the answers are sent, api_after() warms the cache; then the arena may be reset. */
void api_turn(const struct api *api, struct turn *turn, struct arena *arena, struct exchange *const exchanges[],
	      size_t count);
void api_after(struct turn *turn);

#endif
