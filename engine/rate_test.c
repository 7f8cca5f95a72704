#include "base/test.h"

#include <pthread.h>

#include "engine/rate.h"

#define T0 (1000 * NS_PER_S)

static unsigned taken(struct rate *r, const struct rate_limit *l, unsigned tries, uint64_t now)
{
	unsigned n = 0;

	for (unsigned i = 0; i < tries; i++)
		n += rate_take(r, l, now);
	return n;
}

static void so_many_in_a_time(void **state)
{
	struct rate_limit l = rate_limit_of(100, NS_PER_S, 10), none = { 0 };
	struct rate r = { 0 };
	unsigned n = 0;

	(void)state;
	assert_int_equal(taken(&r, &none, 1000, T0), 1000);
	assert_int_equal(taken(&r, &l, 50, T0), 10); /* the burst */
	for (unsigned ms = 1; ms <= 1000; ms++)
		n += taken(&r, &l, 3, T0 + ms * NS_PER_MS);
	assert_in_range(n, 99, 101);
	/* Silence earns the burst again, and no more. */
	assert_int_equal(taken(&r, &l, 50, T0 + 60 * NS_PER_S), 10);
}

static void extremes_do_not_overflow(void **state)
{
	struct rate_limit l = rate_limit_of(1, 1000000000ULL * NS_PER_S, 1000000000);
	struct rate r = { 0 };

	(void)state;
	assert_true(rate_take(&r, &l, T0));
	l = rate_limit_of(UINT64_MAX, 1, 0);
	r = (struct rate){ 0 };
	assert_int_equal(taken(&r, &l, 10, T0), 1);
}

static void a_client_has_a_rate_of_its_own(void **state)
{
	struct rate_limit l = rate_limit_of(10, NS_PER_S, 10);
	struct rate_table *t = rate_table_new();
	union address a, b;
	unsigned n = 0;

	(void)state;
	assert_int_equal(address_parse(&a, "10.0.0.1", 1), 0);
	assert_int_equal(address_parse(&b, "fd00::1", 1), 0);
	for (unsigned i = 0; i < 30; i++) {
		a.in.sin_port = (in_port_t)i; /* a client is its address */
		n += rate_table_take(t, &a, &l, false, T0);
	}
	assert_int_equal(n, 10);
	assert_true(rate_table_take(t, &b, &l, false, T0));
	assert_true(rate_table_take(t, &a, &l, false, T0 + 100 * NS_PER_MS));
	rate_table_free(t);
}

static void who_goes_on_waits_longer(void **state)
{
	struct rate_limit l = rate_limit_of(10, NS_PER_S, 10);
	struct rate_table *t = rate_table_new();
	union address a;
	unsigned n = 0;

	(void)state;
	assert_int_equal(address_parse(&a, "10.0.0.1", 1), 0);
	/* A hundred a second for twenty seconds: the burst, then nothing for as long as it lasts. */
	for (unsigned i = 0; i < 2000; i++)
		n += rate_table_take(t, &a, &l, true, T0 + i * 10 * NS_PER_MS);
	assert_in_range(n, 10, 12);
	assert_false(rate_table_take(t, &a, &l, true, T0 + 22 * NS_PER_S));
	assert_true(rate_table_take(t, &a, &l, true, T0 + 31 * NS_PER_S));
	rate_table_free(t);
}

static void a_flood_of_addresses_stays_within_the_table(void **state)
{
	struct rate_limit l = rate_limit_of(10, NS_PER_S, 10);
	struct rate_table *t = rate_table_new();
	union address a;
	unsigned n = 0;

	(void)state;
	assert_int_equal(address_parse(&a, "10.0.0.1", 1), 0);
	for (uint32_t i = 0; i < 300000; i++) {
		a.in.sin_addr.s_addr = htonl(0x0b000000 + i);
		n += rate_table_take(t, &a, &l, false, T0 + i);
	}
	assert_int_equal(n, 300000);
	rate_table_free(t);
}

static struct rate shared;
static const uint64_t moment = T0;

static void *taker(void *arg)
{
	struct rate_limit l = rate_limit_of(1000, NS_PER_S, 1000);

	*(unsigned *)arg = taken(&shared, &l, 100000, moment);
	return NULL;
}

static void threads_share_one_limit(void **state)
{
	unsigned n[4], sum = 0;
	pthread_t t[4];

	(void)state;
	for (unsigned i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, taker, &n[i]);
	for (unsigned i = 0; i < 4; i++) {
		pthread_join(t[i], NULL);
		sum += n[i];
	}
	assert_int_equal(sum, 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(so_many_in_a_time),
		cmocka_unit_test(extremes_do_not_overflow),
		cmocka_unit_test(a_client_has_a_rate_of_its_own),
		cmocka_unit_test(who_goes_on_waits_longer),
		cmocka_unit_test(a_flood_of_addresses_stays_within_the_table),
		cmocka_unit_test(threads_share_one_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
