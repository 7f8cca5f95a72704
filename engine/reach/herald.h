/*
 * herald - asks and says on one interface's network who has an address; hears who else does.
 *
 * IPv4 by ARP as RFC 5227 has it (probe: sender 0.0.0.0; announcement), IPv6 by
 * neighbour discovery as RFC 4862 has it (probe: solicitation from ::;
 * unsolicited advertisement). Packet sockets: what it says passes the lease
 * gate like everything else, and what it hears is heard also when the gate is
 * closed.
 */
#ifndef SPANWIRE_ENGINE_REACH_HERALD_H
#define SPANWIRE_ENGINE_REACH_HERALD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/ip.h"
#include "net/loop.h"

struct herald;

enum herald_word {
	HERALD_PROBE, /* another asks whether it may have IP */
	HERALD_CLAIM, /* another says that IP is at MAC */
};

struct herald_user {
	/* Never of our own packets. He may not free the herald. */
	void (*heard)(struct herald_user *u, int ifindex, enum herald_word what, const struct in6_addr *ip,
		      const uint8_t mac[static 6]);
};

/* MAC is the interface's. U may be NULL: it only speaks. -errno of the sockets. */
int herald_new(struct loop *l, int ifindex, const uint8_t mac[static 6], struct herald_user *u, struct herald **out);
/* Frees at the end of the turn. */
void herald_free(struct herald *h);

/* Hear what others ask about IP (IPv6 asks in a multicast group of the address); counted by the kernel. */
int herald_join(struct herald *h, const struct in6_addr *ip);
void herald_leave(struct herald *h, const struct in6_addr *ip);

int herald_probe(struct herald *h, const struct in6_addr *ip);
/* Who has IP? Asked by broadcast or multicast; the answer goes to the kernel, which learns by it. SENDER is ours. */
int herald_ask(struct herald *h, const struct in6_addr *sender, const struct in6_addr *ip);
/* IPv4: as a request or, when REPLY, as a reply: there are hosts that mind only one of them. */
int herald_announce(struct herald *h, const struct in6_addr *ip, bool reply);
/* Hears now what has arrived, so that nothing is decided over an unread answer. */
void herald_listen(struct herald *h);

#endif
