#include "base/test.h"

#include "controller/rest/lockout.h"

static const uint64_t MINUTE = 60 * NS_PER_S;

static void three_failures_lock_for_a_while(void **state)
{
	const struct lockout_limits limits = { .failures = 3, .lock_ns = 30 * MINUTE };
	struct lockout l;
	uint64_t now = MINUTE;

	(void)state;
	lockout_init(&l);
	assert_false(lockout_failed(&l, "ann", &limits, now));
	assert_false(lockout_failed(&l, "ann", &limits, now));
	assert_false(lockout_failed(&l, "bob", &limits, now));
	assert_false(lockout_holds(&l, "ann", now));
	assert_true(lockout_failed(&l, "ann", &limits, now));
	assert_true(lockout_holds(&l, "ann", now + 30 * MINUTE - 1));
	assert_false(lockout_holds(&l, "bob", now));
	assert_false(lockout_holds(&l, "ann", now + 30 * MINUTE));
	/* From then on the counting starts anew. */
	assert_false(lockout_failed(&l, "ann", &limits, now + 30 * MINUTE));
	lockout_fini(&l);
}

static void a_good_login_forgets(void **state)
{
	const struct lockout_limits limits = { .failures = 3 }, none = { 0 };
	struct lockout l;

	(void)state;
	lockout_init(&l);
	for (unsigned i = 0; i < 10; i++) {
		assert_false(lockout_failed(&l, "ann", &limits, i));
		assert_false(lockout_failed(&l, "ann", &limits, i));
		lockout_forget(&l, "ann");
		assert_false(lockout_failed(&l, "nobody minds", &none, i));
	}
	/* Without a time it holds until somebody sets a password. */
	for (unsigned i = 0; i < 3; i++)
		lockout_failed(&l, "ann", &limits, 5);
	assert_true(lockout_holds(&l, "ann", UINT64_MAX - 1));
	lockout_forget(&l, "ann");
	assert_false(lockout_holds(&l, "ann", 6));
	lockout_fini(&l);
}

static void old_failures_do_not_count(void **state)
{
	const struct lockout_limits limits = { .failures = 3,
					       .lock_ns = MINUTE,
					       .window_ns = 10 * MINUTE };
	struct lockout l;

	(void)state;
	lockout_init(&l);
	for (uint64_t now = MINUTE; now < 200 * MINUTE; now += 11 * MINUTE)
		assert_false(lockout_failed(&l, "ann", &limits, now));
	lockout_fini(&l);
}

static void strangers_cannot_fill_the_memory(void **state)
{
	const struct lockout_limits limits = { .failures = 3, .lock_ns = MINUTE };
	struct lockout l;
	char name[32];

	(void)state;
	lockout_init(&l);
	for (unsigned i = 0; i < 3 * LOCKOUT_NAMES; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		lockout_failed(&l, name, &limits, i);
	}
	assert_int_equal(l.n, LOCKOUT_NAMES);
	lockout_fini(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(three_failures_lock_for_a_while),
		cmocka_unit_test(a_good_login_forgets),
		cmocka_unit_test(old_failures_do_not_count),
		cmocka_unit_test(strangers_cannot_fill_the_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
