#include "base/test.h"

#include "controller/capture/clock.h"

static void the_shortest_way_counts(void **state)
{
	struct clock c = { .n = 0 };
	uint64_t rtt;

	(void)state;
	assert_int_equal(clock_ahead_us(&c, &rtt), 0);
	clock_measured(&c, 1000, 400);
	clock_measured(&c, 1100, 100);
	clock_measured(&c, 900, 9000);
	assert_int_equal(clock_ahead_us(&c, &rtt), 1100);
	assert_int_equal(rtt, 100);
	for (unsigned i = 0; i < CLOCK_SAMPLES; i++)
		clock_measured(&c, 1090, 200);
	assert_int_equal(clock_ahead_us(&c, &rtt), 1090);
}

/* However short its ways were: they were another clock's. */
static void a_clock_that_was_set_is_measured_anew(void **state)
{
	struct clock c = { .n = 0 };
	uint64_t rtt;

	(void)state;
	for (unsigned i = 0; i < CLOCK_SAMPLES; i++)
		clock_measured(&c, 10, 100);
	clock_measured(&c, -4100000, 5000);
	assert_int_equal(clock_ahead_us(&c, &rtt), -4100000);
	clock_measured(&c, INT64_MAX, 5000);
	clock_measured(&c, INT64_MIN, 5000);
	assert_true(clock_ahead_us(&c, &rtt) == INT64_MIN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_shortest_way_counts),
		cmocka_unit_test(a_clock_that_was_set_is_measured_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
