/*
 * frames_test - packets in, verdicts and packets out: the programs as the kernel runs them (BPF_PROG_TEST_RUN).
 *
 * A test file runs its tests between load() and unload(); `dp` is what they are about. Without the rights to load the
 * programs all of them skip, by name. Frames are made byte by byte, between mac_a and mac_b, on the interface LO.
 */
#ifndef SPANWIRE_ENGINE_BPF_FRAMES_TEST_H
#define SPANWIRE_ENGINE_BPF_FRAMES_TEST_H

#include "base/test.h"

#include <arpa/inet.h>
#include <linux/pkt_cls.h>
#include <net/ethernet.h>
#include <netinet/if_ether.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "engine/bpf/datapath.h"

enum { LO = 1 }; /* the interface that a test packet is on */

static struct datapath *dp;
static const uint8_t mac_a[6] = { 2, 0, 0, 0, 0, 0xa }, mac_b[6] = { 2, 0, 0, 0, 0, 0xb };

static inline int load(void **state)
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

static inline int unload(void **state)
{
	(void)state;
	datapath_free(dp);
	return 0;
}

static inline struct in6_addr ip(const char *text)
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

static inline uint32_t sum16(const void *p, size_t n, uint32_t sum)
{
	const uint8_t *b = p;

	for (size_t i = 0; i + 1 < n; i += 2)
		sum += (uint32_t)(b[i] << 8 | b[i + 1]);
	if (n & 1)
		sum += (uint32_t)(b[n - 1] << 8);
	return sum;
}

static inline uint16_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static inline void ether(struct frame *f, uint16_t type)
{
	memset(f, 0, sizeof(*f));
	memcpy(f->b, mac_b, 6);
	memcpy(f->b + 6, mac_a, 6);
	f->b[12] = (uint8_t)(type >> 8);
	f->b[13] = (uint8_t)type;
	f->len = 14;
}

static inline struct frame arp(uint16_t op, const char *sender, const char *target)
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
static inline uint16_t transport_sum(const struct frame *f, uint32_t at, uint8_t proto)
{
	bool v4 = f->b[12] == 8 && f->b[13] == 0;
	uint32_t sum = v4 ? sum16(f->b + 26, 8, 0) : sum16(f->b + 22, 32, 0);

	return fold(sum16(f->b + at, f->len - at, sum + proto + f->len - at));
}

static inline struct frame transport(uint8_t proto, const char *src, uint16_t sport, const char *dst, uint16_t dport,
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

static inline void insert(struct frame *f, uint32_t at, const uint8_t *p, uint32_t n)
{
	memmove(f->b + at + n, f->b + at, f->len - at);
	memcpy(f->b + at, p, n);
	f->len += n;
}

/* Length and header checksum as F has become. */
static inline struct frame ip_finish(struct frame f)
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
static inline struct frame with_extensions(struct frame f, uint8_t kind, unsigned n)
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
static inline struct frame fragment(struct frame f, uint32_t at, bool later, uint8_t id)
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
static inline struct frame icmp_error(const char *from, uint8_t type, const struct frame *f)
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

static inline struct frame advertisement(const char *src, const char *target)
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

static inline struct answer run(enum datapath_program p, const struct frame *f, struct __sk_buff ctx)
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

static inline bool passes(enum datapath_program p, struct frame f)
{
	struct answer a = run(p, &f, (struct __sk_buff){ .ifindex = LO });

	assert_true(a.verdict == TC_ACT_SHOT || a.verdict == TC_ACT_UNSPEC);
	/* A production packet is let through as it is, or not at all. */
	assert_memory_equal(a.f.b, f.b, f.len);
	return a.verdict == TC_ACT_UNSPEC;
}

static inline uint64_t counter(enum gate_counter c)
{
	uint64_t all[GATE_COUNTERS];

	assert_int_equal(datapath_counters(dp, all), 0);
	return all[c];
}

/* ---- what the maps hold ---- */

enum gate { OPEN, CLOSED, EXPIRED, ELSEWHERE };

static inline void lease(const char *vip, enum gate g)
{
	struct in6_addr a = ip(vip);
	uint64_t now = mono_ns();
	uint64_t until[] = { [OPEN] = now + 60 * NS_PER_S, [CLOSED] = 0, [EXPIRED] = now - 1,
			     [ELSEWHERE] = now + 60 * NS_PER_S };

	assert_int_equal(datapath_vip_set(dp, 0, &a, g == ELSEWHERE ? 77 : LO, until[g], until[g]), 0);
}

enum { SLOT = 7 };

static const struct target target = {
	.flags = TARGET_READY, .generation = 3, .via = 0x7ffffff0, .out = 0x7ffffff0, .mtu = 1500,
	.dst_mac = { 2, 0, 0, 0, 0, 0x51 }, .src_mac = { 2, 0, 0, 0, 0, 0x52 },
};

/* What the rewriter is told where it runs by itself, on every processor. */
static struct copy_result told;

static inline void tell(void)
{
	struct copy_result *all = test_calloc((size_t)libbpf_num_possible_cpus(), sizeof(*all));

	for (int cpu = 0; cpu < libbpf_num_possible_cpus(); cpu++)
		all[cpu] = told;
	assert_int_equal(bpf_map_update_elem(datapath_results_fd(dp), &(uint32_t){ 0 }, all, BPF_ANY), 0);
	test_free(all);
}

static inline void set_target(const struct target *t)
{
	datapath_target_set(dp, SLOT, t);
	told.target = *t;
	tell();
}

static inline struct target_counters book(uint32_t slot)
{
	struct target_counters c;

	assert_int_equal(datapath_target_read(dp, slot, &c), 0);
	return c;
}

static inline struct flow_key key_of(uint8_t proto, const char *local, uint16_t local_port, const char *remote,
			      uint16_t remote_port)
{
	struct in6_addr l = ip(local), r = ip(remote);
	struct flow_key k = { .proto = proto, .local_port = htons(local_port), .remote_port = htons(remote_port) };

	memcpy(k.local, &l, 16);
	memcpy(k.remote, &r, 16);
	return k;
}

static inline void put_flow(struct flow_key k, uint32_t flags, const char *client)
{
	struct flow f = { .flags = flags, .target = SLOT, .generation = target.generation, .seen_ns = mono_ns() };
	struct in6_addr c = ip(client);

	memcpy(f.client_addr, &c, 16);
	assert_int_equal(bpf_map_update_elem(datapath_flows_fd(dp), &k, &f, BPF_ANY), 0);
}

static inline void drop_flow(struct flow_key k)
{
	assert_int_equal(bpf_map_delete_elem(datapath_flows_fd(dp), &k), 0);
}

/* F as a copy that shall carry CLIENT's address, through the egress of its device or the port of a cutter. */
static inline struct answer rewritten(struct frame f, bool out, const char *client, bool cut)
{
	struct in6_addr c = ip(client);
	struct answer a;

	memcpy(told.client, &c, 16);
	tell();
	a = run(cut ? DATAPATH_CUT : DATAPATH_EGRESS, &f,
		(struct __sk_buff){ .ifindex = LO, .mark = COPY_MARK | COPY_CLIENT | (out ? COPY_OUT : 0) | SLOT });
	assert_int_equal(a.verdict, cut ? TC_ACT_SHOT : TC_ACT_UNSPEC);
	assert_int_equal(a.mark, COPY_MARK | COPY_CLIENT | (out ? COPY_OUT : 0) | COPY_DONE | SLOT);
	return a;
}

static inline void sensor_macs(struct frame *f)
{
	memcpy(f->b, target.dst_mac, 6);
	memcpy(f->b + 6, target.src_mac, 6);
}

static inline void same_frame(const struct frame *a, const struct frame *b)
{
	assert_int_equal(a->len, b->len);
	assert_memory_equal(a->b, b->b, b->len);
}

/* One packet; how many frames became eligible by it. */
static inline uint64_t eligible_by(enum datapath_program p, struct frame f)
{
	uint64_t before = book(SLOT).eligible;

	assert_true(passes(p, f));
	return book(SLOT).eligible - before;
}

#endif
