/*
 * buffer - bytes of a connection, from the worker that owns it.
 *
 * A connection holds a buffer only while bytes wait in it. Sizes are powers of
 * two from BUFFER_MIN to BUFFER_MAX; the pool keeps what comes back. A pool has
 * a limit: buffer_get() then gives NULL, and the connection that wanted it is
 * closed and counted, nothing else.
 */
#ifndef SPANWIRE_ENGINE_BUFFER_H
#define SPANWIRE_ENGINE_BUFFER_H

#include <stddef.h>
#include <stdint.h>

#define BUFFER_MIN     (16u << 10)
#define BUFFER_MAX     (1024u << 10)
#define BUFFER_CLASSES 7

struct buffer {
	uint32_t size;         /* bytes of data[] */
	uint32_t start, end;   /* unread bytes are data[start..end) */
	struct buffer *next;   /* in the pool */
	char data[];
};

struct buffer_pool {
	struct buffer *free[BUFFER_CLASSES];
	size_t used, kept;     /* bytes given out; bytes that lie in the pool */
	size_t limit;          /* most bytes given out; 0: none */
	uint64_t *gauge;       /* shows `used` to who reads the counters; NULL: to nobody */
};

void buffer_pool_fini(struct buffer_pool *p);
/* Room for at least N bytes, empty. NULL: the limit, or N > BUFFER_MAX. */
struct buffer *buffer_get(struct buffer_pool *p, size_t n);
/* NULL is legal. */
void buffer_put(struct buffer_pool *p, struct buffer *b);
/*
 * Make room for N more bytes behind the unread ones in *B, by moving them to the front or to a larger buffer;
 * *B may be NULL. 0, or -ENOBUFS (then *B is as it was).
 */
int buffer_room(struct buffer_pool *p, struct buffer **b, size_t n);

static inline size_t buffer_len(const struct buffer *b)
{
	return b ? b->end - b->start : 0;
}

static inline size_t buffer_avail(const struct buffer *b)
{
	return b ? b->size - b->end : 0;
}

#endif
