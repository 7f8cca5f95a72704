/*
 * Classification: which packets belong to which flow, whatever they look like, whom they serve, and when a flow is over.
 */
#include "engine/bpf/frames_test.h"

#include <sys/mman.h>
#include <unistd.h>

#include "engine/clone/badges.h"

static void eligible_frames_are_counted_with_their_outcome(void **state)
{
	(void)state;
	struct frame f = transport(IPPROTO_TCP, "10.0.0.9", 80, "10.0.0.1", 1234, 0x18, 1000);
	struct flow_key k = key_of(IPPROTO_TCP, "10.0.0.1", 1234, "10.0.0.9", 80);
	struct __sk_buff ctx = { .ifindex = LO, .mark = 0xabcd };
	const struct {
		uint32_t flags, generation, via, gso_segs;
		size_t reason;
		uint64_t frames;
	} cases[] = {
#define REASON(name) offsetof(struct target_counters, dropped_##name)
		{ TARGET_READY, 3, 0x7ffffff0, 0, REASON(no_interface), 1 },
		{ TARGET_READY, 3, 0, 0, REASON(no_interface), 1 },
		{ 0, 3, 0x7ffffff0, 0, REASON(no_neighbour), 1 },
		{ TARGET_READY | TARGET_DOWN, 3, 0x7ffffff0, 5, REASON(link_down), 5 },
		{ TARGET_READY, 4, 0x7ffffff0, 0, 0, 0 }, /* the slot is another's now */
#undef REASON
	};

	put_flow(k, FLOW_CLONE, "203.0.113.7");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct target t = target;
		t.flags = cases[i].flags;
		t.generation = cases[i].generation;
		t.via = t.out = cases[i].via;
		set_target(&t);
		ctx.gso_segs = cases[i].gso_segs;
		ctx.gso_size = cases[i].gso_segs ? 200 : 0;

		struct target_counters before = book(SLOT), after;
		uint64_t stale = counter(GATE_flow_stale);
		struct answer a = run(DATAPATH_INGRESS, &f, ctx);
		after = book(SLOT);
		assert_int_equal(a.verdict, TC_ACT_UNSPEC);
		assert_int_equal(a.mark, 0xabcd); /* production's mark is put back */
		assert_memory_equal(a.f.b, f.b, f.len);
		assert_int_equal(after.eligible - before.eligible, cases[i].frames);
		assert_int_equal(counter(GATE_flow_stale) - stale, cases[i].frames ? 0 : 1);
		if (cases[i].frames)
			assert_int_equal(*(uint64_t *)((char *)&after + cases[i].reason) -
					 *(uint64_t *)((char *)&before + cases[i].reason), cases[i].frames);
		/* The headers that each segment of a large frame gets are counted as well. */
		if (cases[i].gso_segs)
			assert_int_equal(after.eligible_bytes - before.eligible_bytes, f.len + 4 * 54);
	}
	drop_flow(k);
}

/* What is not simply an Ethernet, an IP and a TCP or UDP header. */
struct odd {
	const char *what;
	bool out;
	bool known;
	int counter;         /* that tells of it; -1: none */
	struct frame f;      /* between 10.0.0.1 or fd00::1 port 1234 and 10.0.0.9 or fd00::9 port 80 */
	struct frame want;   /* with the client's address */
};

#define ODDS 40

static size_t odds(struct odd *o, bool v6, bool out)
{
	const char *engine = v6 ? "fd00::1" : "10.0.0.1", *server = v6 ? "fd00::9" : "10.0.0.9";
	const char *client = v6 ? "2001:db8::7" : "203.0.113.7", *router = v6 ? "fd00::fe" : "10.0.0.254";
	struct frame both[2], back[2], udp[2];
	size_t n = 0;

	for (int i = 0; i < 2; i++) { /* as it is, and as it shall be */
		const char *us = i ? client : engine;
		both[i] = out ? transport(IPPROTO_TCP, us, 1234, server, 80, 0x18, 40) : transport(IPPROTO_TCP, server, 80, us, 1234, 0x18, 40);
		back[i] = out ? transport(IPPROTO_TCP, server, 80, us, 1234, 0x18, 40) : transport(IPPROTO_TCP, us, 1234, server, 80, 0x18, 40);
		udp[i] = out ? transport(IPPROTO_UDP, us, 1234, server, 80, 0, 200) : transport(IPPROTO_UDP, server, 80, us, 1234, 0, 200);
	}
#define ODD(text, known_, counter_, make) do { \
		struct odd *x = &o[n++]; \
		*x = (struct odd){ .what = text, .out = out, .known = known_, .counter = counter_ }; \
		for (int i = 0; i < 2; i++) { \
			struct frame tcp = both[i], gram = udp[i], theirs = back[i]; \
			(void)tcp, (void)gram, (void)theirs; \
			*(i ? &x->want : &x->f) = make; \
		} \
	} while (0)
	if (!v6)
		ODD("options", true, -1, with_extensions(tcp, 0, 0));
	if (v6) {
		ODD("hop by hop", true, -1, with_extensions(tcp, IPPROTO_HOPOPTS, 1));
		ODD("routing, at its end", true, -1, with_extensions(tcp, IPPROTO_ROUTING, 1));
		ODD("destination options", true, -1, with_extensions(tcp, IPPROTO_DSTOPTS, 1));
		ODD("as many as may be", true, -1, with_extensions(tcp, IPPROTO_DSTOPTS, 8));
		ODD("too many", false, GATE_unparsed, with_extensions(tcp, IPPROTO_DSTOPTS, 9));
		ODD("a fragment that is all", true, -1, with_extensions(tcp, IPPROTO_FRAGMENT, 1));
	}
	ODD("a later fragment before the first", false, GATE_fragment_unknown, fragment(gram, 64, true, 7));
	ODD("the first fragment", true, -1, fragment(gram, 64, false, 7));
	ODD("a later fragment", true, -1, fragment(gram, 64, true, 7));
	ODD("of another datagram", false, GATE_fragment_unknown, fragment(gram, 64, true, 8));
	ODD("a fragment without a header", false, GATE_unparsed, fragment(both[i], 8, false, 9));
	if (out)
		ODD("port unreachable, from the engine", true, -1, icmp_error(i ? client : engine, v6 ? 1 : 3, &theirs));
	if (!out)
		ODD("too big, from a router", true, -1, icmp_error(router, v6 ? 2 : 3, &theirs));
	if (!out)
		ODD("port unreachable, from the server", true, -1, icmp_error(server, v6 ? 1 : 3, &theirs));
	if (!out)
		ODD("an echo", false, -1, icmp_error(server, v6 ? 128 : 8, &theirs));
#undef ODD
	return n;
}

static void any_packet_is_known(void **state)
{
	(void)state;
	static struct odd all[ODDS];

	set_target(&target);
	for (int way = 0; way < 4; way++) {
		bool v6 = way & 1, out = way & 2;
		size_t n = odds(all, v6, out);

		for (size_t i = 0; i < n; i++) {
			const struct odd *o = &all[i];
			struct flow_key tcp = key_of(IPPROTO_TCP, v6 ? "fd00::1" : "10.0.0.1", 1234, v6 ? "fd00::9" : "10.0.0.9", 80);
			struct flow_key udp = tcp;
			uint64_t before = o->counter < 0 ? 0 : counter((enum gate_counter)o->counter);

			udp.proto = IPPROTO_UDP;
			put_flow(tcp, FLOW_CLONE, "203.0.113.7");
			put_flow(udp, FLOW_CLONE, "203.0.113.7");
			if (eligible_by(out ? DATAPATH_EGRESS : DATAPATH_INGRESS, o->f) != o->known)
				fail_msg("%s, %s, %s", o->what, v6 ? "IPv6" : "IPv4", out ? "out" : "in");
			if (o->counter >= 0)
				assert_int_equal(counter((enum gate_counter)o->counter), before + 1);
			drop_flow(tcp);
			drop_flow(udp);
			if (!o->known)
				continue;
			struct answer a = rewritten(o->f, out, v6 ? "2001:db8::7" : "203.0.113.7", false);
			struct frame want = o->want;
			sensor_macs(&want);
			if (a.f.len != want.len || memcmp(a.f.b, want.b, want.len) != 0)
				fail_msg("rewritten: %s, %s, %s", o->what, v6 ? "IPv6" : "IPv4", out ? "out" : "in");
		}
	}
}

/*
 * A VLAN's packets are looked at on its own interface, after the kernel has put their tag beside them. A tag that is still
 * within the frame is one below another, or of somebody who sends frames by hand.
 */
static void a_tag_within_the_frame_makes_it_nobodys(void **state)
{
	(void)state;
	static const uint8_t tags[][8] = { { 0x81, 0, 0, 5 }, { 0x81, 0, 0xa0, 0 }, { 0x88, 0xa8, 0, 5, 0x81, 0, 0, 6 } };
	const size_t lens[] = { 4, 4, 8 };
	struct flow_key k = key_of(IPPROTO_TCP, "10.0.0.1", 1234, "10.0.0.9", 80);
	struct frame whole[] = { transport(IPPROTO_TCP, "10.0.0.1", 1234, "10.0.0.9", 80, 0x18, 40),
				 transport(IPPROTO_TCP, "10.0.0.9", 80, "10.0.0.1", 1234, 0x18, 40) };
	uint64_t unparsed = counter(GATE_unparsed);

	put_flow(k, FLOW_CLONE, "203.0.113.7");
	for (int in = 0; in < 2; in++) {
		enum datapath_program p = in ? DATAPATH_INGRESS : DATAPATH_EGRESS;

		assert_int_equal(eligible_by(p, whole[in]), 1);
		for (size_t i = 0; i < ARRAY_SIZE(tags); i++) {
			struct frame f = whole[in];

			insert(&f, 12, tags[i], (uint32_t)lens[i]);
			assert_int_equal(eligible_by(p, f), 0);
		}
	}
	assert_int_equal(counter(GATE_unparsed), unparsed);
	drop_flow(k);
}

/* What a connection that goes from client to client wears says whom it serves; what was given to another says nothing. */
static void badges_say_whom_a_flow_serves(void **state)
{
	(void)state;
	struct flow_key k = key_of(IPPROTO_TCP, "10.0.0.1", 1234, "10.0.0.9", 80);
	struct frame out = transport(IPPROTO_TCP, "10.0.0.1", 1234, "10.0.0.9", 80, 0x18, 40);
	struct flow f = { .service = 1, .id = 7, .seen_ns = mono_ns(), .badge = 3u << 16 | 9 };
	struct in6_addr next = ip("203.0.113.8");
	struct badge *all;

	assert_int_equal(badges_map(&all, dup(datapath_badges_fd(dp))), 0);
	memcpy(all[9].client_addr, &next, 16);
	all[9].client_port = htons(4711);
	for (unsigned turn = 2; turn <= 3; turn++) {
		assert_int_equal(bpf_map_update_elem(datapath_flows_fd(dp), &k, &f, BPF_ANY), 0);
		all[9].turn = (uint16_t)turn;
		all[9].flow_id = 8;
		assert_true(passes(DATAPATH_EGRESS, out));
		assert_int_equal(bpf_map_lookup_elem(datapath_flows_fd(dp), &k, &f), 0);
		assert_int_equal(f.id, turn == 3 ? 8 : 7);
	}
	assert_memory_equal(f.client_addr, &next, 16);
	assert_int_equal(f.client_port, htons(4711));
	munmap(all, BADGES_MAX * sizeof(*all));
	drop_flow(k);
}

#define LONG_S 20 /* longer than any machine lets a test wait */

static void sweep_takes_what_both_sides_closed(void **state)
{
	(void)state;
	struct flow_key tcp = key_of(IPPROTO_TCP, "10.0.0.1", 1, "10.0.0.9", 80);
	struct flow_key lone = key_of(IPPROTO_UDP, "10.0.0.1", 2, "10.0.0.9", 53);
	struct flow_key patient = key_of(IPPROTO_UDP, "10.0.0.1", 3, "10.0.0.9", 53);
	struct flow f = { .seen_ns = mono_ns(), .closing_ns = mono_ns() - 10, .closed = { 1, 0 } };
	int fd = datapath_flows_fd(dp);

	/* Closed by one side only: alive. */
	assert_int_equal(bpf_map_update_elem(fd, &tcp, &f, BPF_ANY), 0);
	assert_int_equal(datapath_sweep(dp, 100, &(struct datapath_patience){ 0, LONG_S * NS_PER_S, NULL, NULL }), 0);
	/* By both, but just now. */
	f.closed[FLOW_OUT] = 1;
	f.closing_ns = mono_ns();
	assert_int_equal(bpf_map_update_elem(fd, &tcp, &f, BPF_ANY), 0);
	assert_int_equal(datapath_sweep(dp, 100, &(struct datapath_patience){ LONG_S * NS_PER_S, LONG_S * NS_PER_S, NULL, NULL }), 0);
	f.closing_ns -= 10;
	assert_int_equal(bpf_map_update_elem(fd, &tcp, &f, BPF_ANY), 0);
	f.closed[FLOW_IN] = f.closed[FLOW_OUT] = 0;
	f.seen_ns -= 2 * LONG_S * NS_PER_S;
	assert_int_equal(bpf_map_update_elem(fd, &lone, &f, BPF_ANY), 0);
	f.idle_s = 3 * LONG_S; /* it says itself how long */
	assert_int_equal(bpf_map_update_elem(fd, &patient, &f, BPF_ANY), 0);
	assert_int_equal(datapath_sweep(dp, 100, &(struct datapath_patience){ 0, LONG_S * NS_PER_S, NULL, NULL }), 2);
	f.seen_ns -= 2 * LONG_S * NS_PER_S;
	assert_int_equal(bpf_map_update_elem(fd, &patient, &f, BPF_EXIST), 0);
	assert_int_equal(datapath_sweep(dp, 100, &(struct datapath_patience){ 0, 3600 * NS_PER_S, NULL, NULL }), 1);
	assert_int_equal(bpf_map_lookup_elem(fd, &tcp, &f), -ENOENT);
	assert_int_equal(bpf_map_lookup_elem(fd, &lone, &f), -ENOENT);
}

static bool as_told(void *arg, const struct flow_key *k, uint32_t ifindex)
{
	assert_int_equal(k->proto, IPPROTO_TCP);
	assert_int_equal(ifindex, 42);
	return *(bool *)arg;
}

/* What is idle, or was closed by a RST that anybody may have sent, is over when its socket is. */
static void sweep_spares_what_has_a_socket(void **state)
{
	(void)state;
	struct flow_key k = key_of(IPPROTO_TCP, "10.0.0.1", 1, "10.0.0.9", 80);
	const struct flow cases[] = {
		{ .seen_ns = mono_ns() - 4 * LONG_S * NS_PER_S, .ifindex = 42 },
		{ .seen_ns = mono_ns(), .closing_ns = mono_ns() - 2 * LONG_S * NS_PER_S, .closed = { CLOSED_RST, CLOSED_RST }, .ifindex = 42 },
	};
	bool lives;
	const struct datapath_patience p = { LONG_S * NS_PER_S, 3 * LONG_S * NS_PER_S, as_told, &lives };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(bpf_map_update_elem(datapath_flows_fd(dp), &k, &cases[i], BPF_ANY), 0);
		lives = true;
		assert_int_equal(datapath_sweep(dp, 100, &p), 0);
		lives = false; /* it was just found alive: not asked again */
		assert_int_equal(datapath_sweep(dp, 100, &p), 0);
		assert_int_equal(bpf_map_update_elem(datapath_flows_fd(dp), &k, &cases[i], BPF_ANY), 0);
		assert_int_equal(datapath_sweep(dp, 100, &p), 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(eligible_frames_are_counted_with_their_outcome),
		cmocka_unit_test(any_packet_is_known),
		cmocka_unit_test(a_tag_within_the_frame_makes_it_nobodys),
		cmocka_unit_test(badges_say_whom_a_flow_serves),
		cmocka_unit_test(sweep_takes_what_both_sides_closed),
		cmocka_unit_test(sweep_spares_what_has_a_socket),
	};

	return cmocka_run_group_tests(tests, load, unload);
}
