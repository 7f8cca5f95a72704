/*
 * sticky - a cookie that names a client's server, to us and to nobody else.
 *
 * Its value is 24 bytes in base64url: 12 of a keyed hash (HMAC-SHA-256) of pool and server, the minute in which it was
 * made, and 8 of a keyed hash of both. Nothing can be read from it but the minute; an engine knows
 * its pool's servers and looks which one it is. All engines that hold the profile make and take the same,
 * also after a restart; the first of the profile's keys makes, all of them take.
 */
#ifndef SPANWIRE_ENGINE_HTTP_STICKY_H
#define SPANWIRE_ENGINE_HTTP_STICKY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"

#define STICKY_NAME  64
#define STICKY_VALUE 32
#define STICKY_LINE  256

struct http_cookie_persistence_profile;
struct sticky;

/* For servers called NAMES (N of them), lives in A. NULL: the profile has no key. */
const struct sticky *sticky_new(struct arena *a, const struct http_cookie_persistence_profile *p, const char *pool_uuid,
				const char *const *names, size_t n);

/* The cookie's name. */
const char *sticky_name(const struct sticky *s);
/* Which server VALUE names, at MINUTE (since 1970); SIZE_MAX: none, or too long ago. */
size_t sticky_find(const struct sticky *s, const char *value, size_t len, uint32_t minute);
/* Must an answer carry it, although the client sent one that names the server? */
bool sticky_is_always_sent(const struct sticky *s);
/* What Set-Cookie says for server PLACE. Length. */
size_t sticky_value(const struct sticky *s, size_t place, uint32_t minute, char out[static STICKY_LINE]);

#endif
