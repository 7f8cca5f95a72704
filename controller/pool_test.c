#include "base/test.h"

#include <semaphore.h>

#include "controller/pool.h"

struct task {
	struct job job;
	struct loop *loop;
	sem_t *go;
	bool worked;
};

static unsigned done_count, done_wanted;
static pthread_t core;

static void work(struct job *j)
{
	struct task *t = CONTAINER_OF(j, struct task, job);

	if (t->go)
		sem_wait(t->go);
	t->worked = true;
}

static void done(struct job *j)
{
	struct task *t = CONTAINER_OF(j, struct task, job);

	assert_true(t->worked);
	assert_true(pthread_equal(pthread_self(), core));
	if (++done_count == done_wanted)
		loop_stop(t->loop);
}

static void jobs_come_home(void **state)
{
	struct task t[50] = { 0 };
	struct inbox in;
	struct loop *l = loop_new();
	struct pool *p;

	(void)state;
	core = pthread_self();
	done_count = 0;
	done_wanted = ARRAY_SIZE(t);
	assert_int_equal(inbox_init(&in, l), 0);
	p = pool_new(&in, 2, 64);
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		t[i] = (struct task){ .job = { .work = work, .done = done }, .loop = l };
		assert_int_equal(pool_post(p, &t[i].job), 0);
	}
	assert_int_equal(loop_run(l), 0);
	assert_int_equal(done_count, ARRAY_SIZE(t));
	pool_free(p);
	inbox_fini(&in);
	loop_free(l);
}

static void a_full_queue_says_so_and_nothing_is_lost_at_the_end(void **state)
{
	struct task t[4] = { 0 };
	struct inbox in;
	struct loop *l = loop_new();
	struct pool *p;
	sem_t go;
	unsigned taken = 0, busy = 0;

	(void)state;
	core = pthread_self();
	done_count = 0;
	done_wanted = 1000;
	sem_init(&go, 0, 0);
	assert_int_equal(inbox_init(&in, l), 0);
	p = pool_new(&in, 1, 2);
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		t[i] = (struct task){ .job = { .work = work, .done = done }, .loop = l, .go = &go };
		if (pool_post(p, &t[i].job) == 0)
			taken++;
		else
			busy++;
	}
	/* One may be with the thread already, two are in the queue. */
	assert_true(taken == 2 || taken == 3);
	assert_true(busy >= 1);
	for (size_t i = 0; i < ARRAY_SIZE(t); i++)
		sem_post(&go);
	pool_free(p);
	inbox_fini(&in);
	assert_int_equal(done_count, taken);
	sem_destroy(&go);
	loop_free(l);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(jobs_come_home),
		cmocka_unit_test(a_full_queue_says_so_and_nothing_is_lost_at_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
