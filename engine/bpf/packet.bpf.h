/*
 * packet - what the stages want to know of a frame, parsed once.
 *
 * Everything is read by bpf_skb_load_bytes(): headers need not be linear. The
 * frame begins with its Ethernet header in both directions. What is not ARP,
 * IPv4 or IPv6, or is too short to be, passes: it speaks for nobody.
 *
 * IPv4 options and IPv6 extension headers are passed over, EXTENSIONS of them.
 */
#ifndef SPANWIRE_ENGINE_BPF_PACKET_BPF_H
#define SPANWIRE_ENGINE_BPF_PACKET_BPF_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <stdbool.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "engine/bpf/abi.h"

#define ALWAYS_INLINE inline __attribute__((always_inline))
/*
 * Verified by itself, and not again in each state that calls it: what many ways lead to costs an engine's start a second.
 * Its pointers are memory, and may be NULL; it returns a number, and what it wrote may be anything.
 */
#define GLOBAL        __attribute__((noinline))
#define VLAN_NUMBER 0x0fff
#define VRF_MAIN 0 /* the domain of an interface that is not in `domains` */

enum { TCP_FIN = 0x01, TCP_SYN = 0x02, TCP_RST = 0x04, TCP_ACK = 0x10 };

#define EXTENSIONS 8

enum packet_kind { PACKET_OTHER, PACKET_ARP, PACKET_IP };
enum packet_part { PART_WHOLE, PART_FIRST, PART_LATER }; /* of a datagram in fragments */

struct packet {
	struct flow_key key; /* addresses of PACKET_IP; ports when l4 is set */
	bool out;            /* it leaves the engine: its source is the local one */
	bool quoted;         /* an ICMP error: ports are those of the packet that it quotes */
	__u8 part;           /* enum packet_part */
	__u32 fragment_id;   /* unless it is whole */
	__u32 kind;
	__u32 l3;
	__u32 rest;       /* offset of what follows the IP headers; 0: not known */
	__u32 l4;         /* offset of the TCP or UDP header; 0: neither, or not the first fragment */
	__u32 header_len; /* all headers, with l4 */
	__u32 tcp_flags;
	__u32 na_target;  /* offset of a neighbour advertisement's target; 0: it is none */
};

static ALWAYS_INLINE void addr_from_v4(__u8 *out, __be32 v4)
{
	__u32 *w = (__u32 *)out;

	w[0] = 0;
	w[1] = 0;
	w[2] = bpf_htonl(0xffff);
	w[3] = v4;
}

static ALWAYS_INLINE bool addr_is_v4(const __u8 *addr)
{
	const __u32 *w = (const __u32 *)addr;

	return w[0] == 0 && w[1] == 0 && w[2] == bpf_htonl(0xffff);
}

static ALWAYS_INLINE void packet_parse_l4(struct __sk_buff *skb, struct packet *p, __u32 at)
{
	__u8 h[14];

	if (p->key.proto == IPPROTO_TCP) {
		if (bpf_skb_load_bytes(skb, at, h, 14))
			return;
		p->tcp_flags = h[13];
		p->header_len = at + (h[12] >> 4) * 4;
	} else if (p->key.proto == IPPROTO_UDP) {
		if (bpf_skb_load_bytes(skb, at, h, 8))
			return;
		p->header_len = at + 8;
	} else {
		return;
	}
	__builtin_memcpy(p->out ? &p->key.local_port : &p->key.remote_port, h, 2);
	__builtin_memcpy(p->out ? &p->key.remote_port : &p->key.local_port, h + 2, 2);
	p->l4 = at;
}

/*
 * The offset of what follows the extension headers, the first of which is NEXT; p->key.proto is what it is. 0: there are
 * too many of them, or its way is not over yet.
 */
static __noinline __u32 extensions_pass(struct __sk_buff *skb, struct packet *p, __u8 next)
{
	__u32 at = ETH_HLEN + sizeof(struct ipv6hdr);
	__u8 h[8];

	if (!p)
		return 0;
	for (int i = 0; i <= EXTENSIONS; i++) {
		p->key.proto = next;
		if (next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING && next != IPPROTO_DSTOPTS &&
		    next != IPPROTO_FRAGMENT)
			return at;
		if (i == EXTENSIONS || bpf_skb_load_bytes(skb, at, h, sizeof(h)) || (next == IPPROTO_ROUTING && h[3]))
			return 0;
		if (next == IPPROTO_FRAGMENT) {
			__builtin_memcpy(&p->fragment_id, h + 4, 4);
			p->part = h[2] || h[3] & 0xf8 ? PART_LATER : h[3] & 1 ? PART_FIRST : PART_WHOLE;
			at += 8;
		} else {
			at += 8 + h[1] * 8;
		}
		next = h[0];
		if (p->part == PART_LATER) {
			p->key.proto = next;
			return at;
		}
	}
	return 0;
}

/*
 * N bytes from AT, 1 to ROOM of them; ROOM is a power of two. The verifier of Linux 6.1 forgets that a number is not zero, and
 * the compiler what the verifier has to see.
 */
static ALWAYS_INLINE long packet_load(struct __sk_buff *skb, __u32 at, void *to, __u32 n, __u32 room)
{
	n--;
	asm volatile("" : "+r"(n));
	n &= room - 1;
	return bpf_skb_load_bytes(skb, at, to, n + 1);
}

GLOBAL int packet_parse(struct __sk_buff *skb, struct packet *p, bool out)
{
	__u8 *src, *dst;

	if (!p)
		return 0;
	src = out ? p->key.local : p->key.remote;
	dst = out ? p->key.remote : p->key.local;
	__builtin_memset(p, 0, sizeof(*p));
	p->out = out;
	p->l3 = ETH_HLEN;
	p->key.vrf = VRF_MAIN;

	/* A VLAN's packets belong to its own interface, where the same programs see them; number 0 is no VLAN, but a priority. */
	if (skb->vlan_present && skb->vlan_tci & VLAN_NUMBER)
		return 0;
	if (skb->protocol == bpf_htons(ETH_P_ARP)) {
		p->kind = PACKET_ARP;
	} else if (skb->protocol == bpf_htons(ETH_P_IP)) {
		struct iphdr ip;

		if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)))
			return 0;
		p->kind = PACKET_IP;
		p->key.proto = ip.protocol;
		addr_from_v4(src, ip.saddr);
		addr_from_v4(dst, ip.daddr);
		p->rest = ETH_HLEN + ip.ihl * 4;
		p->fragment_id = ip.id;
		if (ip.frag_off & bpf_htons(0x1fff))
			p->part = PART_LATER;
		else if (ip.frag_off & bpf_htons(0x2000))
			p->part = PART_FIRST;
		if (p->part != PART_LATER)
			packet_parse_l4(skb, p, p->rest);
	} else if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr ip;
		__u8 type;

		if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)))
			return 0;
		p->kind = PACKET_IP;
		__builtin_memcpy(src, &ip.saddr, 16);
		__builtin_memcpy(dst, &ip.daddr, 16);
		p->key.proto = ip.nexthdr;
		p->rest = ETH_HLEN + sizeof(ip);
		if (ip.nexthdr != IPPROTO_TCP && ip.nexthdr != IPPROTO_UDP)
			p->rest = extensions_pass(skb, p, ip.nexthdr);
		if (!p->rest || p->part == PART_LATER)
			return 0;
		if (p->key.proto != IPPROTO_ICMPV6)
			packet_parse_l4(skb, p, p->rest);
		else if (!bpf_skb_load_bytes(skb, p->rest, &type, 1) && type == 136)
			p->na_target = p->rest + 8;
	}
	return 0;
}

/* Frames on the wire that this will be: large sends and merged receives are many. */
static ALWAYS_INLINE __u32 packet_frames(struct __sk_buff *skb, __u32 header_len)
{
	__u32 segs = skb->gso_segs, size = skb->gso_size;

	if (segs > 1)
		return segs;
	/* From a guest or a TAP device: the number was never filled in. */
	if (!segs && size && skb->len > header_len)
		return (skb->len - header_len + size - 1) / size;
	return 1;
}

#endif
