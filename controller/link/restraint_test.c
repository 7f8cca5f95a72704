#include "base/test.h"

#include "base/base.h"
#include "controller/link/restraint.h"

static const struct restraint_rate rate = { .burst = 3, .per_minute = 2 };

static void the_rest_is_counted(void **state)
{
	struct restraint *r = xcalloc(1, sizeof(*r));
	unsigned held = 99;

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_true(restraint_allows(r, "a", rate, 1000, &held) && held == 0);
	for (int i = 0; i < 5; i++)
		assert_false(restraint_allows(r, "a", rate, 1000 + i, &held));
	assert_true(restraint_allows(r, "b", rate, 1000, &held) && held == 0); /* another one is not concerned */
	assert_true(restraint_allows(r, "a", rate, 1030, &held));
	assert_int_equal(held, 5);
	assert_false(restraint_allows(r, "a", rate, 1031, &held));
	assert_int_equal(r->held, 6);
	/* After a long rest as at the beginning, and no more. */
	for (int i = 0; i < 3; i++)
		assert_true(restraint_allows(r, "a", rate, 9000, &held) && held == (i == 0));
	assert_false(restraint_allows(r, "a", rate, 9000, &held));
	free(r);
}

static void who_asks_often_still_gets_his_share(void **state)
{
	struct restraint *r = xcalloc(1, sizeof(*r));
	unsigned held, told = 0, all = 0;

	(void)state;
	for (uint64_t s = 0; s < 600; s++)
		for (int i = 0; i < 10; i++, all++)
			told += restraint_allows(r, "a", rate, 1000 + s, &held);
	assert_in_range(told, 3 + 19, 3 + 20);
	assert_int_equal(r->held, all - told);
	free(r);
}

static void many_have_room_and_the_oldest_goes(void **state)
{
	struct restraint *r = xcalloc(1, sizeof(*r));
	unsigned held, told = 0;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		CLEANUP_FREE char *key = xasprintf("key %d", i);

		told += restraint_allows(r, key, rate, 1000 + (uint64_t)i, &held);
	}
	assert_int_equal(told, 20000);
	free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_rest_is_counted),
		cmocka_unit_test(who_asks_often_still_gets_his_share),
		cmocka_unit_test(many_have_room_and_the_oldest_goes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
