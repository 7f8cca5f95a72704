/*
 * worker - one thread, one loop, and everything that is served there.
 *
 * Nothing in it is locked: other threads post to its inbox, and read its
 * counters. Per service it holds the newest snapshot, the listeners, the
 * client connections and the balancer; per service and server the connections
 * that are busy or at rest.
 */
#ifndef SPANWIRE_ENGINE_WORKER_H
#define SPANWIRE_ENGINE_WORKER_H

#include <pthread.h>
#include <stdint.h>

#include "base/slab.h"
#include "engine/buffer.h"
#include "engine/conn.h"
#include "engine/counters.h"
#include "engine/lb/lb.h"
#include "engine/tls/secure.h"
#include "engine/snapshot.h"
#include "engine/trace.h"
#include "net/inbox.h"
#include "net/loop.h"

/* A descriptor that the warden bound, and that accepts (UDP: receives) for one service. */
struct listener {
	struct watch watch;
	struct list link;                 /* in its service */
	struct grave grave;
	struct worker_service *service;
	uint64_t id;                      /* the warden's number */
	union address address;
	unsigned last;                    /* port of a range; 0: one port */
	struct snapshot *snapshot;        /* what is served here by; borrowed from the service */
	struct timer pause;               /* the kernel had no descriptor left: try again then */
	bool udp;
	struct list flows;                /* UDP */
	struct throttled throttled;       /* UDP */
	uint32_t queue_drops;             /* UDP: as the kernel counted them last */
};

/* A pool as this worker sees it, of one service. */
struct worker_pool {
	struct worker_service *service;
	struct list link;                 /* in service->pools */
	char *uuid;
	const struct snapshot_pool *now;  /* of the newest snapshot; NULL: that has it no more */
	struct lb lb;                     /* its members */
	struct lb_member **members;
	struct worker_backend **known;    /* the same by their backends: open addressing, known_mask + 1 of them */
	size_t known_mask;
	struct list backends;             /* also those that only live until their connections end */
	bool open;                        /* as many servers are up as it wants */
	size_t up;                        /* so many are */
	unsigned users;                   /* exchanges between upstream_open() and upstream_done() */
	struct list queue;                /* of struct upstream: they wait for a place at a server */
	struct timer queue_timer;
	struct grave grave;
};

/* A server as this worker sees it, of one service. */
struct worker_backend {
	struct lb_member member;          /* backend is a reference */
	struct worker_service *service;
	struct worker_pool *pool;
	struct server_counters *counters; /* this worker's */
	struct list link;                 /* in pool->backends */
	struct list idle, busy;           /* idle: the one that rested last is first */
	struct list flows;                /* of datagrams; each counts in n_conns */
	uint64_t refused_ns;              /* datagrams: nobody listened there then */
	size_t n_idle, n_conns;
	unsigned passed;                  /* choices that passed it over since it was last taken */
	bool counted;                     /* among its pool's `up` */
	bool listed;                      /* the newest snapshot has it */
	uint64_t ended_ns;                /* it was disabled, or fell, then; 0: it is in service */
	struct timer drain;               /* its connections are cut then */
	struct ssl_session_st *tls_session;         /* the newest, to be resumed under ... */
	struct secure *tls_secure;        /* a reference */
	uint64_t untrusted_ns;            /* when it was said last that its certificate was not believed; 0: never */
	struct grave grave;
};

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
	uint64_t refused_ns;              /* the newest of its backends */
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

/* ---- from other threads: posted, in order ---- */

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
/* Once, before a snapshot that wants plaintext copies. Takes P, which was made for W. */
void worker_post_plain(struct worker *w, struct plain *p);
/*
 * When all N workers have done everything that was posted before, DONE(ARG, NUMBER) is called on the thread of HOME (NULL:
 * on that of the last of them): what a change that runs everywhere, and a proof of life, are made of.
 */
void workers_round(struct worker **w, unsigned n, struct inbox *home, void (*done)(void *arg, uint64_t number),
		   void *arg, uint64_t number);

/* ---- on its own thread ---- */

/*
 * Tell the kernel which clone server gets the copies of server socket FD, before it is connected for CLIENT,
 * who came to VIP. IDLE_S: a silence after which the flow is over; 0: it has an end of its own. -errno.
 */
int worker_mark(struct worker_service *ws, int fd, const union address *client, const union address *vip,
		const struct snapshot *s, unsigned idle_s);
/* FD serves CLIENT from now on: a capture wants to know. As worker_mark(), of one that is connected. */
void worker_follow(struct worker_service *ws, int fd, const union address *client, const union address *vip,
		   const struct snapshot *s, unsigned idle_s);
/* The clone target of the next flow: they are taken in turn, or by the client's flow. */
uint32_t worker_clone_target(struct worker_service *ws, const struct snapshot_clone *clone, uint64_t flow_id);
/* Which flow of a client a connection of ours belongs to. */
uint64_t worker_flow_id(const struct worker *w, const union address *client, const union address *vip, bool udp);
/* One that was counted in n_conns is gone. */
void worker_backend_left(struct worker_backend *b);
/* The TLS session that would be resumed with B. */
void worker_backend_forget_session(struct worker_backend *b);
/* C left every list and is about to be freed: what is counted or bound to it. Called by conn.c. */
void worker_client_gone(struct conn *c);
void worker_server_gone(struct conn *c);
/* The member of P whose backend is B; NULL: there is none. */
struct worker_backend *worker_pool_find(const struct worker_pool *p, const struct backend *b);
/* P may be free of its last user. */
void worker_pool_left(struct worker_pool *p);
/* The session that is served by C is ended, or sent elsewhere when the server never answered. */
void worker_cut_server(struct conn *c);

#endif
