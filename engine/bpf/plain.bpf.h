/*
 * plain - what the proxy writes into the outlet: plaintext as packets, to be copied and nothing else.
 *
 * The proxy counted it as eligible, for the target that its Ethernet header names (struct plain_address). From here it
 * is a copy like another: admitted at its birth, the same clone stage, rewriter and books. Nothing of it comes to the
 * kernel's own stack, whatever stands in it: whoever holds the outlet can reach clone servers and nobody else.
 *
 * The write returns when this is through, and the worker reads in `plain_words` what became of it.
 */
#ifndef SPANWIRE_ENGINE_BPF_PLAIN_BPF_H
#define SPANWIRE_ENGINE_BPF_PLAIN_BPF_H

#include "engine/bpf/clone.bpf.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, PLAIN_WORKERS_MAX);
	__type(key, __u32);
	__type(value, struct plain_word);
} plain_words SEC(".maps");

static ALWAYS_INLINE __u32 plain_born(struct __sk_buff *skb, const struct plain_address *at)
{
	struct admission a = {};
	struct plain_birth b;
	__u32 fate;

	if (bpf_skb_load_bytes(skb, 0, &b, sizeof(b)))
		return FATE(dropped_other);
	__builtin_memcpy(&a.id, b.flow_id, 8);
	__builtin_memcpy(a.client, b.client, 16);
	fate = admit(bpf_ntohs(at->target), bpf_ntohl(at->generation), &a);
	flow_born(bpf_ntohs(at->target), bpf_ntohl(at->generation), fate);
	return fate;
}

/*
 * The numbers in the addresses are nobody's business. In an encapsulation the frame's own stay, but for the marker. Other
 * copies get theirs here and not in the rewriter: nobody else has these data yet, and a copy would have to copy them.
 */
static ALWAYS_INLINE long plain_dress(struct __sk_buff *skb, const struct target *t)
{
	static const __u8 nobody[6] = { 0x02, 'S', 'P', 'W', 0, 0 };

	if (t->flags & TARGET_WRAP)
		return bpf_skb_store_bytes(skb, 0, nobody, sizeof(nobody), 0);
	return rewrite_macs(skb, 0, t);
}

static ALWAYS_INLINE bool plain_copied(struct __sk_buff *skb, const struct plain_address *a, bool last)
{
	__u32 slot = bpf_ntohs(a->target);
	struct verdict v = { .slot = slot, .out = true };
	struct flow f = { .service = bpf_ntohl(a->service), .target = slot, .generation = bpf_ntohl(a->generation) };
	struct packet p;
	__u64 sent;

	packet_parse(skb, &p, true);
	v.frames = packet_frames(skb, p.header_len);
	v.bytes = skb->len + (__u64)(v.frames - 1) * p.header_len;
	v.book = bpf_map_lookup_elem(&books, &slot);
	v.copy = copy_begin(slot);
	if (!v.book || !v.copy || v.copy->target.generation != f.generation) {
		if (v.book)
			v.book->dropped_other += v.frames;
		count(GATE_flow_stale, v.frames);
		return false;
	}
	/* The proxy sheds a flow that lost a frame: it is hurt once. */
	if (!last) {
		__builtin_memcpy(f.client_addr, p.key.local, 16);
		f.client_port = p.key.local_port;
		v.flow = &f;
		v.key = &p.key;
	}
	if (plain_dress(skb, &v.copy->target)) {
		drop(v.book, FATE(dropped_memory), v.frames);
		return false;
	}
	v.dressed = !(v.copy->target.flags & TARGET_WRAP);
	sent = v.book->sent;
	clone(skb, &v);
	return v.book->sent - sent == v.frames;
}

static ALWAYS_INLINE void plain(struct __sk_buff *skb)
{
	struct plain_address a;
	struct plain_word *word;
	__u32 worker;
	bool last;

	if (bpf_skb_load_bytes(skb, 0, &a, sizeof(a)))
		return;
	worker = bpf_ntohs(a.worker) & ~PLAIN_LAST;
	last = bpf_ntohs(a.worker) & PLAIN_LAST;
	word = bpf_map_lookup_elem(&plain_words, &worker);
	if (!word)
		return;
	if (skb->protocol == bpf_htons(PLAIN_BIRTH))
		word->fate = plain_born(skb, &a);
	else if (!plain_copied(skb, &a, last))
		word->lost += 1;
}

#endif
