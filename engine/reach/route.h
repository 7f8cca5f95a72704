/*
 * route - the way to an address, as the kernel's routing tables have it; and news that they changed.
 */
#ifndef SPANWIRE_ENGINE_REACH_ROUTE_H
#define SPANWIRE_ENGINE_REACH_ROUTE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/ip.h"
#include "net/loop.h"

struct routes;
struct rtnl;

struct route {
	int ifindex;
	struct in6_addr gateway; /* zero: IP is on the network of the interface */
	struct in6_addr source;  /* that the route asks for; zero: it does not say */
	unsigned mtu;            /* of the route; 0: the interface's */
	unsigned dst_len;        /* how precise it is */
	uint32_t metric;
	bool local;              /* IP is an address of this machine */
};

/* CHANGED is called soon after a routing table changed, once for many changes. */
int routes_new(struct loop *l, void (*changed)(void *arg), void *arg, struct routes **out, struct err *e);
void routes_free(struct routes *r);

/*
 * The route to IP. With VIA, an interface, only what leads there: so an interface's routing domain is asked (engine/reach/vrf.h has
 * rules for what is bound to one). 0, or -errno: -ENETUNREACH, -EHOSTUNREACH, -EACCES ... where there is none.
 */
int route_find(struct routes *r, const struct in6_addr *ip, int via, struct route *out);
/* The interface by which packets to IP leave, asked by R. 0 or -errno. */
int route_out(struct rtnl *r, const struct in6_addr *ip, int *ifindex);

#endif
