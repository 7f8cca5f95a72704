/*
 * steer - a range of ports has one listening socket per worker, not one per port and worker.
 *
 * The kernel asks here before it looks for a listener: is the address and port
 * in one of our ranges? Then the range's socket it is, and the kernel spreads
 * connections over its group (SO_REUSEPORT) as if they came to its own port.
 * Ranges are cut into prefixes of port numbers: at most thirty each.
 */
#ifndef SPANWIRE_ENGINE_BPF_STEER_BPF_H
#define SPANWIRE_ENGINE_BPF_STEER_BPF_H

#include "engine/bpf/maps.bpf.h"

#define AF_INET 2

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, RANGES_MAX * 30);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct range_key);
	__type(value, __u32);
} ranges SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, RANGES_MAX);
	__type(key, __u32);
	__type(value, __u64);
} range_sockets SEC(".maps");

static ALWAYS_INLINE int steer(struct bpf_sk_lookup *ctx)
{
	struct range_key key = { .prefixlen = RANGE_KEY_BITS, .proto = (__u8)ctx->protocol };
	struct bpf_sock *sk;
	__u32 *at;

	if (ctx->family == AF_INET) {
		addr_from_v4(key.addr, ctx->local_ip4);
	} else {
		__u32 *words = (__u32 *)key.addr;

		words[0] = ctx->local_ip6[0];
		words[1] = ctx->local_ip6[1];
		words[2] = ctx->local_ip6[2];
		words[3] = ctx->local_ip6[3];
	}
	key.port = bpf_htons((__u16)ctx->local_port);
	at = range_find(&ranges, &key, ctx->ingress_ifindex);
	if (!at)
		return SK_PASS;
	sk = bpf_map_lookup_elem(&range_sockets, at);
	if (!sk)
		return SK_PASS;
	bpf_sk_assign(ctx, sk, 0);
	bpf_sk_release(sk);
	return SK_PASS;
}

#endif
