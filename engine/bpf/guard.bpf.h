/*
 * guard - who is denied by a network security policy hears nothing: his SYN, or datagram, ends here.
 *
 * Only what the policy decides by the client's address alone is here; the rest
 * is the proxy's, which asks the whole policy once more. So a network that is
 * missing here lets nobody in, it only makes the refusal audible.
 */
#ifndef SPANWIRE_ENGINE_BPF_GUARD_BPF_H
#define SPANWIRE_ENGINE_BPF_GUARD_BPF_H

#include "engine/bpf/maps.bpf.h"

/* Ports that are guarded, and by which number. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, RANGES_MAX * 30);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct range_key);
	__type(value, __u32);
} guarded SEC(".maps");

/* Clients that are denied; the value is a place in guard_hits. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, DENIALS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct denial_key);
	__type(value, __u32);
} denied SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, GUARD_HITS_MAX);
	__type(key, __u32);
	__type(value, __u64);
} guard_hits SEC(".maps");

GLOBAL int guard_refuses(const struct packet *p, __u32 ifindex)
{
	struct range_key to = { .prefixlen = RANGE_KEY_BITS };
	struct denial_key from = { .prefixlen = DENIAL_KEY_BITS };
	__u32 *guard, *at;
	__u64 *hits;

	if (!p || !p->l4 || (p->key.proto == IPPROTO_TCP && (p->tcp_flags & (TCP_SYN | TCP_ACK)) != TCP_SYN))
		return false;
	to.proto = (__u8)p->key.proto;
	to.port = p->key.local_port;
	__builtin_memcpy(to.addr, p->key.local, 16);
	guard = range_find(&guarded, &to, ifindex);
	if (!guard)
		return false;
	from.guard = *guard;
	__builtin_memcpy(from.addr, p->key.remote, 16);
	at = bpf_map_lookup_elem(&denied, &from);
	if (!at)
		return false;
	hits = bpf_map_lookup_elem(&guard_hits, at);
	if (hits)
		*hits += 1;
	return true;
}

#endif
