/* The calls that came last: see journey.h. */
#include "sandbox/journey.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"

enum { TEXT_SIZE = 128 };

struct step {
	char method[TEXT_SIZE];
	char path[TEXT_SIZE];
	char idempotency_key[TEXT_SIZE];
	char traceparent[TEXT_SIZE];
};

struct journey {
	pthread_mutex_t lock;
	size_t count; /* of all that ever came */
	struct step steps[JOURNEY_CALLS];
};

struct journey *
journey_new(void)
{
	struct journey *journey = calloc(1, sizeof(*journey));

	if (!journey || pthread_mutex_init(&journey->lock, NULL) != 0)
		abort();
	return journey;
}

void
journey_free(struct journey *journey)
{
	pthread_mutex_destroy(&journey->lock);
	free(journey);
}

/* What is no UTF-8 could not be printed. */
static void
keep(char to[TEXT_SIZE], const char *text)
{
	snprintf(to, TEXT_SIZE, "%s", text ? text : "");
	if (!utf8_valid(str_from(to)))
		to[0] = '\0';
}

void
journey_note(struct journey *journey, const struct server_request *request)
{
	struct step step;

	keep(step.method, request->method);
	keep(step.path, request->path);
	keep(step.idempotency_key, request->idempotency_key);
	keep(step.traceparent, request->traceparent);
	pthread_mutex_lock(&journey->lock);
	journey->steps[journey->count++ % JOURNEY_CALLS] = step;
	pthread_mutex_unlock(&journey->lock);
}

static void
print_member(struct buf *out, const char *before, const char *text)
{
	buf_cstr(out, before);
	buf_json_string(out, str_from(text));
}

void
journey_print(struct journey *journey, struct buf *out)
{
	pthread_mutex_lock(&journey->lock);
	size_t first = journey->count < JOURNEY_CALLS ? 0 : journey->count - JOURNEY_CALLS;

	buf_literal(out, "{\"calls\":[");
	for (size_t i = first; i < journey->count; i++) {
		const struct step *step = &journey->steps[i % JOURNEY_CALLS];

		print_member(out, i == first ? "{\"method\":" : ",{\"method\":", step->method);
		print_member(out, ",\"path\":", step->path);
		print_member(out, ",\"idempotency_key\":", step->idempotency_key);
		print_member(out, ",\"traceparent\":", step->traceparent);
		buf_char(out, '}');
	}
	buf_literal(out, "]}");
	pthread_mutex_unlock(&journey->lock);
}
