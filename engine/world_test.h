/*
 * world_test - a worker with real sockets on the loopback address, for tests: the test is its clients, its servers and
 * its configuration. Include base/test.h first.
 */
#ifndef SPANWIRE_ENGINE_WORLD_TEST_H
#define SPANWIRE_ENGINE_WORLD_TEST_H

#include <arpa/inet.h>
#include <fcntl.h>

#include "engine/far_end_test.h"
#include "engine/l4/l4.h"
#include "engine/pool_state.h"
#include "model/structs.h"

#define SERVERS 3

struct world {
	struct counters counters;
	struct worker *worker;
	int server_fd[SERVERS];           /* listening; -1: nobody there */
	struct backend *backend[SERVERS];
	bool enabled[SERVERS], listed[SERVERS];
	union address front[2];
	const struct proto_ops *proto;    /* l4_proto, unless the test says otherwise */
	struct snapshot plan;             /* what the next configure() gives, but for its pool */
	struct snapshot_pool pool;        /* ... and that, but for its servers */
	struct pool pool_object;
	struct pool_state *state;
	uint64_t revision;
};

static inline void configure(struct world *w)
{
	struct snapshot *s = snapshot_new();
	struct arena arena = s->arena;
	struct snapshot_pool *p;

	*s = w->plan;
	atomic_init(&s->refs, 1);
	s->arena = arena;
	s->revision = ++w->revision;
	s->proto = w->proto;
	s->client.nodelay = s->server.nodelay = true;
	s->pools = p = arena_get(&s->arena, sizeof(*p));
	s->n_pools = 1;
	*p = w->pool;
	p->uuid = p->name = "pool-1";
	p->pool = &w->pool_object;
	p->state = pool_state_get(w->state);
	p->servers = arena_get(&s->arena, SERVERS * sizeof(p->servers[0]));
	for (int i = 0; i < SERVERS; i++)
		if (w->listed[i])
			p->servers[p->n_servers++] = (struct snapshot_server){
				.backend = backend_get(w->backend[i]), .ratio = 1, .enabled = w->enabled[i] };
	worker_post_snapshot(w->worker, s);
	snapshot_put(s);
}

static inline int world_setup(void **state)
{
	struct world *w = xcalloc(1, sizeof(*w));

	clock_stop();
	assert_int_equal(counters_new(&w->counters, 1), 0);
	w->proto = &l4_proto;
	w->worker = worker_start(0, &w->counters);
	for (int i = 0; i < SERVERS; i++) {
		union address a;

		w->server_fd[i] = listen_on(&a);
		w->backend[i] = backend_new("pool-1", &a, 10 + (unsigned)i);
		w->enabled[i] = w->listed[i] = true;
	}
	w->plan = (struct snapshot){ .slot = 1, .multiplex = true };
	w->pool = (struct snapshot_pool){ .rules.kind = LB_ROUND_ROBIN, .disable_ms = 60000, .down_ms = -1,
					  .connect_ms = 1000 };
	w->state = pool_state_new();
	for (unsigned i = 0; i < 2; i++) {
		int fd = listen_on(&w->front[i]);

		fcntl(fd, F_SETFL, O_NONBLOCK);
		worker_post_listener(w->worker, 0, i, fd, &w->front[i], 0, false);
	}
	*state = w;
	return 0;
}

/* Server I refuses; it is another one for configurations from now on. */
static inline void deafen(struct world *w, int i)
{
	union address a;

	close(w->server_fd[i]);
	w->server_fd[i] = deaf_on(&a);
	backend_put(w->backend[i]);
	w->backend[i] = backend_new("pool-1", &a, 10 + (unsigned)i);
}

static inline int world_teardown(void **state)
{
	struct world *w = *state;

	worker_stop(w->worker);
	assert_int_equal(atomic_load(&w->state->refs), 1);
	assert_int_equal(atomic_load(&w->state->queued), 0);
	pool_state_put(w->state);
	for (int i = 0; i < SERVERS; i++) {
		if (w->server_fd[i] >= 0)
			close(w->server_fd[i]);
		assert_int_equal(atomic_load(&w->backend[i]->load), 0);  /* nobody forgot to give back */
		assert_int_equal(atomic_load(&w->backend[i]->refs), 1);
		backend_put(w->backend[i]);
	}
	assert_int_equal(counters_service_of(&w->counters, 0, 1)->conn_open, 0);
	counters_fini(&w->counters);
	free(w);
	return 0;
}

static inline int dial(struct world *w, int front)
{
	return connect_to(&w->front[front]);
}

static inline int answer(struct world *w, int server)
{
	return accept_from(w->server_fd[server]);
}

static inline void hear(int fd, const char *text)
{
	char got[64] = "";

	assert_int_equal(recv(fd, got, strlen(text), MSG_WAITALL), (ssize_t)strlen(text));
	assert_string_equal(got, text);
}

static inline struct service_counters *service(struct world *w)
{
	return counters_service_of(&w->counters, 0, 1);
}

#define PROMISE(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

#endif
