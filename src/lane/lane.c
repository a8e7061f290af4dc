/* A lane's process: see lane.h. */
#include "lane/lane.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "base/log.h"
#include "lane/fcgi.h"

enum { TURN_BYTES = 64 * 1024 };

struct place {
	struct fcgi *fcgi;
	struct exchange exchange;
	struct place *next_free;
};

struct loop {
	const struct lane_rules *rules;
	const struct api *api;
	int listen_fd;
	int epoll_fd;
	bool accepting;
	struct arena arena;
	struct epoll_event *events; /* rules->turn */
	struct place *places;       /* LANE_CONNECTIONS_MAX */
	struct place *free;         /* used before; never used: places[used_count] and on */
	size_t used_count;
	struct place **ready; /* rules->turn: those with a request in this turn */
	struct exchange **exchanges;
	size_t ready_count;
	size_t ready_bytes; /* of their bodies */
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

static bool
loop_init(struct loop *loop, const struct lane_rules *rules, const struct api *api, int listen_fd)
{
	*loop = (struct loop){.rules = rules, .api = api, .listen_fd = listen_fd, .accepting = true};
	arena_init(&loop->arena);
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	loop->events = allocate(rules->turn, sizeof(*loop->events));
	loop->ready = allocate(rules->turn, sizeof(struct place *));
	loop->exchanges = allocate(rules->turn, sizeof(struct exchange *));
	loop->places = allocate(LANE_CONNECTIONS_MAX, sizeof(*loop->places));
	/* Exclusive: a new connection wakes one process, not all. */
	return loop->epoll_fd >= 0 && watch(loop, listen_fd, NULL, EPOLLIN | EPOLLEXCLUSIVE);
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

/* The connection is closed: closing has taken it out of epoll. */
static void
give_back(struct loop *loop, struct place *place)
{
	place->next_free = loop->free;
	loop->free = place;
	if (!loop->accepting && !loop->draining)
		loop->accepting = watch(loop, loop->listen_fd, NULL, EPOLLIN | EPOLLEXCLUSIVE);
}

/* A turn is full by its number of requests, or by what large ones bring: nobody should wait for too much of others'
 * work. */
static bool
has_room(const struct loop *loop)
{
	return loop->ready_count < loop->rules->turn && loop->ready_bytes < TURN_BYTES;
}

static void
receive(struct loop *loop, struct place *place)
{
	if (!fcgi_receive(place->fcgi, &loop->arena, &place->exchange.request)) {
		give_back(loop, place);
		return;
	}
	loop->ready_bytes += place->exchange.request.body.len;
	loop->exchanges[loop->ready_count] = &place->exchange;
	loop->ready[loop->ready_count++] = place;
}

static void
open_place(struct loop *loop, int fd)
{
	struct place *place = take_place(loop);

	fcgi_open(place->fcgi, fd);
	/* nginx sends at once what it connects for; who does not is watched, and holds nobody up. */
	if (!loop->rules->keeps_connections && fcgi_readable(place->fcgi)) {
		receive(loop, place);
	} else if (!watch(loop, fd, place, EPOLLIN | EPOLLRDHUP)) {
		fcgi_close(place->fcgi);
		give_back(loop, place);
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

static void
take_event(struct loop *loop, const struct epoll_event *event)
{
	struct place *place = event->data.ptr;

	if (!place) {
		accept_waiting(loop);
	} else if (event->events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
		fcgi_close(place->fcgi);
		give_back(loop, place);
	} else if (loop->ready_count < loop->rules->turn) {
		receive(loop, place);
	}
}

/* Waits for requests and reads them; nothing is waited for once there is one. Returns how many events there were. */
static int
gather(struct loop *loop, int timeout_ms, const sigset_t *wait_mask)
{
	int count = epoll_pwait(loop->epoll_fd, loop->events, (int)loop->rules->turn, timeout_ms, wait_mask);

	loop->ready_count = 0;
	loop->ready_bytes = 0;
	for (int i = 0; i < count; i++)
		take_event(loop, &loop->events[i]);
	return count;
}

static void
answer(struct loop *loop)
{
	struct turn turn;

	if (loop->ready_count == 0)
		return;
	api_turn(loop->api, &turn, &loop->arena, loop->exchanges, loop->ready_count);
	for (size_t i = 0; i < loop->ready_count; i++) {
		struct place *place = loop->ready[i];
		bool kept = fcgi_answer(place->fcgi, &place->exchange.response);

		if (kept && !loop->rules->keeps_connections) {
			fcgi_close(place->fcgi);
			kept = false;
		}
		if (!kept)
			give_back(loop, place);
	}
	api_after(&turn);
	arena_reset(&loop->arena);
}

static void
loop_release(struct loop *loop)
{
	for (size_t i = 0; i < loop->used_count; i++) {
		fcgi_free(loop->places[i].fcgi);
		buf_release(&loop->places[i].exchange.response.headers);
	}
	free(loop->places);
	free(loop->exchanges);
	free(loop->ready);
	free(loop->events);
	arena_release(&loop->arena);
}

/*
 * What has been sent to this process already is answered; then the kept connections close, and nginx, which finds one
 * of them closed before it got an answer, asks again on a new one.
 */
static void
drain(struct loop *loop, const sigset_t *wait_mask)
{
	loop->draining = true;
	stop_accepting(loop);
	for (size_t tries = 0; tries < LANE_CONNECTIONS_MAX && gather(loop, 0, wait_mask) > 0; tries++)
		answer(loop);
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
		gather(&loop, -1, wait_mask);
		answer(&loop);
	}
	drain(&loop, wait_mask);
	loop_release(&loop);
	return 0;
}
