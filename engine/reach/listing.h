/*
 * listing - the kernel's neighbours and routes, for people. New references; at most 4,096 entries.
 */
#ifndef SPANWIRE_ENGINE_REACH_LISTING_H
#define SPANWIRE_ENGINE_REACH_LISTING_H

#include "base/json.h"

struct netlink;

/* [{ip_addr, mac, interface, state}] of the family (AF_INET, AF_INET6). */
json_t *listing_neighbours(struct netlink *n, int family);
/* [{destination: "10.0.0.0/8", gateway, interface, source, metric, table}]; not what is local. */
json_t *listing_routes(struct netlink *n);

#endif
