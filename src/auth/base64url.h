/*
 * Base64url without padding (RFC 4648 section 5, as RFC 7515 demands it), to the letter. Every run of bytes has one
 * text only: padding, other alphabets, white space and unused bits that are not zero are refused, so that nobody can
 * write the same token in two ways.
 */
#ifndef BP_AUTH_BASE64URL_H
#define BP_AUTH_BASE64URL_H

#include "base/buf.h"
#include "base/str.h"

/* The most bytes that a text of this length can hold. */
#define BASE64URL_BYTES_MAX(length) ((length) / 4 * 3 + 2)

/* Decodes to bytes (room for capacity). False, and *ret_len untouched, when the text is not valid or too long. */
bool base64url_decode(struct str text, unsigned char *bytes, size_t capacity, size_t *ret_len);
/* Appends the text of the bytes. */
void base64url_encode(struct buf *text, const void *bytes, size_t len);

#endif
