/* maps - shared by the stages; keys and values are explained in abi.h. */
#ifndef SPANWIRE_ENGINE_BPF_MAPS_BPF_H
#define SPANWIRE_ENGINE_BPF_MAPS_BPF_H

#include "engine/bpf/packet.bpf.h"


struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, VIPS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct vip_key);
	__type(value, struct vip_lease);
} vips SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct sock_mark);
} marks SEC(".maps");

/* By place; the proxy has it mapped. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, BADGES_MAX);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct badge);
} badges SEC(".maps");

/* A plain hash: an LRU would evict living flows. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, FLOWS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct flow_key);
	__type(value, struct flow);
} flows SEC(".maps");

/* By address and port; the key is that of a range that is one port. Ranges have a map of their own. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, LEGS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct range_key);
	__type(value, struct leg);
} legs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, RANGES_MAX * 30);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct range_key);
	__type(value, struct leg);
} leg_ranges SEC(".maps");

/* Ids of clients' handshakes under a new leg; one that is overwritten is not copied. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, BEGUN_MAX);
	__type(key, __u32);
	__type(value, __u64);
} begun SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, TARGETS_MAX);
	__type(key, __u32);
	__type(value, struct target_slot);
} targets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, TARGETS_MAX);
	__type(key, __u32);
	__type(value, struct target_counters);
} books SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, GATE_COUNTERS);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct copy_result);
} results SEC(".maps");

/* Interfaces of a routing domain other than the main one: ifindex -> its number. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, DOMAINS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, __u32);
} domains SEC(".maps");

/* Has `domains` any? Most engines have one domain, and pay for no look-up. Likewise `legs` and `leg_ranges`. */
__u32 any_domain, any_leg, any_leg_range;
__u64 flow_seed;
/* The deadline of all leases: no VIP's own reaches further. One word that is written, however many VIPs there are. */
__u64 lease_ns;

static ALWAYS_INLINE __u32 domain_of(__u32 ifindex)
{
	__u32 *vrf = any_domain ? bpf_map_lookup_elem(&domains, &ifindex) : NULL;

	return vrf ? *vrf : VRF_MAIN;
}

/* What MAP says of KEY where it comes in by IFINDEX: what is bound to the interface goes before what is bound to none. */
static ALWAYS_INLINE void *range_find(void *map, struct range_key *key, __u32 ifindex)
{
	void *found = NULL;

	if (any_domain) {
		key->ifindex = ifindex;
		found = bpf_map_lookup_elem(map, key);
		key->ifindex = 0;
	}
	return found ? found : bpf_map_lookup_elem(map, key);
}

/* For a question or two; NULL: there is no such slot. */
static ALWAYS_INLINE struct target *target_find(__u32 slot)
{
	struct target_slot *s = bpf_map_lookup_elem(&targets, &slot);

	return s ? &s->half[s->turn & 1] : NULL;
}

/*
 * For a copy: what becomes of it, with its target as it is now. Read again if it changed meanwhile, for a half is written
 * anew the next time but one. NULL: there is none.
 */
static ALWAYS_INLINE struct copy_result *copy_begin(__u32 slot)
{
	struct target_slot *s = bpf_map_lookup_elem(&targets, &slot);
	__u32 zero = 0;
	struct copy_result *c = bpf_map_lookup_elem(&results, &zero);

	for (int i = 0; s && c && i < 8; i++) {
		__u64 turn = *(volatile __u64 *)&s->turn;

		c->target = s->half[turn & 1];
		barrier();
		if (*(volatile __u64 *)&s->turn == turn)
			return c;
	}
	return NULL;
}

static ALWAYS_INLINE void count(__u32 which, __u64 n)
{
	__u64 *c = bpf_map_lookup_elem(&counters, &which);

	if (c)
		*c += n;
}

/* Its key on the stack: memory that a function was given is no key to the verifier of Linux 6.1. */
static ALWAYS_INLINE struct flow *flow_find(const struct packet *p)
{
	struct flow_key key = p->key;

	return bpf_map_lookup_elem(&flows, &key);
}

#endif
