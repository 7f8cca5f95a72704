/*
 * aside - the part of an answer that is only work: putting records in order, making a large answer into text. It is done
 * on a thread of the pool, while the core serves others and the engines.
 */
#ifndef SPANWIRE_CONTROLLER_REST_ASIDE_H
#define SPANWIRE_CONTROLLER_REST_ASIDE_H

#include <stdbool.h>

struct request;

/*
 * WORK(Q, ARG) on another thread, then DONE(Q) on this one. WORK touches what is Q's or ARG's and of nobody else's: no
 * store, no session. False: the pool has too much to do, and nothing was called.
 */
bool aside(struct request *q, void (*work)(struct request *q, void *arg), void (*done)(struct request *q), void *arg);

#endif
