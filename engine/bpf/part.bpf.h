/*
 * part - packets that do not say their ports themselves: later fragments of a datagram, and ICMP errors.
 *
 * A first fragment is noted, and those that follow it have its ports; a few
 * thousand datagrams can be under way, and of one that was forgotten, or whose
 * first fragment came late, the rest is counted (fragment_unknown) and nobody's.
 *
 * An ICMP error belongs to the flow whose packet it quotes: "fragmentation
 * needed" and "port unreachable" are part of what happened to it. It opens none.
 * Echoes are known by their numbers: those of health monitors are marked.
 */
#ifndef SPANWIRE_ENGINE_BPF_PART_BPF_H
#define SPANWIRE_ENGINE_BPF_PART_BPF_H

#include "engine/bpf/maps.bpf.h"

#define ICMP_HEADER 8

struct fragment_key {
	__u32 vrf;
	__u32 id;
	__u8 local[16];
	__u8 remote[16];
	__u16 proto;
	__u16 out;
};

struct fragment {
	__be16 local_port;
	__be16 remote_port;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, FRAGMENTS_MAX);
	__type(key, struct fragment_key);
	__type(value, struct fragment);
} fragments SEC(".maps");

static ALWAYS_INLINE struct fragment_key fragment_key_of(const struct packet *p)
{
	struct fragment_key k = { .vrf = p->key.vrf, .id = p->fragment_id, .proto = p->key.proto, .out = p->out };

	__builtin_memcpy(k.local, p->key.local, 16);
	__builtin_memcpy(k.remote, p->key.remote, 16);
	return k;
}

GLOBAL int fragment_note(const struct packet *p)
{
	struct fragment_key k;
	struct fragment f;

	if (!p)
		return 0;
	k = fragment_key_of(p);
	f = (struct fragment){ p->key.local_port, p->key.remote_port };
	bpf_map_update_elem(&fragments, &k, &f, BPF_ANY);
	return 0;
}

static ALWAYS_INLINE bool fragment_find(struct packet *p)
{
	struct fragment_key k = fragment_key_of(p);
	struct fragment *f = bpf_map_lookup_elem(&fragments, &k);

	if (!f) {
		count(GATE_fragment_unknown, 1);
		return false;
	}
	p->key.local_port = f->local_port;
	p->key.remote_port = f->remote_port;
	return true;
}

static ALWAYS_INLINE bool icmp_is_error(const struct packet *p, __u8 type)
{
	if (p->key.proto == IPPROTO_ICMPV6)
		return type >= 1 && type <= 4;
	return type == 3 || type == 4 || type == 11 || type == 12;
}

/* The quoted packet went the other way: its source is whom the error is sent to. */
static ALWAYS_INLINE bool quote_read(struct __sk_buff *skb, struct packet *p)
{
	__u8 *src = p->out ? p->key.remote : p->key.local, *dst = p->out ? p->key.local : p->key.remote;
	__u32 at = p->rest + ICMP_HEADER, l4;
	__be16 ports[2];
	__u8 type;

	if (bpf_skb_load_bytes(skb, p->rest, &type, 1) || !icmp_is_error(p, type))
		return false;
	if (p->key.proto == IPPROTO_ICMP) {
		struct iphdr ip;

		if (bpf_skb_load_bytes(skb, at, &ip, sizeof(ip)) || ip.frag_off & bpf_htons(0x1fff))
			return false;
		addr_from_v4(src, ip.saddr);
		addr_from_v4(dst, ip.daddr);
		p->key.proto = ip.protocol;
		l4 = at + ip.ihl * 4;
	} else {
		struct ipv6hdr ip;

		if (bpf_skb_load_bytes(skb, at, &ip, sizeof(ip)))
			return false;
		__builtin_memcpy(src, &ip.saddr, 16);
		__builtin_memcpy(dst, &ip.daddr, 16);
		p->key.proto = ip.nexthdr;
		l4 = at + sizeof(ip);
	}
	if ((p->key.proto != IPPROTO_TCP && p->key.proto != IPPROTO_UDP) || bpf_skb_load_bytes(skb, l4, ports, 4))
		return false;
	p->key.local_port = p->out ? ports[1] : ports[0];
	p->key.remote_port = p->out ? ports[0] : ports[1];
	p->quoted = true;
	return true;
}

/* Whose echo it is, its identity and number say: they stand for the ports. */
static ALWAYS_INLINE bool echo_read(struct __sk_buff *skb, struct packet *p)
{
	__u8 h[8];

	if (bpf_skb_load_bytes(skb, p->rest, h, sizeof(h)))
		return false;
	if (p->key.proto == IPPROTO_ICMP ? h[0] != 0 && h[0] != 8 : h[0] != 128 && h[0] != 129)
		return false;
	__builtin_memcpy(&p->key.local_port, h + 4, 2);
	__builtin_memcpy(&p->key.remote_port, h + 6, 2);
	return true;
}

/* The key of a packet without a transport header; false: it has none. */
GLOBAL int part_key(struct __sk_buff *skb, struct packet *p)
{
	if (!p || p->kind != PACKET_IP)
		return false;
	if (p->part == PART_LATER)
		return (p->key.proto == IPPROTO_TCP || p->key.proto == IPPROTO_UDP) && fragment_find(p);
	if (p->rest && (p->key.proto == IPPROTO_ICMP || p->key.proto == IPPROTO_ICMPV6))
		return quote_read(skb, p) || echo_read(skb, p);
	if (!p->rest || p->key.proto == IPPROTO_TCP || p->key.proto == IPPROTO_UDP)
		count(GATE_unparsed, 1);
	return false;
}

/* Ports of P, its own or by what it is a part of. */
static ALWAYS_INLINE bool packet_keyed(struct __sk_buff *skb, struct packet *p)
{
	if (!p->l4)
		return part_key(skb, p);
	if (p->part == PART_FIRST)
		fragment_note(p);
	return true;
}

#endif
