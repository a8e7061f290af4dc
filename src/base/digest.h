/* SHA-256 (FIPS 180-4) by OpenSSL. */
#ifndef BP_BASE_DIGEST_H
#define BP_BASE_DIGEST_H

#include "base/str.h"

enum { DIGEST_SIZE = 32 };

void digest_sha256(struct str data, unsigned char digest[DIGEST_SIZE]);

#endif
