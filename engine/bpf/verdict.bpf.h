/*
 * verdict - what the classification says of a packet, and the flow table that it says it from.
 */
#ifndef SPANWIRE_ENGINE_BPF_VERDICT_BPF_H
#define SPANWIRE_ENGINE_BPF_VERDICT_BPF_H

#include "engine/bpf/admit.bpf.h"

#define SEEN_GRAIN_NS 1000000000ULL

struct verdict {
	/* Whose packet it is. */
	__u32 service;                /* 0: nobody's, and the rest says nothing */
	__u32 flags;                  /* FLOW_CLIENT, FLOW_MONITOR: the leg */
	__u64 flow_id;
	bool out;                     /* it leaves the engine */
	bool foreign;                 /* a clone server said it: it is nobody's */
	bool dressed;                 /* its MAC addresses are the copy's already */

	/* What the clone stage works on. */
	const __u8 *client;           /* address that the copy carries; NULL: the engine's */
	struct copy_result *copy;     /* where to, and what becomes of it; NULL: nothing to copy */
	struct target_counters *book;
	struct flow *flow;            /* NULL: its handshake is not over */
	const struct flow_key *key;   /* of `flow` */
	__u32 slot;
	__u32 frames;
	__u64 bytes;                  /* on the wire */
	__u32 hash;                   /* of the flow: what tells its encapsulated copies from others' */
};

/* ---- flows ---- */

static ALWAYS_INLINE __u32 hash_mix(__u32 h, __u32 v)
{
	h = (h ^ v) * 0x9e3779b1;
	return h ^ h >> 15;
}

static __noinline __u32 flow_hash(const struct flow_key *k)
{
	const __u32 *local = (const __u32 *)k->local, *remote = (const __u32 *)k->remote;
	__u32 h = k->proto;

	for (int i = 0; i < 4; i++)
		h = hash_mix(hash_mix(h, local[i]), remote[i]);
	/* Once more: a difference in the last word's upper bits must come down to the lower ones as well. */
	return hash_mix(hash_mix(h, (__u32)k->local_port << 16 | k->remote_port), 0);
}

/* Enters F, which says all but the time. NULL: there is no room. */
static ALWAYS_INLINE struct flow *flow_open(struct __sk_buff *skb, const struct flow_key *k, struct flow *f)
{
	f->ifindex = skb->ifindex;
	f->seen_ns = bpf_ktime_get_coarse_ns();
	f->hash = flow_hash(k);
	if (bpf_map_update_elem(&flows, k, f, BPF_ANY)) {
		count(GATE_flow_refused, 1);
		return NULL;
	}
	count(GATE_flow_opened, 1);
	return bpf_map_lookup_elem(&flows, k);
}

static ALWAYS_INLINE void flow_reopen(struct flow *f)
{
	f->closed[FLOW_IN] = 0;
	f->closed[FLOW_OUT] = 0;
}

static ALWAYS_INLINE void flow_touch(struct flow *f, const struct packet *p)
{
	__u64 now = bpf_ktime_get_coarse_ns();

	if (now - f->seen_ns > SEEN_GRAIN_NS)
		f->seen_ns = now;
	if (!(p->tcp_flags & (TCP_FIN | TCP_RST)))
		return;
	f->closing_ns = now;
	if (p->tcp_flags & TCP_RST)
		f->closed[FLOW_IN] = f->closed[FLOW_OUT] = CLOSED_RST;
	else if (p->out)
		f->closed[FLOW_OUT] = CLOSED_FIN;
	else
		f->closed[FLOW_IN] = CLOSED_FIN;
}

/* ---- verdicts ---- */

static ALWAYS_INLINE void verdict_whose(struct verdict *v, const struct packet *p, __u32 service, __u32 flags, __u64 id)
{
	v->service = service;
	v->flags = flags;
	v->flow_id = id;
	v->out = p->out;
}

/* Counts as eligible; a slot that has gone to another service since is none of this flow's. */
static ALWAYS_INLINE void verdict_eligible(struct __sk_buff *skb, struct verdict *v, const struct packet *p, __u32 slot,
					   __u32 generation)
{
	struct copy_result *copy = copy_begin(slot);

	v->frames = packet_frames(skb, p->header_len);
	v->bytes = skb->len + (__u64)(v->frames - 1) * p->header_len;
	v->slot = slot;
	if (!copy || !slot || copy->target.generation != generation) {
		count(GATE_flow_stale, v->frames);
		return;
	}
	v->book = bpf_map_lookup_elem(&books, &slot);
	if (!v->book)
		return;
	v->book->eligible += v->frames;
	v->book->eligible_bytes += v->bytes;
	v->copy = copy;
}

/* Eligible, but counted as something else than copied. */
static ALWAYS_INLINE void verdict_fate(struct verdict *v, __u32 fate)
{
	if (v->copy && fate)
		drop(v->book, fate, v->frames);
	if (fate)
		v->copy = NULL;
}

/* A packet of a flow that is in the table. */
static ALWAYS_INLINE void verdict_flow(struct __sk_buff *skb, struct verdict *v, const struct packet *p, struct flow *f)
{
	flow_touch(f, p);
	verdict_whose(v, p, f->service, f->flags, f->id);
	if (!(f->flags & FLOW_CLONE))
		return;
	verdict_eligible(skb, v, p, f->target, f->generation);
	verdict_fate(v, f->fate);
	v->flow = f;
	v->key = &p->key;
	v->hash = f->hash;
	if (!v->copy || !(f->flags & FLOW_CLIENT_ADDR))
		return;
	if (addr_is_v4(f->client_addr) == (skb->protocol == bpf_htons(ETH_P_IP)))
		v->client = f->client_addr;
	else
		v->book->other_family += v->frames;
}

/* A packet of a marked socket whose flow is not in the table. */
static ALWAYS_INLINE void verdict_refused(struct __sk_buff *skb, struct verdict *v, const struct packet *p,
					  const struct sock_mark *m)
{
	verdict_whose(v, p, m->service, m->flags & MARK_MONITOR ? FLOW_MONITOR : 0, m->flow_id);
	if (!(m->flags & MARK_CLONE) || m->flags & MARK_FILTERED)
		return;
	verdict_eligible(skb, v, p, m->target, m->generation);
	verdict_fate(v, FATE(dropped_table_full));
}

#endif
