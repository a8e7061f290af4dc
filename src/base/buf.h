/*
 * A growing byte buffer for what is written out: JSON, SQL, headers. It never fails: without memory the process ends
 * (see arena.h). After buf_release or buf_init it is empty. buf.data is not NUL-terminated unless buf_text() was
 * called.
 */
#ifndef BP_BASE_BUF_H
#define BP_BASE_BUF_H

#include <stdint.h>

#include "base/str.h"

struct buf {
	char *data;
	size_t len;
	size_t cap;
};

void buf_init(struct buf *buf);
void buf_release(struct buf *buf);
static inline void
buf_clear(struct buf *buf)
{
	buf->len = 0;
}
/* Room for `more` bytes behind the end; returns where they begin. The caller then adds to buf->len. */
char *buf_reserve(struct buf *buf, size_t more);
void buf_bytes(struct buf *buf, const void *bytes, size_t len);
void buf_char(struct buf *buf, char c);
void buf_str(struct buf *buf, struct str text);
void buf_cstr(struct buf *buf, const char *text);
void buf_u64(struct buf *buf, uint64_t value);
void buf_i64(struct buf *buf, int64_t value);
void buf_format(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
#define buf_literal(buf, text) buf_bytes((buf), (text), sizeof(text) - 1)
/* "text" with quotes, escaped as RFC 8259 demands. The text must be valid UTF-8. */
void buf_json_string(struct buf *buf, struct str text);
/* RFC 3339, UTC, milliseconds: 2026-01-31T12:00:00.000Z, without quotes. unix_ms: 0 to year 9999. */
void buf_time(struct buf *buf, int64_t unix_ms);
/* Lower-case hexadecimal. */
void buf_hex(struct buf *buf, const void *bytes, size_t len);
/* The text so far, NUL-terminated; valid until the next change. */
const char *buf_text(struct buf *buf);

static inline struct str
buf_view(const struct buf *buf)
{
	return (struct str){buf->data, buf->len};
}

#endif
