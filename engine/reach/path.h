/*
 * path - rules and routes of ours in the kernel's tables.
 *
 * A rule sends what comes in by an interface (`inwards`), or is bound to it, to a table; without an interface everything. A
 * route without interface and gateway refuses (ENETUNREACH). All are marked as ours, of whatever run.
 */
#ifndef SPANWIRE_ENGINE_REACH_PATH_H
#define SPANWIRE_ENGINE_REACH_PATH_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/ip.h"

struct rtnl;

struct path {
	bool rule, inwards, v4;
	uint32_t table, priority; /* of a route: its metric */
	int ifindex;
	char interface[IF_NAMESIZE]; /* of a rule */
	struct in6_addr dst;
	uint8_t dst_len;
	struct in6_addr gateway, source; /* zero: none */
};

/* 0 or -errno. A route that is there is replaced; a rule that is there is no error. */
int path_add(struct rtnl *r, const struct path *p);
/* 0 also when it was gone. */
int path_delete(struct rtnl *r, const struct path *p);
/* Removes every rule and route that is ours. */
int paths_sweep(struct rtnl *r);

#endif
