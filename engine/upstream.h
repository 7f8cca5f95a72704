/*
 * upstream - a session's way to a server.
 *
 * One struct lives in each session, or exchange of one. upstream_open() chooses a server and
 * takes a connection at rest or opens one; a server that does not answer is
 * left out and another one tried, without the session noticing. The session
 * gives the connection back with upstream_done(), which keeps it for others or
 * closes it.
 *
 * Where the pool lets them, exchanges that find all servers full wait in a queue for a place
 * (upstream_open() says UPSTREAM_WAIT); over all workers no more than its depth. Who cannot have a socket (lack.h) waits
 * there in any case.
 *
 * Connections at rest belong to (worker, service, server) and carry the
 * generation of the clone profile under which they were opened; of another
 * generation they are closed, never used.
 */
#ifndef SPANWIRE_ENGINE_UPSTREAM_H
#define SPANWIRE_ENGINE_UPSTREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/conn.h"
#include "engine/lb/lb.h"

#define UPSTREAM_TRIES    3     /* servers that are asked before the session hears that none answers */
#define UPSTREAM_QUEUE_MS 30000 /* in the queue of a pool whose servers are all full */

struct snapshot;
struct snapshot_pool;
struct snapshot_server;
struct worker;
struct worker_backend;
struct worker_pool;
struct worker_service;
struct fail_action;

/* What an exchange asks of the balancer. */
struct upstream_ask {
	const struct snapshot_pool *pool; /* one of the snapshot's; NULL: there is none */
	uint64_t key;                     /* LB_CONSISTENT_HASH */
	struct backend *stay;             /* the server that the client had, as HTTP knows; NULL: none. Borrowed */
	bool twice;                       /* what is to be sent may be sent again when a connection at rest was stale */
	const struct fail_action *fail;   /* what the client gets when there is no server; NULL: nothing is said */
};

/* Who goes that way. */
struct upstream_user {
	const struct proto_ops *proto;    /* ready() and expired() of server connections, c->session is the user's */
	/*
	 * The answer to an upstream_open() that said UPSTREAM_WAIT: 0: u->server is there, and its events come from
	 * now on; else the -errno of the last attempt.
	 */
	void (*connected)(struct upstream *u, int rc);
	/* Give the server back now, and do not wait: the reason has been counted. */
	void (*cut)(struct upstream *u);
	/* C was dialled, whatever comes of it. NULL: that is no news. */
	void (*dialled)(struct upstream *u, struct conn *c);
};

struct upstream {
	const struct upstream_user *user;
	void *session;                    /* the user's */
	struct conn *client;
	struct conn *server;              /* NULL: none */
	struct snapshot *snapshot;        /* a reference, from upstream_open() to upstream_done() */
	const struct snapshot_pool *pool; /* of SNAPSHOT */
	struct worker_pool *from;         /* the same as the worker has it now */
	struct lb_ask ask;                /* with those that were tried: to be compared only, they may be gone */
	unsigned tries;                   /* of them, since the last answer of a server */
	struct backend *stay;             /* a reference: the server that the client had, until it was tried */
	struct list queued;
	uint64_t asked_ns;                /* when the server was asked, or the queue entered */
	bool lacked;                      /* queued: it waits for what the machine lacks, and not for a server */
	bool twice;                       /* as it was asked */
	bool timing;                      /* its answer is still to come */
	bool waiting;                     /* the server has not answered the SYN */
	bool reused;                      /* the connection served before: it may be stale */
};

enum { UPSTREAM_READY = 0, UPSTREAM_WAIT = 1 };

/* Once, before the first upstream_open(). Server connections get SESSION as their session. */
void upstream_init(struct upstream *u, const struct upstream_user *user, void *session, struct conn *client);
/*
 * The service's own pool, or one of its group: where the client's server is, else one of the first rank that has a server
 * up, by ratio. The client's address as the key. HTTP may know better.
 */
struct upstream_ask upstream_ask_of(const union address *client, struct worker_service *ws, const struct snapshot *s);
/* POOL of S, with the key that it wants. */
void upstream_ask_pool(struct upstream_ask *ask, const union address *client, const struct snapshot_pool *pool);
/*
 * Begin an exchange under the newest snapshot S (takes a reference of its own). UPSTREAM_READY: u->server
 * is connected; UPSTREAM_WAIT: user->connected() follows, later than this call; -ENOENT:
 * no server is enabled and up; -EBUSY: they have all the connections they may have; other -errno: no server answered.
 * After a failure here nothing is held; after one that connected() or upstream_again() told, call upstream_done().
 */
int upstream_open(struct upstream *u, struct snapshot *s, const struct upstream_ask *ask);
/*
 * The server connection broke before any byte of an answer, and what was sent may be sent again (or nothing was):
 * drop it and go on with another, new one. Answers as upstream_open(); -ECONNREFUSED when the tries are used up.
 */
int upstream_again(struct upstream *u);
/* What the server did was as it should be, or not. Where the pool wants it, who fails gets less to do. */
void upstream_judge(struct upstream *u, bool good);
/*
 * Another server for the same exchange, although this one answered: it is left out. Answers as upstream_open(); on
 * failure u->server stays as it is.
 */
int upstream_elsewhere(struct upstream *u);
/* What the pool says of the server that the exchange has; NULL: it says nothing any more. */
const struct snapshot_server *upstream_server(const struct upstream *u);
/* The first byte of the answer is there: what algorithms go by that look at time. Once an exchange is enough. */
void upstream_answered(struct upstream *u);
/* C serves U's client: a capture that began under S wants to know. */
void upstream_follow(const struct upstream *u, struct conn *c, const struct snapshot *s);
/* The exchange is over. KEEP: the connection is clean, between two exchanges; it rests, if the profile lets it. */
void upstream_done(struct upstream *u, bool keep);
/* The same at any time, also while it waits or was never opened: closes (RESET: by RST) what is there. */
void upstream_cancel(struct upstream *u, bool reset);
/* The configuration takes C, a busy connection: the exchange that it serves is ended, or sent elsewhere when the server never answered. */
void upstream_cut(struct conn *c);

/*
 * M of P for a client that had B: its load taken. NULL: another server (*RC is 0), or none: -EHOSTDOWN, the profile
 * wants it so. For UDP, which has no connections.
 */
struct lb_member *upstream_stay(struct worker_pool *p, struct backend *b, int *rc);

/* For the worker: P may have a place for those that wait, or is gone. */
void upstream_queue_look(struct worker_pool *p);

/* ---- for idle.c: what a connection to a server is to be ---- */

/* Where B is reached for U's client. */
union address upstream_address(const struct upstream *u, const struct worker_backend *b);
/* What is spoken to servers of P for CLIENT; NULL: plain. */
struct secure *upstream_secure(const struct snapshot_pool *p, const struct conn *client);
/* The address from which a server of FAMILY is spoken to for CLIENT: the newest, whatever S is; older ones may be gone. */
const struct source *upstream_source(const struct snapshot *s, const struct conn *client, int family);

#endif
