/*
 * hurt - flows that were admitted to the copy and have lost a frame: an IDS sees a gap there that is none.
 *
 * The last HURTS_MAX of the engine are listed, so that a user can tell such a
 * gap from an attack. One whose clone server was taken away is not among them:
 * somebody wanted it so.
 */
#ifndef SPANWIRE_ENGINE_BPF_HURT_BPF_H
#define SPANWIRE_ENGINE_BPF_HURT_BPF_H

#include "engine/bpf/maps.bpf.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, HURTS_MAX);
	__type(key, __u32);
	__type(value, struct hurt);
} hurts SEC(".maps");

struct hurt_number {
	struct bpf_spin_lock lock;
	__u32 last;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct hurt_number);
} hurt_numbers SEC(".maps");

/* F has lost so many frames more. */
GLOBAL int hurt(struct flow *f, struct target_counters *book, const struct flow_key *k, __u32 fate,
			    __u32 frames)
{
	__u32 at = 0, number;
	struct hurt_number *n = bpf_map_lookup_elem(&hurt_numbers, &at);
	struct hurt *h;
	bool fresh = false;

	if (!n || !f || !book || !k)
		return 0;
	bpf_spin_lock(&n->lock);
	if (!f->hurt) {
		f->hurt = ++n->last ? n->last : ++n->last;
		fresh = true;
	}
	number = f->hurt;
	bpf_spin_unlock(&n->lock);
	at = number % HURTS_MAX;
	h = bpf_map_lookup_elem(&hurts, &at);
	if (!h)
		return 0;
	if (!fresh) {
		if (h->number == number)
			__sync_fetch_and_add(&h->frames, frames);
		return 0;
	}
	book->flows_hurt++;
	h->number = 0;
	h->at_ns = bpf_ktime_get_ns();
	h->frames = frames;
	h->slot = f->target;
	h->generation = f->generation;
	h->service = f->service;
	h->fate = fate;
	h->key = *k;
	__builtin_memcpy(h->client_addr, f->client_addr, 16);
	h->client_port = f->client_port;
	h->is_client = f->flags & FLOW_CLIENT ? 1 : 0;
	h->number = number;
	return 0;
}

#endif
