/* Requests: see request.h. */
#include "http/request.h"

static const struct {
	const char *text;
	enum method method;
} methods[] = {
	{"GET", METHOD_GET}, {"HEAD", METHOD_HEAD},     {"POST", METHOD_POST},
	{"PUT", METHOD_PUT}, {"DELETE", METHOD_DELETE},
};

static enum method
parse_method(struct str text)
{
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
		if (str_equal(text, str_from(methods[i].text)))
			return methods[i].method;
	return METHOD_OTHER;
}

const char *
method_name(enum method method)
{
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
		if (methods[i].method == method)
			return methods[i].text;
	return "other";
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Percent-decodes; plus is a space in queries only. False on a broken escape or a NUL. */
static bool
decode(struct str raw, bool plus_is_space, struct arena *arena, struct str *ret)
{
	if (!memchr(raw.ptr, '%', raw.len) && !(plus_is_space && memchr(raw.ptr, '+', raw.len))) {
		*ret = raw;
		return true;
	}
	char *text = arena_alloc(arena, raw.len + 1);
	size_t length = 0;

	for (size_t i = 0; i < raw.len; i++) {
		char c = raw.ptr[i];

		if (c == '%') {
			int high = i + 2 < raw.len ? hex_digit(raw.ptr[i + 1]) : -1;
			int low = i + 2 < raw.len ? hex_digit(raw.ptr[i + 2]) : -1;

			if (high < 0 || low < 0 || (high == 0 && low == 0))
				return false;
			c = (char)(high << 4 | low);
			i += 2;
		} else if (c == '+' && plus_is_space) {
			c = ' ';
		}
		text[length++] = c;
	}
	*ret = (struct str){text, length};
	return true;
}

/* Cuts what stands before the separator off the front of *rest; all of it if there is none. */
static struct str
cut(struct str *rest, char separator)
{
	const char *at = rest->len ? memchr(rest->ptr, separator, rest->len) : NULL;
	struct str front = {rest->ptr, at ? (size_t)(at - rest->ptr) : rest->len};
	size_t taken = front.len + (at ? 1 : 0);

	*rest = (struct str){rest->ptr + taken, rest->len - taken};
	return front;
}

static bool
parse_query(struct request *request, struct str query, struct arena *arena)
{
	while (query.len) {
		struct str item = cut(&query, '&');
		struct query_item *to = &request->query[request->query_count];

		if (item.len == 0)
			continue;
		if (request->query_count == REQUEST_QUERY_MAX)
			return false;

		struct str name = cut(&item, '=');

		if (!decode(name, true, arena, &to->name) || !decode(item, true, arena, &to->value))
			return false;
		request->query_count++;
	}
	return true;
}

bool
request_parse_target(struct request *request, struct arena *arena)
{
	struct str query = request->target.len ? request->target : STR("");
	struct str path = cut(&query, '?');

	request->method = parse_method(request->method_text);
	request->segment_count = 0;
	request->query_count = 0;
	if (path.len < 2 || cut(&path, '/').len != 0)
		return false;
	for (bool more = true; more;) {
		const char *slash = path.len ? memchr(path.ptr, '/', path.len) : NULL;
		struct str segment = cut(&path, '/');

		more = slash != NULL;
		if (segment.len == 0 || request->segment_count == REQUEST_SEGMENTS_MAX ||
		    !decode(segment, false, arena, &request->segments[request->segment_count++]))
			return false;
	}
	return parse_query(request, query, arena);
}

bool
request_query(const struct request *request, struct str name, struct str *ret_value)
{
	for (size_t i = 0; i < request->query_count; i++) {
		if (str_equal(request->query[i].name, name)) {
			*ret_value = request->query[i].value;
			return true;
		}
	}
	return false;
}

static bool
token_character(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
	       c == '-';
}

bool
request_id_valid(struct str id)
{
	if (id.len == 0 || id.len > REQUEST_ID_MAX)
		return false;
	for (size_t i = 0; i < id.len; i++)
		if (!token_character(id.ptr[i]))
			return false;
	return true;
}

int64_t
request_arrived_ms(struct str text)
{
	enum { FRACTION = 4, LONGEST = 14 }; /* ".196"; the point may stand in no other place */
	int64_t ms = 0;

	if (text.len <= FRACTION || text.len > LONGEST || text.ptr[text.len - FRACTION] != '.')
		return 0;
	for (size_t i = 0; i < text.len; i++) {
		if (i == text.len - FRACTION)
			continue;
		if (text.ptr[i] < '0' || text.ptr[i] > '9')
			return 0;
		ms = ms * 10 + (text.ptr[i] - '0');
	}
	return ms;
}
