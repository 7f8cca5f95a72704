#include "engine/http/http.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/base.h"
#include "engine/http/refusal.h"
#include "engine/http/session.h"
#include "engine/worker.h"
#include "model/structs.h"

/*
 * Between two exchanges a session is IDLE, and client->in holds what came of
 * the next request. A request that is there as a whole, body included, stays
 * in client->in (`kept` bytes) until the first byte of the answer: as long as
 * that, it can be sent to another server. A longer body is taken as it comes.
 *
 * Whoever is slow stops the other side: nothing is read from one side while
 * bytes wait for the other.
 *
 * Functions that may end the session return false when they did.
 */

#define FIELDS_MAX   4096
#define BODY_READ    (64u << 10)
#define LINGER_MS 2000 /* for a client to read our last answer before the connection is gone */
#define LEAVE_MS     1000          /* a client that sent FIN: is it gone, or does it only listen? */
#define STALL_MS     60000         /* a client that takes nothing of its answer */
#define SERVER_MS    3600000       /* when the pool's server_timeout is 0 */
#define TURN_ROUNDS  16            /* reads in a row for one connection */

const size_t http_session_size = sizeof(struct session);

/* Fields are looked at only in the call that parsed their head. */
static _Thread_local struct http1_field fields[FIELDS_MAX];

static void idle(struct session *s);
static void answer_more(struct session *s);

static void move(struct session *s, enum http_state to)
{
#define X(state, text, next) [state] = next,
	static const unsigned allowed[] = { HTTP_STATES(X) };
#undef X

	must(allowed[s->state] & 1u << to);
	trace_put(TRACE_STATE, s->client->id, s->state, to);
	s->state = to;
}

const struct http_application_profile *session_profile(const struct session *s)
{
	/* For a connection whose service was edited to have no profile of HTTP any more. */
	static const struct http_application_profile none = {
		.client_body_timeout = 30000,
		.client_header_timeout = 10000,
		.client_max_header_size = 12,
		.client_max_request_size = 48,
		.keepalive_timeout = 30000,
		.max_header_count = 256,
		.max_keepalive_requests = 1,
		.max_response_headers_size = 48,
		.post_accept_timeout = 30000,
		.respond_with_100_continue = true,
		.xff_alternate_name = "X-Forwarded-For",
	};
	const struct snapshot *snap = s->upstream.snapshot ? s->upstream.snapshot
							   : s->client->service->snapshot;

	const struct application_profile *a = snap->application;

	return a && a->http_profile ? a->http_profile : &none;
}

/* max_header_count; 0 there is no limit but ours. */
static uint32_t fields_max(const struct http_application_profile *p)
{
	return p->max_header_count ? MIN((uint32_t)p->max_header_count, FIELDS_MAX) : FIELDS_MAX;
}

static struct service_counters *counters(const struct session *s)
{
	return s->client->service->counters;
}

static struct server_counters *server_counters(const struct session *s)
{
	return s->upstream.server->backend->counters;
}

/* ---- ends ---- */

static void session_release(struct grave *g)
{
	struct session *s = CONTAINER_OF(g, struct session, grave);

	slab_put(&s->client->worker->sessions_http, s);
}

/* RESET: the client learns that something was lost. */
static void end(struct session *s, bool reset)
{
	if (s->state == HTTP_ENDED)
		return;
	move(s, HTTP_ENDED);
	upstream_cancel(&s->upstream, true);
	loop_bury(s->client->worker->loop, &s->grave, session_release);
	if (reset)
		conn_reset(s->client);
	else
		conn_close(s->client);
}

static void client_broken(struct session *s, int rc)
{
	if (rc == -ECONNRESET || rc == -EPIPE)
		counter_add(&counters(s)->conn_reset, 1);
	if (rc == -ENOBUFS)
		counter_add(&counters(s)->conn_refused_memory, 1);
	if (s->state == HTTP_CONNECTING || s->state == HTTP_EXCHANGE)
		counter_add(s->answered ? &counters(s)->http_client_aborted
					: &counters(s)->http_client_gone, 1);
	end(s, true);
}

static void want_client(struct session *s, bool yes)
{
	/* An end of stream would be told for ever. */
	conn_want_in(s->client, yes && !s->client->eof);
}

/*
 * Everything was said: FIN, and the client gets a moment to read before what it still sends
 * meets a RST.
 */
static void close_softly(struct session *s)
{
	struct conn *c = s->client;

	if (s->state != HTTP_CLOSING)
		move(s, HTTP_CLOSING);
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

/* Said by the session's last answer; the next request, or the end. */
static void exchange_over(struct session *s, bool keep_server)
{
	struct conn *c = s->client;
	bool whole = s->up.done;

	upstream_done(&s->upstream, keep_server);
	conn_take(c, s->kept ? s->kept : s->head_len);
	s->kept = s->head_len = 0;
	if (s->keep && whole) {
		if (s->state != HTTP_IDLE)
			move(s, HTTP_IDLE);
		idle(s);
	} else if (whole && !c->out && conn_in_len(c) == 0 && (!s->wanted_more || c->eof)) {
		end(s, false);
	} else {
		close_softly(s);
	}
}

/* Our own answer instead of a server's. */
static void refuse(struct session *s, const struct refusal *r)
{
	struct gather g;

	counter_add((uint64_t *)(void *)((char *)counters(s) + r->counter), 1);
	if (s->answered) { /* too late for words */
		end(s, true);
		return;
	}
	counter_add(r->status < 500 ? &counters(s)->http_4xx : &counters(s)->http_5xx, 1);
	trace_put(TRACE_RESPONSE, s->client->id, r->status, 1);
	upstream_cancel(&s->upstream, true);
	s->keep = s->keep && s->up.done;
	s->answered = true;
	gather_init(&g, s->client);
	refusal_gather(r, s->method == HTTP1_M_HEAD, s->keep, &g);
	counter_add(&counters(s)->bytes_to_client, g.bytes);
	if (gather_send(&g, false) < 0)
		client_broken(s, g.rc);
	else
		exchange_over(s, false);
}

/* ---- server: trouble ---- */

static void request_send(struct session *s, const struct http1_head *head);

static void opened(struct session *s, int rc, const struct http1_head *head)
{
	switch (rc) {
	case UPSTREAM_READY:
		request_send(s, head);
		return;
	case UPSTREAM_WAIT:
		move(s, HTTP_CONNECTING);
		return;
	case -ENOENT:
		/* FAIL_ACTION_CLOSE_CONN, the only action there is: but not without a word. */
		s->keep = false;
		refuse(s, &refusal_NO_SERVER);
		return;
	case -EBUSY:
		refuse(s, &refusal_SERVERS_BUSY);
		return;
	case -ENOMEM:
		refuse(s, &refusal_NO_MEMORY);
		return;
	case -ETIMEDOUT:
		refuse(s, &refusal_SERVER_SILENT);
		return;
	default:
		refuse(s, &refusal_SERVER_REFUSED);
	}
}

/* The connection broke before any byte of an answer came. */
static void server_lost(struct session *s)
{
	bool again = s->kept && (!s->sent || http1_method_is_idempotent(s->method));
	int rc;

	if (s->answered || !again) {
		refuse(s, &refusal_SERVER_LOST);
		return;
	}
	counter_add(&counters(s)->http_again, 1);
	rc = upstream_again(&s->upstream);
	if (rc < 0) /* what happened stands before what might have been */
		refuse(s, &refusal_SERVER_LOST);
	else
		opened(s, rc, NULL);
}

static void server_bad(struct session *s, enum http1_error e)
{
	trace_put(TRACE_RESPONSE, s->client->id, -1, e);
	counter_add(&server_counters(s)->http_malformed, 1);
	refuse(s, &refusal_SERVER_BAD);
}

static uint64_t body_timeout(const struct session *s)
{
	return (uint64_t)session_profile(s)->client_body_timeout;
}

/*
 * A FIN from a client that would have gone on. Most often it is gone, but it may have closed one
 * direction only: nobody can tell. One that said that this is its last request, or sent a batch
 * of them, waits for its answers.
 */
static bool may_be_gone(const struct session *s)
{
	const struct conn *c = s->client;

	return c->eof && s->up.done && s->wanted_more &&
	       conn_in_len(c) <= MAX(s->kept, s->head_len);
}

/* The client owes us something, or it does not. */
static void client_deadline(struct session *s)
{
	const struct conn *server = s->upstream.server;

	if (may_be_gone(s))
		conn_deadline(s->client, LEAVE_MS);
	else
		conn_deadline(s->client, s->up.done || server->out ? 0 : body_timeout(s));
}

static void server_deadline(struct session *s)
{
	int64_t ms = s->upstream.snapshot->pool ? s->upstream.snapshot->pool->server_timeout : 0;

	conn_deadline(s->upstream.server, ms ? (uint64_t)ms : SERVER_MS);
}

/* ---- request ---- */

/*
 * Pass on what client->in has of the body, from OFFSET on, behind what G has already. False:
 * ended.
 */
static bool request_body(struct session *s, size_t offset, struct gather *g)
{
	struct conn *c = s->client;
	size_t used = offset + flow_gather(&s->up, conn_in(c) + offset, conn_in_len(c) - offset, g);

	if (s->up.body.error || (s->body_max && s->up.bytes > s->body_max)) {
		struct refusal r = s->up.body.error ? refusal_of(s->up.body.error)
						    : refusal_BODY_LARGE;

		s->keep = false;
		refuse(s, &r);
		return false;
	}
	counter_add(&server_counters(s)->bytes_to_server, g->bytes);
	if (!s->deaf && gather_send(g, false) < 0) {
		if (g->rc == -ENOBUFS) {
			refuse(s, &refusal_NO_MEMORY);
			return false;
		}
		s->deaf = true; /* its answer may still be there to read */
	}
	s->sent |= !s->deaf;
	if (s->up.done && offset > 0) { /* all in one piece: it can be sent again */
		s->kept = (uint32_t)used;
	} else {
		conn_take(c, used);
		s->head_len = 0;
	}
	if (!s->up.done && c->eof) {
		client_broken(s, 0);
		return false;
	}
	want_client(s, !s->upstream.server->out);
	client_deadline(s);
	server_deadline(s);
	return true;
}

static void head_init(struct session *s, struct http1_head *h, struct http1_limits *limits)
{
	const struct http_application_profile *p = session_profile(s);
	uint32_t line = (uint32_t)MIN(p->client_max_header_size * 1024, (int64_t)HTTP1_FIELD_MAX);

	*limits = (struct http1_limits){
		.line = line,
		.field = line,
		.head = (uint32_t)p->client_max_request_size * 1024,
		.fields = fields_max(p),
	};
	http1_head_init(h, HTTP1_REQUEST, fields, FIELDS_MAX, limits);
}

/* To the server, from the beginning. HEAD: NULL when its fields are no longer known. */
static void request_send(struct session *s, const struct http1_head *head)
{
	struct conn *c = s->client;
	struct http1_limits limits;
	struct http1_head again;
	struct gather g;

	if (!head) {
		/* With the limits of then, which may have changed: what was taken is taken. */
		limits = (struct http1_limits){ HTTP1_FIELD_MAX, HTTP1_FIELD_MAX, HTTP1_HEAD_MAX,
						FIELDS_MAX };
		http1_head_init(&again, HTTP1_REQUEST, fields, FIELDS_MAX, &limits);
		must(http1_head_parse(&again, conn_in(c), conn_in_len(c)) == HTTP1_DONE);
		head = &again;
	}
	if (s->state != HTTP_EXCHANGE)
		move(s, HTTP_EXCHANGE);
	counter_add(&server_counters(s)->http_requests, 1);
	flow_init(&s->up, head, head->framing == HTTP1_CHUNKED, true);
	s->deaf = false;
	gather_init(&g, s->upstream.server);
	head_to_server(s, head, conn_in(c), &g);
	if (!request_body(s, s->head_len, &g))
		return;
	if (s->expects) {
		s->expects = false;
		if (!s->up.done && conn_in_len(c) == 0) {
			gather_init(&g, c);
			gather_literal(&g, "HTTP/1.1 100 Continue\r\n\r\n");
			if (gather_send(&g, false) < 0) {
				client_broken(s, g.rc);
				return;
			}
		}
	}
	if (s->deaf)
		answer_more(s);
}

/* And nothing beside it: among several the server could choose. */
static bool is_websocket(const struct http1_head *h, const char *in)
{
	bool offered = false;

	for (uint32_t i = 0; i < h->fields_n; i++) {
		const struct http1_field *f = &h->fields[i];

		if (f->id != HTTP1_F_UPGRADE)
			continue;
		if (f->value.len != 9 || !http1_name_equal(in + f->value.at, "websocket", 9))
			return false;
		offered = true;
	}
	return offered;
}

static void request_begin(struct session *s, const struct http1_head *h)
{
	const struct http_application_profile *p = session_profile(s);
	struct conn *c = s->client;

	counter_add(&counters(s)->http_requests, 1);
	trace_put(TRACE_REQUEST, c->id, h->method, h->len);
	s->requests++;
	s->head_len = h->len;
	s->method = h->method;
	s->minor = h->minor;
	s->in_head = false;
	s->wanted_more = h->keep_alive;
	s->keep = h->keep_alive &&
		  (!p->max_keepalive_requests || s->requests < p->max_keepalive_requests);
	/* h2c would be a way around all that is checked here: websocket alone is switched to. */
	s->upgrade = h->upgrade && h->framing == HTTP1_NO_BODY && is_websocket(h, conn_in(c));
	s->trailers = h->te_trailers && h->minor == 1;
	s->expects = h->expect_continue && p->respond_with_100_continue;
	s->sent = s->answered = s->switched = false;
	s->body_max = (uint64_t)p->client_max_body_size * 1024;
	flow_init(&s->up, h, false, false);
	conn_deadline(c, 0);
	if (h->method == HTTP1_M_CONNECT || h->method == HTTP1_M_TRACE) {
		s->keep = false;
		refuse(s, &refusal_METHOD);
	} else if (s->body_max && h->framing == HTTP1_LENGTH && h->content_length > s->body_max) {
		s->keep = false;
		refuse(s, &refusal_BODY_LARGE);
	} else {
		opened(s, upstream_open(&s->upstream, c, c->service->snapshot), h);
	}
}

/* The one empty line that may stand before a request is no beginning of one. */
static bool is_silent(const struct conn *c)
{
	size_t n = conn_in_len(c);

	return n == 0 || (n <= 2 && memcmp(conn_in(c), "\r\n", n) == 0);
}

/* Between two exchanges: is there another request? */
static void idle_once(struct session *s)
{
	struct conn *c = s->client;
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
		conn_deadline(c, (uint64_t)session_profile(s)->keepalive_timeout);
		return;
	}
	head_init(s, &h, &limits);
	/*
	 * From its beginning each time: a head that comes in drops is rare, and its limit bounds
	 * the work.
	 */
	switch (http1_head_parse(&h, conn_in(c), conn_in_len(c))) {
	case HTTP1_DONE:
		request_begin(s, &h);
		return;
	case HTTP1_MORE:
		if (c->eof) {
			counter_add(&counters(s)->http_requests, 1);
			counter_add(&counters(s)->http_client_gone, 1);
			end(s, false);
			return;
		}
		if (!s->in_head)
			conn_deadline(c, (uint64_t)session_profile(s)->client_header_timeout);
		s->in_head = true;
		conn_want_in(c, true);
		return;
	default:
		counter_add(&counters(s)->http_requests, 1);
		s->method = HTTP1_M_OTHER;
		s->keep = s->answered = s->up.done = false;
		r = refusal_of(h.error);
		refuse(s, &r);
	}
}

/* Requests that are answered at once must not pile up on the stack, as many as there may be. */
static void idle(struct session *s)
{
	s->idle_again = true;
	if (s->in_idle)
		return;
	s->in_idle = true;
	while (s->idle_again && s->state == HTTP_IDLE) {
		s->idle_again = false;
		idle_once(s);
	}
	s->in_idle = false;
}

/* ---- tunnel ---- */

static void tunnel_pass(struct session *s, struct conn *from, struct conn *to)
{
	uint64_t *bytes = from->side == CONN_CLIENT ? &counters(s)->bytes_from_client
						    : &counters(s)->bytes_to_client;
	struct gather g;
	ssize_t n = -EAGAIN;

	if (to->out)
		return;
	if (conn_in_len(from) == 0)
		n = conn_fill(from, BODY_READ);
	if (n < 0 && n != -EAGAIN && n != -ENOBUFS) {
		end(s, true);
		return;
	}
	gather_init(&g, to);
	gather_add(&g, conn_in(from), conn_in_len(from));
	counter_add(bytes, g.bytes);
	if (gather_send(&g, false) < 0) {
		end(s, true);
		return;
	}
	conn_take(from, conn_in_len(from));
	conn_want_in(from, !to->out && !from->eof);
	if (from->eof && !to->out) {
		conn_shutdown(to);
		if (to->eof) {
			end(s, false);
			return;
		}
	}
	conn_deadline(s->client, SERVER_MS);
}

/* The server switches protocols: from here on bytes mean nothing to us. */
static void tunnel_begin(struct session *s)
{
	move(s, HTTP_TUNNEL);
	conn_take(s->client, s->kept);
	s->kept = 0;
	conn_deadline(s->upstream.server, 0);
	conn_deadline(s->client, SERVER_MS);
	want_client(s, true);
	conn_want_in(s->upstream.server, true);
	/* What either said right behind its head. */
	tunnel_pass(s, s->upstream.server, s->client);
	if (s->state == HTTP_TUNNEL)
		tunnel_pass(s, s->client, s->upstream.server);
}

/* ---- answer ---- */

static void count_status(const struct session *s, unsigned status)
{
	struct service_counters *service = counters(s);
	struct server_counters *server = server_counters(s);

	switch (status / 100) {
	case 1: counter_add(&service->http_1xx, 1); break;
	case 2: counter_add(&service->http_2xx, 1); counter_add(&server->http_2xx, 1); break;
	case 3: counter_add(&service->http_3xx, 1); counter_add(&server->http_3xx, 1); break;
	case 4: counter_add(&service->http_4xx, 1); counter_add(&server->http_4xx, 1); break;
	case 5: counter_add(&service->http_5xx, 1); counter_add(&server->http_5xx, 1); break;
	}
}

/*
 * A head at the front of server->in: put into G. Bytes of it; 0: not whole yet, or the session
 * ended.
 */
static size_t answer_head(struct session *s, struct gather *g)
{
	const struct http_application_profile *p = session_profile(s);
	struct conn *server = s->upstream.server;
	const struct http1_limits limits = {
		.line = HTTP1_FIELD_MAX,
		.field = HTTP1_FIELD_MAX,
		.head = (uint32_t)p->max_response_headers_size * 1024,
		.fields = fields_max(p),
	};
	struct http1_head h;

	http1_head_init(&h, HTTP1_RESPONSE, fields, FIELDS_MAX, &limits);
	h.to_head = s->method == HTTP1_M_HEAD;
	switch (http1_head_parse(&h, conn_in(server), conn_in_len(server))) {
	case HTTP1_DONE:
		break;
	case HTTP1_MORE:
		return 0;
	default:
		server_bad(s, h.error);
		return 0;
	}
	if (h.status == 101 && !s->upgrade) {
		server_bad(s, HTTP1_E_STATUS);
		return 0;
	}
	trace_put(TRACE_RESPONSE, s->client->id, h.status, h.len);
	count_status(s, h.status);
	if (h.status < 200 && h.status != 101) {
		if (s->minor == 1) /* HTTP/1.0 has no interim answers (RFC 9110 section 15.2) */
			head_to_client(s, &h, conn_in(server), g);
		return h.len;
	}
	s->answered = true;
	s->server_keep = h.keep_alive;
	flow_init(&s->down, &h,
		  s->minor == 1 && (h.framing == HTTP1_CHUNKED || h.framing == HTTP1_UNTIL_CLOSE),
		  s->trailers);
	if (s->minor == 0 && !s->down.done && h.framing != HTTP1_LENGTH)
		s->keep = false; /* the end of the connection is the end of the body */
	if (!s->up.done)
		s->keep = false;
	head_to_client(s, &h, conn_in(server), g);
	s->switched = h.status == 101;
	if (s->switched)
		counter_add(&counters(s)->http_upgrades, 1);
	return h.len;
}

static void answer_done(struct session *s)
{
	if (!s->up.done)
		s->keep = false;
	exchange_over(s, s->server_keep && s->up.done && !s->deaf);
}

/* server->in has something new. False: the session or the exchange is over. */
static bool answer_pass(struct session *s)
{
	struct conn *server = s->upstream.server;
	struct gather g;

	while (conn_in_len(server) > 0) {
		size_t used = 0;

		gather_init(&g, s->client);
		if (!s->answered) {
			used = answer_head(s, &g);
			if (used == 0)
				return s->state == HTTP_EXCHANGE && s->upstream.server == server;
		}
		if (s->answered && !s->switched)
			used += flow_gather(&s->down, conn_in(server) + used,
					    conn_in_len(server) - used, &g);
		counter_add(&counters(s)->bytes_to_client, g.bytes);
		if (gather_send(&g, false) < 0) {
			client_broken(s, g.rc);
			return false;
		}
		conn_take(server, used);
		if (s->answered && s->down.body.error) {
			server_bad(s, s->down.body.error);
			return false;
		}
		if (s->switched) {
			tunnel_begin(s);
			return false;
		}
		if (s->answered && s->down.done) {
			answer_done(s);
			return false;
		}
		if (used == 0)
			break;
		if (s->client->out) {
			conn_want_in(server, false);
			conn_deadline(server, 0);
			conn_deadline(s->client, STALL_MS);
			break;
		}
	}
	return true;
}

static void answer_ended(struct session *s)
{
	struct conn *server = s->upstream.server;
	struct gather g;

	if (!s->answered) {
		if (conn_in_len(server) > 0)
			server_bad(s, HTTP1_E_NONE);
		else
			server_lost(s);
		return;
	}
	gather_init(&g, s->client);
	if (!flow_end(&s->down, &g)) {
		counter_add(&server_counters(s)->http_cut_short, 1);
		refuse(s, &refusal_SERVER_LOST);
		return;
	}
	counter_add(&counters(s)->bytes_to_client, g.bytes);
	if (gather_send(&g, false) < 0)
		client_broken(s, g.rc);
	else
		answer_done(s);
}

/* Read from the server and pass on. */
static void answer_more(struct session *s)
{
	struct conn *server = s->upstream.server;

	for (unsigned round = 0; round < TURN_ROUNDS; round++) {
		size_t head_max = (size_t)session_profile(s)->max_response_headers_size * 1024;
		size_t max = s->answered ? BODY_READ : head_max;
		size_t room = 0;
		ssize_t n;

		if (s->answered && !server->in)
			server->in = buffer_get(&server->worker->buffers, BODY_READ);
		if (server->in)
			room = buffer_avail(server->in);
		n = conn_fill(server, max);
		if (n == -EAGAIN)
			return;
		if (n == -ENOBUFS) {
			if (s->answered || conn_in_len(server) < max)
				refuse(s, &refusal_NO_MEMORY);
			else
				server_bad(s, HTTP1_E_HEAD_LONG);
			return;
		}
		if (n <= 0) {
			if (n == -ECONNRESET)
				counter_add(&server->backend->counters->conn_reset, 1);
			if (n < 0 && s->answered)
				refuse(s, &refusal_SERVER_LOST);
			else
				answer_ended(s);
			return;
		}
		counter_add(&server_counters(s)->bytes_from_server, (uint64_t)n);
		server_deadline(s);
		if (s->client->eof)
			client_deadline(s);
		if (!answer_pass(s) || s->client->out || !room || (size_t)n < room)
			return;
	}
}

/* ---- events ---- */

static void client_readable(struct session *s)
{
	struct conn *c = s->client;
	bool in_body = s->state == HTTP_EXCHANGE && !s->up.done && !s->head_len;
	size_t head_max = (size_t)session_profile(s)->client_max_request_size * 1024;
	ssize_t n = conn_fill(c, in_body ? BODY_READ : head_max);

	if (n == -EAGAIN)
		return;
	if (n == -ENOBUFS && c->in) { /* pipelined requests: they can wait */
		conn_want_in(c, false);
		return;
	}
	if (n < 0) {
		client_broken(s, (int)n);
		return;
	}
	counter_add(&counters(s)->bytes_from_client, (uint64_t)n);
	if (n == 0)
		conn_want_in(c, false);
	if (s->state == HTTP_IDLE) {
		idle(s);
		return;
	}
	if (n == 0 && !s->up.done && s->state == HTTP_EXCHANGE) {
		client_broken(s, 0);
		return;
	}
	if (n == 0 && !c->out && may_be_gone(s))
		conn_deadline(c, LEAVE_MS);
	if (s->state == HTTP_EXCHANGE && !s->up.done && n > 0) {
		struct gather g;

		gather_init(&g, s->upstream.server);
		request_body(s, 0, &g);
	}
}

static void client_ready(struct session *s, uint32_t events)
{
	struct conn *c = s->client;

	if (events & EPOLLOUT && c->out) {
		int rc = conn_flush(c);

		if (rc < 0) {
			client_broken(s, rc);
			return;
		}
		if (rc == 1) {
			conn_deadline(c, STALL_MS);
			return;
		}
		conn_deadline(c, 0);
		switch (s->state) {
		case HTTP_IDLE:
			idle(s);
			return;
		case HTTP_CLOSING:
			close_softly(s);
			return;
		case HTTP_TUNNEL:
			tunnel_pass(s, s->upstream.server, c);
			return;
		case HTTP_EXCHANGE:
			conn_want_in(s->upstream.server, true);
			conn_deadline(c, s->up.done ? 0 : body_timeout(s));
			server_deadline(s);
			if (conn_in_len(s->upstream.server) > 0)
				answer_pass(s);
			return;
		default:
			return;
		}
	}
	if (s->state == HTTP_CLOSING) {
		ssize_t n = c->out ? -EAGAIN : conn_recv(c, c->worker->scratch, WORKER_SCRATCH);

		if ((n <= 0 && n != -EAGAIN) || (c->out && events & EPOLLHUP))
			end(s, false);
		return;
	}
	if (s->state == HTTP_TUNNEL) {
		tunnel_pass(s, c, s->upstream.server);
		return;
	}
	if (events & EPOLLHUP && c->eof) { /* it was half closed, now it is gone */
		client_broken(s, 0);
		return;
	}
	if (events & (EPOLLIN | EPOLLHUP))
		client_readable(s);
}

static void server_ready(struct session *s, uint32_t events)
{
	struct conn *c = s->upstream.server;

	if (events & EPOLLOUT && c->out) {
		int rc = conn_flush(c);

		if (rc == 1)
			return;
		if (rc < 0) {
			s->deaf = true;
			buffer_put(&c->worker->buffers, c->out);
			c->out = NULL;
			conn_flush(c); /* EPOLLOUT is no longer wanted */
		}
		if (s->state == HTTP_TUNNEL) {
			tunnel_pass(s, s->client, c);
			return;
		}
		if (!s->up.done) {
			want_client(s, true);
			conn_deadline(s->client, body_timeout(s));
		}
		server_deadline(s);
	}
	if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		return;
	if (s->state == HTTP_TUNNEL)
		tunnel_pass(s, c, s->client);
	else if (s->client->out)
		conn_park(c); /* it hung up; its last words are read when those before are taken */
	else
		answer_more(s);
}

static void ready(struct conn *c, uint32_t events)
{
	struct session *s = c->session;

	if (c->side == CONN_SERVER)
		server_ready(s, events);
	else if (events & EPOLLERR)
		client_broken(s, conn_error(c));
	else
		client_ready(s, events);
}

static void connected(struct conn *client, struct conn *server, int rc)
{
	struct session *s = client->session;

	opened(s, server ? UPSTREAM_READY : rc, NULL);
}

static void expired(struct conn *c)
{
	struct session *s = c->session;

	if (c->side == CONN_SERVER) {
		if (!s->answered)
			refuse(s, &refusal_SERVER_SILENT);
		else
			refuse(s, &refusal_SERVER_LOST);
		return;
	}
	switch (s->state) {
	case HTTP_IDLE:
		if (c->out || is_silent(c)) {
			counter_add(&counters(s)->conn_idle_timeout, 1);
			end(s, c->out != NULL);
			return;
		}
		counter_add(&counters(s)->http_requests, 1);
		s->method = HTTP1_M_OTHER;
		s->keep = s->answered = s->up.done = false;
		refuse(s, &refusal_HEAD_LATE);
		return;
	case HTTP_CONNECTING:
		client_broken(s, 0);
		return;
	case HTTP_EXCHANGE:
		if (c->eof && !c->out) {
			client_broken(s, 0);
			return;
		}
		if (c->out) {
			counter_add(&counters(s)->conn_idle_timeout, 1);
			end(s, true);
			return;
		}
		s->keep = false;
		refuse(s, &refusal_BODY_LATE);
		return;
	case HTTP_TUNNEL:
		counter_add(&counters(s)->conn_idle_timeout, 1);
		end(s, true);
		return;
	default:
		end(s, c->out != NULL);
	}
}

static void cut(struct conn *client, enum conn_cut why)
{
	struct session *s = client->session;
	struct gather g;

	if ((s->state == HTTP_CONNECTING || s->state == HTTP_EXCHANGE) && !s->answered) {
		counter_add(&counters(s)->http_server_cut, 1);
		counter_add(&counters(s)->http_5xx, 1);
		gather_init(&g, client);
		refusal_gather(&refusal_SERVER_CUT, s->method == HTTP1_M_HEAD, false, &g);
		gather_send(&g, false);
		end(s, client->out != NULL);
		return;
	}
	(void)why;
	end(s, s->state != HTTP_IDLE && s->state != HTTP_CLOSING);
}

static void accepted(struct conn *client)
{
	struct session *s = slab_get(&client->worker->sessions_http);
	int on = 1;

	if (!s) {
		counter_add(&client->service->counters->conn_refused_memory, 1);
		conn_reset(client);
		return;
	}
	s->client = client;
	s->state = HTTP_IDLE;
	client->session = s;
	address_ip(&client->peer, s->ip);
	s->ip_len = (uint8_t)strlen(s->ip);
	/* Pieces of an answer must not wait for the client's delayed acknowledgement. */
	setsockopt(client->watch.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	conn_deadline(client, (uint64_t)session_profile(s)->post_accept_timeout);
	/* Usually the request is there already, and the loop need not tell. */
	client_readable(s);
}

const struct proto_ops http_proto = {
	.name = "http",
	.accepted = accepted,
	.ready = ready,
	.expired = expired,
	.connected = connected,
	.cut = cut,
};
