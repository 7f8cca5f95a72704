/*
 * wrap - puts an encapsulation around a finished copy, for a clone server that is not adjacent.
 *
 * The headers come from the warden (`struct wrap` in abi.h) as they are for
 * every frame; here go lengths, checksums, what tells flows apart, sequence
 * number, time and direction. The frame inside is as it was on production's
 * wire, with its MAC addresses. Only at the port of a cutter: what comes there
 * is one frame, not one large send.
 */
#ifndef SPANWIRE_ENGINE_BPF_WRAP_BPF_H
#define SPANWIRE_ENGINE_BPF_WRAP_BPF_H

#include "engine/bpf/maps.bpf.h"

#define WRAP_PIECE  512 /* of a frame, when it is summed up */
#define WRAP_PIECES 128
#define EINVAL   22
#define ENOTSUPP 524

enum { WRAP_V4_LEN = 20, WRAP_V6_LEN = 40 };

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, TARGETS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct wrap);
} wraps SEC(".maps");

struct sequence {
	struct bpf_spin_lock lock;
	__u32 next;
};

/* Of a series; never set back. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, TARGETS_MAX);
	__type(key, __u32);
	__type(value, struct sequence);
} sequences SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __be32[WRAP_PIECE / 4]);
} pieces SEC(".maps");

/* What of a frame's encapsulation is its own. */
struct wrapped {
	__u32 hash;     /* of the connection, in both directions */
	__u32 series;   /* of which */
	__u32 sequence; /* is the number */
	__u32 stamp;    /* 100 ns */
	__u16 len;      /* of the outer IP packet */
	bool out;       /* the engine sent it */
	bool numbered;  /* `sequence` was taken for it */
};

static ALWAYS_INLINE void wrap_put16(__u8 *at, __u16 v)
{
	at[0] = v >> 8;
	at[1] = (__u8)v;
}

static ALWAYS_INLINE void wrap_put32(__u8 *at, __u32 v)
{
	wrap_put16(at, v >> 16);
	wrap_put16(at + 2, (__u16)v);
}

static ALWAYS_INLINE __u16 wrap_fold(__u64 sum)
{
	for (int i = 0; i < 4; i++)
		sum = (sum & 0xffff) + (sum >> 16);
	return (__u16)sum;
}

/* What follows the outer IP header, which is L4 bytes long. */
static ALWAYS_INLINE void wrap_fill_l4(__u8 *h, __u32 l4, const struct wrap *w, const struct wrapped *f)
{
	if (w->flags & WRAP_UDP) {
		wrap_put16(h + l4, 0xc000 | (f->hash & 0x3fff));
		wrap_put16(h + l4 + 4, f->len - l4);
	}
	if (w->flags & WRAP_SEQUENCE)
		wrap_put32(h + l4 + 4, f->sequence);
	/* Its "index" is each maker's own: here which way the frame went. */
	if (w->flags & WRAP_ERSPAN_II)
		h[l4 + 15] = f->out;
	if (w->flags & WRAP_ERSPAN_III) {
		wrap_put32(h + l4 + 12, f->stamp);
		h[l4 + 19] |= f->out ? 1 << 3 : 0;
	}
}

static ALWAYS_INLINE void wrap_fill(__u8 *h, const struct wrap *w, const struct wrapped *f)
{
	if (w->flags & WRAP_V6) {
		wrap_put32(h, 6u << 28 | (f->hash & 0xfffff));
		wrap_put16(h + 4, f->len - WRAP_V6_LEN);
		wrap_fill_l4(h, WRAP_V6_LEN, w, f);
	} else {
		wrap_put16(h + 2, f->len);
		wrap_put16(h + 10, ~wrap_fold((__u64)w->sum + f->len));
		wrap_fill_l4(h, WRAP_V4_LEN, w, f);
	}
}

/*
 * UDP over IPv6: a checksum of zero would be legal for these tunnels (RFC 6935), but receivers have to be told to accept
 * it. So it is computed, over everything: what is inside may be a fragment, whose own checksum is that of another whole.
 */
GLOBAL int wrap_sum_udp6(struct __sk_buff *skb, __u32 len)
{
	__u32 at = ETH_HLEN + 8, end = ETH_HLEN + len, zero = 0; /* from the addresses on */
	__u64 sum = bpf_htons(IPPROTO_UDP) + bpf_htons(len - WRAP_V6_LEN);
	__be32 *piece = bpf_map_lookup_elem(&pieces, &zero);
	__u16 folded;

	if (!piece)
		return -1;
	for (int i = 0; i < WRAP_PIECES && at < end; i++, at += WRAP_PIECE) {
		__u32 n = end - at;

		if (n >= WRAP_PIECE) {
			if (bpf_skb_load_bytes(skb, at, piece, WRAP_PIECE))
				return -1;
		} else {
			__builtin_memset(piece, 0, WRAP_PIECE);
			if (packet_load(skb, at, piece, n, WRAP_PIECE))
				return -1;
		}
		sum += (__u32)bpf_csum_diff(NULL, 0, piece, WRAP_PIECE, 0);
	}
	folded = ~wrap_fold(sum);
	if (!folded)
		folded = 0xffff;
	return bpf_skb_store_bytes(skb, ETH_HLEN + WRAP_V6_LEN + 6, &folded, 2, 0);
}

static ALWAYS_INLINE __u32 wrap_number(__u32 series)
{
	struct sequence *s = bpf_map_lookup_elem(&sequences, &series);
	__u32 n = 0;

	if (s) {
		bpf_spin_lock(&s->lock);
		n = s->next++;
		bpf_spin_unlock(&s->lock);
	}
	return n;
}

/* The frame with this number did not leave: the next one takes it, unless there is a next one already. */
static ALWAYS_INLINE void wrap_number_back(const struct wrapped *f)
{
	__u32 series = f->series;
	struct sequence *s = bpf_map_lookup_elem(&sequences, &series);

	if (s) {
		bpf_spin_lock(&s->lock);
		if (s->next == f->sequence + 1)
			s->next = f->sequence;
		bpf_spin_unlock(&s->lock);
	}
}

/* 0, or -errno: -ENOTSUPP when the frame is longer than the kernel's buffers. */
GLOBAL int wrap(struct __sk_buff *skb, const struct wrap *w, const struct target *t,
			       const struct wrapped *f)
{
	__u64 len;
	__u8 h[64] = {}, ether[ETH_HLEN], inner[ETH_HLEN];
	long rc;

	if (!w || !t || !f)
		return -EINVAL;
	len = w->len - 1;
	if (len >= WRAP_LEN_MAX)
		return -EINVAL;
	barrier_var(len);
	len = (len & (sizeof(h) - 1)) + 1; /* the verifier of Linux 6.1 does not see otherwise that it is not zero */
	if (bpf_skb_load_bytes(skb, 0, inner, ETH_HLEN))
		return -EINVAL;
	if (w->flags & WRAP_MARKED)
		__builtin_memcpy(inner + 6, w->marker, 6);
	__builtin_memcpy(h, w->head, WRAP_LEN_MAX);
	wrap_fill(h, w, f);
	__builtin_memcpy(ether, t->dst_mac, 6);
	__builtin_memcpy(ether + 6, t->src_mac, 6);
	wrap_put16(ether + 12, w->flags & WRAP_V6 ? ETH_P_IPV6 : ETH_P_IP);

	rc = bpf_skb_adjust_room(skb, len + ETH_HLEN, BPF_ADJ_ROOM_MAC, w->room);
	if (rc)
		return rc;
	rc = bpf_skb_store_bytes(skb, 0, ether, ETH_HLEN, 0);
	rc |= bpf_skb_store_bytes(skb, ETH_HLEN, h, len, 0);
	rc |= bpf_skb_store_bytes(skb, ETH_HLEN + len, inner, ETH_HLEN, 0);
	/*
	 * By the same queue go both directions of a connection, and everything that is numbered, so that they keep their
	 * order. What was chosen for the frame within is not that.
	 */
	skb->queue_mapping = 0;
	bpf_set_hash(skb, f->numbered ? 1 : f->hash); /* 0 were none */
	if (!rc && (w->flags & WRAP_V6) && (w->flags & WRAP_UDP))
		rc = wrap_sum_udp6(skb, f->len);
	return rc;
}

#endif
