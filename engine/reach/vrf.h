/*
 * vrf - the routing domains of this engine: which interface is in which, and the routes of each.
 *
 * `global` is the main table. Every other VRF context that an interface of this
 * engine is in (`vrf_ref` of its vnic, or of the network that it is on) gets a
 * table of its own, with rules that send there what comes in by its interfaces
 * and what is bound to one of them, the networks of its interfaces, its static
 * routes, and a refusal for the rest: nothing leaks into the main table.
 * Static routes of `global` go to the main table.
 *
 * Tables and rules are there in every kernel; VRF devices are not, and
 * enslaving an interface would take its IPv6 addresses and the routes that
 * others made away.
 *
 * All rules and routes of ours carry protocol 0x53; only those are touched.
 * They go at the end, and what an earlier run left goes at the start.
 */
#ifndef SPANWIRE_ENGINE_REACH_VRF_H
#define SPANWIRE_ENGINE_REACH_VRF_H

#include "base/err.h"
#include "base/ip.h"
#include "base/json.h"
#include "net/loop.h"

struct datapath;
struct link;
struct netlink;
struct vrfs;

struct vrfs_user {
	/* The routes of a domain are others. */
	void (*changed)(struct vrfs_user *u);
};

int vrfs_new(struct loop *l, struct netlink *n, struct datapath *d, struct vrfs_user *u, struct vrfs **out,
	     struct err *e);
void vrfs_free(struct vrfs *v);
/* The objects may have changed. K is remembered: interfaces change as well. */
void vrfs_follow(struct vrfs *v, const struct link *k);

/* Number of the domain of a VRF context; 0: main, for `global`. False: no interface is in it. */
bool vrfs_find(const struct vrfs *v, const char *uuid, unsigned *number);
/* Is an interface in a domain other than main? */
bool vrfs_any(const struct vrfs *v);
/* Number of the domain of an interface; 0: main. */
unsigned vrfs_of(const struct vrfs *v, int ifindex);
/* The interface by which IP is reached in the VRF context UUID; 0: none is known (or it is `global`: ask the kernel). */
int vrfs_towards(const struct vrfs *v, const char *uuid, const struct in6_addr *ip);

/*
 * For the proxy, which binds its sockets: {"type": "vrfs", "vrfs": {uuid: [["10.0.0.0", 24, ifindex] ...]}}, of all but
 * `global`. New reference.
 */
json_t *vrfs_message(const struct vrfs *v);

#endif
