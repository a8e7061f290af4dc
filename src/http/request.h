/*
 * A request as plain values: nothing here does I/O. The lane fills in the raw texts; request_parse_target() takes the
 * path and the query apart. Everything in it is hostile and borrowed until the turn ends.
 */
#ifndef BP_HTTP_REQUEST_H
#define BP_HTTP_REQUEST_H

#include <stdint.h>

#include "base/arena.h"

enum { REQUEST_SEGMENTS_MAX = 12, REQUEST_QUERY_MAX = 16, REQUEST_BODY_MAX = 1 << 20, REQUEST_ID_MAX = 128 };

enum method { METHOD_GET, METHOD_HEAD, METHOD_POST, METHOD_PUT, METHOD_DELETE, METHOD_OTHER };

struct query_item {
	struct str name;
	struct str value;
};

struct request {
	struct str method_text;
	struct str target; /* path and query, as sent */
	struct str authorization;
	struct str content_type;
	struct str content_length; /* empty: not said */
	struct str if_none_match;
	struct str idempotency_key;
	struct str accept;
	struct str accept_language;
	struct str traceparent; /* see base/trace.h; empty where it is not valid, once the call is open */
	struct str arrived;     /* when nginx had it as a whole, in its form: see request_arrived_ms() */
	struct str request_id;  /* the client's, or nginx's; where it is not well-formed another is made */
	int64_t arrived_ms;     /* the same by the lane that took it up; 0: it cannot be told */
	bool internal;          /* came through the loopback server */
	bool body_too_large;    /* body is empty then */
	struct str body;
	/* by request_parse_target() */
	enum method method;
	struct str segments[REQUEST_SEGMENTS_MAX]; /* percent-decoded */
	size_t segment_count;
	struct query_item query[REQUEST_QUERY_MAX]; /* percent-decoded */
	size_t query_count;
};

/*
 * False if the target cannot be that of any route: not absolute, a broken percent escape, a NUL, an empty segment, more
 * segments or query items than anybody needs.
 */
bool request_parse_target(struct request *request, struct arena *arena);
/* True and the value if the query names it. */
bool request_query(const struct request *request, struct str name, struct str *ret_value);
/* 1-128 of A-Z a-z 0-9 . _ - */
bool request_id_valid(struct str id);
/* "GET" and so on; "other". */
const char *method_name(enum method method);
/* Milliseconds since 1970 out of nginx's $msec, "1795829377.196"; 0 if it is nothing of that kind. */
int64_t request_arrived_ms(struct str text);

#endif
