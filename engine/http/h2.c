#include "engine/http/h2.h"

#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <sys/epoll.h>

#include "base/base.h"
#include "engine/capture/jot.h"
#include "engine/http/exchange.h"
#include "engine/http/h2_frames.h"
#include "engine/http/h2_text.h"
#include "engine/http/http.h"
#include "engine/http/rewrite.h"
#include "engine/http/refusal.h"
#include "engine/records.h"
#include "engine/worker.h"
#include "model/structs.h"

/*
 * nghttp2 calls back while it reads (mem_recv) and while it writes (mem_send), and must not be
 * called for the other meanwhile. So an exchange never writes: it only leaves something to be
 * written, and flush() does it at the end of the turn, for all of them at once.
 */

#define STALL_MS      60000         /* a client that takes nothing of its answers */
#define LINGER_MS     2000          /* for a client that is answered before it has said all */
#define HEAD_OVERFLOW 512           /* a head that is larger than its limit by this is told so without the rest */
#define WINDOW_MAX    (512u << 10)  /* more than this is never held for one stream */
#define CONN_WINDOW   (1024u << 10)
#define OUT_LOW       (32u << 10)   /* the server is read again when so little waits */
#define FRAME_HEAD    9u            /* RFC 9113, 4.1 */
#define HEAD_MAX      (1024u << 10) /* of an answer; max_response_headers_size is far below */

struct h2 {
	nghttp2_session *ng;
	struct conn *client;
	struct list streams;
	struct grave grave, flush;
	uint32_t requests, control, empty;
	size_t gathered;               /* bytes that nghttp2 gave and were not sent yet */
	struct h2_frames frames;
	int32_t last;                  /* stream that the client began */
	uint32_t begun;                /* streams, in all */
	unsigned open;                 /* streams */
	uint64_t idle_ns;              /* since when there is none; 0: nobody has looked since */
	bool flush_set, ended, goodbye;
	bool has_reset;                /* a stream, or will: what its client sent before he knows comes yet */
	char ip[ADDRESS_TEXT];
};

struct stream {
	struct exchange x;
	struct h2 *h2;
	int32_t id;
	struct list link;
	struct grave grave;
	struct timer timer;
	struct h2_text text;           /* of the request */
	struct buffer *out;
	struct buffer *trailers;       /* of the answer */
	char *told;                    /* the request's id, which outlives the exchange; NULL: no capture wants it */
	uint32_t unread;               /* bytes of the body whose window was not given back */
	bool closed;                   /* nghttp2 knows it no more */
	bool drained;                  /* out was full, and is not any more */
	bool done;                     /* the answer is complete in out */
	bool lingers;                  /* it is out, and the request not yet in */
};

const size_t h2_session_size = sizeof(struct h2);
const size_t h2_stream_size = sizeof(struct stream);

static struct stream *stream_of(struct exchange *x)
{
	return CONTAINER_OF(x, struct stream, x);
}

static struct buffer_pool *pool_of(const struct h2 *h2)
{
	return &h2->client->worker->buffers;
}

static const struct http2_application_profile *settings_of(const struct h2 *h2)
{
	static const struct http2_application_profile dflt = {
		.http2_initial_window_size = 64,
		.max_http2_concurrent_streams_per_connection = 128,
		.max_http2_control_frames_per_connection = 1000,
		.max_http2_empty_data_frames_per_connection = 1000,
		.max_http2_header_field_size = 4096,
		.max_http2_queued_frames_to_client_per_connection = 1000,
		.max_http2_requests_per_connection = 1000,
	};
	const struct application_profile *a = h2->client->listener->snapshot->application;

	return a && a->http_profile && a->http_profile->http2_profile ? a->http_profile->http2_profile
								      : &dflt;
}

static const struct http_application_profile *profile_of(const struct h2 *h2)
{
	const struct exchange x = { .client = h2->client };

	return exchange_profile(&x);
}

/* ---- ends ---- */

static void h2_release(struct grave *g)
{
	struct h2 *h2 = CONTAINER_OF(g, struct h2, grave);

	slab_put(&h2->client->worker->sessions_h2, h2);
}

static void stream_release(struct grave *g)
{
	struct stream *s = CONTAINER_OF(g, struct stream, grave);

	slab_put(&s->h2->client->worker->streams, s);
}

static void stream_end(struct stream *s)
{
	struct h2 *h2 = s->h2;

	if (s->closed)
		return;
	s->closed = true;
	timer_stop(h2->client->worker->loop, &s->timer);
	list_remove(&s->link);
	h2->open--;
	h2_text_fini(&s->text);
	buffer_put(pool_of(h2), s->out);
	buffer_put(pool_of(h2), s->trailers);
	s->out = s->trailers = NULL;
	free(s->told);
	s->told = NULL;
	loop_bury(h2->client->worker->loop, &s->grave, stream_release);
}

/* RC: why the client is lost; RESET: it learns that something was. */
static void h2_end(struct h2 *h2, int rc, bool reset)
{
	struct conn *c = h2->client;

	if (h2->ended)
		return;
	h2->ended = true;
	if (list_empty(&h2->streams) && (rc == -ECONNRESET || rc == -EPIPE))
		counter_add(&c->service->counters->conn_reset, 1);
	while (!list_empty(&h2->streams)) {
		struct stream *s = LIST_ENTRY(h2->streams.next, struct stream, link);

		if (s->x.state != EXCHANGE_NONE)
			exchange_left(&s->x, rc);
		stream_end(s);
		rc = 0;
	}
	nghttp2_session_del(h2->ng);
	h2->ng = NULL;
	loop_bury(c->worker->loop, &h2->grave, h2_release);
	if (reset)
		conn_reset(c);
	else
		conn_close(c);
}

/* ---- writing ---- */

static void flush(struct h2 *h2);

static void flush_due(struct grave *g)
{
	struct h2 *h2 = CONTAINER_OF(g, struct h2, flush);

	h2->flush_set = false;
	if (!h2->ended)
		flush(h2);
}

static void flush_later(struct h2 *h2)
{
	if (h2->flush_set || h2->ended)
		return;
	h2->flush_set = true;
	loop_bury(h2->client->worker->loop, &h2->flush, flush_due);
}

/* Frames that belong to no request do not make it longer, however many come. */
static uint64_t idle_left_ms(struct h2 *h2)
{
	uint64_t now = loop_now(h2->client->worker->loop), passed;
	uint64_t limit = (uint64_t)(h2->requests ? profile_of(h2)->keepalive_timeout : profile_of(h2)->post_accept_timeout);

	if (!h2->idle_ns)
		h2->idle_ns = now;
	passed = (now - h2->idle_ns) / NS_PER_MS;
	return !limit ? 0 : passed < limit ? limit - passed : 1;
}

static void deadlines(struct h2 *h2)
{
	struct conn *c = h2->client;

	if (c->out)
		conn_deadline(c, STALL_MS);
	else if (h2->open)
		conn_deadline(c, 0); /* each stream has its own */
	else
		conn_deadline(c, idle_left_ms(h2));
}

/* Servers are read again for streams whose answer was taken. False: nothing came of it. */
static bool refill(struct h2 *h2)
{
	bool any = false;

	LIST_FOREACH(l, &h2->streams) {
		struct stream *s = LIST_ENTRY(l, struct stream, link);

		if (s->drained) {
			s->drained = false;
			any = true;
			exchange_drained(&s->x);
		}
	}
	return any;
}

static void flush(struct h2 *h2)
{
	struct conn *c = h2->client;
	char *scratch = c->worker->scratch;
	bool more = true;

	while (more && !c->out) {
		h2->gathered = 0;
		while (h2->gathered < WORKER_SCRATCH / 2) {
			const uint8_t *p;
			ssize_t len = nghttp2_session_mem_send(h2->ng, &p);

			if (len < 0) {
				h2_end(h2, 0, true);
				return;
			}
			if (len == 0)
				break;
			must(h2->gathered + (size_t)len <= WORKER_SCRATCH);
			memcpy(scratch + h2->gathered, p, (size_t)len);
			h2->gathered += (size_t)len;
		}
		more = h2->gathered > 0;
		if (more) {
			struct gather g;

			counter_add(&c->service->counters->bytes_to_client, h2->gathered);
			gather_init(&g, c);
			gather_add(&g, scratch, h2->gathered);
			if (gather_send(&g, false) < 0) {
				h2_end(h2, g.rc, true);
				return;
			}
		}
		more |= refill(h2);
	}
	if (!c->out && !nghttp2_session_want_read(h2->ng) && !nghttp2_session_want_write(h2->ng)) {
		/* Both said goodbye: what is still open was told by nghttp2. */
		if (conn_shutdown(c) < 0 || c->eof)
			h2_end(h2, 0, false);
		else
			conn_deadline(c, 2000);
		return;
	}
	deadlines(h2);
}

/* LAST is the last stream that is served; those that came after it may be asked elsewhere. */
static void goodbye(struct h2 *h2, int32_t last)
{
	if (h2->goodbye)
		return;
	h2->goodbye = true;
	h2->idle_ns = 0; /* what the client has sent by now is on its way */
	nghttp2_submit_goaway(h2->ng, NGHTTP2_FLAG_NONE, last, NGHTTP2_NO_ERROR, NULL, 0);
	flush_later(h2);
}

/* More of something than the profile allows: it is not served any more. */
static int flood(struct h2 *h2)
{
	counter_add(&h2->client->service->counters->http2_flood, 1);
	nghttp2_session_terminate_session(h2->ng, NGHTTP2_ENHANCE_YOUR_CALM);
	h2->goodbye = true;
	flush_later(h2);
	return 0;
}

/* ---- what the exchange says ---- */

static void stream_late(struct timer *t)
{
	struct stream *s = CONTAINER_OF(t, struct stream, timer);

	if (s->lingers) {
		nghttp2_submit_rst_stream(s->h2->ng, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_NO_ERROR);
		flush_later(s->h2);
		return;
	}
	if (s->x.state != EXCHANGE_NONE) {
		exchange_late(&s->x);
		return;
	}
	if (!s->text.whole) { /* its head is still under way, and until it ends no other frame may come */
		counter_add(&exchange_counters(&s->x)->http_client_late, 1);
		nghttp2_session_terminate_session(s->h2->ng, NGHTTP2_ENHANCE_YOUR_CALM);
		s->h2->goodbye = true;
		flush_later(s->h2);
		return;
	}
	/* The answer is complete here, and its client takes nothing of it. */
	counter_add(&exchange_counters(&s->x)->conn_idle_timeout, 1);
	nghttp2_submit_rst_stream(s->h2->ng, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_CANCEL);
	flush_later(s->h2);
}

static void stream_deadline(struct stream *s, uint64_t ms)
{
	struct loop *l = s->h2->client->worker->loop;

	if (ms)
		timer_in(l, &s->timer, ms, stream_late);
	else
		timer_stop(l, &s->timer);
}

static void await(struct exchange *x)
{
	struct stream *s = stream_of(x);
	const struct conn *server = x->upstream.server;
	bool behind = server && server->out;

	if (!behind && s->unread && !s->closed) {
		nghttp2_session_consume(s->h2->ng, s->id, s->unread);
		s->unread = 0;
		flush_later(s->h2);
	}
	if (s->out)
		stream_deadline(s, STALL_MS);
	else
		stream_deadline(s, x->up.done || behind
					   ? 0
					   : (uint64_t)exchange_profile(x)->client_body_timeout);
}

/* Trailers of the answer are kept until the body is out. */
static void keep_trailer(struct flow *f, const char *line, size_t len)
{
	struct stream *s = stream_of(CONTAINER_OF(f, struct exchange, down));
	struct gather g;

	gather_into(&g, pool_of(s->h2), &s->trailers);
	gather_add(&g, line, len);
	gather_send(&g, false); /* without room they are lost, and the body is not */
}

static nghttp2_nv pair(const char *name, size_t name_len, const char *value, size_t value_len)
{
	return (nghttp2_nv){ (uint8_t *)name, (uint8_t *)value, name_len, value_len,
			     NGHTTP2_NV_FLAG_NONE };
}

static int send_trailers(struct stream *s)
{
	nghttp2_nv nv[HTTP1_TRAILER_FIELDS];
	const char *p = s->trailers->data + s->trailers->start,
		   *end = s->trailers->data + s->trailers->end;
	size_t n = 0;

	while (p < end && n < ARRAY_SIZE(nv)) {
		const char *eol = memchr(p, '\n', (size_t)(end - p)),
			   *colon = memchr(p, ':', (size_t)(eol - p)), *value = colon + 1,
			   *value_end = eol;

		while (value_end > value && (value_end[-1] == ' ' || value_end[-1] == '\t' ||
					     value_end[-1] == '\r'))
			value_end--;
		while (value < value_end && (*value == ' ' || *value == '\t'))
			value++;
		nv[n++] = pair(p, (size_t)(colon - p), value, (size_t)(value_end - value));
		p = eol + 1;
	}
	return nghttp2_submit_trailer(s->h2->ng, s->id, nv, n);
}

static ssize_t give_body(nghttp2_session *ng, int32_t id, uint8_t *to, size_t room, uint32_t *flags,
			 nghttp2_data_source *source, void *arg)
{
	struct stream *s = source->ptr;
	size_t n = MIN(room, buffer_len(s->out));

	(void)ng;
	(void)id;
	(void)arg;
	if (n) {
		bool was_full = buffer_len(s->out) >= OUT_LOW;

		memcpy(to, s->out->data + s->out->start, n);
		s->out->start += (uint32_t)n;
		if (s->out->start == s->out->end) {
			buffer_put(pool_of(s->h2), s->out);
			s->out = NULL;
		}
		if (!s->done) {
			s->drained |= was_full && buffer_len(s->out) < OUT_LOW;
			stream_deadline(s, s->out ? STALL_MS : 0);
		}
	}
	if (!s->out && s->done) {
		*flags |= NGHTTP2_DATA_FLAG_EOF;
		if (s->trailers && send_trailers(s) == 0)
			*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
		return (ssize_t)n;
	}
	return n ? (ssize_t)n : NGHTTP2_ERR_DEFERRED;
}

static void head(struct exchange *x, const struct http1_head *h, const char *in, struct gather *g)
{
	static _Thread_local nghttp2_nv nv[4096 + 8];
	const bool tell_id = head_tells_id(x, h);
	const nghttp2_data_provider body = { { .ptr = stream_of(x) }, give_body };
	static _Thread_local char values[512u << 10]; /* those that were made anew: a whole head with what is added */
	struct stream *s = stream_of(x);
	struct rewrite rewrite;
	bool date = false, interim = h->status < 200;
	char status[4], now[48];
	size_t n = 0, used = 0, len;
	struct jot jot;
	int rc;

	(void)g;
	rewrite_init(&rewrite, x);
	snprintf(status, sizeof(status), "%u", h->status % 1000u);
	nv[n++] = pair(":status", 7, status, 3);
	for (uint32_t i = 0; i < h->fields_n; i++) {
		const struct http1_field *f = &h->fields[i];

		if (!head_passes(h, f, tell_id))
			continue;
		date |= f->id == HTTP1_F_DATE;
		if (rewrite_wants(&rewrite)) {
			struct rewritten v;
			bool drop;

			if (rewrite_field(&rewrite, f, in, &v, &drop)) {
				len = drop ? 0 : rewritten_text(&v, f, in, values + used, sizeof(values) - used);
				if (len)
					nv[n++] = pair(in + f->name_at, f->name_len, values + used, len);
				used += len;
				continue;
			}
		}
		nv[n++] = pair(in + f->name_at, f->name_len, in + f->value.at, f->value.len);
	}
	if (!date && !interim) {
		memcpy(now, http_date_line(&len), sizeof(now));
		nv[n++] = pair("date", 4, now + 6, len - 8);
	}
	if (rewrite.hsts_len && !interim)
		nv[n++] = pair("strict-transport-security", 25, rewrite.hsts, rewrite.hsts_len);
	if (tell_id)
		nv[n++] = pair("x-request-id", 12, x->id, x->id_len);
	if (x->set_cookie)
		nv[n++] = pair("set-cookie", 10, x->set_cookie, x->set_cookie_n);
	for (enum jot_for reader = 0; reader < JOT_READERS; reader++) {
		if (!jot_answer_begins(&jot, reader, x, h))
			continue;
		for (size_t i = 1; i < n; i++)
			jot_field(&jot, (const char *)nv[i].name, nv[i].namelen, (const char *)nv[i].value, nv[i].valuelen);
		jot_end(&jot, x, h);
	}
	if (!s->told && retell_tells(x->client))
		s->told = xasprintf("%.*s", x->id_len, x->id ? x->id : "");
	x->down.on_trailer = keep_trailer;
	if (interim)
		rc = nghttp2_submit_headers(s->h2->ng, NGHTTP2_FLAG_NONE, s->id, NULL, nv, n, NULL);
	else
		rc = nghttp2_submit_response(s->h2->ng, s->id, nv, n, x->down.done ? NULL : &body);
	(void)rc; /* a stream that is closed meanwhile hears nothing */
	flush_later(s->h2);
}

static void said(struct exchange *x)
{
	struct stream *s = stream_of(x);

	if (s->closed)
		return;
	nghttp2_session_resume_data(s->h2->ng, s->id);
	flush_later(s->h2);
}

static void over(struct exchange *x)
{
	struct stream *s = stream_of(x);

	s->done = true;
	said(x);
	if (!s->closed) {
		/* The rest of the request is of no interest; its window goes back. */
		if (s->unread)
			nghttp2_session_consume(s->h2->ng, s->id, s->unread);
		s->unread = 0;
		stream_deadline(s, STALL_MS);
	}
}

static void aborted(struct exchange *x)
{
	struct stream *s = stream_of(x);

	if (s->closed || s->h2->ended)
		return;
	nghttp2_submit_rst_stream(s->h2->ng, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_INTERNAL_ERROR);
	stream_deadline(s, 0);
	flush_later(s->h2);
}

static const struct exchange_ops exchange_ops = {
	.head = head, .said = said, .await = await, .over = over, .abort = aborted,
};

/* ---- what the client says ---- */

static int on_header(nghttp2_session *ng, const nghttp2_frame *frame, nghttp2_rcbuf *name,
		     nghttp2_rcbuf *value, uint8_t flags, void *arg)
{
	struct stream *s = nghttp2_session_get_stream_user_data(ng, frame->hd.stream_id);
	struct h2 *h2 = arg;
	const struct h2_text_limits max = {
		.head = (size_t)profile_of(h2)->client_max_request_size * 1024 + HEAD_OVERFLOW,
		.field = (size_t)settings_of(h2)->max_http2_header_field_size,
	};

	(void)flags;
	if (!s || s->closed)
		return 0;
	return h2_text_field(&s->text, &max, name, value) < 0 ? NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE : 0;
}

static int on_begin_headers(nghttp2_session *ng, const nghttp2_frame *frame, void *arg)
{
	struct h2 *h2 = arg;
	struct stream *s;

	if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	s = slab_get(&h2->client->worker->streams);
	if (!s) {
		counter_add(&h2->client->service->counters->conn_refused_memory, 1);
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	}
	s->h2 = h2;
	s->id = frame->hd.stream_id;
	s->text.pool = pool_of(h2);
	exchange_init(&s->x, &exchange_ops, h2->client, &s->text.in, &s->out);
	s->x.ip = h2->ip;
	s->x.framed = s->x.keep = true;
	list_init(&s->link);
	list_insert(&h2->streams, &s->link);
	h2->open++;
	h2->idle_ns = 0;
	nghttp2_session_set_stream_user_data(ng, s->id, s);
	stream_deadline(s, (uint64_t)profile_of(h2)->client_header_timeout);
	return 0;
}

static void request_whole(struct stream *s, bool has_body)
{
	struct h2 *h2 = s->h2;
	const struct http2_application_profile *p = settings_of(h2);
	struct http1_limits limits;
	struct http1_head h;

	h2->requests++;
	stream_deadline(s, 0);
	if (!http_speaks_h2(h2->client)) /* not any more: the next request begins another connection */
		goodbye(h2, s->id);
	if (p->max_http2_requests_per_connection &&
	    h2->requests >= (uint32_t)p->max_http2_requests_per_connection)
		goodbye(h2, s->id);
	h2_text_whole(&s->text, has_body);
	exchange_head_init(&s->x, &h, &limits);
	if (s->text.no_room) {
		s->x.up.done = false;
		exchange_malformed(&s->x, &(struct refusal){ 431,
			offsetof(struct service_counters, http_head_large),
			"A header is longer than the limit." });
		return;
	}
	switch (http1_head_parse(&h, exchange_in(&s->x), exchange_in_len(&s->x))) {
	case HTTP1_DONE:
		exchange_begin(&s->x, &h);
		break;
	case HTTP1_REFUSED: {
		struct refusal r = refusal_of(h.error);

		exchange_malformed(&s->x, &r);
		break;
	}
	default: /* what ends with an empty line is whole */
		must(!"a head without an end");
	}
}

static void request_end(struct stream *s)
{
	if (!s->text.chunked || s->done)
		return;
	h2_text_end(&s->text);
	if (s->text.no_room)
		exchange_left(&s->x, -ENOBUFS);
	else
		exchange_body(&s->x);
}

static int on_data(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *data, size_t len,
		   void *arg)
{
	struct stream *s = nghttp2_session_get_stream_user_data(ng, id);
	struct h2 *h2 = arg;

	(void)flags;
	if (!s || s->closed || s->done || s->x.state == EXCHANGE_NONE) {
		nghttp2_session_consume(ng, id, len);
		flush_later(h2);
		return 0;
	}
	s->unread += (uint32_t)len;
	h2_text_data(&s->text, data, len);
	if (s->text.no_room)
		exchange_left(&s->x, -ENOBUFS);
	else
		exchange_body(&s->x);
	return 0;
}

static int on_frame(nghttp2_session *ng, const nghttp2_frame *frame, void *arg)
{
	struct stream *s = nghttp2_session_get_stream_user_data(ng, frame->hd.stream_id);
	struct h2 *h2 = arg;
	bool ends = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;

	if (frame->hd.type == NGHTTP2_HEADERS && s && !s->text.whole)
		request_whole(s, !ends);
	else if ((frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS) && s && ends)
		request_end(s);
	(void)h2;
	return 0;
}

/*
 * A request or DATA in a stream that is over, or was passed by (RFC 9113 section 5.1): nghttp2, which was told to keep none of
 * them, would ignore it. Who has not been told of a reset has no excuse.
 */
static void on_late(struct h2 *h2, int32_t id)
{
	if (id <= 0 || id > h2->last || h2->has_reset || h2->goodbye || nghttp2_session_find_stream(h2->ng, id))
		return;
	counter_add(&h2->client->service->counters->http2_malformed, 1);
	/* Were some passed by, this may be one of them. */
	nghttp2_session_terminate_session(h2->ng, (uint32_t)h2->last == 2 * h2->begun - 1 ? NGHTTP2_STREAM_CLOSED
											   : NGHTTP2_PROTOCOL_ERROR);
}

static int on_head(struct h2 *h2, int32_t id)
{
	if (id <= h2->last) {
		on_late(h2, id);
		return 0;
	}
	h2->last = id;
	h2->begun++;
	return 0;
}

/* Before a frame is understood: those that cost more than they say. */
static int on_begin_frame(nghttp2_session *ng, const nghttp2_frame_hd *hd, void *arg)
{
	struct h2 *h2 = arg;
	const struct http2_application_profile *p = settings_of(h2);
	uint32_t max_control = (uint32_t)p->max_http2_control_frames_per_connection,
		 max_empty = (uint32_t)p->max_http2_empty_data_frames_per_connection;

	(void)ng;
	if (h2->goodbye && !h2->open)
		return 0;
	switch (hd->type) {
	case NGHTTP2_PING:
	case NGHTTP2_SETTINGS:
	case NGHTTP2_RST_STREAM:
	case NGHTTP2_PRIORITY:
		if (max_control && ++h2->control > max_control)
			return flood(h2);
		break;
	case NGHTTP2_HEADERS:
		return on_head(h2, hd->stream_id);
	case NGHTTP2_DATA:
		if (hd->length == 0 && !(hd->flags & NGHTTP2_FLAG_END_STREAM) && max_empty &&
		    ++h2->empty > max_empty)
			return flood(h2);
		break;
	default:
		break;
	}
	return 0;
}

/*
 * The answer is out before the request was in: nobody wants the rest. But who is told so at once, while he sends (curl,
 * for one), takes it for a failure and never looks at the answer. So he may go on for a moment, and his window with him:
 * most are through with it by then.
 */
static int on_sent(nghttp2_session *ng, const nghttp2_frame *frame, void *arg)
{
	struct stream *s = nghttp2_session_get_stream_user_data(ng, frame->hd.stream_id);
	struct h2 *h2 = arg;

	/* It is called when it is asked for the next one: all of it was gathered, and perhaps sent. */
	if (s && s->told && (frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS))
		retell_answers(h2->client, s->told, (ssize_t)h2->gathered - (ssize_t)(FRAME_HEAD + frame->hd.length),
			       FRAME_HEAD + frame->hd.length);
	h2->has_reset |= frame->hd.type == NGHTTP2_RST_STREAM;
	if (s && frame->hd.flags & NGHTTP2_FLAG_END_STREAM &&
	    (frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS) &&
	    nghttp2_session_get_stream_remote_close(ng, s->id) == 0) {
		s->lingers = true;
		stream_deadline(s, LINGER_MS);
	}
	return 0;
}

static int on_stream_close(nghttp2_session *ng, int32_t id, uint32_t code, void *arg)
{
	struct stream *s = nghttp2_session_get_stream_user_data(ng, id);

	(void)code;
	(void)arg;
	if (!s)
		return 0;
	if (!s->text.whole) { /* nghttp2 refused it: it was no request */
		counter_add(&exchange_counters(&s->x)->http_requests, 1);
		counter_add(&exchange_counters(&s->x)->http_client_gone, 1);
	}
	/* The stream's window is gone with it; the connection's is not. */
	if (s->unread)
		nghttp2_session_consume_connection(ng, s->unread);
	s->unread = 0;
	stream_end(s);
	if (s->x.state != EXCHANGE_NONE)
		exchange_left(&s->x, 0);
	flush_later(s->h2);
	return 0;
}

static int on_invalid_frame(nghttp2_session *ng, const nghttp2_frame *frame, int code, void *arg)
{
	struct h2 *h2 = arg;

	(void)ng;
	(void)frame;
	(void)code;
	h2->has_reset = true;
	counter_add(&h2->client->service->counters->http2_malformed, 1);
	return 0;
}

/* ---- events ---- */

/* nghttp2 understands what came. Before a head of DATA it has understood all that was before it: then it is known whose it is. */
static ssize_t understand(struct h2 *h2, const char *in, size_t n)
{
	const uint8_t *p = (const uint8_t *)in;
	size_t fed = 0, at = 0;
	ssize_t rc = 0;

	while (rc >= 0 && h2_frames_next(&h2->frames, p, n, &at, NGHTTP2_DATA)) {
		if (at - 1 > fed)
			rc = nghttp2_session_mem_recv(h2->ng, p + fed, at - 1 - fed);
		fed = at - 1;
		if (rc >= 0)
			on_late(h2, h2_frames_stream(&h2->frames));
	}
	return rc < 0 ? rc : nghttp2_session_mem_recv(h2->ng, p + fed, n - fed);
}

static void readable(struct h2 *h2)
{
	struct conn *c = h2->client;
	char *scratch = c->worker->scratch;
	const struct http2_application_profile *p = settings_of(h2);
	ssize_t n = conn_recv(c, scratch, WORKER_SCRATCH), rc;

	if (n == -EAGAIN)
		return;
	if (n <= 0) {
		c->eof = true;
		/* RFC 9113 has no half-closed connections: who sends no more is gone. */
		h2_end(h2, (int)n, n < 0);
		return;
	}
	counter_add(&c->service->counters->bytes_from_client, (uint64_t)n);
	rc = understand(h2, scratch, (size_t)n);
	if (rc < 0) {
		if (rc == NGHTTP2_ERR_FLOODED || rc == NGHTTP2_ERR_TOO_MANY_CONTINUATIONS ||
		    rc == NGHTTP2_ERR_TOO_MANY_SETTINGS)
			counter_add(&c->service->counters->http2_flood, 1);
		else
			counter_add(&c->service->counters->http2_malformed, 1);
		h2_end(h2, 0, true);
		return;
	}
	if (p->max_http2_queued_frames_to_client_per_connection &&
	    nghttp2_session_get_outbound_queue_size(h2->ng) >
		    (size_t)p->max_http2_queued_frames_to_client_per_connection) {
		counter_add(&c->service->counters->http2_flood, 1);
		h2_end(h2, 0, true);
		return;
	}
	flush_later(h2);
}

static void ready(struct conn *c, uint32_t events)
{
	struct h2 *h2 = c->session;

	if (events & EPOLLERR) {
		h2_end(h2, conn_error(c), true);
		return;
	}
	if (c->shut) { /* goodbye was said: only its end is waited for */
		ssize_t n = conn_recv(c, c->worker->scratch, WORKER_SCRATCH);

		if (n <= 0 && n != -EAGAIN)
			h2_end(h2, 0, false);
		return;
	}
	if (events & EPOLLOUT && c->out) {
		int rc = conn_flush(c);

		if (rc < 0) {
			h2_end(h2, rc, true);
			return;
		}
		if (rc == 0)
			flush_later(h2);
		else
			conn_deadline(c, STALL_MS);
	}
	if (events & (EPOLLIN | EPOLLHUP))
		readable(h2);
}

static void expired(struct conn *c)
{
	struct h2 *h2 = c->session;

	if (c->shut || c->out) {
		h2_end(h2, 0, c->out != NULL);
		return;
	}
	counter_add(&c->service->counters->conn_idle_timeout, 1);
	if (h2->goodbye) {
		h2_end(h2, 0, false);
		return;
	}
	nghttp2_session_terminate_session(h2->ng, NGHTTP2_NO_ERROR);
	h2->goodbye = true;
	flush_later(h2);
}

static void cut(struct conn *c, enum conn_cut why)
{
	struct h2 *h2 = c->session;

	if (why != CONN_CUT_STOP)
		c->reason = RECORD_CUT;
	if (!c->shut) {
		LIST_FOREACH(l, &h2->streams) {
			struct stream *s = LIST_ENTRY(l, struct stream, link);

			if (!exchange_cut(&s->x))
				nghttp2_submit_rst_stream(h2->ng, NGHTTP2_FLAG_NONE, s->id,
							  NGHTTP2_CANCEL);
			s->done = true;
			nghttp2_session_resume_data(h2->ng, s->id);
		}
		nghttp2_submit_goaway(h2->ng, NGHTTP2_FLAG_NONE,
				      nghttp2_session_get_last_proc_stream_id(h2->ng),
				      NGHTTP2_NO_ERROR, NULL, 0);
		flush(h2);
	}
	h2_end(h2, 0, c->out != NULL);
}

static const struct proto_ops h2_proto = {
	.name = "h2", .ready = ready, .expired = expired, .cut = cut,
};

/* One for all sessions of the process, made by the first. */
static nghttp2_session *ng_new(struct h2 *h2)
{
	nghttp2_session_callbacks *callbacks;
	nghttp2_option *option;
	nghttp2_session *ng = NULL;

	must(nghttp2_session_callbacks_new(&callbacks) == 0 && nghttp2_option_new(&option) == 0);
	nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback2(callbacks, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
	nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
	nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, on_begin_frame);
	nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_invalid_frame);
	nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_sent);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
	nghttp2_option_set_no_auto_window_update(option, 1);
	nghttp2_option_set_no_closed_streams(option, 1);
	nghttp2_option_set_max_outbound_ack(option, 1000);
	nghttp2_option_set_max_send_header_block_length(option, HEAD_MAX);
	must(nghttp2_session_server_new2(&ng, callbacks, h2, option) == 0);
	nghttp2_option_del(option);
	nghttp2_session_callbacks_del(callbacks);
	return ng;
}

int h2_accept(struct conn *client)
{
	struct h2 *h2 = slab_get(&client->worker->sessions_h2);
	const struct http2_application_profile *p;
	nghttp2_settings_entry settings[3];
	uint32_t window;
	ssize_t rc;

	if (!h2)
		return -ENOMEM;
	h2->client = client;
	list_init(&h2->streams);
	h2->frames.left = H2_PREFACE_LEN;
	address_ip(&client->peer, h2->ip);
	h2->ng = ng_new(h2);
	client->proto = &h2_proto;
	client->session = h2;
	p = settings_of(h2);
	window = MIN((uint32_t)p->http2_initial_window_size * 1024, WINDOW_MAX);
	settings[0] = (nghttp2_settings_entry){ NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS,
		(uint32_t)p->max_http2_concurrent_streams_per_connection };
	settings[1] = (nghttp2_settings_entry){ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window };
	settings[2] = (nghttp2_settings_entry){ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE,
		(uint32_t)profile_of(h2)->client_max_request_size * 1024 };
	must(nghttp2_submit_settings(h2->ng, NGHTTP2_FLAG_NONE, settings, ARRAY_SIZE(settings)) == 0);
	must(nghttp2_session_set_local_window_size(h2->ng, NGHTTP2_FLAG_NONE, 0, CONN_WINDOW) == 0);
	counter_add(&client->service->counters->http2_connections, 1);
	conn_want_in(client, true);
	deadlines(h2);
	flush_later(h2);
	if (!client->in)
		return 0;
	rc = understand(h2, conn_in(client), conn_in_len(client));
	conn_take(client, conn_in_len(client));
	if (rc < 0) {
		counter_add(&client->service->counters->http2_malformed, 1);
		h2_end(h2, 0, true);
	}
	return 0;
}
