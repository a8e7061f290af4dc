/*
 * The verified tokens that a host remembers: SHA-256 of the token -> identity, in memory that the processes forked
 * after remembered_new() share, so that a token is verified once a host. Bounded, set-associative (16 ways): a token
 * may lie in one of 16 places only, so that a look-up costs the same however full the table is. A new token takes the
 * place of one that has expired, else of one that was not asked for lately (NRU): tokens that come once and
 * never again do not drive out those in use. 128 bytes a token; pages that are not used yet cost nothing. With 16 ways
 * a table that is filled by two thirds has forgotten about one token in 500.
 *
 * Nobody waits for anybody. A reader copies a place out under its sequence (base/seqlock.h) and looks at the copy; a
 * writer that finds another at its place remembers nothing, which costs a verification later. One that is killed
 * while it writes leaves a place that is never used again, and never a mixture of two tokens.
 */
#ifndef BP_AUTH_REMEMBERED_H
#define BP_AUTH_REMEMBERED_H

#include "auth/token.h"
#include "base/digest.h"

enum { REMEMBERED_WAYS = 16 };

struct remembered;

/* Room for capacity tokens, rounded up to a power of two and to at least one set of 16. NULL without memory. */
struct remembered *remembered_new(uint32_t capacity);
/* Gives back this process's share. */
void remembered_free(struct remembered *table);
/* Tokens that fit at most. */
size_t remembered_capacity(const struct remembered *table);
/* Tokens held that are still good at now_ms; walks the whole table. */
size_t remembered_count(const struct remembered *table, int64_t now_ms);

/*
 * ERR_NOT_FOUND: never seen, or already replaced. ERR_TOKEN_EXPIRED: seen, and its time is over. *ret_identity is
 * untouched on both.
 */
enum err remembered_find(struct remembered *table, const unsigned char digest[DIGEST_SIZE], int64_t now_ms,
			 struct identity *ret_identity);
/* Remembers the identity (copied) while now_ms < until_ms (after 0); what the digest meant before is forgotten. */
void remembered_put(struct remembered *table, const unsigned char digest[DIGEST_SIZE], const struct identity *identity,
		    int64_t until_ms, int64_t now_ms);

#endif
