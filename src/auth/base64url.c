/* Base64url: see base64url.h. Must never accept two texts for the same bytes. */
#include "auth/base64url.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* 0 to 63; -1 for a character that is not of the alphabet. */
static int
sextet(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '-')
		return 62;
	return c == '_' ? 63 : -1;
}

bool
base64url_decode(struct str text, unsigned char *bytes, size_t capacity, size_t *ret_len)
{
	unsigned pending = 0;
	unsigned bits = 0;
	size_t len = 0;

	if (text.len % 4 == 1)
		return false;
	for (size_t i = 0; i < text.len; i++) {
		int value = sextet(text.ptr[i]);

		if (value < 0)
			return false;
		pending = pending << 6 | (unsigned)value;
		bits += 6;
		if (bits < 8)
			continue;
		bits -= 8;
		if (len == capacity)
			return false;
		bytes[len++] = (unsigned char)(pending >> bits & 0xff);
		pending &= (1u << bits) - 1;
	}
	if (pending)
		return false;
	*ret_len = len;
	return true;
}

void
base64url_encode(struct buf *text, const void *bytes, size_t len)
{
	const unsigned char *byte = bytes;
	unsigned pending = 0;
	unsigned bits = 0;

	for (size_t i = 0; i < len; i++) {
		pending = (pending << 8 | byte[i]) & 0xffff;
		for (bits += 8; bits >= 6; bits -= 6)
			buf_char(text, alphabet[pending >> (bits - 6) & 63]);
	}
	if (bits)
		buf_char(text, alphabet[pending << (6 - bits) & 63]);
}
