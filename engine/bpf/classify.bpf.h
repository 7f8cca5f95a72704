/*
 * classify - stage 2: whose connection is this packet of?
 *
 * Server leg: the proxy marked the socket, so the SYN tells the service, the
 * clone target and the client. It enters both directions into the flow table;
 * what has no socket any more (TIME_WAIT), and everything inwards, goes by the
 * table. A socket beats the table: one without a mark that owns the addresses
 * of an old entry removes it.
 *
 * A flow is copied whole or not at all: one that found the table full stays
 * out of it until it sends a SYN again.
 */
#ifndef SPANWIRE_ENGINE_BPF_CLASSIFY_BPF_H
#define SPANWIRE_ENGINE_BPF_CLASSIFY_BPF_H

#include "engine/bpf/maps.bpf.h"

#define SEEN_GRAIN_NS 1000000000ULL

/* What the clone stage works on. */
struct verdict {
	struct target *target;        /* NULL: nothing to copy */
	struct target_counters *book;
	__u32 slot;
	__u32 frames;
	__u64 bytes;                  /* on the wire */
	bool with_client_addr;
};

static ALWAYS_INLINE void flow_reverse(struct flow_key *out, const struct flow_key *k)
{
	out->vrf = k->vrf;
	out->proto = k->proto;
	out->unused = 0;
	__builtin_memcpy(out->src, k->dst, 16);
	__builtin_memcpy(out->dst, k->src, 16);
	out->sport = k->dport;
	out->dport = k->sport;
}

static ALWAYS_INLINE void flow_forget(const struct flow_key *k)
{
	struct flow_key back;

	flow_reverse(&back, k);
	bpf_map_delete_elem(&flows, k);
	bpf_map_delete_elem(&flows, &back);
}

/* Both directions, or NULL and neither. */
static ALWAYS_INLINE struct flow *flow_open(const struct flow_key *k, const struct sock_mark *m)
{
	struct flow f = {
		.seen_ns = bpf_ktime_get_coarse_ns(),
		.flags = FLOW_OUT | FLOW_CLONE,
		.service = m->service,
		.target = m->target,
		.generation = m->generation,
		.client_port = m->client_port,
		.idle_s = m->idle_s,
	};
	struct flow_key back;

	if (m->flags & MARK_CLIENT_ADDR)
		f.flags |= FLOW_CLIENT_ADDR;
	__builtin_memcpy(f.client_addr, m->client_addr, 16);
	flow_reverse(&back, k);
	if (bpf_map_update_elem(&flows, k, &f, BPF_ANY) == 0) {
		f.flags &= ~FLOW_OUT;
		if (bpf_map_update_elem(&flows, &back, &f, BPF_ANY) == 0) {
			count(GATE_flow_opened, 1);
			return bpf_map_lookup_elem(&flows, k);
		}
	}
	flow_forget(k);
	count(GATE_flow_refused, 1);
	return NULL;
}

static ALWAYS_INLINE void flow_touch(struct flow *f, const struct packet *p)
{
	__u64 now = bpf_ktime_get_coarse_ns();
	struct flow_key back;
	struct flow *other;

	if (now - f->seen_ns > SEEN_GRAIN_NS)
		f->seen_ns = now;
	if (!(p->tcp_flags & (TCP_FIN | TCP_RST)))
		return;
	f->closing_ns = now;
	if (!(p->tcp_flags & TCP_RST))
		return;
	flow_reverse(&back, &p->key);
	other = bpf_map_lookup_elem(&flows, &back);
	if (other)
		other->closing_ns = now;
}

/* Counts as eligible; a slot that has gone to another service since is none of this flow's. */
static ALWAYS_INLINE void verdict_eligible(struct __sk_buff *skb, struct verdict *v, const struct packet *p, __u32 slot,
					   __u32 generation)
{
	struct target *t = bpf_map_lookup_elem(&targets, &slot);

	v->frames = packet_frames(skb, p->header_len);
	v->bytes = skb->len + (__u64)(v->frames - 1) * p->header_len;
	v->slot = slot;
	if (!t || !slot || t->generation != generation) {
		count(GATE_flow_stale, v->frames);
		return;
	}
	v->book = bpf_map_lookup_elem(&books, &slot);
	if (!v->book)
		return;
	v->book->eligible += v->frames;
	v->book->eligible_bytes += v->bytes;
	v->target = t;
}

static ALWAYS_INLINE void classify_flow(struct __sk_buff *skb, struct verdict *v, const struct packet *p,
					struct flow *f)
{
	flow_touch(f, p);
	if (!(f->flags & FLOW_CLONE))
		return;
	verdict_eligible(skb, v, p, f->target, f->generation);
	if (!v->target || !(f->flags & FLOW_CLIENT_ADDR))
		return;
	v->with_client_addr = addr_is_v4(f->client_addr) == (skb->protocol == bpf_htons(ETH_P_IP));
	if (!v->with_client_addr)
		v->book->other_family += v->frames;
}

static ALWAYS_INLINE void classify_in(struct __sk_buff *skb, struct packet *p, struct verdict *v)
{
	struct flow *f;

	if (!p->l4)
		return;
	f = bpf_map_lookup_elem(&flows, &p->key);
	if (f && !(f->flags & FLOW_OUT))
		classify_flow(skb, v, p, f);
}

static ALWAYS_INLINE void classify_out(struct __sk_buff *skb, struct packet *p, struct verdict *v)
{
	struct bpf_sock *sk = skb->sk;
	struct sock_mark *m = NULL;
	bool owner = false;
	struct flow *f;

	if (!p->l4)
		return;
	if (sk)
		sk = bpf_sk_fullsock(sk);
	if (sk) {
		/* The kernel's own sockets, which answer for those that are gone, own no port. */
		owner = sk->src_port == bpf_ntohs(p->key.sport);
		m = bpf_sk_storage_get(&marks, sk, NULL, 0);
	}
	f = bpf_map_lookup_elem(&flows, &p->key);
	if (f && !(f->flags & FLOW_OUT))
		return;

	if (m && (m->flags & MARK_CLONE)) {
		if (!f || f->generation != m->generation || f->target != m->target) {
			bool opens = p->key.proto == IPPROTO_UDP || (p->tcp_flags & TCP_SYN);

			/* Accepted, but swept meanwhile: it was idle for very long. */
			f = opens || (m->flags & MARK_ACCEPTED) ? flow_open(&p->key, m) : NULL;
			if (f)
				m->flags |= MARK_ACCEPTED;
			else
				m->flags &= ~MARK_ACCEPTED;
		} else if (p->tcp_flags & TCP_SYN) {
			f->closing_ns = 0;
		}
		if (!f) {
			verdict_eligible(skb, v, p, m->target, m->generation);
			if (v->target)
				v->book->dropped_table_full += v->frames;
			v->target = NULL;
			return;
		}
	} else if (owner && f) {
		flow_forget(&p->key);
		return;
	}
	if (f)
		classify_flow(skb, v, p, f);
}

#endif
