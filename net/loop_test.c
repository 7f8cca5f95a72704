#include "base/test.h"

#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock_test.h"
#include "net/inbox.h"

int __real_epoll_wait(int epfd, struct epoll_event *ev, int n, int ms);
int __wrap_epoll_wait(int epfd, struct epoll_event *ev, int n, int ms);

/* Where the clock stands, whoever waits for nothing but time moves it by just as much as he would have slept. */
int __wrap_epoll_wait(int epfd, struct epoll_event *ev, int n, int ms)
{
	bool stands = atomic_load(&clock_ns) != 0;
	int got = __real_epoll_wait(epfd, ev, n, stands ? 0 : ms);

	if (stands && got == 0) {
		must(ms >= 0);
		clock_move((uint64_t)ms * NS_PER_MS);
	}
	return got;
}

struct probe {
	struct timer timer;
	struct loop *loop; /* the last one stops it; NULL: it turns on */
	uint64_t due, fired;
};

static int outstanding;

static void probe_fired(struct timer *t)
{
	struct probe *p = CONTAINER_OF(t, struct probe, timer);

	p->fired = mono_ns();
	if (--outstanding == 0 && p->loop)
		loop_stop(p->loop);
}

static void timers_fire_in_time_and_never_early(void **state)
{
	static const unsigned delay[] = { 0, 1, 2, 5, 63, 64, 65, 100, 127, 128, 129, 191, 192, 250, 300 };
	struct probe p[ARRAY_SIZE(delay)] = { 0 };
	struct loop *l = loop_new();

	(void)state;
	outstanding = ARRAY_SIZE(delay);
	for (size_t i = 0; i < ARRAY_SIZE(delay); i++) {
		p[i].loop = l;
		p[i].due = mono_ns() + delay[i] * NS_PER_MS;
		timer_at(l, &p[i].timer, p[i].due, probe_fired);
	}
	assert_int_equal(loop_run(l), 0);
	for (size_t i = 0; i < ARRAY_SIZE(delay); i++) {
		assert_true(p[i].fired >= p[i].due);
		assert_true(p[i].fired - p[i].due < 2 * NS_PER_MS);
	}
	loop_free(l);
}

/* Whatever the wheel's position, each remainder of a ring is among these. */
static void no_slot_makes_a_timer_wait_another_round(void **state)
{
	enum { FIRST_MS = 100, N = 64 };
	struct probe p[N] = { 0 };
	struct loop *l = loop_new();

	(void)state;
	outstanding = N;
	for (unsigned i = 0; i < N; i++) {
		p[i].loop = l;
		p[i].due = mono_ns() + (FIRST_MS + i) * NS_PER_MS;
		timer_at(l, &p[i].timer, p[i].due, probe_fired);
	}
	for (uint64_t end = mono_ns() + NS_PER_S; outstanding && mono_ns() < end;)
		assert_int_equal(loop_turn(l, 50), 0);
	assert_int_equal(outstanding, 0);
	loop_free(l);
}

/* Rings that turn without anything in them wake nobody; and a wheel that stood still meanwhile is right afterwards. */
static void a_far_timer_wakes_the_thread_a_few_times_only(void **state)
{
	struct loop *l = loop_new();
	struct probe far = { .loop = l }, next = { .loop = l };

	(void)state;
	outstanding = 1;
	timer_in(l, &far.timer, 500, probe_fired);
	assert_int_equal(loop_run(l), 0);
	assert_true(loop_number(l) <= 5);
	timer_in(l, &far.timer, 100000, probe_fired);
	assert_int_equal(loop_turn(l, 150), 0);
	outstanding = 1;
	next.due = mono_ns() + 70 * NS_PER_MS;
	timer_at(l, &next.timer, next.due, probe_fired);
	assert_int_equal(loop_run(l), 0);
	assert_true(next.fired >= next.due && next.fired - next.due < 2 * NS_PER_MS);
	timer_stop(l, &far.timer);
	loop_free(l);
}

static void stopped_timer_is_silent(void **state)
{
	struct loop *l = loop_new();
	struct probe a = { .loop = l }, b = { .loop = l };

	(void)state;
	outstanding = 1;
	timer_in(l, &a.timer, 1, probe_fired);
	timer_in(l, &b.timer, 70, probe_fired);
	timer_stop(l, &a.timer);
	loop_run(l);
	assert_int_equal(a.fired, 0);
	assert_true(b.fired > 0);
	loop_free(l);
}

struct post {
	struct message message;
	struct loop *loop;
	int number;
};

static int next_number;

static void post_delivered(struct message *m)
{
	struct post *p = CONTAINER_OF(m, struct post, message);

	assert_int_equal(p->number, next_number++);
	if (p->number == 9999)
		loop_stop(p->loop);
	free(p);
}

static void *poster(void *arg)
{
	struct inbox *in = arg;

	for (int i = 0; i < 10000; i++) {
		struct post *p = xcalloc(1, sizeof(*p));

		p->loop = in->loop;
		p->number = i;
		inbox_post(in, &p->message, post_delivered);
	}
	return NULL;
}

static void inbox_keeps_order_and_loses_nothing(void **state)
{
	struct loop *l = loop_new();
	struct inbox in;
	pthread_t thread;

	(void)state;
	next_number = 0;
	assert_int_equal(inbox_init(&in, l), 0);
	pthread_create(&thread, NULL, poster, &in);
	assert_int_equal(loop_run(l), 0);
	pthread_join(thread, NULL);
	assert_int_equal(next_number, 10000);
	inbox_fini(&in);
	loop_free(l);
}

static int slow_delivered;

static void slow(struct message *m)
{
	(void)m;
	slow_delivered++;
	clock_move(4 * NS_PER_MS);
}

static void slow_messages_hold_up_no_timer(void **state)
{
	struct loop *l = loop_new();
	struct message m[50];
	struct inbox in;

	(void)state;
	slow_delivered = 0;
	assert_int_equal(inbox_init(&in, l), 0);
	for (size_t i = 0; i < ARRAY_SIZE(m); i++)
		inbox_post(&in, &m[i], slow);
	loop_turn(l, 0);
	/* Others have their turn, and no message is lost. */
	assert_in_range(slow_delivered, 1, 2);
	while (slow_delivered < (int)ARRAY_SIZE(m))
		loop_turn(l, 100);
	inbox_fini(&in);
	loop_free(l);
}

static struct loop *pipe_loop;

struct busy {
	struct timer timer;
	unsigned number;
};

static unsigned busy_fired;

static void busy_fire(struct timer *t)
{
	assert_int_equal(CONTAINER_OF(t, struct busy, timer)->number, busy_fired++);
	clock_move(NS_PER_MS);
}

static unsigned heard_after;

static void busy_heard(struct watch *w, uint32_t events)
{
	(void)w;
	(void)events;
	heard_after = busy_fired;
	watch_stop(pipe_loop, w);
}

/* Checks of thousands of servers come due together: whoever asks meanwhile is heard. */
static void many_timers_hold_up_no_watcher(void **state)
{
	static struct busy b[100];
	struct watch w = { 0 };
	struct timer *last = &b[ARRAY_SIZE(b) - 1].timer;
	uint64_t due;
	int fds[2];

	(void)state;
	pipe_loop = loop_new();
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(write(fds[1], "x", 1), 1);
	watch_start(pipe_loop, &w, fds[0], EPOLLIN, busy_heard);
	due = mono_ns() + NS_PER_MS;
	for (unsigned i = 0; i < ARRAY_SIZE(b); i++) {
		b[i].number = i;
		timer_at(pipe_loop, &b[i].timer, due + i / 50 * NS_PER_MS, busy_fire); /* in two slots */
	}
	clock_move(3 * NS_PER_MS); /* both slots are due in one turn */
	loop_turn(pipe_loop, -1);
	assert_in_range(busy_fired, 1, 6);
	assert_int_equal(heard_after, busy_fired);
	/* Those that wait can be stopped, and go on without waiting for anything. */
	timer_stop(pipe_loop, last);
	while (busy_fired < ARRAY_SIZE(b) - 1)
		loop_turn(pipe_loop, 0);
	assert_false(last->active);
	assert_in_range(loop_longest(pipe_loop), NS_PER_MS, 20 * NS_PER_S);
	watch_stop(pipe_loop, &w);
	close(fds[0]);
	close(fds[1]);
	loop_free(pipe_loop);
}

static void slow_turn(struct timer *t)
{
	(void)t;
	clock_move(20 * NS_PER_MS);
}

static void the_longest_turn_is_known(void **state)
{
	struct timer t = { 0 };
	struct loop *l = loop_new();

	(void)state;
	timer_in(l, &t, 1, slow_turn);
	while (t.active)
		loop_turn(l, 100);
	loop_turn(l, 0);
	assert_int_equal(loop_longest(l), 20 * NS_PER_MS);
	loop_free(l);
}

static unsigned breaths;

static void breath_taken(struct breath *b)
{
	(void)b;
	breaths++;
}

static void long_work_breathes(void **state)
{
	struct breath b = { breath_taken };
	struct loop *l = loop_new();

	(void)state;
	loop_breathe(l); /* nobody wants any */
	loop_set_breath(l, &b);
	for (unsigned i = 0; i < 1000; i++)
		loop_breathe(l);
	assert_int_equal(breaths, 1); /* not each time */
	clock_move(LOOP_BREATH_MS * NS_PER_MS);
	loop_breathe(l);
	assert_int_equal(breaths, 2);
	loop_free(l);
}

static struct watch pipe_watch[2];
static int pipe_calls;

static void pipe_ready(struct watch *w, uint32_t events)
{
	(void)w;
	(void)events;
	pipe_calls++;
	/* Whoever comes first silences the other, whose event was read in the same turn. */
	watch_stop(pipe_loop, &pipe_watch[0]);
	watch_stop(pipe_loop, &pipe_watch[1]);
}

static void stopped_watch_is_silent_in_the_same_turn(void **state)
{
	int a[2], b[2];

	(void)state;
	pipe_loop = loop_new();
	assert_int_equal(pipe(a), 0);
	assert_int_equal(pipe(b), 0);
	assert_int_equal(write(a[1], "x", 1), 1);
	assert_int_equal(write(b[1], "x", 1), 1);
	watch_start(pipe_loop, &pipe_watch[0], a[0], EPOLLIN, pipe_ready);
	watch_start(pipe_loop, &pipe_watch[1], b[0], EPOLLIN, pipe_ready);
	loop_turn(pipe_loop, 0);
	loop_turn(pipe_loop, 0);
	assert_int_equal(pipe_calls, 1);
	loop_free(pipe_loop);
}

static void counted(struct watch *w, uint32_t events)
{
	(void)w;
	(void)events;
	pipe_calls++; /* and reads nothing: it is ready again at once */
}

static void the_patient_are_looked_at_together_and_wake_nobody(void **state)
{
	enum { N = 3, FOR_MS = 200 };
	struct loop *l = loop_new();
	struct watch w[N] = { 0 };
	struct probe p[9] = { 0 };
	uint64_t began, ms;
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(write(fds[1], "x", 1), 1);
	for (int i = 0; i < N; i++)
		assert_int_equal(watch_start_patient(l, &w[i], dup(fds[0]), EPOLLIN, counted), 0);
	for (size_t i = 0; i < ARRAY_SIZE(p); i++) {
		p[i].due = mono_ns() + i * NS_PER_MS;
		timer_in_patient(l, &p[i].timer, i, probe_fired);
		assert_int_equal(p[i].timer.at_ns % (LOOP_PATIENCE_MS * NS_PER_MS), 0);
	}
	outstanding = ARRAY_SIZE(p);
	pipe_calls = 0;
	for (began = mono_ns(); mono_ns() - began < FOR_MS * NS_PER_MS;)
		assert_int_equal(loop_turn(l, -1), 0);
	ms = (mono_ns() - began) / NS_PER_MS;
	assert_int_equal(outstanding, 0);
	assert_in_range(pipe_calls, N, N * (ms / LOOP_PATIENCE_MS + 1));
	/* One that is stopped is silent, and waited for no more. */
	watch_stop(l, &w[0]);
	for (int i = 1; i < N; i++)
		watch_close(l, &w[i]);
	pipe_calls = 0;
	p[0].loop = l;
	timer_in(l, &p[0].timer, 3 * LOOP_PATIENCE_MS, probe_fired);
	for (outstanding = 1; outstanding;)
		assert_int_equal(loop_turn(l, -1), 0);
	assert_int_equal(pipe_calls, 0);
	close(w[0].fd);
	close(fds[0]);
	close(fds[1]);
	loop_free(l);
}

static struct watch pair[2];
static struct loop *pair_loop;
static uint64_t pair_since;
static int pair_ready;

static void pair_asks(struct watch *w, uint32_t events)
{
	struct watch *other = w == &pair[0] ? &pair[1] : &pair[0];
	char c;

	(void)events;
	assert_int_equal(read(w->fd, &c, 1), 1);
	/* Whoever is first knows that the other one has something to say. */
	assert_int_equal(watch_is_quiet(pair_loop, other, pair_since), pair_ready++ == 1);
}

static void quiet_is_who_had_nothing_to_say_when_the_kernel_was_asked(void **state)
{
	int fds[2][2];

	(void)state;
	pair_loop = loop_new();
	for (int i = 0; i < 2; i++) {
		assert_int_equal(pipe(fds[i]), 0);
		assert_int_equal(watch_start(pair_loop, &pair[i], fds[i][0], EPOLLIN, pair_asks), 0);
	}
	pair_since = loop_number(pair_loop);
	assert_false(watch_is_quiet(pair_loop, &pair[0], pair_since)); /* nobody was asked yet */
	assert_int_equal(loop_turn(pair_loop, 0), 0);
	assert_true(watch_is_quiet(pair_loop, &pair[0], pair_since));
	for (int i = 0; i < 2; i++)
		assert_int_equal(write(fds[i][1], "x", 1), 1);
	assert_int_equal(loop_turn(pair_loop, 0), 0);
	assert_int_equal(pair_ready, 2);
	assert_int_equal(watch_set(pair_loop, &pair[0], 0), 0);
	assert_false(watch_is_quiet(pair_loop, &pair[0], pair_since)); /* of it nothing would be told */
	for (int i = 0; i < 2; i++) {
		watch_close(pair_loop, &pair[i]);
		close(fds[i][1]);
	}
	loop_free(pair_loop);
}

static int stop(void **state)
{
	(void)state;
	clock_stop();
	return 0;
}

static int go(void **state)
{
	(void)state;
	clock_go();
	return 0;
}

int main(void)
{
#define TIMED(f) cmocka_unit_test_setup_teardown(f, stop, go)
	const struct CMUnitTest tests[] = {
		TIMED(timers_fire_in_time_and_never_early),
		TIMED(no_slot_makes_a_timer_wait_another_round),
		TIMED(a_far_timer_wakes_the_thread_a_few_times_only),
		TIMED(stopped_timer_is_silent),
		cmocka_unit_test(inbox_keeps_order_and_loses_nothing),
		TIMED(slow_messages_hold_up_no_timer),
		TIMED(many_timers_hold_up_no_watcher),
		TIMED(the_longest_turn_is_known),
		TIMED(long_work_breathes),
		cmocka_unit_test(stopped_watch_is_silent_in_the_same_turn),
		cmocka_unit_test(quiet_is_who_had_nothing_to_say_when_the_kernel_was_asked),
		TIMED(the_patient_are_looked_at_together_and_wake_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
