/*
 * The client of the economy service against a peer that is late, silent, cuts its answers off, floods, lies about
 * lengths and closes connections: each of these must come out as unknown, in time, with nothing left behind.
 */
#include "economy/economy.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/trace.h"
#include "economy_peer.h"
#include "tap.h"

enum { TIMEOUT_MS = 600, CONNECT_TIMEOUT_MS = 300, PATIENCE_MS = 20000, MANY = 200, SLOW_NAME_MS = 1500 };

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

#define TOKEN  "s3cr3t-token"
#define ECHOED "\"key\":\"@\",\"player\":\"p-1\",\"currency\":\"gems\",\"amount\":950"
#define RIGHT  "{\"transaction\":\"t-1\"," ECHOED ",\"state\":\"executed\"}"
#define KEY    "0198c0de-0000-7000-8000-000000000001"
#define FIXED  "{\"key\":\"" KEY "\",\"player\":\"p-1\",\"currency\":\"gems\",\"amount\":950}"
#define TRACE  "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
#define TRACED "00-0af7651916cd43dd8448eb211c80319c-"

static struct economy_peer peer;
static struct economy *economy;
static const struct economy_port *port;
static struct conf conf;
static char url[96], token[32], ca_file[1];
static struct economy_call calls[MANY];

/* --- what each test starts from --- */

static unsigned
open_descriptors(void)
{
	DIR *folder = opendir("/proc/self/fd");
	unsigned count = 0;

	if (!folder)
		abort();
	while (readdir(folder))
		count++;
	closedir(folder);
	return count;
}

static unsigned descriptors;

static void
open_at(const char *address)
{
	descriptors = open_descriptors();
	snprintf(url, sizeof(url), "%s", address);
	snprintf(token, sizeof(token), TOKEN);
	conf.economy.url = url;
	conf.economy.token = token;
	conf.economy.ca_file = ca_file;
	conf.economy.connect_timeout_ms = CONNECT_TIMEOUT_MS;
	conf.economy.timeout_ms = TIMEOUT_MS;
	economy = economy_new(&conf);
	port = economy_port(economy);
}

static void
shut(void)
{
	economy_free(economy);
	CU_ASSERT_EQUAL(open_descriptors(), descriptors);
}

static void
open_to_peer(const struct peer_order *order)
{
	economy_peer_order(&peer, order);
	open_at(peer.url);
}

static struct economy_call *
make_call(size_t number, enum economy_verb verb)
{
	struct economy_call *call = &calls[number];

	*call = (struct economy_call){.verb = verb,
				      .player = STR("p-1"),
				      .currency = STR("gems"),
				      .amount = 950,
				      .kind = STR("item"),
				      .item = STR("sword \"of\" dawn"),
				      .quantity = 2,
				      .reference = STR("s1/premium"),
				      .traceparent = STR(TRACE)};
	if (!uuid_parse(STR(KEY), &call->key))
		abort();
	call->key.bytes[14] = (unsigned char)(number >> 8);
	call->key.bytes[15] = (unsigned char)(number + 1);
	return call;
}

static struct economy_call *
begin(size_t number, enum economy_verb verb)
{
	struct economy_call *call = make_call(number, verb);

	port->begin(port->self, call);
	return call;
}

/* One turn of a loop as a lane has it: only the descriptor and the time are known. */
static void
turn(int most_ms)
{
	struct pollfd watched = {.fd = port->fd(port->self), .events = POLLIN};
	int due_ms = port->timeout_ms(port->self);

	poll(&watched, 1, due_ms < 0 || due_ms > most_ms ? most_ms : due_ms);
	port->drive(port->self);
}

static void
turns(int64_t ms)
{
	for (int64_t until = clock_boot_ms() + ms; clock_boot_ms() < until;)
		turn(10);
}

static size_t
count_waiting(size_t count)
{
	size_t waiting = 0;

	for (size_t i = 0; i < count; i++)
		waiting += calls[i].outcome == ECONOMY_WAITING;
	return waiting;
}

/* Until all of them are decided; the milliseconds it took. */
static int64_t
finish(size_t count)
{
	int64_t begun_ms = clock_boot_ms();

	while (count_waiting(count) && clock_boot_ms() < begun_ms + PATIENCE_MS)
		turn(PATIENCE_MS);
	CU_ASSERT_EQUAL(count_waiting(count), 0);
	for (size_t i = 0; i < count; i++)
		CU_ASSERT_PTR_NULL(calls[i].transfer);
	return clock_boot_ms() - begun_ms;
}

static enum economy_outcome
ask(enum economy_verb verb)
{
	begin(0, verb);
	finish(1);
	return calls[0].outcome;
}

/* Waits until the peer has seen it; false: it never did. */
static bool
peer_sees(const atomic_uint *counter, unsigned count)
{
	for (int64_t until = clock_boot_ms() + PATIENCE_MS; clock_boot_ms() < until;) {
		if (*counter == count)
			return true;
		turn(5);
	}
	printf("# %u, not %u\n", *counter, count);
	return false;
}

/* --- requests --- */

static bool
seen(const char *text)
{
	if (strcasestr(peer.state->seen, text))
		return true;
	printf("# not in the request: %s\n", text);
	return false;
}

/* One traceparent, valid, that begins and ends like this; and its parent is not the one we were given. */
static bool
sent_trace(const char *begin, const char *end)
{
	static const char name[] = "\r\ntraceparent: ";
	const char *at = strstr(peer.state->seen, name);
	struct str trace = {at ? at + strlen(name) : "", at ? strcspn(at + strlen(name), "\r") : 0};

	return trace_valid(trace) && !strstr(trace.ptr, name) && !strstr(trace.ptr, "b7ad6b7169203331") &&
	       strncmp(trace.ptr, begin, strlen(begin)) == 0 &&
	       strncmp(trace.ptr + trace.len - strlen(end), end, strlen(end)) == 0;
}

static void
test_requests(void)
{
	static const struct {
		enum economy_verb verb;
		unsigned status;
		const char *text; /* of the answer */
		enum economy_outcome outcome;
		const char *line;
		const char *end; /* of the request */
		bool keyed;
	} cases[] = {
		{ECONOMY_DEBIT, 201, RIGHT, ECONOMY_EXECUTED, "POST /v1/debits HTTP/1.1\r\n",
		 "\r\n\r\n{\"player\":\"p-1\",\"currency\":\"gems\",\"amount\":950,\"reference\":\"s1/premium\"}",
		 true},
		{ECONOMY_LOOKUP, 200, RIGHT, ECONOMY_EXECUTED, "GET /v1/debits/" KEY " HTTP/1.1\r\n", "\r\n\r\n",
		 false},
		{ECONOMY_CANCEL, 200, "{\"key\":\"@\",\"state\":\"voided\"}", ECONOMY_VOIDED,
		 "POST /v1/debits/" KEY "/cancel HTTP/1.1\r\n", "\r\n\r\n", false},
		{ECONOMY_REFUND, 200, "{\"key\":\"@\",\"state\":\"refunded\"}", ECONOMY_REFUNDED,
		 "POST /v1/debits/" KEY "/refund HTTP/1.1\r\n", "\r\n\r\n", false},
		{ECONOMY_DELIVER, 201, "{\"key\":\"@\"}", ECONOMY_DELIVERED, "POST /v1/deliveries HTTP/1.1\r\n",
		 "\r\n\r\n{\"player\":\"p-1\",\"kind\":\"item\",\"item\":\"sword \\\"of\\\" dawn\",\"quantity\":2,"
		 "\"reference\":\"s1/premium\"}",
		 true},
	};

	/* All on one connection and one handle, twice over: nothing of one call is left in the next. */
	open_to_peer(&(struct peer_order){.status = 200});
	for (size_t i = 0; i < 2 * COUNT_OF(cases); i++) {
		size_t at = i % COUNT_OF(cases);
		struct peer_order order = {.status = cases[at].status};

		snprintf(order.text, sizeof(order.text), "%s", cases[at].text);
		economy_peer_order(&peer, &order);
		CU_ASSERT_EQUAL(ask(cases[at].verb), cases[at].outcome);
		CU_ASSERT_STRING_EQUAL(calls[0].detail, "");
		const char *request = peer.state->seen, *body = strstr(request, "\r\n\r\n");

		CU_ASSERT_EQUAL(strncmp(request, cases[at].line, strlen(cases[at].line)), 0);
		CU_ASSERT_STRING_EQUAL(body ? body : "", cases[at].end);
		CU_ASSERT(seen("\r\nAuthorization: Bearer " TOKEN "\r\n"));
		CU_ASSERT(sent_trace(TRACED, "-01"));
		CU_ASSERT_EQUAL(strstr(request, "\r\nIdempotency-Key: " KEY "\r\n") != NULL, cases[at].keyed);
		CU_ASSERT_EQUAL(strstr(request, "\r\nContent-Type: application/json\r\n") != NULL, cases[at].keyed);
		CU_ASSERT_EQUAL(strcasestr(request, "Content-Length:") != NULL, cases[at].verb != ECONOMY_LOOKUP);
		CU_ASSERT_PTR_NULL(strcasestr(request, "form-urlencoded"));
		CU_ASSERT_PTR_NULL(strcasestr(request, "Expect:"));
		CU_ASSERT_PTR_NULL(strcasestr(request, "Accept-Encoding:"));
		CU_ASSERT_PTR_NULL(strcasestr(request, "Cookie:"));
		CU_ASSERT_EQUAL(peer.state->connections, i == 0);
	}
	shut();
}

static void
test_without_token(void)
{
	static const char forged[] = "00-1\r\nX-Forged: 1";

	open_to_peer(&(struct peer_order){.status = 201, .text = RIGHT});
	token[0] = '\0';
	make_call(0, ECONOMY_DEBIT)->traceparent = str_from(forged);
	port->begin(port->self, &calls[0]);
	finish(1);
	CU_ASSERT_EQUAL(calls[0].outcome, ECONOMY_EXECUTED);
	CU_ASSERT_PTR_NULL(strcasestr(peer.state->seen, "Authorization"));
	CU_ASSERT_PTR_NULL(strcasestr(peer.state->seen, "Forged"));
	CU_ASSERT(sent_trace("", "-00"));
	make_call(0, ECONOMY_DEBIT)->traceparent = STR_NONE;
	port->begin(port->self, &calls[0]);
	finish(1);
	CU_ASSERT_EQUAL(calls[0].outcome, ECONOMY_EXECUTED);
	CU_ASSERT(sent_trace("", "-00"));
	shut();
}

static void
test_base_address(void)
{
	char address[96];

	economy_peer_order(&peer, &(struct peer_order){.status = 201, .text = RIGHT});
	snprintf(address, sizeof(address), "%s/base/", peer.url);
	open_at(address);
	CU_ASSERT_EQUAL(ask(ECONOMY_DEBIT), ECONOMY_EXECUTED);
	CU_ASSERT_EQUAL(strncmp(peer.state->seen, "POST /base/v1/debits HTTP", 25), 0);
	shut();
}

/* Nothing in the environment may send the calls, and the token, to somebody else. */
static void
test_environment(void)
{
	setenv("http_proxy", "http://127.0.0.1:1", 1);
	setenv("all_proxy", "http://127.0.0.1:1", 1);
	open_to_peer(&(struct peer_order){.status = 201, .text = RIGHT});
	CU_ASSERT_EQUAL(ask(ECONOMY_DEBIT), ECONOMY_EXECUTED);
	CU_ASSERT_EQUAL(strncmp(peer.state->seen, "POST /v1/debits HTTP", 20), 0);
	shut();
	unsetenv("http_proxy");
	unsetenv("all_proxy");
}

/* --- answers that prove nothing --- */

#define HEAD(length) "HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: " length "\r\n\r\n"

/* The length of FIXED, as the lies below need it. */
_Static_assert(sizeof(FIXED) - 1 == 92, "the lengths below are made for it");

static const struct trouble {
	const char *name;
	struct peer_order order;
	const char *detail; /* NULL: any */
} troubles[] = {
	{"never", {.manner = PEER_SILENT}, "timeout after 600 ms"},
	{"late", {.status = 201, .delay_ms = TIMEOUT_MS + 300, .text = RIGHT}, "timeout after 600 ms"},
	{"closed without an answer", {.mute_from = 1}, "Server returned nothing (no headers, no data)"},
	{"500", {.status = 500, .text = "{\"code\":\"internal\"}"}, "HTTP 500 internal"},
	{"503 with a right echo", {.status = 503, .text = RIGHT}, "HTTP 503"},
	{"202 with a right echo", {.status = 202, .text = RIGHT}, "HTTP 202"},
	{"429", {.status = 429, .text = "{}"}, "HTTP 429"},
	{"no body", {.status = 201}, "HTTP 201, and the body is not JSON"},
	{"204", {PEER_RAW, .text = "HTTP/1.1 204 x\r\n\r\n"}, "HTTP 204, and the body is not JSON"},
	{"another amount",
	 {.status = 201, .text = "{\"key\":\"@\",\"player\":\"p-1\",\"currency\":\"gems\",\"amount\":951}"},
	 "the echo names another amount"},
	{"10 MB", {PEER_FLOOD_BODY, .text = FIXED}, "the answer is larger than 65536 bytes"},
	{"10 MB in chunks", {PEER_FLOOD_CHUNKED, .text = FIXED}, "the answer is larger than 65536 bytes"},
	{"10 MB of headers", {.manner = PEER_FLOOD_HEAD}, "the answer is larger than 65536 bytes"},
	{"a right body that is cut by the end of the connection",
	 {PEER_RAW, .hang_up = true, .text = HEAD("93") FIXED},
	 NULL},
	{"a longer length than there is", {PEER_RAW, .text = HEAD("93") FIXED}, "timeout after 600 ms"},
	{"a shorter length than there is", {PEER_RAW, .text = HEAD("91") FIXED}, "HTTP 201, and the body is not JSON"},
	{"a length below zero", {PEER_RAW, .hang_up = true, .text = HEAD("-1") "{}"}, NULL},
	{"a length that is none", {PEER_RAW, .hang_up = true, .text = HEAD("many") "{}"}, NULL},
	{"a cut head", {PEER_RAW, .hang_up = true, .text = "HTTP/1.1 201 Cre"}, NULL},
	{"a head without end", {PEER_RAW, .text = "HTTP/1.1 201 Created\r\nContent-Le"}, "timeout after 600 ms"},
	{"nothing but 100", {PEER_RAW, .text = "HTTP/1.1 100 Continue\r\n\r\n"}, "timeout after 600 ms"},
	{"a chunk without end",
	 {PEER_RAW, .hang_up = true, .text = "HTTP/1.1 201 x\r\nTransfer-Encoding: chunked\r\n\r\n5c\r\n" FIXED "\r\n"},
	 NULL},
	{"a chunk of odd size",
	 {PEER_RAW, .text = "HTTP/1.1 201 x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n" FIXED},
	 NULL},
	{"said to be compressed",
	 {PEER_RAW, .text = "HTTP/1.1 201 x\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n"
			    "\x1f\x8b\x08\x01"},
	 "HTTP 201, and the body is not JSON"},
	{"HTTP/0.9", {PEER_RAW, .hang_up = true, .text = FIXED}, "Unsupported protocol"},
	{"another protocol", {PEER_RAW, .hang_up = true, .text = "+OK ready\r\n"}, NULL},
	{"an odd version", {PEER_RAW, .hang_up = true, .text = "HTTP/7.5 201 x\r\n\r\n" FIXED}, NULL},
	{"an odd status", {PEER_RAW, .hang_up = true, .text = "HTTP/1.1 2x1 x\r\n\r\n" FIXED}, NULL},
	{"bytes", {PEER_RAW, .hang_up = true, .text = "\xff\xfe\x01\r\n\r\n\x80\x81"}, NULL},
	{"a redirect",
	 {PEER_RAW, .text = "HTTP/1.1 307 x\r\nLocation: /v1/elsewhere\r\nContent-Length: 0\r\n\r\n"},
	 "HTTP 307"},
	{"another address",
	 {PEER_RAW, .text = "HTTP/1.1 302 x\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n"},
	 "HTTP 302"},
	{"a challenge",
	 {PEER_RAW, .text = "HTTP/1.1 401 x\r\nWWW-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n"},
	 "HTTP 401"},
};

/* Each of them, and then a right answer to the same client. */
static void
test_troubles(void)
{
	struct peer_order right = {.status = 201, .text = RIGHT};

	for (size_t i = 0; i < COUNT_OF(troubles); i++) {
		const struct trouble *trouble = &troubles[i];

		open_to_peer(&trouble->order);
		enum economy_outcome outcome = ask(ECONOMY_DEBIT);
		unsigned requests = peer.state->requests;
		struct economy_call call = calls[0];
		bool detailed = trouble->detail ? strcmp(call.detail, trouble->detail) == 0 : call.detail[0];

		economy_peer_order(&peer, &right);
		enum economy_outcome next = ask(ECONOMY_DEBIT);

		shut();
		if (outcome == ECONOMY_UNKNOWN && detailed && requests == 1 && next == ECONOMY_EXECUTED)
			continue;
		printf("# %s: %d, \"%s\", %u requests; the next: %d\n", trouble->name, (int)outcome, call.detail,
		       requests, (int)next);
		CU_FAIL("trouble was not handled");
	}
}

/* What comes behind an answer is never taken for the next one. */
static void
test_two_answers(void)
{
	struct peer_order order = {.manner = PEER_RAW};

	snprintf(order.text, sizeof(order.text),
		 "HTTP/1.1 402 x\r\nContent-Length: 19\r\n\r\n{\"code\":\"declined\"}"
		 "HTTP/1.1 409 x\r\nContent-Length: 17\r\n\r\n{\"code\":\"voided\"}");
	open_to_peer(&order);
	CU_ASSERT_EQUAL(ask(ECONOMY_DEBIT), ECONOMY_DECLINED);
	economy_peer_order(&peer, &(struct peer_order){.status = 201, .text = RIGHT});
	CU_ASSERT_EQUAL(ask(ECONOMY_DEBIT), ECONOMY_EXECUTED);
	CU_ASSERT_EQUAL(peer.state->requests, 1);
	shut();
}

/* --- connections --- */

static void
test_kept_connections(void)
{
	open_to_peer(&(struct peer_order){.status = 201, .text = RIGHT});
	for (int i = 0; i < 10; i++)
		CU_ASSERT_EQUAL(ask(ECONOMY_DEBIT), ECONOMY_EXECUTED);
	CU_ASSERT_EQUAL(peer.state->connections, 1);
	shut();

	/* Closed by the peer between the calls. */
	open_to_peer(&(struct peer_order){.status = 201, .hang_up = true, .text = RIGHT});
	for (int i = 0; i < 10; i++)
		CU_ASSERT_EQUAL(ask(ECONOMY_DEBIT), ECONOMY_EXECUTED);
	CU_ASSERT_EQUAL(peer.state->requests, 10);
	CU_ASSERT_EQUAL(peer.state->connections, 10);
	shut();

	/* Closed when the second request has come: asked once more, with the same key, on a new one. */
	open_to_peer(&(struct peer_order){.status = 201, .mute_from = 2, .text = RIGHT});
	CU_ASSERT_EQUAL(ask(ECONOMY_DEBIT), ECONOMY_EXECUTED);
	CU_ASSERT_EQUAL(ask(ECONOMY_DEBIT), ECONOMY_EXECUTED);
	CU_ASSERT_EQUAL(peer.state->requests, 3);
	CU_ASSERT_EQUAL(peer.state->connections, 2);
	CU_ASSERT(seen("\r\nIdempotency-Key: " KEY "\r\n"));
	shut();
}

static void
test_together(void)
{
	enum { DELAY_MS = 250 };

	open_to_peer(&(struct peer_order){.status = 201, .delay_ms = DELAY_MS, .text = RIGHT});
	for (size_t i = 0; i < ECONOMY_CONNECTIONS; i++)
		begin(i, ECONOMY_DEBIT);
	int64_t took_ms = finish(ECONOMY_CONNECTIONS);

	for (size_t i = 0; i < ECONOMY_CONNECTIONS; i++)
		CU_ASSERT_EQUAL(calls[i].outcome, ECONOMY_EXECUTED);
	CU_ASSERT_EQUAL(peer.state->most_together, ECONOMY_CONNECTIONS);
	CU_ASSERT(took_ms >= DELAY_MS);
	CU_ASSERT(took_ms < (int64_t)DELAY_MS * ECONOMY_CONNECTIONS / 8);
	shut();
}

static void
test_queue(void)
{
	open_to_peer(&(struct peer_order){.status = 201, .delay_ms = 50, .text = RIGHT});
	conf.economy.timeout_ms = PATIENCE_MS;
	for (size_t i = 0; i < MANY; i++)
		begin(i, i % 2 ? ECONOMY_DEBIT : ECONOMY_LOOKUP);
	finish(MANY);
	for (size_t i = 0; i < MANY; i++)
		CU_ASSERT_EQUAL(calls[i].outcome, i % 2 ? ECONOMY_EXECUTED : ECONOMY_UNKNOWN);
	CU_ASSERT_EQUAL(peer.state->requests, MANY);
	CU_ASSERT_EQUAL(peer.state->most_together, ECONOMY_CONNECTIONS);
	CU_ASSERT_EQUAL(peer.state->connections, ECONOMY_CONNECTIONS);
	shut();
}

/* A call that stands behind others that hang is not given more time than they are. */
static void
test_queued_time_counts(void)
{
	enum { HANGING = 2 * ECONOMY_CONNECTIONS + 10 };

	open_to_peer(&(struct peer_order){.manner = PEER_SILENT});
	for (size_t i = 0; i < HANGING; i++)
		begin(i, ECONOMY_DEBIT);
	int64_t took_ms = finish(HANGING);

	CU_ASSERT(took_ms >= TIMEOUT_MS && took_ms < 2 * TIMEOUT_MS);
	for (size_t i = 0; i < HANGING; i++)
		CU_ASSERT_STRING_EQUAL(calls[i].detail, "timeout after 600 ms");
	CU_ASSERT(peer.state->most_together <= ECONOMY_CONNECTIONS);
	CU_ASSERT(peer_sees(&peer.state->open, 0));
	economy_peer_order(&peer, &(struct peer_order){.status = 201, .text = RIGHT});
	CU_ASSERT_EQUAL(ask(ECONOMY_DEBIT), ECONOMY_EXECUTED);
	shut();
}

/* A listener whose queue is full: a connection to it is neither made nor refused. */
struct black_hole {
	int listener;
	int fillers[4];
};

static unsigned
dig(struct black_hole *hole)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t size = sizeof(address);

	hole->listener = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(hole->listener, (struct sockaddr *)&address, size) || listen(hole->listener, 0) ||
	    getsockname(hole->listener, (struct sockaddr *)&address, &size))
		abort();
	for (size_t i = 0; i < COUNT_OF(hole->fillers); i++) {
		hole->fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		connect(hole->fillers[i], (struct sockaddr *)&address, size);
	}
	return ntohs(address.sin_port);
}

static void
fill_in(struct black_hole *hole)
{
	close(hole->listener);
	for (size_t i = 0; i < COUNT_OF(hole->fillers); i++)
		close(hole->fillers[i]);
}

static void
test_connecting(void)
{
	struct black_hole hole;
	char address[96];
	unsigned hole_port = dig(&hole);

	snprintf(address, sizeof(address), "http://127.0.0.1:%u", hole_port);
	open_at(address);
	CU_ASSERT_EQUAL(ask(ECONOMY_DEBIT), ECONOMY_UNKNOWN);
	CU_ASSERT_STRING_EQUAL(calls[0].detail, "no connection within 300 ms");
	begin(0, ECONOMY_DEBIT);
	turns(30);
	CU_ASSERT_EQUAL(calls[0].outcome, ECONOMY_WAITING);
	port->abandon(port->self, &calls[0]);
	CU_ASSERT_EQUAL(calls[0].outcome, ECONOMY_UNKNOWN);
	/* A call's own time is kept although there would be more for the connection. */
	conf.economy.connect_timeout_ms = PATIENCE_MS;
	begin(0, ECONOMY_DEBIT);
	CU_ASSERT(finish(1) < PATIENCE_MS / 4);
	CU_ASSERT_STRING_EQUAL(calls[0].detail, "timeout after 600 ms");
	shut();
	fill_in(&hole);

	/* Nobody listens there any more. */
	open_at(address);
	CU_ASSERT_EQUAL(ask(ECONOMY_DEBIT), ECONOMY_UNKNOWN);
	CU_ASSERT_STRING_EQUAL(calls[0].detail, "Couldn't connect to server");
	shut();
}

static void
test_odd_addresses(void)
{
	static const struct {
		const char *address;
		const char *detail; /* NULL: any */
	} cases[] = {
		{"", NULL},
		{"not an address", NULL},
		{"http://", NULL},
		{"http://127.0.0.1:99999", NULL},
		{"file:///etc", "Unsupported protocol"},
		{"ftp://127.0.0.1:1", "Unsupported protocol"},
		{"gopher://127.0.0.1:1", "Unsupported protocol"},
	};

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		open_at(cases[i].address);
		CU_ASSERT_EQUAL(ask(ECONOMY_LOOKUP), ECONOMY_UNKNOWN);
		CU_ASSERT_NOT_EQUAL(calls[0].detail[0], '\0');
		if (cases[i].detail)
			CU_ASSERT_STRING_EQUAL(calls[0].detail, cases[i].detail);
		shut();
	}
}

/* A peer that speaks no TLS, and does not get anything to read either. */
static void
test_https(void)
{
	char address[96];

	economy_peer_order(&peer, &(struct peer_order){.status = 201, .text = RIGHT});
	snprintf(address, sizeof(address), "https%s", peer.url + strlen("http"));
	open_at(address);
	CU_ASSERT_EQUAL(ask(ECONOMY_DEBIT), ECONOMY_UNKNOWN);
	CU_ASSERT_EQUAL(peer.state->requests, 0);
	shut();
}

/* --- giving up --- */

static void
abandon(size_t number)
{
	port->abandon(port->self, &calls[number]);
	CU_ASSERT_EQUAL(calls[number].outcome, ECONOMY_UNKNOWN);
	CU_ASSERT_STRING_EQUAL(calls[number].detail, "abandoned before the answer came");
	CU_ASSERT_PTR_NULL(calls[number].transfer);
}

static void
test_abandon(void)
{
	static const struct peer_order right = {.status = 201, .text = RIGHT}, silent = {.manner = PEER_SILENT},
				       half = {PEER_RAW, .text = HEAD("92") "{\"key\":"};

	/* Before anything was sent. */
	open_to_peer(&right);
	begin(0, ECONOMY_DEBIT);
	abandon(0);
	turns(30);
	CU_ASSERT_EQUAL(peer.state->connections, 0);

	/* While the answer is waited for; the connection is closed, and another call is not touched. */
	economy_peer_order(&peer, &silent);
	begin(0, ECONOMY_DEBIT);
	begin(1, ECONOMY_DEBIT);
	CU_ASSERT(peer_sees(&peer.state->requests, 2));
	CU_ASSERT_EQUAL(peer.state->open, 2);
	abandon(0);
	CU_ASSERT(peer_sees(&peer.state->open, 1));
	CU_ASSERT_EQUAL(calls[1].outcome, ECONOMY_WAITING);
	abandon(1);
	CU_ASSERT(peer_sees(&peer.state->open, 0));

	/* In the middle of the answer. */
	economy_peer_order(&peer, &half);
	begin(0, ECONOMY_DEBIT);
	CU_ASSERT(peer_sees(&peer.state->requests, 1));
	turns(50);
	CU_ASSERT_EQUAL(calls[0].outcome, ECONOMY_WAITING);
	abandon(0);
	CU_ASSERT(peer_sees(&peer.state->open, 0));

	/* When the answer lies there and nobody has looked yet. */
	economy_peer_order(&peer, &right);
	begin(0, ECONOMY_DEBIT);
	CU_ASSERT(peer_sees(&peer.state->connections, 1));
	clock_sleep_ms(100);
	if (calls[0].outcome == ECONOMY_WAITING)
		abandon(0);

	/* After it is decided: nothing changes. */
	CU_ASSERT_EQUAL(ask(ECONOMY_DEBIT), ECONOMY_EXECUTED);
	port->abandon(port->self, &calls[0]);
	CU_ASSERT_EQUAL(calls[0].outcome, ECONOMY_EXECUTED);
	CU_ASSERT_EQUAL(port->timeout_ms(port->self) < 0 || count_waiting(1) == 0, true);
	shut();
}

/* Out of the queue, and the queue goes on when those before it are gone. */
static void
test_abandon_queued(void)
{
	open_to_peer(&(struct peer_order){.manner = PEER_SILENT});
	for (size_t i = 0; i < ECONOMY_CONNECTIONS + 2; i++)
		begin(i, ECONOMY_DEBIT);
	CU_ASSERT(peer_sees(&peer.state->requests, ECONOMY_CONNECTIONS));
	abandon(ECONOMY_CONNECTIONS);
	abandon(0);
	CU_ASSERT(peer_sees(&peer.state->requests, ECONOMY_CONNECTIONS + 1));
	CU_ASSERT_EQUAL(calls[ECONOMY_CONNECTIONS + 1].outcome, ECONOMY_WAITING);
	for (size_t i = 1; i < ECONOMY_CONNECTIONS + 2; i++)
		if (i != ECONOMY_CONNECTIONS)
			abandon(i);
	CU_ASSERT(peer_sees(&peer.state->open, 0));
	shut();
}

static void
test_free(void)
{
	open_to_peer(&(struct peer_order){.manner = PEER_SILENT});
	for (size_t i = 0; i < MANY; i++)
		begin(i, ECONOMY_DEBIT);
	turns(50);
	shut();
	CU_ASSERT_EQUAL(count_waiting(MANY), 0);
	for (size_t i = 0; i < MANY; i++)
		CU_ASSERT_EQUAL(calls[i].outcome, ECONOMY_UNKNOWN);
	economy_free(NULL);
}

/* Random begins, abandons and answers of all kinds: whatever is decided is decided rightly. */
static void
test_random_course(void)
{
	unsigned long long state = tap_seed();
	unsigned executed = 0;

	open_to_peer(&(struct peer_order){.status = 201, .delay_ms = 3, .mute_from = 5, .text = RIGHT});
	memset(calls, 0, sizeof(calls));
	for (unsigned step = 0; step < 3000; step++) {
		state = state * 6364136223846793005ULL + 1442695040888963407ULL;
		size_t number = (size_t)(state >> 33) % MANY;

		if (!calls[number].transfer) {
			executed += calls[number].outcome == ECONOMY_EXECUTED;
			begin(number, ECONOMY_DEBIT);
		} else if (state >> 62 == 0) {
			abandon(number);
		}
		if (step % 8 == 0)
			turn(5);
		CU_ASSERT_EQUAL(calls[number].transfer != NULL, calls[number].outcome == ECONOMY_WAITING);
	}
	finish(MANY);
	CU_ASSERT(executed > 100);
	CU_ASSERT(peer.state->most_together <= 2 * ECONOMY_CONNECTIONS); /* the abandoned are seen a little later */
	shut();
}

/* --- names --- */

static atomic_uint lookups_under_way;

/* Stands before the C library's own: looking up one name takes long. */
int
getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **ret)
{
	static int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);

	if (name && strcmp(name, "slow.test") == 0) {
		lookups_under_way++;
		clock_sleep_ms(SLOW_NAME_MS);
		lookups_under_way--;
		return EAI_AGAIN;
	}
	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
	return real(name, service, hints, ret);
}

static void
test_slow_name(void)
{
	int64_t begun_ms = clock_boot_ms();

	open_at("http://slow.test:1");
	conf.economy.connect_timeout_ms = PATIENCE_MS;
	begin(0, ECONOMY_DEBIT);
	begin(1, ECONOMY_DEBIT);
	turns(100);
	CU_ASSERT(lookups_under_way > 0);
	CU_ASSERT_EQUAL(calls[0].outcome, ECONOMY_WAITING);
	abandon(0);
	CU_ASSERT(clock_boot_ms() - begun_ms < SLOW_NAME_MS - 300);
	finish(2);
	CU_ASSERT_STRING_EQUAL(calls[1].detail, "timeout after 600 ms");
	CU_ASSERT(clock_boot_ms() - begun_ms < SLOW_NAME_MS - 300);
	while (lookups_under_way)
		clock_sleep_ms(10);
	clock_sleep_ms(50);
	shut();
}

int
main(void)
{
	CU_TestInfo tests[] = {
		{"the requests are as agreed", test_requests},
		{"no token, and nothing forged in a header", test_without_token},
		{"a base address with a path", test_base_address},
		{"the environment does not matter", test_environment},
		{"answers that prove nothing", test_troubles},
		{"two answers to one request", test_two_answers},
		{"connections are kept, and may be closed by the peer", test_kept_connections},
		{"calls go out together", test_together},
		{"more calls than connections", test_queue},
		{"time in the queue counts", test_queued_time_counts},
		{"no connection", test_connecting},
		{"odd addresses", test_odd_addresses},
		{"https to a peer without TLS", test_https},
		{"abandoned in each phase", test_abandon},
		{"abandoned in the queue", test_abandon_queued},
		{"freed with calls under way", test_free},
		{"a random course", test_random_course},
		{"a name that takes long to look up", test_slow_name},
		CU_TEST_INFO_NULL,
	};

	signal(SIGPIPE, SIG_IGN);
	economy_library_init();
	economy_peer_start(&peer);
	int status = tap_main("economy_client", tests);

	economy_peer_stop(&peer);
	return status;
}
