/*
 * cutter - interfaces of our own by which copies leave: what is larger than a frame (GSO) is segmented on the way.
 *
 * A bridge with one port, the near end of a veth pair. All up, MTU 65535, without addresses of the kernel's making. What
 * is sent by the bridge passes the port's egress before the call returns.
 */
#ifndef SPANWIRE_ENGINE_CLONE_CUTTER_H
#define SPANWIRE_ENGINE_CLONE_CUTTER_H

#include <net/if.h>

struct rtnl;

struct cutter {
	char bridge[IF_NAMESIZE], port[IF_NAMESIZE], far_end[IF_NAMESIZE];
};

/* 0 or -errno: -EEXIST. */
int cutter_add(struct rtnl *r, const struct cutter *c);
/* What of it is there. -ENODEV: nothing. */
int cutter_delete(struct rtnl *r, const struct cutter *c);
/* An interface that we made: up, without addresses of the kernel's making. */
int own_link_up(struct rtnl *r, const char *name);

#endif
