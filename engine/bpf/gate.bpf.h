/*
 * gate - stage 1: nothing speaks for a VIP after its deadline.
 *
 * Outwards: ARP and neighbour advertisements about the VIP, and every packet
 * from it. Inwards: every packet to it. ARP and neighbour solicitations pass
 * inwards also when the gate is closed: the warden must hear who asks and who
 * answers, and what the kernel would say to them cannot leave. Probes for a
 * VIP (sender 0.0.0.0 or ::) pass outwards: they do not speak for it.
 */
#ifndef SPANWIRE_ENGINE_BPF_GATE_BPF_H
#define SPANWIRE_ENGINE_BPF_GATE_BPF_H

#include "engine/bpf/maps.bpf.h"

static ALWAYS_INLINE struct vip_lease *gate_vip(__u32 vrf, const __u8 *addr)
{
	struct vip_key key = { .vrf = vrf };

	__builtin_memcpy(key.addr, addr, 16);
	return bpf_map_lookup_elem(&vips, &key);
}

static ALWAYS_INLINE bool gate_is_closed(__u64 until)
{
	__u64 now = bpf_ktime_get_ns();

	return now >= until || now >= lease_ns;
}

static ALWAYS_INLINE bool gate_refuses(bool refused, __u32 counter)
{
	if (refused)
		count(counter, 1);
	return refused;
}

/* ARP or a neighbour advertisement says "ADDR is at my MAC". */
static ALWAYS_INLINE bool gate_refuses_claim(struct __sk_buff *skb, __u32 vrf, const __u8 *addr, __u32 counter)
{
	struct vip_lease *l = gate_vip(vrf, addr);

	if (!l)
		return false;
	if (gate_refuses(l->ifindex != skb->ifindex, GATE_gate_wrong_port))
		return true;
	return gate_refuses(gate_is_closed(l->own_ns), counter);
}

static ALWAYS_INLINE bool gate_refuses_packet(__u32 vrf, const __u8 *addr, __u32 counter)
{
	struct vip_lease *l = gate_vip(vrf, addr);

	return l && gate_refuses(gate_is_closed(l->carry_ns), counter);
}

GLOBAL int gate_refuses_out(struct __sk_buff *skb, const struct packet *p)
{
	__u8 addr[16];

	if (!p)
		return false;
	if (p->kind == PACKET_ARP) {
		__be32 sender;

		if (bpf_skb_load_bytes(skb, p->l3 + 14, &sender, 4))
			return false;
		addr_from_v4(addr, sender);
		return gate_refuses_claim(skb, p->key.vrf, addr, GATE_gate_arp);
	}
	if (p->kind != PACKET_IP)
		return false;
	if (p->na_target && !bpf_skb_load_bytes(skb, p->na_target, addr, 16) &&
	    gate_refuses_claim(skb, p->key.vrf, addr, GATE_gate_neighbour))
		return true;
	return gate_refuses_packet(p->key.vrf, p->key.local, GATE_gate_out);
}

static ALWAYS_INLINE bool gate_refuses_in(struct packet *p)
{
	return p->kind == PACKET_IP && gate_refuses_packet(p->key.vrf, p->key.local, GATE_gate_in);
}

#endif
