/*
 * pipe - bytes that pass from socket to socket without being looked at.
 *
 * splice(2) moves them through a kernel pipe. A pipe is taken from the
 * worker's pool for a pass, and kept only while bytes wait in it.
 */
#ifndef SPANWIRE_ENGINE_L4_PIPE_H
#define SPANWIRE_ENGINE_L4_PIPE_H

#include <stddef.h>
#include <sys/types.h>

#define PIPE_BYTES (256u << 10)

struct worker;

struct pipe {
	int in, out;
	size_t n;            /* bytes that wait */
	struct pipe *next;   /* in the pool */
};

/* Empty. NULL: the system has none left; copy instead. */
struct pipe *pipe_get(struct worker *w);
/* Empty ones are kept for the next; one with bytes in it is closed. NULL is legal. */
void pipe_put(struct worker *w, struct pipe *p);
void pipes_fini(struct worker *w);

/* Bytes taken from FD, at most MAX; 0: the end; -EAGAIN; -errno. */
ssize_t pipe_fill(struct pipe *p, int fd, size_t max);
/* Bytes given to FD, perhaps not all; -EAGAIN; -errno. */
ssize_t pipe_drain(struct pipe *p, int fd);

#endif
