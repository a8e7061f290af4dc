/* A lane's process: see lane.h. */
#include "lane/lane.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "base/clock.h"
#include "base/log.h"
#include "lane/fcgi.h"
#include "lane/lateness.h"

enum { TURN_BYTES = 64 * 1024, FLIGHTS_MAX = 512, CONTINUE_MS = 5, SIGNALS_MS = 50, SILENT_MS = 20, DRAIN_MS = 500 };

struct place {
	struct fcgi *fcgi;
	int fd;
	struct exchange exchange;
	struct place *next_free;
};

/* What epoll says of the economy's descriptor, in the place of a connection. */
#define ECONOMY_PLACE ((struct place *)-1)

/* A turn from its first request to its last answer. Several are under way where requests wait for the economy, or for
 * leases to end. */
struct flight {
	struct flight *next;
	struct loop *loop;
	struct arena arena;
	struct place **ready; /* rules->turn: those with a request in this turn */
	struct exchange **exchanges;
	size_t ready_count;
	size_t ready_bytes; /* of their bodies */
	struct api_turn turn;
};

struct loop {
	const struct lane_rules *rules;
	const struct api *api;
	const struct economy_port *economy; /* NULL: no call of it is ever begun in this lane */
	int listen_fd;
	int epoll_fd;
	bool accepting;
	struct epoll_event *events; /* rules->turn */
	struct place *places;       /* LANE_CONNECTIONS_MAX */
	struct place *free;         /* used before; never used: places[used_count] and on */
	size_t used_count;
	struct flight *gathering; /* the turn that requests are read into */
	struct flight *under_way;
	size_t under_way_count;
	size_t silent_count; /* single connections that have sent nothing yet */
	struct lateness lateness;
	int64_t signals_at_boot_ms; /* when they were let in last */
	bool draining;
};

static void *
allocate(size_t count, size_t size)
{
	void *memory = calloc(count, size);

	if (!memory)
		abort();
	return memory;
}

static bool
watch(struct loop *loop, int fd, struct place *place, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = place};

	return epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

static struct flight *
new_flight(struct loop *loop)
{
	struct flight *flight = allocate(1, sizeof(*flight));

	flight->loop = loop;
	arena_init(&flight->arena);
	flight->ready = allocate(loop->rules->turn, sizeof(struct place *));
	flight->exchanges = allocate(loop->rules->turn, sizeof(struct exchange *));
	return flight;
}

static void
free_flight(struct flight *flight)
{
	arena_release(&flight->arena);
	free(flight->exchanges);
	free(flight->ready);
	free(flight);
}

static bool
loop_init(struct loop *loop, const struct lane_rules *rules, const struct api *api, int listen_fd)
{
	*loop = (struct loop){.rules = rules, .api = api, .listen_fd = listen_fd, .accepting = true};
	loop->economy = api->service->rooms.economy;
	lateness_init(&loop->lateness, rules->answer_within_ms, rules->began_unix_ms);
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	loop->events = allocate(rules->turn, sizeof(*loop->events));
	loop->gathering = new_flight(loop);
	loop->places = allocate(LANE_CONNECTIONS_MAX, sizeof(*loop->places));
	if (loop->epoll_fd < 0)
		return false;
	if (loop->economy && !watch(loop, loop->economy->fd(loop->economy->self), ECONOMY_PLACE, EPOLLIN))
		return false;
	/* Exclusive: a new connection wakes one process, not all. */
	return watch(loop, listen_fd, NULL, EPOLLIN | EPOLLEXCLUSIVE);
}

/* With so many turns under way no more requests are taken: they wait in the socket, and others may take them. */
static bool
is_full(const struct loop *loop)
{
	return loop->under_way_count >= FLIGHTS_MAX;
}

static bool
has_place(const struct loop *loop)
{
	return loop->free || loop->used_count < LANE_CONNECTIONS_MAX;
}

/* There must be one. Memory of a place is touched only once it is needed. */
static struct place *
take_place(struct loop *loop)
{
	struct place *place = loop->free;

	if (place)
		loop->free = place->next_free;
	else
		place = &loop->places[loop->used_count++];
	if (!place->fcgi)
		place->fcgi = fcgi_new();
	return place;
}

static void
accept_again(struct loop *loop)
{
	if (!loop->accepting && !loop->draining && !is_full(loop))
		loop->accepting = watch(loop, loop->listen_fd, NULL, EPOLLIN | EPOLLEXCLUSIVE);
}

/* The connection is closed: closing has taken it out of epoll. */
static void
give_back(struct loop *loop, struct place *place)
{
	place->next_free = loop->free;
	loop->free = place;
	accept_again(loop);
}

/* A turn is full by its number of requests, or by what large ones bring: nobody should wait for too much of others'
 * work. */
static bool
has_room(const struct loop *loop)
{
	const struct flight *flight = loop->gathering;

	return flight->ready_count < loop->rules->turn && flight->ready_bytes < TURN_BYTES;
}

static void
answer(struct loop *loop, struct place *place)
{
	bool kept = fcgi_answer(place->fcgi, &place->exchange.response);

	if (kept && !loop->rules->keeps_connections) {
		fcgi_close(place->fcgi);
		kept = false;
	}
	if (!kept)
		give_back(loop, place);
}

/* Its answer would come too late. It takes no part in a turn: the sooner it is gone, the fewer more become late. */
static void
shed(struct loop *loop, struct place *place)
{
	struct flight *flight = loop->gathering;

	metrics_add(METRIC_REQUESTS_SHED, 1);
	api_refuse(loop->api, &flight->arena, &place->exchange, ERR_OVERLOADED, loop->lateness.now_unix_ms);
	answer(loop, place);
	if (flight->ready_count == 0) {
		arena_reset(&flight->arena);
		flight->ready_bytes = 0;
	}
}

/* nginx closes the connection of a request whose client has gone, or that it has given up. */
static void
abandon(struct loop *loop, struct place *place)
{
	if (fcgi_left_request(place->fcgi))
		metrics_add(METRIC_REQUESTS_ABANDONED, 1);
	fcgi_close(place->fcgi);
	give_back(loop, place);
}

static void
receive(struct loop *loop, struct place *place)
{
	struct flight *flight = loop->gathering;
	struct request *request = &place->exchange.request;

	if (!fcgi_receive(place->fcgi, &flight->arena, &place->exchange.request)) {
		give_back(loop, place);
		return;
	}
	flight->ready_bytes += request->body.len;
	request->arrived_ms = request_arrived_ms(request->arrived);
	if (!lateness_tells(&loop->lateness, request->arrived_ms))
		request->arrived_ms = 0;
	if (lateness_is_late(&loop->lateness, request->arrived_ms)) {
		shed(loop, place);
		return;
	}
	flight->exchanges[flight->ready_count] = &place->exchange;
	flight->ready[flight->ready_count++] = place;
}

static void
open_place(struct loop *loop, int fd)
{
	struct place *place = take_place(loop);

	fcgi_open(place->fcgi, fd);
	place->fd = fd;
	/* nginx sends at once what it connects for; who does not is watched, and holds nobody up. */
	enum peer_state peer = loop->rules->keeps_connections ? PEER_SILENT : fcgi_look(place->fcgi);

	if (peer == PEER_HAS_SENT) {
		receive(loop, place);
	} else if (peer == PEER_GONE) {
		abandon(loop, place);
	} else if (!watch(loop, fd, place, EPOLLIN | EPOLLRDHUP)) {
		fcgi_close(place->fcgi);
		give_back(loop, place);
	} else if (!loop->rules->keeps_connections) {
		loop->silent_count++;
	}
}

static void
stop_accepting(struct loop *loop)
{
	if (loop->accepting)
		epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, loop->listen_fd, NULL);
	loop->accepting = false;
}

/*
 * Kept connections are all accepted. Of single ones only as many as the turn has room for: the rest waits in the socket
 * for any free process. Without a free place all wait there.
 */
static void
accept_waiting(struct loop *loop)
{
	while (loop->rules->keeps_connections || has_room(loop)) {
		if (!has_place(loop)) {
			stop_accepting(loop);
			return;
		}
		int fd = fcgi_accept(loop->listen_fd);

		if (fd < 0)
			return;
		open_place(loop, fd);
	}
}

/* Of a connection. There are never more of them than a turn has room for. */
static void
take_event(struct loop *loop, const struct epoll_event *event)
{
	struct place *place = event->data.ptr;
	bool gone = event->events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR);

	/* A request may wait for longer than its turn: until then nobody looks at its connection. */
	if (!loop->rules->keeps_connections) {
		loop->silent_count--;
		if (!gone)
			epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, place->fd, NULL);
	}
	if (gone)
		abandon(loop, place);
	else
		receive(loop, place);
}

/* When there is something to do though nothing comes in; -1: never. */
static int
patience_ms(const struct loop *loop)
{
	int patience = loop->economy ? loop->economy->timeout_ms(loop->economy->self) : -1;
	int64_t now_ms = clock_boot_ms();
	int64_t due_ms = loop->draining ? INT64_MAX : api_look_ahead_due_boot_ms(loop->api);

	for (const struct flight *flight = loop->under_way; flight; flight = flight->next)
		if (api_due_boot_ms(&flight->turn) < due_ms)
			due_ms = api_due_boot_ms(&flight->turn);
	if (due_ms == INT64_MAX)
		return patience;

	int64_t left_ms = due_ms - now_ms;
	int left = left_ms < 0 ? 0 : left_ms > INT_MAX ? INT_MAX : (int)left_ms;

	return patience < 0 || left < patience ? left : patience;
}

/* Read anew when the process was held up between them: that would look like a clock that was set. */
static int64_t
look_at_clocks(struct loop *loop)
{
	int64_t boot_ms;
	int64_t unix_ms;

	do {
		boot_ms = clock_boot_ms();
		unix_ms = clock_unix_ms();
	} while (clock_boot_ms() - boot_ms >= LATENESS_STEP_MS / 2);
	lateness_look(&loop->lateness, unix_ms, boot_ms);
	return boot_ms;
}

/* epoll_pwait lets them in only where it has to wait, which a lane that is full does not for as long as it is. */
static void
let_signals_in(struct loop *loop, int64_t now_boot_ms, const sigset_t *wait_mask)
{
	sigset_t before;

	if (now_boot_ms - loop->signals_at_boot_ms < SIGNALS_MS)
		return;
	sigprocmask(SIG_SETMASK, wait_mask, &before);
	sigprocmask(SIG_SETMASK, &before, NULL);
	loop->signals_at_boot_ms = now_boot_ms;
}

/*
 * Waits for requests and reads them; nothing is waited for once there is one. Connections that were accepted before
 * come before new ones: these might fill every turn. Returns how many events there were.
 */
static int
gather(struct loop *loop, int timeout_ms, const sigset_t *wait_mask)
{
	int count = epoll_pwait(loop->epoll_fd, loop->events, (int)loop->rules->turn, timeout_ms, wait_mask);
	bool new_ones = false;

	let_signals_in(loop, look_at_clocks(loop), wait_mask);
	for (int i = 0; i < count; i++) {
		if (!loop->events[i].data.ptr)
			new_ones = true;
		else if (loop->events[i].data.ptr != ECONOMY_PLACE) /* every look ends with driving it */
			take_event(loop, &loop->events[i]);
	}
	if (new_ones)
		accept_waiting(loop);
	return count;
}

static void
send_answer(void *context, size_t index)
{
	struct flight *flight = context;

	answer(flight->loop, flight->ready[index]);
}

/* Behind the others: who has waited longest comes first. */
static void
add_under_way(struct loop *loop, struct flight *flight)
{
	struct flight **at = &loop->under_way;

	while (*at)
		at = &(*at)->next;
	flight->next = NULL;
	*at = flight;
	loop->under_way_count++;
}

/*
 * Begins the turn of what was gathered. What cannot be answered yet stays under way, with memory of its own that goes
 * when its last answer is sent: what an outage took must not stay.
 */
static void
begin_turn(struct loop *loop)
{
	struct flight *flight = loop->gathering;

	if (flight->ready_count == 0)
		return;
	flight->turn.answered = send_answer;
	flight->turn.context = flight;

	int64_t began_us = clock_boot_us();

	api_begin(&flight->turn, loop->api, &flight->arena, flight->exchanges, flight->ready_count);
	if (loop->rules->lane == LANE_STORE)
		metrics_add(METRIC_STORE_LANE_BUSY, (uint64_t)(clock_boot_us() - began_us));
	if (flight->turn.unanswered == 0) {
		api_end(&flight->turn);
		arena_reset(&flight->arena);
		flight->ready_count = 0;
		flight->ready_bytes = 0;
		return;
	}
	add_under_way(loop, flight);
	loop->gathering = new_flight(loop);
	if (is_full(loop))
		stop_accepting(loop);
}

/*
 * Goes on with the turns that wait for the economy, or for leases to end. The latter end for all at the same time: what
 * has come meanwhile takes its turn between them.
 */
static void
continue_turns(struct loop *loop)
{
	int64_t until_ms = clock_boot_ms() + CONTINUE_MS;

	if (loop->economy)
		loop->economy->drive(loop->economy->self);
	for (struct flight **at = &loop->under_way; *at && clock_boot_ms() < until_ms;) {
		struct flight *flight = *at;

		api_continue(&flight->turn);
		if (flight->turn.unanswered) {
			at = &flight->next;
			continue;
		}
		*at = flight->next;
		loop->under_way_count--;
		api_end(&flight->turn);
		free_flight(flight);
		accept_again(loop);
	}
}

static void
loop_release(struct loop *loop)
{
	for (size_t i = 0; i < loop->used_count; i++) {
		fcgi_free(loop->places[i].fcgi);
		buf_release(&loop->places[i].exchange.response.headers);
	}
	free_flight(loop->gathering);
	free(loop->places);
	free(loop->events);
}

/*
 * What has been sent to this process already is answered, also what still waits for the economy; then the kept
 * connections, which nginx would use for ever, close, and nginx, which finds one of them closed before it got an
 * answer, asks again on a new one. It does not do so with a write: a single connection that it has made it may be about
 * to write to.
 */
static void
drain(struct loop *loop, const sigset_t *wait_mask)
{
	int64_t until_ms = clock_boot_ms() + DRAIN_MS;

	loop->draining = true;
	stop_accepting(loop);
	while (clock_boot_ms() < until_ms && gather(loop, loop->silent_count ? SILENT_MS : 0, wait_mask) > 0)
		begin_turn(loop);
	while (loop->under_way) {
		gather(loop, patience_ms(loop), wait_mask);
		begin_turn(loop);
		continue_turns(loop);
	}
}

int
lane_run(const struct lane_rules *rules, const struct api *api, int listen_fd, const volatile sig_atomic_t *stop,
	 const sigset_t *wait_mask)
{
	struct loop loop;

	if (!loop_init(&loop, rules, api, listen_fd)) {
		log_error("the lane's socket cannot be watched: %s", strerror(errno));
		return -1;
	}
	while (!*stop) {
		gather(&loop, patience_ms(&loop), wait_mask);
		begin_turn(&loop);
		continue_turns(&loop);
		api_look_ahead(api);
	}
	drain(&loop, wait_mask);
	loop_release(&loop);
	return 0;
}
