#include "engine/listener.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/base.h"
#include "engine/admission.h"
#include "engine/clone/plain.h"
#include "engine/lack.h"
#include "engine/l4/udp.h"
#include "engine/ports.h"
#include "engine/tls/tls.h"
#include "engine/worker.h"

#define ACCEPTS_A_TURN  64

void listener_cut_clients(struct worker_service *s, const struct listener *ls, enum conn_cut why)
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

static void listener_again(struct timer *t);

/* Nobody gains if this is asked again at once: the others go on meanwhile. */
static void listener_pause(struct listener *ls)
{
	struct loop *l = ls->service->worker->loop;

	watch_stop(l, &ls->watch);
	timer_in(l, &ls->pause, LACK_MS, listener_again);
}

static void listener_again(struct timer *t)
{
	struct listener *ls = CONTAINER_OF(t, struct listener, pause);
	struct worker *w = ls->service->worker;

	if (!ls->service->snapshot)
		return;
	if (lack_persists(w->engine, ls->watch.fd))
		timer_in(w->loop, t, LACK_MS, listener_again);
	else
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
			if (!lack_after_client(fd))
				continue;
			if (watch->active)
				listener_pause(ls);
			return;
		}
		if (errno == EAGAIN)
			return;
		if (lack_counts(w->engine, errno)) {
			counter_add(&w->engine->accept_failed, 1);
			listener_pause(ls);
			return;
		}
		/* The client is gone before it was accepted: the next one. */
	}
}

void listener_follow(struct listener *ls)
{
	struct worker_service *s = ls->service;

	ls->snapshot = snapshot_for(s->snapshot, ls->udp, address_port(&ls->address));
	if (ls->udp)
		udp_follow(ls);
	else
		tuning_listener(&ls->snapshot->client, ls->watch.fd, s->snapshot->clone.client_room,
				ls->address.sa.sa_family == AF_INET6);
	if (!ls->watch.active && !ls->pause.active)
		must(watch_start(s->worker->loop, &ls->watch, ls->watch.fd, EPOLLIN, ls->watch.ready) == 0);
}

void listener_open(struct worker_service *s, uint64_t id, int fd, const union address *a, unsigned last, bool udp)
{
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

static void listener_release(struct grave *g)
{
	free(CONTAINER_OF(g, struct listener, grave));
}

void listener_close(struct listener *ls)
{
	struct worker *w = ls->service->worker;

	listener_cut_clients(ls->service, ls, w->stopping ? CONN_CUT_STOP : CONN_CUT_LISTENER);
	udp_cut_listener(ls, w->stopping ? NULL : &ls->service->counters->conn_cut_listener);
	list_remove(&ls->throttled.link);
	watch_stop(w->loop, &ls->watch);
	timer_stop(w->loop, &ls->pause);
	close(ls->watch.fd);
	list_remove(&ls->link);
	loop_bury(w->loop, &ls->grave, listener_release);
}

void listener_client_gone(struct conn *c)
{
	counter_sub(&c->service->counters->conn_open, 1);
	admission_left(c->service);
	/* Those that rest for this client only. */
	while (!list_empty(&c->bound)) {
		struct conn *server = LIST_ENTRY(c->bound.next, struct conn, bound);

		server->proto->expired(server);
	}
}
