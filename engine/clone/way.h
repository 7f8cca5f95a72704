/*
 * clone_way - from what a profile says of a clone server to the interface, the neighbour and the addresses of its copies.
 *
 * A pure look-up: it holds nothing, and is asked again whenever the machine changes.
 *
 *	given                      the copies leave by                     their MAC address is
 *	ip                         the interface in whose network it lies  that of ip; unknown: they are dropped
 *	ip, mac                    the same                                mac
 *	mac, subnet                an interface in subnet                  mac
 *	ip, subnet                 an interface in subnet                  that of ip; unknown: CLONE_FLOOD_MAC
 *	subnet                     an interface in subnet                  CLONE_FLOOD_MAC
 *	ip, encapsulation          where the routing table says            that of the next hop; unknown: dropped
 *	                           (with subnet: by that interface)        (with mac: mac)
 *
 * Only interfaces of the service's routing domain count.
 */
#ifndef SPANWIRE_ENGINE_CLONE_WAY_H
#define SPANWIRE_ENGINE_CLONE_WAY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/ip.h"

struct iface;
struct netlink;
struct routes;

/*
 * Nobody's, and one host's by its form: a switch that has never heard it sends it to all ports. Never broadcast, which every
 * host would have to look at.
 */
#define CLONE_FLOOD_MAC { 0x02, 0x53, 0x50, 0x57, 0xff, 0xff }

enum clone_wrap_kind {
	CLONE_WRAP_NONE, CLONE_WRAP_VXLAN, CLONE_WRAP_GRE, CLONE_WRAP_ERSPAN_II, CLONE_WRAP_ERSPAN_III,
	CLONE_WRAP_GENEVE,
};

/* A clone server as the profile gives it; what is not given is zero: two are compared whole. */
struct clone_want {
	bool has_ip, has_mac, has_subnet, has_key;
	struct in6_addr ip;
	uint8_t mac[6];
	uint16_t port;            /* of the encapsulation; 0: its own */
	struct in6_addr subnet;   /* of `subnet` or of the network: the copies leave on its interface */
	unsigned subnet_len;
	enum clone_wrap_kind wrap;
	uint32_t vni, key;
	uint32_t session;         /* of ERSPAN */
	char vrf[64];             /* uuid of the VRF context; "": the main one */
};
_Static_assert(sizeof(struct clone_want) == 128, "no holes");

/* Who knows of routing domains, and whose sockets make the frames. Callbacks may be NULL: there is one domain. */
struct clones_user {
	/* Number of a VRF context's domain; false: no interface is in it. */
	bool (*domain)(struct clones_user *u, const char *vrf, unsigned *number);
	unsigned (*domain_of)(struct clones_user *u, int ifindex);
	/* clone_set_room() of some set is another. */
	void (*room)(struct clones_user *u);
};

struct clone_way {
	const struct iface *iface;   /* NULL: none; `trouble` says why. Borrowed until the next turn */
	struct in6_addr next_hop;    /* whose MAC is wanted; zero: nobody's */
	struct in6_addr source;      /* of the outer packet, of an encapsulation */
	unsigned mtu;
	bool floods;                 /* while the MAC is not known */
	char trouble[160];           /* a sentence, "" when there is an interface */
};

void clone_way_find(const struct clone_want *w, struct netlink *n, struct routes *r, struct clones_user *u,
		    struct clone_way *out);

#endif
