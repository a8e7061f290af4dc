/*
 * Members of JSON objects as they are written out. A label has all that stands before the value: a comma, the name with
 * its quotes, the colon.
 */
#ifndef BP_API_MEMBERS_H
#define BP_API_MEMBERS_H

#include "base/buf.h"
#include "base/uuid.h"

/* The digits alone: a label that ends with a quote makes a text of them. */
static inline void
member_number(struct buf *out, const char *label, uint64_t value)
{
	buf_cstr(out, label);
	buf_u64(out, value);
}

static inline void
member_text(struct buf *out, const char *label, struct str text)
{
	buf_cstr(out, label);
	buf_json_string(out, text);
}

/* null where there is none. */
static inline void
member_optional(struct buf *out, const char *label, struct str text)
{
	buf_cstr(out, label);
	if (text.len)
		buf_json_string(out, text);
	else
		buf_literal(out, "null");
}

static inline void
member_uuid(struct buf *out, const char *label, const struct uuid *uuid)
{
	char text[UUID_TEXT_SIZE];

	uuid_format(uuid, text);
	buf_format(out, "%s\"%s\"", label, text);
}

static inline void
member_moment(struct buf *out, const char *label, int64_t unix_ms)
{
	buf_cstr(out, label);
	buf_char(out, '"');
	buf_time(out, unix_ms);
	buf_char(out, '"');
}

#endif
