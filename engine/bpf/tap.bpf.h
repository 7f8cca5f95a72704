/*
 * tap - stage 4: packets of a service whose capture runs go to a ring that the warden reads.
 *
 * What a packet is, the classification has said. A record has that, and the packet's first bytes; which of them are
 * kept is the reader's business. Nobody is woken until a fair amount waits (the reader looks by itself): wake-ups are what
 * costs, not copies. What finds the ring full is counted.
 */
#ifndef SPANWIRE_ENGINE_BPF_TAP_BPF_H
#define SPANWIRE_ENGINE_BPF_TAP_BPF_H

#include "engine/bpf/verdict.bpf.h"

#define TAP_STEP      256  /* large records are rounded up to it */
#define TAP_LEAP      4096
#define TAP_WAKE_SIZE (1u << 20)

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, TAPS_MAX);
	__type(key, __u32);
	__type(value, struct tap);
} tapped SEC(".maps");

/* By slot: who wants what health monitors say. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, TAPS_MAX);
	__type(key, __u32);
	__type(value, struct tap);
} monitor_taps SEC(".maps");

/* One: the engine's own, of all packets. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tap);
} engine_tap SEC(".maps");

__u32 engine_wants; /* ENGINE_*; 0: it has none */

struct tap_ring {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 65536);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, TAPS_MAX);
	__type(key, __u32);
	__array(values, struct tap_ring);
} tap_rings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, TAPS_MAX);
	__type(key, __u32);
	__type(value, __u64);
} tap_lost SEC(".maps");

/* Is there any? Most of the time there is none, and nobody pays for a look-up. */
__u32 any_tap;

static ALWAYS_INLINE void tap_record_make(struct __sk_buff *skb, const struct packet *p, const struct verdict *v,
					  struct tap_record *r)
{
	struct flow *f;

	r->at_ns = bpf_ktime_get_ns();
	r->flow = v->flow_id;
	r->service = v->service;
	r->flags = v->flags & (FLOW_CLIENT | FLOW_MONITOR | TAP_GATE | TAP_GUARD);
	if (v->service)
		r->flags |= TAP_LEG;
	if (v->out)
		r->flags |= TAP_OUT;
	r->ifindex = skb->ifindex;
	r->wire_len = skb->len;
	r->gso_size = skb->gso_size;
	if (v->flags & FLOW_CLIENT) {
		__builtin_memcpy(r->client, p->key.remote, 16);
		r->client_port = p->key.remote_port;
		return;
	}
	f = flow_find(p);
	if (f) {
		__builtin_memcpy(r->client, f->client_addr, 16);
		r->client_port = f->client_port;
		r->worker = f->worker;
	}
}

static ALWAYS_INLINE void tap_count_lost(__u32 slot)
{
	__u64 *lost = bpf_map_lookup_elem(&tap_lost, &slot);

	if (lost)
		*lost += 1;
}

static ALWAYS_INLINE __u64 tap_wakes(void *ring, __u32 size)
{
	__u64 waits = bpf_ringbuf_query(ring, BPF_RB_AVAIL_DATA);

	return waits >= TAP_WAKE_SIZE && waits < TAP_WAKE_SIZE + size ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP;
}

/* Most are small: up to ROOM bytes, a power of two that the compiler knows, are written where they stay. False: it is lost. */
static ALWAYS_INLINE bool tap_put_small(struct __sk_buff *skb, void *ring, const struct tap_record *r, __u32 room)
{
	struct tap_record *to = bpf_ringbuf_reserve(ring, sizeof(*r) + room, 0);

	if (!to)
		return false;
	*to = *r;
	if (packet_load(skb, 0, to + 1, r->len, room)) {
		bpf_ringbuf_discard(to, BPF_RB_NO_WAKEUP);
		return false;
	}
	bpf_ringbuf_submit(to, tap_wakes(ring, sizeof(*r) + room));
	return true;
}

static ALWAYS_INLINE bool tap_put_large(struct __sk_buff *skb, void *ring, const struct tap_record *r)
{
	__u32 left = r->len, at = 0, room = sizeof(*r) + ((left + TAP_STEP - 1) & ~(TAP_STEP - 1));
	struct bpf_dynptr ring_ptr;

	if (bpf_ringbuf_reserve_dynptr(ring, room, 0, &ring_ptr)) {
		bpf_ringbuf_discard_dynptr(&ring_ptr, BPF_RB_NO_WAKEUP);
		return false;
	}
	bpf_dynptr_write(&ring_ptr, 0, (void *)r, sizeof(*r), 0);
	for (int i = 0; i < TAP_DATA_MAX / TAP_LEAP && left >= TAP_LEAP; i++) {
		void *to = bpf_dynptr_data(&ring_ptr, sizeof(*r) + at, TAP_LEAP);

		if (!to || bpf_skb_load_bytes(skb, at, to, TAP_LEAP))
			break;
		at += TAP_LEAP;
		left -= TAP_LEAP;
	}
	for (int i = 0; i < TAP_LEAP / TAP_STEP && left; i++) {
		void *to = bpf_dynptr_data(&ring_ptr, sizeof(*r) + at, TAP_STEP);

		if (!to)
			break;
		if (left >= TAP_STEP) {
			if (bpf_skb_load_bytes(skb, at, to, TAP_STEP))
				break;
			at += TAP_STEP;
			left -= TAP_STEP;
			continue;
		}
		packet_load(skb, at, to, left, TAP_STEP);
		left = 0;
	}
	bpf_ringbuf_submit_dynptr(&ring_ptr, tap_wakes(ring, room));
	return true;
}

/* Not static: the verifier looks at it once, and not anew for each way that leads to it. (And believes
 * nothing of what it was given any more: this stage is the last.) */
__noinline int tap_put(struct __sk_buff *skb, const struct packet *p, const struct verdict *v, const struct tap *t);
__noinline int tap_put(struct __sk_buff *skb, const struct packet *p, const struct verdict *v, const struct tap *t)
{
	struct tap_record r = {};
	__u32 slot, n;
	bool put;
	void *ring;

	if (!p || !v || !t)
		return 0;
	slot = t->slot - 1;
	ring = bpf_map_lookup_elem(&tap_rings, &slot);
	if (!ring)
		return 0;
	tap_record_make(skb, p, v, &r);
	n = skb->len;
	if (t->snap && n > t->snap)
		n = t->snap;
	if (n > TAP_DATA_MAX)
		n = TAP_DATA_MAX;
	r.len = n;
	if (n <= 128)
		put = tap_put_small(skb, ring, &r, 128);
	else if (n <= 256)
		put = tap_put_small(skb, ring, &r, 256);
	else if (n <= 512)
		put = tap_put_small(skb, ring, &r, 512);
	else
		put = tap_put_large(skb, ring, &r);
	if (!put)
		tap_count_lost(slot);
	return 0;
}

struct tap_monitor {
	struct __sk_buff *skb;
	const struct packet *p;
	const struct verdict *v;
};

/* In a call of its own: a loop in sight would be too many ways for the verifier. */
static long tap_monitor(__u32 slot, struct tap_monitor *m)
{
	struct tap *t = bpf_map_lookup_elem(&monitor_taps, &slot);

	if (t && t->slot)
		tap_put(m->skb, m->p, m->v, t);
	return 0;
}

static ALWAYS_INLINE void tap_engine(struct __sk_buff *skb, const struct packet *p, const struct verdict *v)
{
	__u32 zero = 0;
	struct tap *t = bpf_map_lookup_elem(&engine_tap, &zero);

	if (t && t->slot)
		tap_put(skb, p, v, t);
}

/* WHY: TAP_GATE, TAP_GUARD. */
static ALWAYS_INLINE int tap_dropped(struct __sk_buff *skb, const struct packet *p, struct verdict *v, __u32 why)
{
	v->flags = why;
	v->out = p->out;
	if (engine_wants & ENGINE_DROP)
		tap_engine(skb, p, v);
	return TC_ACT_SHOT;
}

static ALWAYS_INLINE void tap(struct __sk_buff *skb, const struct packet *p, struct verdict *v)
{
	struct tap *t;

	v->out = p->out;
	if (engine_wants & (p->out ? ENGINE_TX : ENGINE_RX))
		tap_engine(skb, p, v);

	if (!any_tap || !v->service)
		return;
	if (v->service == MARK_MONITORS) {
		struct tap_monitor m = { skb, p, v };

		bpf_loop(TAPS_MAX, tap_monitor, &m, 0);
		return;
	}
	t = bpf_map_lookup_elem(&tapped, &v->service);
	if (t)
		tap_put(skb, p, v, t);
}

#endif
