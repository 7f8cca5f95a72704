/*
 * plain - what the proxy writes into the outlet: plaintext as packets, to be copied and nothing else.
 *
 * The proxy counted it as eligible, for the target that its Ethernet header names (struct plain_address). From here it
 * is a copy like another: the same clone stage, rewriter and books. Nothing of it comes to the kernel's own stack,
 * whatever stands in it: whoever holds the outlet can reach clone servers and nobody else.
 *
 * The write returns when this is through. What was lost is told by the worker's number in `plain_lost`, which the proxy
 * can read: so it knows which flow was hurt.
 */
#ifndef SPANWIRE_ENGINE_BPF_PLAIN_BPF_H
#define SPANWIRE_ENGINE_BPF_PLAIN_BPF_H

#include "engine/bpf/clone.bpf.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, PLAIN_WORKERS_MAX);
	__type(key, __u32);
	__type(value, __u64);
} plain_lost SEC(".maps");

static ALWAYS_INLINE bool plain_copied(struct __sk_buff *skb, const struct plain_address *a)
{
	__u32 slot = bpf_ntohs(a->target);
	struct verdict v = { .slot = slot, .out = true };
	struct packet p;
	__u64 sent;

	packet_parse(skb, &p, true);
	v.frames = packet_frames(skb, p.header_len);
	v.bytes = skb->len + (__u64)(v.frames - 1) * p.header_len;
	v.book = bpf_map_lookup_elem(&books, &slot);
	v.target = bpf_map_lookup_elem(&targets, &slot);
	if (!v.book || !v.target || v.target->generation != bpf_ntohl(a->generation)) {
		if (v.book)
			v.book->dropped_other += v.frames;
		count(GATE_flow_stale, v.frames);
		return false;
	}
	sent = v.book->sent;
	clone(skb, &v);
	return v.book->sent - sent == v.frames;
}

static ALWAYS_INLINE void plain(struct __sk_buff *skb)
{
	struct plain_address a;
	__u32 worker;
	__u64 *lost;

	if (bpf_skb_load_bytes(skb, 0, &a, sizeof(a)) || plain_copied(skb, &a))
		return;
	worker = bpf_ntohs(a.worker);
	lost = bpf_map_lookup_elem(&plain_lost, &worker);
	if (lost)
		*lost += 1;
}

#endif
