#include "base/test.h"

#include "base/ipmap.h"

static struct in6_addr low(unsigned x)
{
	struct in6_addr a;

	assert_int_equal(ip_parse("10.0.0.0", &a), 0);
	a.s6_addr[14] = (uint8_t)(x >> 8);
	a.s6_addr[15] = (uint8_t)x;
	return a;
}

#define WORLD 300
#define SETS  12

static uint32_t naive(const struct ipset *sets, const uint32_t *which, size_t n, unsigned x)
{
	struct in6_addr a = low(x);

	for (size_t i = 0; i < n; i++)
		if (ipset_has(&sets[which[i]], &a))
			return which[i];
	return IPMAP_NONE;
}

static int mark(void *arg, uint32_t set, const struct in6_addr *net, unsigned len)
{
	uint32_t *found = arg;

	for (unsigned x = 0; x < WORLD; x++) {
		struct in6_addr a = low(x);

		if (!len || ip_number(&a) >> (128 - len) == ip_number(net) >> (128 - len)) {
			assert_int_equal(found[x], IPMAP_NONE); /* no address is in two networks */
			found[x] = set;
		}
	}
	return 0;
}

static bool even(void *arg, uint32_t set)
{
	(void)arg;
	return set % 2 == 0;
}

/* Against the plain way: ask one set after the other. */
static void first_of_random_sets(void **state)
{
	unsigned seed = 4711;

	(void)state;
	for (unsigned round = 0; round < 300; round++) {
		struct ipset sets[SETS] = { 0 };
		uint32_t which[SETS], found[WORLD];
		size_t n = 0;
		struct ipmap m;

		for (uint32_t i = 0; i < SETS; i++) {
			for (unsigned r = 0; r < round % 7; r++) {
				struct in6_addr a, b;
				unsigned x;

				seed = seed * 1103515245u + 12345;
				x = (seed >> 16) % WORLD;
				a = low(x);
				b = low(MIN(x + (seed >> 10) % 40, WORLD - 1u));
				assert_int_equal(ipset_add_range(&sets[i], &a, &b), 0);
			}
			ipset_seal(&sets[i]);
			if ((seed >> 20) % 5 == 0) { /* one that holds everybody, or all but a few */
				struct ipset all = ipset_everybody(), but = ipset_and(&all, &sets[i], true);

				ipset_fini(&all);
				ipset_fini(&sets[i]);
				sets[i] = but;
			}
			if ((seed >> 25) % 4)
				which[n++] = i;
		}
		m = ipmap_new(sets, which, n);
		for (size_t i = 1; i < m.n; i++) {
			assert_true(m.ranges[i].first > m.ranges[i - 1].last);
			assert_true(m.ranges[i].set != m.ranges[i - 1].set || m.ranges[i].first != m.ranges[i - 1].last + 1);
		}
		memset(found, 0xff, sizeof(found));
		ipmap_networks(&m, even, mark, found);
		for (unsigned x = 0; x < WORLD; x++) {
			struct in6_addr a = low(x);
			uint32_t first = naive(sets, which, n, x);

			assert_int_equal(ipmap_first(&m, &a), first);
			assert_int_equal(found[x], first != IPMAP_NONE && first % 2 == 0 ? first : IPMAP_NONE);
		}
		ipmap_fini(&m);
		for (unsigned i = 0; i < SETS; i++)
			ipset_fini(&sets[i]);
	}
}

static int count(void *arg, uint32_t set, const struct in6_addr *net, unsigned len)
{
	(void)set;
	(void)net;
	(void)len;
	return ++*(int *)arg == 2 ? -ENOSPC : 0;
}

static bool every(void *arg, uint32_t set)
{
	(void)arg;
	(void)set;
	return true;
}

static void both_ends_of_the_world(void **state)
{
	const uint32_t which[] = { 0, 1 };
	struct ipset sets[2] = { { 0 }, ipset_everybody() };
	struct in6_addr last, zero = { 0 };
	struct ipmap m;
	int n = 0;

	(void)state;
	memset(&last, 0xff, sizeof(last));
	ipset_add(&sets[0], &last);
	ipset_seal(&sets[0]);
	m = ipmap_new(sets, which, 2);
	assert_int_equal(ipmap_first(&m, &last), 0);
	assert_int_equal(ipmap_first(&m, &zero), 1);
	assert_int_equal(m.n, 2);
	assert_int_equal(ipmap_networks(&m, every, count, &n), -ENOSPC);
	assert_int_equal(n, 2);
	ipmap_fini(&m);
	m = ipmap_new(sets, which, 0);
	assert_int_equal(ipmap_first(&m, &zero), IPMAP_NONE);
	ipmap_fini(&m);
	ipset_fini(&sets[0]);
	ipset_fini(&sets[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(first_of_random_sets),
		cmocka_unit_test(both_ends_of_the_world),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
