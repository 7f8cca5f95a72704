/*
 * leg - the client's side: packets to and from an address and port of which something is wanted.
 *
 * Until the handshake is done they go by the address, the port and the
 * client's own words alone: a flood of SYNs makes no flows. The packet that
 * ends the handshake, which the kernel's own table of requests tells, enters
 * the connection into the flow table; of UDP it is the first datagram.
 *
 * A connection that began before the leg became what it is has none of its
 * packets copied. For a while after a change the ids of those that begin are
 * noted, so that the end of a handshake can be told from that of an older one.
 */
#ifndef SPANWIRE_ENGINE_BPF_LEG_BPF_H
#define SPANWIRE_ENGINE_BPF_LEG_BPF_H

#include "engine/bpf/verdict.bpf.h"

enum { STATE_TIME_WAIT = 6, STATE_LISTEN = 10, STATE_NEW_SYN_RECV = 12 };
enum { SOCKET_NONE, SOCKET_LISTENS, SOCKET_SHAKES, SOCKET_TALKS };

static ALWAYS_INLINE struct leg *leg_find(const struct packet *p, __u32 ifindex)
{
	struct range_key key = { .prefixlen = RANGE_KEY_BITS, .proto = (__u8)p->key.proto, .port = p->key.local_port };
	struct leg *leg;

	__builtin_memcpy(key.addr, p->key.local, 16);
	leg = range_find(&legs, &key, ifindex);
	return leg || !any_leg_range ? leg : range_find(&leg_ranges, &key, ifindex);
}

static ALWAYS_INLINE bool leg_is_young(const struct leg *leg)
{
	return bpf_ktime_get_coarse_ns() < leg->since_ns + HANDSHAKE_NS;
}

/* What the kernel has for this packet of a client's; that ends a handshake with a cookie: SOCKET_SHAKES as well. */
GLOBAL int socket_of(struct __sk_buff *skb, const struct packet *p)
{
	struct bpf_sock_tuple t = {};
	__u8 ip[40] = {}, tcp[20];
	struct bpf_sock *sk;
	__u32 ip_len;
	int is;

	if (!p)
		return SOCKET_NONE;
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		ip_len = 20;
		__builtin_memcpy(&t.ipv4.saddr, p->key.remote + 12, 4);
		__builtin_memcpy(&t.ipv4.daddr, p->key.local + 12, 4);
		t.ipv4.sport = p->key.remote_port;
		t.ipv4.dport = p->key.local_port;
		sk = bpf_skc_lookup_tcp(skb, &t, sizeof(t.ipv4), BPF_F_CURRENT_NETNS, 0);
	} else {
		ip_len = 40;
		__builtin_memcpy(t.ipv6.saddr, p->key.remote, 16);
		__builtin_memcpy(t.ipv6.daddr, p->key.local, 16);
		t.ipv6.sport = p->key.remote_port;
		t.ipv6.dport = p->key.local_port;
		sk = bpf_skc_lookup_tcp(skb, &t, sizeof(t.ipv6), BPF_F_CURRENT_NETNS, 0);
	}
	if (!sk)
		return SOCKET_NONE;
	is = sk->state == STATE_NEW_SYN_RECV ? SOCKET_SHAKES : sk->state == STATE_TIME_WAIT ? SOCKET_NONE : SOCKET_TALKS;
	if (sk->state == STATE_LISTEN)
		is = SOCKET_LISTENS;
	/* Under a flood there is no table of requests, but cookies. */
	if (is == SOCKET_LISTENS && !(p->tcp_flags & TCP_SYN) && !bpf_skb_load_bytes(skb, p->l3, ip, ip_len == 20 ? 20 : 40) &&
	    !bpf_skb_load_bytes(skb, p->l4, tcp, sizeof(tcp)) &&
	    bpf_tcp_check_syncookie(sk, ip, sizeof(ip), (struct tcphdr *)tcp, sizeof(tcp)) == 0)
		is = SOCKET_SHAKES;
	bpf_sk_release(sk);
	return is;
}

/*
 * A client that used the port before: this SYN is of another connection, if the old one is over for the kernel as well. A SYN
 * that is made up ends nothing.
 */
static ALWAYS_INLINE bool leg_begins_anew(struct __sk_buff *skb, const struct packet *p, const struct flow *f)
{
	return f->flags & FLOW_CLIENT && (p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN &&
	       socket_of(skb, p) < SOCKET_SHAKES;
}

/* Is a connection with this id known to have begun under LEG? */
static ALWAYS_INLINE bool leg_saw_begin(const struct leg *leg, __u64 id)
{
	__u32 at = (__u32)(id >> 32) % BEGUN_MAX;
	__u64 *noted;

	if (!leg_is_young(leg))
		return true;
	noted = bpf_map_lookup_elem(&begun, &at);
	return noted && *noted == id + leg->generation;
}

static ALWAYS_INLINE void leg_note_begin(const struct leg *leg, __u64 id)
{
	__u32 at = (__u32)(id >> 32) % BEGUN_MAX;
	__u64 *note;

	if (!leg_is_young(leg))
		return;
	note = bpf_map_lookup_elem(&begun, &at);
	if (note)
		*note = id + leg->generation;
}

/* What the moment says of a connection is said at its SYN, and holds for the rest of it. */
static ALWAYS_INLINE void leg_decide(__u64 id, __u32 fate)
{
	__u32 at = (__u32)(id >> 32) % DOOMED_MAX;
	struct doomed *d = bpf_map_lookup_elem(&doomed, &at);

	if (!d || (!fate && d->id != id))
		return;
	d->id = id;
	d->fate = fate;
}

static ALWAYS_INLINE __u32 leg_decided(__u64 id)
{
	__u32 at = (__u32)(id >> 32) % DOOMED_MAX;
	struct doomed *d = bpf_map_lookup_elem(&doomed, &at);

	return d && d->id == id ? d->fate : FATE_COPIED;
}

static __noinline void leg_open(struct __sk_buff *skb, struct verdict *v, const struct packet *p, const struct leg *leg,
				__u32 fate)
{
	struct flow f = {
		.id = v->flow_id,
		.flags = FLOW_CLIENT | (fate == FATE_FILTERED ? 0 : FLOW_CLONE),
		.fate = fate == FATE_FILTERED ? 0 : (__u16)fate,
		.service = leg->service,
		.target = v->slot,
		.generation = leg->generation,
		.client_port = p->key.remote_port,
		.idle_s = (__u16)leg->idle_s,
	};

	__builtin_memcpy(f.client_addr, p->key.remote, 16);
	v->flow = flow_open(skb, &p->key, &f);
	if (!v->flow && fate != FATE_FILTERED)
		fate = FATE(dropped_table_full);
	flow_born(v->slot, leg->generation, fate);
	if (fate != FATE_FILTERED)
		verdict_fate(v, fate);
}

/* A packet of no flow in the table, and of no socket that is marked. */
static ALWAYS_INLINE void classify_leg(struct __sk_buff *skb, struct packet *p, struct verdict *v)
{
	struct leg *leg = leg_find(p, skb->ifindex);
	__u32 which = p->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST);
	struct admission a = {};
	bool udp, begins, ends, aborts, is_flow;
	__u32 slot, fate;

	if (!leg)
		return;
	verdict_whose(v, p, leg->service, FLOW_CLIENT,
		      flow_id(flow_seed, p->key.remote, p->key.remote_port, p->key.local, p->key.local_port,
			      (__u8)p->key.proto));
	if (!(leg->flags & LEG_CLONE) || !leg->count)
		return;
	slot = leg->first + (__u32)v->flow_id % leg->count;
	udp = p->key.proto == IPPROTO_UDP;
	begins = !p->out && which == TCP_SYN;
	ends = !p->out && which == TCP_ACK;
	aborts = !p->out && which & TCP_RST; /* what was only begun */
	/* Of a flow that is not in the table there is nothing to complete. */
	if (p->quoted)
		return;
	if (!udp && !begins && !ends && !aborts && !(p->out && which == (TCP_SYN | TCP_ACK)))
		return;
	if (begins)
		leg_note_begin(leg, v->flow_id);
	else if (!udp && (!leg_saw_begin(leg, v->flow_id) || ((ends || aborts) && socket_of(skb, p) != SOCKET_SHAKES)))
		return;

	a.id = v->flow_id;
	__builtin_memcpy(a.client, p->key.remote, 16);
	is_flow = udp || ends;
	a.is_decided = !udp && !begins;
	a.decided = a.is_decided ? leg_decided(v->flow_id) : 0;
	fate = admit(slot, leg->generation, &a);
	if (begins && fate != FATE_FILTERED)
		leg_decide(v->flow_id, fate);
	if (fate != FATE_FILTERED)
		verdict_eligible(skb, v, p, slot, leg->generation);
	v->key = &p->key;
	if (is_flow)
		leg_open(skb, v, p, leg, fate);
	else if (fate != FATE_FILTERED)
		verdict_fate(v, fate);
}

#endif
