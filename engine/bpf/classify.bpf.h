/*
 * classify - stage 2: whose packet is this?
 *
 * The answer, a verdict, is for whoever copies or keeps packets: the service,
 * the leg (client, server, health monitor), the direction, the flow's id; and
 * where a copy of it goes.
 *
 * Server leg: the proxy marked the socket, so the SYN tells the service, the
 * clone target and the client. It enters the connection into the flow table;
 * what has no socket any more (TIME_WAIT), and everything inwards, goes by the
 * table, and the mark, having done its work, goes. A socket beats the table: one
 * without a mark that begins with the addresses of an old entry removes it. A
 * connection that serves one client after another wears a badge, which is read
 * with each packet that leaves.
 * Datagrams have no beginning: there the mark stays. Client leg: leg.bpf.h.
 *
 * A flow is copied whole or not at all: one that found the table full stays
 * out of it until it sends a SYN again.
 */
#ifndef SPANWIRE_ENGINE_BPF_CLASSIFY_BPF_H
#define SPANWIRE_ENGINE_BPF_CLASSIFY_BPF_H

#include "engine/bpf/leg.bpf.h"
#include "engine/bpf/part.bpf.h"

/* Is that, of the Ethernet header at AT, the MAC address that the copies of target SLOT go to? */
static ALWAYS_INLINE bool mac_is_of_target(struct __sk_buff *skb, __u32 at, __u32 slot)
{
	struct target *t = target_find(slot);
	__u16 mac[3];

	if (!t || bpf_skb_load_bytes(skb, at, mac, 6))
		return false;
	return mac[0] == ((__u16 *)t->dst_mac)[0] && mac[1] == ((__u16 *)t->dst_mac)[1] &&
	       mac[2] == ((__u16 *)t->dst_mac)[2];
}

/*
 * A clone server sees what it would need to end a connection with a word of its own: a server does not speak from its MAC
 * address. Unless that was so from the beginning.
 */
static ALWAYS_INLINE bool is_foreign(struct __sk_buff *skb, const struct flow *f)
{
	return f->flags & FLOW_CLONE && !(f->flags & (FLOW_CLIENT | FLOW_SAME_MAC)) &&
	       mac_is_of_target(skb, ETH_ALEN, f->target);
}

/* Enters the connection. NULL: there is no room. */
static __noinline struct flow *flow_open_marked(struct __sk_buff *skb, const struct packet *p, struct sock_mark *m,
						bool copied)
{
	struct admission a = { .id = m->flow_id };
	__u32 fate = FATE_COPIED;
	struct flow *opened;
	struct flow f = {
		.id = m->flow_id,
		.service = m->service,
		.target = m->target,
		.generation = m->generation,
		.client_port = m->client_port,
		.idle_s = m->idle_s,
		.worker = m->worker,
	};

	if (copied) {
		__builtin_memcpy(a.client, m->client_addr, 16);
		fate = admit(m->target, m->generation, &a);
		if (fate == FATE_FILTERED)
			m->flags |= MARK_FILTERED;
		else
			f.flags |= FLOW_CLONE;
		f.fate = fate == FATE_FILTERED ? 0 : (__u16)fate;
		if (mac_is_of_target(skb, 0, m->target))
			f.flags |= FLOW_SAME_MAC;
	}
	if (m->flags & MARK_CLIENT_ADDR)
		f.flags |= FLOW_CLIENT_ADDR;
	if (m->flags & MARK_MONITOR)
		f.flags |= FLOW_MONITOR;
	__builtin_memcpy(f.client_addr, m->client_addr, 16);
	opened = flow_open(skb, &p->key, &f);
	if (copied)
		flow_born(m->target, m->generation, opened || fate == FATE_FILTERED ? fate : FATE(dropped_table_full));
	return opened;
}

/* The connection serves another client from now on. */
static ALWAYS_INLINE void flow_serves(struct flow *f, __u64 id, const __u8 *client, __be16 port)
{
	if (f->id == id)
		return;
	f->id = id;
	f->client_port = port;
	__builtin_memcpy(f->client_addr, client, 16);
}

static ALWAYS_INLINE void flow_wear(struct flow *f, const struct sock_mark *m)
{
	__u32 place = m->badge;
	struct badge *b = place ? bpf_map_lookup_elem(&badges, &place) : NULL;

	if (b)
		f->badge = (__u32)b->turn << 16 | place;
}

static ALWAYS_INLINE void flow_read_badge(struct flow *f)
{
	__u32 place = f->badge % BADGES_MAX;
	struct badge *b = place ? bpf_map_lookup_elem(&badges, &place) : NULL;

	if (b && b->turn == f->badge >> 16)
		flow_serves(f, b->flow_id, b->client_addr, b->client_port);
}

/* The flow of a marked socket's packet; F is what the table had. NULL: it is not in it. */
static ALWAYS_INLINE struct flow *flow_marked(struct __sk_buff *skb, const struct packet *p, struct sock_mark *m,
					      struct flow *f)
{
	bool tcp = p->key.proto == IPPROTO_TCP, syn = p->tcp_flags & TCP_SYN, accepted = m->flags & MARK_ACCEPTED;
	bool whole = !tcp || syn || accepted;

	/* Of TCP whatever is no SYN is of the connection that opened the flow, though the mark may be a newer one. */
	if (f && (tcp ? accepted || !syn : f->generation == m->generation && f->target == m->target)) {
		if (syn)
			flow_reopen(f);
		m->flags |= MARK_ACCEPTED;
		f->worker = m->worker;
		flow_serves(f, m->flow_id, m->client_addr, m->client_port);
		flow_wear(f, m);
		return f;
	}
	whole = whole && m->flags & MARK_CLONE;
	f = whole || m->flags & (MARK_FOLLOW | MARK_MONITOR) ? flow_open_marked(skb, p, m, whole) : NULL;
	if (f) {
		m->flags |= MARK_ACCEPTED;
		flow_wear(f, m);
	} else {
		m->flags &= ~MARK_ACCEPTED;
	}
	return f;
}

static ALWAYS_INLINE void classify_in(struct __sk_buff *skb, struct packet *p, struct verdict *v)
{
	struct flow *f;

	if (!packet_keyed(skb, p))
		return;
	f = bpf_map_lookup_elem(&flows, &p->key);
	if (f && leg_begins_anew(skb, p, f)) {
		bpf_map_delete_elem(&flows, &p->key);
		f = NULL;
	}
	if (f && is_foreign(skb, f)) {
		v->foreign = true;
		count(GATE_clone_ignored, 1);
	} else if (f) {
		verdict_flow(skb, v, p, f);
	} else if (any_leg) {
		classify_leg(skb, p, v);
	}
}

static ALWAYS_INLINE void classify_out(struct __sk_buff *skb, struct packet *p, struct verdict *v)
{
	struct bpf_sock *sk = skb->sk;
	struct sock_mark *m = NULL;
	bool owner = false;
	struct flow *f;

	if (!packet_keyed(skb, p))
		return;
	if (sk)
		sk = bpf_sk_fullsock(sk);
	if (sk && !p->quoted) {
		/* The kernel's own sockets, which answer for those that are gone, own no port. */
		owner = sk->src_port == bpf_ntohs(p->key.local_port);
		m = bpf_sk_storage_get(&marks, sk, NULL, 0);
	}
	f = bpf_map_lookup_elem(&flows, &p->key);
	if (m) {
		f = flow_marked(skb, p, m, f);
		if (!f) {
			verdict_refused(skb, v, p, m);
			return;
		}
		/* The handshake is done, and the table knows all that the mark says. */
		if (p->key.proto == IPPROTO_TCP && !(p->tcp_flags & TCP_SYN))
			bpf_sk_storage_delete(&marks, sk);
	} else if (owner && f && !(f->flags & FLOW_CLIENT) &&
		   (p->key.proto != IPPROTO_TCP || (p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN)) {
		bpf_map_delete_elem(&flows, &p->key);
		return;
	}
	if (f) {
		flow_read_badge(f);
		verdict_flow(skb, v, p, f);
	} else if (any_leg && !m) {
		classify_leg(skb, p, v);
	}
}

#endif
