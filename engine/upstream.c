#include "engine/upstream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/base.h"
#include "engine/clone/mark.h"
#include "engine/clone/plain.h"
#include "engine/idle.h"
#include "engine/lack.h"
#include "engine/persist.h"
#include "engine/pool_state.h"
#include "engine/tls/tls.h"
#include "engine/worker.h"
#include "model/structs.h"

#define QUEUE_LOOK_MS 10 /* other workers do not tell when they give a place back */

static const struct proto_ops connecting;

static int choose(struct upstream *u, bool fresh);

struct secure *upstream_secure(const struct snapshot_pool *p, const struct conn *client)
{
	return p->service_tls && !conn_is_tls(client) ? NULL : p->tls;
}

const struct source *upstream_source(const struct snapshot *s, const struct conn *client, int family)
{
	const struct snapshot *newest = client->listener->snapshot;

	return source_of(newest ? &newest->sources : &s->sources, &client->listener->address, family);
}

union address upstream_address(const struct upstream *u, const struct worker_backend *b)
{
	union address a = b->member.backend->address;

	if (u->pool->service_port)
		address_set_port(&a, u->client->port);
	return a;
}

/* ---- opening ---- */

static void hand_over(struct upstream *u, struct conn *c)
{
	c->proto = u->user->proto;
	c->session = u->session;
	c->upstream = u;
	u->server = c;
	u->waiting = false;
	u->timing = true;
}

static void leave_out(struct upstream *u, const struct worker_backend *b)
{
	u->tries++;
	if (u->ask.avoid_n < LB_AVOID)
		u->ask.avoid[u->ask.avoid_n++] = &b->member;
}

static void give_up(struct upstream *u)
{
	struct conn *c = u->server;

	lb_release(&c->backend->pool->lb, &c->backend->member);
	u->server = NULL;
	u->waiting = u->timing = false;
	c->upstream = NULL;
	if (!list_empty(&c->backend->pool->queue))
		upstream_queue_look(c->backend->pool);
}

void upstream_judge(struct upstream *u, bool good)
{
	if (u->server && u->pool->passive)
		backend_judge(u->server->backend->member.backend, loop_now(u->client->worker->loop), good);
}

/* This attempt failed: the next server, or the bad news. Never from inside the session's own call. */
static void attempt_failed(struct conn *c, int rc)
{
	struct upstream *u = c->upstream;

	trace_put(TRACE_CONNECTED, c->id, rc, 0);
	upstream_judge(u, false);
	leave_out(u, c->backend);
	give_up(u);
	conn_reset(c);
	if (u->tries < UPSTREAM_TRIES) {
		int again = choose(u, false);

		if (again == UPSTREAM_WAIT)
			return;
		if (again == UPSTREAM_READY) {
			u->user->connected(u, 0);
			return;
		}
	}
	u->user->connected(u, rc);
}

static void established(struct conn *c)
{
	conn_deadline(c, 0);
	conn_want_in(c, true);
	conn_flush(c); /* nothing is there yet: EPOLLOUT is no longer wanted */
	if (c->cloned && c->upstream->snapshot->clone.plain)
		plain_attach(c);
	retell_attach(c, false);
	hand_over(c->upstream, c);
	c->upstream->user->connected(c->upstream, 0);
}

static void shaking_ready(struct conn *c, uint32_t events)
{
	int rc = events & EPOLLERR ? conn_error(c) : tls_shake_on(c);

	if (rc < 0)
		attempt_failed(c, rc);
	else if (rc == 0)
		established(c);
}

static void connecting_expired(struct conn *c);

static const struct proto_ops shaking = {
	.name = "tls", .ready = shaking_ready, .expired = connecting_expired,
};

/* What the server is asked for: the pool's word, or else its own name. An address is no name. */
static const char *name_for(const struct snapshot_pool *s, const struct worker_backend *b)
{
	const struct secure *tls = s->tls;
	struct in6_addr a;

	if (!tls->sni || tls->server_name)
		return tls->sni ? tls->server_name : NULL;
	for (size_t i = 0; i < s->n_servers; i++) {
		const struct server *server = s->servers[i].server;
		const char *name = server ? server->hostname : NULL;

		if (s->servers[i].backend == b->member.backend && name && *name &&
		    inet_pton(AF_INET, name, &a) != 1 && inet_pton(AF_INET6, name, &a) != 1)
			return name;
	}
	return NULL;
}

static void connecting_ready(struct conn *c, uint32_t events)
{
	const struct snapshot_pool *p = c->upstream->pool;
	struct secure *secure = upstream_secure(p, c->upstream->client);
	int rc = conn_error(c);

	(void)events;
	if (rc < 0) {
		counter_add(&c->backend->counters->conn_failed, 1);
		attempt_failed(c, rc);
		return;
	}
	trace_put(TRACE_CONNECTED, c->id, 0, 0);
	c->open = true;
	c->rtt_us = (uint32_t)MAX((loop_now(c->worker->loop) - c->opened_ns) / 1000, 1ULL);
	counter_add(&c->backend->counters->conn_total, 1);
	counter_add(&c->backend->counters->connect_us, c->rtt_us);
	if (!secure) {
		established(c);
		return;
	}
	rc = tls_dial(c, secure, name_for(p, c->backend));
	if (rc < 0) {
		attempt_failed(c, rc);
		return;
	}
	conn_deadline(c, MAX(p->connect_ms, (uint64_t)TLS_SHAKE_MS));
	c->proto = &shaking;
	shaking_ready(c, 0);
}

static void connecting_expired(struct conn *c)
{
	counter_add(&c->backend->counters->conn_timeout, 1);
	attempt_failed(c, -ETIMEDOUT);
}

static const struct proto_ops connecting = {
	.name = "connect", .ready = connecting_ready, .expired = connecting_expired,
};

static int dial(struct upstream *u, struct worker_backend *b)
{
	const struct snapshot *s = u->snapshot;
	const union address at = upstream_address(u, b), *to = &at;
	const struct source *from = upstream_source(s, u->client, to->sa.sa_family);
	union address vip = u->client->listener->address;
	struct worker *w = u->client->worker;
	struct conn *c;
	int fd = lack_server(w->engine, socket(to->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)), rc;
	bool here;

	if (fd < 0)
		return fd;
	c = conn_new(w, u->client->service, CONN_SERVER, fd, to);
	if (!c)
		return -ENOMEM;
	tuning_dial(&s->server, fd, s->clone.on ? s->clone.room : 0, to->sa.sa_family == AF_INET6);
	c->backend = b;
	b->n_conns++;
	counter_add(&b->counters->conn_open, 1);
	c->proto = &connecting;
	c->upstream = u;
	c->source = from->number;
	if (s->clone.on) {
		c->cloned = true;
		c->clone_generation = s->clone.generation;
	}
	if (s->clone.follow || (s->clone.on && !s->clone.plain)) {
		/* Before the SYN, so that the copy has the whole flow. Of plaintext there is none before TLS is agreed on. */
		address_set_port(&vip, u->client->port);
		if (mark_put(c->service, fd, &u->client->peer, &vip, s, 0) < 0)
			counter_add(&c->service->counters->clone_unmarked, 1);
	}
	list_insert(&b->busy, &c->link);
	trace_put(TRACE_CONNECT, c->id, fd, b->member.backend->slot);
	rc = backend_bind(fd, backend_device(b->member.backend));
	if (rc == 0)
		rc = source_bind(from, fd);
	here = rc == 0;
	if (rc == 0 && connect(fd, &to->sa, address_len(to)) < 0 && errno != EINPROGRESS)
		rc = -errno;
	/* What is no fault of the server's. */
	if (rc == -EADDRNOTAVAIL) {
		counter_add(here ? &c->service->counters->server_no_port : &c->service->counters->server_no_source, 1);
		if (here)
			counter_add(&b->counters->conn_no_port, 1);
	} else if (lack_counts(w->engine, -rc))
		rc = LACK;
	else if (rc < 0)
		counter_add(&b->counters->conn_failed, 1);
	if (rc < 0) {
		c->upstream = NULL;
		conn_reset(c);
		return rc;
	}
	conn_deadline(c, u->pool->connect_ms);
	u->server = c;
	u->waiting = true;
	if (u->user->dialled)
		u->user->dialled(u, c);
	return 0;
}

static void enqueue(struct upstream *u)
{
	list_insert(&u->from->queue, &u->queued);
	u->asked_ns = loop_now(u->client->worker->loop);
	upstream_queue_look(u->from);
}

/* Wait for a place? */
static bool queue(struct upstream *u)
{
	struct pool_state *state = u->pool->state;

	if (!u->pool->queue_max || !state || u->tries)
		return false;
	if (atomic_fetch_add_explicit(&state->queued, 1, memory_order_relaxed) >= u->pool->queue_max) {
		atomic_fetch_sub_explicit(&state->queued, 1, memory_order_relaxed);
		counter_add(&u->client->service->counters->queue_full, 1);
		return false;
	}
	counter_add(&u->client->service->counters->queue_total, 1);
	enqueue(u);
	return true;
}

static void unqueue(struct upstream *u)
{
	list_remove(&u->queued);
	if (!u->lacked)
		atomic_fetch_sub_explicit(&u->pool->state->queued, 1, memory_order_relaxed);
	u->lacked = false;
}

struct lb_member *upstream_stay(struct worker_pool *p, struct backend *b, int *rc)
{
	struct worker_backend *had = worker_pool_find(p, b);
	uint64_t now = loop_now(p->service->worker->loop);

	*rc = 0;
	if (!had || !p->open)
		return NULL;
	if (!had->member.enabled &&
	    (!p->now->persist.while_disabled ||
	     (p->now->disable_ms >= 0 && now >= had->ended_ns + (uint64_t)p->now->disable_ms * NS_PER_MS)))
		return NULL;
	if (!backend_is_usable(b) && p->now->persist.down != HM_DOWN_CONTINUE_PERSISTENT_SERVER) {
		*rc = p->now->persist.down == HM_DOWN_ABORT_CONNECTION ? -EHOSTDOWN : 0;
		return NULL;
	}
	return lb_take(&p->lb, &had->member) ? &had->member : NULL;
}

static void stay_forget(struct upstream *u)
{
	backend_put(u->stay);
	u->stay = NULL;
}

/* The client's address leads to its server; what HTTP knows is asked first. */
static void stay_find(struct upstream *u, const struct upstream_ask *ask)
{
	uint8_t key[16];

	u->stay = ask->stay ? backend_get(ask->stay) : NULL;
	if (u->stay || !u->pool->persist.by_address)
		return;
	persist_key(&u->client->peer, u->pool->persist.mask, key);
	u->stay = persist_find(u->pool->state->persist, key, loop_now(u->client->worker->loop), u->pool->persist.keep_ns);
}

static void stay_with(struct upstream *u, struct backend *b)
{
	uint8_t key[16];

	if (!u->pool->persist.by_address)
		return;
	persist_key(&u->client->peer, u->pool->persist.mask, key);
	if (persist_set(u->pool->state->persist, key, b, loop_now(u->client->worker->loop), u->pool->persist.keep_ns))
		counter_add(&u->client->service->counters->persist_evicted, 1);
}

/*
 * Whoever fails is taken each second time, fourth time ... of those that the balancer would have it, as long as there
 * is another one that does better.
 */
static struct lb_member *pick(struct upstream *u, int *why)
{
	struct lb *lb = &u->from->lb;
	struct lb_member *m = lb_pick(lb, &u->ask, why), *other;
	struct worker_backend *b;
	unsigned trouble;
	int none;

	if (!m || !u->pool->passive || u->ask.avoid_n == LB_AVOID)
		return m;
	trouble = backend_trouble(m->backend, u->ask.now);
	b = CONTAINER_OF(m, struct worker_backend, member);
	if (!trouble || b->passed + 1 >= 1u << trouble) {
		b->passed = 0;
		return m;
	}
	u->ask.avoid[u->ask.avoid_n++] = m;
	other = lb_pick(lb, &u->ask, &none);
	u->ask.avoid_n--;
	if (!other)
		return m;
	if (backend_trouble(other->backend, u->ask.now) >= trouble) {
		lb_release(lb, other);
		return m;
	}
	b->passed++;
	counter_add(&b->counters->conn_passed_over, 1);
	lb_release(lb, m);
	return other;
}

/* A server's connection goes from client to client. */
void upstream_follow(const struct upstream *u, struct conn *c, const struct snapshot *s)
{
	union address vip = u->client->listener->address;
	struct badges *badges = &c->worker->badges;
	bool worn = c->badge;

	address_set_port(&vip, u->client->port);
	if (!worn)
		c->badge = badge_take(badges);
	badge_write(badges, c->badge, mark_flow_id(c->worker, &u->client->peer, &vip, false), &u->client->peer);
	if (worn || mark_follow(c->service, c->watch.fd, &u->client->peer, &vip, s, 0, c->badge) == 0)
		return;
	badge_put(badges, c->badge);
	c->badge = 0;
}

/* FRESH: not one at rest; the last one was stale. */
static int choose(struct upstream *u, bool fresh)
{
	uint64_t now = loop_now(u->client->worker->loop);
	unsigned slowed = u->ask.avoid_n; /* those from here on began too many connections lately */
	struct lb *lb = &u->from->lb;
	int rc = -ENOENT;

	u->ask.now = now;
	if (!u->from->open)
		return -ENOENT;
	for (;;) {
		struct lb_member *m = u->stay ? upstream_stay(u->from, u->stay, &rc) : NULL;
		bool stays = m != NULL;
		struct worker_backend *b;
		struct conn *c;

		if (u->stay) {
			stay_forget(u);
			if (rc == -EHOSTDOWN)
				return rc;
			if (!u->lacked)
				counter_add(stays ? &u->client->service->counters->persist_kept
						  : &u->client->service->counters->persist_lost, 1);
		}
		if (!m)
			m = pick(u, &rc);
		if (lb->overflows) {
			counter_add(&u->client->service->counters->server_full, lb->overflows);
			lb->overflows = 0;
		}
		if (!m) {
			if (u->ask.avoid_n > slowed)
				rc = -EBUSY;
			u->ask.avoid_n = slowed;
			return rc;
		}
		if (u->tries)
			counter_add(&u->client->service->counters->server_retry, 1);
		b = CONTAINER_OF(m, struct worker_backend, member);
		c = fresh ? NULL : idle_take(u, b);
		u->asked_ns = now;
		if (c && !stays)
			stay_with(u, m->backend);
		if (c) {
			u->ask.avoid_n = slowed;
			trace_put(TRACE_REUSE, c->id, (int64_t)c->uses, u->client->id);
			counter_add(&b->counters->conn_reused, 1);
			u->reused = true;
			if (u->snapshot->clone.follow)
				upstream_follow(u, c, u->snapshot);
			hand_over(u, c);
			return UPSTREAM_READY;
		}
		u->reused = false;
		if (u->pool->rate.each_ns && !rate_take(&m->backend->rate, &u->pool->rate, now)) {
			counter_add(&b->counters->conn_rate_limited, 1);
			lb_release(lb, m);
			rc = -EBUSY;
			if (u->ask.avoid_n == LB_AVOID) {
				u->ask.avoid_n = slowed;
				return rc;
			}
			u->ask.avoid[u->ask.avoid_n++] = m;
			continue;
		}
		u->ask.avoid_n = slowed;
		rc = dial(u, b);
		if (rc == 0 && !stays)
			stay_with(u, m->backend);
		if (rc == 0)
			return UPSTREAM_WAIT;
		lb_release(lb, m);
		if (rc == LACK) { /* another server would be no better */
			u->stay = stays ? backend_get(m->backend) : NULL;
			return rc;
		}
		leave_out(u, b);
		slowed = u->ask.avoid_n;
		if (u->tries >= UPSTREAM_TRIES)
			return rc;
	}
}

/* ---- waiting for a place ---- */

static void queue_serve(struct timer *t)
{
	struct worker_pool *p = CONTAINER_OF(t, struct worker_pool, queue_timer);
	struct worker *w = p->service->worker;

	p->users++;
	while (!list_empty(&p->queue)) {
		struct upstream *u = LIST_ENTRY(p->queue.next, struct upstream, queued);
		bool late = loop_now(w->loop) - u->asked_ns >= UPSTREAM_QUEUE_MS * NS_PER_MS;
		uint64_t since = u->asked_ns;
		int rc = choose(u, false);

		if ((rc == -EBUSY || rc == LACK) && !late) {
			u->asked_ns = since;
			timer_in(w->loop, &p->queue_timer, QUEUE_LOOK_MS, queue_serve);
			break;
		}
		unqueue(u);
		if (rc == -EBUSY || rc == LACK)
			counter_add(&p->service->counters->queue_late, 1);
		if (rc != UPSTREAM_WAIT)
			u->user->connected(u, rc);
	}
	worker_pool_left(p);
}

void upstream_queue_look(struct worker_pool *p)
{
	struct loop *l = p->service->worker->loop;
	uint64_t soon = loop_now(l) + NS_PER_MS;

	/* Never later than it was: places are given back all the time. */
	if (!list_empty(&p->queue) && (!p->queue_timer.active || p->queue_timer.at_ns > soon))
		timer_at(l, &p->queue_timer, soon, queue_serve);
}

/* ---- the session's verbs ---- */

void upstream_init(struct upstream *u, const struct upstream_user *user, void *session, struct conn *client)
{
	*u = (struct upstream){ .user = user, .session = session, .client = client };
	list_init(&u->queued);
}

void upstream_ask_pool(struct upstream_ask *ask, const union address *client, const struct snapshot_pool *pool)
{
	unsigned port = address_port(client);
	uint8_t ip[16];

	ask->pool = pool;
	if (pool->rules.kind != LB_CONSISTENT_HASH)
		return;
	address_mapped(client, ip);
	ask->key = lb_hash_bytes(LB_HASH_SEED, ip, sizeof(ip));
	if (pool->pool->lb_algorithm_hash == LB_ALGORITHM_CONSISTENT_HASH_SOURCE_IP_ADDRESS_AND_PORT)
		ask->key = lb_hash_bytes(ask->key, &port, sizeof(port));
}

static bool has_server(const struct worker_service *ws, size_t pool)
{
	return ws->pool_at[pool]->open && ws->pool_at[pool]->up;
}

/* Where the client's address is known already. */
static const struct snapshot_pool *pool_of_client(const union address *client, const struct worker_service *ws,
						  const struct snapshot *s)
{
	for (size_t i = 0; i < s->n_members; i++) {
		const struct snapshot_pool *p = &s->pools[s->members[i].pool];
		struct backend *had;
		uint8_t key[16];

		if (!p->persist.by_address || !has_server(ws, s->members[i].pool))
			continue;
		persist_key(client, p->persist.mask, key);
		had = persist_find(p->state->persist, key, loop_now(ws->worker->loop), p->persist.keep_ns);
		backend_put(had);
		if (had)
			return p;
	}
	return NULL;
}

/* The ranks from the first on, until servers enough are up; among their pools by ratio. */
static const struct snapshot_pool *pool_of_group(struct worker_service *ws, const struct snapshot *s)
{
	uint64_t sum = 0, turn;
	size_t up = 0, end = 0;

	for (size_t i = 0; i < s->n_members; i++) {
		const struct snapshot_member *m = &s->members[i];

		if (up >= MAX(s->group_min, 1u) && m->rank != s->members[i - 1].rank)
			break;
		end = i + 1;
		if (m->ratio && has_server(ws, m->pool)) {
			up += ws->pool_at[m->pool]->up;
			sum += m->ratio;
		}
	}
	if (!sum)
		return NULL;
	/* Multiples of the golden ratio fall into all shares evenly, however few they are. */
	turn = (uint64_t)(uint32_t)(ws->group_turn++ * 0x9E3779B9u) * sum >> 32;
	for (size_t i = 0; i < end; i++) {
		const struct snapshot_member *m = &s->members[i];

		if (!m->ratio || !has_server(ws, m->pool))
			continue;
		if (turn < m->ratio)
			return &s->pools[m->pool];
		turn -= m->ratio;
	}
	return NULL;
}

struct upstream_ask upstream_ask_of(const union address *client, struct worker_service *ws, const struct snapshot *s)
{
	const struct snapshot_pool *pool = s->n_pools && !s->n_members ? &s->pools[0] : NULL;
	struct upstream_ask ask = { .fail = s->n_members ? s->group_fail : pool ? pool->pool->fail_action : NULL };

	if (s->n_members)
		pool = pool_of_client(client, ws, s);
	if (!pool && s->n_members)
		pool = pool_of_group(ws, s);
	if (!pool && s->n_members)
		pool = s->group_backup;
	/* The circle ends also where somebody made one. */
	for (size_t i = 0; i < s->n_pools && pool && pool->backup && !has_server(ws, (size_t)(pool - s->pools)); i++)
		pool = pool->backup;
	if (pool && (pool->spare || !s->n_members))
		ask.fail = pool->pool->fail_action;
	if (pool)
		upstream_ask_pool(&ask, client, pool);
	return ask;
}

static void leave(struct upstream *u)
{
	struct worker_pool *p = u->from;

	stay_forget(u);
	snapshot_put(u->snapshot);
	u->snapshot = NULL;
	u->pool = NULL;
	u->from = NULL;
	worker_pool_left(p);
}

int upstream_open(struct upstream *u, struct snapshot *s, const struct upstream_ask *ask)
{
	int rc;

	must(!u->snapshot && !u->server && s == u->client->listener->snapshot);
	if (!ask->pool)
		return -ENOENT;
	u->tries = 0;
	u->ask = (struct lb_ask){ .key = ask->key };
	u->twice = ask->twice;
	u->snapshot = snapshot_get(s);
	u->pool = ask->pool;
	u->from = u->client->service->pool_at[ask->pool - s->pools];
	u->from->users++;
	stay_find(u, ask);
	rc = choose(u, false);
	if (rc == -EBUSY && queue(u))
		return UPSTREAM_WAIT;
	if (rc == LACK) {
		u->lacked = true;
		enqueue(u);
		return UPSTREAM_WAIT;
	}
	if (rc < 0)
		leave(u);
	return rc;
}

const struct snapshot_server *upstream_server(const struct upstream *u)
{
	const struct worker_backend *b = u->server->backend;
	const struct snapshot_pool *p = u->pool;
	size_t place = b->member.place;

	if (place < p->n_servers && p->servers[place].backend == b->member.backend)
		return &p->servers[place];
	/* The pool was edited since. */
	for (size_t i = 0; i < p->n_servers; i++)
		if (p->servers[i].backend == b->member.backend)
			return &p->servers[i];
	return NULL;
}

void upstream_answered(struct upstream *u)
{
	struct conn *c = u->server;
	struct worker *w = u->client->worker;

	if (!u->timing)
		return;
	u->timing = false;
	if (c->backend->listed)
		lb_answered(&c->backend->pool->lb, &c->backend->member, loop_now(w->loop) - u->asked_ns);
}

int upstream_elsewhere(struct upstream *u)
{
	struct conn *c = u->server;
	int rc;

	must(u->snapshot && c);
	if (u->ask.avoid_n == LB_AVOID)
		return -EBUSY;
	u->ask.avoid[u->ask.avoid_n++] = &c->backend->member;
	u->tries = 0;
	u->server = NULL;
	rc = choose(u, false);
	if (rc < 0) {
		u->server = c;
		return rc;
	}
	/* What it still has to say is of no use. */
	c->upstream = NULL;
	lb_release(&c->backend->pool->lb, &c->backend->member);
	conn_reset(c);
	return rc;
}

int upstream_again(struct upstream *u)
{
	struct conn *c = u->server;
	bool stale = u->reused;

	must(u->snapshot && c);
	/* One that rested too long says nothing about its server. */
	if (!stale) {
		upstream_judge(u, false);
		leave_out(u, c->backend);
	}
	give_up(u);
	conn_reset(c);
	return u->tries < UPSTREAM_TRIES ? choose(u, stale) : -ECONNREFUSED;
}

void upstream_done(struct upstream *u, bool keep)
{
	struct conn *c = u->server;

	if (!u->snapshot)
		return;
	if (!list_empty(&u->queued))
		unqueue(u);
	if (c) {
		bool clean = keep && !u->waiting && !c->closed && !c->eof && !c->shut && !c->in && !c->out;

		give_up(u);
		if (clean)
			idle_keep(u, c);
		else
			conn_close(c);
	}
	leave(u);
}

void upstream_cancel(struct upstream *u, bool reset)
{
	if (u->snapshot && u->server && reset)
		conn_reset(u->server);
	upstream_done(u, false);
}

void upstream_cut(struct conn *c)
{
	struct upstream *u = c->upstream;

	must(u);
	if (u->waiting) {
		attempt_failed(c, -ECONNREFUSED);
		return;
	}
	trace_put(TRACE_CUT, u->client->id, CONN_CUT_SERVER, c->id);
	counter_add(&c->service->counters->conn_cut_server, 1);
	u->user->cut(u);
}
