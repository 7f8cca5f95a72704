/*
 * vip - the addresses that this engine answers for, each under a lease in the kernel.
 *
 * Whoever wants an address here holds it: vip_hold() with the interface and the
 * term, vip_release() when the assignment is gone. Several services may hold
 * one address. Each address goes its way through the states below by itself
 * and says so through changed(); only in OWNED does anybody hear of it.
 *
 *	ABSENT -> PROBING -> OWNED -> WITHDRAWN
 *	             |  ^      |
 *	             v  |      v
 *	          WAITING    LAPSED
 *
 * What is promised: the kernel lets ARP and neighbour answers, and packets, of
 * a VIP pass only before a deadline which every VIP_TICK_MS is moved to
 * VIP_LEASE_MS after the moment *before* the checks. A warden that is stopped,
 * hung or dead falls silent; one that comes back finds its deadline passed,
 * and probes again before it speaks. A new owner speaks only after VIP_PROBES
 * unanswered probes (RFC 5227; RFC 4862 for IPv6).
 */
#ifndef SPANWIRE_ENGINE_REACH_VIP_H
#define SPANWIRE_ENGINE_REACH_VIP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/ip.h"
#include "net/loop.h"

#define VIP_TICK_MS     100
#define VIP_LEASE_MS    500
#define VIP_PROBES      3
#define VIP_PROBE_MS    100

/*
 * VIP_STATE(name, "what it means")
 */
#define VIP_STATES(X)                                                                         \
	X(ABSENT,    "its interface is missing, down or without carrier: gate closed")        \
	X(PROBING,   "asking whether somebody else answers for it: gate closed")              \
	X(WAITING,   "somebody else answers for it: gate closed, asking again later")         \
	X(OWNED,     "ours: address on the interface, gate open under the lease, announced")  \
	X(LAPSED,    "the deadline passed before it was renewed: gate closed, probing next")  \
	X(WITHDRAWN, "released: gate closed, address removed")

enum vip_state {
#define X(name, meaning) VIP_##name,
	VIP_STATES(X)
#undef X
};
const char *vip_state_name(enum vip_state s);

struct datapath;
struct netlink;
struct vips;
struct vip;

/* What the owner of the table (the warden) answers and hears. */
struct vips_user {
	/*
	 * When was the proxy last known to be alive (CLOCK_MONOTONIC: the time a ping was *sent* that it answered)?
	 * 0: it is not. No lease reaches further than VIP_LEASE_MS after it.
	 */
	uint64_t (*proof_ns)(struct vips_user *u);
	/*
	 * Another host claims V while we own it. true: the controller confirms right now that we own it (the link is
	 * up), so it is defended; false: give way. NULL: always give way.
	 */
	bool (*defend)(struct vips_user *u, const struct vip *v);
	/* The routing domain of an interface; NULL: all are of the main one. */
	unsigned (*domain)(struct vips_user *u, int ifindex);
	/* State or reason of V changed. Do not release V from inside. */
	void (*changed)(struct vips_user *u, const struct vip *v);
};

/*
 * Takes over what an earlier warden left: its addresses are guarded, closed, and then removed from the interfaces; all
 * data interfaces are attached. All arguments are borrowed and must outlive it.
 */
int vips_new(struct loop *l, struct netlink *n, struct datapath *d, struct vips_user *u, struct vips **out,
	     struct err *e);
/* All at once: gates closed, addresses removed. */
void vips_withdraw(struct vips *t);
/* The same, and programs detached. */
void vips_free(struct vips *t);

/* From inside work that may take longer than VIP_LEASE_MS: what is due is renewed now. Nobody is called. */
void vips_renew(struct vips *t);

/* Has the machine ADDR without us, in routing domain VRF? The name of the interface, or NULL. */
const char *vips_foreign(struct vips *t, unsigned vrf, const struct in6_addr *addr);

/*
 * Holds ADDR of routing domain VRF on the interface of that name (it may not exist yet). PREFIX_LEN is of the network, for the record: the
 * address itself is added as /32 or /128. Held already: counted; a newer TERM or another interface is taken over (the
 * latter starts from probing). -EADDRINUSE when an interface has the address as its own; -EINVAL for an address that
 * cannot be a VIP (multicast, loopback, zero).
 */
int vip_hold(struct vips *t, unsigned vrf, const struct in6_addr *addr, const char *interface, uint64_t term,
	     struct vip **out, struct err *e);
/*
 * The last holder leaves, and clients are to be told from this address: until vip_release() packets pass, and nothing says
 * any more that it is here. Whoever takes it over finds it free. Without effect while others hold it.
 */
void vip_mute(struct vip *v);
/*
 * A holder wants it no more, and what runs from it may end in peace. While nobody else holds it, it is ours as before, until
 * another host asks for it: then it is WAITING for good, closed and not on the interface. The holder ends that by
 * vip_end_linger(), in place of vip_release().
 */
void vip_linger(struct vip *v);
void vip_end_linger(struct vip *v);
/* The last release withdraws: gate closed and address removed before it returns; V is gone. */
void vip_release(struct vip *v);

const struct in6_addr *vip_addr(const struct vip *v);
const char *vip_interface(const struct vip *v);
enum vip_state vip_state(const struct vip *v);
/* One sentence, "" when OWNED. */
const char *vip_reason(const struct vip *v);

/* Over all held. */
void vips_each(struct vips *t, void (*f)(void *arg, const struct vip *v), void *arg);

#endif
