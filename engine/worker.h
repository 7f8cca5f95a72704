/*
 * worker - one thread, one loop, and everything that is served there.
 *
 * Nothing in it is locked: other threads post to its inbox, and read its
 * counters. Per service it holds the newest snapshot, the listeners, the
 * client connections (listener.h), and the pools with their servers (worker_pool.h).
 */
#ifndef SPANWIRE_ENGINE_WORKER_H
#define SPANWIRE_ENGINE_WORKER_H

#include <pthread.h>
#include <stdint.h>

#include "base/slab.h"
#include "engine/clone/badges.h"
#include "engine/buffer.h"
#include "engine/conn.h"
#include "engine/counters.h"
#include "engine/listener.h"
#include "engine/snapshot.h"
#include "engine/tls/secure.h"
#include "engine/trace.h"
#include "engine/worker_pool.h"
#include "net/inbox.h"
#include "net/loop.h"

struct worker_service {
	struct worker *worker;
	unsigned index;
	struct snapshot *snapshot;        /* a reference; NULL: not here yet, or removed */
	struct service_counters *counters; /* this worker's */
	struct list listeners;
	struct list clients;
	struct list pools;
	struct worker_pool **pool_at;     /* by place in the newest snapshot */
	uint32_t group_turn;
	uint32_t clone_turn;
	struct throttle throttle;
	struct admission *admission;       /* a reference: what its clients are counted in */
};

struct worker {
	unsigned id;
	pthread_t thread;
	struct loop *loop;
	struct inbox inbox;
	struct counters *counters;        /* the proxy's */
	struct engine_counters *engine;   /* this worker's */
	struct buffer_pool buffers;
	struct slab conns;
	struct slab sessions_l4, sessions_http, sessions_h2, streams, notes, tls;
	struct worker_service **services; /* by snapshot->index; NULL where there is none */
	size_t n_services;
	uint32_t next_id;
	int mark_map;                     /* socket storage of the clone; -1: none */
	struct badges badges;             /* what connections wear that go from client to client */
	uint64_t flow_seed;
	struct plain *plain;              /* plaintext copies; NULL: nobody wanted any yet */
	struct pipe *pipes;               /* for splice(2), at rest */
	struct udp *udp;                  /* flows of datagrams */
	char *scratch;                    /* WORKER_SCRATCH bytes for what is passed on within one call */
	struct list shaking;              /* struct conn_tls: handshakes with clients, the oldest first */
	unsigned n_shaking, shaking_max;
	struct tickets tickets;
	EVP_CIPHER *ticket_cipher;        /* as the library looks it up; NULL: not yet */
	struct trace trace;
	bool stopping;
};

#define WORKER_SCRATCH (64u << 10)

/* Make it and start its thread. COUNTERS is borrowed for the worker's life. */
struct worker *worker_start(unsigned id, struct counters *counters);
/* Cut all connections, end the thread, free. Only after everything posted was delivered or is no longer needed. */
void worker_stop(struct worker *w);

/* ---- from other threads: posted, done in order ---- */

/* Takes a reference of its own. */
void worker_post_snapshot(struct worker *w, struct snapshot *s);
/* The service is gone: its clients are cut. */
void worker_post_removed(struct worker *w, unsigned index);
/* Takes FD. */
void worker_post_listener(struct worker *w, unsigned index, uint64_t id, int fd, const union address *a, unsigned last,
			  bool udp);
/* The listener is gone, and what it accepted is cut. */
void worker_post_unlisten(struct worker *w, unsigned index, uint64_t id);
/* B's health fell: the service's down_ms applies to its connections. */
void worker_post_down(struct worker *w, unsigned index, struct backend *b);
/* The keys of tickets from now on; copied. */
void worker_post_tickets(struct worker *w, const struct tickets *t);
/* The socket storage map for marks, borrowed for ever, and what flow_id() is seeded with. */
void worker_post_mark_map(struct worker *w, int fd, uint64_t flow_seed);
/* What connections of WORKERS workers wear; ALL is borrowed for ever. */
void worker_post_badges(struct worker *w, struct badge *all, unsigned workers);
/* Once, before a snapshot that wants plaintext copies. Takes P, which was made for W. */
void worker_post_plain(struct worker *w, struct plain *p);
/*
 * When all N workers have done everything that was posted before, DONE(ARG, NUMBER) is called on the thread of HOME (NULL:
 * on that of the last of them): what a change that runs everywhere, and a proof of life, are made of.
 */
void workers_round(struct worker **w, unsigned n, struct inbox *home, void (*done)(void *arg, uint64_t number),
		   void *arg, uint64_t number);

#endif
