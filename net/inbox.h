/*
 * inbox - the one door into a loop's thread.
 *
 * Any thread may post; only the owner takes. A message is posted once and
 * belongs to the receiver from then on. Posting never blocks and never fails;
 * it wakes the owner at most once per turn of its loop. Messages of one sender
 * arrive in the order in which they were posted. A turn delivers for a few
 * milliseconds only, so that a crowd of messages holds up no timer.
 */
#ifndef SPANWIRE_NET_INBOX_H
#define SPANWIRE_NET_INBOX_H

#include <pthread.h>

#include "net/loop.h"

/* First member of, or embedded in, whatever is sent. */
struct message {
	void (*deliver)(struct message *m); /* called on the owner's thread; m is its own from then on */
	struct message *next;
};

struct inbox {
	struct watch watch;
	struct loop *loop;
	pthread_mutex_t lock;      /* held for a pointer swap, never over a call */
	struct message *first, **last;
	struct message *taken;     /* the owner's: what a turn had no time for */
	int wake_fd;
};

int inbox_init(struct inbox *in, struct loop *l);
/* Delivers what is still inside, then closes. Nobody may post any more. */
void inbox_fini(struct inbox *in);
void inbox_post(struct inbox *in, struct message *m, void (*deliver)(struct message *m));

#endif
