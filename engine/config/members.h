/*
 * members - the servers of a pool, address by address.
 *
 * What the pool lists, what its address group holds, and what the names among them are at the moment. The
 * warden numbers the servers by it and the proxy serves by it, so they agree.
 */
#ifndef SPANWIRE_ENGINE_CONFIG_MEMBERS_H
#define SPANWIRE_ENGINE_CONFIG_MEMBERS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/json.h"
#include "engine/address.h"

#define MEMBERS_MAX 5000

struct ip_addr_group;
struct pool;
struct server;

struct member {
	union address address;
	size_t line;           /* of pool->servers; MEMBERS_MAX: of the group */
	unsigned ratio;
	bool enabled;
};

/*
 * Call F for each. GROUP: that of pool->ipaddrgroup_ref, NULL when there is none. NAMES: as names_all(), NULL: nothing
 * is known. The same address may come twice.
 */
void members_each(const struct pool *pool, const struct ip_addr_group *group, const json_t *names,
		  void (*f)(void *arg, const struct member *m), void *arg);
/* The name that has to be asked for; NULL: it has an address. Borrowed. */
const char *member_name(const struct server *s);

#endif
