/* The head of an answer, line by line: see http.h. */
#include "http.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct head {
	struct answer *answer;
	uint64_t length;
	bool has_length, broken;
};

static void
take_length(struct head *head, struct text value)
{
	head->has_length = json_number(value, &head->length);
	head->broken |= !head->has_length;
}

static void
take_type(struct head *head, struct text value)
{
	head->answer->type = value;
}

static void
take_source(struct head *head, struct text value)
{
	static const char before[] = "src;desc=";
	size_t len = sizeof(before) - 1;

	if (value.len > len && memcmp(value.ptr, before, len) == 0)
		head->answer->source = (struct text){value.ptr + len, value.len - len};
}

static void
take_cache_status(struct head *head, struct text value)
{
	static const char mark[] = "detail=unconfirmed";

	head->answer->unconfirmed |= memmem(value.ptr, value.len, mark, sizeof(mark) - 1) != NULL;
}

static void
take_retry_after(struct head *head, struct text value)
{
	uint64_t seconds;

	head->answer->retry_after = json_number(value, &seconds);
}

static void
take_connection(struct head *head, struct text value)
{
	head->answer->closes = value.len == 5 && strncasecmp(value.ptr, "close", 5) == 0;
}

static const struct {
	const char *name;
	void (*take)(struct head *head, struct text value);
} headers[] = {
	{"Content-Length", take_length},     {"Content-Type", take_type},       {"Server-Timing", take_source},
	{"Cache-Status", take_cache_status}, {"Retry-After", take_retry_after}, {"Connection", take_connection},
};

static void
take_line(struct head *head, const char *line, const char *end)
{
	const char *colon = memchr(line, ':', (size_t)(end - line));

	if (!colon) {
		head->broken = true;
		return;
	}

	const char *value = colon + 1;

	while (value < end && *value == ' ')
		value++;
	for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++)
		if (strlen(headers[i].name) == (size_t)(colon - line) &&
		    strncasecmp(headers[i].name, line, (size_t)(colon - line)) == 0)
			headers[i].take(head, (struct text){value, (size_t)(end - value)});
}

static bool
take_status(struct head *head, const char *line, const char *end)
{
	if (end - line < 12 || memcmp(line, "HTTP/1.1 ", 9) != 0)
		return false;
	head->answer->status = atoi(line + 9);
	return head->answer->status >= 100;
}

enum http_state
http_parse(const char *data, size_t size, struct answer *ret_answer, size_t *ret_size)
{
	const char *head_end = memmem(data, size, "\r\n\r\n", 4);
	struct head head = {.answer = ret_answer};

	*ret_answer = (struct answer){.status = 0};
	if (!head_end)
		return size > 65536 ? HTTP_BROKEN : HTTP_PARTIAL;

	const char *line = data;
	const char *end = memmem(data, size, "\r\n", 2);

	if (!take_status(&head, line, end))
		return HTTP_BROKEN;
	while (end < head_end) {
		line = end + 2;
		end = memmem(line, (size_t)(head_end - line) + 2, "\r\n", 2);
		take_line(&head, line, end);
	}
	if (head.broken || !head.has_length)
		return HTTP_BROKEN;
	*ret_size = (size_t)(head_end + 4 - data) + head.length;
	if (size < *ret_size)
		return HTTP_PARTIAL;
	ret_answer->body = (struct text){head_end + 4, head.length};
	return HTTP_WHOLE;
}

bool
answer_is_problem(const struct answer *answer, struct text *ret_code)
{
	struct json_walk walk;
	struct json_member member;
	bool has_code = false, has_status = false, has_title = false;
	uint64_t status;

	if (!text_is(answer->type, "application/problem+json") || !json_open(&walk, answer->body, '{'))
		return false;
	while (json_next(&walk, &member)) {
		if (text_is(member.name, "code"))
			has_code = json_string(member.value, ret_code);
		else if (text_is(member.name, "status"))
			has_status = json_number(member.value, &status) && (int)status == answer->status;
		else if (text_is(member.name, "title"))
			has_title = json_string(member.value, &member.value);
	}
	return json_ended(&walk) && has_code && has_status && has_title;
}
