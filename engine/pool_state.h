/*
 * pool_state - what all workers and services that use a pool know of it together.
 *
 * It stays through all edits of the pool. Everything in it is atomic or has a lock of its own.
 */
#ifndef SPANWIRE_ENGINE_POOL_STATE_H
#define SPANWIRE_ENGINE_POOL_STATE_H

#include <stdatomic.h>

struct persist;

struct pool_state {
	atomic_uint refs;
	atomic_uint turn;          /* lb_algo_rr_per_se */
	atomic_uint queued;        /* exchanges that wait for a place at a server */
	atomic_ullong refused_ns;  /* the newest of its backends */
	struct persist *persist;   /* NULL: nobody wanted it yet. Made by the main thread, before any snapshot that uses it */
};

struct pool_state *pool_state_new(void);
struct pool_state *pool_state_get(struct pool_state *p);
/* NULL is legal. */
void pool_state_put(struct pool_state *p);

#endif
