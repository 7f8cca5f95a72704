/*
 * snapshot - one virtual service as it is configured: immutable, counted.
 *
 * The main thread builds one from the objects at each commit that touches the
 * service and posts it to the workers. Whoever serves with it holds a
 * reference for one exchange (a request and its answer; an L4 connection for
 * its life), so an edit changes the next exchange and never a running one.
 * Everything in it lives in one arena and goes with the last reference, on
 * whatever thread that is.
 */
#ifndef SPANWIRE_ENGINE_SNAPSHOT_H
#define SPANWIRE_ENGINE_SNAPSHOT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "engine/admission.h"
#include "engine/backend.h"
#include "engine/lb/lb.h"
#include "engine/part.h"
#include "engine/source.h"
#include "engine/tuning.h"

struct proto_ops;
struct flow_sink;
struct plain_rules;
struct secure;
struct virtual_service;
struct application_profile;
struct network_profile;
struct analytics_profile;
struct pool;
struct pool_state;
struct sticky;
struct trigger;
struct redaction;
struct log_plan;

/* A server of the pool, as this revision of the pool has it. */
struct snapshot_server {
	struct backend *backend;          /* a reference */
	unsigned ratio;
	bool enabled;
	const struct server *server;      /* the pool's line; NULL: it has none of its own */
	const char *host;                 /* Host of requests to it; NULL: as the client wrote it */
};

/* A pool that the service uses, in the data path's own units. */
struct snapshot_pool {
	const struct pool *pool;          /* defaults filled in; never NULL */
	const char *uuid, *name;
	struct lb_rules rules;
	size_t n_servers;
	struct snapshot_server *servers;  /* no two with the same backend; places are those of the rules' tables */
	int64_t disable_ms, down_ms;      /* how long connections outlive their server's end; -1: for ever */
	uint64_t connect_ms;              /* for a server to answer a SYN */
	struct {
		uint64_t idle_ms, life_ms;    /* 0: for ever */
		uint64_t max_reuse, max_idle; /* 0: unlimited; per server and worker */
	} keep;                           /* server connections at rest */
	struct rate_limit rate;           /* of new connections to a server */
	struct {
		bool by_address;              /* in state->persist */
		unsigned mask;                /* bits of it; 0: all */
		uint64_t keep_ns;
		const struct sticky *cookie;  /* NULL: not by cookie. Its places are those of `servers` */
		int down;                     /* enum server_hm_down_recovery */
		bool while_disabled;          /* a server that is disabled goes on with its clients, as long as it drains */
	} persist;                        /* how a client stays with its server */
	unsigned min_up;                  /* with fewer servers up it has none */
	bool passive;                     /* exchanges that fail lower a server's share */
	bool service_port;                /* servers are reached at the port that the client came to */
	bool service_tls;                 /* `tls` is for clients that come by TLS; with the others servers speak plain */
	unsigned queue_max;               /* exchanges that may wait for a place; 0: none waits */
	const struct snapshot_pool *backup; /* asked when no server of it is up; NULL: none */
	bool spare;                       /* nobody asks it but as a backup */
	struct pool_state *state;         /* a reference; NULL: in tests */
	struct secure *tls;               /* with its servers; NULL: plain. A reference */
};

/* A pool of a group, those that come first in front. */
struct snapshot_member {
	size_t pool;                      /* of the snapshot's pools */
	unsigned rank;                    /* 0 comes first */
	unsigned ratio;                   /* share among those of its rank; 0: none of what is new */
};

/* Copies of the server side: what the mark of each server connection says. */
struct snapshot_clone {
	bool on;
	bool preserve_client_ip;
	bool one_client;                  /* a server connection serves one client only: what is copied depends on him */
	bool by_client;                   /* to the target that its client's connection goes to, not in turn */
	bool keys;                        /* the capture wants TLS secrets */
	uint8_t tells;                    /* place of the capture in the worker_ring, and one more; 0: nobody listens */
	bool retells;                     /* the capture wants the plaintext */
	uint16_t excerpt;                    /* place of the service in the recorder's plaintext, and one more; 0: it has none */
	uint32_t capture;                 /* its number, never used again */
	bool follow;                      /* mark also what is not copied: a capture wants to know whose packets they are */
	uint32_t service;                 /* index of the service in the kernel's tables */
	uint32_t first, n;                /* its clone targets, flows go to them in turn */
	uint32_t generation;              /* of the profile: a connection of another generation is never reused */
	bool clients;                     /* plaintext: of what is said to clients as well, or alone (`on` is false) */
	const struct plain_rules *plain;  /* the plaintext is copied; NULL: packets as they are */
	struct flow_sink *sink;           /* where lines about it go; NULL: nowhere. A reference */
	unsigned room;                    /* the longest IP packet that fits the encapsulation of its copy; 0: any */
	unsigned client_room;             /* the same of what is said with clients */
};

/* Ports at which TLS with clients ends. */
struct snapshot_tls_port {
	unsigned first, last;
	const char *alpn;                 /* what is offered, in our order, as ALPN writes it; NULL: nothing */
};

/* Ports of the service that are not served by its own profiles. */
struct snapshot_port {
	bool udp;
	unsigned first, last;
	struct snapshot *as;              /* how they are; a reference */
};

struct snapshot {
	atomic_uint refs;
	struct arena arena;
	struct parts parts;               /* the objects, which it shares with others */

	unsigned index;                   /* of the service in this proxy: the workers' tables */
	unsigned slot;                    /* of its counters */
	uint64_t revision;                /* of the commit that made it */
	const char *uuid, *name;
	const struct proto_ops *proto;

	/* The objects, defaults filled in (model/structs.h). NULL where the service names none. */
	const struct virtual_service *vs;
	const struct application_profile *application;
	const struct network_profile *network;
	const struct analytics_profile *analytics;
	size_t n_pools;
	struct snapshot_pool *pools;      /* the first is the service's own, where it has one */
	size_t n_members;                 /* of the pool group; 0: there is none */
	struct snapshot_member *members;
	unsigned group_min;               /* servers that must be up before the next rank is left out; 0: one */
	const struct fail_action *group_fail;
	const struct snapshot_pool *group_backup; /* asked when no pool of the group has a server up; NULL: none */

	/* What the data path asks at each connection, in its own units. */
	uint64_t idle_ms;                 /* L4: nothing moved; 0: for ever */
	unsigned proxy_header;            /* L4: version of what servers are told of the client; 0: nothing */
	bool close_idle;                  /* L4: close then, rather than only probe with keep-alives */
	struct tuning client, server;     /* of the sockets on both sides */
	bool keepalive_halfclosed;        /* also when one side sends no more */
	unsigned dscp;                    /* of packets to the client */
	bool per_packet;                  /* UDP: each datagram goes to a server of its own */
	bool multiplex;                   /* server connections may serve several clients */
	struct snapshot_clone clone;
	struct sources sources;           /* from which servers are spoken to */
	struct admission_plan admission;
	const struct trigger *trigger;    /* requests that save packets; NULL: none does */
	struct redaction *redaction;                /* what logs and the recorder hide of requests; NULL: what they always do */
	struct log_plan *log_plan;        /* which records are kept; NULL: all */
	bool cuts_clients;                /* those of an older snapshot are not to go on */

	size_t n_ports;
	struct snapshot_port *ports;

	size_t n_tls_ports;
	const struct snapshot_tls_port *tls_ports;
	struct secure *clients_tls;       /* NULL: no certificate. A reference */
};

struct snapshot *snapshot_new(void);
struct snapshot *snapshot_get(struct snapshot *s);
void snapshot_put(struct snapshot *s);
/* What PORT is served by: S itself, or what S has for it. Borrowed. */
struct snapshot *snapshot_for(struct snapshot *s, bool udp, unsigned port);

/* NULL: TLS does not end there. */
static inline const struct snapshot_tls_port *snapshot_tls_port(const struct snapshot *s, unsigned port)
{
	for (size_t i = 0; i < s->n_tls_ports; i++)
		if (port >= s->tls_ports[i].first && port <= s->tls_ports[i].last)
			return &s->tls_ports[i];
	return NULL;
}

#endif
