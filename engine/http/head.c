/*
 * Heads are not parsed into something and printed again. Lines that stay are
 * slices of what was received; neighbours become one slice, so a head usually
 * leaves as two: everything as it came, and our own lines.
 */
#include <strings.h>

#include "base/base.h"
#include "engine/backend.h"
#include "engine/capture/jot.h"
#include "engine/http/exchange.h"
#include "engine/http/rewrite.h"
#include "engine/http/refusal.h"
#include "engine/tls/tls.h"
#include "engine/worker.h"
#include "model/structs.h"

/* The line of field I, with its end. */
static void add_line(struct gather *g, const struct http1_head *h, const char *in, uint32_t i)
{
	uint32_t from = h->fields[i].name_at,
		 to = i + 1 < h->fields_n ? h->fields[i + 1].name_at : h->len - 2;

	gather_add(g, in + from, to - from);
}

static void add_span(struct gather *g, const char *in, struct http1_span s)
{
	gather_add(g, in + s.at, s.len);
}

/* --- to the server --- */

static void request_line(const struct http1_head *h, const char *in, struct gather *g)
{
	if (!h->absolute && h->minor == 1) {
		gather_add(g, in + h->method_text.at, h->fields[0].name_at - h->method_text.at);
		return;
	}
	add_span(g, in, h->method_text);
	gather_literal(g, " ");
	if (h->path.len == 0)
		gather_add(g, h->method == HTTP1_M_OPTIONS ? "*" : "/", 1);
	else if (in[h->path.at] == '?')
		gather_literal(g, "/");
	add_span(g, in, h->path);
	gather_literal(g, " HTTP/1.1\r\n");
}

static void add_client_ip(const struct exchange *x, struct gather *g)
{
	gather_add(g, x->ip, strlen(x->ip));
	gather_literal(g, "\r\n");
}

struct forwarded {
	const char *name;
	size_t len;
	bool on;
	enum xff_update update;
	uint32_t append_to;  /* index of the field; UINT32_MAX: none */
};

static bool is_forwarded(const struct forwarded *x, const struct http1_field *f, const char *in)
{
	return x->on && f->name_len == x->len && strncasecmp(in + f->name_at, x->name, x->len) == 0;
}

static struct forwarded forwarded_init(const struct http_application_profile *p,
				       const struct http1_head *h, const char *in)
{
	struct forwarded x = { .name = p->xff_alternate_name,
			       .on = p->xff_enabled,
			       .update = p->xff_update,
			       .append_to = UINT32_MAX };

	x.len = strlen(x.name);
	/* An operator's typing error must not become another header. */
	if (!http1_is_token(x.name, x.len)) {
		x.name = "X-Forwarded-For";
		x.len = strlen(x.name);
	}
	for (uint32_t i = 0; i < h->fields_n && x.update == APPEND_TO_THE_XFF_HEADER; i++)
		if (is_forwarded(&x, &h->fields[i], in) && !h->fields[i].hop &&
		    h->fields[i].value.len)
			x.append_to = i;
	return x;
}

void head_to_server(const struct exchange *x, const struct http1_head *h, const char *in,
		    struct gather *g)
{
	const struct http_application_profile *p = exchange_profile(x);
	const struct backend *b = x->upstream.server->backend->member.backend;
	const struct forwarded fwd = forwarded_init(p, h, in);
	const struct snapshot_server *server = upstream_server(&x->upstream);
	const struct virtual_service *vs = x->client->listener->snapshot->vs;
	const char *name = server && server->host ? server->host : vs ? vs->host_name_xlate : NULL;
	bool host = false, expect = !p->respond_with_100_continue && h->minor == 1;

	if (name && !*name)
		name = NULL;
	request_line(h, in, g);
	for (uint32_t i = 0; i < h->fields_n; i++) {
		const struct http1_field *f = &h->fields[i];

		if (f->hop || (f->id == HTTP1_F_HOST && (h->absolute || name)) ||
		    (f->id == HTTP1_F_X_REQUEST_ID && !x->id_given) ||
		    (f->id == HTTP1_F_EXPECT && !expect) ||
		    (f->id == HTTP1_F_X_FORWARDED_PROTO && p->x_forwarded_proto_enabled))
			continue;
		host |= f->id == HTTP1_F_HOST;
		if ((f->id != HTTP1_F_OTHER && f->id != HTTP1_F_X_FORWARDED_FOR) || !is_forwarded(&fwd, f, in)) {
			add_line(g, h, in, i);
		} else if (i == fwd.append_to) {
			gather_add(g, in + f->name_at, f->value.at + f->value.len - f->name_at);
			gather_literal(g, ", ");
			add_client_ip(x, g);
		} else if (fwd.update != REPLACE_XFF_HEADERS) {
			add_line(g, h, in, i);
		}
	}
	if (!host) {
		gather_literal(g, "Host: ");
		if (name)
			gather_add(g, name, strlen(name));
		else if (h->absolute)
			add_span(g, in, h->authority);
		else
			gather_add(g, b->name, strlen(b->name));
		gather_literal(g, "\r\n");
	}
	if (fwd.on && fwd.append_to == UINT32_MAX) {
		gather_add(g, fwd.name, fwd.len);
		gather_literal(g, ": ");
		add_client_ip(x, g);
	}
	if (x->id_len && !x->id_given) {
		gather_literal(g, "X-Request-ID: ");
		gather_add(g, x->id, x->id_len);
		gather_literal(g, "\r\n");
	}
	if (p->x_forwarded_proto_enabled && conn_is_tls(x->client))
		gather_literal(g, "X-Forwarded-Proto: https\r\n");
	else if (p->x_forwarded_proto_enabled)
		gather_literal(g, "X-Forwarded-Proto: http\r\n");
	if (x->up.chunked)
		gather_literal(g, "Transfer-Encoding: chunked\r\n");
	if (x->upgrade) {
		for (uint32_t i = 0; i < h->fields_n; i++)
			if (h->fields[i].id == HTTP1_F_UPGRADE)
				add_line(g, h, in, i);
		gather_literal(g, "Connection: upgrade\r\n");
	} else if (x->trailers) {
		gather_literal(g, "TE: trailers\r\nConnection: te\r\n");
	}
	gather_literal(g, "\r\n");
}

/* --- to the client --- */

static void add_keep_alive(const struct http_application_profile *p, struct gather *g)
{
	char line[48];
	int n = snprintf(line, sizeof(line), "Keep-Alive: timeout=%lld\r\n",
			 (long long)p->keepalive_timeout / 1000);

	gather_text(g, line, (size_t)n);
}

static void add_rewritten(struct gather *g, const struct http1_field *f, const char *in, const struct rewritten *v)
{
	gather_add(g, in + f->name_at, f->name_len);
	gather_literal(g, ": ");
	gather_add(g, v->before, v->before_len);
	gather_add(g, v->host, v->host_len);
	gather_add(g, in + f->value.at + v->skip, f->value.len - v->skip);
	for (unsigned i = 0; i < 2 && v->after[i]; i++)
		gather_add(g, v->after[i], strlen(v->after[i]));
	gather_literal(g, "\r\n");
}

bool head_tells_id(const struct exchange *x, const struct http1_head *h)
{
	return exchange_profile(x)->request_id_in_answer && x->id_len && h->status >= 200;
}

#define STATUS_END (sizeof("HTTP/1.1 200") - 1)

bool head_passes(const struct http1_head *h, const struct http1_field *f, bool tell_id)
{
	bool no_body = h->status < 200 || h->status == 204;

	return !f->hop && !(f->id == HTTP1_F_CONTENT_LENGTH && no_body) && !(f->id == HTTP1_F_X_REQUEST_ID && tell_id);
}

void head_to_client(struct exchange *x, const struct http1_head *h, const char *in,
		    struct gather *g)
{
	const struct http_application_profile *p = exchange_profile(x);
	uint32_t first = h->fields_n ? h->fields[0].name_at : h->len - 2;
	bool date = false, interim = h->status < 200, tell_id = head_tells_id(x, h);
	struct rewrite rewrite;
	size_t len;

	rewrite_init(&rewrite, x);
	if (h->minor == 1 && in[STATUS_END] == ' ') {
		gather_add(g, in, first);
	} else { /* the version is that of the sender: ours (RFC 9110 section 2.5); the blank stands also before no reason */
		gather_literal(g, "HTTP/1.1");
		gather_add(g, in + 8, STATUS_END - 8);
		if (in[STATUS_END] != ' ')
			gather_literal(g, " ");
		gather_add(g, in + STATUS_END, first - STATUS_END);
	}
	for (uint32_t i = 0; i < h->fields_n; i++) {
		const struct http1_field *f = &h->fields[i];

		if (!head_passes(h, f, tell_id))
			continue;
		date |= f->id == HTTP1_F_DATE;
		if (rewrite_wants(&rewrite)) {
			struct rewritten v;
			bool drop;

			if (rewrite_field(&rewrite, f, in, &v, &drop)) {
				if (!drop)
					add_rewritten(g, f, in, &v);
				continue;
			}
		}
		add_line(g, h, in, i);
	}
	if (h->status == 101) {
		for (uint32_t i = 0; i < h->fields_n; i++)
			if (h->fields[i].id == HTTP1_F_UPGRADE)
				add_line(g, h, in, i);
		gather_literal(g, "Connection: upgrade\r\n");
	}
	if (!interim) {
		if (!date) {
			const char *line = http_date_line(&len);

			gather_add(g, line, len);
		}
		if (tell_id) {
			gather_literal(g, "X-Request-ID: ");
			gather_add(g, x->id, x->id_len);
			gather_literal(g, "\r\n");
		}
		if (x->set_cookie) {
			gather_literal(g, "Set-Cookie: ");
			gather_text(g, x->set_cookie, x->set_cookie_n);
			gather_literal(g, "\r\n");
		}
		if (rewrite.hsts_len) {
			gather_literal(g, "Strict-Transport-Security: ");
			gather_text(g, rewrite.hsts, rewrite.hsts_len);
			gather_literal(g, "\r\n");
		}
		if (x->down.chunked)
			gather_literal(g, "Transfer-Encoding: chunked\r\n");
		if (!x->keep)
			gather_literal(g, "Connection: close\r\n");
		else if (x->minor == 0)
			gather_literal(g, "Connection: keep-alive\r\n");
		if (x->keep && p->keepalive_header)
			add_keep_alive(p, g);
	}
	gather_literal(g, "\r\n");
	jot_answer(x, h, in, g);
}
