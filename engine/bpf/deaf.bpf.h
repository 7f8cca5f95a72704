/*
 * deaf - nothing is expected of a clone server, and what it says is not heard.
 *
 * It sees the addresses, ports and sequence numbers of production's
 * connections, so a word of it could end them. On an interface of the copies'
 * own nothing of a connection or address of production comes in, and nothing
 * that no socket of the engine waits for: so nothing is answered either, by a
 * RST or otherwise. What remains are ARP, neighbour discovery, echo, and
 * connections of the machine's own. On an interface that production uses as
 * well, a packet of a flow that is copied does not come from the MAC address
 * that the copies go to.
 */
#ifndef SPANWIRE_ENGINE_BPF_DEAF_BPF_H
#define SPANWIRE_ENGINE_BPF_DEAF_BPF_H

#include "engine/bpf/gate.bpf.h"

/* Interfaces of the copies' own. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, DOMAINS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, __u32);
} own_exits SEC(".maps");

__u32 any_own_exit; /* has it any? */

/* Does a socket of the engine wait for it? */
GLOBAL int is_awaited(struct __sk_buff *skb, const struct packet *p)
{
	struct bpf_sock_tuple t = {};
	struct bpf_sock *sk;
	__u32 size = sizeof(t.ipv4);

	if (!p)
		return false;
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		__builtin_memcpy(&t.ipv4.saddr, p->key.remote + 12, 4);
		__builtin_memcpy(&t.ipv4.daddr, p->key.local + 12, 4);
		t.ipv4.sport = p->key.remote_port;
		t.ipv4.dport = p->key.local_port;
	} else {
		size = sizeof(t.ipv6);
		__builtin_memcpy(t.ipv6.saddr, p->key.remote, 16);
		__builtin_memcpy(t.ipv6.daddr, p->key.local, 16);
		t.ipv6.sport = p->key.remote_port;
		t.ipv6.dport = p->key.local_port;
	}
	if (p->key.proto == IPPROTO_TCP)
		sk = bpf_skc_lookup_tcp(skb, &t, size, BPF_F_CURRENT_NETNS, 0);
	else
		sk = bpf_sk_lookup_udp(skb, &t, size, BPF_F_CURRENT_NETNS, 0);
	if (!sk)
		return false;
	bpf_sk_release(sk);
	return true;
}

/* Echo and neighbour discovery, but no redirects; errors speak of connections. */
static ALWAYS_INLINE bool icmp_is_heard(struct __sk_buff *skb, const struct packet *p)
{
	__u8 type;

	if (!p->rest || bpf_skb_load_bytes(skb, p->rest, &type, 1))
		return false;
	if (p->key.proto == IPPROTO_ICMP)
		return type == 0 || type == 8;
	return type == 128 || type == 129 || (type >= 130 && type <= 136) || type == 143;
}

GLOBAL int own_exit_hears(struct __sk_buff *skb, const struct packet *p)
{
	if (!p || p->kind != PACKET_IP)
		return true;
	if (p->key.proto == IPPROTO_ICMP || p->key.proto == IPPROTO_ICMPV6)
		return icmp_is_heard(skb, p);
	if (p->key.proto != IPPROTO_TCP && p->key.proto != IPPROTO_UDP)
		return true;
	return p->l4 && !flow_find(p) && !gate_vip(p->key.vrf, p->key.local) && is_awaited(skb, p);
}

static ALWAYS_INLINE bool deaf_to(struct __sk_buff *skb, const struct packet *p)
{
	__u32 ifindex = skb->ifindex;

	if (!any_own_exit || !bpf_map_lookup_elem(&own_exits, &ifindex) || own_exit_hears(skb, p))
		return false;
	count(GATE_clone_ignored, 1);
	return true;
}

#endif
