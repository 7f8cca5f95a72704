/*
 * source - the address from which servers are spoken to for the clients of a VIP (snat_ip of a virtual service).
 *
 * The warden holds it like a VIP, and says which is to be used; the proxy binds its sockets to it. Ports are the kernel's to
 * choose, when it knows the server: a port may be used towards each server at once.
 */
#ifndef SPANWIRE_ENGINE_SOURCE_H
#define SPANWIRE_ENGINE_SOURCE_H

#include "base/arena.h"
#include "base/json.h"
#include "engine/address.h"

struct source {
	union address address; /* port 0 */
	uint32_t number;       /* never of another address; 0: none, the kernel chooses one of the machine's */
};

/* Of one VIP's clients: towards servers with IPv4, with IPv6. */
struct vip_sources {
	union address vip;
	struct source to[2];
};

struct sources {
	const struct vip_sources *at;
	size_t n;
};

/*
 * From [{"vips": ["10.0.0.1" ...], "v4", "v6"}] ("": none), in A. NUMBERS is the caller's and remembers who is who. NULL: none.
 */
struct sources sources_read(const json_t *list, json_t *numbers, struct arena *a);
/* What is to be used for clients of VIP towards a server of FAMILY. Never NULL. */
const struct source *source_of(const struct sources *s, const union address *vip, int family);
/* Is there a VIP from which a server of FAMILY is spoken to from the source of that number? */
bool source_is_used(const struct sources *s, uint32_t number, int family);
/* A socket that is not connected yet. 0; -EADDRNOTAVAIL: the machine does not have the address (now). */
int source_bind(const struct source *s, int fd);

#endif
