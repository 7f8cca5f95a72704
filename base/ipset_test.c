#include "base/test.h"

#include "base/ipset.h"

static struct in6_addr ip(const char *text)
{
	struct in6_addr a;

	assert_int_equal(ip_parse(text, &a), 0);
	return a;
}

static void add_prefix(struct ipset *s, const char *text)
{
	struct in6_addr net;
	unsigned len;

	assert_int_equal(ip_parse_prefix(text, &net, &len), 0);
	ipset_add_prefix(s, &net, len);
}

static bool has(const struct ipset *s, const char *text)
{
	struct in6_addr a = ip(text);

	return ipset_has(s, &a);
}

static void what_is_in_is_found_and_nothing_else(void **state)
{
	struct ipset s = { 0 };
	struct in6_addr a = ip("192.0.2.7"), b = ip("10.9.0.250"), c = ip("10.9.1.5"), d = ip("fd00::5");

	(void)state;
	assert_false(has(&s, "10.0.0.1"));
	ipset_add(&s, &a);
	add_prefix(&s, "10.1.2.99/16");
	add_prefix(&s, "2001:db8::/33");
	assert_int_equal(ipset_add_range(&s, &b, &c), 0);
	assert_int_equal(ipset_add_range(&s, &c, &b), -EINVAL);
	assert_int_equal(ipset_add_range(&s, &b, &d), -EINVAL);
	ipset_seal(&s);
	static const char *const in[] = { "192.0.2.7", "10.1.0.0", "10.1.255.255", "10.9.0.250", "10.9.1.0", "10.9.1.5",
					  "2001:db8::1", "2001:db8:7fff:ffff::1" };
	static const char *const out[] = { "192.0.2.6", "192.0.2.8", "10.0.255.255", "10.2.0.0", "10.9.0.249", "10.9.1.6",
					   "2001:db8:8000::", "2001:db7:ffff::", "fd00::5", "::", "0.0.0.0" };

	for (size_t i = 0; i < ARRAY_SIZE(in); i++)
		if (!has(&s, in[i]))
			fail_msg("%s is not in", in[i]);
	for (size_t i = 0; i < ARRAY_SIZE(out); i++)
		if (has(&s, out[i]))
			fail_msg("%s is in", out[i]);
	ipset_fini(&s);
}

static void families_are_apart(void **state)
{
	struct ipset s = { 0 };

	(void)state;
	add_prefix(&s, "::/0");
	ipset_seal(&s);
	assert_true(has(&s, "::"));
	assert_true(has(&s, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"));
	assert_false(has(&s, "0.0.0.0"));
	assert_false(has(&s, "255.255.255.255"));
	add_prefix(&s, "0.0.0.0/0");
	ipset_seal(&s);
	assert_true(has(&s, "10.0.0.1"));
	assert_int_equal(s.n, 1); /* they touch, and became one */
	ipset_fini(&s);
}

/* Against the plain way, over a small corner of the world. */
static void merged_ranges_mean_the_same(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 200; round++) {
		struct ipset s = { 0 };
		bool truth[256] = { 0 };
		unsigned seed = round + 1;

		for (unsigned i = 0; i < round % 13; i++) {
			struct in6_addr a = ip("10.0.0.0"), b = a;

			seed = seed * 1103515245u + 12345;
			a.s6_addr[15] = (uint8_t)(seed >> 16);
			b.s6_addr[15] = (uint8_t)MIN(255u, a.s6_addr[15] + (seed >> 8 & 15));
			assert_int_equal(ipset_add_range(&s, &a, &b), 0);
			for (unsigned x = a.s6_addr[15]; x <= b.s6_addr[15]; x++)
				truth[x] = true;
		}
		ipset_seal(&s);
		for (unsigned x = 0; x < 256; x++) {
			struct in6_addr a = ip("10.0.0.0");

			a.s6_addr[15] = (uint8_t)x;
			assert_int_equal(ipset_has(&s, &a), truth[x]);
		}
		ipset_fini(&s);
	}
}

static int put_back(void *arg, const struct in6_addr *net, unsigned len)
{
	bool v4 = ip_is_v4(net);

	assert_true(len <= 128);
	if (!v4 || len >= 96)
		ipset_add_prefix(arg, net, v4 ? len - 96 : len);
	return 0;
}

static int last_len(void *arg, const struct in6_addr *net, unsigned len)
{
	(void)net;
	*(unsigned *)arg = len;
	return 0;
}

/* Sets made of sets, against the plain way; and networks are the set again. */
static void sets_of_sets(void **state)
{
	struct ipset all = ipset_everybody();
	unsigned len = 77;

	(void)state;
	assert_int_equal(ipset_networks(&all, last_len, &len), 0);
	assert_int_equal(len, 0);
	for (unsigned round = 0; round < 300; round++) {
		struct ipset s[2] = { 0 }, both, first, back = { 0 };
		bool truth[2][256] = { 0 };
		unsigned seed = round + 7;

		for (unsigned i = 0; i < round % 17; i++) {
			struct in6_addr a = ip("10.0.0.0"), b = a;

			seed = seed * 1103515245u + 12345;
			a.s6_addr[15] = (uint8_t)(seed >> 16);
			b.s6_addr[15] = (uint8_t)MIN(255u, a.s6_addr[15] + (seed >> 8 & 31));
			assert_int_equal(ipset_add_range(&s[i & 1], &a, &b), 0);
			for (unsigned x = a.s6_addr[15]; x <= b.s6_addr[15]; x++)
				truth[i & 1][x] = true;
		}
		ipset_seal(&s[0]);
		ipset_seal(&s[1]);
		both = ipset_and(&s[0], &s[1], false);
		first = ipset_and(&s[0], &s[1], true);
		ipset_networks(&first, put_back, &back);
		ipset_seal(&back);
		for (unsigned x = 0; x < 256; x++) {
			struct in6_addr a = ip("10.0.0.0");

			a.s6_addr[15] = (uint8_t)x;
			assert_int_equal(ipset_has(&both, &a), truth[0][x] && truth[1][x]);
			assert_int_equal(ipset_has(&first, &a), truth[0][x] && !truth[1][x]);
			assert_int_equal(ipset_has(&back, &a), truth[0][x] && !truth[1][x]);
		}
		ipset_fini(&s[0]);
		ipset_fini(&s[1]);
		ipset_fini(&both);
		ipset_fini(&first);
		ipset_fini(&back);
	}
	ipset_fini(&all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_in_is_found_and_nothing_else),
		cmocka_unit_test(families_are_apart),
		cmocka_unit_test(sets_of_sets),
		cmocka_unit_test(merged_ranges_mean_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
