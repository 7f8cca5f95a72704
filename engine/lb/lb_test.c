#include "base/test.h"

#include <limits.h>
#include <pthread.h>

#include "engine/lb/lb.h"

struct farm {
	struct lb lb;
	size_t n;
	struct lb_member *m, **members;
	uint64_t *bytes;
	struct arena arena;
	uint64_t now, key;
	unsigned avoid_n;
	const struct lb_member *avoid[LB_AVOID];
	unsigned turn;
};

static uint64_t name_of(unsigned i)
{
	return lb_hash_mix(i + 1);
}

/* As a configuration does it: again after each change of rules, ratios or members. */
static void farm_set(struct farm *f, enum lb_kind kind)
{
	struct lb_rules r = f->lb.rules;
	struct lb_hash_server *h = xcalloc(f->n, sizeof(*h));

	for (size_t i = 0; i < f->n; i++)
		h[i] = (struct lb_hash_server){ name_of((unsigned)i), i, f->m[i].ratio };
	r.kind = kind;
	r.hash = kind == LB_CONSISTENT_HASH ? lb_hash_new(&f->arena, h, f->n) : NULL;
	lb_set(&f->lb, &r, f->members, f->n);
	free(h);
}

static void farm_make(struct farm *f, enum lb_kind kind, size_t n, const unsigned *ratio)
{
	*f = (struct farm){ .n = n, .now = NS_PER_S, .lb.cores = 1 };
	f->m = xcalloc(n, sizeof(f->m[0]));
	f->members = xcalloc(n, sizeof(struct lb_member *));
	f->bytes = xcalloc(n, sizeof(f->bytes[0]));
	for (unsigned i = 0; i < n; i++) {
		union address a;

		assert_int_equal(address_parse(&a, "192.0.2.1", 80 + i), 0);
		f->m[i] = (struct lb_member){ .backend = backend_new("pool-1", &a, i), .ratio = ratio ? ratio[i] : 1,
					      .enabled = true, .bytes = &f->bytes[i] };
		f->members[i] = &f->m[i];
	}
	farm_set(f, kind);
}

static void farm_drop(struct farm *f)
{
	for (size_t i = 0; i < f->n; i++)
		backend_put(f->m[i].backend);
	lb_fini(&f->lb);
	arena_fini(&f->arena);
	free(f->m);
	free(f->members);
	free(f->bytes);
}

/* Which server was chosen; -errno. */
static int pick(struct farm *f)
{
	struct lb_ask ask = { .now = f->now, .key = f->key, .avoid_n = f->avoid_n };
	int why = 0;
	struct lb_member *m;

	memcpy(ask.avoid, f->avoid, sizeof(ask.avoid));
	m = lb_pick(&f->lb, &ask, &why);
	return m ? (int)(m - f->m) : why;
}

static void done(struct farm *f, int s)
{
	lb_release(&f->lb, &f->m[s]);
}

/* One after the other. */
static void serve(struct farm *f, int times, int *n)
{
	for (int i = 0; i < times; i++) {
		int s = pick(f);

		assert_true(s >= 0);
		n[s]++;
		f->key = lb_hash_mix(f->key + 1);
		done(f, s);
	}
}

/* N of TIMES at probability P: within five standard deviations. */
static void likely(int n, int times, double p)
{
	double mean = times * p, off = n - mean;

	if (off * off > 25 * mean * (1 - p))
		fail_msg("%d of %d, %.0f expected", n, times, mean);
}

static const enum lb_kind every_kind[] = {
#define X(kind, text) kind,
	LB_KINDS(X)
#undef X
};

static void round_robin_goes_in_turn(void **state)
{
	struct farm f;

	(void)state;
	farm_make(&f, LB_ROUND_ROBIN, 4, NULL);
	for (int i = 0; i < 40; i++)
		assert_int_equal(pick(&f), i % 4);
	farm_drop(&f);
	/* Workers begin with different servers. */
	farm_make(&f, LB_ROUND_ROBIN, 4, NULL);
	f.lb.core = 1;
	f.lb.cores = 2;
	farm_set(&f, LB_ROUND_ROBIN);
	assert_int_equal(pick(&f), 1);
	farm_drop(&f);
}

static void ratios_are_kept_and_smooth(void **state)
{
	struct farm f;
	int n[4] = { 0 }, last = -1, runs = 0;

	(void)state;
	farm_make(&f, LB_ROUND_ROBIN, 4, (unsigned[]){ 3, 1, 1, 1 });
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

static void an_edit_does_not_begin_anew(void **state)
{
	struct farm f;
	int n[4] = { 0 };

	(void)state;
	farm_make(&f, LB_ROUND_ROBIN, 4, NULL);
	for (int i = 0; i < 400; i++) {
		serve(&f, 1, n);
		farm_set(&f, LB_ROUND_ROBIN);
	}
	for (int i = 0; i < 4; i++)
		assert_int_equal(n[i], 100);
	farm_drop(&f);
}

static void wheel_is_shared_by_all_workers(void **state)
{
	struct farm f, g;
	atomic_uint turn = 0;
	int n[4] = { 0 };

	(void)state;
	farm_make(&f, LB_ROUND_ROBIN, 4, (unsigned[]){ 3, 1, 1, 1 });
	farm_make(&g, LB_ROUND_ROBIN, 4, (unsigned[]){ 3, 1, 1, 1 });
	f.lb.rules.wheel = lb_wheel_new(&f.arena, &turn, (unsigned[]){ 3, 1, 1, 1 }, 4);
	g.lb.rules.wheel = f.lb.rules.wheel;
	farm_set(&f, LB_ROUND_ROBIN);
	farm_set(&g, LB_ROUND_ROBIN);
	/* Six in a row, whoever asks, are one turn of all. */
	for (int i = 0; i < 6; i++)
		n[i % 3 ? pick(&f) : pick(&g)]++;
	assert_int_equal(n[0], 3);
	assert_int_equal(n[1], 1);
	assert_int_equal(n[2], 1);
	assert_int_equal(n[3], 1);
	f.m[0].enabled = false;
	for (int i = 0; i < 12; i++)
		assert_int_not_equal(pick(&f), 0);
	farm_drop(&f);
	farm_drop(&g);
}

static void least_connections_fills_evenly_by_ratio(void **state)
{
	struct farm f;

	(void)state;
	farm_make(&f, LB_LEAST_CONNECTIONS, 4, (unsigned[]){ 2, 1, 1, 1 });
	for (int i = 0; i < 50; i++)
		pick(&f);
	assert_int_equal(f.m[0].backend->load, 20);
	assert_int_equal(f.m[1].backend->load, 10);
	/* One that is relieved gets the next ones. */
	for (int i = 0; i < 5; i++)
		done(&f, 2);
	for (int i = 0; i < 5; i++)
		assert_int_equal(pick(&f), 2);
	/* By another worker, too: nobody tells this one. */
	for (int i = 0; i < 5; i++)
		backend_release(f.m[3].backend);
	for (int i = 0; i < 5; i++)
		assert_int_equal(pick(&f), 3);
	farm_drop(&f);
}

static void idle_servers_take_turns_under_least_connections(void **state)
{
	struct farm f;

	(void)state;
	farm_make(&f, LB_LEAST_CONNECTIONS, 4, NULL);
	for (int i = 0; i < 8; i++) {
		int s = pick(&f);

		assert_int_equal(s, i % 4);
		done(&f, s);
	}
	farm_drop(&f);
}

static void idle_servers_share_by_ratio_under_least_connections(void **state)
{
	struct farm f;
	int n[4] = { 0 };

	(void)state;
	farm_make(&f, LB_LEAST_CONNECTIONS, 4, (unsigned[]){ 1, 3, 1, 1 });
	serve(&f, 600, n);
	assert_int_equal(n[1], 300);
	assert_int_equal(n[0], 100);
	farm_drop(&f);
}

static void thousands_fill_evenly_although_others_take_and_give(void **state)
{
	enum { N = 5000 };
	struct farm f;
	unsigned least = UINT_MAX, most = 0;

	(void)state;
	farm_make(&f, LB_LEAST_CONNECTIONS, N, NULL);
	/* Another worker has loaded every fifth. */
	for (int i = 0; i < N; i += 5)
		for (int j = 0; j < 10; j++)
			backend_take(f.m[i].backend, 0);
	for (int i = 0; i < 8 * N; i++)
		assert_true(pick(&f) >= 0);
	for (int i = 0; i < N; i++) {
		unsigned load = f.m[i].backend->load;

		least = MIN(least, load);
		most = MAX(most, load);
	}
	assert_in_range(least, 9, 10);
	assert_in_range(most, 10, 11);
	farm_drop(&f);
}

static void fastest_answers_most(void **state)
{
	struct farm f;
	int n[3] = { 0 };

	(void)state;
	farm_make(&f, LB_FASTEST_RESPONSE, 3, NULL);
	for (int i = 0; i < 3000; i++) {
		int s = pick(&f);

		n[s]++;
		f.now += NS_PER_MS;
		lb_answered(&f.lb, &f.m[s], s == 1 ? NS_PER_MS : 20 * NS_PER_MS);
		done(&f, s);
	}
	assert_true(n[1] > 2700);
	assert_true(n[0] > 0 && n[2] > 0); /* they are tried again now and then */
	/* It became slow: the others are found. */
	memset(n, 0, sizeof(n));
	for (int i = 0; i < 3000; i++) {
		int s = pick(&f);

		n[s]++;
		f.now += NS_PER_MS;
		lb_answered(&f.lb, &f.m[s], s == 1 ? 200 * NS_PER_MS : 20 * NS_PER_MS);
		done(&f, s);
	}
	assert_true(n[1] < 300);
	farm_drop(&f);
}

static void fastest_goes_by_ratio_and_load_as_well(void **state)
{
	struct farm f;

	(void)state;
	farm_make(&f, LB_FASTEST_RESPONSE, 2, (unsigned[]){ 3, 1 });
	for (int i = 0; i < 2; i++)
		lb_answered(&f.lb, &f.m[i], NS_PER_MS);
	for (int i = 0; i < 40; i++)
		pick(&f);
	assert_in_range(f.m[0].backend->load, 28, 32);
	farm_drop(&f);
}

static void least_load_keeps_away_from_who_streams(void **state)
{
	struct farm f;
	int n[2] = { 0 };

	(void)state;
	farm_make(&f, LB_LEAST_LOAD, 2, NULL);
	/* Both have one exchange; that of the first is a long one. */
	assert_int_equal(pick(&f), 0);
	assert_int_equal(pick(&f), 1);
	for (int i = 0; i < 100; i++) {
		int s;

		f.now += 10 * NS_PER_MS;
		f.bytes[0] += 100000;
		s = pick(&f);
		n[s]++;
		f.bytes[s] += 1000;
		done(&f, s);
	}
	assert_true(n[1] > 95);
	/* The stream is over; a second or two later it is like the other. */
	for (int i = 0; i < 2000; i++) {
		int s;

		f.now += 10 * NS_PER_MS;
		s = pick(&f);
		n[s]++;
		f.bytes[s] += 1000;
		done(&f, s);
	}
	assert_true(n[0] > 500);
	farm_drop(&f);
}

static void idle_servers_take_turns_under_every_load(void **state)
{
	static const enum lb_kind kinds[] = { LB_LEAST_CONNECTIONS, LB_FASTEST_RESPONSE, LB_LEAST_LOAD, LB_FEWEST_TASKS };

	(void)state;
	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
		struct farm f;
		int n[3] = { 0 };

		farm_make(&f, kinds[k], 3, NULL);
		for (int i = 0; i < 60; i++) {
			int s = pick(&f);

			n[s]++;
			f.now += 7 * NS_PER_MS;
			f.bytes[s] += 300;
			lb_answered(&f.lb, &f.m[s], NS_PER_MS);
			done(&f, s);
		}
		for (int i = 0; i < 3; i++)
			if (n[i] < 15 || n[i] > 25)
				fail_msg("%s: %d %d %d", "kind", n[0], n[1], n[2]);
		farm_drop(&f);
	}
}

static void fewest_servers_carry_what_they_can(void **state)
{
	struct farm f;
	int open[64], n = 0, used;

	(void)state;
	farm_make(&f, LB_FEWEST_SERVERS, 8, NULL);
	/* Little to do: the first alone does it. */
	for (int i = 0; i < 50; i++) {
		int s = pick(&f);

		assert_int_equal(s, 0);
		lb_answered(&f.lb, &f.m[s], NS_PER_MS);
		done(&f, s);
	}
	/* More at once than it is trusted with: the next one. Not all of them. */
	for (int i = 0; i < 20; i++)
		open[n++] = pick(&f);
	assert_int_equal(open[19], 1);
	/* Under load it becomes slow: it is trusted with less. */
	for (int i = 0; i < 30; i++)
		lb_answered(&f.lb, &f.m[0], 50 * NS_PER_MS);
	while (n)
		done(&f, open[--n]);
	used = 0;
	for (int i = 0; i < 12; i++) {
		open[n] = pick(&f);
		used += open[n++] == 0;
	}
	assert_in_range(used, 4, 8);
	farm_drop(&f);
}

static void fewest_tasks_goes_by_what_servers_tell(void **state)
{
	struct farm f;
	int n[3] = { 0 };

	(void)state;
	farm_make(&f, LB_FEWEST_TASKS, 3, NULL);
	atomic_store(&f.m[0].backend->tasks, 100);
	atomic_store(&f.m[1].backend->tasks, 10);
	atomic_store(&f.m[2].backend->tasks, 40);
	/* And what it was given since counts: no rush on one until it tells again. */
	for (int i = 0; i < 60; i++)
		n[pick(&f)]++;
	assert_int_equal(n[0], 0);
	assert_in_range(n[1], 44, 46);
	assert_in_range(n[2], 14, 16);
	farm_drop(&f);
}

static void cores_have_servers_of_their_own(void **state)
{
	enum { CORES = 4, N = 8, SHARING = 2 };
	int users[N] = { 0 };

	(void)state;
	for (unsigned core = 0; core < CORES; core++) {
		struct farm f;
		int n[N] = { 0 }, mine = 0;

		farm_make(&f, LB_CORE_AFFINITY, N, NULL);
		f.lb.core = core;
		f.lb.cores = CORES;
		f.lb.rules.core_sharing = SHARING;
		farm_set(&f, LB_CORE_AFFINITY);
		serve(&f, 400, n);
		for (int i = 0; i < N; i++) {
			mine += n[i] > 0;
			users[i] += n[i] > 0;
			assert_true(n[i] == 0 || n[i] == 100);
		}
		assert_int_equal(mine, N * SHARING / CORES);
		/* None of its own is up: the next core's. */
		for (int i = 0; i < N; i++)
			f.m[i].enabled = n[i] == 0;
		assert_true(pick(&f) >= 0);
		farm_drop(&f);
	}
	for (int i = 0; i < N; i++)
		assert_int_equal(users[i], SHARING);
}

static void random_keeps_the_ratios(void **state)
{
	struct farm f;
	int n[4] = { 0 };

	(void)state;
	farm_make(&f, LB_RANDOM, 4, (unsigned[]){ 5, 3, 1, 1 });
	serve(&f, 20000, n);
	likely(n[0], 20000, 0.5);
	likely(n[1], 20000, 0.3);
	likely(n[2], 20000, 0.1);
	likely(n[3], 20000, 0.1);
	/* Not in turn. */
	f.m[0].enabled = f.m[1].enabled = false;
	memset(n, 0, sizeof(n));
	serve(&f, 20000, n);
	likely(n[2], 20000, 0.5);
	farm_drop(&f);
}

static void down_and_disabled_servers_are_skipped(void **state)
{
	(void)state;
	for (size_t k = 0; k < ARRAY_SIZE(every_kind); k++) {
		for (unsigned ratio = 1; ratio <= 2; ratio++) {
			struct farm f;

			farm_make(&f, every_kind[k], 4, (unsigned[]){ ratio, 1, 1, 1 });
			f.m[0].enabled = false;
			atomic_store(&f.m[1].backend->health, BACKEND_DOWN);
			f.avoid[f.avoid_n++] = &f.m[2];
			for (int i = 0; i < 10; i++)
				assert_int_equal(pick(&f), 3);
			atomic_store(&f.m[3].backend->health, BACKEND_DOWN);
			assert_int_equal(pick(&f), -ENOENT);
			/* It is up again: nobody has to tell, but it goes faster. */
			atomic_store(&f.m[3].backend->health, BACKEND_UP);
			assert_int_equal(pick(&f), 3);
			farm_drop(&f);
		}
	}
}

static void limit_of_connections_is_told_apart_from_no_server(void **state)
{
	(void)state;
	for (size_t k = 0; k < ARRAY_SIZE(every_kind); k++) {
		struct farm f;

		farm_make(&f, every_kind[k], 4, (unsigned[]){ 3, 1, 1, 1 });
		f.lb.rules.max_load = 2;
		for (int i = 0; i < 8; i++, f.key++)
			assert_true(pick(&f) >= 0);
		assert_int_equal(pick(&f), -EBUSY);
		assert_true(f.lb.overflows > 0);
		done(&f, 2);
		assert_int_equal(pick(&f), 2);
		/* Somebody else's connection ended. */
		backend_release(f.m[1].backend);
		assert_int_equal(pick(&f), 1);
		farm_drop(&f);
	}
}

static void fresh_server_ramps_up_where_load_decides(void **state)
{
	static const enum lb_kind kinds[] = { LB_LEAST_CONNECTIONS, LB_FASTEST_RESPONSE, LB_LEAST_LOAD, LB_FEWEST_TASKS };

	(void)state;
	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
		struct farm f;
		int n[4] = { 0 };

		farm_make(&f, kinds[k], 4, NULL);
		f.lb.rules.ramp_ns = 100 * NS_PER_S;
		atomic_store(&f.m[3].backend->since_ns, f.now);
		farm_set(&f, kinds[k]);
		/* Without it the three would wait until it has as many as they have. */
		for (int i = 0; i < 310; i++)
			n[pick(&f)]++;
		assert_in_range(n[3], 8, 12);
		f.now += 50 * NS_PER_S;
		for (int i = 0; i < 310; i++)
			n[pick(&f)]++;
		assert_in_range(n[3], 80, 96);
		f.now += 51 * NS_PER_S;
		for (int i = 0; i < 380; i++)
			n[pick(&f)]++;
		assert_in_range(n[3], 240, 255);
		farm_drop(&f);
	}
}

#define THREADS 4
#define LIMIT   3

static atomic_uint most;

static void *picker(void *arg)
{
	const struct farm *shared = arg;
	struct farm own = { .n = shared->n, .now = NS_PER_S, .lb.cores = 1, .lb.rules = shared->lb.rules };

	/* Each worker has its own balancer; the backends are shared. */
	own.m = xcalloc(own.n, sizeof(own.m[0]));
	own.members = xcalloc(own.n, sizeof(struct lb_member *));
	for (size_t i = 0; i < own.n; i++) {
		own.m[i] = (struct lb_member){ .backend = shared->m[i].backend, .ratio = 1,
					       .enabled = shared->m[i].enabled };
		own.members[i] = &own.m[i];
	}
	farm_set(&own, LB_LEAST_CONNECTIONS);
	for (int i = 0; i < 20000; i++) {
		int s = pick(&own);

		if (s < 0)
			continue;
		unsigned load = atomic_load(&own.m[s].backend->load), before = atomic_load(&most);

		while (load > before && !atomic_compare_exchange_weak(&most, &before, load))
			;
		lb_release(&own.lb, &own.m[s]);
	}
	lb_fini(&own.lb);
	free(own.m);
	free(own.members);
	return NULL;
}

static void limit_holds_over_all_workers(void **state)
{
	pthread_t t[THREADS];
	struct farm f;

	(void)state;
	farm_make(&f, LB_LEAST_CONNECTIONS, 4, NULL);
	f.lb.rules.max_load = LIMIT;
	for (int i = 1; i < 4; i++)
		f.m[i].enabled = false;
	for (int i = 0; i < THREADS; i++)
		pthread_create(&t[i], NULL, picker, &f);
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	assert_in_range(atomic_load(&most), 1, LIMIT);
	for (int i = 0; i < 4; i++)
		assert_int_equal(f.m[i].backend->load, 0);
	farm_drop(&f);
}

/* What may be said of every algorithm: whatever others do, no choice is forgotten and none is wrong. */
static void a_storm_loses_nothing(void **state)
{
	enum { N = 100, STEPS = 20000 };

	(void)state;
	for (size_t k = 0; k < ARRAY_SIZE(every_kind); k++) {
		uint64_t seed = 42;
		struct farm f;
		int *open = xcalloc(STEPS, sizeof(open[0])), n = 0;

		farm_make(&f, every_kind[k], N, NULL);
		for (int i = 0; i < STEPS; i++) {
			unsigned what = (unsigned)(lb_hash_mix(seed++) % 100), who = (unsigned)(lb_hash_mix(seed++) % N);
			int s;

			f.now += NS_PER_MS;
			f.key = seed;
			if (what < 50) {
				s = pick(&f);
				if (s < 0) {
					assert_true(s == -ENOENT || s == -EBUSY);
					continue;
				}
				assert_true(f.m[s].enabled && backend_is_usable(f.m[s].backend));
				open[n++] = s;
				lb_answered(&f.lb, &f.m[s], lb_hash_mix(seed) % NS_PER_MS + 1);
			} else if (what < 90 && n) {
				s = open[--n];
				f.bytes[s] += seed % 5000;
				done(&f, s);
			} else if (what < 94) {
				f.m[who].enabled = !f.m[who].enabled;
				lb_look(&f.lb, &f.m[who]);
			} else if (what < 98) {
				atomic_store(&f.m[who].backend->health, what < 96 ? BACKEND_DOWN : BACKEND_UP);
			} else if (what == 98) {
				f.lb.rules.max_load = f.lb.rules.max_load ? 0 : 3;
			} else {
				f.m[who].ratio = 1 + who % 20;
				farm_set(&f, every_kind[k]);
			}
		}
		while (n)
			done(&f, open[--n]);
		for (int i = 0; i < N; i++)
			assert_int_equal(f.m[i].backend->load, 0);
		free(open);
		farm_drop(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_robin_goes_in_turn),
		cmocka_unit_test(ratios_are_kept_and_smooth),
		cmocka_unit_test(an_edit_does_not_begin_anew),
		cmocka_unit_test(wheel_is_shared_by_all_workers),
		cmocka_unit_test(least_connections_fills_evenly_by_ratio),
		cmocka_unit_test(idle_servers_take_turns_under_least_connections),
		cmocka_unit_test(idle_servers_share_by_ratio_under_least_connections),
		cmocka_unit_test(thousands_fill_evenly_although_others_take_and_give),
		cmocka_unit_test(fastest_answers_most),
		cmocka_unit_test(fastest_goes_by_ratio_and_load_as_well),
		cmocka_unit_test(least_load_keeps_away_from_who_streams),
		cmocka_unit_test(idle_servers_take_turns_under_every_load),
		cmocka_unit_test(fewest_servers_carry_what_they_can),
		cmocka_unit_test(fewest_tasks_goes_by_what_servers_tell),
		cmocka_unit_test(cores_have_servers_of_their_own),
		cmocka_unit_test(random_keeps_the_ratios),
		cmocka_unit_test(down_and_disabled_servers_are_skipped),
		cmocka_unit_test(limit_of_connections_is_told_apart_from_no_server),
		cmocka_unit_test(fresh_server_ramps_up_where_load_decides),
		cmocka_unit_test(limit_holds_over_all_workers),
		cmocka_unit_test(a_storm_loses_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
