/*
 * gather - what is sent as one piece, to a connection or into a buffer: slices that lie elsewhere,
 * and short texts of our own.
 *
 * The slices must live until gather_send(). What the kernel does not take is copied behind what
 * already waits in the connection. Errors are remembered and told at the end.
 */
#ifndef SPANWIRE_ENGINE_HTTP_GATHER_H
#define SPANWIRE_ENGINE_HTTP_GATHER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

struct buffer;
struct buffer_pool;
struct conn;

#define GATHER_SLICES 64
#define GATHER_TEXT   512

struct gather {
	struct conn *to;       /* NULL: into the buffer */
	struct buffer_pool *pool;
	struct buffer **into;
	int rc;                /* the first error */
	int n;
	size_t bytes;          /* of all slices, those sent before too */
	size_t text_n;
	struct iovec slices[GATHER_SLICES];
	char text[GATHER_TEXT];
};

void gather_init(struct gather *g, struct conn *to);
void gather_into(struct gather *g, struct buffer_pool *pool, struct buffer **into);
/* A slice. One that follows the last one in memory becomes part of it. */
void gather_add(struct gather *g, const char *p, size_t n);
/* A copy of a short text: at most GATHER_TEXT bytes. */
void gather_text(struct gather *g, const char *p, size_t n);
/*
 * Send what is there. MORE: something follows at once. 0 or -errno (-ENOBUFS: no room for what
 * the kernel left).
 */
int gather_send(struct gather *g, bool more);

#define gather_literal(g, s) gather_add(g, s, sizeof(s) - 1)

#endif
