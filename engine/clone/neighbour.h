/*
 * clone_neighbour - the MAC addresses of clone servers and next hops, found and kept.
 *
 * A neighbour is an address on an interface, shared by all who send there. The
 * kernel keeps it resolved (a managed entry); once a second we ask for it by
 * broadcast, because the kernel alone notices a changed MAC address late, and
 * forgets its entries when the carrier goes.
 */
#ifndef SPANWIRE_ENGINE_CLONE_NEIGHBOUR_H
#define SPANWIRE_ENGINE_CLONE_NEIGHBOUR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/ip.h"
#include "net/loop.h"

struct netlink;
struct clone_neighbour;
struct clone_neighbours;

/* CHANGED: one of them has another MAC address, or answers no more, or again. */
struct clone_neighbours *clone_neighbours_new(struct loop *l, struct netlink *n, void (*changed)(void *arg), void *arg);
/* None is held any more. */
void clone_neighbours_free(struct clone_neighbours *t);

/* Counted: equal ones are one. */
struct clone_neighbour *clone_neighbour_get(struct clone_neighbours *t, int ifindex, const struct in6_addr *ip);
/* The managed entry goes with the last one. NULL: nothing. */
void clone_neighbour_put(struct clone_neighbour *n);
bool clone_neighbour_is(const struct clone_neighbour *n, int ifindex, const struct in6_addr *ip);
bool clone_neighbour_answers(const struct clone_neighbour *n);
/* The one that it has, or had when it answered last; NULL: never known. */
const uint8_t *clone_neighbour_mac(const struct clone_neighbour *n);

#endif
