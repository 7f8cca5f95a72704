/*
 * ipset - a set of addresses, made once and asked often.
 *
 * Addresses, networks and ranges of either family go in, in any order and
 * overlapping; ipset_seal() sorts and merges them. A question is a binary
 * search: thousands of networks cost a dozen comparisons. An IPv6 network
 * never holds an IPv4 address, not even ::/0.
 */
#ifndef SPANWIRE_BASE_IPSET_H
#define SPANWIRE_BASE_IPSET_H

#include <stdbool.h>
#include <stddef.h>

#include "base/ip.h"

struct ipset_range {
	unsigned __int128 first, last; /* as numbers */
};

struct ipset {
	struct ipset_range *ranges;    /* sealed: ascending, apart from each other */
	size_t n, room;
};

void ipset_fini(struct ipset *s);

/* ---- while it is made ---- */

void ipset_add(struct ipset *s, const struct in6_addr *ip);
/* LEN counts in the family's own bits; bits of NET beyond it are ignored. */
void ipset_add_prefix(struct ipset *s, const struct in6_addr *net, unsigned len);
/* Both of one family; FIRST <= LAST. -EINVAL otherwise. */
int ipset_add_range(struct ipset *s, const struct in6_addr *first, const struct in6_addr *last);
void ipset_seal(struct ipset *s);

/* ---- once it is sealed ---- */

bool ipset_has(const struct ipset *s, const struct in6_addr *ip);

/* New sealed sets. */
struct ipset ipset_everybody(void);
/* Who is in A and in B (WITHOUT: and not in B). */
struct ipset ipset_and(const struct ipset *a, const struct ipset *b, bool without);
/* As networks, LEN of 128 bits (IPv4 in its mapped form); stops when F gives other than 0, and gives that. */
int ipset_networks(const struct ipset *s, int (*f)(void *arg, const struct in6_addr *net, unsigned len), void *arg);

#endif
