/* The traceparent header: see trace.h. */
#include "base/trace.h"

#include "base/uuid.h"

enum { ID_AT = 3, ID_LEN = 32, PARENT_AT = 36, PARENT_LEN = 16, FLAGS_AT = 53, FLAGS_LEN = 2 };

static bool
is_lower_hex(struct str text)
{
	for (size_t i = 0; i < text.len; i++)
		if (!((text.ptr[i] >= '0' && text.ptr[i] <= '9') || (text.ptr[i] >= 'a' && text.ptr[i] <= 'f')))
			return false;
	return true;
}

static bool
is_id(struct str text)
{
	size_t zeros = 0;

	while (zeros < text.len && text.ptr[zeros] == '0')
		zeros++;
	return zeros < text.len && is_lower_hex(text);
}

bool
trace_valid(struct str text)
{
	return text.len == TRACE_TEXT_SIZE - 1 && str_starts_with(text, STR("00-")) &&
	       is_id((struct str){text.ptr + ID_AT, ID_LEN}) && text.ptr[PARENT_AT - 1] == '-' &&
	       is_id((struct str){text.ptr + PARENT_AT, PARENT_LEN}) && text.ptr[FLAGS_AT - 1] == '-' &&
	       is_lower_hex((struct str){text.ptr + FLAGS_AT, FLAGS_LEN});
}

struct str
trace_id(struct str traceparent)
{
	return traceparent.len ? (struct str){traceparent.ptr + ID_AT, ID_LEN} : STR_NONE;
}

/* Never all zero, which is no id. */
static void
put_random_id(char *to, size_t len)
{
	for (size_t i = 0; i < len; i += 16) {
		uint64_t bits = random_u64();

		bits += bits == 0;
		for (size_t k = 0; k < 16; k++)
			to[i + k] = "0123456789abcdef"[bits >> 4 * k & 15];
	}
}

void
trace_onward(struct str traceparent, char text[TRACE_TEXT_SIZE])
{
	if (trace_valid(traceparent)) {
		memcpy(text, traceparent.ptr, traceparent.len);
	} else {
		memcpy(text, "00-", ID_AT);
		put_random_id(text + ID_AT, ID_LEN);
		memcpy(text + FLAGS_AT, "00", FLAGS_LEN);
	}
	text[PARENT_AT - 1] = text[FLAGS_AT - 1] = '-';
	put_random_id(text + PARENT_AT, PARENT_LEN);
	text[TRACE_TEXT_SIZE - 1] = '\0';
}
