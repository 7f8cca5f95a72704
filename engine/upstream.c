#include "engine/upstream.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/base.h"
#include "engine/worker.h"

static const struct proto_ops connecting, resting;

static int choose(struct upstream *u, bool fresh);

/* ---- connections at rest ---- */

static void unrest(struct conn *c)
{
	c->backend->n_idle--;
	list_remove(&c->link);
	list_remove(&c->bound);
}

/* The server closed it, or spoke out of turn; or its time is over. */
static void resting_ready(struct conn *c, uint32_t events)
{
	(void)events;
	unrest(c);
	conn_close(c);
}

static void resting_expired(struct conn *c)
{
	resting_ready(c, 0);
}

static const struct proto_ops resting = { .name = "rest", .ready = resting_ready, .expired = resting_expired };

/* May a connection that was opened under an older snapshot serve under S? */
static bool fits(const struct conn *c, const struct snapshot *s, const struct conn *client)
{
	if (c->cloned != s->clone.on || (c->cloned && c->clone_generation != s->clone.generation))
		return false;
	if (c->client_id)
		return client && c->client_id == client->id;
	return s->multiplex && !(s->clone.on && s->clone.preserve_client_ip);
}

static bool worn_out(const struct conn *c, const struct snapshot *s, uint64_t now)
{
	return (s->keep.life_ms && now - c->opened_ns >= s->keep.life_ms * NS_PER_MS) ||
	       (s->keep.max_reuse && c->uses > s->keep.max_reuse);
}

static void rest(struct upstream *u, struct conn *c)
{
	const struct snapshot *s = u->snapshot, *newest = u->client->listener->snapshot;
	struct worker_backend *b = c->backend;
	uint64_t now = loop_now(c->worker->loop), wait_ms = s->keep.idle_ms;
	bool own = !s->multiplex || (s->clone.on && s->clone.preserve_client_ip);

	c->uses++;
	c->client_id = own ? u->client->id : 0;
	if (!newest || !b->listed || !b->member.enabled || !backend_is_usable(b->member.backend) ||
	    !fits(c, newest, u->client) || worn_out(c, s, now) || (own && u->client->closed) ||
	    (s->keep.max_idle && b->n_idle >= s->keep.max_idle)) {
		conn_close(c);
		return;
	}
	if (s->keep.life_ms) {
		uint64_t left_ms = s->keep.life_ms - (now - c->opened_ns) / NS_PER_MS;

		wait_ms = wait_ms ? MIN(wait_ms, left_ms) : left_ms;
	}
	c->proto = &resting;
	c->session = NULL;
	c->upstream = NULL;
	list_remove(&c->link);
	list_insert(b->idle.next, &c->link); /* the warmest is taken first */
	b->n_idle++;
	if (own)
		list_insert(&u->client->bound, &c->bound);
	conn_want_in(c, true);
	conn_deadline(c, wait_ms);
}

static struct conn *reuse(struct upstream *u, struct worker_backend *b)
{
	uint64_t now = loop_now(u->client->worker->loop);

	LIST_FOREACH(l, &b->idle) {
		struct conn *c = LIST_ENTRY(l, struct conn, link);

		if (!fits(c, u->snapshot, u->client))
			continue;
		unrest(c);
		if (worn_out(c, u->snapshot, now)) {
			conn_close(c);
			continue;
		}
		list_insert(&b->busy, &c->link);
		conn_deadline(c, 0);
		return c;
	}
	return NULL;
}

void upstream_sweep(struct worker_backend *b, const struct snapshot *s)
{
	LIST_FOREACH(l, &b->idle) {
		struct conn *c = LIST_ENTRY(l, struct conn, link);

		/* One that belongs to a client fits as long as the clone does: its client asks for it. */
		if (s && b->listed && b->member.enabled && c->cloned == s->clone.on &&
		    (!c->cloned || c->clone_generation == s->clone.generation))
			continue;
		unrest(c);
		conn_close(c);
	}
}

/* ---- opening ---- */

static void hand_over(struct upstream *u, struct conn *c)
{
	c->proto = u->user->proto;
	c->session = u->session;
	c->upstream = u;
	u->server = c;
	u->waiting = false;
}

static void give_up(struct upstream *u)
{
	struct conn *c = u->server;

	backend_release(c->backend->member.backend);
	u->server = NULL;
	u->waiting = false;
	c->upstream = NULL;
}

/* This attempt failed: the next server, or the bad news. Never from inside the session's own call. */
static void attempt_failed(struct conn *c, int rc)
{
	struct upstream *u = c->upstream;

	trace_put(TRACE_CONNECTED, c->id, rc, 0);
	if (u->tries < UPSTREAM_TRIES)
		u->tried[u->tries++] = c->backend;
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

static void connecting_ready(struct conn *c, uint32_t events)
{
	int rc = conn_error(c);

	(void)events;
	if (rc < 0) {
		counter_add(&c->backend->counters->conn_failed, 1);
		attempt_failed(c, rc);
		return;
	}
	trace_put(TRACE_CONNECTED, c->id, 0, 0);
	c->open = true;
	counter_add(&c->backend->counters->conn_total, 1);
	conn_deadline(c, 0);
	conn_want_in(c, true);
	conn_flush(c); /* nothing is there yet: EPOLLOUT is no longer wanted */
	hand_over(c->upstream, c);
	c->upstream->user->connected(c->upstream, 0);
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
	const union address *to = &b->member.backend->address;
	struct worker *w = u->client->worker;
	struct conn *c;
	int fd = socket(to->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	c = conn_new(w, u->client->service, CONN_SERVER, fd, to);
	if (!c)
		return -ENOMEM;
	if (s->nodelay)
		conn_option(c, IPPROTO_TCP, TCP_NODELAY, 1);
	if (s->keepalive_s) {
		conn_option(c, SOL_SOCKET, SO_KEEPALIVE, 1);
		conn_option(c, IPPROTO_TCP, TCP_KEEPIDLE, (int)s->keepalive_s);
	}
	c->backend = b;
	b->n_conns++;
	counter_add(&b->counters->conn_open, 1);
	c->proto = &connecting;
	c->upstream = u;
	if (s->clone.on) {
		/* Before the SYN, so that the copy has the whole flow. */
		c->cloned = true;
		c->clone_generation = s->clone.generation;
		if (worker_mark(c->service, fd, &u->client->peer, s, 0) < 0)
			counter_add(&c->service->counters->clone_unmarked, 1);
	}
	list_insert(&b->busy, &c->link);
	trace_put(TRACE_CONNECT, c->id, fd, b->member.backend->slot);
	if (connect(fd, &to->sa, address_len(to)) < 0 && errno != EINPROGRESS) {
		int rc = -errno;

		counter_add(&b->counters->conn_failed, 1);
		c->upstream = NULL;
		conn_reset(c);
		return rc;
	}
	conn_deadline(c, s->connect_ms);
	u->server = c;
	u->waiting = true;
	return 0;
}

static struct lb_member *pick(struct upstream *u, int *why)
{
	struct lb *lb = &u->client->service->lb;
	struct lb_member *m;

	/* Looked up, never followed: a server that was tried may have been removed since. */
	for (unsigned t = 0; t < u->tries; t++)
		for (size_t i = 0; i < lb->n; i++)
			if (lb->members[i] == &u->tried[t]->member)
				lb->members[i]->avoid = true;
	m = lb_pick(lb, false, why);
	for (size_t i = 0; i < lb->n && u->tries; i++)
		lb->members[i]->avoid = false;
	return m;
}

/* FRESH: not one at rest; the last one was stale. */
static int choose(struct upstream *u, bool fresh)
{
	int rc = -ENOENT;

	for (;;) {
		struct lb_member *m = pick(u, &rc);
		struct worker_backend *b;
		struct conn *c;

		if (!m)
			return rc;
		if (u->tries)
			counter_add(&u->client->service->counters->server_retry, 1);
		b = CONTAINER_OF(m, struct worker_backend, member);
		c = fresh ? NULL : reuse(u, b);
		if (c) {
			trace_put(TRACE_REUSE, c->id, (int64_t)c->uses, u->client->id);
			counter_add(&b->counters->conn_reused, 1);
			u->reused = true;
			hand_over(u, c);
			return UPSTREAM_READY;
		}
		u->reused = false;
		rc = dial(u, b);
		if (rc == 0)
			return UPSTREAM_WAIT;
		backend_release(m->backend);
		if (u->tries == UPSTREAM_TRIES)
			return rc;
		u->tried[u->tries++] = b;
		if (u->tries == UPSTREAM_TRIES)
			return rc;
	}
}

/* ---- the session's verbs ---- */

void upstream_init(struct upstream *u, const struct upstream_user *user, void *session, struct conn *client)
{
	*u = (struct upstream){ .user = user, .session = session, .client = client };
}

int upstream_open(struct upstream *u, struct snapshot *s)
{
	int rc;

	must(!u->snapshot && !u->server);
	u->tries = 0;
	u->snapshot = snapshot_get(s);
	rc = choose(u, false);
	if (rc < 0) {
		snapshot_put(u->snapshot);
		u->snapshot = NULL;
	}
	return rc;
}

int upstream_again(struct upstream *u)
{
	struct conn *c = u->server;
	bool stale = u->reused;

	must(u->snapshot && c);
	/* One that rested too long says nothing about its server. */
	if (!stale && u->tries < UPSTREAM_TRIES)
		u->tried[u->tries++] = c->backend;
	give_up(u);
	conn_reset(c);
	return u->tries < UPSTREAM_TRIES ? choose(u, stale) : -ECONNREFUSED;
}

void upstream_done(struct upstream *u, bool keep)
{
	struct conn *c = u->server;

	if (!u->snapshot)
		return;
	if (c) {
		bool clean = keep && !u->waiting && !c->closed && !c->eof && !c->shut && !c->in && !c->out;

		give_up(u);
		if (clean)
			rest(u, c);
		else
			conn_close(c);
	}
	snapshot_put(u->snapshot);
	u->snapshot = NULL;
}

void upstream_cancel(struct upstream *u, bool reset)
{
	if (u->snapshot && u->server && reset)
		conn_reset(u->server);
	upstream_done(u, false);
}

void worker_cut_server(struct conn *c)
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
