/*
 * trial - a frame of a test, which the warden has the kernel run (BPF_PROG_TEST_RUN): it goes by the clone stage as a real
 * copy does. skb->mark is the target's slot, and COPY_OUT.
 */
#ifndef SPANWIRE_ENGINE_BPF_TRIAL_BPF_H
#define SPANWIRE_ENGINE_BPF_TRIAL_BPF_H

#include "engine/bpf/clone.bpf.h"

static ALWAYS_INLINE void try_copy(struct __sk_buff *skb)
{
	__u32 slot = skb->mark & COPY_TARGET;
	struct verdict v = { .slot = slot, .frames = 1, .bytes = skb->len, .out = skb->mark & COPY_OUT };

	v.copy = copy_begin(slot);
	v.book = bpf_map_lookup_elem(&books, &slot);
	clone(skb, &v);
}

#endif
