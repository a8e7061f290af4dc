/*
 * UUIDs of version 7 (RFC 9562): 48 bits of milliseconds, then random. Ids made by one process in the same millisecond
 * ascend too (the 12 bits behind the time count up), so that the newest has the greatest id.
 */
#ifndef BP_BASE_UUID_H
#define BP_BASE_UUID_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

enum { UUID_TEXT_SIZE = 37 };

struct uuid {
	unsigned char bytes[16];
};

struct uuid uuid_new(int64_t unix_ms);
/* Lower-case with hyphens and a NUL. */
void uuid_format(const struct uuid *uuid, char text[UUID_TEXT_SIZE]);
bool uuid_parse(struct str text, struct uuid *ret_uuid);

/* size random bytes from the kernel, through a buffer of the process that fork() leaves behind. */
void random_bytes(void *bytes, size_t size);
uint64_t random_u64(void);

#endif
