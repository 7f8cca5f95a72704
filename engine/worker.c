#include "engine/worker.h"

#include <errno.h>
#include <linux/bpf.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/base.h"
#include "base/log.h"
#include "engine/bpf/mark.h"
#include "engine/http/h1.h"
#include "engine/http/h2.h"
#include "engine/l4/l4.h"
#include "engine/l4/pipe.h"
#include "engine/l4/udp.h"
#include "engine/admission.h"
#include "engine/clone/plain.h"
#include "engine/ports.h"
#include "engine/tls/tls.h"
#include "engine/records.h"
#include "engine/upstream.h"

#define CONNS_MAX       400000        /* per worker: 100,000 clients with their servers, and room */
#define BUFFERS_MAX     (1ULL << 30)  /* per worker, bytes */
#define ACCEPTS_A_TURN  64
#define ACCEPT_PAUSE_MS 10

/* ---- backends of a service ---- */

void worker_backend_forget_session(struct worker_backend *b)
{
	SSL_SESSION_free(b->tls_session);
	secure_put(b->tls_secure);
	b->tls_session = NULL;
	b->tls_secure = NULL;
}

static void backend_release_grave(struct grave *g)
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
	loop_bury(b->service->worker->loop, &b->grave, backend_release_grave);
	pool_reap(b->pool);
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
		worker_cut_server(LIST_ENTRY(l, struct conn, link));
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

	upstream_sweep(b, s);
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

/* ---- services ---- */

static struct worker_service *service_at(struct worker *w, unsigned index)
{
	struct worker_service *s;

	if (index >= w->n_services) {
		size_t n = MAX(w->n_services * 2, (size_t)index + 16);

		w->services = xrealloc(w->services, n * sizeof(w->services[0]));
		memset(w->services + w->n_services, 0, (n - w->n_services) * sizeof(w->services[0]));
		w->n_services = n;
	}
	s = w->services[index];
	if (!s) {
		s = w->services[index] = xcalloc(1, sizeof(*s));
		s->worker = w;
		s->index = index;
		throttle_init(&s->throttle, w->loop);
		list_init(&s->listeners);
		list_init(&s->clients);
		list_init(&s->pools);
	}
	return s;
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

	p->now = NULL;
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

/* Of all pools, also those that only live until their connections end. */
static void backends_follow(struct worker_service *s, const struct snapshot *snap)
{
	LIST_FOREACH(l, &s->pools) {
		struct worker_pool *p = LIST_ENTRY(l, struct worker_pool, link);

		/* Whoever is cut may be the last user: P must not be freed under the walk. */
		p->users++;
		LIST_FOREACH(k, &p->backends)
			backend_follow(LIST_ENTRY(k, struct worker_backend, link), snap);
		worker_pool_left(p);
	}
}

/* LS == NULL: all of the service's. */
static void cut_clients(struct worker_service *s, const struct listener *ls, enum conn_cut why)
{
	bool again;

	/* Cutting one client may end no other client, but the list is walked anew after each round all the same. */
	do {
		again = false;
		LIST_FOREACH(l, &s->clients) {
			struct conn *c = LIST_ENTRY(l, struct conn, link);

			if (ls && c->listener != ls)
				continue;
			trace_put(TRACE_CUT, c->id, why, 0);
			if (why == CONN_CUT_LISTENER)
				counter_add(&s->counters->conn_cut_listener, 1);
			else if (why == CONN_CUT_CONFIG)
				counter_add(&s->counters->conn_cut_config, 1);
			c->proto->cut(c, why);
			must(c->closed);
			again = true;
		}
	} while (again);
}

/* Serve by the newest snapshot. */
static void listener_follow(struct listener *ls)
{
	struct worker_service *s = ls->service;

	ls->snapshot = snapshot_for(s->snapshot, ls->udp, address_port(&ls->address));
	if (ls->udp)
		udp_follow(ls);
	else
		tuning_listener(&ls->snapshot->client, ls->watch.fd);
	if (!ls->watch.active && !ls->pause.active)
		must(watch_start(s->worker->loop, &ls->watch, ls->watch.fd, EPOLLIN, ls->watch.ready) == 0);
}

/* A capture begins: it wants to know of the connections that are there already, too. */
static void follow_all(struct worker_service *s)
{
	LIST_FOREACH(pl, &s->pools)
		LIST_FOREACH(bl, &LIST_ENTRY(pl, struct worker_pool, link)->backends)
			LIST_FOREACH(l, &LIST_ENTRY(bl, struct worker_backend, link)->busy) {
				struct conn *c = LIST_ENTRY(l, struct conn, link);

				if (c->upstream)
					upstream_follow(c->upstream, c, s->snapshot);
			}
	LIST_FOREACH(l, &s->listeners)
		if (LIST_ENTRY(l, struct listener, link)->udp)
			udp_mark(LIST_ENTRY(l, struct listener, link));
}

/* HTTP tells at the next request; where there are none, it is now. */
static void tell_all(struct worker_service *s)
{
	LIST_FOREACH(pl, &s->pools)
		LIST_FOREACH(bl, &LIST_ENTRY(pl, struct worker_pool, link)->backends)
			LIST_FOREACH(l, &LIST_ENTRY(bl, struct worker_backend, link)->busy) {
				struct conn *c = LIST_ENTRY(l, struct conn, link);

				if (c->upstream && c->session && c->proto == &l4_proto)
					retell_pair(c->upstream->client, c);
			}
}

static void service_update(struct worker *w, struct snapshot *snap)
{
	struct worker_service *s = service_at(w, snap->index);
	struct snapshot *old = s->snapshot;

	trace_put(TRACE_SNAPSHOT, snap->index, (int64_t)snap->revision, (int64_t)snap->n_pools);
	s->snapshot = snap;
	s->counters = counters_service_of(w->counters, w->id, snap->slot);
	if (!s->admission) /* the same for the life of the service */
		s->admission = admission_get(snap->admission.shared);
	throttle_set(&s->throttle, s->admission ? snap->admission.mbps : 0, s->admission ? &s->admission->bytes : NULL,
		     &s->counters->throughput_waits);
	LIST_FOREACH(l, &s->pools)
		LIST_ENTRY(l, struct worker_pool, link)->now = NULL;
	s->pool_at = xrealloc(s->pool_at, (snap->n_pools + 1) * sizeof(s->pool_at[0]));
	for (size_t i = 0; i < snap->n_pools; i++) {
		s->pool_at[i] = pool_at(s, snap->pools[i].uuid);
		s->pool_at[i]->now = &snap->pools[i];
		members_from(s->pool_at[i], &snap->pools[i]);
		pool_count(s->pool_at[i]);
	}
	LIST_FOREACH(l, &s->pools)
		if (!LIST_ENTRY(l, struct worker_pool, link)->now)
			pool_forget(LIST_ENTRY(l, struct worker_pool, link));
	backends_follow(s, snap);
	LIST_FOREACH(l, &s->listeners)
		listener_follow(LIST_ENTRY(l, struct listener, link));
	if (old && snap->clone.follow && !old->clone.follow)
		follow_all(s);
	if (old && snap->clone.capture && snap->clone.capture != old->clone.capture)
		tell_all(s);
	if (old && snap->cuts_clients) {
		cut_clients(s, NULL, CONN_CUT_CONFIG);
		LIST_FOREACH(l, &s->listeners)
			udp_cut_listener(LIST_ENTRY(l, struct listener, link), &s->counters->conn_cut_config);
	}
	snapshot_put(old);
}

static void listener_release(struct grave *g)
{
	free(CONTAINER_OF(g, struct listener, grave));
}

static void listener_close(struct listener *ls)
{
	struct worker *w = ls->service->worker;

	cut_clients(ls->service, ls, w->stopping ? CONN_CUT_STOP : CONN_CUT_LISTENER);
	udp_cut_listener(ls, w->stopping ? NULL : &ls->service->counters->conn_cut_listener);
	list_remove(&ls->throttled.link);
	watch_stop(w->loop, &ls->watch);
	timer_stop(w->loop, &ls->pause);
	close(ls->watch.fd);
	list_remove(&ls->link);
	loop_bury(w->loop, &ls->grave, listener_release);
}

struct service_grave {
	struct grave grave;
	struct worker_service *service;
};

static void service_release(struct grave *g)
{
	struct service_grave *sg = CONTAINER_OF(g, struct service_grave, grave);

	admission_put(sg->service->admission);
	free(sg->service->pool_at);
	free(sg->service);
	free(sg);
}

static void service_remove(struct worker *w, unsigned index)
{
	struct worker_service *s = index < w->n_services ? w->services[index] : NULL;
	struct service_grave *sg;

	if (!s)
		return;
	while (!list_empty(&s->listeners))
		listener_close(LIST_ENTRY(s->listeners.next, struct listener, link));
	cut_clients(s, NULL, w->stopping ? CONN_CUT_STOP : CONN_CUT_LISTENER);
	LIST_FOREACH(l, &s->pools)
		pool_forget(LIST_ENTRY(l, struct worker_pool, link));
	backends_follow(s, NULL);
	must(list_empty(&s->pools) && list_empty(&s->clients));
	throttle_fini(&s->throttle);
	w->services[index] = NULL;
	snapshot_put(s->snapshot);
	s->snapshot = NULL;
	/* Connections that were closed in this turn still name it; the graves are emptied in order. */
	sg = xcalloc(1, sizeof(*sg));
	sg->service = s;
	loop_bury(w->loop, &sg->grave, service_release);
}

void worker_client_gone(struct conn *c)
{
	counter_sub(&c->service->counters->conn_open, 1);
	admission_left(c->service);
	/* Those that rest for this client only. */
	while (!list_empty(&c->bound)) {
		struct conn *server = LIST_ENTRY(c->bound.next, struct conn, bound);

		server->proto->expired(server);
	}
}

void worker_server_gone(struct conn *c)
{
	struct worker_backend *b = c->backend;

	if (!b)
		return;
	counter_sub(&b->counters->conn_open, 1);
	worker_backend_left(b);
}

void worker_backend_left(struct worker_backend *b)
{
	b->n_conns--;
	backend_reap(b);
}

/* ---- clone marks ---- */

uint64_t worker_flow_id(const struct worker *w, const union address *client, const union address *vip, bool udp)
{
	uint8_t from[16], to[16];

	address_mapped(client, from);
	address_mapped(vip, to);
	return flow_id(w->flow_seed, from, htons((uint16_t)address_port(client)), to,
		       htons((uint16_t)address_port(vip)), udp ? IPPROTO_UDP : IPPROTO_TCP);
}

static int mark_call(int command, uint64_t flags, const struct worker *w, int fd, struct sock_mark *m)
{
	union bpf_attr attr = { .map_fd = (uint32_t)w->mark_map };

	if (w->mark_map < 0)
		return -ENOENT;
	attr.key = (uint64_t)(uintptr_t)&fd;
	attr.value = (uint64_t)(uintptr_t)m;
	attr.flags = flags;
	return syscall(SYS_bpf, command, &attr, sizeof(attr)) < 0 ? -errno : 0;
}

uint32_t worker_clone_target(struct worker_service *ws, const struct snapshot_clone *clone, uint64_t flow_id)
{
	/* In turn; workers begin at different ones. */
	return clone->first +
	       (clone->by_client ? (uint32_t)flow_id : ws->clone_turn++ + ws->worker->id) % clone->n;
}

int worker_mark(struct worker_service *ws, int fd, const union address *client, const union address *vip,
		const struct snapshot *s, unsigned idle_s)
{
	struct worker *w = ws->worker;
	const struct snapshot_clone *clone = &s->clone;
	struct sock_mark m = { .flow_id = worker_flow_id(w, client, vip, idle_s), .service = clone->service,
			       .generation = clone->generation, .worker = (uint16_t)(w->id + 1),
			       .idle_s = (uint16_t)MIN(idle_s, (unsigned)UINT16_MAX) };

	if (clone->follow)
		m.flags |= MARK_FOLLOW;
	if (clone->on && !clone->n && !clone->follow)
		return -ENOENT;
	/* Datagrams have no other form. */
	if (clone->on && clone->n && (!clone->plain || idle_s)) {
		m.flags |= MARK_CLONE;
		m.target = worker_clone_target(ws, clone, m.flow_id);
	}
	address_mapped(client, m.client_addr);
	m.client_port = htons((uint16_t)address_port(client));
	if (clone->preserve_client_ip)
		m.flags |= MARK_CLIENT_ADDR;
	return mark_call(BPF_MAP_UPDATE_ELEM, BPF_ANY, w, fd, &m);
}

void worker_follow(struct worker_service *ws, int fd, const union address *client, const union address *vip,
		   const struct snapshot *s, unsigned idle_s)
{
	struct worker *w = ws->worker;
	struct sock_mark old, m = { .flow_id = worker_flow_id(w, client, vip, idle_s), .flags = MARK_FOLLOW,
				    .service = s->clone.service, .worker = (uint16_t)(w->id + 1),
				    .client_port = htons((uint16_t)address_port(client)),
				    .idle_s = (uint16_t)MIN(idle_s, (unsigned)UINT16_MAX) };

	address_mapped(client, m.client_addr);
	/* Of TCP the kernel has taken the mark away, unless there was no room in its table. */
	if (mark_call(BPF_MAP_UPDATE_ELEM, BPF_NOEXIST, w, fd, &m) != -EEXIST)
		return;
	/* What is copied stays copied, to whom it was. */
	if (mark_call(BPF_MAP_LOOKUP_ELEM, 0, w, fd, &old) == 0) {
		m.flags |= old.flags;
		m.service = old.service;
		m.target = old.target;
		m.generation = old.generation;
		m.idle_s = old.idle_s;
	}
	mark_call(BPF_MAP_UPDATE_ELEM, BPF_ANY, w, fd, &m);
}

/* ---- accepting ---- */

static void listener_again(struct timer *t)
{
	struct listener *ls = CONTAINER_OF(t, struct listener, pause);
	struct worker *w = ls->service->worker;

	if (ls->service->snapshot)
		must(watch_start(w->loop, &ls->watch, ls->watch.fd, EPOLLIN, ls->watch.ready) == 0);
}

/* Where the profile differs from what the listener gave its child (engine/ports.c): by default nowhere. */
static void client_options(const struct conn *c, const struct snapshot *s)
{
	const struct tuning *t = &s->client;

	if (!t->nodelay)
		conn_option(c, IPPROTO_TCP, TCP_NODELAY, 0);
	if (!t->keepalive_s)
		conn_option(c, SOL_SOCKET, SO_KEEPALIVE, 0);
	else if (t->keepalive_s != PORT_KEEPALIVE_S)
		conn_option(c, IPPROTO_TCP, TCP_KEEPIDLE, (int)t->keepalive_s);
	tuning_accepted(t, c->watch.fd);
	if (s->dscp && c->peer.sa.sa_family == AF_INET6)
		conn_option(c, IPPROTO_IPV6, IPV6_TCLASS, (int)s->dscp << 2);
	else if (s->dscp)
		conn_option(c, IPPROTO_IP, IP_TOS, (int)s->dscp << 2);
}

/* By RST: the client knows at once, and nothing of it stays here. */
static void turn_away(int fd)
{
	struct linger now = { .l_onoff = 1 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
}

/* Where the client came to: of a range, only the connection knows. */
static unsigned port_of(const struct listener *ls, int fd)
{
	unsigned port = address_port(&ls->address);
	union address own;
	socklen_t len = sizeof(own);

	if (ls->last > port && getsockname(fd, &own.sa, &len) == 0)
		return address_port(&own);
	return port;
}

static void accepted(struct listener *ls, int fd, const union address *peer)
{
	struct worker_service *s = ls->service;
	unsigned port = port_of(ls, fd);
	struct conn *c;

	switch (admission_ask(s, ls->snapshot, peer, port)) {
	case ADMIT:
		break;
	case ADMIT_NOT:
		turn_away(fd);
		return;
	case ADMIT_NOT_CLOSE:
		close(fd);
		return;
	}
	counter_add(&s->counters->conn_total, 1);
	c = conn_new(s->worker, s, CONN_CLIENT, fd, peer);
	if (!c) {
		admission_left(s);
		counter_add(&s->counters->conn_refused_memory, 1);
		return;
	}
	trace_put(TRACE_ACCEPT, c->id, fd, s->index);
	counter_add(&s->counters->conn_open, 1);
	list_insert(&s->clients, &c->link);
	c->listener = ls;
	c->port = port;
	c->open = true;
	c->proto = ls->snapshot->proto;
	client_options(c, ls->snapshot);
	if (snapshot_tls_port(ls->snapshot, address_port(&ls->address))) {
		tls_serve(c);
	} else {
		plain_attach_client(c);
		retell_attach(c, false);
		c->proto->accepted(c);
	}
}

static void listener_ready(struct watch *watch, uint32_t events)
{
	struct listener *ls = CONTAINER_OF(watch, struct listener, watch);
	struct worker *w = ls->service->worker;

	(void)events;
	for (unsigned i = 0; i < ACCEPTS_A_TURN && watch->active; i++) {
		union address peer;
		socklen_t len = sizeof(peer);
		int fd = accept4(watch->fd, &peer.sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			accepted(ls, fd, &peer);
			continue;
		}
		if (errno == EAGAIN)
			return;
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			/* Nobody gains if this is asked again at once: the others go on meanwhile. */
			counter_add(&w->engine->accept_failed, 1);
			watch_stop(w->loop, watch);
			timer_in(w->loop, &ls->pause, ACCEPT_PAUSE_MS, listener_again);
			return;
		}
		/* The client is gone before it was accepted: the next one. */
	}
}

static void listener_add(struct worker *w, unsigned index, uint64_t id, int fd, const union address *a, unsigned last,
			 bool udp)
{
	struct worker_service *s = service_at(w, index);
	struct listener *ls = xcalloc(1, sizeof(*ls));

	ls->service = s;
	ls->id = id;
	ls->address = *a;
	ls->last = last;
	ls->watch.fd = fd;
	ls->watch.ready = udp ? udp_ready : listener_ready;
	ls->udp = udp;
	list_init(&ls->flows);
	list_init(&ls->throttled.link);
	list_init(&ls->link);
	list_insert(&s->listeners, &ls->link);
	/* Clients wait in the kernel until there is a configuration to serve them by. */
	if (s->snapshot)
		listener_follow(ls);
}

/* ---- the inbox ---- */

enum post_kind { POST_SNAPSHOT, POST_REMOVED, POST_LISTENER, POST_UNLISTEN, POST_DOWN, POST_MARK_MAP,
		 POST_PLAIN, POST_TICKETS, POST_STOP };

struct post {
	struct message message;
	struct worker *worker;
	enum post_kind kind;
	unsigned index;
	uint64_t id;
	int fd;
	union address address;
	unsigned last;
	bool udp;
	struct snapshot *snapshot;
	struct backend *backend;
	struct tickets *tickets;
	struct plain *plain;
};

/*
 * Thousands of servers get their first verdicts in one second: what one costs must not grow with the pool. Who is no
 * member any more was cut when it ceased to be one.
 */
static void service_down(struct worker *w, unsigned index, const struct backend *fallen)
{
	struct worker_service *s = index < w->n_services ? w->services[index] : NULL;

	if (!s || !s->snapshot)
		return;
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

static void unlisten(struct worker *w, unsigned index, uint64_t id)
{
	struct worker_service *s = index < w->n_services ? w->services[index] : NULL;

	if (!s)
		return;
	LIST_FOREACH(l, &s->listeners) {
		struct listener *ls = LIST_ENTRY(l, struct listener, link);

		if (ls->id == id)
			listener_close(ls);
	}
}

static void worker_end(struct worker *w)
{
	w->stopping = true;
	for (unsigned i = 0; i < w->n_services; i++)
		service_remove(w, i);
	loop_stop(w->loop);
}

static void post_deliver(struct message *m)
{
	struct post *p = CONTAINER_OF(m, struct post, message);
	struct worker *w = p->worker;

	switch (p->kind) {
	case POST_SNAPSHOT:
		service_update(w, p->snapshot);
		break;
	case POST_REMOVED:
		service_remove(w, p->index);
		break;
	case POST_LISTENER:
		listener_add(w, p->index, p->id, p->fd, &p->address, p->last, p->udp);
		break;
	case POST_UNLISTEN:
		unlisten(w, p->index, p->id);
		break;
	case POST_DOWN:
		service_down(w, p->index, p->backend);
		backend_put(p->backend);
		break;
	case POST_MARK_MAP:
		w->mark_map = p->fd;
		w->flow_seed = p->id;
		break;
	case POST_PLAIN:
		w->plain = p->plain;
		break;
	case POST_TICKETS:
		w->tickets = *p->tickets;
		explicit_bzero(p->tickets, sizeof(*p->tickets));
		free(p->tickets);
		break;
	case POST_STOP:
		worker_end(w);
		break;
	}
	free(p);
}

static void post(struct worker *w, struct post p)
{
	struct post *copy = xmalloc(sizeof(*copy));

	p.worker = w;
	*copy = p;
	inbox_post(&w->inbox, &copy->message, post_deliver);
}

void worker_post_snapshot(struct worker *w, struct snapshot *s)
{
	post(w, (struct post){ .kind = POST_SNAPSHOT, .snapshot = snapshot_get(s) });
}

void worker_post_removed(struct worker *w, unsigned index)
{
	post(w, (struct post){ .kind = POST_REMOVED, .index = index });
}

void worker_post_listener(struct worker *w, unsigned index, uint64_t id, int fd, const union address *a, unsigned last,
			  bool udp)
{
	post(w, (struct post){ .kind = POST_LISTENER, .index = index, .id = id, .fd = fd, .address = *a, .last = last,
			       .udp = udp });
}

void worker_post_unlisten(struct worker *w, unsigned index, uint64_t id)
{
	post(w, (struct post){ .kind = POST_UNLISTEN, .index = index, .id = id });
}

void worker_post_down(struct worker *w, unsigned index, struct backend *b)
{
	post(w, (struct post){ .kind = POST_DOWN, .index = index, .backend = backend_get(b) });
}

void worker_post_tickets(struct worker *w, const struct tickets *t)
{
	struct tickets *copy = xmalloc(sizeof(*copy));

	*copy = *t;
	post(w, (struct post){ .kind = POST_TICKETS, .tickets = copy });
}

void worker_post_mark_map(struct worker *w, int fd, uint64_t flow_seed)
{
	post(w, (struct post){ .kind = POST_MARK_MAP, .fd = fd, .id = flow_seed });
}

void worker_post_plain(struct worker *w, struct plain *p)
{
	post(w, (struct post){ .kind = POST_PLAIN, .plain = p });
}

struct round {
	struct message home_message;
	struct inbox *home;
	atomic_uint left;
	void (*done)(void *arg, uint64_t number);
	void *arg;
	uint64_t number;
	struct round_visit {
		struct message message;
		struct round *round;
	} visits[];
};

static void round_home(struct message *m)
{
	struct round *r = CONTAINER_OF(m, struct round, home_message);

	r->done(r->arg, r->number);
	free(r);
}

static void round_visited(struct message *m)
{
	struct round *r = CONTAINER_OF(m, struct round_visit, message)->round;

	if (atomic_fetch_sub_explicit(&r->left, 1, memory_order_acq_rel) != 1)
		return;
	if (r->home)
		inbox_post(r->home, &r->home_message, round_home);
	else
		round_home(&r->home_message);
}

void workers_round(struct worker **w, unsigned n, struct inbox *home, void (*done)(void *arg, uint64_t number),
		   void *arg, uint64_t number)
{
	struct round *r = xcalloc(1, sizeof(*r) + n * sizeof(r->visits[0]));

	*r = (struct round){ .home = home, .done = done, .arg = arg, .number = number };
	atomic_init(&r->left, n);
	for (unsigned i = 0; i < n; i++) {
		r->visits[i].round = r;
		inbox_post(&w[i]->inbox, &r->visits[i].message, round_visited);
	}
}

/* ---- the thread ---- */

static void *worker_run(void *arg)
{
	struct worker *w = arg;

	trace_use(&w->trace);
	must(loop_run(w->loop) == 0);
	return NULL;
}

struct worker *worker_start(unsigned id, struct counters *counters)
{
	struct worker *w = xcalloc(1, sizeof(*w));

	w->id = id;
	w->counters = counters;
	w->engine = counters_engine_of(counters, id);
	w->mark_map = -1;
	w->scratch = xmalloc(WORKER_SCRATCH);
	w->buffers.limit = BUFFERS_MAX;
	w->buffers.gauge = &w->engine->buffers_used;
	w->loop = loop_new();
	must(inbox_init(&w->inbox, w->loop) == 0);
	w->udp = udp_new();
	slab_init(&w->conns, sizeof(struct conn), CONNS_MAX);
	slab_init(&w->sessions_l4, l4_session_size, CONNS_MAX);
	slab_init(&w->sessions_http, h1_session_size, CONNS_MAX);
	slab_init(&w->sessions_h2, h2_session_size, CONNS_MAX);
	slab_init(&w->streams, h2_stream_size, CONNS_MAX);
	slab_init(&w->tls, sizeof(struct conn_tls), CONNS_MAX);
	list_init(&w->shaking);
	w->shaking_max = TLS_SHAKING_MAX;
	tickets_rotate(&w->tickets);
	slab_init(&w->notes, RECORD_BYTES, CONNS_MAX);
	must(pthread_create(&w->thread, NULL, worker_run, w) == 0);
	return w;
}

void worker_stop(struct worker *w)
{
	post(w, (struct post){ .kind = POST_STOP });
	pthread_join(w->thread, NULL);
	inbox_fini(&w->inbox);
	plain_free(w->plain);
	loop_free(w->loop);
	slab_fini(&w->conns);
	slab_fini(&w->sessions_l4);
	slab_fini(&w->sessions_http);
	slab_fini(&w->sessions_h2);
	slab_fini(&w->streams);
	slab_fini(&w->tls);
	EVP_CIPHER_free(w->ticket_cipher);
	slab_fini(&w->notes);
	buffer_pool_fini(&w->buffers);
	pipes_fini(w);
	udp_free(w->udp);
	free(w->services);
	free(w->scratch);
	free(w);
}
