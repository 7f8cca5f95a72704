/*
 * http_world - a worker that speaks HTTP, with a front address and servers that are the test:
 * for the tests here.
 */
#ifndef SPANWIRE_ENGINE_HTTP_HTTP_WORLD_H
#define SPANWIRE_ENGINE_HTTP_HTTP_WORLD_H

#include "base/test.h"

#include <fcntl.h>

#include "engine/far_end_test.h"
#include "engine/http/http.h"
#include "engine/http/sticky.h"
#include "model/structs.h"

#define SERVERS 2

static struct world {
	struct counters counters;
	struct worker *worker;
	int server_fd[SERVERS];
	struct backend *backend[SERVERS];
	union address front;
	uint64_t revision;
	size_t n_servers;
	unsigned max_load;
	struct http_application_profile http;
	struct pool pool;
	bool http2;
	enum lb_kind kind;
	const char *host;            /* of requests to the servers */
	const struct http_cookie_persistence_profile *cookie;
} w;

/* What the members above say is the configuration from now on. */
static void configure(void)
{
	struct snapshot *s = snapshot_new();
	struct http_application_profile *http = arena_get(&s->arena, sizeof(*http));
	struct application_profile *application = arena_get(&s->arena, sizeof(*application));
	struct pool *pool = arena_get(&s->arena, sizeof(*pool));
	struct virtual_service *vs = arena_get(&s->arena, sizeof(*vs));
	struct service *port = arena_get(&s->arena, sizeof(*port));
	struct snapshot_pool *p;

	*http = w.http;
	*pool = w.pool;
	*application = (struct application_profile){ .type = APPLICATION_PROFILE_TYPE_HTTP,
						     .http_profile = http };
	*port = (struct service){ .port = address_port(&w.front), .enable_http2 = w.http2 };
	*vs = (struct virtual_service){ .services = port, .services_n = 1 };
	s->vs = vs;
	s->slot = 1;
	s->multiplex = s->client.nodelay = s->server.nodelay = true;
	s->revision = ++w.revision;
	s->proto = &http_proto;
	s->application = application;
	s->n_pools = 1;
	s->pools = p = arena_get(&s->arena, sizeof(*p));
	*p = (struct snapshot_pool){
		.pool = pool,
		.uuid = "pool-1",
		.name = "pool-1",
		.rules = { .kind = w.kind, .max_load = w.max_load },
		.disable_ms = 60000,
		.down_ms = -1,
		.connect_ms = 1000,
		.servers = arena_get(&s->arena, SERVERS * sizeof(p->servers[0])),
	};
	for (size_t i = 0; i < w.n_servers; i++)
		p->servers[p->n_servers++] = (struct snapshot_server){
			.backend = backend_get(w.backend[i]), .ratio = 1, .enabled = true, .host = w.host };
	p->persist.cookie = sticky_new(&s->arena, w.cookie, "pool-1", (const char *const[]){ "one", "two" }, p->n_servers);
	if (w.kind == LB_CONSISTENT_HASH)
		p->rules.hash = lb_hash_new(&s->arena, (struct lb_hash_server[]){ { 1, 1, 1 }, { 2, 2, 1 } },
					    p->n_servers);
	worker_post_snapshot(w.worker, s);
	snapshot_put(s);
}

static int setup(void **state)
{
	int fd;

	(void)state;
	memset(&w, 0, sizeof(w));
	clock_stop();
	assert_int_equal(counters_new(&w.counters, 1), 0);
	w.worker = worker_start(0, &w.counters);
	for (unsigned i = 0; i < SERVERS; i++) {
		union address a;

		w.server_fd[i] = listen_on(&a);
		w.backend[i] = backend_new("pool-1", &a, 10 + i);
	}
	w.n_servers = 1;
	w.http = (struct http_application_profile){
		.client_body_timeout = 5000,
		.client_header_timeout = 5000,
		.client_max_header_size = 12,
		.client_max_request_size = 48,
		.keepalive_timeout = 5000,
		.max_header_count = 256,
		.max_response_headers_size = 48,
		.post_accept_timeout = 5000,
		.respond_with_100_continue = true,
		.websockets_enabled = true,
		.xff_alternate_name = "X-Forwarded-For",
		.xff_enabled = true,
		.xff_update = REPLACE_XFF_HEADERS,
	};
	fd = listen_on(&w.front);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	worker_post_listener(w.worker, 0, 0, fd, &w.front, 0, false);
	return 0;
}

/* Server I refuses; it is another one for configurations from now on. */
static inline void deafen(unsigned i)
{
	union address a;

	close(w.server_fd[i]);
	w.server_fd[i] = deaf_on(&a);
	backend_put(w.backend[i]);
	w.backend[i] = backend_new("pool-1", &a, 10 + i);
}

static int teardown(void **state)
{
	(void)state;
	worker_stop(w.worker);
	for (int i = 0; i < SERVERS; i++) {
		if (w.server_fd[i] >= 0)
			close(w.server_fd[i]);
		assert_int_equal(atomic_load(&w.backend[i]->load), 0);
		assert_int_equal(atomic_load(&w.backend[i]->refs), 1);
		backend_put(w.backend[i]);
	}
	assert_int_equal(counters_service_of(&w.counters, 0, 1)->conn_open, 0);
	counters_fini(&w.counters);
	return 0;
}

static inline struct service_counters *service(void)
{
	return counters_service_of(&w.counters, 0, 1);
}

static inline struct server_counters *server_of(unsigned i)
{
	return counters_server_of(&w.counters, 0, 10 + i);
}

/* What servers hear has an id that nobody can foretell: 32 digits. */
#define ID_NAME "X-Request-ID: "
#define ID_LINE (sizeof(ID_NAME) - 1 + 32 + 2)

/* Takes lines with ids out of the *N bytes at TEXT. Bytes that a line has still to get. */
static inline size_t without_ids(char *text, size_t *n)
{
	for (size_t i = 0; i < *n; i++) {
		size_t left = *n - i;

		if ((i > 0 && text[i - 1] != '\n') || memcmp(text + i, ID_NAME, MIN(left, sizeof(ID_NAME) - 1)) != 0)
			continue;
		if (left < ID_LINE)
			return ID_LINE - left;
		memmove(text + i, text + i + ID_LINE, left - ID_LINE);
		*n -= ID_LINE;
		i--;
	}
	return 0;
}

#endif
