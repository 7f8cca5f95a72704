/*
 * assigned - a virtual service that this engine is to serve: its VIPs, its ports, its clone targets.
 *
 * What the controller wants of it is an `assignment` and a `virtualservice`;
 * assigned_follow() brings addresses and sockets to what they say,
 * assigned_follow_clone() the clone targets; snat.h has what servers see. Where something cannot be had, the
 * rest is done all the same, and the state says what is missing.
 */
#ifndef SPANWIRE_ENGINE_CONFIG_ASSIGNED_H
#define SPANWIRE_ENGINE_CONFIG_ASSIGNED_H

#include <netinet/in.h>
#include <stdbool.h>

#include "base/json.h"
#include "base/list.h"
#include "base/table.h"
#include "model/structs.h"

struct assigned_table;
struct clone_set;
struct clones;
struct copies;
struct datapath;
struct guards;
struct legs;
struct link;
struct netlink;
struct ports;
struct vip;
struct vips;
struct vrfs;

/* A VIP that a service holds, or an address from which it speaks to servers. */
struct assigned_hold {
	struct table_link by_vip;  /* while it serves from it, and not only lets it go */
	struct assigned *holder;
	struct vip *vip;
	char *id;                  /* vip_id */
	bool snat;
	bool lingers;              /* snat: vip_linger() was called */
	bool routed;               /* snat: no network of ours holds it */
};

struct assigned {
	struct list link;
	struct table_link by_uuid;
	struct assigned_table *table;
	char *uuid;
	bool touched;              /* in this commit, or in an earlier one that could not be done whole */
	uint64_t wanted_revision;  /* the newest of its objects */
	json_t *made_of;           /* "kind/uuid" -> true: these objects; NULL: not known yet */
	uint64_t revision;         /* what runs of them */
	struct assigned_hold **vips; /* held */
	size_t n_vips;
	struct assigned_hold **leaving; /* held a moment longer, see assigned_let_go() */
	size_t n_leaving;
	/* SNAT addresses that are wanted no more, while connections run from them, see snat.h. */
	struct assigned_hold **lingering;
	size_t n_lingering;
	json_t *sources;           /* what the proxy uses: [{"id", "vips": [...], "v4", "v6"}]; NULL: the machine's own addresses */
	char said[256];            /* by assigned_state(): a reason that is put together */
	unsigned vrf;              /* routing domain, once it was followed */
	bool enabled;
	bool closes;               /* it has remove_listening_port_on_vs_down */
	bool silent;               /* all its servers are down, and it wants no ports then */
	char *trouble;             /* a sentence: what could not be had; NULL: nothing */
	int trouble_code;          /* negative errno; 0: none */
	char *clone_trouble;
	char *source_doubt;       /* an SNAT address that is used, but does not move with the VIP; NULL: none */
	struct clone_set *clone, *old_clone; /* the old one is retired when the proxy was told of the new one */
	bool clone_changed;
	char *clone_key;           /* what the set was made from, as text; "" none */
	struct copies *copies;     /* books of all the sets that it had */
	struct legs *legs;         /* what is wanted of its clients */
	struct {
		uint32_t number;   /* 0: none runs */
		unsigned tells;    /* its place in the worker_ring, and one more; 0: it has none */
		bool keys, plaintext; /* it wants TLS secrets; what is said inside TLS */
	} capture;
	unsigned excerpt;             /* its place in the recorder's plaintext, and one more; 0: it has none */
	bool follows;              /* whose packets are whose is to be known: a capture runs */
	bool preserve_client_ip, clone_by_network;
	enum clone_side clone_side;
	json_t *plain;             /* rules of the plaintext copy, for the proxy; NULL: packets as they are */
	unsigned clone_room;       /* as the proxy was told */
	unsigned index;            /* the service's number in marks */
};

struct assigned_table *assigned_new(struct vips *v, struct clones *c, struct ports *p, struct guards *g, struct vrfs *r,
				    struct netlink *n, struct datapath *d);
/* Drops all. */
void assigned_free(struct assigned_table *t);
struct list *assigned_list(struct assigned_table *t);

/* The one of UUID; NULL: it is not there. */
struct assigned *assigned_find(const struct assigned_table *t, const char *uuid);
/* The same, made when it is not there. */
struct assigned *assigned_make(struct assigned_table *t, const char *uuid);
/* Its ports are closed, its addresses say no more that they are here; it is freed. Then assigned_parted(). */
void assigned_drop(struct assigned *a);
/* The clients of those that were dropped know it: their addresses are withdrawn. */
void assigned_parted(struct assigned_table *t);

/* false: it is no longer assigned, or its virtual service is gone: drop it. */
bool assigned_follow(struct assigned *a, const struct link *k);
/*
 * A service that was disabled keeps its addresses until this is called: connections that were cut
 * are told so from them. false: there was nothing to let go.
 */
bool assigned_let_go(struct assigned *a);
/* true: the clone range is another one: the proxy wants to know. */
bool assigned_follow_clone(struct assigned *a, const struct link *k);
/* The proxy was told: the old set gets no new flows any more. */
void assigned_retire_clone(struct assigned *a);

/* For snat.h: frees H; an OperState for the state of V. */
void assigned_release(struct assigned_hold *h);
const char *assigned_state_of(const struct vip *v);

/* Those that hold V: the first, and the one behind another; NULL: no more. */
struct assigned_hold *assigned_holds(const struct assigned_table *t, const struct vip *v, const struct assigned_hold *behind);
/* An OperState and a sentence ("" when up). Borrowed. */
const char *assigned_state(struct assigned *a, const char **reason);
/* {vip_id: {"state", "reason"}} where there are several; NULL: the state says it. New reference. */
json_t *assigned_vips(const struct assigned *a);
/* A `clone` message for the proxy. New reference. */
json_t *assigned_clone_message(struct assigned *a);
/* It would say something else than when it was made last. */
bool assigned_clone_has_news(const struct assigned *a);
/* The file that lines about its plaintext flows go to; NULL: none. */
const char *assigned_log_file(const struct assigned *a);
/* Does the machine have ADDR in the routing domain of A without us? */
bool assigned_has_anyway(const struct assigned *a, const struct in6_addr *addr);
/* Of its copies: said as its reason. */
void assigned_clone_trouble(struct assigned *a, const struct err *e);
/* [{"ip", "index", counter: value ...}] of a `stats` message; NULL: it never had a clone. */
json_t *assigned_clone_books(struct assigned *a);

#endif
