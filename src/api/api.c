/* A turn of requests: see api.h. */
#include "api/api.h"

#include <stdio.h>
#include <strings.h>

#include "api/access.h"
#include "api/routes.h"
#include "base/clock.h"
#include "base/log.h"
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
	int64_t turn_us = 0;

	if (call->response->lane.len) {
		metrics_add(METRIC_REDIRECTS, 1);
		return;
	}
	metrics_add_at(METRIC_REQUESTS, route, metric_status(call->response->status), 1);
	if (call->times) {
		turn_us = clock_boot_us() - call->times->began_us;
		metrics_observe(METRIC_REQUEST_DURATION, route, call->source, (uint64_t)turn_us);
	}
	access_note(call->api->access, call, turn_us);
}

/* Until forget_in_log(). */
static void
name_in_log(const struct call *call)
{
	log_set_request(call->request->request_id, trace_id(call->request->traceparent));
}

static void
forget_in_log(void)
{
	log_set_request(STR_NONE, STR_NONE);
}

static void
answer(struct call *call)
{
	struct response *response = call->response;

	name_in_log(call);
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
	forget_in_log();
	json_free(call->body);
}

static int64_t
waited_us(const struct request *request, int64_t now_ms)
{
	return request->arrived_ms && now_ms > request->arrived_ms ? (now_ms - request->arrived_ms) * 1000 : 0;
}

static void
open_call(struct call *call, const struct api *api, struct arena *arena, struct exchange *exchange, int64_t now_ms)
{
	call->api = api;
	call->arena = arena;
	call->request = &exchange->request;
	call->response = &exchange->response;
	call->waited_us = waited_us(call->request, now_ms);
	faults_init(&call->faults, arena);
	response_clear(call->response);
	choose_request_id(call, now_ms);
	if (!trace_valid(call->request->traceparent))
		call->request->traceparent = STR_NONE;
}

static void
begin(struct call *call, struct api_turn *of, struct exchange *exchange)
{
	struct turn *turn = &of->turn;

	open_call(call, of->api, turn->arena, exchange, turn->now_ms);
	call->turn = turn;
	call->times = &of->times;

	struct write **added = turn->last_write;
	size_t count = turn->write_count;

	name_in_log(call);
	call->err = check(call);
	forget_in_log();
	call->writes = *added;
	call->write_count = turn->write_count - count;
}

void
api_refuse(const struct api *api, struct arena *arena, struct exchange *exchange, enum err err, int64_t now_ms)
{
	struct call call = {.err = err};

	open_call(&call, api, arena, exchange, now_ms);
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

/* What a request is alone with is its own; nobody can say whose a line is that comes of what many share. */
static void
work(struct api_turn *turn, void (*run)(struct turn *turn))
{
	if (turn->count == 1)
		name_in_log(&turn->calls[0]);
	run(&turn->turn);
	forget_in_log();
}

/* A cached read has no clock to itself but the one that its answer is measured with. */
static void
note_time(const struct api_turn *turn, int64_t *at_us)
{
	if (turn->api->lane != LANE_READ)
		*at_us = clock_boot_us();
}

void
api_begin(struct api_turn *turn, const struct api *api, struct arena *arena, struct exchange *const exchanges[],
	  size_t count)
{
	turn->api = api;
	turn->times = (struct turn_times){.requests = count, .began_us = clock_boot_us()};
	turn->calls = ARENA_ARRAY(arena, count, struct call);
	turn->count = count;
	turn->unanswered = count;
	turn_begin(&turn->turn, api->service, arena, clock_unix_ms());
	/* What a purchase's write has come to decides whether the economy is asked: that is not put off. */
	turn->turn.puts_off = api->service->rooms.economy == NULL;
	for (size_t i = 0; i < count; i++)
		begin(&turn->calls[i], turn, exchanges[i]);
	note_time(turn, &turn->times.decoded_us);
	work(turn, turn_run);
	note_time(turn, &turn->times.worked_us);
	answer_ready(turn);
	metrics_observe(METRIC_TURN_REQUESTS, lane_number(api->lane), 0, count);
}

void
api_continue(struct api_turn *turn)
{
	work(turn, turn_continue);
	note_time(turn, &turn->times.resumed_us);
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
	access_tell(api->access, false);
}

int64_t
api_look_ahead_due_boot_ms(const struct api *api)
{
	int64_t load_ms = service_look_ahead_due_boot_ms(api->service);
	int64_t tell_ms = access_due_boot_ms(api->access);

	return load_ms < tell_ms ? load_ms : tell_ms;
}
