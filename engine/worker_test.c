/* What a worker and L4 sessions promise, at the far end of real sockets. */
#include "base/test.h"

#include <pthread.h>

#include "engine/world_test.h"

/* A client, and the server that it was given to. */
static void couple(struct world *w, int front, int server, int *c, int *s)
{
	*c = dial(w, front);
	*s = answer(w, server);
	say(*c, "hello");
	hear(*s, "hello");
	say(*s, "welcome");
	hear(*c, "welcome");
}

/* ---- promises ---- */

static void half_close_goes_both_ways(void **state)
{
	struct world *w = *state;
	int c, s;

	configure(w);
	couple(w, 0, 0, &c, &s);
	shutdown(c, SHUT_WR);
	hear_end(s);
	say(s, "still there");
	hear(c, "still there");
	close(s);
	hear_end(c);
	close(c);
	counted(&service(w)->conn_open, 0);
	counted(&service(w)->bytes_from_client, 5);
	counted(&service(w)->bytes_to_client, 18);
}

static void resets_are_mirrored(void **state)
{
	struct world *w = *state;
	int c, s;

	configure(w);
	couple(w, 0, 0, &c, &s);
	reset(s);
	hear_reset(c);
	close(c);
	couple(w, 0, 1, &c, &s);
	reset(c);
	hear_reset(s);
	close(s);
	counted(&service(w)->conn_reset, 1);
	counted(&counters_server_of(&w->counters, 0, 10)->conn_reset, 1);
}

struct flood {
	int from, to;
	size_t n;          /* at least; as much more as the path takes before it is full */
	atomic_bool stood;
	size_t sent, received;
};

static unsigned char pattern(size_t i)
{
	return (unsigned char)(i * 2654435761u >> 13);
}

static void *flood_send(void *arg)
{
	struct flood *f = arg;
	unsigned char buf[7919];

	while (f->sent < f->n || !atomic_load(&f->stood)) {
		ssize_t put;

		for (size_t i = 0; i < sizeof(buf); i++)
			buf[i] = pattern(f->sent + i);
		put = send(f->from, buf, sizeof(buf), MSG_NOSIGNAL);
		if (put <= 0)
			return NULL;
		f->sent += (size_t)put;
	}
	shutdown(f->from, SHUT_WR);
	return arg;
}

/* The reader waits at the beginning: what is under way fills every buffer on the path. */
static void *flood_receive(void *arg)
{
	struct flood *f = arg;
	unsigned char buf[65536];
	size_t done = 0;
	ssize_t n;

	if (!fills(f->from))
		return NULL;
	atomic_store(&f->stood, true);
	while ((n = recv(f->to, buf, sizeof(buf), 0)) > 0) {
		for (ssize_t i = 0; i < n; i++)
			if (buf[i] != pattern(done + (size_t)i))
				return NULL;
		done += (size_t)n;
	}
	f->received = done;
	return n == 0 ? arg : NULL;
}

static void bulk_arrives_whole_in_both_directions_at_once(void **state)
{
	struct world *w = *state;
	pthread_t t[4];
	void *ok[4];
	int c, s;

	configure(w);
	couple(w, 0, 0, &c, &s);
	struct flood up = { .from = c, .to = s, .n = 32u << 20 }, down = { .from = s, .to = c, .n = 48u << 20 };

	pthread_create(&t[0], NULL, flood_send, &up);
	pthread_create(&t[1], NULL, flood_send, &down);
	pthread_create(&t[2], NULL, flood_receive, &up);
	pthread_create(&t[3], NULL, flood_receive, &down);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], &ok[i]);
	for (int i = 0; i < 4; i++)
		assert_ptr_equal(ok[i], i % 2 ? &down : &up);
	assert_int_equal(up.received, up.sent);
	assert_int_equal(down.received, down.sent);
	close(c);
	close(s);
	counted(&service(w)->conn_open, 0);
	counted(&w->worker->engine->buffers_used, 0); /* nothing waits any more */
}

static void dead_server_is_left_out_unnoticed(void **state)
{
	struct world *w = *state;
	int c, s;

	deafen(w, 0);
	configure(w);
	couple(w, 0, 1, &c, &s);
	counted(&service(w)->server_retry, 1);
	counted(&counters_server_of(&w->counters, 0, 10)->conn_failed, 1);
	close(c);
	close(s);
}

static void no_server_is_a_reset_and_counted(void **state)
{
	struct world *w = *state;
	int c;

	for (int i = 0; i < SERVERS; i++)
		atomic_store(&w->backend[i]->health, BACKEND_DOWN);
	configure(w);
	c = dial(w, 0);
	hear_reset(c);
	close(c);
	counted(&service(w)->conn_refused_server, 1);
}

static void edit_drops_nothing(void **state)
{
	struct world *w = *state;
	int c, s;

	configure(w);
	couple(w, 0, 0, &c, &s);
	for (int i = 0; i < 100; i++) {
		w->pool.rules.kind = i % 2 ? LB_ROUND_ROBIN : LB_LEAST_CONNECTIONS;
		w->listed[2] = i % 2;
		configure(w);
	}
	settle(w->worker);
	say(c, "on");
	hear(s, "on");
	close(c);
	hear_end(s);
	close(s);
	counted(&service(w)->conn_cut_server, 0);
}

static void removed_server_cuts_its_own_only(void **state)
{
	struct world *w = *state;
	int c[2], s[2];

	configure(w);
	couple(w, 0, 0, &c[0], &s[0]);
	couple(w, 0, 1, &c[1], &s[1]);
	w->listed[0] = false;
	configure(w);
	hear_reset(c[0]);
	hear_reset(s[0]);
	say(c[1], "mine stays");
	hear(s[1], "mine stays");
	counted(&service(w)->conn_cut_server, 1);
	for (int i = 0; i < 2; i++) {
		close(c[i]);
		close(s[i]);
	}
}

static void disabled_server_drains(void **state)
{
	struct world *w = *state;
	int c[3], s[3];

	w->pool.disable_ms = -1;
	configure(w);
	couple(w, 0, 0, &c[0], &s[0]);
	w->enabled[0] = false;
	configure(w);
	couple(w, 0, 1, &c[1], &s[1]); /* new ones go elsewhere */
	couple(w, 0, 2, &c[2], &s[2]);
	say(c[0], "goes on");
	hear(s[0], "goes on");
	w->pool.disable_ms = 0; /* cut at once */
	configure(w);
	hear_reset(c[0]);
	w->enabled[1] = false;
	w->pool.disable_ms = 150;
	configure(w);
	pass_ms(w->worker, 149);
	say(c[1], "not yet");
	hear(s[1], "not yet");
	pass_ms(w->worker, 2);
	hear_reset(c[1]);
	counted(&service(w)->conn_cut_server, 2);
	for (int i = 0; i < 3; i++) {
		close(c[i]);
		close(s[i]);
	}
}

static void removed_listener_cuts_its_own_only(void **state)
{
	struct world *w = *state;
	int c[2], s[2];

	configure(w);
	couple(w, 0, 0, &c[0], &s[0]);
	couple(w, 1, 1, &c[1], &s[1]);
	worker_post_unlisten(w->worker, 0, 0);
	hear_reset(c[0]);
	say(c[1], "mine stays");
	hear(s[1], "mine stays");
	counted(&service(w)->conn_cut_listener, 1);
	worker_post_removed(w->worker, 0);
	hear_reset(c[1]);
	for (int i = 0; i < 2; i++) {
		close(c[i]);
		close(s[i]);
	}
}

static void clients_wait_for_the_configuration(void **state)
{
	struct world *w = *state;
	int c = dial(w, 0), s;

	say(c, "early");
	settle(w->worker);
	configure(w);
	s = answer(w, 0);
	hear(s, "early");
	close(c);
	close(s);
}

static void idle_connection_is_closed_if_the_profile_says_so(void **state)
{
	struct world *w = *state;
	int c, s;

	w->plan.close_idle = true;
	w->plan.idle_ms = 100;
	configure(w);
	couple(w, 0, 0, &c, &s);
	pass_ms(w->worker, 99);
	say(c, "on");
	hear(s, "on");
	pass_ms(w->worker, 99);
	say(s, "on");
	hear(c, "on");
	pass_ms(w->worker, 101);
	hear_reset(c);
	hear_reset(s);
	counted(&service(w)->conn_idle_timeout, 1);
	close(c);
	close(s);
}

/* The worker's end of the test's connection FD. */
static int other_end(int fd)
{
	union address mine, its, a, b;
	socklen_t len = sizeof(mine);

	assert_int_equal(getsockname(fd, &mine.sa, &len), 0);
	len = sizeof(its);
	assert_int_equal(getpeername(fd, &its.sa, &len), 0);
	for (int other = 0; other < 1024; other++) {
		socklen_t la = sizeof(a), lb = sizeof(b);

		if (getsockname(other, &a.sa, &la) == 0 && getpeername(other, &b.sa, &lb) == 0 &&
		    address_equal(&a, &its) && address_equal(&b, &mine))
			return other;
	}
	fail_msg("the worker has no such connection");
	return -1;
}

static int is_kept_alive(int fd)
{
	int on = -1;
	socklen_t len = sizeof(on);

	assert_int_equal(getsockopt(other_end(fd), SOL_SOCKET, SO_KEEPALIVE, &on, &len), 0);
	return on;
}

static void half_closed_is_kept_alive_if_the_profile_says_so(void **state)
{
	struct world *w = *state;
	int c, s;

	w->plan.server.keepalive_s = 77;
	for (int keep = 0; keep < 2; keep++) {
		w->plan.keepalive_halfclosed = keep;
		configure(w);
		couple(w, 0, keep, &c, &s);
		assert_int_equal(is_kept_alive(s), 1);
		/* The client's end has it from its listener, which the warden made. */
		assert_int_equal(setsockopt(other_end(c), SOL_SOCKET, SO_KEEPALIVE, &(int){ 1 }, sizeof(int)), 0);
		shutdown(c, SHUT_WR);
		hear_end(s);
		settle(w->worker);
		assert_int_equal(is_kept_alive(c), keep);
		assert_int_equal(is_kept_alive(s), keep);
		close(s);
		hear_end(c);
		close(c);
	}
}

static void limit_of_connections_is_kept(void **state)
{
	struct world *w = *state;
	int c[SERVERS], s[SERVERS], more;

	w->pool.rules.max_load = 1;
	configure(w);
	for (int i = 0; i < SERVERS; i++)
		couple(w, 0, i, &c[i], &s[i]);
	more = dial(w, 0);
	hear_reset(more);
	close(more);
	close(c[1]);
	hear_end(s[1]);
	close(s[1]);
	counted(&service(w)->conn_open, SERVERS - 1);
	couple(w, 0, 1, &c[1], &s[1]);
	for (int i = 0; i < SERVERS; i++) {
		close(c[i]);
		close(s[i]);
	}
}

static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

/* Behind them waits the question whether the worker lives. */
static void a_verdict_costs_the_same_in_a_pool_of_thousands(void **state)
{
	enum { N = 10000 };
	struct world *w = *state;
	struct backend **many = xcalloc(N, sizeof(many[0]));
	struct snapshot *s = snapshot_new();
	struct arena arena = s->arena;
	struct snapshot_pool *p;
	const struct worker_pool *pool;
	union address a;
	uint64_t before, of_few, cost;

	configure(w);
	settle(w->worker);
	before = cpu_ns();
	for (unsigned i = 0; i < N; i++) {
		atomic_store(&w->backend[1]->health, i % 4 ? BACKEND_DOWN : BACKEND_UP);
		worker_post_down(w->worker, 0, w->backend[1]);
	}
	settle(w->worker);
	of_few = cpu_ns() - before;
	atomic_store(&w->backend[1]->health, BACKEND_UP);
	assert_int_equal(address_parse(&a, "127.0.0.1", 9), 0);
	*s = w->plan;
	atomic_init(&s->refs, 1);
	s->arena = arena;
	s->proto = w->proto;
	s->pools = p = arena_get(&s->arena, sizeof(*p));
	s->n_pools = 1;
	*p = w->pool;
	p->uuid = p->name = "pool-1";
	p->pool = &w->pool_object;
	p->state = pool_state_get(w->state);
	p->min_up = N / 2;
	p->servers = arena_get(&s->arena, N * sizeof(p->servers[0]));
	for (unsigned i = 0; i < N; i++) {
		many[i] = backend_new("pool-1", &a, 10 + i % 10);
		p->servers[p->n_servers++] = (struct snapshot_server){ .backend = backend_get(many[i]), .ratio = 1, .enabled = true };
	}
	worker_post_snapshot(w->worker, s);
	snapshot_put(s);
	settle(w->worker);
	pool = w->worker->services[0]->pool_at[0];
	assert_int_equal(pool->up, N);
	before = cpu_ns();
	for (unsigned i = 0; i < N; i++) {
		atomic_store(&many[i]->health, i % 4 ? BACKEND_DOWN : BACKEND_UP);
		worker_post_down(w->worker, 0, many[i]);
	}
	settle(w->worker);
	cost = cpu_ns() - before;
	print_message("measured: %u verdicts cost %llu us, in a pool of %d %llu us\n", N, (unsigned long long)(cost / 1000), SERVERS,
		      (unsigned long long)(of_few / 1000));
	/* With a walk through the pool for each it would be a hundred times as much. */
	assert_true(cost < 20 * of_few);
	assert_int_equal(pool->up, N / 4);
	assert_false(pool->open);
	for (unsigned i = 0; i < N; i++) {
		atomic_store(&many[i]->health, BACKEND_UP);
		worker_post_down(w->worker, 0, many[i]);
	}
	settle(w->worker);
	assert_int_equal(pool->up, N);
	assert_true(pool->open);
	configure(w);
	settle(w->worker);
	assert_int_equal(pool->up, SERVERS);
	for (unsigned i = 0; i < N; i++)
		backend_put(many[i]);
	free(many);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PROMISE(half_close_goes_both_ways),
		PROMISE(resets_are_mirrored),
		PROMISE(bulk_arrives_whole_in_both_directions_at_once),
		PROMISE(dead_server_is_left_out_unnoticed),
		PROMISE(no_server_is_a_reset_and_counted),
		PROMISE(edit_drops_nothing),
		PROMISE(removed_server_cuts_its_own_only),
		PROMISE(disabled_server_drains),
		PROMISE(removed_listener_cuts_its_own_only),
		PROMISE(clients_wait_for_the_configuration),
		PROMISE(idle_connection_is_closed_if_the_profile_says_so),
		PROMISE(half_closed_is_kept_alive_if_the_profile_says_so),
		PROMISE(limit_of_connections_is_kept),
		PROMISE(a_verdict_costs_the_same_in_a_pool_of_thousands),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
