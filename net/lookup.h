/*
 * lookup - the addresses of a name, without making the loop wait.
 *
 * The C library's resolver blocks, so each question has a thread of its own for
 * as long as it takes. The answer comes on the loop's thread, once; a lookup
 * that was cancelled never answers.
 */
#ifndef SPANWIRE_NET_LOOKUP_H
#define SPANWIRE_NET_LOOKUP_H

#include <sys/socket.h>

#include "net/loop.h"

#define LOOKUP_MAX 8 /* addresses of an answer; further ones are left out */

struct lookup;

struct lookup_answer {
	const char *error;       /* NULL: found; else in words */
	size_t n;
	struct sockaddr_storage address[LOOKUP_MAX];
	socklen_t len[LOOKUP_MAX];
};

/*
 * Ask for the stream addresses of HOST with PORT (decimal). DONE is called from the loop; ANSWER and the lookup are
 * gone when it returns. NULL when there is no thread or descriptor to be had.
 */
struct lookup *lookup_start(struct loop *l, const char *host, const char *port,
			    void (*done)(void *arg, const struct lookup_answer *answer), void *arg);
/* NULL is legal. */
void lookup_cancel(struct lookup *k);

#endif
