/*
 * netlink - the machine's interfaces, addresses and neighbours: read, watched, changed.
 *
 * One socket listens, one asks (engine/reach/rtnl.h).
 * The table of interfaces is kept current by the loop; users hear of changes
 * after they are in it.
 */
#ifndef SPANWIRE_ENGINE_REACH_NETLINK_H
#define SPANWIRE_ENGINE_REACH_NETLINK_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/ip.h"
#include "base/json.h"
#include "base/list.h"
#include "net/loop.h"

struct netlink;
struct rtnl;

/* Interfaces that we make begin with this and are nobody's data interfaces. */
#define NETLINK_OWN_PREFIX "spw-"

struct iface_addr {
	struct in6_addr addr;
	uint8_t prefix_len;
	bool ours;      /* added by an engine's warden: a VIP */
	bool link_local;
};

struct iface {
	struct list link;
	int index;
	char name[IF_NAMESIZE];
	uint8_t mac[6];
	unsigned mtu;
	int lower;      /* index of the interface that this one (a VLAN, say) stands on; 0: none */
	bool up;        /* administratively */
	bool carrier;
	bool data;      /* Ethernet, not a port of a bridge or bond, not loopback, not made by us */
	size_t addrs_n;
	struct iface_addr *addrs;
};

/* Somebody who listens. Zero it; the callbacks may be NULL. */
struct netlink_watch {
	struct list link;
	/* I appeared, changed (flags, MAC, MTU, addresses), or is GONE (and freed afterwards). */
	void (*iface)(struct netlink_watch *w, const struct iface *i, bool gone);
	/* The neighbour IP on the interface; MAC is NULL when it does not answer. */
	void (*neighbour)(struct netlink_watch *w, int ifindex, const struct in6_addr *ip, const uint8_t *mac);
};

/* The table is filled when it returns. */
int netlink_new(struct loop *l, struct netlink **out, struct err *e);
void netlink_free(struct netlink *n);
/* The socket that asks: for those who ask the kernel of other things on the same thread. */
struct rtnl *netlink_rtnl(struct netlink *n);
void netlink_watch(struct netlink *n, struct netlink_watch *w);
void netlink_unwatch(struct netlink_watch *w);

/* ---- reading; borrowed until the next turn ---- */

const struct iface *netlink_iface(const struct netlink *n, int index);
const struct iface *netlink_iface_named(const struct netlink *n, const char *name);
/* Does another interface stand on this one? */
bool netlink_iface_carries(const struct netlink *n, const struct iface *i);
/* The data interface with an address in whose prefix IP lies (the longest); NULL: not directly connected. */
const struct iface *netlink_iface_towards(const struct netlink *n, const struct in6_addr *ip);
void netlink_each(const struct netlink *n, void (*f)(void *arg, const struct iface *i), void *arg);
/* As `hello` has them: [{name, mac, mtu, up, addresses: ["10.0.0.5/24"]}]; data interfaces, without VIPs. */
json_t *netlink_interfaces_json(const struct netlink *n);
json_t *netlink_vnics_json(const struct netlink *n);

/* ---- changing; 0 or -errno of the kernel ---- */

/* ADDR as /32 or /128, without duplicate detection by the kernel, marked as ours. -EEXIST when it is there. */
int netlink_addr_add(struct netlink *n, int ifindex, const struct in6_addr *addr);
int netlink_addr_delete(struct netlink *n, int ifindex, const struct in6_addr *addr);
/* A neighbour that the kernel resolves at once and keeps resolved; its answer comes through the watches. */
int netlink_neighbour_manage(struct netlink *n, int ifindex, const struct in6_addr *ip);
int netlink_neighbour_forget(struct netlink *n, int ifindex, const struct in6_addr *ip);
/* All that we ever asked to be managed, in this run or an earlier one. */
void netlink_neighbours_forget(struct netlink *n);
/* What the device did not send, as the kernel counts it. */
int netlink_tx_dropped(struct netlink *n, int ifindex, uint64_t *out);

#endif
