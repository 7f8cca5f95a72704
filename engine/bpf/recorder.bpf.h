/*
 * recorder - stage 5: the first bytes of every packet of a service, into memory that is overwritten for ever.
 *
 * Each CPU writes its own slice of one array, in it each service its own share, round and round: a busy service evicts
 * nobody else's past. The warden maps the array and reads it only when somebody asks for what was (engine/capture/recorder.h).
 */
#ifndef SPANWIRE_ENGINE_BPF_RECORDER_BPF_H
#define SPANWIRE_ENGINE_BPF_RECORDER_BPF_H

#include "engine/bpf/verdict.bpf.h"

/* How many there are is said before it is loaded. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct recorder_slot);
} recorder_slots SEC(".maps");

/* By service. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, RECORDER_SHARES_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct recorder_share);
} recorder_shares SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, RECORDER_SHARES_MAX);
	__type(key, __u32);
	__type(value, struct recorder_cursor);
} recorder_next SEC(".maps");

#define written() asm volatile("" ::: "memory")

__u32 recorder_slice; /* slots of a CPU; 0: nothing is recorded */

static ALWAYS_INLINE void record(struct __sk_buff *skb, const struct packet *p, const struct verdict *v)
{
	struct recorder_share *share;
	struct recorder_slot *s;
	struct recorder_cursor *next;
	__u32 at, n = skb->len;

	if (!recorder_slice || !v->service || v->service == MARK_MONITORS)
		return;
	share = bpf_map_lookup_elem(&recorder_shares, &v->service);
	if (!share || !share->count)
		return;
	next = bpf_map_lookup_elem(&recorder_next, &share->number);
	if (!next)
		return;
	at = next->next;
	if (at >= share->count) {
		at = 0;
		next->rounds++;
	}
	next->next = at + 1;
	at += share->first + bpf_get_smp_processor_id() * recorder_slice;
	s = bpf_map_lookup_elem(&recorder_slots, &at);
	if (!s)
		return;
	*(volatile __u64 *)&s->r.at_ns = 0;
	written();
	s->r.flow = v->flow_id;
	s->r.service = v->service;
	s->r.flags = v->flags & FLOW_CLIENT;
	if (v->out)
		s->r.flags |= TAP_OUT;
	s->r.ifindex = skb->ifindex;
	s->r.wire_len = n;
	s->r.gso_size = skb->gso_size;
	s->r.worker = 0;
	s->r.client_port = 0;
	if (v->flags & FLOW_CLIENT) {
		s->r.client_port = p->key.remote_port;
		__builtin_memcpy(s->r.client, p->key.remote, 16);
	}
	if (n >= RECORDER_SNAP) {
		s->r.len = RECORDER_SNAP;
		bpf_skb_load_bytes(skb, 0, s->data, RECORDER_SNAP);
	} else {
		s->r.len = n;
		packet_load(skb, 0, s->data, n, RECORDER_SNAP);
	}
	written();
	*(volatile __u64 *)&s->r.at_ns = bpf_ktime_get_ns();
}

#endif
