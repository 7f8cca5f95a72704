#include "engine/http/exchange.h"

#include <errno.h>
#include <sys/epoll.h>

#include "base/base.h"
#include "engine/http/ask.h"
#include "engine/http/choice.h"
#include "engine/http/fail.h"
#include "engine/http/note.h"
#include "engine/http/rewrite.h"
#include "engine/http/refusal.h"
#include "engine/http/sticky.h"
#include "engine/http/tunnel.h"
#include "engine/lack.h"
#include "engine/capture/jot.h"
#include "engine/clone/plain.h"
#include "engine/worker.h"
#include "model/structs.h"

/* Functions that may end the exchange return false when they did. */

#define FIELDS_MAX   4096
#define BODY_READ    (64u << 10)
#define SERVER_MS    3600000       /* when the pool's server_timeout is 0 */
#define TURN_ROUNDS  16            /* reads in a row for one connection */

/* Fields are looked at only in the call that parsed their head. */
static _Thread_local struct http1_field fields[FIELDS_MAX];

static void answer_more(struct exchange *x);
static void request_send(struct exchange *x, const struct http1_head *head);

static void move(struct exchange *x, enum exchange_state to)
{
#define X(state, text, next) [state] = next,
	static const unsigned allowed[] = { EXCHANGE_STATES(X) };
#undef X

	must(allowed[x->state] & 1u << to);
	trace_put(TRACE_STATE, x->client->id, x->state, to);
	x->state = to;
}

const struct http_application_profile *exchange_profile(const struct exchange *x)
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
	const struct snapshot *snap = x->upstream.snapshot ? x->upstream.snapshot
							   : x->client->listener->snapshot;

	const struct application_profile *a = snap->application;

	return a && a->http_profile ? a->http_profile : &none;
}

/* max_header_count; 0 there is no limit but ours. */
static uint32_t fields_max(const struct http_application_profile *p)
{
	return p->max_header_count ? MIN((uint32_t)p->max_header_count, FIELDS_MAX) : FIELDS_MAX;
}

struct service_counters *exchange_counters(const struct exchange *x)
{
	return x->client->service->counters;
}

static struct server_counters *server_counters(const struct exchange *x)
{
	return x->upstream.server->backend->counters;
}

void exchange_take(struct exchange *x, size_t n)
{
	struct buffer *b = *x->in;

	must(n <= buffer_len(b));
	if (!b)
		return;
	b->start += (uint32_t)n;
	if (b->start == b->end) {
		buffer_put(&x->client->worker->buffers, b);
		*x->in = NULL;
	}
}

void exchange_gather(struct exchange *x, struct gather *g)
{
	if (x->framed)
		gather_into(g, &x->client->worker->buffers, x->out);
	else
		gather_init(g, x->client);
}

/* What was said has to be taken before more is read. */
static bool client_is_behind(const struct exchange *x)
{
	return x->framed ? buffer_len(*x->out) >= BODY_READ : *x->out != NULL;
}

static void said(struct exchange *x)
{
	if (x->ops->said)
		x->ops->said(x);
}

/* A codec with frames counts them. */
static void count_sent(const struct exchange *x, const struct gather *g)
{
	if (!x->framed)
		counter_add(&exchange_counters(x)->bytes_to_client, g->bytes);
	if (x->note)
		x->note->tx_bytes += g->bytes;
}

/* ---- ends ---- */

void exchange_drop(struct exchange *x, bool reset)
{
	note_end(x);
	if (reset)
		upstream_cancel(&x->upstream, true);
	else
		upstream_done(&x->upstream, false);
	if (x->state != EXCHANGE_NONE)
		move(x, EXCHANGE_NONE);
}

static void abort_it(struct exchange *x)
{
	note_reason(x, RECORD_SERVER_LOST);
	exchange_drop(x, true);
	x->ops->abort(x);
}

void exchange_left(struct exchange *x, int rc)
{
	if (rc == -ECONNRESET || rc == -EPIPE)
		counter_add(&exchange_counters(x)->conn_reset, 1);
	if (rc == -ENOBUFS)
		counter_add(&exchange_counters(x)->conn_refused_memory, 1);
	if (x->state == EXCHANGE_CONNECTING || x->state == EXCHANGE_PASSING)
		counter_add(x->answered ? &exchange_counters(x)->http_client_aborted
					: &exchange_counters(x)->http_client_gone, 1);
	note_reason(x, rc < 0 ? RECORD_CLIENT_RESET : RECORD_CLIENT_GONE);
	abort_it(x);
}

/* Said by the last answer of the exchange. */
static void over(struct exchange *x, bool keep_server)
{
	note_end(x);
	upstream_done(&x->upstream, keep_server);
	exchange_take(x, x->kept ? x->kept : x->head_len);
	x->kept = x->head_len = 0;
	if (x->state != EXCHANGE_NONE)
		move(x, EXCHANGE_NONE);
	x->ops->over(x);
}

/* ---- answers of our own ---- */

/* The text N bytes long goes the way of a server's answer. 0 or -errno. */
static int own_answer(struct exchange *x, const char *text, size_t n)
{
	static const struct http1_limits limits = { HTTP1_FIELD_MAX, HTTP1_FIELD_MAX,
						    HTTP1_HEAD_MAX, 64 };
	struct http1_field own[64]; /* those of the request may still be looked at */
	struct http1_head h;
	struct gather g;
	int rc;

	http1_head_init(&h, HTTP1_RESPONSE, own, ARRAY_SIZE(own), &limits);
	h.to_head = x->method == HTTP1_M_HEAD;
	must(http1_head_parse(&h, text, n) == HTTP1_DONE);
	x->answered = true;
	flow_init(&x->down, &h, false, false);
	exchange_gather(x, &g);
	x->ops->head(x, &h, text, &g);
	flow_gather(&x->down, text + h.len, n - h.len, &g);
	must(x->down.done);
	count_sent(x, &g);
	rc = gather_send(&g, false);
	said(x);
	return rc;
}

static void count_own(struct exchange *x, unsigned status)
{
	struct service_counters *c = exchange_counters(x);

	counter_add(status < 300 ? &c->http_2xx : status < 400 ? &c->http_3xx :
		    status < 500 ? &c->http_4xx : &c->http_5xx, 1);
	trace_put(TRACE_RESPONSE, x->client->id, status, 1);
	note_answer(x, status, true);
}

void exchange_answer(struct exchange *x, const char *text, size_t n)
{
	int rc;

	must(!x->answered);
	count_own(x, (unsigned)atoi(text + sizeof("HTTP/1.1")));
	upstream_cancel(&x->upstream, true);
	x->keep = x->keep && x->up.done;
	rc = own_answer(x, text, n);
	if (rc < 0)
		exchange_left(x, rc);
	else
		over(x, false);
}

void exchange_refuse(struct exchange *x, const struct refusal *r)
{
	char text[REFUSAL_TEXT];

	counter_add((uint64_t *)(void *)((char *)exchange_counters(x) + r->counter), 1);
	note_reason(x, note_reason_of(r));
	if (x->answered) /* too late for words */
		abort_it(x);
	else
		exchange_answer(x, text, refusal_text(r, text));
}

bool exchange_cut(struct exchange *x)
{
	char text[REFUSAL_TEXT];
	bool told = x->state == EXCHANGE_NONE;

	if ((x->state == EXCHANGE_CONNECTING || x->state == EXCHANGE_PASSING) && !x->answered) {
		counter_add(&exchange_counters(x)->http_server_cut, 1);
		note_reason(x, RECORD_CUT);
		count_own(x, (unsigned)refusal_SERVER_CUT.status);
		x->keep = false;
		told = own_answer(x, text, refusal_text(&refusal_SERVER_CUT, text)) == 0;
	}
	exchange_drop(x, true);
	return told;
}

/* ---- server: trouble ---- */

/* The head of the request, which is still there, with the limits of then: what was taken is taken. */
static void head_again(const struct exchange *x, struct http1_head *h)
{
	static const struct http1_limits limits = { HTTP1_FIELD_MAX, HTTP1_FIELD_MAX, HTTP1_HEAD_MAX,
						    FIELDS_MAX };

	http1_head_init(h, HTTP1_REQUEST, fields, FIELDS_MAX, &limits);
	must(http1_head_parse(h, exchange_in(x), exchange_in_len(x)) == HTTP1_DONE);
}

/* HEAD: NULL when its fields are no longer known. */
static void opened(struct exchange *x, int rc, const struct http1_head *head)
{
	struct http1_head again;

	switch (rc) {
	case UPSTREAM_READY:
		request_send(x, head);
		return;
	case UPSTREAM_WAIT:
		move(x, EXCHANGE_CONNECTING);
		return;
	case -ENOENT:
		if (!head) {
			head_again(x, &again);
			head = &again;
		}
		fail_answer(x, x->upstream.pool ? x->upstream.pool->pool->fail_action : NULL, head);
		return;
	case -EBUSY:
		exchange_refuse(x, &refusal_SERVERS_BUSY);
		return;
	case -EHOSTDOWN: /* HM_DOWN_ABORT_CONNECTION: but not without a word */
		x->keep = false;
		exchange_refuse(x, &refusal_SERVER_DOWN);
		return;
	case -ENOMEM:
	case LACK:
		exchange_refuse(x, &refusal_NO_MEMORY);
		return;
	case -ETIMEDOUT:
		exchange_refuse(x, &refusal_SERVER_SILENT);
		return;
	default:
		exchange_refuse(x, &refusal_SERVER_REFUSED);
	}
}

/* The connection broke before any byte of an answer came. */
static void server_lost(struct exchange *x)
{
	bool again = x->kept && (!x->sent || http1_method_is_idempotent(x->method));
	int rc;

	if (x->answered || !again) {
		upstream_judge(&x->upstream, false);
		exchange_refuse(x, &refusal_SERVER_LOST);
		return;
	}
	counter_add(&exchange_counters(x)->http_again, 1);
	rc = upstream_again(&x->upstream);
	if (rc < 0) /* what happened stands before what might have been */
		exchange_refuse(x, &refusal_SERVER_LOST);
	else
		opened(x, rc, NULL);
}

static void server_bad(struct exchange *x, enum http1_error e)
{
	trace_put(TRACE_RESPONSE, x->client->id, -1, e);
	counter_add(&server_counters(x)->http_malformed, 1);
	upstream_judge(&x->upstream, false);
	exchange_refuse(x, &refusal_SERVER_BAD);
}

/* May the request go to another server, although this one has it? */
static const struct http_server_reselect *may_reselect(const struct exchange *x)
{
	const struct http_server_reselect *r = x->upstream.pool->pool->server_reselect;

	return r && r->enabled && x->kept && !x->answered && x->reselects < (uint64_t)r->num_retries &&
		       (r->retry_nonidempotent || http1_method_is_idempotent(x->method))
		       ? r
		       : NULL;
}

/* Does it hold up the exchange, or a client that pauses in its body or takes no answer? That one has its own time. */
static bool is_servers_turn(const struct exchange *x)
{
	return !client_is_behind(x) &&
	       (x->up.done || x->upstream.server->out || (x->defers && x->up.bytes == 0));
}

static void server_deadline(struct exchange *x)
{
	const struct http_server_reselect *r = may_reselect(x);
	int64_t ms = x->upstream.pool->pool->server_timeout;

	if (!is_servers_turn(x)) {
		conn_deadline(x->upstream.server, 0);
		return;
	}
	if (!ms)
		ms = SERVER_MS;
	if (r && r->retry_timeout)
		ms = MIN(ms, r->retry_timeout);
	conn_deadline(x->upstream.server, (uint64_t)ms);
}

/* False: there is none; the answer of this one stands. */
static bool reselect(struct exchange *x)
{
	int rc = upstream_elsewhere(&x->upstream);

	if (rc < 0)
		return false;
	x->reselects++;
	counter_add(&exchange_counters(x)->http_reselected, 1);
	opened(x, rc, NULL);
	return true;
}

/* Is an answer of STATUS none that the client should get? */
static bool is_unwanted(const struct http_server_reselect *r, unsigned status)
{
	const struct http_reselect_resp_code *c = r->svr_resp_code;

	for (size_t i = 0; c && i < c->codes_n; i++)
		if (c->codes[i] == status)
			return true;
	for (size_t i = 0; c && i < c->ranges_n; i++)
		if (c->ranges[i].begin <= status && status <= c->ranges[i].end)
			return true;
	for (size_t i = 0; c && i < c->resp_code_block_n; i++)
		if (status / 100 == (c->resp_code_block[i] == HTTP_RSP_4XX ? 4 : 5))
			return true;
	return false;
}

/* ---- request ---- */

/* Pass on what *x->in has of the body, from OFFSET on, behind what G has already. False: ended. */
static bool request_body(struct exchange *x, size_t offset, struct gather *g)
{
	size_t used = offset + flow_gather(&x->up, exchange_in(x) + offset,
					   exchange_in_len(x) - offset, g);

	if (x->up.body.error || (x->body_max && x->up.bytes > x->body_max)) {
		struct refusal r = x->up.body.error ? refusal_of(x->up.body.error)
						    : refusal_BODY_LARGE;

		x->keep = false;
		exchange_refuse(x, &r);
		return false;
	}
	counter_add(&server_counters(x)->bytes_to_server, g->bytes);
	if (!x->deaf && gather_send(g, false) < 0) {
		if (g->rc == -ENOBUFS) {
			exchange_refuse(x, &refusal_NO_MEMORY);
			return false;
		}
		x->deaf = true; /* its answer may still be there to read */
	}
	x->sent |= !x->deaf;
	if (x->up.done && offset > 0) { /* all in one piece: it can be sent again */
		x->kept = (uint32_t)used;
	} else {
		exchange_take(x, used);
		x->head_len = 0;
	}
	if (!x->up.done && !x->framed && x->client->eof) {
		exchange_left(x, 0);
		return false;
	}
	x->ops->await(x);
	server_deadline(x);
	return true;
}

void exchange_head_init(const struct exchange *x, struct http1_head *h,
			struct http1_limits *limits)
{
	const struct http_application_profile *p = exchange_profile(x);
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
static void request_send(struct exchange *x, const struct http1_head *head)
{
	static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
	struct http1_head again;
	struct gather g;

	if (!head) {
		head_again(x, &again);
		head = &again;
	}
	if (x->state != EXCHANGE_PASSING)
		move(x, EXCHANGE_PASSING);
	counter_add(&server_counters(x)->http_requests, 1);
	flow_init(&x->up, head, head->framing == HTTP1_CHUNKED, true);
	x->deaf = false;
	note_sent(x);
	if (x->upstream.server->plain)
		plain_exchange(x->upstream.server, choice_fits(x->upstream.snapshot->clone.plain, head, exchange_in(x)));
	retell_sent(x);
	gather_init(&g, x->upstream.server);
	head_to_server(x, head, exchange_in(x), &g);
	jot_sent(x, head, exchange_in(x), &g);
	if (!request_body(x, x->head_len, &g))
		return;
	if (x->expects) {
		x->expects = false;
		if (!x->up.done && exchange_in_len(x) == 0) {
			struct http1_head h;

			http1_head_init(&h, HTTP1_RESPONSE, fields, FIELDS_MAX,
					&http1_limits_default);
			must(http1_head_parse(&h, go_on, sizeof(go_on) - 1) == HTTP1_DONE);
			exchange_gather(x, &g);
			x->ops->head(x, &h, go_on, &g);
			if (gather_send(&g, false) < 0) {
				exchange_left(x, g.rc);
				return;
			}
			said(x);
		}
	}
	if (x->deaf)
		answer_more(x);
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

/* It was counted by admission_request(), whatever comes of it. */
static void over_rate(struct exchange *x)
{
	const struct admission_plan *p = &x->client->listener->snapshot->admission;
	struct refusal r = refusal_OVER_RATE;

	if (p->requests_action == LIMIT_ANSWER)
		r.status = p->requests_status;
	else
		x->keep = false;
	exchange_refuse(x, &r);
}

void exchange_begin(struct exchange *x, const struct http1_head *h)
{
	const struct http_application_profile *p = exchange_profile(x);
	struct upstream_ask ask;
	int rc;

	x->reselects = 0;
	counter_add(&exchange_counters(x)->http_requests, 1);
	trace_put(TRACE_REQUEST, x->client->id, h->method, h->len);
	x->head_len = h->len;
	x->method = h->method;
	x->minor = h->minor;
	/* h2c would be a way around all that is checked here: websocket alone is switched to. */
	x->upgrade = !x->framed && h->upgrade && h->framing == HTTP1_NO_BODY &&
		     p->websockets_enabled && is_websocket(h, exchange_in(x));
	x->trailers = h->te_trailers && h->minor == 1;
	x->expects = h->expect_continue && p->respond_with_100_continue;
	x->defers = h->expect_continue && !x->expects;
	x->sent = x->answered = x->switched = false;
	x->body_max = (uint64_t)p->client_max_body_size * 1024;
	flow_init(&x->up, h, false, false);
	note_begin(x, h, exchange_in(x));
	retell_request(x);
	jot_request(x, h, exchange_in(x));
	if (!admission_request(x->client->service, x->client->listener->snapshot)) {
		over_rate(x);
	} else if (h->method == HTTP1_M_CONNECT || h->method == HTTP1_M_TRACE) {
		x->keep = false;
		exchange_refuse(x, &refusal_METHOD);
	} else if (x->body_max && h->framing == HTTP1_LENGTH && h->content_length > x->body_max) {
		x->keep = false;
		exchange_refuse(x, &refusal_BODY_LARGE);
	} else if (!rewrite_to_https(x, h)) {
		ask = ask_of(x, h, exchange_in(x));
		ask.twice = h->framing == HTTP1_NO_BODY && http1_method_is_idempotent(h->method);
		rc = upstream_open(&x->upstream, x->client->listener->snapshot, &ask);
		if (rc == -ENOENT)
			fail_answer(x, ask.fail, h);
		else
			opened(x, rc, h);
	}
}

void exchange_malformed(struct exchange *x, const struct refusal *r)
{
	counter_add(&exchange_counters(x)->http_requests, 1);
	x->method = HTTP1_M_OTHER;
	x->keep = x->answered = x->up.done = false;
	x->up.bytes = 0;
	note_malformed(x);
	exchange_refuse(x, r);
}

void exchange_body(struct exchange *x)
{
	struct gather g;

	if (x->state != EXCHANGE_PASSING || x->up.done)
		return;
	gather_init(&g, x->upstream.server);
	request_body(x, 0, &g);
}

/* ---- answer ---- */

static void count_status(const struct exchange *x, unsigned status)
{
	struct service_counters *service = exchange_counters(x);
	struct server_counters *server = server_counters(x);

	switch (status / 100) {
	case 1: counter_add(&service->http_1xx, 1); break;
	case 2: counter_add(&service->http_2xx, 1); counter_add(&server->http_2xx, 1); break;
	case 3: counter_add(&service->http_3xx, 1); counter_add(&server->http_3xx, 1); break;
	case 4: counter_add(&service->http_4xx, 1); counter_add(&server->http_4xx, 1); break;
	case 5: counter_add(&service->http_5xx, 1); counter_add(&server->http_5xx, 1); break;
	}
}

/* The client learns which server it has, where it does not say so itself. */
static void cookie_set(struct exchange *x, char line[static STICKY_LINE])
{
	const struct snapshot_pool *p = x->upstream.pool;
	const struct snapshot_server *s;
	size_t place;

	if (!p->persist.cookie)
		return;
	s = upstream_server(&x->upstream);
	place = s ? (size_t)(s - p->servers) : SIZE_MAX;
	if (!s || (place == x->cookie_place && !sticky_is_always_sent(p->persist.cookie)))
		return;
	x->set_cookie_n = sticky_value(p->persist.cookie, place, (uint32_t)(time(NULL) / 60), line);
	x->set_cookie = line;
}

/*
 * A head at the front of server->in: put into G. Bytes of it; 0: not whole yet, or the exchange
 * ended.
 */
static size_t answer_head(struct exchange *x, struct gather *g)
{
	const struct http_application_profile *p = exchange_profile(x);
	struct conn *server = x->upstream.server;
	const struct http1_limits limits = {
		.line = HTTP1_FIELD_MAX,
		.field = HTTP1_FIELD_MAX,
		.head = (uint32_t)p->max_response_headers_size * 1024,
		.fields = fields_max(p),
	};
	const struct http_server_reselect *again;
	char line[STICKY_LINE];
	struct http1_head h;

	http1_head_init(&h, HTTP1_RESPONSE, fields, FIELDS_MAX, &limits);
	h.to_head = x->method == HTTP1_M_HEAD;
	switch (http1_head_parse(&h, conn_in(server), conn_in_len(server))) {
	case HTTP1_DONE:
		break;
	case HTTP1_MORE:
		return 0;
	default:
		server_bad(x, h.error);
		return 0;
	}
	if (h.status == 101 && !x->upgrade) {
		server_bad(x, HTTP1_E_STATUS);
		return 0;
	}
	trace_put(TRACE_RESPONSE, x->client->id, h.status, h.len);
	jot_answered(x, &h, conn_in(server));
	if (h.status >= 200)
		upstream_judge(&x->upstream, h.status < 500);
	again = may_reselect(x);
	if (again && is_unwanted(again, h.status)) {
		struct server_counters *its = server_counters(x);

		if (reselect(x)) {
			counter_add(h.status < 500 ? &its->http_4xx : &its->http_5xx, 1);
			return 0;
		}
	}
	count_status(x, h.status);
	if (h.status < 200 && h.status != 101) {
		if (x->minor == 1) /* HTTP/1.0 has no interim answers (RFC 9110 section 15.2) */
			x->ops->head(x, &h, conn_in(server), g);
		return h.len;
	}
	note_answer(x, h.status, false);
	x->answered = true;
	x->server_keep = h.keep_alive && !(p->close_server_side_connection_on_error && h.status >= 400);
	flow_init(&x->down, &h,
		  x->minor == 1 && !x->framed &&
			  (h.framing == HTTP1_CHUNKED || h.framing == HTTP1_UNTIL_CLOSE),
		  x->trailers);
	if (x->minor == 0 && !x->down.done && h.framing != HTTP1_LENGTH)
		x->keep = false; /* the end of the connection is the end of the body */
	if (!x->up.done)
		x->keep = false;
	cookie_set(x, line);
	x->ops->head(x, &h, conn_in(server), g);
	x->set_cookie = NULL;
	x->switched = h.status == 101;
	if (x->switched)
		counter_add(&exchange_counters(x)->http_upgrades, 1);
	return h.len;
}

static void answer_done(struct exchange *x)
{
	if (!x->up.done)
		x->keep = false;
	over(x, x->server_keep && x->up.done && !x->deaf);
}

static void switch_protocols(struct exchange *x)
{
	move(x, EXCHANGE_TUNNEL);
	exchange_take(x, x->kept);
	x->kept = 0;
	tunnel_begin(x);
}

/* server->in has something new. False: the exchange is over. */
static bool answer_pass(struct exchange *x)
{
	struct conn *server = x->upstream.server;
	struct gather g;

	while (conn_in_len(server) > 0) {
		size_t used = 0;

		exchange_gather(x, &g);
		if (!x->answered) {
			used = answer_head(x, &g);
			if (used == 0)
				return x->state == EXCHANGE_PASSING && x->upstream.server == server;
		}
		if (x->answered && !x->switched)
			used += flow_gather(&x->down, conn_in(server) + used,
					    conn_in_len(server) - used, &g);
		count_sent(x, &g);
		if (gather_send(&g, false) < 0) {
			exchange_left(x, g.rc);
			return false;
		}
		said(x);
		conn_take(server, used);
		if (x->answered && x->down.body.error) {
			server_bad(x, x->down.body.error);
			return false;
		}
		if (x->switched) {
			switch_protocols(x);
			return false;
		}
		if (x->answered && x->down.done) {
			answer_done(x);
			return false;
		}
		if (used == 0)
			break;
		if (client_is_behind(x)) {
			conn_want_in(server, false);
			conn_deadline(server, 0);
			x->ops->await(x);
			break;
		}
	}
	return true;
}

static void answer_ended(struct exchange *x)
{
	struct conn *server = x->upstream.server;
	struct gather g;

	if (!x->answered) {
		if (conn_in_len(server) > 0)
			server_bad(x, HTTP1_E_NONE);
		else
			server_lost(x);
		return;
	}
	exchange_gather(x, &g);
	if (!flow_end(&x->down, &g)) {
		counter_add(&server_counters(x)->http_cut_short, 1);
		exchange_refuse(x, &refusal_SERVER_LOST);
		return;
	}
	count_sent(x, &g);
	if (gather_send(&g, false) < 0) {
		exchange_left(x, g.rc);
		return;
	}
	said(x);
	answer_done(x);
}

/* Read from the server and pass on. */
static void answer_more(struct exchange *x)
{
	struct conn *server = x->upstream.server;

	for (unsigned round = 0; round < TURN_ROUNDS; round++) {
		size_t head_max = (size_t)exchange_profile(x)->max_response_headers_size * 1024;
		size_t max = x->answered ? BODY_READ : head_max;
		size_t room = 0;
		ssize_t n;

		if (x->answered && !server->in)
			server->in = buffer_get(&server->worker->buffers, BODY_READ);
		if (server->in)
			room = buffer_avail(server->in);
		n = conn_fill(server, max);
		if (n == -EAGAIN)
			return;
		if (n == -ENOBUFS) {
			if (x->answered || conn_in_len(server) < max)
				exchange_refuse(x, &refusal_NO_MEMORY);
			else
				server_bad(x, HTTP1_E_HEAD_LONG);
			return;
		}
		if (n <= 0) {
			if (n == -ECONNRESET)
				counter_add(&server->backend->counters->conn_reset, 1);
			if (n < 0 && x->answered)
				exchange_refuse(x, &refusal_SERVER_LOST);
			else
				answer_ended(x);
			return;
		}
		counter_add(&server_counters(x)->bytes_from_server, (uint64_t)n);
		upstream_answered(&x->upstream);
		server_deadline(x);
		if (x->client->eof)
			x->ops->await(x);
		if (!answer_pass(x) || client_is_behind(x) || !room || (size_t)n < room)
			return;
	}
}

void exchange_drained(struct exchange *x)
{
	if (x->state != EXCHANGE_PASSING)
		return;
	conn_want_in(x->upstream.server, true);
	x->ops->await(x);
	server_deadline(x);
	if (conn_in_len(x->upstream.server) > 0)
		answer_pass(x);
}

void exchange_late(struct exchange *x)
{
	switch (x->state) {
	case EXCHANGE_NONE:
		return;
	case EXCHANGE_CONNECTING:
		exchange_left(x, 0);
		return;
	case EXCHANGE_PASSING:
		if (!*x->out && x->up.done) { /* it hung up, and nothing shows that it listens */
			exchange_left(x, 0);
			return;
		}
		if (!*x->out) {
			x->keep = false;
			exchange_refuse(x, &refusal_BODY_LATE);
			return;
		}
		break;
	case EXCHANGE_TUNNEL:
		break;
	}
	counter_add(&exchange_counters(x)->conn_idle_timeout, 1);
	note_reason(x, RECORD_IDLE);
	abort_it(x);
}

/* ---- events of the server's connection ---- */

static void server_ready(struct conn *c, uint32_t events)
{
	struct exchange *x = c->session;

	if (x->state == EXCHANGE_TUNNEL) {
		tunnel_ready(x, c, events);
		return;
	}
	if (events & EPOLLOUT && c->out) {
		int rc = conn_flush(c);

		if (rc == 1)
			return;
		if (rc < 0) {
			x->deaf = true;
			buffer_put(&c->worker->buffers, c->out);
			c->out = NULL;
			conn_flush(c); /* EPOLLOUT is no longer wanted */
		}
		if (!x->up.done)
			x->ops->await(x);
		server_deadline(x);
	}
	if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		return;
	if (client_is_behind(x))
		conn_park(c); /* it hung up; its last words are read when those before are taken */
	else
		answer_more(x);
}

static void server_late(struct conn *c)
{
	struct exchange *x = c->session;

	upstream_judge(&x->upstream, false);
	if (may_reselect(x) && reselect(x))
		return;
	exchange_refuse(x, x->answered ? &refusal_SERVER_LOST : &refusal_SERVER_SILENT);
}

static const struct proto_ops server_proto = {
	.name = "http server", .ready = server_ready, .expired = server_late,
};

static void connected(struct upstream *u, int rc)
{
	opened(u->session, rc < 0 ? rc : UPSTREAM_READY, NULL);
}

static void server_cut(struct upstream *u)
{
	struct exchange *x = u->session;

	x->keep = false;
	if (x->answered)
		abort_it(x);
	else
		exchange_refuse(x, &refusal_SERVER_CUT);
}

static void dialled(struct upstream *u, struct conn *c)
{
	retell_dialled(u->session, c);
}

void exchange_init(struct exchange *x, const struct exchange_ops *ops, struct conn *client,
		   struct buffer **in, struct buffer **out)
{
	static const struct upstream_user user = { &server_proto, connected, server_cut, dialled };

	*x = (struct exchange){ .ops = ops, .client = client, .in = in, .out = out };
	upstream_init(&x->upstream, &user, x, client);
}
