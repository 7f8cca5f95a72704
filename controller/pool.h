/*
 * pool - a few threads for slow work: password hashes, later merges of captures.
 *
 * The core posts a job; a thread of the pool runs work(); done() is called on
 * the core's thread by its inbox. A job belongs to the pool from pool_post()
 * until done(). The queue has a limit: a flood of logins must not become a
 * flood of memory.
 */
#ifndef SPANWIRE_CONTROLLER_POOL_H
#define SPANWIRE_CONTROLLER_POOL_H

#include "net/inbox.h"

struct pool;

struct job {
	struct message message;
	void (*work)(struct job *j); /* on a thread of the pool */
	void (*done)(struct job *j); /* on the thread that owns the inbox */
	struct job *next;
};

struct pool *pool_new(struct inbox *home, unsigned threads, unsigned queue_max);
/* Finishes what was posted; the done() calls wait in the inbox. */
void pool_free(struct pool *p);
/* -EBUSY when the queue is full: the job was not taken. */
int pool_post(struct pool *p, struct job *j);

#endif
