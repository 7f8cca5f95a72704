/*
 * throttle - how many bytes a second a service may carry between clients and itself, both directions together.
 *
 * What passed is taken from a bucket that all workers share; while it is overdrawn nobody of the service reads. Nothing
 * is dropped: what is not read waits in the kernel, and whoever sent it learns by TCP to send less (datagrams
 * have no such way: their queue overflows, and that is counted). Who has to wait stands in a queue of his worker, and a
 * timer lets the first ones go on; nobody spins.
 */
#ifndef SPANWIRE_ENGINE_THROTTLE_H
#define SPANWIRE_ENGINE_THROTTLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/rate.h"
#include "net/loop.h"

/* One who reads. */
struct throttled {
	struct list link;                            /* in the queue; init it */
	void (*go_on)(struct throttled *who);        /* read again; may be told to wait again */
};

/* Of one service in one worker. */
struct throttle {
	uint64_t mbps;                               /* 0: no limit, and nothing else here counts */
	size_t share;                                /* so much is read at once */
	struct rate *bytes;                          /* of all workers; borrowed */
	struct loop *loop;
	struct list waiting;
	struct timer timer;
	uint64_t *waits;                             /* counter: reads that were put off */
};

void throttle_init(struct throttle *t, struct loop *l);
/* Nobody waits any more. */
void throttle_fini(struct throttle *t);
/* From now on. MBPS 0: whoever waits goes on. BYTES and WAITS are borrowed. */
void throttle_set(struct throttle *t, uint64_t mbps, struct rate *bytes, uint64_t *waits);
/* As long as too much has passed: true, and WHO is told to go on. For limits that are on. */
bool throttle_waits(struct throttle *t, struct throttled *who);
/* N bytes passed. For limits that are on. */
void throttle_took(struct throttle *t, size_t n);

static inline size_t throttle_share(const struct throttle *t, size_t n)
{
	return t->mbps && n > t->share ? t->share : n;
}

#endif
