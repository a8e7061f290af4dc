/* UUIDs and random bytes: see uuid.h. */
#include "base/uuid.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static struct {
	unsigned char bytes[1024];
	size_t left;
	bool is_watched;
} pool;

/* A child must not repeat its parent's bytes. */
static void
forget_pool(void)
{
	pool.left = 0;
}

static void
fill_pool(void)
{
	size_t got = 0;

	while (got < sizeof(pool.bytes)) {
		ssize_t more = getrandom(pool.bytes + got, sizeof(pool.bytes) - got, 0);

		if (more < 0 && errno != EINTR)
			abort();
		got += more > 0 ? (size_t)more : 0;
	}
	pool.left = sizeof(pool.bytes);
	if (!pool.is_watched)
		pool.is_watched = pthread_atfork(NULL, NULL, forget_pool) == 0;
	if (!pool.is_watched)
		abort();
}

void
random_bytes(void *bytes, size_t size)
{
	unsigned char *to = bytes;

	while (size > 0) {
		if (pool.left == 0)
			fill_pool();
		size_t part = size < pool.left ? size : pool.left;

		pool.left -= part;
		memcpy(to, pool.bytes + pool.left, part);
		to += part;
		size -= part;
	}
}

uint64_t
random_u64(void)
{
	uint64_t value;

	random_bytes(&value, sizeof(value));
	return value;
}

struct uuid
uuid_new(int64_t unix_ms)
{
	static int64_t last_ms;
	static unsigned counter;
	struct uuid uuid = {{0}};

	random_bytes(uuid.bytes, sizeof(uuid.bytes));
	if (unix_ms > last_ms) {
		last_ms = unix_ms;
		counter = uuid.bytes[7]; /* begin low enough to leave room for counting */
	} else if (++counter > 0xfff) {
		last_ms++;
		counter = 0;
	}
	for (int i = 0; i < 6; i++)
		uuid.bytes[i] = (unsigned char)(last_ms >> (40 - 8 * i));
	uuid.bytes[6] = (unsigned char)(0x70 | counter >> 8);
	uuid.bytes[7] = (unsigned char)counter;
	uuid.bytes[8] = (unsigned char)(0x80 | (uuid.bytes[8] & 0x3f));
	return uuid;
}

static bool
hyphen_before(int byte)
{
	return byte == 4 || byte == 6 || byte == 8 || byte == 10;
}

void
uuid_format(const struct uuid *uuid, char text[UUID_TEXT_SIZE])
{
	for (int i = 0; i < 16; i++) {
		if (hyphen_before(i))
			*text++ = '-';
		*text++ = "0123456789abcdef"[uuid->bytes[i] >> 4];
		*text++ = "0123456789abcdef"[uuid->bytes[i] & 15];
	}
	*text = '\0';
}

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool
uuid_parse(struct str text, struct uuid *ret_uuid)
{
	struct uuid uuid;
	size_t at = 0;

	if (text.len != UUID_TEXT_SIZE - 1)
		return false;
	for (int i = 0; i < 16; i++) {
		if (hyphen_before(i) && text.ptr[at++] != '-')
			return false;
		int high = hex_value(text.ptr[at++]);
		int low = hex_value(text.ptr[at++]);

		if (high < 0 || low < 0)
			return false;
		uuid.bytes[i] = (unsigned char)(high << 4 | low);
	}
	*ret_uuid = uuid;
	return true;
}
