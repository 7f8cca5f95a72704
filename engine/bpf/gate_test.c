/*
 * The lease gate: which packets of a VIP pass, and until when.
 */
#include "engine/bpf/frames_test.h"

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
	uint64_t end = mono_ns() + 60 * NS_PER_S;
	bool passed;

	assert_int_equal(datapath_vip_set(dp, 0, &vip, LO, end, end), 0);
	assert_true(passes(DATAPATH_EGRESS, answer));
	end = mono_ns() + 20 * NS_PER_MS;
	assert_int_equal(datapath_vip_set(dp, 0, &vip, LO, end, end), 0);
	do {
		uint64_t before = mono_ns();
		passed = passes(DATAPATH_EGRESS, answer);
		if (before >= end)
			assert_false(passed);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gate_rules),
		cmocka_unit_test(gate_closes_by_itself),
		cmocka_unit_test(gate_closes_for_all_at_once),
		cmocka_unit_test(gate_knows_vips_only),
		cmocka_unit_test(short_frames_pass),
	};

	return cmocka_run_group_tests(tests, load, unload);
}
