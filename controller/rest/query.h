/*
 * query - what a client wrote behind the host name, and in a form or a cookie line, taken apart
 * strictly.
 *
 * Percent escapes must be whole, text must be UTF-8 without NUL and control
 * characters. A path comes out decoded, slashes collapsed (Go clients send
 * "//api/pool"), without one at its end; a ".." that might mean "up" is
 * refused, in whatever disguise.
 */
#ifndef SPANWIRE_CONTROLLER_REST_QUERY_H
#define SPANWIRE_CONTROLLER_REST_QUERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct query_arg {
	const char *name, *value; /* value "" when there was no '=' */
};

struct query {
	struct query_arg *arg;
	size_t n;
	char *mem;
};

enum { QUERY_ARGS_MAX = 256 };

/* "a=b&c=d", of a URL or a form. -EINVAL with a sentence. */
int query_parse(struct query *q, const char *text, size_t len, struct err *e);
void query_fini(struct query *q);

/* The first of that name; NULL when there is none. */
const char *query_get(const struct query *q, const char *name);
/*
 * Present and not "false" or "0": clients send "?include_name", "?include_name=" and
 * "?include_name=true".
 */
bool query_flag(const struct query *q, const char *name);
/* -EINVAL when it is there and not a number from MIN to MAX; larger ones become MAX when CAP. */
int query_int(const struct query *q, const char *name, int64_t min, int64_t max, bool cap,
	      int64_t dflt, int64_t *out, struct err *e);
/* TEXT of the parameter NAME as a time, in microseconds since 1970 (base/moment.h); without text *US stays. -EINVAL with a sentence. */
int query_moment(const char *name, const char *text, uint64_t *us, struct err *e);
/* "a=b&c=d" of all arguments but NAME, escaped, into OUT. */
void query_rebuild(const struct query *q, const char *without, struct buf *out);
void query_escape(const char *s, struct buf *out);

/* Decoded and normalised path of TARGET (up to '?' or '#'), at most SIZE bytes with NUL. */
int path_normalise(const char *target, char *out, size_t size, struct err *e);

/*
 * Call F for each NAME=VALUE of a Cookie line; a name may come several times. Stops at F's non-zero
 * answer.
 */
int cookie_each(const char *line, int (*f)(void *arg, const char *name, const char *value),
		void *arg);

#endif
