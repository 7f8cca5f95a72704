#include "engine/http/h1.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/base.h"
#include "engine/http/exchange.h"
#include "engine/http/h2.h"
#include "engine/http/http.h"
#include "engine/http/refusal.h"
#include "engine/http/tunnel.h"
#include "engine/records.h"
#include "engine/worker.h"
#include "model/structs.h"

#define BODY_READ (64u << 10)
#define LINGER_MS 2000  /* for a client to read our last answer before the connection is gone */
#define LEAVE_MS  1000  /* a client that sent FIN: is it gone, or does it only listen? */
#define STALL_MS  60000 /* a client that takes nothing of its answer */

struct session {
	struct exchange x;
	struct grave grave;
	enum h1_state state;
	uint32_t requests;         /* on this connection */
	bool in_head;              /* a part of the next head is there */
	bool in_idle, idle_again;
	bool wanted_more;          /* the client would go on after this request */
	char ip[ADDRESS_TEXT];
};

const size_t h1_session_size = sizeof(struct session);

static void move(struct session *s, enum h1_state to)
{
#define X(state, text, next) [state] = next,
	static const unsigned allowed[] = { H1_STATES(X) };
#undef X

	must(allowed[s->state] & 1u << to);
	trace_put(TRACE_STATE, s->x.client->id, s->state, to);
	s->state = to;
}

static struct session *session_of(struct exchange *x)
{
	return CONTAINER_OF(x, struct session, x);
}

/* ---- ends ---- */

static void session_release(struct grave *g)
{
	struct session *s = CONTAINER_OF(g, struct session, grave);

	slab_put(&s->x.client->worker->sessions_http, s);
}

/* RESET: the client learns that something was lost. */
static void end(struct session *s, bool reset)
{
	if (s->state == H1_ENDED)
		return;
	move(s, H1_ENDED);
	exchange_drop(&s->x, true);
	loop_bury(s->x.client->worker->loop, &s->grave, session_release);
	if (reset)
		conn_reset(s->x.client);
	else
		conn_close(s->x.client);
}

static void aborted(struct exchange *x)
{
	end(session_of(x), true);
}

/*
 * Everything was said: FIN, and the client gets a moment to read before what it still sends
 * meets a RST.
 */
static void close_softly(struct session *s)
{
	struct conn *c = s->x.client;

	if (s->state != H1_CLOSING)
		move(s, H1_CLOSING);
	if (c->out) {
		conn_want_in(c, false);
		conn_deadline(c, STALL_MS);
		return; /* again when it is empty */
	}
	if (c->eof || conn_shutdown(c) < 0) {
		end(s, false);
		return;
	}
	conn_take(c, conn_in_len(c));
	conn_want_in(c, true);
	conn_deadline(c, LINGER_MS);
}

/* ---- requests ---- */

/* The one empty line that may stand before a request is no beginning of one. */
static bool is_silent(const struct conn *c)
{
	size_t n = conn_in_len(c);

	return n == 0 || (n <= 2 && memcmp(conn_in(c), "\r\n", n) == 0);
}

static void malformed(struct session *s, const struct refusal *r)
{
	move(s, H1_EXCHANGE);
	exchange_malformed(&s->x, r);
}

static void begin(struct session *s, const struct http1_head *h)
{
	const struct http_application_profile *p = exchange_profile(&s->x);

	move(s, H1_EXCHANGE);
	s->requests++;
	s->in_head = false;
	s->wanted_more = h->keep_alive;
	s->x.keep = h->keep_alive &&
		    (!p->max_keepalive_requests || s->requests < p->max_keepalive_requests);
	conn_deadline(s->x.client, 0);
	exchange_begin(&s->x, h);
}

/* The first words of HTTP/2, or their beginning, where it is spoken. */
static bool is_h2(const struct session *s)
{
	const struct conn *c = s->x.client;
	size_t n = MIN(conn_in_len(c), H2_PREFACE_LEN);

	return s->requests == 0 && memcmp(conn_in(c), H2_PREFACE, n) == 0 && http_speaks_h2(c);
}

/* The connection has another session from here on. */
static void become_h2(struct session *s)
{
	struct conn *c = s->x.client;

	if (h2_accept(c) < 0) {
		counter_add(&exchange_counters(&s->x)->conn_refused_memory, 1);
		end(s, true);
		return;
	}
	move(s, H1_ENDED);
	loop_bury(c->worker->loop, &s->grave, session_release);
}

/* Between two exchanges: is there another request? */
static void idle_once(struct session *s)
{
	struct conn *c = s->x.client;
	struct http1_limits limits;
	struct http1_head h;
	struct refusal r;

	if (c->out) { /* the last answer first */
		conn_want_in(c, false);
		conn_deadline(c, STALL_MS);
		return;
	}
	if (is_silent(c)) {
		if (c->eof) {
			end(s, false);
			return;
		}
		conn_want_in(c, true);
		conn_deadline(c, (uint64_t)exchange_profile(&s->x)->keepalive_timeout);
		return;
	}
	if (is_h2(s) && conn_in_len(c) >= H2_PREFACE_LEN) {
		become_h2(s);
		return;
	}
	exchange_head_init(&s->x, &h, &limits);
	/*
	 * From its beginning each time: a head that comes in drops is rare, and its limit bounds
	 * the work.
	 */
	switch (http1_head_parse(&h, conn_in(c), conn_in_len(c))) {
	case HTTP1_DONE:
		begin(s, &h);
		return;
	case HTTP1_MORE:
		if (c->eof) {
			counter_add(&exchange_counters(&s->x)->http_requests, 1);
			counter_add(&exchange_counters(&s->x)->http_client_gone, 1);
			end(s, false);
			return;
		}
		if (!s->in_head)
			conn_deadline(c, (uint64_t)exchange_profile(&s->x)->client_header_timeout);
		s->in_head = true;
		conn_want_in(c, true);
		return;
	default:
		if (is_h2(s)) /* it is not there as a whole */
			return;
		r = refusal_of(h.error);
		malformed(s, &r);
	}
}

/* Requests that are answered at once must not pile up on the stack, as many as there may be. */
static void idle(struct session *s)
{
	s->idle_again = true;
	if (s->in_idle)
		return;
	s->in_idle = true;
	while (s->idle_again && s->state == H1_IDLE) {
		s->idle_again = false;
		idle_once(s);
	}
	s->in_idle = false;
}

/* ---- what the exchange says ---- */

static void over(struct exchange *x)
{
	struct session *s = session_of(x);
	struct conn *c = x->client;
	bool whole = x->up.done;

	if (x->keep && whole) {
		move(s, H1_IDLE);
		idle(s);
	} else if (whole && !c->out && conn_in_len(c) == 0 && (!s->wanted_more || c->eof)) {
		end(s, false);
	} else {
		close_softly(s);
	}
}

/*
 * A FIN from a client that would have gone on. Most often it is gone, but it may have closed one
 * direction only: nobody can tell. One that said that this is its last request, or sent a batch
 * of them, waits for its answers.
 */
static bool may_be_gone(const struct session *s)
{
	const struct conn *c = s->x.client;

	return c->eof && s->x.up.done && s->wanted_more &&
	       conn_in_len(c) <= MAX(s->x.kept, s->x.head_len);
}

static void await(struct exchange *x)
{
	const struct conn *server = x->upstream.server;
	struct conn *c = x->client;

	/* An end of stream would be told for ever. */
	conn_want_in(c, !server->out && !c->eof);
	if (c->out)
		conn_deadline(c, STALL_MS);
	else if (may_be_gone(session_of(x)))
		conn_deadline(c, LEAVE_MS);
	else
		conn_deadline(c, x->up.done || server->out
					 ? 0
					 : (uint64_t)exchange_profile(x)->client_body_timeout);
}

static const struct exchange_ops exchange_ops = {
	.head = head_to_client,
	.await = await,
	.over = over,
	.abort = aborted,
};

/* ---- events ---- */

static void readable(struct session *s)
{
	struct exchange *x = &s->x;
	struct conn *c = x->client;
	bool in_body = x->state == EXCHANGE_PASSING && !x->up.done && !x->head_len;
	size_t head_max = (size_t)exchange_profile(x)->client_max_request_size * 1024;
	ssize_t n = conn_fill(c, in_body ? BODY_READ : head_max);

	if (n == -EAGAIN)
		return;
	if (n == -ENOBUFS && c->in) { /* pipelined requests: they can wait */
		conn_want_in(c, false);
		return;
	}
	if (n < 0) {
		exchange_left(x, (int)n);
		return;
	}
	counter_add(&exchange_counters(x)->bytes_from_client, (uint64_t)n);
	if (n == 0)
		conn_want_in(c, false);
	if (s->state == H1_IDLE)
		idle(s);
	else if (n == 0 && !x->up.done && x->state == EXCHANGE_PASSING)
		exchange_left(x, 0);
	else if (n == 0 && !c->out && may_be_gone(s))
		conn_deadline(c, LEAVE_MS);
	else if (n > 0)
		exchange_body(x);
}

static void taken(struct session *s)
{
	struct conn *c = s->x.client;
	int rc = conn_flush(c);

	if (rc < 0) {
		exchange_left(&s->x, rc);
		return;
	}
	if (rc == 1) {
		conn_deadline(c, STALL_MS);
		return;
	}
	conn_deadline(c, 0);
	if (s->state == H1_IDLE)
		idle(s);
	else if (s->state == H1_CLOSING)
		close_softly(s);
	else
		exchange_drained(&s->x);
}

static void ready(struct conn *c, uint32_t events)
{
	struct session *s = c->session;

	if (s->x.state == EXCHANGE_TUNNEL) {
		tunnel_ready(&s->x, c, events);
	} else if (events & EPOLLERR) {
		exchange_left(&s->x, conn_error(c));
	} else if (events & EPOLLOUT && c->out) {
		taken(s);
	} else if (s->state == H1_CLOSING) {
		ssize_t n = c->out ? -EAGAIN : conn_recv(c, c->worker->scratch, WORKER_SCRATCH);

		if ((n <= 0 && n != -EAGAIN) || (c->out && events & EPOLLHUP))
			end(s, false);
	} else if (events & EPOLLHUP && c->eof) { /* it was half closed, now it is gone */
		exchange_left(&s->x, 0);
	} else if (events & (EPOLLIN | EPOLLHUP)) {
		readable(s);
	}
}

static void expired(struct conn *c)
{
	struct session *s = c->session;

	switch (s->state) {
	case H1_IDLE:
		if (c->out || is_silent(c)) {
			counter_add(&exchange_counters(&s->x)->conn_idle_timeout, 1);
			if (!s->requests)
				c->reason = RECORD_REQUEST_LATE;
			end(s, c->out != NULL);
			return;
		}
		malformed(s, &refusal_HEAD_LATE);
		return;
	case H1_EXCHANGE:
		exchange_late(&s->x);
		return;
	default:
		end(s, c->out != NULL);
	}
}

static void cut(struct conn *c, enum conn_cut why)
{
	struct session *s = c->session;
	bool told = exchange_cut(&s->x);

	if (why != CONN_CUT_STOP)
		c->reason = RECORD_CUT;
	end(s, !told || (s->state == H1_EXCHANGE && c->out));
}

static void accepted(struct conn *client)
{
	struct session *s;
	int on = 1;

	/* Pieces of an answer must not wait for the client's delayed acknowledgement. */
	setsockopt(client->watch.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (client->h2 && h2_accept(client) == 0)
		return;
	s = client->h2 ? NULL : slab_get(&client->worker->sessions_http);
	if (!s) {
		counter_add(&client->service->counters->conn_refused_memory, 1);
		client->reason = RECORD_NO_MEMORY;
		conn_reset(client);
		return;
	}
	exchange_init(&s->x, &exchange_ops, client, &client->in, &client->out);
	s->state = H1_IDLE;
	client->session = s;
	address_ip(&client->peer, s->ip);
	s->x.ip = s->ip;
	conn_deadline(client, (uint64_t)exchange_profile(&s->x)->post_accept_timeout);
	/* Usually the request is there already, and the loop need not tell. */
	readable(s);
}

bool http_speaks_h2(const struct conn *client)
{
	const struct virtual_service *vs = client->listener->snapshot->vs;
	int port = (int)client->port;

	for (size_t i = 0; vs && i < vs->services_n; i++) {
		const struct service *s = &vs->services[i];

		if (port >= s->port && port <= MAX(s->port, s->port_range_end))
			return s->enable_http2;
	}
	return false;
}

const struct proto_ops http_proto = {
	.name = "http",
	.accepted = accepted,
	.ready = ready,
	.expired = expired,
	.cut = cut,
};
