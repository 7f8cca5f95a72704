/*
 * The entry programs: one per direction of a data interface, with the stages
 * gate, classification, clone, tap; one at the port of a cutter, one for plaintext.
 * The stages are headers, because XDP will want the same.
 */
#include "engine/bpf/clone.bpf.h"
#include "engine/bpf/deaf.bpf.h"
#include "engine/bpf/gate.bpf.h"
#include "engine/bpf/guard.bpf.h"
#include "engine/bpf/plain.bpf.h"
#include "engine/bpf/steer.bpf.h"
#include "engine/bpf/recorder.bpf.h"
#include "engine/bpf/tap.bpf.h"
#include "engine/bpf/trial.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("tc")
int data_egress(struct __sk_buff *skb)
{
	struct verdict v = {};
	__u32 mark = skb->mark;
	struct packet p;

	if (copy_is(mark))
		return mark & COPY_DONE ? TC_ACT_UNSPEC : copy_leaves(skb, mark);
	packet_parse(skb, &p, true);
	p.key.vrf = domain_of(skb->ifindex);
	if (gate_refuses_out(skb, &p))
		return tap_dropped(skb, &p, &v, TAP_GATE);
	classify_out(skb, &p, &v);
	clone(skb, &v);
	record(skb, &p, &v);
	tap(skb, &p, &v);
	return TC_ACT_UNSPEC;
}

SEC("tc")
int data_ingress(struct __sk_buff *skb)
{
	struct verdict v = {};
	struct packet p;

	packet_parse(skb, &p, false);
	p.key.vrf = domain_of(skb->ifindex);
	if (deaf_to(skb, &p))
		return TC_ACT_SHOT;
	if (gate_refuses_in(&p))
		return tap_dropped(skb, &p, &v, TAP_GATE);
	if (guard_refuses(&p, skb->ifindex))
		return tap_dropped(skb, &p, &v, TAP_GUARD);
	classify_in(skb, &p, &v);
	if (v.foreign)
		return TC_ACT_SHOT;
	clone(skb, &v);
	record(skb, &p, &v);
	tap(skb, &p, &v);
	return TC_ACT_UNSPEC;
}

SEC("tc")
int cut_egress(struct __sk_buff *skb)
{
	return copy_is_cut(skb);
}

SEC("tc")
int trial(struct __sk_buff *skb)
{
	try_copy(skb);
	return TC_ACT_SHOT;
}

SEC("tc")
int plain_ingress(struct __sk_buff *skb)
{
	plain(skb);
	return TC_ACT_SHOT;
}

SEC("sk_lookup")
int range_lookup(struct bpf_sk_lookup *ctx)
{
	return steer(ctx);
}
