/*
 * cookie - one cookie of a Cookie header (RFC 6265 section 5.4), as clients really write it.
 */
#ifndef SPANWIRE_NET_COOKIE_H
#define SPANWIRE_NET_COOKIE_H

#include <stddef.h>

/*
 * The value of the first cookie called NAME (names are case-sensitive) in the N bytes at TEXT, quotes
 * around it left off. Into TEXT; NULL: there is none.
 */
const char *cookie_find(const char *text, size_t n, const char *name, size_t name_len, size_t *value_len);

#endif
