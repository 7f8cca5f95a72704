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
#ifndef SPANWIRE_ENGINE_CLONE_H
#define SPANWIRE_ENGINE_CLONE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/ip.h"
#include "engine/bpf/abi.h"
#include "net/loop.h"

struct datapath;
struct netlink;
struct clones;
struct clone_set;

/* A clone server as the profile gives it; what is not given is zero. */
struct clone_want {
	bool has_ip, has_mac, has_subnet;
	struct in6_addr ip;
	uint8_t mac[6];
	struct in6_addr subnet;   /* of `subnet` or of the network: the copies leave on its interface */
	unsigned subnet_len;
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
	uint8_t mac[6];            /* of the clone server; zero when not known */
	uint64_t device_dropped;   /* tx_dropped of the interface since then: what it dropped after it took the copy */
	const char *state;         /* "ready", or a sentence */
};

/* All arguments are borrowed and must outlive it. */
int clones_new(struct loop *l, struct netlink *n, struct datapath *d, struct clones **out, struct err *e);
/* Restores offloads, removes cutters and managed neighbours. */
void clones_free(struct clones *t);

/*
 * Addresses that production talks to (pool servers, the controller), all of them, at each commit: an interface towards
 * one of them, one with a VIP, and one with a gateway is shared. Until the first call every interface counts as shared.
 */
void clones_production(struct clones *t, const struct in6_addr *addrs, size_t n);

/*
 * A set of N targets (1..64). -ENOSPC when the slots are used up; -EINVAL with the path "clone_servers[i]..." for one
 * that can never work. What cannot work now is accepted: its frames are counted as dropped.
 */
int clone_set_new(struct clones *t, const struct clone_want *w, size_t n, struct clone_set **out, struct err *e);
/*
 * Copying to it stops at once. A changed profile is another set: make the new one, tell the proxy its range, free the
 * old one; flows of the old range are not followed by the new one (generation).
 */
void clone_set_free(struct clone_set *s);
/* The same, but its books can still be read. */
void clone_set_stop(struct clone_set *s);
struct clone_range clone_set_range(const struct clone_set *s);
/* I < count. */
const struct clone_want *clone_set_want(const struct clone_set *s, uint32_t i);
void clone_set_read(struct clone_set *s, uint32_t i, struct clone_books *out);

#endif
