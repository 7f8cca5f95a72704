#include "engine/conn.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/base.h"
#include "engine/clone/plain.h"
#include "engine/conn_record.h"
#include "engine/l4/l4.h"
#include "engine/tls/tls.h"
#include "engine/worker.h"

/* ---- stream_tcp: bytes as the kernel has them ---- */

static ssize_t tcp_recv(struct conn *c, void *p, size_t n)
{
	ssize_t got;

	do
		got = recv(c->watch.fd, p, n, 0);
	while (got < 0 && errno == EINTR);
	c->received += got > 0 ? (uint32_t)got : 0;
	return got < 0 ? -errno : got;
}

static ssize_t tcp_send(struct conn *c, const struct iovec *iov, int n, bool more)
{
	struct msghdr m = { .msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)n };
	int flags = MSG_NOSIGNAL | (more ? MSG_MORE : 0);
	ssize_t put;

	do
		put = n == 1 ? send(c->watch.fd, iov->iov_base, iov->iov_len, flags) : sendmsg(c->watch.fd, &m, flags);
	while (put < 0 && errno == EINTR);
	c->sent += put > 0 ? (uint32_t)put : 0;
	return put < 0 ? -errno : put;
}

static int tcp_shutdown(struct conn *c)
{
	return shutdown(c->watch.fd, SHUT_WR) < 0 ? -errno : 0;
}

const struct stream_ops stream_tcp = { "tcp", tcp_recv, tcp_send, tcp_shutdown };

/* ---- making and ending ---- */

static void conn_ready(struct watch *w, uint32_t events)
{
	struct conn *c = CONTAINER_OF(w, struct conn, watch);

	if (c->tls) {
		events = tls_events(c, events);
		if (!events)
			return;
	}
	if (c->throttle->mbps && events & (EPOLLIN | EPOLLHUP) && conn_must_wait(c)) {
		if (events & EPOLLHUP) /* it would wake us for ever */
			conn_park(c);
		events &= ~(uint32_t)(EPOLLIN | EPOLLHUP);
		if (!events)
			return;
	}
	c->proto->ready(c, events);
}

/* ---- the throttle ---- */

static void go_on(struct throttled *who)
{
	struct conn *c = CONTAINER_OF(who, struct conn, throttled);

	c->held = false;
	if (c->held_in)
		conn_want_in(c, true);
	else if (!c->watch.active) /* it was parked */
		must(watch_start(c->worker->loop, &c->watch, c->watch.fd, 0, conn_ready) == 0);
}

bool conn_must_wait(struct conn *c)
{
	/* A connection at rest is only asked whether it still stands. */
	if (!c->session || c->closed || !throttle_waits(c->throttle, &c->throttled))
		return false;
	if (!c->held)
		c->held_in = c->watch.active && c->watch.events & EPOLLIN;
	c->held = true;
	if (c->watch.active)
		must(watch_set(c->worker->loop, &c->watch, c->watch.events & ~(uint32_t)EPOLLIN) == 0);
	return true;
}

static void conn_expired(struct timer *t)
{
	struct conn *c = CONTAINER_OF(t, struct conn, timer);

	c->proto->expired(c);
}

struct conn *conn_new(struct worker *w, struct worker_service *s, enum conn_side side, int fd,
		      const union address *peer)
{
	struct conn *c = slab_get(&w->conns);

	if (!c) {
		close(fd);
		return NULL;
	}
	list_init(&c->link);
	list_init(&c->bound);
	list_init(&c->throttled.link);
	c->throttled.go_on = go_on;
	c->throttle = &s->throttle;
	c->worker = w;
	c->service = s;
	c->stream = &stream_tcp;
	c->side = side;
	c->peer = *peer;
	c->opened_ns = loop_now(w->loop);
	c->id = ++w->next_id;
	/* A client is there and speaks first; a server must answer the SYN. */
	if (watch_start(w->loop, &c->watch, fd, side == CONN_CLIENT ? EPOLLIN : EPOLLOUT, conn_ready) < 0) {
		close(fd);
		slab_put(&w->conns, c);
		return NULL;
	}
	return c;
}

static void conn_release(struct grave *g)
{
	struct conn *c = CONTAINER_OF(g, struct conn, grave);

	slab_put(&c->worker->conns, c);
}

static void conn_end(struct conn *c, bool reset)
{
	struct worker *w = c->worker;

	if (c->closed)
		return;
	c->closed = true;
	trace_put(TRACE_CLOSE, c->id, reset, c->side);
	if (c->side == CONN_CLIENT && c->proto != &l4_proto)
		conn_record(c);
	watch_stop(w->loop, &c->watch);
	timer_stop(w->loop, &c->timer);
	if (c->plain)
		plain_fini(c, reset);
	if (c->retold)
		retell_fini(c, reset);
	if (c->tls)
		tls_fini(c, !reset && !c->out);
	if (reset) {
		struct linger now = { .l_onoff = 1 };

		setsockopt(c->watch.fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	}
	close(c->watch.fd);
	buffer_put(&w->buffers, c->in);
	buffer_put(&w->buffers, c->out);
	c->in = c->out = NULL;
	list_remove(&c->link);
	list_remove(&c->throttled.link);
	if (c->side == CONN_CLIENT)
		listener_client_gone(c);
	else
		worker_server_gone(c);
	loop_bury(w->loop, &c->grave, conn_release);
}

void conn_close(struct conn *c)
{
	conn_end(c, false);
}

void conn_reset(struct conn *c)
{
	conn_end(c, true);
}

/* ---- bytes ---- */

ssize_t conn_fill(struct conn *c, size_t max)
{
	struct buffer_pool *pool = &c->worker->buffers;
	ssize_t n;
	int rc;

	if (buffer_len(c->in) >= max)
		return -ENOBUFS;
	if (!buffer_avail(c->in)) {
		rc = buffer_room(pool, &c->in, 1);
		if (rc < 0)
			return rc;
	}
	n = conn_recv(c, c->in->data + c->in->end, MIN((size_t)(c->in->size - c->in->end), max - buffer_len(c->in)));
	if (n > 0) {
		c->in->end += (uint32_t)n;
		return n;
	}
	if (n == 0)
		c->eof = true;
	if (buffer_len(c->in) == 0) {
		buffer_put(pool, c->in);
		c->in = NULL;
	}
	return n;
}

void conn_take(struct conn *c, size_t n)
{
	must(n <= buffer_len(c->in));
	if (!c->in)
		return;
	c->in->start += (uint32_t)n;
	if (c->in->start == c->in->end) {
		buffer_put(&c->worker->buffers, c->in);
		c->in = NULL;
	}
}

int conn_put(struct conn *c, const void *p, size_t n)
{
	int rc = n ? buffer_room(&c->worker->buffers, &c->out, n) : 0;

	if (rc < 0 || !n)
		return rc;
	memcpy(c->out->data + c->out->end, p, n);
	c->out->end += (uint32_t)n;
	return 0;
}

static void want(struct conn *c, uint32_t bit, bool yes)
{
	struct loop *l = c->worker->loop;

	if (c->closed)
		return;
	if (c->held && bit == EPOLLIN) {
		c->held_in = yes;
		return;
	}
	/* TLS waits for it itself. */
	if (!yes && bit == EPOLLOUT && c->tls && (c->tls->parked || c->tls->ending))
		return;
	if (c->watch.active)
		must(watch_set(l, &c->watch, yes ? c->watch.events | bit : c->watch.events & ~bit) == 0);
	else if (yes) /* it was parked */
		must(watch_start(l, &c->watch, c->watch.fd, bit, conn_ready) == 0);
}

void conn_park(struct conn *c)
{
	watch_stop(c->worker->loop, &c->watch);
}

void conn_option(const struct conn *c, int level, int option, int value)
{
	setsockopt(c->watch.fd, level, option, &value, sizeof(value));
}

uint16_t conn_own_port(struct conn *c)
{
	union address own;
	socklen_t len = sizeof(own);

	if (!c->own_port && getsockname(c->watch.fd, &own.sa, &len) == 0) {
		c->own_port = (uint16_t)address_port(&own);
		address_mapped(&own, c->own_ip);
	}
	return c->own_port;
}

int conn_error(const struct conn *c)
{
	int e = 0;
	socklen_t len = sizeof(e);

	if (getsockopt(c->watch.fd, SOL_SOCKET, SO_ERROR, &e, &len) < 0)
		return -errno;
	if (e == ECONNRESET && c->plain)
		plain_broken((struct conn *)c);
	return -e;
}

int conn_flush(struct conn *c)
{
	while (c->out) {
		struct iovec iov = { c->out->data + c->out->start, buffer_len(c->out) };
		ssize_t n = conn_send(c, &iov, 1, false);

		if (n == -EAGAIN)
			break;
		if (n < 0)
			return (int)n;
		c->out->start += (uint32_t)n;
		if (c->out->start == c->out->end) {
			buffer_put(&c->worker->buffers, c->out);
			c->out = NULL;
		}
	}
	want(c, EPOLLOUT, c->out != NULL);
	return c->out != NULL;
}

int conn_shutdown(struct conn *c)
{
	must(!c->out);
	if (c->shut)
		return 0;
	c->shut = true;
	if (c->retold)
		retell_end(c, true);
	return c->stream->shutdown(c);
}

void conn_want_in(struct conn *c, bool yes)
{
	want(c, EPOLLIN, yes);
	if (c->tls && !c->closed && !c->held)
		tls_wanted_in(c, yes);
}

void conn_want_out(struct conn *c)
{
	want(c, EPOLLOUT, true);
}

void conn_deadline(struct conn *c, uint64_t delay_ms)
{
	if (c->closed)
		return;
	if (delay_ms)
		timer_in(c->worker->loop, &c->timer, delay_ms, conn_expired);
	else
		timer_stop(c->worker->loop, &c->timer);
}
