/*
 * Copies as they leave: rewritten, encapsulated, numbered, or dropped and counted.
 */
#include "engine/bpf/frames_test.h"

#include <time.h>

#include "engine/clone/wrap.h"

static void rewriter(void **state)
{
	(void)state;
	static const struct {
		uint8_t proto;
		const char *src, *dst;
		bool out;
		const char *client, *want_src, *want_dst;
		uint32_t payload;
	} cases[] = {
		{ IPPROTO_TCP, "10.0.0.1", "10.0.0.9", true, "203.0.113.7", "203.0.113.7", "10.0.0.9", 33 },
		{ IPPROTO_TCP, "10.0.0.9", "10.0.0.1", false, "203.0.113.7", "10.0.0.9", "203.0.113.7", 0 },
		{ IPPROTO_UDP, "10.0.0.1", "10.0.0.9", true, "203.0.113.7", "203.0.113.7", "10.0.0.9", 100 },
		{ IPPROTO_TCP, "fd00::1", "fd00::9", true, "2001:db8::7", "2001:db8::7", "fd00::9", 1000 },
		{ IPPROTO_UDP, "fd00::9", "fd00::1", false, "2001:db8::7", "fd00::9", "2001:db8::7", 1 },
	};
	set_target(&target);

	for (size_t i = 0; i < ARRAY_SIZE(cases) * 2; i++) {
		const typeof(cases[0]) *c = &cases[i / 2];
		bool cut = i & 1;
		struct frame f = transport(c->proto, c->src, 1234, c->dst, 80, 0x18, c->payload);
		struct frame want = transport(c->proto, c->want_src, 1234, c->want_dst, 80, 0x18, c->payload);
		struct target_counters before = book(SLOT);

		sensor_macs(&want);
		struct answer a = rewritten(f, c->out, c->client, cut);
		same_frame(&a.f, &want);
		if (cut) {
			/* It went on by an interface that does not exist: that is counted, too. */
			struct target_counters after = book(SLOT);
			assert_int_equal(after.dropped_no_interface, before.dropped_no_interface + 1);
			assert_int_equal(after.sent, before.sent);
		}
	}
}

static const struct target wrapped_target = {
	.flags = TARGET_READY | TARGET_CUT | TARGET_WRAP, .generation = 3, .via = 0x7ffffff0, .out = 0x7ffffff0,
	.mtu = 1500, .dst_mac = { 2, 0, 0, 0, 0, 0x51 }, .src_mac = { 2, 0, 0, 0, 0, 0x52 },
};

enum { ANY = 0x100 }; /* a byte that is the frame's own */

/* What follows the outer IP header, as the protocol's document has it. */
static const struct wrapping {
	struct clone_want want;
	uint8_t proto;
	unsigned n;
	uint16_t bytes[24];
} wrappings[] = {
	{ { .wrap = CLONE_WRAP_VXLAN, .vni = 0xabcdef }, IPPROTO_UDP, 16,
	  { ANY, ANY, 0x12, 0xb5, ANY, ANY, ANY, ANY, 0x08, 0, 0, 0, 0xab, 0xcd, 0xef, 0 } },
	{ { .wrap = CLONE_WRAP_VXLAN, .vni = 1, .port = 8472 }, IPPROTO_UDP, 16,
	  { ANY, ANY, 0x21, 0x18, ANY, ANY, ANY, ANY, 0x08, 0, 0, 0, 0, 0, 1, 0 } },
	{ { .wrap = CLONE_WRAP_GENEVE, .vni = 0x010203 }, IPPROTO_UDP, 16,
	  { ANY, ANY, 0x17, 0xc1, ANY, ANY, ANY, ANY, 0, 0, 0x65, 0x58, 1, 2, 3, 0 } },
	{ { .wrap = CLONE_WRAP_GRE }, IPPROTO_GRE, 4, { 0, 0, 0x65, 0x58 } },
	{ { .wrap = CLONE_WRAP_GRE, .has_key = true, .key = 0x01020304 }, IPPROTO_GRE, 8,
	  { 0x20, 0, 0x65, 0x58, 1, 2, 3, 4 } },
	{ { .wrap = CLONE_WRAP_ERSPAN_II, .session = 0x3ab }, IPPROTO_GRE, 16,
	  { 0x10, 0, 0x88, 0xbe, ANY, ANY, ANY, ANY, 0x10, 0, 0x03, 0xab, 0, 0, 0, ANY } },
	{ { .wrap = CLONE_WRAP_ERSPAN_III, .session = 0x155 }, IPPROTO_GRE, 20,
	  { 0x10, 0, 0x22, 0xeb, ANY, ANY, ANY, ANY, 0x20, 0, 0x01, 0x55, ANY, ANY, ANY, ANY, 0, 0, 0x80, ANY } },
};

static uint32_t get32(const uint8_t *b)
{
	return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

/* Puts W's headers, from A to B, into the kernel. */
static struct clone_want wrap_target(const struct wrapping *w, const char *from, const char *to, uint32_t mtu)
{
	struct clone_want want = w->want;
	struct in6_addr source = ip(from);
	struct target t = wrapped_target;
	struct wrap head;

	want.ip = ip(to);
	want.has_ip = true;
	clone_wrap_fill(&want, &source, &head);
	assert_int_equal(datapath_wrap_set(dp, SLOT, &head), 0);
	t.mtu = mtu;
	set_target(&t);
	return want;
}

static struct answer cut(const struct frame *f, uint32_t mark)
{
	struct answer a = run(DATAPATH_CUT, f, (struct __sk_buff){ .ifindex = LO, .mark = COPY_MARK | SLOT | mark });

	assert_int_equal(a.verdict, TC_ACT_SHOT); /* it is the finished one that leaves */
	return a;
}

/* The outer Ethernet and IP headers; where they end. */
static uint32_t check_outer(const struct frame *f, bool v4, uint8_t proto, const char *from, const char *to)
{
	struct in6_addr s = ip(from), d = ip(to);
	uint32_t len = f->len - 14;

	assert_memory_equal(f->b, wrapped_target.dst_mac, 6);
	assert_memory_equal(f->b + 6, wrapped_target.src_mac, 6);
	if (v4) {
		uint8_t want[] = { 0x08, 0, 0x45, 0, (uint8_t)(len >> 8), (uint8_t)len, 0, 0, 0x40, 0, 64, proto };
		assert_memory_equal(f->b + 12, want, sizeof(want));
		assert_int_equal(fold(sum16(f->b + 14, 20, 0)), 0xffff);
		assert_memory_equal(f->b + 26, s.s6_addr + 12, 4);
		assert_memory_equal(f->b + 30, d.s6_addr + 12, 4);
		return 34;
	}
	assert_int_equal(f->b[12] << 8 | f->b[13], ETHERTYPE_IPV6);
	assert_int_equal(f->b[14], 0x60);
	assert_int_equal(f->b[15] & 0xf0, 0);
	assert_int_equal(f->b[18] << 8 | f->b[19], len - 40);
	assert_int_equal(f->b[20], proto);
	assert_int_equal(f->b[21], 64);
	assert_memory_equal(f->b + 22, &s, 16);
	assert_memory_equal(f->b + 38, &d, 16);
	return 54;
}

static uint32_t stamp_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_TAI, &t);
	return (uint32_t)(((uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec) / 100);
}

/* What of F, at AT behind the outer IP header, is its own. */
static void check_own(const struct wrapping *w, const struct frame *f, uint32_t at, bool v4, bool out, uint32_t before)
{
	const uint8_t *h = f->b + at;

	if (w->proto == IPPROTO_UDP) {
		assert_true((h[0] << 8 | h[1]) >= 49152);
		assert_int_equal(h[4] << 8 | h[5], f->len - at);
		if (v4)
			assert_int_equal(h[6] | h[7], 0);
		else
			assert_int_equal(transport_sum(f, at, IPPROTO_UDP), 0xffff);
	}
	if (w->want.wrap == CLONE_WRAP_ERSPAN_II)
		assert_int_equal(h[15], out);
	if (w->want.wrap == CLONE_WRAP_ERSPAN_III) {
		assert_true(get32(h + 12) - before <= stamp_now() - before);
		assert_int_equal(h[19], 1 << 1 | (out ? 1 << 3 : 0));
	}
}

static void encapsulations(void **state)
{
	(void)state;
	static const uint32_t payloads[] = { 0, 1, 449, 1000, 1380 };

	for (size_t i = 0; i < ARRAY_SIZE(wrappings) * 8; i++) {
		const struct wrapping *w = &wrappings[i / 8];
		bool v4 = i & 1, inner_v4 = i & 2, out = i & 4;
		const char *from = v4 ? "192.0.2.1" : "2001:db8::1", *to = v4 ? "198.51.100.9" : "2001:db8:9::9";
		const char *a = inner_v4 ? "10.0.0.1" : "fd00::1", *b = inner_v4 ? "10.0.0.9" : "fd00::9";
		struct clone_want want = wrap_target(w, from, to, 1600);

		for (size_t p = 0; p < ARRAY_SIZE(payloads); p++) {
			struct frame f = out ? transport(IPPROTO_TCP, a, 1234, b, 80, 0x18, payloads[p])
					     : transport(IPPROTO_TCP, b, 80, a, 1234, 0x18, payloads[p]);
			struct target_counters before = book(SLOT), after;
			uint32_t stamp = stamp_now(), at;
			struct answer x = cut(&f, out ? COPY_OUT : 0);

			assert_int_equal(x.mark, COPY_MARK | COPY_DONE | SLOT | (out ? COPY_OUT : 0));
			assert_int_equal(x.f.len, f.len + clone_wrap_overhead(&want));
			at = check_outer(&x.f, v4, w->proto, from, to);
			for (unsigned k = 0; k < w->n; k++)
				if (w->bytes[k] != ANY && w->bytes[k] != x.f.b[at + k])
					fail_msg("wrapping %zu, byte %u: %02x", i / 8, k, x.f.b[at + k]);
			check_own(w, &x.f, at, v4, out, stamp);
			/* Inside is the frame as it was, its MAC addresses as well. */
			assert_memory_equal(x.f.b + at + w->n, f.b, f.len);
			/* It goes on by an interface that does not exist. */
			after = book(SLOT);
			assert_int_equal(after.dropped_no_interface, before.dropped_no_interface + 1);
		}
	}
	assert_int_equal(datapath_wrap_set(dp, SLOT, NULL), 0);
}

static void a_decrypted_frame_is_marked_within(void **state)
{
	(void)state;
	struct frame f = transport(IPPROTO_TCP, "10.0.0.1", 1234, "10.0.0.9", 80, 0x18, 77);
	struct clone_want want = { .wrap = CLONE_WRAP_GRE, .ip = ip("198.51.100.9") };
	struct in6_addr source = ip("192.0.2.1");
	static const uint8_t marker[6] = { 2, 0x53, 0x50, 0x57, 0, 1 };
	struct wrap head;
	struct answer a;

	clone_wrap_fill(&want, &source, &head);
	head.flags |= WRAP_MARKED;
	memcpy(head.marker, marker, 6);
	assert_int_equal(datapath_wrap_set(dp, SLOT, &head), 0);
	set_target(&wrapped_target);
	a = cut(&f, COPY_OUT);
	memcpy(f.b + 6, marker, 6);
	assert_memory_equal(a.f.b + 14 + 24, f.b, f.len);
}

static void encapsulated_with_the_clients_address(void **state)
{
	(void)state;
	struct frame f = transport(IPPROTO_UDP, "10.0.0.1", 1234, "10.0.0.9", 53, 0, 77);
	struct frame inner = transport(IPPROTO_UDP, "203.0.113.7", 1234, "10.0.0.9", 53, 0, 77);
	struct answer a;

	wrap_target(&wrappings[0], "192.0.2.1", "198.51.100.9", 1500);
	a = rewritten(f, true, "203.0.113.7", true);
	assert_int_equal(a.f.len, inner.len + 50);
	assert_memory_equal(a.f.b + 50, inner.b, inner.len);
}

static void source_port_is_of_the_flow(void **state)
{
	(void)state;
	struct frame f = transport(IPPROTO_TCP, "10.0.0.1", 1234, "10.0.0.9", 80, 0x18, 5);
	struct answer a;

	wrap_target(&wrappings[0], "192.0.2.1", "198.51.100.9", 1500);
	told.hash = 0x1234e678;
	tell();
	a = cut(&f, 0);
	assert_int_equal(a.f.b[34] << 8 | a.f.b[35], 0xc000 | (0xe678 & 0x3fff));
	wrap_target(&wrappings[3], "2001:db8::1", "2001:db8:9::9", 1500);
	a = cut(&f, 0);
	assert_int_equal(get32(a.f.b + 14), 6u << 28 | 0x4e678); /* the flow label */
}

static void what_does_not_fit_is_counted(void **state)
{
	(void)state;
	struct frame f = transport(IPPROTO_TCP, "10.0.0.9", 80, "10.0.0.1", 1234, 0x18, 1000);
	struct target_counters before, after;

	for (size_t i = 0; i < ARRAY_SIZE(wrappings); i++) {
		struct clone_want want = wrap_target(&wrappings[i], "192.0.2.1", "198.51.100.9", 1500);
		uint32_t fits = f.len - 14 + clone_wrap_overhead(&want);

		before = book(SLOT);
		wrap_target(&wrappings[i], "192.0.2.1", "198.51.100.9", fits);
		assert_int_equal(cut(&f, 0).f.len, 14 + fits);
		wrap_target(&wrappings[i], "192.0.2.1", "198.51.100.9", fits - 1);
		assert_int_equal(cut(&f, 0).f.len, f.len);
		after = book(SLOT);
		assert_int_equal(after.dropped_no_interface, before.dropped_no_interface + 1);
		assert_int_equal(after.dropped_too_big, before.dropped_too_big + 1);
	}
	/* A target that says it has headers, and none there. */
	assert_int_equal(datapath_wrap_set(dp, SLOT, NULL), 0);
	cut(&f, 0);
	assert_int_equal(book(SLOT).dropped_other, after.dropped_other + 1);
}

static void a_number_is_a_frame_that_left(void **state)
{
	(void)state;
	struct frame f = transport(IPPROTO_TCP, "10.0.0.9", 80, "10.0.0.1", 1234, 0x18, 10);
	struct clone_want want = wrap_target(&wrappings[5], "192.0.2.1", "198.51.100.9", 1500);
	struct target t = wrapped_target;
	uint32_t first = get32(cut(&f, 0).f.b + 38);

	assert_int_equal(want.wrap, CLONE_WRAP_ERSPAN_II);
	/* These did not leave: their number is given to the next one. */
	assert_int_equal(get32(cut(&f, 0).f.b + 38), first);
	/* To the loopback interface, where nobody has that MAC address. */
	t.out = LO;
	set_target(&t);
	for (uint32_t n = 0; n < 3; n++)
		assert_int_equal(get32(cut(&f, 0).f.b + 38), first + n);
}

static void copies_are_let_alone(void **state)
{
	(void)state;
	/* From a VIP whose gate is closed: a finished copy is not looked at again, anything else is. */
	struct frame f = transport(IPPROTO_TCP, "10.0.0.100", 80, "10.0.0.9", 4000, 0x12, 0);
	struct __sk_buff ctx = { .ifindex = LO, .mark = COPY_MARK | COPY_DONE | SLOT };

	lease("10.0.0.100", CLOSED);
	struct answer a = run(DATAPATH_EGRESS, &f, ctx);
	assert_int_equal(a.verdict, TC_ACT_UNSPEC);
	assert_memory_equal(a.f.b, f.b, f.len);
	ctx.mark = 0x5c1f0000;
	assert_int_equal(run(DATAPATH_EGRESS, &f, ctx).verdict, TC_ACT_SHOT);
	/* And nothing but copies comes out of a cutter. */
	ctx.mark = 0;
	assert_int_equal(run(DATAPATH_CUT, &f, ctx).verdict, TC_ACT_SHOT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rewriter),
		cmocka_unit_test(encapsulations),
		cmocka_unit_test(a_decrypted_frame_is_marked_within),
		cmocka_unit_test(encapsulated_with_the_clients_address),
		cmocka_unit_test(source_port_is_of_the_flow),
		cmocka_unit_test(what_does_not_fit_is_counted),
		cmocka_unit_test(a_number_is_a_frame_that_left),
		cmocka_unit_test(copies_are_let_alone),
	};

	return cmocka_run_group_tests(tests, load, unload);
}
