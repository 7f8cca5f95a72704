/*
 * The client's leg: packets between clients and VIPs, known by where they come to.
 */
#include "engine/bpf/frames_test.h"

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

	set_target(&target);
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
