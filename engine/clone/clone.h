/*
 * clone - where copies go: clone targets, their interfaces, neighbours and books.
 *
 * A virtual service with a clone profile holds one clone_set: a range of
 * target slots, one per clone server, in the profile's order. The proxy is told
 * the range (first, count, generation) and marks each server socket with one of
 * it, in turn. A slot finds its interface and MAC by itself, and again whenever
 * the machine changes; until then its frames are counted as dropped by reason,
 * and production does not notice.
 *
 * The copy leaves by the target's interface. An interface that carries nothing
 * but copies gets `tx off`, so that the kernel segments and completes checksums
 * there (restored at the end). One that production uses as well keeps its
 * offloads: copies go through a cutter of ours first, a bridge with `tx off`
 * and one port, at whose egress each finished frame is rewritten and sent on.
 * Either way a copy has left, or is counted as dropped, when the call that made
 * it returns.
 *
 *	eligible = sent + dropped_no_neighbour + dropped_no_interface + ...
 *
 * holds exactly. Flows are swept from here, too.
 */
#ifndef SPANWIRE_ENGINE_CLONE_CLONE_H
#define SPANWIRE_ENGINE_CLONE_CLONE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/ip.h"
#include "engine/bpf/abi.h"
#include "engine/clone/way.h"
#include "net/loop.h"

struct datapath;
struct netlink;
struct outlet;
struct clones;
struct clone_set;

bool clone_want_is(const struct clone_want *a, const struct clone_want *b);

#define CLONE_PREFIXES_MAX 32

/* Which flows of a service are copied, and how; zero: all, as they pass. */
struct clone_plan {
	unsigned sample_percent;                  /* 0: all */
	uint64_t bits_per_s, packets_per_s;       /* above it new flows are not; 0: no limit */
	size_t prefixes_n;                        /* of clients; 0: all */
	struct clone_prefix {
		struct in6_addr net;
		unsigned len;                     /* of the written form: /24 */
	} prefixes[CLONE_PREFIXES_MAX];
	bool plain;                               /* what comes by the outlet, not packets that pass: */
	uint8_t marker[6];                        /* its source MAC; zero: one of the engine's interface */
};

struct clone_range {
	uint32_t first;
	uint32_t count;
	uint32_t generation;
};

/* One clone server's books, since the set was made. */
struct clone_books {
	struct target_counters c;
	char interface[16];        /* that the copies leave by; "" when there is none */
	uint8_t mac[6];            /* that the copies go to; zero when not known */
	uint8_t own_mac[6];        /* that they come from; zero when not known */
	uint64_t device_dropped;   /* tx_dropped of the interface since then: what it dropped after it took the copy */
	const char *state;         /* "ready", "ready: ..." with what is odd, or what is in the way. While the set is there */
};

/* All arguments are borrowed and must outlive it. U may be NULL: there is one routing domain. */
int clones_new(struct loop *l, struct netlink *n, struct datapath *d, struct clones_user *u, struct clones **out,
	       struct err *e);
/* What the proxy counts for itself is in T's memory. Before the first set; borrowed. */
void clones_outlet(struct clones *c, struct outlet *t);
/* Somebody wants plaintext copies: its device is there, or the reason why it cannot be. */
int clones_open_outlet(struct clones *c, struct err *e);
/*
 * The engine is being stopped: sets that are retired or freed from now on are copied to nevertheless, so that connections
 * which end with the engine are copied to their end.
 */
void clones_keep(struct clones *t);
/* Waits a moment for what the other sides still say to that. */
void clones_linger(struct clones *t);
/* Restores offloads, removes cutters and managed neighbours. */
void clones_free(struct clones *t);

/*
 * Addresses that production talks to (pool servers, the controller), all of them, at each commit: an interface towards
 * one of them, one with a VIP, and one with a gateway is shared. Until the first call every interface counts as shared.
 */
void clones_production(struct clones *t, const struct in6_addr *addrs, size_t n);

/* Interfaces belong to other routing domains now. */
void clones_look(struct clones *t);

/*
 * A set of N targets (1..64), for flows that P admits (NULL: all). -ENOSPC when the slots are used up; -EINVAL with the path "clone_servers[i]..." for one
 * that can never work. What cannot work now is accepted: its frames are counted as dropped.
 */
int clone_set_new(struct clones *t, const struct clone_plan *p, const struct clone_want *w, size_t n,
		  struct clone_set **out, struct err *e);
/* Copying to it stops at once; packets of its flows are nobody's from now on. */
void clone_set_free(struct clone_set *s);
/*
 * A changed profile is another set: make the new one, tell the proxy its range, retire the old one. Flows of the old set
 * are copied to their end where the clone server is one of NEXT as well, or dropped and counted so (`dropped_ended`) where
 * not; NEXT is NULL when copying ends. Again with each later NEXT, until it is over; then free it. When slots become
 * scarce, what is retired loses its slots early; its books can still be read.
 */
void clone_set_retire(struct clone_set *s, const struct clone_set *next);
/* Copying to it stops at once, of all its flows; it is over when what was under way is counted. */
void clone_set_stop(struct clone_set *s);
/* It was retired, and its last flow is gone, or it was stopped: its books will not change any more. */
bool clone_set_is_over(const struct clone_set *s);
struct clone_range clone_set_range(const struct clone_set *s);
/* Whose slot it was in that generation. NULL: nobody remembers. Borrowed. */
const struct clone_want *clones_want(const struct clones *t, uint32_t slot, uint32_t generation);
/* I < count. */
const struct clone_want *clone_set_want(const struct clone_set *s, uint32_t i);
const struct clone_plan *clone_set_plan(const struct clone_set *s);
/* The longest IP packet that fits all ways and encapsulations, as far as they are known; 1500 at most. */
unsigned clone_set_mtu(const struct clone_set *s);
/*
 * The longest IP packet that fits its encapsulations' paths; 0: it has none. A path that is not known yet counts as one of
 * 1500 bytes. `room` of struct clones_user tells when it changes.
 */
unsigned clone_set_room(const struct clone_set *s);
void clone_set_read(struct clone_set *s, uint32_t i, struct clone_books *out);

#endif
