/*
 * hash - which server a key belongs to: multi-probe consistent hashing.
 *
 * Each server has a few points on a ring of 2^64, as many times as its ratio
 * says, at places that come from its name alone. A key looks at LB_HASH_PROBES
 * places and belongs to the server whose point follows one of them closest.
 * So:
 *
 *   - the order of the servers in the pool means nothing;
 *   - a server that is added takes keys from all others and moves none between
 *     them; one that is removed, disabled, down or full gives its own keys to
 *     the others and moves no other key;
 *   - shares are within some percent of the ratios, with a table of 8 points a
 *     server (Appleton, O'Reilly: "Multi-Probe Consistent Hashing", 2015).
 *
 * Built once, then read only: all workers read the same one.
 */
#ifndef SPANWIRE_ENGINE_LB_HASH_H
#define SPANWIRE_ENGINE_LB_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"

#define LB_HASH_POINTS 8
#define LB_HASH_PROBES 21
#define LB_HASH_NONE   SIZE_MAX

struct lb_hash;

/* A server of the table: NAME says where its points are (equal names: the smaller TIE wins). */
struct lb_hash_server {
	uint64_t name, tie;
	unsigned ratio;
};

/* Lives in A. */
const struct lb_hash *lb_hash_new(struct arena *a, const struct lb_hash_server *s, size_t n);
/* The place of KEY's server among those that MAY(ARG, place) be chosen; LB_HASH_NONE: none may. */
size_t lb_hash_find(const struct lb_hash *h, uint64_t key, bool (*may)(void *arg, size_t place), void *arg);

/* A number of some bytes, the same on every engine; begin with LB_HASH_SEED, go on with what came out. */
#define LB_HASH_SEED 0xcbf29ce484222325ULL
uint64_t lb_hash_bytes(uint64_t seed, const void *p, size_t n);
/* Spread: neighbours become strangers. To be done last. */
uint64_t lb_hash_mix(uint64_t x);

#endif
