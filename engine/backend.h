/*
 * backend - a server of a pool as it is now: address, load, health.
 *
 * A pool's server (ip, port) keeps its backend through all edits of the pool,
 * and all services that use the pool share it. It is one of the few things
 * that workers share: load and health are atomic, the rest never changes.
 * Only the main thread makes and finds backends; anybody holding a reference
 * may take another.
 */
#ifndef SPANWIRE_ENGINE_BACKEND_H
#define SPANWIRE_ENGINE_BACKEND_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine/address.h"
#include "engine/rate.h"

enum backend_health {
	BACKEND_UNKNOWN, /* nobody checks it, or nobody knows yet: may be used */
	BACKEND_UP,
	BACKEND_DOWN,
	BACKEND_MAINTENANCE, /* it said so itself: no new connections, those that are there may end in peace */
};

struct backend {
	atomic_uint refs;
	atomic_uint load;          /* connections that serve somebody now, over all workers */
	atomic_int health;         /* enum backend_health */
	atomic_ullong since_ns;    /* it came into service then, beside others that were there; 0: with them */
	atomic_int tasks;          /* what the server told of itself; -1: nothing */
	atomic_uint tasks_load;    /* its load then */
	atomic_int device;         /* interface that its connections are bound to; 0: any, -1: none leads to it */
	struct rate rate;          /* of connections begun, over all workers */
	atomic_uint trouble;       /* what exchanges say of it, when they are asked: twice as heavy as the good ones */
	atomic_ullong trouble_ns;  /* when that was */
	atomic_ullong refused_ns;  /* datagrams: nobody listened there then, as some worker heard; 0: never */
	unsigned slot;             /* of its counters */
	union address address;
	char name[64];             /* "10.0.0.5:80", "fd00::5:80": its key in metrics */
	char pool[64];             /* uuid */
};

struct backend *backend_new(const char *pool_uuid, const union address *a, unsigned slot);
struct backend *backend_get(struct backend *b);
void backend_put(struct backend *b);

/* Before connect(): only by the interface DEVICE (as in struct backend). -ENETUNREACH when there is none. */
int backend_bind(int fd, int device);
static inline int backend_device(struct backend *b)
{
	return atomic_load_explicit(&b->device, memory_order_relaxed);
}

/* May it be chosen, as far as health is concerned? */
static inline bool backend_is_usable(struct backend *b)
{
	return atomic_load_explicit(&b->health, memory_order_relaxed) < BACKEND_DOWN;
}

/* An exchange at NOW went well, or badly. */
void backend_judge(struct backend *b, uint64_t now, bool good);
/*
 * Its share is 1 of 2^n of what it would be, up to BACKEND_TROUBLE; 0: it does well. Trouble fades by itself, so that
 * a server that nobody asks is tried again.
 */
#define BACKEND_TROUBLE 6
unsigned backend_trouble(struct backend *b, uint64_t now);
/* One more connection serves somebody; false when MAX (0: no limit) do already. */
bool backend_take(struct backend *b, unsigned max);
void backend_release(struct backend *b);

#endif
