/* Buffers: see buf.h. */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"

void
buf_init(struct buf *buf)
{
	*buf = (struct buf){NULL, 0, 0};
}

void
buf_release(struct buf *buf)
{
	free(buf->data);
	buf_init(buf);
}

char *
buf_reserve(struct buf *buf, size_t more)
{
	if (!buf->data || buf->cap - buf->len < more) {
		size_t cap = buf->cap ? buf->cap : 256;

		while (cap - buf->len < more) {
			if (cap > SIZE_MAX / 2)
				abort();
			cap *= 2;
		}
		char *data = realloc(buf->data, cap);

		if (!data)
			abort();
		buf->data = data;
		buf->cap = cap;
	}
	return buf->data + buf->len;
}

void
buf_bytes(struct buf *buf, const void *bytes, size_t len)
{
	if (len == 0)
		return;
	memcpy(buf_reserve(buf, len), bytes, len);
	buf->len += len;
}

void
buf_char(struct buf *buf, char c)
{
	*buf_reserve(buf, 1) = c;
	buf->len++;
}

void
buf_str(struct buf *buf, struct str text)
{
	buf_bytes(buf, text.ptr, text.len);
}

void
buf_cstr(struct buf *buf, const char *text)
{
	buf_bytes(buf, text, strlen(text));
}

void
buf_u64(struct buf *buf, uint64_t value)
{
	char digits[20];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	buf_bytes(buf, digits + at, sizeof(digits) - at);
}

void
buf_i64(struct buf *buf, int64_t value)
{
	if (value < 0)
		buf_char(buf, '-');
	buf_u64(buf, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

void
buf_format(struct buf *buf, const char *format, ...)
{
	va_list args;
	va_list again;

	/* Into the room there is, which nearly always does. */
	char *room = buf_reserve(buf, 1);
	size_t size = buf->cap - buf->len;

	va_start(args, format);
	va_copy(again, args);
	int length = vsnprintf(room, size, format, args);

	va_end(args);
	if (length < 0)
		abort();
	if ((size_t)length >= size)
		vsnprintf(buf_reserve(buf, (size_t)length + 1), (size_t)length + 1, format, again);
	va_end(again);
	buf->len += (size_t)length;
}

static void
json_escape(struct buf *buf, unsigned char c)
{
	static const char shorthands[] = {
		['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r', ['"'] = '"', ['\\'] = '\\'};

	if (c < sizeof(shorthands) && shorthands[c]) {
		buf_char(buf, '\\');
		buf_char(buf, shorthands[c]);
	} else {
		buf_format(buf, "\\u%04x", c);
	}
}

void
buf_json_string(struct buf *buf, struct str text)
{
	size_t from = 0;

	buf_char(buf, '"');
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.ptr[i];

		if (c >= 0x20 && c != '"' && c != '\\')
			continue;
		buf_bytes(buf, text.ptr + from, i - from);
		json_escape(buf, c);
		from = i + 1;
	}
	if (text.len > from)
		buf_bytes(buf, text.ptr + from, text.len - from);
	buf_char(buf, '"');
}

void
buf_time(struct buf *buf, int64_t unix_ms)
{
	buf->len += clock_format(buf_reserve(buf, CLOCK_TEXT_SIZE), unix_ms);
}

void
buf_hex(struct buf *buf, const void *bytes, size_t len)
{
	const unsigned char *byte = bytes;
	char *out = buf_reserve(buf, len * 2);

	for (size_t i = 0; i < len; i++) {
		out[2 * i] = "0123456789abcdef"[byte[i] >> 4];
		out[2 * i + 1] = "0123456789abcdef"[byte[i] & 15];
	}
	buf->len += len * 2;
}

const char *
buf_text(struct buf *buf)
{
	*buf_reserve(buf, 1) = '\0';
	return buf->data;
}
