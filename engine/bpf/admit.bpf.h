/*
 * admit - which flows are copied, decided at their birth: whole ones, or nothing of them.
 *
 * A flow is none of the copies' (its client is not wanted), or eligible. Of an
 * eligible one that is not admitted each frame is counted by the reason: it is
 * not in the sample, nothing can be sent to its clone server now, the plan's
 * limit is reached, or the clone server's queue overflows. In the last two
 * cases those that are copied already stay whole: what sheds is who comes.
 */
#ifndef SPANWIRE_ENGINE_BPF_ADMIT_BPF_H
#define SPANWIRE_ENGINE_BPF_ADMIT_BPF_H

#include "engine/bpf/maps.bpf.h"

/* The networks of clients that a plan wants. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, TARGETS_MAX * PLAN_CLIENTS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct plan_client);
	__type(value, __u32);
} plan_clients SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, TARGETS_MAX);
	__type(key, __u32);
	__type(value, struct copy_plan);
} plans SEC(".maps");

/* Targets whose queue overflowed. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, TARGETS_MAX);
	__type(key, __u32);
	__type(value, struct strain);
} strains SEC(".maps");

/* Ids of clients' handshakes that are not admitted, until their flow is in the table; one that is overwritten is torn. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, DOOMED_MAX);
	__type(key, __u32);
	__type(value, struct doomed);
} doomed SEC(".maps");

/* Which counter of a target: what becomes of a frame or, at its birth, of all frames of a flow. */
#define FATE(name) (__builtin_offsetof(struct target_counters, name) / sizeof(__u64))
#define FATE_COPIED 0

GLOBAL int drop(struct target_counters *book, __u32 fate, __u32 frames)
{
	__u64 at = fate;

	if (!book)
		return 0;
	asm volatile("" : "+r"(at)); /* or the compiler proves the bound where the verifier does not see it */
	if (at < sizeof(*book) / sizeof(__u64))
		((__u64 *)book)[at] += frames;
	return 0;
}

/* 0: something can be sent there. */
static ALWAYS_INLINE __u32 target_obstacle(const struct target *t)
{
	if (t->flags & TARGET_ENDED)
		return FATE(dropped_ended);
	if (!t->via)
		return FATE(dropped_no_interface);
	if (t->flags & TARGET_DOWN)
		return FATE(dropped_link_down);
	return t->flags & TARGET_READY ? 0 : FATE(dropped_no_neighbour);
}

GLOBAL __u32 target_fate(const struct target *t)
{
	return t ? target_obstacle(t) : FATE(dropped_other);
}

/* ---- limits ---- */

/* What flows cost is subtracted as it is spent; what may be spent grows with time, and is looked at when one is born. */
GLOBAL int plan_charge(__u32 number, __u64 bytes, __u32 frames)
{
	struct copy_plan *p = bpf_map_lookup_elem(&plans, &number);

	if (!p)
		return 0;
	__sync_fetch_and_add(&p->spent_bytes, bytes);
	__sync_fetch_and_add(&p->spent_frames, frames);
	return 0;
}

/*
 * May more be spent? *ALLOWED, in 64ths, after ELAPSED_NS more of RATE a second. A quarter of a second can be saved, or
 * owed. Both sums may pass their end: it is their difference that counts.
 */
static ALWAYS_INLINE bool allow(__u64 *allowed, __u64 spent, __u64 rate, __u64 elapsed_ns)
{
	__s64 room = (__s64)(rate << 4), left;

	if (!rate)
		return true;
	if (elapsed_ns > 250000000)
		elapsed_ns = 250000000;
	*allowed += (rate << 6) * (elapsed_ns >> 10) / (1000000000 >> 10);
	left = (__s64)(*allowed - (spent << 6));
	if (left > room) {
		*allowed -= (__u64)(left - room);
	} else if (left < -room) {
		*allowed += (__u64)(-room - left);
	}
	return left > 0;
}

static ALWAYS_INLINE bool plan_has_room(struct copy_plan *p)
{
	__u64 now = bpf_ktime_get_ns(), elapsed;
	bool bytes, frames;

	bpf_spin_lock(&p->lock);
	elapsed = now > p->filled_ns ? now - p->filled_ns : 0;
	if (elapsed < PLAN_GRAIN_NS)
		elapsed = 0;
	else
		p->filled_ns = now;
	bytes = allow(&p->allowed_bytes, p->spent_bytes, p->bytes_per_s, elapsed);
	frames = allow(&p->allowed_frames, p->spent_frames, p->frames_per_s, elapsed);
	bpf_spin_unlock(&p->lock);
	return bytes && frames;
}

/* A queue overflowed. Each time that it does so again soon after a pause, the next one is twice as long. */
GLOBAL int strain_note(__u32 slot)
{
	struct strain *s = bpf_map_lookup_elem(&strains, &slot);
	__u64 now = bpf_ktime_get_ns();

	if (!s || now < s->until_ns)
		return 0;
	if (now - s->until_ns > STRAIN_FORGET_NS || !s->pause_ns)
		s->pause_ns = STRAIN_PAUSE_NS;
	else if (s->pause_ns < STRAIN_PAUSE_MAX_NS)
		s->pause_ns *= 2;
	s->until_ns = now + s->pause_ns;
	return 0;
}

static ALWAYS_INLINE bool is_strained(__u32 slot)
{
	struct strain *s = bpf_map_lookup_elem(&strains, &slot);

	return s && bpf_ktime_get_ns() < s->until_ns;
}

/* ---- the decision ---- */

/* What does not change while the plan is what it is: both legs of a client's request come to the same. */
static ALWAYS_INLINE __u32 plan_fate(const struct copy_plan *p, __u32 number, const __u8 *client, __u64 id)
{
	struct plan_client key = { .prefixlen = PLAN_CLIENT_BITS, .plan = number };

	__builtin_memcpy(key.addr, client, 16);
	if (p->clients && !bpf_map_lookup_elem(&plan_clients, &key))
		return FATE_FILTERED;
	return p->sample && ((__u32)id >> 16) >= p->sample ? FATE(dropped_sampled_out) : FATE_COPIED;
}

/* And what does. */
static ALWAYS_INLINE __u32 moment_fate(const struct target *t, __u32 slot, struct copy_plan *p)
{
	__u32 fate = target_obstacle(t);

	if (fate)
		return fate;
	return is_strained(slot) || (p && t->flags & TARGET_LIMITED && !plan_has_room(p)) ? FATE(dropped_shed) : 0;
}

static ALWAYS_INLINE void flow_count(struct target_counters *book, __u32 fate)
{
	if (fate == FATE_FILTERED) {
		book->flows_filtered++;
		return;
	}
	book->flows_eligible++;
	if (fate == FATE_COPIED)
		book->flows_copied++;
	else if (fate == FATE(dropped_sampled_out))
		book->flows_sampled_out++;
	else if (fate == FATE(dropped_shed))
		book->flows_shed++;
	else
		book->flows_refused++;
}

/* Who asks, and what of it is known. */
struct admission {
	__u64 id;
	__u8 client[16];
	__u32 is_decided; /* at its first packet: `decided` is what the moment said */
	__u32 decided;
};

/* A flow begins whose copies would go to SLOT. FATE_COPIED, or what is to become of all its frames. */
GLOBAL __u32 admit(__u32 slot, __u32 generation, const struct admission *a)
{
	struct target *t = target_find(slot);
	struct target_counters *book = bpf_map_lookup_elem(&books, &slot);
	__u32 number, fate = FATE_COPIED;
	struct copy_plan *p = NULL;

	if (!a || !t || !book || t->generation != generation)
		return FATE_COPIED;
	number = t->plan;
	if (number)
		p = bpf_map_lookup_elem(&plans, &number);
	if (p)
		fate = plan_fate(p, number, a->client, a->id);
	if (fate == FATE_COPIED)
		fate = a->is_decided ? a->decided : moment_fate(t, slot, p);
	return fate;
}

/* That was it: the flow is there, or found no room (FATE(dropped_table_full)). Told once for each. */
GLOBAL int flow_born(__u32 slot, __u32 generation, __u32 fate)
{
	struct target *t = target_find(slot);
	struct target_counters *book = bpf_map_lookup_elem(&books, &slot);

	if (t && book && t->generation == generation)
		flow_count(book, fate);
	return 0;
}

#endif
