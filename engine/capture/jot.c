#include "engine/capture/jot.h"

#include "base/base.h"
#include "engine/capture/retell.h"
#include "engine/http/exchange.h"
#include "engine/http/gather.h"
#include "engine/http/redaction.h"
#include "engine/worker.h"
#include "net/packets.h"

#define LOOKED_AT 4096 /* of a head in pieces */

static const struct excerpt *excerpt; /* set before anybody serves */

void jot_excerpt(const struct excerpt *g)
{
	__atomic_store_n(&excerpt, g, __ATOMIC_RELEASE);
}

/* ---- a record ---- */

static void end_of(struct excerpt_end *e, const union address *a, unsigned port)
{
	address_mapped(a, e->addr);
	e->port = (uint16_t)port;
}

static bool wants(enum jot_for reader, const struct conn *c)
{
	const struct snapshot *s = c->service->snapshot;

	if (reader == JOT_CAPTURE)
		return c->retold && retell_wants_heads(c);
	return c->tls && s && s->clone.excerpt && __atomic_load_n(&excerpt, __ATOMIC_ACQUIRE);
}

/* Of C, which is CLIENT's or serves it. False: it is not wanted. */
static bool begin(struct jot *j, enum jot_for reader, struct conn *c, const struct conn *client, enum excerpt_what what, bool out)
{
	const struct snapshot *s = c->service->snapshot;

	if (!wants(reader, c))
		return false;
	j->conn = c;
	j->reader = reader;
	j->redaction = s->redaction;
	j->cut = false;
	j->r = (struct excerpt_record){ .at_ns = mono_ns(), .flow = retell_flow(client), .service = s->clone.service,
				     .nth = reader == JOT_RECORDER ? c->jots++ : 0, .worker = (uint16_t)c->worker->id,
				     .what = (uint8_t)what, .out = out,
				     .leg = c->side == CONN_CLIENT ? PACKETS_CLIENT_LEG : PACKETS_SERVER_LEG };
	end_of(&j->r.client, &client->peer, address_port(&client->peer));
	if (c->side == CONN_CLIENT) {
		j->r.from = j->r.client;
		end_of(&j->r.to, &client->listener->address, client->port);
	} else {
		j->r.from.port = conn_own_port(c);
		memcpy(j->r.from.addr, c->own_ip, sizeof(c->own_ip));
		end_of(&j->r.to, &c->peer, address_port(&c->peer));
	}
	return true;
}

/* MORE: bytes of the message that are not there. */
static void end(struct jot *j, const char *id, size_t id_len, uint64_t more)
{
	j->r.id_len = (uint8_t)id_len;
	j->r.wire = j->r.len + (uint32_t)MIN(MAX(more, (uint64_t)j->cut), (uint64_t)EXCERPT_MORE);
	if (j->reader == JOT_CAPTURE)
		retell_head(j->conn, &j->r, j->text);
	else
		excerpt_put(excerpt, j->conn->service->snapshot->clone.excerpt - 1u, &j->r, id_len ? id : "", j->text);
}

/* ---- its text ---- */

static void put(struct jot *j, const char *p, size_t n)
{
	size_t room = j->reader == JOT_CAPTURE ? JOT_TEXT : EXCERPT_SNAP, fits = j->cut ? 0 : MIN(n, room - j->r.len);

	memcpy(j->text + j->r.len, p, fits);
	j->r.len = (uint16_t)(j->r.len + fits);
	j->cut |= fits < n;
}

#define put_literal(j, s) put(j, s, sizeof(s) - 1)

void jot_field(struct jot *j, const char *name, size_t name_len, const char *value, size_t len)
{
	enum redaction_how how = j->reader == JOT_CAPTURE ? REDACTION_NONE : redaction_header(j->redaction, name, name_len);

	if (how == REDACTION_GONE)
		return;
	put(j, name, name_len);
	put_literal(j, ": ");
	if (how == REDACTION_STARS)
		put_literal(j, REDACTION_TEXT);
	else
		put(j, value, len);
	put_literal(j, "\r\n");
}

/* "GET /path?query HTTP/1.1": what is between the question mark and the last blank is redacted. */
static void first_line(struct jot *j, const char *p, size_t n, bool framed)
{
	const char *query = memchr(p, '?', n), *version = memrchr(p, ' ', n);

	if (query && version > query && j->reader == JOT_RECORDER) {
		size_t len = (size_t)(version - query - 1);
		const char *shown = redaction_query(j->redaction, query + 1, &len);

		put(j, p, (size_t)(query - p) + (len > 0));
		put(j, shown, len);
		n -= (size_t)(version - p);
		p = version;
	}
	if (framed && n >= 8 && memcmp(p + n - 8, "HTTP/1.1", 8) == 0) {
		put(j, p, n - 8);
		put_literal(j, "HTTP/2");
	} else {
		put(j, p, n);
	}
	put_literal(j, "\r\n");
}

/* The head of N bytes at P, or its beginning. FRAMED: it came in frames of HTTP/2. */
static void put_head(struct jot *j, const char *p, size_t n, bool framed)
{
	const char *at = p, *limit = p + n, *eol;

	for (; at < limit && !j->cut && (eol = memchr(at, '\n', (size_t)(limit - at))); at = eol + 1) {
		size_t len = (size_t)(eol - at) - (eol > at && eol[-1] == '\r');
		const char *colon = memchr(at, ':', len), *value;

		if (at == p) {
			first_line(j, at, len, framed);
		} else if (len == 0) {
			put_literal(j, "\r\n");
			return;
		} else if (colon) {
			value = colon + 1;
			while (value < at + len && (*value == ' ' || *value == '\t'))
				value++;
			jot_field(j, at, (size_t)(colon - at), value, (size_t)(at + len - value));
		}
	}
	j->cut = true;
}

/* What of G stands together; NULL: some of it has left already, or it is too long: then it is told as it came. */
static const char *together(const struct gather *g, size_t *n)
{
	static _Thread_local char text[LOOKED_AT];

	*n = 0;
	for (int i = 0; i < g->n; i++) {
		if (*n + g->slices[i].iov_len > sizeof(text))
			return NULL;
		memcpy(text + *n, g->slices[i].iov_base, g->slices[i].iov_len);
		*n += g->slices[i].iov_len;
	}
	return *n == g->bytes ? text : NULL;
}

/* Some bytes, where it is not known how many: what reads it does not wait for them. */
static uint64_t body_of(const struct http1_head *h)
{
	if (h->framing == HTTP1_LENGTH)
		return h->content_length;
	return h->framing != HTTP1_NO_BODY || (h->side == HTTP1_RESPONSE && h->to_head);
}

/* ---- heads ---- */

void jot_request(const struct exchange *x, const struct http1_head *h, const char *in)
{
	struct jot j;

	for (enum jot_for reader = 0; reader < JOT_READERS; reader++) {
		if (!begin(&j, reader, x->client, x->client, EXCERPT_REQUEST, false))
			continue;
		put_head(&j, in, h->len, x->framed);
		end(&j, x->id, x->id_len, body_of(h));
	}
}

void jot_sent(const struct exchange *x, const struct http1_head *h, const char *in, const struct gather *g)
{
	const char *text;
	struct jot j;
	size_t n;

	if (!begin(&j, JOT_RECORDER, x->upstream.server, x->client, EXCERPT_REQUEST, true))
		return;
	j.r.retry = (uint16_t)(x->upstream.tries + x->reselects);
	text = together(g, &n);
	put_head(&j, text ? text : in, text ? n : h->len, false);
	end(&j, x->id, x->id_len, body_of(h));
}

void jot_answered(const struct exchange *x, const struct http1_head *h, const char *in)
{
	struct jot j;

	if (!begin(&j, JOT_RECORDER, x->upstream.server, x->client, EXCERPT_ANSWER, false))
		return;
	put_head(&j, in, h->len, false);
	end(&j, x->id, x->id_len, body_of(h));
}

void jot_answer(const struct exchange *x, const struct http1_head *h, const char *in, const struct gather *g)
{
	const char *text;
	struct jot j;
	size_t n;

	if (!begin(&j, JOT_RECORDER, x->client, x->client, EXCERPT_ANSWER, true))
		return;
	text = together(g, &n);
	put_head(&j, text ? text : in, text ? n : h->len, false);
	end(&j, x->id, x->id_len, body_of(h));
}

bool jot_answer_begins(struct jot *j, enum jot_for reader, const struct exchange *x, const struct http1_head *h)
{
	char line[24];

	if (!begin(j, reader, x->client, x->client, EXCERPT_ANSWER, true))
		return false;
	put(j, line, (size_t)snprintf(line, sizeof(line), "HTTP/2 %u\r\n", h->status % 1000u));
	return true;
}

void jot_end(struct jot *j, const struct exchange *x, const struct http1_head *h)
{
	put_literal(j, "\r\n");
	end(j, x->id, x->id_len, body_of(h));
}

/* ---- streams ---- */

/* HTTP that nobody reads here: its heads are redacted all the same. */
static bool is_http(const char *p, size_t n)
{
	const char *eol = memchr(p, '\n', n);

	return (n > 7 && memcmp(p, "HTTP/1.", 7) == 0) || (eol && eol - p > 10 && memmem(p, (size_t)(eol - p), " HTTP/1.", 8));
}

static void say(struct conn *c, const struct conn *client, bool out, const char *p, size_t n)
{
	struct jot j;

	if (!begin(&j, JOT_RECORDER, c, client, EXCERPT_STREAM, out))
		return;
	if (is_http(p, n))
		put_head(&j, p, n, false);
	else
		put(&j, p, n);
	end(&j, "", 0, n > j.r.len ? n - j.r.len : 0);
}

void jot_stream(struct conn *from, struct conn *to, const char *p, size_t n)
{
	const struct conn *client = from->side == CONN_CLIENT ? from : to;

	say(from, client, false, p, n);
	say(to, client, true, p, n);
}
