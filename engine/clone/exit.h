/*
 * clone_exit - the interfaces that copies leave by, prepared for it.
 *
 * Directly, with `tx off`, where an interface carries nothing but copies; or
 * through a cutter of ours, where production uses it as well or where each
 * finished frame has to be looked at before it leaves. When the way changes, a
 * new exit is made first; the old one goes a second after its last user.
 */
#ifndef SPANWIRE_ENGINE_CLONE_EXIT_H
#define SPANWIRE_ENGINE_CLONE_EXIT_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/ip.h"
#include "base/list.h"
#include "engine/clone/cutter.h"
#include "engine/reach/netlink.h"
#include "net/loop.h"

struct clone_exits;
struct datapath;

struct clone_exit {
	struct list link;
	struct timer retire;
	struct grave grave;
	struct clone_exits *table;
	unsigned users;
	int ifindex;              /* -1: it is gone */
	char name[IF_NAMESIZE];
	bool cuts;                /* through `cutter` */
	bool had_offload;         /* directly: what to put back */
	struct cutter cutter;
	int via;                  /* ifindex that copies are given to */
};

/* Removes what an earlier run left. */
int clone_exits_new(struct loop *l, struct netlink *n, struct datapath *d, struct clone_exits **out, struct err *e);
/* Puts everything back. */
void clone_exits_free(struct clone_exits *t);

/* See clones_production(). False: nothing is new. */
bool clone_exits_production(struct clone_exits *t, const struct in6_addr *addrs, size_t n);
/* Something changed that could make an interface production's, or no longer. */
void clone_exits_doubt(struct clone_exits *t);
/* An interface is gone. */
void clone_exits_gone(struct clone_exits *t, int ifindex);

/* Is X still right for I? FRAMES: each finished frame is to be looked at. */
bool clone_exit_fits(const struct clone_exit *x, const struct iface *i, bool frames);
/* Counted. -errno. */
int clone_exit_get(struct clone_exits *t, const struct iface *i, bool frames, struct clone_exit **out);
/* NULL: nothing. */
void clone_exit_put(struct clone_exit *x);

#endif
