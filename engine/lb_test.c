#include "base/test.h"

#include <pthread.h>

#include "engine/lb.h"

#define SERVERS 4

struct farm {
	struct lb lb;
	struct lb_member m[SERVERS], *members[SERVERS];
};

static void farm_make(struct farm *f, enum lb_kind kind, const unsigned ratio[SERVERS])
{
	*f = (struct farm){ .lb = { .kind = kind, .n = SERVERS, .members = f->members } };
	for (unsigned i = 0; i < SERVERS; i++) {
		union address a;

		assert_int_equal(address_parse(&a, "192.0.2.1", 80 + i), 0);
		f->m[i] = (struct lb_member){ .backend = backend_new("pool-1", &a, i), .ratio = ratio[i], .enabled = true };
		f->members[i] = &f->m[i];
	}
	lb_changed(&f->lb);
}

static void farm_drop(struct farm *f)
{
	for (unsigned i = 0; i < SERVERS; i++)
		backend_put(f->m[i].backend);
}

/* Which server was chosen; -errno. */
static int pick(struct farm *f)
{
	int why = 0;
	struct lb_member *m = lb_pick(&f->lb, false, &why);

	return m ? (int)(m - f->m) : why;
}

static void round_robin_goes_in_turn(void **state)
{
	struct farm f;

	(void)state;
	farm_make(&f, LB_ROUND_ROBIN, (unsigned[]){ 1, 1, 1, 1 });
	for (int i = 0; i < 40; i++)
		assert_int_equal(pick(&f), i % SERVERS);
	farm_drop(&f);
}

static void ratios_are_kept_and_smooth(void **state)
{
	struct farm f;
	int n[SERVERS] = { 0 }, last = -1, runs = 0;

	(void)state;
	farm_make(&f, LB_ROUND_ROBIN, (unsigned[]){ 3, 1, 1, 1 });
	for (int i = 0; i < 600; i++) {
		int s = pick(&f);

		n[s]++;
		runs = s == last ? runs + 1 : 1;
		last = s;
		assert_true(runs <= 2); /* never three in a row */
	}
	assert_int_equal(n[0], 300);
	assert_int_equal(n[1], 100);
	assert_int_equal(n[3], 100);
	farm_drop(&f);
}

static void least_connections_fills_evenly_by_ratio(void **state)
{
	struct farm f;

	(void)state;
	farm_make(&f, LB_LEAST_CONNECTIONS, (unsigned[]){ 2, 1, 1, 1 });
	for (int i = 0; i < 50; i++)
		pick(&f);
	assert_int_equal(f.m[0].backend->load, 20);
	assert_int_equal(f.m[1].backend->load, 10);
	/* One that is relieved gets the next ones. */
	for (int i = 0; i < 5; i++)
		backend_release(f.m[2].backend);
	for (int i = 0; i < 5; i++)
		assert_int_equal(pick(&f), 2);
	farm_drop(&f);
}

static void idle_servers_take_turns_under_least_connections(void **state)
{
	struct farm f;

	(void)state;
	farm_make(&f, LB_LEAST_CONNECTIONS, (unsigned[]){ 1, 1, 1, 1 });
	for (int i = 0; i < 8; i++) {
		int s = pick(&f);

		assert_int_equal(s, i % SERVERS);
		backend_release(f.m[s].backend);
	}
	farm_drop(&f);
}

static void idle_servers_share_by_ratio_under_least_connections(void **state)
{
	struct farm f;
	int n[SERVERS] = { 0 };

	(void)state;
	farm_make(&f, LB_LEAST_CONNECTIONS, (unsigned[]){ 1, 3, 1, 1 });
	for (int i = 0; i < 600; i++) {
		int s = pick(&f);

		n[s]++;
		backend_release(f.m[s].backend);
	}
	assert_int_equal(n[1], 300);
	assert_int_equal(n[0], 100);
	farm_drop(&f);
}

static void down_and_disabled_servers_are_skipped(void **state)
{
	static const enum lb_kind kinds[] = { LB_ROUND_ROBIN, LB_LEAST_CONNECTIONS };

	(void)state;
	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
		for (unsigned ratio = 1; ratio <= 2; ratio++) {
			struct farm f;

			farm_make(&f, kinds[k], (unsigned[]){ ratio, 1, 1, 1 });
			f.m[0].enabled = false;
			atomic_store(&f.m[1].backend->health, BACKEND_DOWN);
			f.m[2].avoid = true;
			for (int i = 0; i < 10; i++)
				assert_int_equal(pick(&f), 3);
			atomic_store(&f.m[3].backend->health, BACKEND_DOWN);
			assert_int_equal(pick(&f), -ENOENT);
			farm_drop(&f);
		}
	}
}

static void last_resort_takes_one_to_avoid(void **state)
{
	struct farm f;
	int why;

	(void)state;
	farm_make(&f, LB_ROUND_ROBIN, (unsigned[]){ 1, 1, 1, 1 });
	for (int i = 0; i < SERVERS; i++)
		f.m[i].avoid = true;
	assert_null(lb_pick(&f.lb, false, &why));
	assert_non_null(lb_pick(&f.lb, true, &why));
	farm_drop(&f);
}

static void limit_of_connections_is_told_apart_from_no_server(void **state)
{
	static const enum lb_kind kinds[] = { LB_ROUND_ROBIN, LB_LEAST_CONNECTIONS };

	(void)state;
	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
		struct farm f;

		farm_make(&f, kinds[k], (unsigned[]){ 3, 1, 1, 1 });
		f.lb.max_load = 2;
		for (int i = 0; i < 2 * SERVERS; i++)
			assert_true(pick(&f) >= 0);
		assert_int_equal(pick(&f), -EBUSY);
		backend_release(f.m[2].backend);
		assert_int_equal(pick(&f), 2);
		farm_drop(&f);
	}
}

#define THREADS 4
#define LIMIT   3

static atomic_uint most;

static void *picker(void *arg)
{
	struct farm *shared = arg, own = *shared;

	/* Each worker has its own balancer; the backends are shared. */
	own.lb.members = own.members;
	for (unsigned i = 0; i < SERVERS; i++)
		own.members[i] = &own.m[i];
	for (int i = 0; i < 20000; i++) {
		int s = pick(&own);

		if (s < 0)
			continue;
		unsigned load = atomic_load(&own.m[s].backend->load), before = atomic_load(&most);

		while (load > before && !atomic_compare_exchange_weak(&most, &before, load))
			;
		backend_release(own.m[s].backend);
	}
	return NULL;
}

static void limit_holds_over_all_workers(void **state)
{
	pthread_t t[THREADS];
	struct farm f;

	(void)state;
	farm_make(&f, LB_LEAST_CONNECTIONS, (unsigned[]){ 1, 1, 1, 1 });
	f.lb.max_load = LIMIT;
	for (int i = 1; i < SERVERS; i++)
		f.m[i].enabled = false;
	for (int i = 0; i < THREADS; i++)
		pthread_create(&t[i], NULL, picker, &f);
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	assert_in_range(atomic_load(&most), 1, LIMIT);
	for (int i = 0; i < SERVERS; i++)
		assert_int_equal(f.m[i].backend->load, 0);
	farm_drop(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_robin_goes_in_turn),
		cmocka_unit_test(ratios_are_kept_and_smooth),
		cmocka_unit_test(least_connections_fills_evenly_by_ratio),
		cmocka_unit_test(idle_servers_take_turns_under_least_connections),
		cmocka_unit_test(idle_servers_share_by_ratio_under_least_connections),
		cmocka_unit_test(down_and_disabled_servers_are_skipped),
		cmocka_unit_test(last_resort_takes_one_to_avoid),
		cmocka_unit_test(limit_of_connections_is_told_apart_from_no_server),
		cmocka_unit_test(limit_holds_over_all_workers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
