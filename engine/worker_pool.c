#include "engine/worker_pool.h"

#include <openssl/ssl.h>

#include "base/base.h"
#include "engine/idle.h"
#include "engine/l4/udp.h"
#include "engine/upstream.h"
#include "engine/worker.h"

void worker_backend_forget_session(struct worker_backend *b)
{
	SSL_SESSION_free(b->tls_session);
	secure_put(b->tls_secure);
	b->tls_session = NULL;
	b->tls_secure = NULL;
}

static void member_release(struct grave *g)
{
	struct worker_backend *b = CONTAINER_OF(g, struct worker_backend, grave);

	worker_backend_forget_session(b);
	backend_put(b->member.backend);
	free(b);
}

static void pool_release(struct grave *g)
{
	struct worker_pool *p = CONTAINER_OF(g, struct worker_pool, grave);

	lb_fini(&p->lb);
	free(p->members);
	free(p->known);
	free(p->uuid);
	free(p);
}

/* Free it once the newest snapshot has forgotten it, and nobody uses it or waits for it. */
static void pool_reap(struct worker_pool *p)
{
	if (p->now || p->users || !list_empty(&p->backends) || list_empty(&p->link))
		return;
	timer_stop(p->service->worker->loop, &p->queue_timer);
	list_remove(&p->link);
	loop_bury(p->service->worker->loop, &p->grave, pool_release);
}

void worker_pool_left(struct worker_pool *p)
{
	must(p->users-- > 0);
	pool_reap(p);
}

/* Free it once the newest snapshot has forgotten it and its last connection is gone. */
static void backend_reap(struct worker_backend *b)
{
	if (b->listed || b->n_conns || list_empty(&b->link))
		return;
	timer_stop(b->service->worker->loop, &b->drain);
	list_remove(&b->link);
	loop_bury(b->service->worker->loop, &b->grave, member_release);
	pool_reap(b->pool);
}

void worker_backend_left(struct worker_backend *b)
{
	b->n_conns--;
	backend_reap(b);
}

void worker_server_gone(struct conn *c)
{
	struct worker_backend *b = c->backend;

	badge_put(&c->worker->badges, c->badge);
	if (!b)
		return;
	counter_sub(&b->counters->conn_open, 1);
	worker_backend_left(b);
}

static struct worker_backend *backend_add(struct worker_pool *p, const struct snapshot_server *from)
{
	struct worker_backend *b = xcalloc(1, sizeof(*b));
	struct worker_service *s = p->service;

	b->service = s;
	b->pool = p;
	b->member.backend = backend_get(from->backend);
	b->counters = counters_server_of(s->worker->counters, s->worker->id, from->backend->slot);
	list_init(&b->idle);
	list_init(&b->busy);
	list_init(&b->flows);
	list_init(&b->link);
	list_insert(&p->backends, &b->link);
	b->member.bytes = &b->counters->bytes_from_server;
	return b;
}

static void cut_busy(struct worker_backend *b)
{
	struct list doomed;

	/* Cutting one may close others of the list: always take the first. A session that was sent elsewhere
	 * never comes back to this list in the same call, so it ends. */
	list_init(&doomed);
	udp_cut_backend(b);
	while (!list_empty(&b->busy)) {
		struct list *l = b->busy.next;

		list_remove(l);
		list_insert(&doomed, l);
	}
	while (!list_empty(&doomed)) {
		struct list *l = doomed.next;

		list_remove(l);
		list_insert(&b->busy, l);
		upstream_cut(LIST_ENTRY(l, struct conn, link));
	}
}

static void drain_over(struct timer *t)
{
	cut_busy(CONTAINER_OF(t, struct worker_backend, drain));
}

/* Its connections may live MS longer, counted from when it ended; -1: for ever. */
static void backend_drain(struct worker_backend *b, int64_t ms)
{
	struct loop *l = b->service->worker->loop;

	if (!b->ended_ns)
		b->ended_ns = loop_now(l);
	timer_stop(l, &b->drain);
	if (ms == 0)
		cut_busy(b);
	else if (ms > 0)
		timer_at(l, &b->drain, b->ended_ns + (uint64_t)ms * NS_PER_MS, drain_over);
}

/* Bring one backend to what the newest snapshot (NULL: there is none) says of it. */
static void backend_follow(struct worker_backend *b, const struct snapshot *s)
{
	const struct snapshot_pool *p = b->pool->now;

	idle_sweep(b, s);
	if (!b->listed) {
		timer_stop(b->service->worker->loop, &b->drain);
		cut_busy(b);
		backend_reap(b);
	} else if (!b->member.enabled) {
		backend_drain(b, p->disable_ms);
	} else if (!backend_is_usable(b->member.backend)) {
		bool maintained = atomic_load(&b->member.backend->health) == BACKEND_MAINTENANCE;

		backend_drain(b, maintained ? p->disable_ms : p->down_ms);
	} else {
		b->ended_ns = 0;
		timer_stop(b->service->worker->loop, &b->drain);
	}
}

/* Open addressing by pointer: an edit of a pool of thousands stays linear. */
struct by_backend {
	struct worker_backend **at;
	size_t mask;
};

static struct worker_backend **by_backend_find(const struct by_backend *h, const struct backend *b)
{
	size_t i = ((uintptr_t)b >> 4) * 0x9E3779B97F4A7C15ULL >> 20 & h->mask;

	while (h->at[i] && h->at[i]->member.backend != b)
		i = (i + 1) & h->mask;
	return &h->at[i];
}

static void members_from(struct worker_pool *p, const struct snapshot_pool *from_pool)
{
	struct by_backend known = { .mask = 15 };
	size_t n = from_pool->n_servers, at = 0;

	LIST_FOREACH(l, &p->backends)
		n++;
	while (known.mask < 2 * n)
		known.mask = known.mask * 2 + 1;
	known.at = xcalloc(known.mask + 1, sizeof(known.at[0]));
	LIST_FOREACH(l, &p->backends) {
		struct worker_backend *b = LIST_ENTRY(l, struct worker_backend, link);

		b->listed = false;
		*by_backend_find(&known, b->member.backend) = b;
	}
	for (size_t i = 0; i < from_pool->n_servers; i++) {
		const struct snapshot_server *from = &from_pool->servers[i];
		struct worker_backend **place = by_backend_find(&known, from->backend);

		if (!*place)
			*place = backend_add(p, from);
		must(!(*place)->listed);
		(*place)->listed = true;
		(*place)->member.ratio = MAX(from->ratio, 1u);
		(*place)->member.enabled = from->enabled;
	}
	LIST_FOREACH(l, &p->backends) {
		struct worker_backend *b = LIST_ENTRY(l, struct worker_backend, link);

		if (!b->listed)
			lb_drop(&p->lb, &b->member);
	}
	p->members = xrealloc(p->members, (from_pool->n_servers + 1) * sizeof(p->members[0]));
	for (size_t i = 0; i < from_pool->n_servers; i++)
		p->members[at++] = &(*by_backend_find(&known, from_pool->servers[i].backend))->member;
	/* Kept for questions: members only, the others may be freed. */
	memset(known.at, 0, (known.mask + 1) * sizeof(known.at[0]));
	for (size_t i = 0; i < at; i++) {
		struct worker_backend *b = CONTAINER_OF(p->members[i], struct worker_backend, member);

		*by_backend_find(&known, b->member.backend) = b;
	}
	free(p->known);
	p->known = known.at;
	p->known_mask = known.mask;
	lb_set(&p->lb, &from_pool->rules, p->members, at);
}

struct worker_backend *worker_pool_find(const struct worker_pool *p, const struct backend *b)
{
	const struct by_backend known = { p->known, p->known_mask };

	return p->known ? *by_backend_find(&known, b) : NULL;
}

static void pool_forget(struct worker_pool *p)
{
	static const struct snapshot_pool nothing;

	members_from(p, &nothing);
	upstream_queue_look(p);
}

static struct worker_pool *pool_at(struct worker_service *s, const char *uuid)
{
	struct worker_pool *p;

	LIST_FOREACH(l, &s->pools)
		if (strcmp(LIST_ENTRY(l, struct worker_pool, link)->uuid, uuid) == 0)
			return LIST_ENTRY(l, struct worker_pool, link);
	p = xcalloc(1, sizeof(*p));
	p->service = s;
	p->uuid = xstrdup(uuid);
	p->lb.core = s->worker->id;
	p->lb.cores = s->worker->counters->workers;
	list_init(&p->backends);
	list_init(&p->queue);
	list_init(&p->link);
	list_insert(&s->pools, &p->link);
	return p;
}

/* B, which is a member, counts as what it is now. */
static void backend_count(struct worker_backend *b)
{
	bool up = b->member.enabled && backend_is_usable(b->member.backend);

	b->pool->up += up;
	b->pool->up -= b->counted;
	b->counted = up;
}

static void pool_open(struct worker_pool *p)
{
	p->open = p->up >= (p->now ? p->now->min_up : 0);
	upstream_queue_look(p);
}

static void pool_count(struct worker_pool *p)
{
	p->up = 0;
	for (size_t i = 0; i < p->lb.n; i++) {
		struct worker_backend *b = CONTAINER_OF(p->members[i], struct worker_backend, member);

		b->counted = false;
		backend_count(b);
	}
	pool_open(p);
}

/* Also those that only live until their connections end. */
static void backends_follow(struct worker_pool *p, const struct snapshot *snap)
{
	/* Whoever is cut may be the last user: P must not be freed under the walk. */
	p->users++;
	LIST_FOREACH(l, &p->backends)
		backend_follow(LIST_ENTRY(l, struct worker_backend, link), snap);
	worker_pool_left(p);
}

void worker_pools_follow(struct worker_service *s, const struct snapshot *snap)
{
	size_t n = snap ? snap->n_pools : 0;

	LIST_FOREACH(l, &s->pools)
		LIST_ENTRY(l, struct worker_pool, link)->now = NULL;
	if (snap) /* else what ends now may still look up the pools of the last one */
		s->pool_at = xrealloc(s->pool_at, (n + 1) * sizeof(s->pool_at[0]));
	for (size_t i = 0; i < n; i++) {
		s->pool_at[i] = pool_at(s, snap->pools[i].uuid);
		s->pool_at[i]->now = &snap->pools[i];
		members_from(s->pool_at[i], &snap->pools[i]);
		pool_count(s->pool_at[i]);
	}
	LIST_FOREACH(l, &s->pools)
		if (!LIST_ENTRY(l, struct worker_pool, link)->now)
			pool_forget(LIST_ENTRY(l, struct worker_pool, link));
	LIST_FOREACH(l, &s->pools)
		backends_follow(LIST_ENTRY(l, struct worker_pool, link), snap);
}

/*
 * Thousands of servers get their first verdicts in one second: what one costs must not grow with the pool. Who is no
 * member any more was cut when it ceased to be one.
 */
void worker_pools_down(struct worker_service *s, const struct backend *fallen)
{
	LIST_FOREACH(l, &s->pools) {
		struct worker_pool *p = LIST_ENTRY(l, struct worker_pool, link);
		struct worker_backend *b = worker_pool_find(p, fallen);

		if (!b)
			continue;
		lb_look(&p->lb, &b->member);
		backend_count(b);
		pool_open(p);
		backend_follow(b, s->snapshot);
	}
}

void worker_pools_each_busy(struct worker_service *s, void (*f)(struct conn *server))
{
	LIST_FOREACH(pl, &s->pools)
		LIST_FOREACH(bl, &LIST_ENTRY(pl, struct worker_pool, link)->backends)
			LIST_FOREACH(l, &LIST_ENTRY(bl, struct worker_backend, link)->busy)
				f(LIST_ENTRY(l, struct conn, link));
}
