/*
 * worker_pool - the pools of a service and their servers, as one worker sees them.
 *
 * The newest snapshot says which there are; one that it has no more lives on until its last connection, exchange or
 * datagram is gone. So does its balancer (engine/lb), and the connections that are busy or at rest (engine/upstream.h).
 * Nothing here is locked: all of it is the worker's thread's. What workers share of a server is its struct backend.
 */
#ifndef SPANWIRE_ENGINE_WORKER_POOL_H
#define SPANWIRE_ENGINE_WORKER_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "engine/lb/lb.h"
#include "net/loop.h"

struct backend;
struct conn;
struct secure;
struct snapshot;
struct snapshot_pool;
struct worker_service;

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

/* A server of one. */
struct worker_backend {
	struct lb_member member;          /* backend is a reference */
	struct worker_service *service;
	struct worker_pool *pool;
	struct server_counters *counters; /* this worker's */
	struct list link;                 /* in pool->backends */
	struct list idle, busy;           /* idle: the one that rested last is first */
	struct list flows;                /* of datagrams; each counts in n_conns */
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

/* The pools of S are those of SNAP from now on; NULL: it has none any more. */
void worker_pools_follow(struct worker_service *s, const struct snapshot *snap);
/* FALLEN's health changed: who has it as a server looks again. */
void worker_pools_down(struct worker_service *s, const struct backend *fallen);
/* F may end none of them. */
void worker_pools_each_busy(struct worker_service *s, void (*f)(struct conn *server));

/* The member of P whose backend is B; NULL: there is none. */
struct worker_backend *worker_pool_find(const struct worker_pool *p, const struct backend *b);
/* P may be free of its last user. */
void worker_pool_left(struct worker_pool *p);

/* One that was counted in n_conns is gone. */
void worker_backend_left(struct worker_backend *b);
/* The same, and that is C, which left every list and is about to be freed. Called by conn.c. */
void worker_server_gone(struct conn *c);
/* The TLS session that would be resumed with B. */
void worker_backend_forget_session(struct worker_backend *b);

#endif
