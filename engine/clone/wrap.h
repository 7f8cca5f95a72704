/*
 * clone_wrap - the headers around the copies for a clone server that is not adjacent, as the kernel's half wants them.
 *
 *	VXLAN, GENEVE         UDP from a port by the flow's hash, the VNI; no options
 *	GRE                   an Ethernet frame (0x6558), with a key when one is given
 *	ERSPAN II and III     GRE with a sequence number; session, direction, and in III the time in 100 ns (TAI)
 *
 * The outer packet must not be fragmented (DF), lives 64 hops, and has no options. Its UDP checksum is zero over IPv4 and
 * right over IPv6.
 */
#ifndef SPANWIRE_ENGINE_CLONE_WRAP_H
#define SPANWIRE_ENGINE_CLONE_WRAP_H

#include "engine/bpf/abi.h"
#include "engine/clone/way.h"

/* For copies to W (that has an encapsulation) from SOURCE, of the same family as W's address. */
void clone_wrap_fill(const struct clone_want *w, const struct in6_addr *source, struct wrap *out);
/* By so many bytes is the outer IP packet longer than the one that is inside; 0: W has no encapsulation. */
unsigned clone_wrap_overhead(const struct clone_want *w);
/* Its frames have numbers (series.h). */
bool clone_wrap_is_numbered(const struct clone_want *w);

#endif
