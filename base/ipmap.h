/*
 * ipmap - which of many sets of addresses is the first that holds an address?
 *
 * Sets overlap, as the rules of a list do: the one with the lowest number wins.
 * Made once, by a sweep over all their ranges; a question is one binary search,
 * whatever the number of sets.
 */
#ifndef SPANWIRE_BASE_IPMAP_H
#define SPANWIRE_BASE_IPMAP_H

#include "base/ipset.h"

#define IPMAP_NONE UINT32_MAX

struct ipmap_range {
	unsigned __int128 first, last;
	uint32_t set;
};

struct ipmap {
	struct ipmap_range *ranges; /* ascending, apart from each other; neighbours are of different sets */
	size_t n, room;
};

/* Of the N sealed sets at SETS those whose numbers stand in WHICH (ascending, N_WHICH of them). */
struct ipmap ipmap_new(const struct ipset *sets, const uint32_t *which, size_t n_which);
void ipmap_fini(struct ipmap *m);
/* The number of the first set that holds IP, or IPMAP_NONE. */
uint32_t ipmap_first(const struct ipmap *m, const struct in6_addr *ip);
/* Those addresses as networks, LEN of 128 bits, whose first set is WANTED(ARG, set); stops when F gives other than 0, and gives that. */
int ipmap_networks(const struct ipmap *m, bool (*wanted)(void *arg, uint32_t set),
		   int (*f)(void *arg, uint32_t set, const struct in6_addr *net, unsigned len), void *arg);

#endif
