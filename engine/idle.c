#include "engine/idle.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/base.h"
#include "engine/tls/tls.h"
#include "engine/upstream.h"
#include "engine/worker.h"

#define WARM_LOOK 8 /* connections at rest among which one is looked for that nobody has to ask */

static void unrest(struct conn *c)
{
	c->backend->n_idle--;
	list_remove(&c->link);
	list_remove(&c->bound);
}

/* The server closed it, or spoke out of turn; or its time is over. */
static void resting_ready(struct conn *c, uint32_t events)
{
	char byte;

	/* Tickets and other words of TLS itself are none. */
	if (c->tls && events == EPOLLIN && conn_recv(c, &byte, 1) == -EAGAIN)
		return;
	unrest(c);
	conn_close(c);
}

static void resting_expired(struct conn *c)
{
	resting_ready(c, 0);
}

static const struct proto_ops resting = { .name = "rest", .ready = resting_ready, .expired = resting_expired };

/* Is its TLS, or that it has none, what P wants for CLIENT (NULL: for somebody)? */
static bool tls_fits(const struct conn *c, const struct snapshot_pool *p, const struct conn *client)
{
	const struct secure *has = c->tls ? conn_secure(c) : NULL;

	return client ? has == upstream_secure(p, client) : has == p->tls || (!has && p->service_tls);
}

/* May a connection that was opened under an older snapshot serve under S? */
static bool fits(const struct conn *c, const struct snapshot *s, const struct conn *client)
{
	if (c->source != upstream_source(s, client, c->peer.sa.sa_family)->number)
		return false;
	if (c->cloned != s->clone.on || (c->cloned && c->clone_generation != s->clone.generation))
		return false;
	if (c->client_id)
		return client && c->client_id == client->id;
	return s->multiplex && !(s->clone.on && s->clone.one_client);
}

static bool worn_out(const struct conn *c, const struct snapshot_pool *s, uint64_t now)
{
	return (s->keep.life_ms && now - c->opened_ns >= s->keep.life_ms * NS_PER_MS) ||
	       (s->keep.max_reuse && c->uses > s->keep.max_reuse);
}

void idle_keep(struct upstream *u, struct conn *c)
{
	const struct snapshot *s = u->snapshot, *newest = u->client->listener->snapshot;
	const struct snapshot_pool *p = u->pool;
	struct worker_backend *b = c->backend;
	uint64_t now = loop_now(c->worker->loop), wait_ms = p->keep.idle_ms;
	bool own = !s->multiplex || (s->clone.on && s->clone.one_client);

	c->uses++;
	c->client_id = own ? u->client->id : 0;
	if (!newest || !b->listed || !b->pool->now || !tls_fits(c, b->pool->now, NULL) || !b->member.enabled || !backend_is_usable(b->member.backend) ||
	    !fits(c, newest, u->client) || worn_out(c, p, now) || (own && u->client->closed) ||
	    (p->keep.max_idle && b->n_idle >= p->keep.max_idle)) {
		conn_close(c);
		return;
	}
	if (p->keep.life_ms) {
		uint64_t left_ms = p->keep.life_ms - (now - c->opened_ns) / NS_PER_MS;

		wait_ms = wait_ms ? MIN(wait_ms, left_ms) : left_ms;
	}
	c->proto = &resting;
	c->session = NULL;
	c->upstream = NULL;
	c->rested = loop_number(c->worker->loop);
	list_remove(&c->link);
	list_insert(b->idle.next, &c->link); /* the warmest is taken first */
	b->n_idle++;
	if (own)
		list_insert(&u->client->bound, &c->bound);
	conn_want_in(c, true);
	conn_deadline(c, wait_ms);
}

/*
 * The server may have closed it, with the event still in the kernel: whoever cannot ask twice would lose a request.
 * What a server says before it is asked makes it unfit as well.
 */
static bool is_quiet(const struct conn *c)
{
	char byte;

	if (c->tls) /* its own words, tickets, are none */
		return conn_recv((struct conn *)c, &byte, 1) == -EAGAIN;
	return recv(c->watch.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

/* May it serve U? TO: where a new one would go. */
static bool serves(const struct conn *c, const struct upstream *u, const union address *to)
{
	return fits(c, u->snapshot, u->client) && tls_fits(c, u->pool, u->client) &&
	       address_port(&c->peer) == address_port(to);
}

/*
 * For what may be sent twice it is enough that the loop, which asked the kernel in this turn, heard nothing. One of the
 * warmest; NULL: all of them came to rest in this very turn.
 */
static struct conn *find_quiet(const struct upstream *u, const struct worker_backend *b, const union address *to, uint64_t now)
{
	unsigned looked = 0;

	LIST_FOREACH(l, &b->idle) {
		struct conn *c = LIST_ENTRY(l, struct conn, link);

		if (watch_is_quiet(c->worker->loop, &c->watch, c->rested) && serves(c, u, to) && !worn_out(c, u->pool, now))
			return c;
		if (++looked == WARM_LOOK)
			return NULL;
	}
	return NULL;
}

/* The warmest that still stands; those that do not are closed. */
static struct conn *find_standing(const struct upstream *u, const struct worker_backend *b, const union address *to,
				  uint64_t now)
{
	LIST_FOREACH(l, &b->idle) {
		struct conn *c = LIST_ENTRY(l, struct conn, link);

		if (!serves(c, u, to))
			continue;
		if (!worn_out(c, u->pool, now) && is_quiet(c))
			return c;
		unrest(c);
		conn_close(c);
	}
	return NULL;
}

struct conn *idle_take(struct upstream *u, struct worker_backend *b)
{
	uint64_t now = loop_now(u->client->worker->loop);
	union address to = upstream_address(u, b);
	struct conn *c = u->twice ? find_quiet(u, b, &to, now) : NULL;

	if (!c)
		c = find_standing(u, b, &to, now);
	if (!c)
		return NULL;
	unrest(c);
	list_insert(&b->busy, &c->link);
	conn_deadline(c, 0);
	return c;
}

void idle_sweep(struct worker_backend *b, const struct snapshot *s)
{
	LIST_FOREACH(l, &b->idle) {
		struct conn *c = LIST_ENTRY(l, struct conn, link);

		/* One that belongs to a client fits as long as the clone does: its client asks for it. */
		if (s && b->listed && b->member.enabled && b->pool->now && tls_fits(c, b->pool->now, NULL) && c->cloned == s->clone.on &&
		    (!c->cloned || c->clone_generation == s->clone.generation) &&
		    source_is_used(&s->sources, c->source, c->peer.sa.sa_family))
			continue;
		unrest(c);
		conn_close(c);
	}
}
