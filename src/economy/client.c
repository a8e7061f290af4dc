/*
 * The transfers: see economy.h. The only file that includes curl.h. libcurl says which sockets it watches and when it
 * wants to be called; both are kept in an epoll of our own, so that whoever drives us needs to know one descriptor and
 * one time. What an answer means is not decided here.
 */
#include "economy/economy.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <unistd.h>

#include <curl/curl.h>

#include "base/clock.h"
#include "base/trace.h"
#include "economy/answer.h"
#include "economy/verbs.h"

enum {
	EVENTS_MAX = 4 * ECONOMY_CONNECTIONS, /* more sockets than there can be: all that is ready is seen at once */
	SPARE_MAX = ECONOMY_CONNECTIONS,
};

/* A request on its way. Kept for the next one when it is done: setting one up costs more than sending it. */
struct transfer {
	TAILQ_ENTRY(transfer) link;
	CURL *easy;
	struct curl_slist *headers;
	struct buf address;
	struct buf request;
	struct buf answer;
	size_t received; /* bytes of the answer so far, its head too */
	int64_t deadline_boot_ms;
	struct economy_call *call;
};

TAILQ_HEAD(transfers, transfer);

struct economy {
	const struct conf *conf;
	struct economy_port port;
	CURLM *multi;
	int epoll;
	int64_t curl_due_boot_ms; /* -1: libcurl waits for sockets only */
	struct transfers waiting; /* the earliest deadline first */
	struct transfers spare;
	size_t spare_count;
};

/* Options that every transfer has; what is off by default stands here when something depends on its being off. */
static const struct {
	CURLoption option;
	long value;
} fixed_options[] = {
	{CURLOPT_NOSIGNAL, 1},
	{CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1},
	{CURLOPT_HTTP09_ALLOWED, 0},
	{CURLOPT_FOLLOWLOCATION, 0},
	{CURLOPT_NETRC, CURL_NETRC_IGNORED},
	{CURLOPT_SSL_VERIFYPEER, 1},
	{CURLOPT_SSL_VERIFYHOST, 2},
	{CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2},
	{CURLOPT_QUICK_EXIT, 1}, /* nobody waits for the thread that looks up a name */
};

/* Options fail for want of memory, or because libcurl was built without what we cannot do without. */
static void
must(CURLcode code)
{
	if (code != CURLE_OK)
		abort();
}

static void
must_multi(CURLMcode code)
{
	if (code != CURLM_OK)
		abort();
}

void
economy_library_init(void)
{
	must(curl_global_init(CURL_GLOBAL_DEFAULT));
}

/* --- what libcurl asks for --- */

static int
watch_socket(CURL *easy, curl_socket_t fd, int what, void *self, void *unused)
{
	struct economy *economy = self;
	struct epoll_event event = {.data.fd = fd};

	(void)easy;
	(void)unused;
	if (what == CURL_POLL_REMOVE) {
		/* Where it is closed already, the kernel has forgotten it by itself. */
		epoll_ctl(economy->epoll, EPOLL_CTL_DEL, fd, NULL);
		return 0;
	}
	event.events = ((what & CURL_POLL_IN) ? EPOLLIN : 0u) | ((what & CURL_POLL_OUT) ? EPOLLOUT : 0u);
	if (epoll_ctl(economy->epoll, EPOLL_CTL_MOD, fd, &event) == 0)
		return 0;
	return errno == ENOENT ? epoll_ctl(economy->epoll, EPOLL_CTL_ADD, fd, &event) : -1;
}

static int
set_timer(CURLM *multi, long ms, void *self)
{
	struct economy *economy = self;

	(void)multi;
	economy->curl_due_boot_ms = ms < 0 ? -1 : clock_boot_ms() + ms;
	return 0;
}

/* Counts the answer; false: it is too long, and the transfer is to be given up. */
static bool
take(struct transfer *transfer, size_t len)
{
	transfer->received += len;
	return transfer->received <= ECONOMY_ANSWER_MAX;
}

static size_t
take_head(char *bytes, size_t size, size_t count, void *self)
{
	(void)bytes;
	return take(self, size * count) ? size * count : 0;
}

static size_t
take_body(char *bytes, size_t size, size_t count, void *self)
{
	struct transfer *transfer = self;

	if (!take(transfer, size * count))
		return 0;
	buf_bytes(&transfer->answer, bytes, size * count);
	return size * count;
}

/* --- transfers --- */

static struct transfer *
transfer_new(const struct economy *economy)
{
	struct transfer *transfer = calloc(1, sizeof(*transfer));

	if (!transfer || !(transfer->easy = curl_easy_init()))
		abort();
	buf_init(&transfer->address);
	buf_init(&transfer->request);
	buf_init(&transfer->answer);
	for (size_t i = 0; i < sizeof(fixed_options) / sizeof(fixed_options[0]); i++)
		must(curl_easy_setopt(transfer->easy, fixed_options[i].option, fixed_options[i].value));
	must(curl_easy_setopt(transfer->easy, CURLOPT_PROTOCOLS_STR, "http,https"));
	must(curl_easy_setopt(transfer->easy, CURLOPT_PROXY, ""));
	must(curl_easy_setopt(transfer->easy, CURLOPT_HEADERFUNCTION, take_head));
	must(curl_easy_setopt(transfer->easy, CURLOPT_HEADERDATA, transfer));
	must(curl_easy_setopt(transfer->easy, CURLOPT_WRITEFUNCTION, take_body));
	must(curl_easy_setopt(transfer->easy, CURLOPT_WRITEDATA, transfer));
	must(curl_easy_setopt(transfer->easy, CURLOPT_PRIVATE, transfer));
	if (economy->conf->economy.ca_file[0]) {
		/* This one is trusted, and not the system's collection beside it. */
		must(curl_easy_setopt(transfer->easy, CURLOPT_CAINFO, economy->conf->economy.ca_file));
		must(curl_easy_setopt(transfer->easy, CURLOPT_CAPATH, NULL));
	}
	return transfer;
}

static void
transfer_free(struct transfer *transfer)
{
	curl_easy_cleanup(transfer->easy);
	curl_slist_free_all(transfer->headers);
	buf_release(&transfer->address);
	buf_release(&transfer->request);
	buf_release(&transfer->answer);
	free(transfer);
}

static struct transfer *
take_spare(struct economy *economy)
{
	struct transfer *transfer = TAILQ_FIRST(&economy->spare);

	if (!transfer)
		return transfer_new(economy);
	TAILQ_REMOVE(&economy->spare, transfer, link);
	economy->spare_count--;
	return transfer;
}

/* Takes it off the wire: where the answer is not there yet, its connection is closed. */
static void
retire(struct economy *economy, struct transfer *transfer)
{
	must_multi(curl_multi_remove_handle(economy->multi, transfer->easy));
	TAILQ_REMOVE(&economy->waiting, transfer, link);
	transfer->call->transfer = NULL;
	transfer->call = NULL;
	if (economy->spare_count == SPARE_MAX) {
		transfer_free(transfer);
		return;
	}
	TAILQ_INSERT_HEAD(&economy->spare, transfer, link);
	economy->spare_count++;
}

static void
add_header(struct transfer *transfer, const char *text)
{
	struct curl_slist *longer = curl_slist_append(transfer->headers, text);

	if (!longer)
		abort();
	transfer->headers = longer;
}

/* A header made of a name and a value from elsewhere, which must not become a line of its own. */
static void
add_header_value(struct transfer *transfer, const char *name, struct str value)
{
	struct buf line;

	for (size_t i = 0; i < value.len; i++)
		if (value.ptr[i] < '!' || value.ptr[i] > '~')
			return;
	buf_init(&line);
	buf_cstr(&line, name);
	buf_str(&line, value);
	add_header(transfer, buf_text(&line));
	buf_release(&line);
}

static void
set_headers(const struct economy *economy, struct transfer *transfer)
{
	const struct economy_call *call = transfer->call;
	char key[UUID_TEXT_SIZE];
	char trace[TRACE_TEXT_SIZE];

	curl_slist_free_all(transfer->headers);
	transfer->headers = NULL;
	add_header(transfer, "Accept: application/json");
	add_header(transfer, "Expect:");
	/* Without a body there is nothing to name the type of, and libcurl's own guess is to be left out. */
	add_header(transfer, transfer->request.len ? "Content-Type: application/json" : "Content-Type:");
	if (economy->conf->economy.token[0])
		add_header_value(transfer, "Authorization: Bearer ", str_from(economy->conf->economy.token));
	if (verb_carries_key(call->verb)) {
		uuid_format(&call->key, key);
		add_header_value(transfer, "Idempotency-Key: ", str_from(key));
	}
	trace_onward(call->traceparent, trace);
	add_header_value(transfer, "traceparent: ", str_from(trace));
	must(curl_easy_setopt(transfer->easy, CURLOPT_HTTPHEADER, transfer->headers));
}

static void
set_address(const struct economy *economy, struct transfer *transfer)
{
	struct str base = str_from(economy->conf->economy.url);

	while (base.len && base.ptr[base.len - 1] == '/')
		base.len--;
	buf_clear(&transfer->address);
	buf_str(&transfer->address, base);
	verb_path(transfer->call, &transfer->address);
	must(curl_easy_setopt(transfer->easy, CURLOPT_URL, buf_text(&transfer->address)));
}

static void
set_request(const struct economy *economy, struct transfer *transfer)
{
	CURL *easy = transfer->easy;

	buf_clear(&transfer->request);
	verb_body(transfer->call, &transfer->request);
	set_address(economy, transfer);
	set_headers(economy, transfer);
	must(curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)economy->conf->economy.connect_timeout_ms));
	if (!verb_posts(transfer->call->verb)) {
		must(curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L));
		return;
	}
	must(curl_easy_setopt(easy, CURLOPT_POST, 1L));
	must(curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)transfer->request.len));
	must(curl_easy_setopt(easy, CURLOPT_POSTFIELDS, buf_text(&transfer->request)));
}

/* --- how they end --- */

static void
judge(const struct economy *economy, struct transfer *transfer, CURLcode result)
{
	struct economy_call *call = transfer->call;
	long status = 0;

	if (result == CURLE_OK) {
		must(curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status));
		answer_judge(call, (unsigned)status, buf_view(&transfer->answer));
	} else if (transfer->received > ECONOMY_ANSWER_MAX) {
		answer_unknown(call, "the answer is larger than %d bytes", ECONOMY_ANSWER_MAX);
	} else if (result == CURLE_OPERATION_TIMEDOUT) {
		answer_unknown(call, "no connection within %lld ms",
			       (long long)economy->conf->economy.connect_timeout_ms);
	} else {
		answer_unknown(call, "%s", curl_easy_strerror(result));
	}
}

static void
collect(struct economy *economy)
{
	struct CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(economy->multi, &left))) {
		CURLcode result = message->data.result;
		void *transfer;

		must(curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer));
		judge(economy, transfer, result);
		retire(economy, transfer);
	}
}

static void
expire(struct economy *economy)
{
	int64_t now_ms = clock_boot_ms();
	struct transfer *transfer;

	while ((transfer = TAILQ_FIRST(&economy->waiting)) && transfer->deadline_boot_ms <= now_ms) {
		answer_unknown(transfer->call, "timeout after %lld ms", (long long)economy->conf->economy.timeout_ms);
		retire(economy, transfer);
	}
}

/* --- the port --- */

static void
begin(void *self, struct economy_call *call)
{
	struct economy *economy = self;
	struct transfer *transfer = take_spare(economy);

	call->outcome = ECONOMY_WAITING;
	call->detail[0] = '\0';
	call->transfer = transfer;
	transfer->call = call;
	transfer->received = 0;
	transfer->deadline_boot_ms = clock_boot_ms() + economy->conf->economy.timeout_ms;
	buf_clear(&transfer->answer);
	set_request(economy, transfer);
	TAILQ_INSERT_TAIL(&economy->waiting, transfer, link);
	must_multi(curl_multi_add_handle(economy->multi, transfer->easy));
}

static int
descriptor(void *self)
{
	return ((struct economy *)self)->epoll;
}

static int
timeout_ms(void *self)
{
	const struct economy *economy = self;
	const struct transfer *first = TAILQ_FIRST(&economy->waiting);
	int64_t due_ms = economy->curl_due_boot_ms;

	if (first && (due_ms < 0 || first->deadline_boot_ms < due_ms))
		due_ms = first->deadline_boot_ms;
	if (due_ms < 0)
		return -1;
	due_ms -= clock_boot_ms();
	if (due_ms < 0)
		return 0;
	return due_ms < INT_MAX ? (int)due_ms : INT_MAX;
}

static int
curl_events(uint32_t events)
{
	return ((events & EPOLLIN) ? CURL_CSELECT_IN : 0) | ((events & EPOLLOUT) ? CURL_CSELECT_OUT : 0) |
	       ((events & (EPOLLERR | EPOLLHUP)) ? CURL_CSELECT_ERR : 0);
}

static void
drive(void *self)
{
	struct economy *economy = self;
	struct epoll_event events[EVENTS_MAX];
	const struct transfer *first = TAILQ_FIRST(&economy->waiting);

	/* A process that was stopped meanwhile: what was not sent in time must not be sent now. */
	if (first && clock_boot_ms() - first->deadline_boot_ms > economy->conf->economy.timeout_ms)
		expire(economy);

	int count = epoll_wait(economy->epoll, events, EVENTS_MAX, 0), running;

	for (int i = 0; i < count; i++)
		must_multi(curl_multi_socket_action(economy->multi, events[i].data.fd, curl_events(events[i].events),
						    &running));
	if (economy->curl_due_boot_ms >= 0 && economy->curl_due_boot_ms <= clock_boot_ms()) {
		economy->curl_due_boot_ms = -1; /* it sets a new one while it runs, if it wants one */
		must_multi(curl_multi_socket_action(economy->multi, CURL_SOCKET_TIMEOUT, 0, &running));
	}
	collect(economy);
	expire(economy); /* after the answers that are there */
}

static void
abandon(void *self, struct economy_call *call)
{
	if (!call->transfer)
		return;
	answer_unknown(call, "abandoned before the answer came");
	retire(self, call->transfer);
}

/* --- life --- */

struct economy *
economy_new(const struct conf *conf)
{
	struct economy *economy = calloc(1, sizeof(*economy));

	if (!economy || !(economy->multi = curl_multi_init()))
		abort();
	economy->conf = conf;
	economy->port = (struct economy_port){economy, begin, descriptor, timeout_ms, drive, abandon};
	economy->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (economy->epoll < 0)
		abort();
	economy->curl_due_boot_ms = -1;
	TAILQ_INIT(&economy->waiting);
	TAILQ_INIT(&economy->spare);
	must_multi(curl_multi_setopt(economy->multi, CURLMOPT_SOCKETFUNCTION, watch_socket));
	must_multi(curl_multi_setopt(economy->multi, CURLMOPT_SOCKETDATA, economy));
	must_multi(curl_multi_setopt(economy->multi, CURLMOPT_TIMERFUNCTION, set_timer));
	must_multi(curl_multi_setopt(economy->multi, CURLMOPT_TIMERDATA, economy));
	must_multi(curl_multi_setopt(economy->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING));
	must_multi(curl_multi_setopt(economy->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)ECONOMY_CONNECTIONS));
	must_multi(curl_multi_setopt(economy->multi, CURLMOPT_MAXCONNECTS, (long)ECONOMY_CONNECTIONS));
	return economy;
}

void
economy_free(struct economy *economy)
{
	struct transfer *transfer;

	if (!economy)
		return;
	while ((transfer = TAILQ_FIRST(&economy->waiting)))
		abandon(economy, transfer->call);
	while ((transfer = TAILQ_FIRST(&economy->spare))) {
		TAILQ_REMOVE(&economy->spare, transfer, link);
		transfer_free(transfer);
	}
	must_multi(curl_multi_cleanup(economy->multi));
	close(economy->epoll);
	free(economy);
}

const struct economy_port *
economy_port(const struct economy *economy)
{
	return &economy->port;
}
