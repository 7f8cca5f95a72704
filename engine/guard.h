/*
 * guard - the denials of network security policies, in the kernel.
 *
 * What a policy denies by the client's address alone is dropped where it comes in, without an answer (engine/bpf/guard.bpf.h);
 * the proxy asks the whole policy of whoever gets through. So what does not fit into the kernel's table is refused all
 * the same, only audibly. A new policy stands beside the old one before the ports are turned to it: no packet meets half of one.
 */
#ifndef SPANWIRE_ENGINE_GUARD_H
#define SPANWIRE_ENGINE_GUARD_H

#include <stddef.h>

#include "base/json.h"

struct datapath;
struct guards;
struct link;
struct loop;
struct port_want;

/* Thousands of networks are entered one by one: L breathes meanwhile. */
struct guards *guards_new(struct loop *l, struct datapath *d);
void guards_free(struct guards *g);

/* These ports of service VS are guarded by its policy, as K has it, from now on; none: by nothing. */
void guards_follow(struct guards *g, const char *vs, const struct link *k, const struct port_want *ports, size_t n);
void guards_gone(struct guards *g, const char *vs);
/* Adds what was denied here to the `services` and `rules` of a `stats` message. */
void guards_stats(struct guards *g, json_t *stats);

#endif
