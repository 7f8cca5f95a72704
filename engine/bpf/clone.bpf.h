/*
 * clone - stage 3: the copy leaves. And the rewriter, which finishes it.
 *
 * bpf_clone_redirect() calls the egress path of the device it is given before
 * it returns. A device of the copies' own has the rewriter there: the device's
 * answer comes back here, and only what the rewriter has seen *and* the device
 * took is sent. Behind a cutter the kernel has made finished frames of it, which
 * are rewritten, sent and counted one by one, within the same call: nothing
 * waits in a queue that could lose a part of a flow unseen.
 *
 * The production packet is never changed: its mark is put back, and its data
 * are not the copy's.
 */
#ifndef SPANWIRE_ENGINE_BPF_CLONE_BPF_H
#define SPANWIRE_ENGINE_BPF_CLONE_BPF_H

#include "engine/bpf/classify.bpf.h"
#include "engine/bpf/hurt.bpf.h"
#include "engine/bpf/wrap.bpf.h"

#define NET_XMIT_DROP 1 /* the queue refused it */
#define NET_XMIT_CN   2 /* likewise; also what a device that is down says */
#define ENOMEM        12
#define ENODEV        19
#define ENETDOWN      100

static ALWAYS_INLINE bool copy_is(__u32 mark)
{
	return (mark & COPY_MARK_MASK) == COPY_MARK;
}

/* What the device's answer RC, which is not 0, means. */
static ALWAYS_INLINE __u32 copy_fate(long rc)
{
	switch (rc) {
	case NET_XMIT_DROP:
	case NET_XMIT_CN:
		return FATE(dropped_queue_full);
	case -ENETDOWN:
		return FATE(dropped_link_down);
	case -EINVAL:
	case -ENODEV:
		return FATE(dropped_no_interface);
	case -ENOMEM:
		return FATE(dropped_memory);
	default:
		return FATE(dropped_other);
	}
}

/* FRAMES of a flow that was admitted are lost, and counted already. */
static ALWAYS_INLINE void copy_lost(const struct verdict *v, __u32 fate, __u32 frames)
{
	if (fate == FATE(dropped_queue_full))
		strain_note(v->slot);
	if (fate != FATE(dropped_ended) && v->flow)
		hurt(v->flow, v->book, v->key, fate, frames);
}

/* Segments of a large send are as long as its gso_size says; the kernel knows how long. */
static ALWAYS_INLINE bool copy_too_big(struct __sk_buff *skb, const struct target *t)
{
	__u32 mtu = 0;

	return skb->len > t->mtu + ETH_HLEN && bpf_check_mtu(skb, t->out, &mtu, 0, BPF_MTU_CHK_SEGS) > 0;
}

static ALWAYS_INLINE void clone(struct __sk_buff *skb, struct verdict *v)
{
	struct copy_result *result = v->copy;
	struct target_counters *book = v->book;
	__u32 old, mark, fate, lost;
	struct target *t;
	long rc;

	if (!result || !book)
		return;
	t = &result->target;
	fate = target_fate(t);
	/* How long an encapsulated one will be is known when it is cut. */
	if (!fate && !(t->flags & TARGET_WRAP) && copy_too_big(skb, t))
		fate = FATE(dropped_too_big);
	if (fate) {
		drop(book, fate, v->frames);
		copy_lost(v, fate, v->frames);
		return;
	}
	if (t->flags & TARGET_LIMITED)
		plan_charge(t->plan, v->bytes, v->frames);

	mark = COPY_MARK | (v->slot & COPY_TARGET);
	if (v->client) {
		mark |= COPY_CLIENT;
		__builtin_memcpy(result->client, v->client, 16);
	}
	if (v->out)
		mark |= COPY_OUT;
	if (v->dressed)
		mark |= COPY_DRESSED;
	result->hash = v->hash;
	result->frames = 0;
	result->gave_up = 0;
	result->lost = 0;
	result->fate = 0;
	old = skb->mark;
	skb->mark = mark;
	rc = bpf_clone_redirect(skb, t->via, 0);
	skb->mark = old;

	/* Behind a cutter the frames themselves are counted there; what is missing the kernel could not cut. */
	if (result->gave_up)
		fate = FATE(dropped_memory);
	else if (t->flags & TARGET_CUT)
		fate = rc < 0 ? copy_fate(rc) : FATE(dropped_memory);
	else if (rc)
		fate = copy_fate(rc);
	if (!fate) {
		book->sent += result->frames;
		book->sent_bytes += v->bytes;
		return;
	}
	lost = v->frames;
	if (t->flags & TARGET_CUT)
		lost = result->frames < v->frames ? v->frames - result->frames : 0;
	if (lost)
		drop(book, fate, lost);
	lost += result->lost;
	if (lost)
		copy_lost(v, result->fate ? result->fate : fate, lost);
}

/* ---- the rewriter ---- */

static ALWAYS_INLINE long rewrite_v4(struct __sk_buff *skb, __u32 l3, __u32 at, const __u8 *client, __u32 csum, __u64 udp)
{
	__be32 from, to = ((const __be32 *)client)[3];
	long rc = bpf_skb_load_bytes(skb, at, &from, 4);

	if (csum)
		rc |= bpf_l4_csum_replace(skb, csum, from, to, BPF_F_PSEUDO_HDR | udp | 4);
	rc |= bpf_l3_csum_replace(skb, l3 + 10, from, to, 4);
	rc |= bpf_skb_store_bytes(skb, at, &to, 4, 0);
	return rc;
}

static __noinline long rewrite_v6(struct __sk_buff *skb, __u32 at, const __u8 *client, __u32 csum, __u64 flags)
{
	__be32 from[4], to[4];
	long rc = bpf_skb_load_bytes(skb, at, from, 16);

	__builtin_memcpy(to, client, 16);
	if (csum)
		rc |= bpf_l4_csum_replace(skb, csum, 0, bpf_csum_diff(from, 16, to, 16, 0), flags);
	rc |= bpf_skb_store_bytes(skb, at, to, 16, 0);
	return rc;
}

/* In the packet that an ICMP error quotes the client stands on the other side. Its own checksum stays as the quote has it. */
static ALWAYS_INLINE long rewrite_quote(struct __sk_buff *skb, const struct packet *p, bool v4, const __u8 *client)
{
	__u32 at = p->rest + 8;

	/* An IPv4 header sums up to the same whatever is in it, so the error's checksum does not change. */
	if (v4)
		return rewrite_v4(skb, at, at + (p->out ? 16 : 12), client, 0, 0);
	return rewrite_v6(skb, at + (p->out ? 24 : 8), client, p->rest + 2, 0);
}

/*
 * The client's address instead of the engine's: the source of what went out, the destination of what came in. Of a
 * datagram in fragments the first has the checksum.
 */
static __noinline long rewrite_client(struct __sk_buff *skb, bool out, const __u8 *client)
{
	bool v4 = skb->protocol == bpf_htons(ETH_P_IP);
	__u32 csum = 0;
	struct packet p;
	__u64 udp = 0;
	long rc = 0;

	if (!client)
		return -1;
	packet_parse(skb, &p, out);
	if (p.l4) {
		udp = p.key.proto == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0;
		csum = p.l4 + (udp ? 6 : 16);
	} else if (p.part != PART_LATER) {
		rc = rewrite_quote(skb, &p, v4, client);
		csum = v4 ? 0 : p.rest + 2;
	}
	if (rc)
		return rc;
	if (v4)
		return rewrite_v4(skb, p.l3, p.l3 + (out ? 12 : 16), client, csum, udp);
	return rewrite_v6(skb, p.l3 + (out ? 8 : 24), client, csum, BPF_F_PSEUDO_HDR | udp);
}

/* These: 0, or not 0 when the copy must not leave. */
static ALWAYS_INLINE long rewrite_vlan(struct __sk_buff *skb)
{
	/* A priority without a VLAN is production's. */
	return skb->vlan_present ? bpf_skb_vlan_pop(skb) : 0;
}

static ALWAYS_INLINE long rewrite_macs(struct __sk_buff *skb, __u32 mark, const struct target *t)
{
	__u8 macs[12];

	if (mark & COPY_DRESSED)
		return 0;
	__builtin_memcpy(macs, t->dst_mac, 6);
	__builtin_memcpy(macs + 6, t->src_mac, 6);
	return bpf_skb_store_bytes(skb, 0, macs, 12, 0);
}

static ALWAYS_INLINE long rewrite_addresses(struct __sk_buff *skb, __u32 mark, const __u8 *client)
{
	return mark & COPY_CLIENT ? rewrite_client(skb, mark & COPY_OUT, client) : 0;
}

/* On the egress of a device of the copies' own, within clone(). */
static ALWAYS_INLINE int copy_leaves(struct __sk_buff *skb, __u32 mark)
{
	__u32 zero = 0, header_len = 0;
	struct copy_result *result = bpf_map_lookup_elem(&results, &zero);
	struct packet p;

	if (!result)
		return TC_ACT_SHOT;
	if (rewrite_vlan(skb) || rewrite_macs(skb, mark, &result->target) || rewrite_addresses(skb, mark, result->client)) {
		result->gave_up = 1;
		return TC_ACT_SHOT;
	}
	if (!skb->gso_segs && skb->gso_size) {
		packet_parse(skb, &p, true);
		header_len = p.header_len;
	}
	result->frames += packet_frames(skb, header_len);
	/* A VLAN's frames pass the interface below as well. */
	skb->mark = mark | COPY_DONE;
	return TC_ACT_UNSPEC;
}

static ALWAYS_INLINE void cut_lost(struct target_counters *book, struct copy_result *result, __u32 fate)
{
	drop(book, fate, 1);
	result->lost++;
	if (!result->fate)
		result->fate = fate;
}

/* Encapsulates; not 0: it is not to leave, and this is its fate. */
static ALWAYS_INLINE __u32 cut_wrap(struct __sk_buff *skb, const struct target *t, __u32 mark, __u32 hash,
				    struct wrapped *f)
{
	__u32 slot = mark & COPY_TARGET, len;
	struct wrap *w = bpf_map_lookup_elem(&wraps, &slot);
	long rc;

	if (!w)
		return FATE(dropped_other);
	len = skb->len + w->len;
	if (len > t->mtu || len > 0xffff)
		return FATE(dropped_too_big);
	f->hash = hash;
	f->stamp = bpf_ktime_get_tai_ns() / 100;
	f->len = len;
	f->out = mark & COPY_OUT;
	f->numbered = w->flags & WRAP_SEQUENCE;
	f->series = w->series;
	f->sequence = f->numbered ? wrap_number(f->series) : 0;
	rc = wrap(skb, w, t, f);
	if (!rc)
		return 0;
	if (f->numbered)
		wrap_number_back(f);
	return rc == -ENOTSUPP ? FATE(dropped_too_big) : FATE(dropped_memory);
}

/* At the port of a cutter, within clone(): one frame, finished. Nothing else passes here. */
static ALWAYS_INLINE int copy_is_cut(struct __sk_buff *skb)
{
	__u32 zero = 0, mark = skb->mark, slot = mark & COPY_TARGET;
	struct copy_result *result = bpf_map_lookup_elem(&results, &zero);
	struct target_counters *book;
	struct wrapped f = {};
	__u32 fate;
	struct target *t;
	bool wraps_it;
	long rc;

	if (!copy_is(mark) || mark & COPY_DONE)
		return TC_ACT_SHOT;
	book = bpf_map_lookup_elem(&books, &slot);
	if (!book || !result)
		return TC_ACT_SHOT;
	t = &result->target;
	result->frames++;
	wraps_it = t->flags & TARGET_WRAP;
	if (rewrite_vlan(skb) || (!wraps_it && rewrite_macs(skb, mark, t)) || rewrite_addresses(skb, mark, result->client)) {
		cut_lost(book, result, FATE(dropped_memory));
		return TC_ACT_SHOT;
	}
	fate = wraps_it ? cut_wrap(skb, t, mark, result->hash, &f) : 0;
	if (fate) {
		cut_lost(book, result, fate);
		return TC_ACT_SHOT;
	}
	skb->mark = mark | COPY_DONE;
	rc = bpf_clone_redirect(skb, t->out, 0);
	if (rc) {
		cut_lost(book, result, copy_fate(rc));
		if (f.numbered)
			wrap_number_back(&f);
	} else {
		book->sent++;
		book->sent_bytes += skb->len;
	}
	return TC_ACT_SHOT;
}

#endif
