/* A turn of requests: see api.h. */
#include "api/api.h"

#include <stdio.h>
#include <strings.h>

#include "api/routes.h"
#include "base/clock.h"
#include "base/trace.h"

/* The client's id if it is well-formed, else the one nginx made, else a new one. */
static void
choose_request_id(struct call *call, int64_t now_ms)
{
	struct request *request = call->request;
	struct uuid uuid;
	char text[UUID_TEXT_SIZE];

	if (request_id_valid(request->request_id))
		return;
	uuid = uuid_new(now_ms);
	uuid_format(&uuid, text);
	request->request_id = arena_str(call->arena, str_from(text));
}

static enum err
authenticate(struct call *call)
{
	struct str header = call->request->authorization;
	enum err err;

	if (header.len < 7 || strncasecmp(header.ptr, "Bearer ", 7) != 0)
		return ERR_TOKEN_MISSING;
	err = token_verify(call->api->verifier, (struct str){header.ptr + 7, header.len - 7}, call->turn->now_ms,
			   &call->who);
	metrics_add(err == ERR_OK ? METRIC_TOKENS_VERIFIED : METRIC_TOKENS_REFUSED, 1);
	if (err != ERR_OK)
		return err;
	return call->who.role & call->route->roles ? ERR_OK : ERR_ROLE_NOT_ALLOWED;
}

/* A player reaches its own data only, under its id or as `me`. */
static enum err
resolve_player(struct call *call, struct str player)
{
	struct str subject = str_from(call->who.subject);

	if (call->who.role == ROLE_PLAYER) {
		if (!str_equal(player, STR("me")) && !str_equal(player, subject))
			return ERR_NOT_YOUR_DATA;
		call->player = subject;
		return ERR_OK;
	}
	if (str_equal(player, STR("me")))
		return call_fault(call, "/path/player", "bad_form", "me is for a player's own token");
	if (!id_valid(player.ptr, player.len))
		return call_fault(call, "/path/player", "bad_form", "expected 1-64 of A-Z a-z 0-9 . _ -");
	call->player = player;
	return ERR_OK;
}

static enum err
check(struct call *call)
{
	struct route_match match;
	struct str allow = STR_NONE;
	enum err err = request_parse_target(call->request, call->arena) ? ERR_OK : ERR_NO_SUCH_ROUTE;

	if (err == ERR_OK)
		err = route_find(call->request, call->arena, &match, &allow);
	if (err == ERR_METHOD_NOT_ALLOWED)
		response_header(call->response, STR("Allow"), allow);
	if (err != ERR_OK)
		return err;
	call->route = match.route;
	if (!(match.route->lanes & call->api->lane)) {
		call->response->lane = route_lane(match.route);
		return ERR_OK;
	}
	if (match.route->roles && (err = authenticate(call)) != ERR_OK)
		return err;
	if (match.season.ptr && (err = turn_season(call->turn, match.season, &call->season)) != ERR_OK)
		return err;
	if (match.player.ptr && (err = resolve_player(call, match.player)) != ERR_OK)
		return err;
	if (match.id.ptr && !uuid_parse(match.id, &call->id))
		return match.route->unknown_id;
	return match.route->decode ? match.route->decode(call) : ERR_OK;
}

/* What is handed to another lane is counted there. */
static void
count_answer(const struct call *call)
{
	unsigned route = route_number(call->route);

	if (call->response->lane.len) {
		metrics_add(METRIC_REDIRECTS, 1);
		return;
	}
	metrics_add_at(METRIC_REQUESTS, route, metric_status(call->response->status), 1);
	if (call->began_us)
		metrics_observe(METRIC_REQUEST_DURATION, route, call->source,
				(uint64_t)(clock_boot_us() - call->began_us));
}

static void
answer(struct call *call)
{
	struct response *response = call->response;

	if (call->err == ERR_OK && !response->lane.len)
		call->err = call->route->encode(call);
	if (call->err != ERR_OK)
		response_problem(response, call->arena, call->err, call->detail, &call->faults,
				 call->request->request_id);
	if (!response->lane.len) {
		response_header(response, STR("X-Request-Id"), call->request->request_id);
		if (call->request->traceparent.len)
			response_header(response, STR("traceparent"), call->request->traceparent);
	}
	count_answer(call);
	json_free(call->body);
}

static void
open_call(struct call *call, struct arena *arena, struct exchange *exchange, int64_t now_ms)
{
	call->arena = arena;
	call->request = &exchange->request;
	call->response = &exchange->response;
	faults_init(&call->faults, arena);
	response_clear(call->response);
	choose_request_id(call, now_ms);
	if (!trace_valid(call->request->traceparent))
		call->request->traceparent = STR_NONE;
}

static void
begin(struct call *call, const struct api *api, struct turn *turn, struct exchange *exchange, int64_t began_us)
{
	call->api = api;
	call->turn = turn;
	call->began_us = began_us;
	open_call(call, turn->arena, exchange, turn->now_ms);

	struct write **added = turn->last_write;
	size_t count = turn->write_count;

	call->err = check(call);
	call->writes = *added;
	call->write_count = turn->write_count - count;
}

void
api_refuse(struct arena *arena, struct exchange *exchange, enum err err, int64_t now_ms)
{
	struct call call = {.err = err};

	open_call(&call, arena, exchange, now_ms);
	answer(&call);
}

static bool
waits(const struct call *call)
{
	const struct write *write = call->writes;

	for (size_t i = 0; i < call->write_count; i++, write = write->next)
		if (write->put_off)
			return true;
	return call->err == ERR_OK && call->operation && call->operation->waits;
}

static void
answer_ready(struct api_turn *turn)
{
	for (size_t i = 0; i < turn->count; i++) {
		struct call *call = &turn->calls[i];

		if (call->answered || waits(call))
			continue;
		answer(call);
		call->answered = true;
		turn->unanswered--;
		turn->answered(turn->context, i);
	}
}

void
api_begin(struct api_turn *turn, const struct api *api, struct arena *arena, struct exchange *const exchanges[],
	  size_t count)
{
	int64_t began_us = clock_boot_us();

	turn->api = api;
	turn->calls = ARENA_ARRAY(arena, count, struct call);
	turn->count = count;
	turn->unanswered = count;
	turn_begin(&turn->turn, api->service, arena, clock_unix_ms());
	/* What a purchase's write has come to decides whether the economy is asked: that is not put off. */
	turn->turn.puts_off = api->service->rooms.economy == NULL;
	for (size_t i = 0; i < count; i++)
		begin(&turn->calls[i], api, &turn->turn, exchanges[i], began_us);
	turn_run(&turn->turn);
	answer_ready(turn);
	metrics_observe(METRIC_TURN_REQUESTS, lane_number(api->lane), 0, count);
}

void
api_continue(struct api_turn *turn)
{
	turn_continue(&turn->turn);
	answer_ready(turn);
}

int64_t
api_due_boot_ms(const struct api_turn *turn)
{
	return turn_due_boot_ms(&turn->turn);
}

void
api_end(struct api_turn *turn)
{
	turn_fill(&turn->turn);
}

void
api_look_ahead(const struct api *api)
{
	service_look_ahead(api->service);
}

int64_t
api_look_ahead_due_boot_ms(const struct api *api)
{
	return service_look_ahead_due_boot_ms(api->service);
}
