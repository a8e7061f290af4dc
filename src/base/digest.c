/* Digests: see digest.h. The algorithm is fetched once a process, because OpenSSL 3 looks it up by name each time else.
 */
#include "base/digest.h"

#include <stdlib.h>

#include <openssl/evp.h>

void
digest_sha256(struct str data, unsigned char digest[DIGEST_SIZE])
{
	static EVP_MD *sha256;
	static EVP_MD_CTX *context;

	if (!context) {
		sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
		context = EVP_MD_CTX_new();
	}
	if (!sha256 || !context || EVP_DigestInit_ex2(context, sha256, NULL) != 1 ||
	    EVP_DigestUpdate(context, data.ptr, data.len) != 1 || EVP_DigestFinal_ex(context, digest, NULL) != 1)
		abort();
}
