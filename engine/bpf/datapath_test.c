/*
 * Packets in, verdicts and packets out: the programs as the kernel runs them (BPF_PROG_TEST_RUN).
 * Without the rights to load them every test skips by name.
 */
#include "base/test.h"

#include <arpa/inet.h>
#include <linux/pkt_cls.h>
#include <net/ethernet.h>
#include <netinet/if_ether.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "engine/clone/badges.h"
#include "engine/bpf/datapath.h"
#include "engine/clone/wrap.h"

enum { LO = 1 }; /* the interface that a test packet is on */

static struct datapath *dp;
static const uint8_t mac_a[6] = { 2, 0, 0, 0, 0, 0xa }, mac_b[6] = { 2, 0, 0, 0, 0, 0xb };

static int load(void **state)
{
	(void)state;
	struct err e = { 0 };

	if (datapath_new(&(struct datapath_config){ .flows_max = 4 }, &dp, &e)) {
		if (e.code != -EPERM) /* not our rights, but the programs */
			fail_msg("%s", err_line(&e));
		print_message("skipped: %s\n", err_line(&e));
		exit(77); /* meson: skipped, and the last line says why */
	}
	datapath_lease_set(dp, VIP_OPEN);
	return 0;
}

static int unload(void **state)
{
	(void)state;
	datapath_free(dp);
	return 0;
}


static struct in6_addr ip(const char *text)
{
	struct in6_addr a;

	assert_int_equal(ip_parse(text, &a), 0);
	return a;
}

/* ---- packets ---- */

struct frame {
	uint8_t b[1600];
	uint32_t len;
};

static uint32_t sum16(const void *p, size_t n, uint32_t sum)
{
	const uint8_t *b = p;

	for (size_t i = 0; i + 1 < n; i += 2)
		sum += (uint32_t)(b[i] << 8 | b[i + 1]);
	if (n & 1)
		sum += (uint32_t)(b[n - 1] << 8);
	return sum;
}

static uint16_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static void ether(struct frame *f, uint16_t type)
{
	memset(f, 0, sizeof(*f));
	memcpy(f->b, mac_b, 6);
	memcpy(f->b + 6, mac_a, 6);
	f->b[12] = (uint8_t)(type >> 8);
	f->b[13] = (uint8_t)type;
	f->len = 14;
}

static struct frame arp(uint16_t op, const char *sender, const char *target)
{
	struct frame f;
	struct in6_addr s = ip(sender), t = ip(target);

	ether(&f, ETHERTYPE_ARP);
	memcpy(f.b + 14, (uint8_t[]){ 0, 1, 8, 0, 6, 4, 0, (uint8_t)op }, 8);
	memcpy(f.b + 22, mac_a, 6);
	memcpy(f.b + 28, s.s6_addr + 12, 4);
	memcpy(f.b + 38, t.s6_addr + 12, 4);
	f.len = 60;
	return f;
}

/* The checksum of the transport header at AT over the rest of F, with its field counted as it stands. */
static uint16_t transport_sum(const struct frame *f, uint32_t at, uint8_t proto)
{
	bool v4 = f->b[12] == 8 && f->b[13] == 0;
	uint32_t sum = v4 ? sum16(f->b + 26, 8, 0) : sum16(f->b + 22, 32, 0);

	return fold(sum16(f->b + at, f->len - at, sum + proto + f->len - at));
}

static struct frame transport(uint8_t proto, const char *src, uint16_t sport, const char *dst, uint16_t dport,
			      uint8_t flags, uint32_t payload)
{
	struct in6_addr s = ip(src), d = ip(dst);
	bool v4 = ip_is_v4(&s);
	uint32_t header = proto == IPPROTO_TCP ? 20 : 8, at = v4 ? 34 : 54, field;
	struct frame f;

	ether(&f, v4 ? ETHERTYPE_IP : ETHERTYPE_IPV6);
	f.len = at + header + payload;
	if (v4) {
		uint16_t total = (uint16_t)(f.len - 14), sum;
		memcpy(f.b + 14, (uint8_t[]){ 0x45, 0, (uint8_t)(total >> 8), (uint8_t)total, 0, 1, 0x40, 0, 64,
					      proto }, 10);
		memcpy(f.b + 26, s.s6_addr + 12, 4);
		memcpy(f.b + 30, d.s6_addr + 12, 4);
		sum = (uint16_t)~fold(sum16(f.b + 14, 20, 0));
		f.b[24] = (uint8_t)(sum >> 8);
		f.b[25] = (uint8_t)sum;
	} else {
		uint16_t length = (uint16_t)(f.len - 54);
		memcpy(f.b + 14, (uint8_t[]){ 0x60, 0, 0, 0, (uint8_t)(length >> 8), (uint8_t)length, proto, 64 }, 8);
		memcpy(f.b + 22, &s, 16);
		memcpy(f.b + 38, &d, 16);
	}
	memcpy(f.b + at, (uint8_t[]){ (uint8_t)(sport >> 8), (uint8_t)sport, (uint8_t)(dport >> 8), (uint8_t)dport }, 4);
	if (proto == IPPROTO_TCP) {
		f.b[at + 12] = 0x50;
		f.b[at + 13] = flags;
		field = at + 16;
	} else {
		f.b[at + 4] = (uint8_t)((header + payload) >> 8);
		f.b[at + 5] = (uint8_t)(header + payload);
		field = at + 6;
	}
	for (uint32_t i = 0; i < payload; i++)
		f.b[at + header + i] = (uint8_t)(i * 7);
	uint16_t sum = (uint16_t)~transport_sum(&f, at, proto);
	f.b[field] = (uint8_t)(sum >> 8);
	f.b[field + 1] = (uint8_t)sum;
	return f;
}

static void insert(struct frame *f, uint32_t at, const uint8_t *p, uint32_t n)
{
	memmove(f->b + at + n, f->b + at, f->len - at);
	memcpy(f->b + at, p, n);
	f->len += n;
}

/* Length and header checksum as F has become. */
static struct frame ip_finish(struct frame f)
{
	bool v4 = f.b[12] == 8;
	uint16_t length = (uint16_t)(f.len - (v4 ? 14 : 54)), sum;
	uint8_t *field = f.b + (v4 ? 16 : 18);

	field[0] = (uint8_t)(length >> 8);
	field[1] = (uint8_t)length;
	if (!v4)
		return f;
	f.b[24] = f.b[25] = 0;
	sum = (uint16_t)~fold(sum16(f.b + 14, (f.b[14] & 15) * 4, 0));
	f.b[24] = (uint8_t)(sum >> 8);
	f.b[25] = (uint8_t)sum;
	return f;
}

/* With eight bytes of options, or N extension headers of KIND. */
static struct frame with_extensions(struct frame f, uint8_t kind, unsigned n)
{
	if (f.b[12] == 8) {
		insert(&f, 34, (uint8_t[]){ 1, 1, 1, 1, 1, 1, 1, 1 }, 8);
		f.b[14] = 0x47;
	} else {
		for (unsigned i = 0; i < n; i++) {
			uint8_t next = f.b[20];
			f.b[20] = kind;
			insert(&f, 54, (uint8_t[16]){ next, kind == IPPROTO_FRAGMENT ? 0 : 1 },
			       kind == IPPROTO_FRAGMENT ? 8 : 16);
		}
	}
	return ip_finish(f);
}

/* The first AT bytes of F's payload (a multiple of 8), or what follows them. */
static struct frame fragment(struct frame f, uint32_t at, bool later, uint8_t id)
{
	bool v4 = f.b[12] == 8;
	uint32_t header = v4 ? 34 : 54;

	if (later) {
		memmove(f.b + header, f.b + header + at, f.len - header - at);
		f.len -= at;
	} else {
		f.len = header + at;
	}
	if (v4) {
		f.b[19] = id;
		f.b[20] = later ? 0 : 0x20;
		f.b[21] = later ? (uint8_t)(at / 8) : 0;
	} else {
		uint8_t next = f.b[20];
		f.b[20] = IPPROTO_FRAGMENT;
		insert(&f, 54, (uint8_t[]){ next, 0, 0, (uint8_t)(later ? at : 1), 0, 0, 0, id }, 8);
	}
	return ip_finish(f);
}

/* From FROM to whoever sent F: what TYPE says of it. */
static struct frame icmp_error(const char *from, uint8_t type, const struct frame *f)
{
	bool v4 = f->b[12] == 8;
	uint32_t quote = v4 ? 28 : 48;
	uint8_t proto = v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
	struct in6_addr src = ip(from);
	uint16_t sum;
	struct frame e;

	ether(&e, v4 ? ETHERTYPE_IP : ETHERTYPE_IPV6);
	if (v4) {
		memcpy(e.b + 14, (uint8_t[]){ 0x45, 0, 0, 0, 0, 1, 0, 0, 64, proto }, 10);
		memcpy(e.b + 26, src.s6_addr + 12, 4);
		memcpy(e.b + 30, f->b + 26, 4);
		e.len = 34;
	} else {
		memcpy(e.b + 14, (uint8_t[]){ 0x60, 0, 0, 0, 0, 0, proto, 64 }, 8);
		memcpy(e.b + 22, &src, 16);
		memcpy(e.b + 38, f->b + 22, 16);
		e.len = 54;
	}
	e.b[e.len] = type;
	memcpy(e.b + e.len + 8, f->b + 14, quote);
	e.len += 8 + quote;
	sum = v4 ? fold(sum16(e.b + 34, e.len - 34, 0)) : transport_sum(&e, 54, proto);
	sum = (uint16_t)~sum;
	e.b[(v4 ? 34 : 54) + 2] = (uint8_t)(sum >> 8);
	e.b[(v4 ? 34 : 54) + 3] = (uint8_t)sum;
	return ip_finish(e);
}

static struct frame advertisement(const char *src, const char *target)
{
	struct in6_addr s = ip(src), t = ip(target), all = ip("ff02::1");
	struct frame f;

	ether(&f, ETHERTYPE_IPV6);
	memcpy(f.b + 14, (uint8_t[]){ 0x60, 0, 0, 0, 0, 24, IPPROTO_ICMPV6, 255 }, 8);
	memcpy(f.b + 22, &s, 16);
	memcpy(f.b + 38, &all, 16);
	f.b[54] = 136;
	memcpy(f.b + 62, &t, 16);
	f.len = 78;
	return f;
}

struct answer {
	int verdict;
	uint32_t mark;
	struct frame f;
};

static struct answer run(enum datapath_program p, const struct frame *f, struct __sk_buff ctx)
{
	struct answer a = { 0 };
	struct __sk_buff after = { 0 };

	LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = f->b, .data_size_in = f->len, .data_out = a.f.b,
		    .data_size_out = sizeof(a.f.b), .ctx_in = &ctx, .ctx_size_in = sizeof(ctx), .ctx_out = &after,
		    .ctx_size_out = sizeof(after), .repeat = 1);
	assert_int_equal(bpf_prog_test_run_opts(datapath_program_fd(dp, p), &o), 0);
	a.verdict = (int)o.retval;
	a.mark = after.mark;
	a.f.len = o.data_size_out;
	return a;
}

static bool passes(enum datapath_program p, struct frame f)
{
	struct answer a = run(p, &f, (struct __sk_buff){ .ifindex = LO });

	assert_true(a.verdict == TC_ACT_SHOT || a.verdict == TC_ACT_UNSPEC);
	/* A production packet is let through as it is, or not at all. */
	assert_memory_equal(a.f.b, f.b, f.len);
	return a.verdict == TC_ACT_UNSPEC;
}

static uint64_t counter(enum gate_counter c)
{
	uint64_t all[GATE_COUNTERS];

	assert_int_equal(datapath_counters(dp, all), 0);
	return all[c];
}

/* ---- the lease gate ---- */

enum gate { OPEN, CLOSED, EXPIRED, ELSEWHERE };

static void lease(const char *vip, enum gate g)
{
	struct in6_addr a = ip(vip);
	uint64_t now = mono_ns();
	uint64_t until[] = { [OPEN] = now + 60 * NS_PER_S, [CLOSED] = 0, [EXPIRED] = now - 1,
			     [ELSEWHERE] = now + 60 * NS_PER_S };

	assert_int_equal(datapath_vip_set(dp, 0, &a, g == ELSEWHERE ? 77 : LO, until[g], until[g]), 0);
}

static void gate_rules(void **state)
{
	(void)state;
	const enum datapath_program EG = DATAPATH_EGRESS, IN = DATAPATH_INGRESS;
	const struct {
		const char *what;
		enum datapath_program dir;
		struct frame f;
		int counter;    /* that says why it was dropped; -1: always passes */
		bool elsewhere; /* passes for a VIP that lives on another interface */
	} rules[] = {
		{ "our answer", EG, arp(2, "10.0.0.100", "10.0.0.9"), GATE_gate_arp, false },
		{ "our request", EG, arp(1, "10.0.0.100", "10.0.0.9"), GATE_gate_arp, false },
		{ "announcement", EG, arp(1, "10.0.0.100", "10.0.0.100"), GATE_gate_arp, false },
		{ "probe", EG, arp(1, "0.0.0.0", "10.0.0.100"), -1, true },
		{ "ARP of the engine", EG, arp(1, "10.0.0.1", "10.0.0.100"), -1, true },
		{ "ARP of others", IN, arp(1, "10.0.0.9", "10.0.0.100"), -1, true },
		{ "advertisement", EG, advertisement("fe80::1", "fd00::100"), GATE_gate_neighbour, false },
		{ "other advertisement", EG, advertisement("fe80::1", "fd00::1"), -1, true },
		{ "their advertisement", IN, advertisement("fe80::2", "fd00::100"), -1, true },
		{ "from v4", EG, transport(IPPROTO_TCP, "10.0.0.100", 80, "10.0.0.9", 4000, 0x12, 0), GATE_gate_out, true },
		{ "to v4", IN, transport(IPPROTO_TCP, "10.0.0.9", 4000, "10.0.0.100", 80, 0x02, 0), GATE_gate_in, true },
		{ "from v6", EG, transport(IPPROTO_UDP, "fd00::100", 80, "fd00::9", 4000, 0, 9), GATE_gate_out, true },
		{ "to v6", IN, transport(IPPROTO_UDP, "fd00::9", 4000, "fd00::100", 80, 0, 9), GATE_gate_in, true },
		{ "engine's own v4", EG, transport(IPPROTO_TCP, "10.0.0.1", 80, "10.0.0.9", 4000, 0x12, 0), -1, true },
		{ "engine's own v6", IN, transport(IPPROTO_TCP, "fd00::9", 80, "fd00::1", 4000, 0x12, 0), -1, true },
		{ "to the VIP of another", EG, transport(IPPROTO_TCP, "10.0.0.1", 8, "10.0.0.100", 80, 2, 0), -1, true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
		for (enum gate g = OPEN; g <= ELSEWHERE; g++) {
			lease("10.0.0.100", g);
			lease("fd00::100", g);
			bool pass = rules[i].counter < 0 || g == OPEN || (g == ELSEWHERE && rules[i].elsewhere);
			int which = g == ELSEWHERE && rules[i].counter >= 0 ? GATE_gate_wrong_port : rules[i].counter;
			uint64_t before = which < 0 ? 0 : counter((enum gate_counter)which);
			if (passes(rules[i].dir, rules[i].f) != pass)
				fail_msg("%s, gate %d", rules[i].what, g);
			if (!pass)
				assert_int_equal(counter((enum gate_counter)which), before + 1);
		}
	}
}

static void gate_closes_by_itself(void **state)
{
	(void)state;
	struct in6_addr vip = ip("10.0.0.101");
	struct frame answer = arp(2, "10.0.0.101", "10.0.0.9");
	uint64_t end = mono_ns() + 20 * NS_PER_MS;
	bool passed;

	assert_int_equal(datapath_vip_set(dp, 0, &vip, LO, end, end), 0);
	assert_true(passes(DATAPATH_EGRESS, answer));
	do {
		uint64_t before = mono_ns();
		passed = passes(DATAPATH_EGRESS, answer);
		if (before >= end)
			assert_false(passed);
		assert_true(before < end + NS_PER_S);
	} while (passed);
	assert_true(mono_ns() >= end);
}

/* What it says of each VIP itself holds no longer than the lease of all. */
static void gate_closes_for_all_at_once(void **state)
{
	(void)state;
	struct in6_addr vip = ip("10.0.0.103");
	struct frame answer = arp(2, "10.0.0.103", "10.0.0.9"), packet = transport(IPPROTO_TCP, "10.0.0.9", 4000, "10.0.0.103", 80, 2, 0);
	uint64_t now = mono_ns();

	assert_int_equal(datapath_vip_set(dp, 0, &vip, LO, VIP_OPEN, VIP_OPEN), 0);
	for (int i = 0; i < 2; i++) {
		datapath_lease_set(dp, now + 60 * NS_PER_S);
		assert_true(passes(DATAPATH_EGRESS, answer));
		assert_true(passes(DATAPATH_INGRESS, packet));
		datapath_lease_set(dp, i ? 0 : now);
		assert_false(passes(DATAPATH_EGRESS, answer));
		assert_false(passes(DATAPATH_INGRESS, packet));
		assert_true(passes(DATAPATH_EGRESS, arp(2, "10.0.0.102", "10.0.0.9")));
	}
	datapath_lease_set(dp, VIP_OPEN);
	/* One is withdrawn while the lease goes on. */
	assert_int_equal(datapath_vip_set(dp, 0, &vip, LO, 0, 0), 0);
	assert_false(passes(DATAPATH_EGRESS, answer));
	assert_int_equal(datapath_vip_delete(dp, 0, &vip), 0);
}

static void gate_knows_vips_only(void **state)
{
	(void)state;
	struct in6_addr vip = ip("10.0.0.102");

	assert_int_equal(datapath_vip_delete(dp, 0, &vip), -ENOENT);
	assert_true(passes(DATAPATH_EGRESS, arp(2, "10.0.0.102", "10.0.0.9")));
	assert_int_equal(datapath_vip_set(dp, 0, &vip, LO, 0, 0), 0);
	assert_false(passes(DATAPATH_EGRESS, arp(2, "10.0.0.102", "10.0.0.9")));
	assert_int_equal(datapath_vip_delete(dp, 0, &vip), 0);
	assert_true(passes(DATAPATH_EGRESS, arp(2, "10.0.0.102", "10.0.0.9")));
}

static void short_frames_pass(void **state)
{
	(void)state;
	struct frame f = arp(2, "10.0.0.100", "10.0.0.9");
	struct frame t = transport(IPPROTO_TCP, "10.0.0.9", 1, "10.0.0.10", 2, 2, 0);

	lease("10.0.0.100", CLOSED);
	f.len = 20;
	assert_true(passes(DATAPATH_EGRESS, f));
	for (t.len = 34; t.len < 54; t.len++) /* the kernel takes no shorter ones for a test */
		assert_true(passes(DATAPATH_EGRESS, t));
}

/* ---- classification and the rewriter ---- */

enum { SLOT = 7 };

static const struct target target = {
	.flags = TARGET_READY, .generation = 3, .via = 0x7ffffff0, .out = 0x7ffffff0, .mtu = 1500,
	.dst_mac = { 2, 0, 0, 0, 0, 0x51 }, .src_mac = { 2, 0, 0, 0, 0, 0x52 },
};

static struct target_counters book(uint32_t slot)
{
	struct target_counters c;

	assert_int_equal(datapath_target_read(dp, slot, &c), 0);
	return c;
}

static struct flow_key key_of(uint8_t proto, const char *local, uint16_t local_port, const char *remote,
			      uint16_t remote_port)
{
	struct in6_addr l = ip(local), r = ip(remote);
	struct flow_key k = { .proto = proto, .local_port = htons(local_port), .remote_port = htons(remote_port) };

	memcpy(k.local, &l, 16);
	memcpy(k.remote, &r, 16);
	return k;
}

static void put_flow(struct flow_key k, uint32_t flags, const char *client)
{
	struct flow f = { .flags = flags, .target = SLOT, .generation = target.generation, .seen_ns = mono_ns() };
	struct in6_addr c = ip(client);

	memcpy(f.client_addr, &c, 16);
	assert_int_equal(bpf_map_update_elem(datapath_flows_fd(dp), &k, &f, BPF_ANY), 0);
}

static void drop_flow(struct flow_key k)
{
	assert_int_equal(bpf_map_delete_elem(datapath_flows_fd(dp), &k), 0);
}

/* F as a copy that shall carry CLIENT's address, through the egress of its device or the port of a cutter. */
static struct answer rewritten(struct frame f, bool out, const char *client, bool cut)
{
	struct copy_result *all = test_calloc((size_t)libbpf_num_possible_cpus(), sizeof(*all));
	struct in6_addr c = ip(client);
	struct answer a;

	for (int cpu = 0; cpu < libbpf_num_possible_cpus(); cpu++)
		memcpy(all[cpu].client, &c, 16);
	assert_int_equal(bpf_map_update_elem(datapath_results_fd(dp), &(uint32_t){ 0 }, all, BPF_ANY), 0);
	test_free(all);
	a = run(cut ? DATAPATH_CUT : DATAPATH_EGRESS, &f,
		(struct __sk_buff){ .ifindex = LO, .mark = COPY_MARK | COPY_CLIENT | (out ? COPY_OUT : 0) | SLOT });
	assert_int_equal(a.verdict, cut ? TC_ACT_SHOT : TC_ACT_UNSPEC);
	assert_int_equal(a.mark, COPY_MARK | COPY_CLIENT | (out ? COPY_OUT : 0) | COPY_DONE | SLOT);
	return a;
}

static void sensor_macs(struct frame *f)
{
	memcpy(f->b, target.dst_mac, 6);
	memcpy(f->b + 6, target.src_mac, 6);
}

static void same_frame(const struct frame *a, const struct frame *b)
{
	assert_int_equal(a->len, b->len);
	assert_memory_equal(a->b, b->b, b->len);
}

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
	assert_int_equal(datapath_target_set(dp, SLOT, &target), 0);

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

/* ---- encapsulations ---- */

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
	assert_int_equal(datapath_target_set(dp, SLOT, &t), 0);
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
	assert_int_equal(datapath_target_set(dp, SLOT, &wrapped_target), 0);
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

/* Every processor's. */
static void set_results(const struct copy_result *r)
{
	struct copy_result *all = test_calloc((size_t)libbpf_num_possible_cpus(), sizeof(*all));

	for (int cpu = 0; cpu < libbpf_num_possible_cpus(); cpu++)
		all[cpu] = *r;
	assert_int_equal(bpf_map_update_elem(datapath_results_fd(dp), &(uint32_t){ 0 }, all, BPF_ANY), 0);
	test_free(all);
}

static void source_port_is_of_the_flow(void **state)
{
	(void)state;
	struct frame f = transport(IPPROTO_TCP, "10.0.0.1", 1234, "10.0.0.9", 80, 0x18, 5);
	struct answer a;

	wrap_target(&wrappings[0], "192.0.2.1", "198.51.100.9", 1500);
	set_results(&(struct copy_result){ .hash = 0x1234e678 });
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
	assert_int_equal(datapath_target_set(dp, SLOT, &t), 0);
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
		assert_int_equal(datapath_target_set(dp, SLOT, &t), 0);
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

/* One packet; how many frames became eligible by it. */
static uint64_t eligible_by(enum datapath_program p, struct frame f)
{
	uint64_t before = book(SLOT).eligible;

	assert_true(passes(p, f));
	return book(SLOT).eligible - before;
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

	assert_int_equal(datapath_target_set(dp, SLOT, &target), 0);
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
	assert_int_equal(datapath_sweep(dp, 100, &(struct datapath_patience){ 0, NS_PER_S, NULL, NULL }), 0);
	/* By both, but just now. */
	f.closed[FLOW_OUT] = 1;
	f.closing_ns = mono_ns();
	assert_int_equal(bpf_map_update_elem(fd, &tcp, &f, BPF_ANY), 0);
	assert_int_equal(datapath_sweep(dp, 100, &(struct datapath_patience){ NS_PER_S, NS_PER_S, NULL, NULL }), 0);
	f.closing_ns -= 10;
	assert_int_equal(bpf_map_update_elem(fd, &tcp, &f, BPF_ANY), 0);
	f.closed[FLOW_IN] = f.closed[FLOW_OUT] = 0;
	f.seen_ns -= 2 * NS_PER_S;
	assert_int_equal(bpf_map_update_elem(fd, &lone, &f, BPF_ANY), 0);
	f.idle_s = 3; /* it says itself how long */
	assert_int_equal(bpf_map_update_elem(fd, &patient, &f, BPF_ANY), 0);
	assert_int_equal(datapath_sweep(dp, 100, &(struct datapath_patience){ 0, NS_PER_S, NULL, NULL }), 2);
	f.seen_ns -= 2 * NS_PER_S;
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
		{ .seen_ns = mono_ns() - 9 * NS_PER_S, .ifindex = 42 },
		{ .seen_ns = mono_ns(), .closing_ns = mono_ns() - 2 * NS_PER_S, .closed = { CLOSED_RST, CLOSED_RST }, .ifindex = 42 },
	};
	bool lives;
	const struct datapath_patience p = { NS_PER_S, 5 * NS_PER_S, as_told, &lives };

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

/* ---- the client's leg ---- */

static struct flow flow_of(struct flow_key k)
{
	struct flow f = { 0 };

	(void)bpf_map_lookup_elem(datapath_flows_fd(dp), &k, &f);
	return f;
}

static const struct leg leg = { .flags = LEG_CLONE, .service = 9, .first = SLOT, .count = 1, .generation = 3 };

static struct frame from_client(uint8_t proto, const char *vip, uint16_t port, uint8_t flags)
{
	bool v6 = strchr(vip, ':');

	return transport(proto, v6 ? "fd00::9" : "10.0.0.9", 4000, vip, port, flags, 5);
}

static void legs_know_their_clients(void **state)
{
	(void)state;
	const enum datapath_program EG = DATAPATH_EGRESS, IN = DATAPATH_INGRESS;
	const struct {
		const char *vip;
		uint16_t first, last, port;
		bool known;
	} cases[] = {
		{ "10.0.1.1", 80, 80, 80, true },      { "10.0.1.1", 80, 80, 81, false },
		{ "fd00:1::1", 80, 80, 80, true },     { "10.0.1.2", 1000, 1999, 999, false },
		{ "10.0.1.2", 1000, 1999, 1000, true }, { "10.0.1.2", 1000, 1999, 1500, true },
		{ "10.0.1.2", 1000, 1999, 1999, true }, { "10.0.1.2", 1000, 1999, 2000, false },
	};

	assert_int_equal(datapath_target_set(dp, SLOT, &target), 0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct in6_addr vip = ip(cases[i].vip);
		struct frame syn = from_client(IPPROTO_TCP, cases[i].vip, cases[i].port, 0x02);
		struct frame answer = transport(IPPROTO_TCP, cases[i].vip, cases[i].port, ip_is_v4(&vip) ? "10.0.0.9" : "fd00::9", 4000,
						0x12, 0);
		uint64_t opened = counter(GATE_flow_opened);

		assert_int_equal(datapath_leg_set(dp, 0, &vip, IPPROTO_TCP, cases[i].first, cases[i].last, &leg), 0);
		assert_int_equal(eligible_by(IN, syn), cases[i].known);
		assert_int_equal(eligible_by(EG, answer), cases[i].known);
		/* Not of a handshake that is in the kernel's table: older, or made up. */
		assert_int_equal(eligible_by(IN, from_client(IPPROTO_TCP, cases[i].vip, cases[i].port, 0x10)), 0);
		assert_int_equal(eligible_by(IN, from_client(IPPROTO_TCP, cases[i].vip, cases[i].port, 0x04)), 0);
		assert_int_equal(counter(GATE_flow_opened), opened);
		datapath_leg_clear(dp, 0, &vip, IPPROTO_TCP, cases[i].first, cases[i].last);
		assert_int_equal(eligible_by(IN, syn), 0);
	}
}

static void a_leg_by_one_interface_only(void **state)
{
	(void)state;
	struct in6_addr vip = ip("10.0.1.1");
	struct frame syn = from_client(IPPROTO_TCP, "10.0.1.1", 80, 0x02);

	assert_int_equal(datapath_domain(dp, 99, 7), 0);
	assert_int_equal(datapath_leg_set(dp, 99, &vip, IPPROTO_TCP, 80, 80, &leg), 0);
	assert_int_equal(eligible_by(DATAPATH_INGRESS, syn), 0);
	assert_int_equal(datapath_leg_set(dp, LO, &vip, IPPROTO_TCP, 80, 80, &leg), 0);
	assert_int_equal(eligible_by(DATAPATH_INGRESS, syn), 1);
	datapath_leg_clear(dp, LO, &vip, IPPROTO_TCP, 80, 80);
	datapath_leg_clear(dp, 99, &vip, IPPROTO_TCP, 80, 80);
	assert_int_equal(datapath_domain(dp, 99, 0), 0);
}

static void datagrams_of_a_client_are_a_flow(void **state)
{
	(void)state;
	struct in6_addr vip = ip("10.0.1.1"), client = ip("10.0.0.9");
	struct flow_key k = key_of(IPPROTO_UDP, "10.0.1.1", 53, "10.0.0.9", 4000);
	struct leg udp = leg;
	struct flow f;

	udp.idle_s = 30;
	assert_int_equal(datapath_leg_set(dp, 0, &vip, IPPROTO_UDP, 53, 53, &udp), 0);
	assert_int_equal(eligible_by(DATAPATH_INGRESS, from_client(IPPROTO_UDP, "10.0.1.1", 53, 0)), 1);
	f = flow_of(k);
	assert_int_equal(f.flags, FLOW_CLIENT | FLOW_CLONE);
	assert_int_equal(f.service, 9);
	assert_int_equal(f.idle_s, 30);
	/* The same words, the same id: by them the two legs of a connection find together. */
	assert_true(f.id == flow_id(datapath_flow_seed(dp), client.s6_addr, htons(4000), vip.s6_addr, htons(53),
				    IPPROTO_UDP));
	/* It is a flow now, with and without its leg. */
	datapath_leg_clear(dp, 0, &vip, IPPROTO_UDP, 53, 53);
	assert_int_equal(eligible_by(DATAPATH_EGRESS, transport(IPPROTO_UDP, "10.0.1.1", 53, "10.0.0.9", 4000, 0, 9)), 1);
	drop_flow(k);
	assert_int_equal(eligible_by(DATAPATH_INGRESS, from_client(IPPROTO_UDP, "10.0.1.1", 53, 0)), 0);
}

/* Who is in it stays in it; who is not is counted, frame and flow. */
/* By the port that a flow's hash gives it, networks and receivers tell its encapsulated copies from others'. */
static void flows_that_are_alike_have_hashes_that_are_not(void **state)
{
	(void)state;
	enum { FLOWS = 256, PORTS = 0x4000 };
	struct in6_addr vip = ip("10.0.1.1");
	struct leg udp = leg;
	static bool seen[PORTS];
	unsigned different = 0;

	udp.idle_s = 30;
	memset(seen, 0, sizeof(seen));
	assert_int_equal(datapath_leg_set(dp, 0, &vip, IPPROTO_UDP, 33000, 33999, &udp), 0);
	for (uint16_t i = 0; i < FLOWS; i++) { /* local ports as a kernel chooses them: every other one */
		uint16_t port = (uint16_t)(33000 + 2 * i);
		struct flow_key k = key_of(IPPROTO_UDP, "10.0.1.1", port, "10.0.0.9", 4000);

		assert_int_equal(eligible_by(DATAPATH_INGRESS, from_client(IPPROTO_UDP, "10.0.1.1", port, 0)), 1);
		different += !seen[flow_of(k).hash % PORTS];
		seen[flow_of(k).hash % PORTS] = true;
		drop_flow(k);
	}
	datapath_leg_clear(dp, 0, &vip, IPPROTO_UDP, 33000, 33999);
	assert_true(different > FLOWS - 16);
}

static void a_full_table_refuses_clients(void **state)
{
	(void)state;
	if (!dp)
		skip();

	struct in6_addr vip = ip("10.0.1.1");
	struct frame datagram = from_client(IPPROTO_UDP, "10.0.1.1", 53, 0);
	struct flow there = { .service = 1, .seen_ns = mono_ns() };
	struct flow_key k[4];
	struct target_counters before, after;
	uint64_t refused = counter(GATE_flow_refused);

	for (unsigned i = 0; i < ARRAY_SIZE(k); i++) {
		k[i] = key_of(IPPROTO_TCP, "10.0.0.1", (uint16_t)(1000 + i), "10.0.0.9", 80);
		assert_int_equal(bpf_map_update_elem(datapath_flows_fd(dp), &k[i], &there, BPF_ANY), 0);
	}
	assert_int_equal(datapath_leg_set(dp, 0, &vip, IPPROTO_UDP, 53, 53, &leg), 0);
	before = book(SLOT);
	assert_int_equal(eligible_by(DATAPATH_INGRESS, datagram), 1);
	after = book(SLOT);
	assert_int_equal(after.dropped_table_full, before.dropped_table_full + 1);
	assert_int_equal(after.flows_eligible, before.flows_eligible + 1);
	assert_int_equal(after.flows_refused, before.flows_refused + 1);
	assert_int_equal(after.flows_copied, before.flows_copied);
	assert_int_equal(counter(GATE_flow_refused), refused + 1);
	for (unsigned i = 0; i < ARRAY_SIZE(k); i++)
		assert_int_equal(flow_of(k[i]).service, 1);
	/* There is room again. */
	drop_flow(k[0]);
	assert_int_equal(eligible_by(DATAPATH_INGRESS, datagram), 1);
	assert_int_equal(book(SLOT).flows_copied, before.flows_copied + 1);
	assert_int_equal(book(SLOT).dropped_table_full, after.dropped_table_full);
	drop_flow(key_of(IPPROTO_UDP, "10.0.1.1", 53, "10.0.0.9", 4000));
	for (unsigned i = 1; i < ARRAY_SIZE(k); i++)
		drop_flow(k[i]);
	datapath_leg_clear(dp, 0, &vip, IPPROTO_UDP, 53, 53);
}

/* Of a handshake under way when the leg became what it is, the rest is not copied. */
static void a_copy_begins_with_the_first_packet(void **state)
{
	(void)state;
	struct in6_addr vip = ip("10.0.1.1");
	struct leg young = leg;
	struct frame answer = transport(IPPROTO_TCP, "10.0.1.1", 8081, "10.0.0.9", 4000, 0x12, 0);

	young.since_ns = mono_ns();
	assert_int_equal(datapath_leg_set(dp, 0, &vip, IPPROTO_TCP, 8081, 8081, &young), 0);
	assert_int_equal(eligible_by(DATAPATH_EGRESS, answer), 0);
	assert_int_equal(eligible_by(DATAPATH_INGRESS, from_client(IPPROTO_TCP, "10.0.1.1", 8081, 0x02)), 1);
	assert_int_equal(eligible_by(DATAPATH_EGRESS, answer), 1);
	/* And once more: what was noted was noted for the leg as it was. */
	young.generation = 4;
	assert_int_equal(datapath_leg_set(dp, 0, &vip, IPPROTO_TCP, 8081, 8081, &young), 0);
	assert_int_equal(eligible_by(DATAPATH_EGRESS, answer), 0);
	datapath_leg_clear(dp, 0, &vip, IPPROTO_TCP, 8081, 8081);
}

/* A port that a client uses again: another connection. */
static void a_closed_flow_ends_with_the_next_syn(void **state)
{
	(void)state;
	struct in6_addr vip = ip("10.0.1.1");
	struct flow_key k = key_of(IPPROTO_TCP, "10.0.1.1", 80, "10.0.0.9", 4000);
	struct frame syn = from_client(IPPROTO_TCP, "10.0.1.1", 80, 0x02);

	assert_int_equal(datapath_leg_set(dp, 0, &vip, IPPROTO_TCP, 80, 80, &leg), 0);
	put_flow(k, FLOW_CLIENT | FLOW_CLONE, "10.0.0.9");
	assert_int_equal(eligible_by(DATAPATH_INGRESS, from_client(IPPROTO_TCP, "10.0.1.1", 80, 0x11)), 1);
	assert_int_equal(flow_of(k).closed[FLOW_IN], CLOSED_FIN);
	assert_int_equal(flow_of(k).closed[FLOW_OUT], 0);
	assert_int_equal(eligible_by(DATAPATH_EGRESS, transport(IPPROTO_TCP, "10.0.1.1", 80, "10.0.0.9", 4000, 0x11, 0)), 1);
	assert_int_equal(flow_of(k).closed[FLOW_OUT], CLOSED_FIN);
	assert_int_equal(eligible_by(DATAPATH_INGRESS, from_client(IPPROTO_TCP, "10.0.1.1", 80, 0x14)), 1);
	assert_int_equal(flow_of(k).closed[FLOW_IN], CLOSED_RST);
	/* The kernel has no socket for it (and has one in test_clone_sides.py). */
	assert_int_equal(eligible_by(DATAPATH_INGRESS, syn), 1);
	assert_int_equal(flow_of(k).flags, 0);
	datapath_leg_clear(dp, 0, &vip, IPPROTO_TCP, 80, 80);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gate_rules),
		cmocka_unit_test(gate_closes_by_itself),
		cmocka_unit_test(gate_closes_for_all_at_once),
		cmocka_unit_test(gate_knows_vips_only),
		cmocka_unit_test(short_frames_pass),
		cmocka_unit_test(rewriter),
		cmocka_unit_test(encapsulations),
		cmocka_unit_test(a_decrypted_frame_is_marked_within),
		cmocka_unit_test(encapsulated_with_the_clients_address),
		cmocka_unit_test(source_port_is_of_the_flow),
		cmocka_unit_test(what_does_not_fit_is_counted),
		cmocka_unit_test(a_number_is_a_frame_that_left),
		cmocka_unit_test(copies_are_let_alone),
		cmocka_unit_test(eligible_frames_are_counted_with_their_outcome),
		cmocka_unit_test(any_packet_is_known),
		cmocka_unit_test(a_tag_within_the_frame_makes_it_nobodys),
		cmocka_unit_test(badges_say_whom_a_flow_serves),
		cmocka_unit_test(sweep_takes_what_both_sides_closed),
		cmocka_unit_test(sweep_spares_what_has_a_socket),
		cmocka_unit_test(legs_know_their_clients),
		cmocka_unit_test(a_leg_by_one_interface_only),
		cmocka_unit_test(datagrams_of_a_client_are_a_flow),
		cmocka_unit_test(flows_that_are_alike_have_hashes_that_are_not),
		cmocka_unit_test(a_full_table_refuses_clients),
		cmocka_unit_test(a_copy_begins_with_the_first_packet),
		cmocka_unit_test(a_closed_flow_ends_with_the_next_syn),
	};

	return cmocka_run_group_tests(tests, load, unload);
}
