/*
 * netlink - the machine's interfaces, addresses and neighbours: read, watched, changed.
 *
 * One socket listens, one asks and waits for the kernel's answer (microseconds).
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

/* Origin (IFA_PROTO) of the addresses that we add, so that a later warden knows them. */
#define NETLINK_OURS 0x53
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
void netlink_watch(struct netlink *n, struct netlink_watch *w);
void netlink_unwatch(struct netlink_watch *w);

/* ---- reading; borrowed until the next turn ---- */

const struct iface *netlink_iface(const struct netlink *n, int index);
const struct iface *netlink_iface_named(const struct netlink *n, const char *name);
/* Does another interface stand on this one? */
bool netlink_iface_carries(const struct netlink *n, const struct iface *i);
/* The data interface with an address in whose prefix IP lies (the longest); NULL: not directly connected. */
const struct iface *netlink_iface_towards(const struct netlink *n, const struct in6_addr *ip);
/* The data interface with an address (not a VIP) that lies in NET/LEN; NULL: none. */
const struct iface *netlink_iface_within(const struct netlink *n, const struct in6_addr *net, unsigned len);
void netlink_each(const struct netlink *n, void (*f)(void *arg, const struct iface *i), void *arg);
/* As `hello` has them: [{name, mac, mtu, up, addresses: ["10.0.0.5/24"]}]; data interfaces, without VIPs. */
json_t *netlink_interfaces_json(const struct netlink *n);
json_t *netlink_vnics_json(const struct netlink *n);

/* [{ip_addr, mac, interface, state}] of the family; the kernel is asked. At most 4,096. */
json_t *netlink_neighbours_json(struct netlink *n, int family);
/* [{destination: "10.0.0.0/8", gateway, interface, source, metric, table}]; not what is local. */
json_t *netlink_routes_json(struct netlink *n);

/* ---- changing; 0 or -errno of the kernel ---- */

/* ADDR as /32 or /128, without duplicate detection by the kernel, marked as ours. -EEXIST when it is there. */
int netlink_addr_add(struct netlink *n, int ifindex, const struct in6_addr *addr);
int netlink_addr_delete(struct netlink *n, int ifindex, const struct in6_addr *addr);
/* A neighbour that the kernel resolves at once and keeps resolved; its answer comes through the watches. */
int netlink_neighbour_manage(struct netlink *n, int ifindex, const struct in6_addr *ip);
int netlink_neighbour_forget(struct netlink *n, int ifindex, const struct in6_addr *ip);
/* All that we ever asked to be managed, in this run or an earlier one. */
void netlink_neighbours_forget(struct netlink *n);
/*
 * A bridge of ours with one port: the near end of a veth pair. All up, MTU 65535, without addresses of the kernel's
 * making. What is sent by the bridge passes the port's egress before the call returns. -EEXIST.
 */
struct netlink_cutter {
	char bridge[IF_NAMESIZE], port[IF_NAMESIZE], far_end[IF_NAMESIZE];
};
int netlink_cutter_add(struct netlink *n, const struct netlink_cutter *c);
/* What of it is there. -ENODEV: nothing. */
int netlink_cutter_delete(struct netlink *n, const struct netlink_cutter *c);
/* One of ours: up, without addresses of the kernel's making. */
int netlink_link_up(struct netlink *n, const char *name);
int netlink_link_delete(struct netlink *n, const char *name);
/*
 * A rule or a route of ours. A rule (`rule`) sends what comes in by the interface (`inwards`), or is bound to it, to the
 * table; without an interface everything. A route without interface and gateway refuses (ENETUNREACH).
 */
struct netlink_path {
	bool rule, inwards, v4;
	uint32_t table, priority; /* of a route: its metric */
	int ifindex;
	char interface[IF_NAMESIZE]; /* of a rule */
	struct in6_addr dst;
	uint8_t dst_len;
	struct in6_addr gateway, source; /* zero: none */
};
/* Both are marked as ours. A route that is there is replaced; a rule that is there is no error. */
int netlink_path_add(struct netlink *n, const struct netlink_path *p);
/* 0 also when it was gone. */
int netlink_path_delete(struct netlink *n, const struct netlink_path *p);
/* Removes every rule and route that is ours, of whatever run. */
int netlink_paths_sweep(struct netlink *n);
/* The interface by which packets to IP leave, as the routing tables say. */
int netlink_route(struct netlink *n, const struct in6_addr *ip, int *ifindex);
/* What the device did not send, as the kernel counts it. */
int netlink_tx_dropped(struct netlink *n, int ifindex, uint64_t *out);
/* Checksums (and with them segmentation) of what leaves by NAME: by the device or by the kernel; *WAS may be NULL. */
int netlink_tx_offload(const char *name, bool on, bool *was);
/* It cannot be changed there. */
bool netlink_tx_offload_is_fixed(const char *name);

#endif
