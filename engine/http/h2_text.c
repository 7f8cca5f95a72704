#include "engine/http/h2_text.h"

#include <errno.h>

#include "base/base.h"
#include "engine/http/gather.h"
#include "net/http1.h"

#define CHUNK_LINE 20

static void put(struct h2_text *t, struct buffer **b, const void *p, size_t n)
{
	struct gather g;

	if (t->no_room)
		return;
	gather_into(&g, t->pool, b);
	gather_add(&g, p, n);
	t->no_room = gather_send(&g, false) < 0;
}

#define put_literal(t, b, text) put(t, b, text, sizeof(text) - 1)

static void put_buffer(struct h2_text *t, const struct buffer *from)
{
	put(t, &t->in, from->data + from->start, buffer_len(from));
}

static void put_rcbuf(struct h2_text *t, struct buffer **b, nghttp2_rcbuf *r)
{
	nghttp2_vec v = nghttp2_rcbuf_get_buf(r);

	put(t, b, v.base, v.len);
}

static void put_line(struct h2_text *t, struct buffer **b, nghttp2_vec name, nghttp2_vec value)
{
	put(t, b, name.base, name.len);
	put_literal(t, b, ": ");
	put(t, b, value.base, value.len);
	put_literal(t, b, "\r\n");
}

/* Pseudo-header fields come first (nghttp2 sees to it): now they are all there. */
static void request_line(struct h2_text *t)
{
	t->begun = true;
	put_rcbuf(t, &t->in, t->method);
	put_literal(t, &t->in, " ");
	if (t->scheme) { /* one that the codec is to judge */
		put_rcbuf(t, &t->in, t->scheme);
		put_literal(t, &t->in, "://");
		if (t->authority)
			put_rcbuf(t, &t->in, t->authority);
	}
	if (t->path)
		put_rcbuf(t, &t->in, t->path);
	else if (t->authority) /* CONNECT */
		put_rcbuf(t, &t->in, t->authority);
	put_literal(t, &t->in, " HTTP/1.1\r\n");
	if (t->authority) {
		put_literal(t, &t->in, "Host: ");
		put_rcbuf(t, &t->in, t->authority);
		put_literal(t, &t->in, "\r\n");
	}
}

static bool is(nghttp2_vec v, const char *text)
{
	return v.len == strlen(text) && memcmp(v.base, text, v.len) == 0;
}

/* Nothing that could end a line, or a word of the request line. nghttp2 looks, too. */
static bool is_clean(nghttp2_vec v)
{
	for (size_t i = 0; i < v.len; i++)
		if (v.base[i] == '\r' || v.base[i] == '\n' || v.base[i] == 0)
			return false;
	return true;
}

static void pseudo(struct h2_text *t, nghttp2_vec name, nghttp2_rcbuf *value)
{
	nghttp2_rcbuf **to = is(name, ":method") ? &t->method : is(name, ":path") ? &t->path
			   : is(name, ":authority") ? &t->authority : is(name, ":scheme") ? &t->scheme : NULL;
	nghttp2_vec v = nghttp2_rcbuf_get_buf(value);

	if (!to || *to || (to == &t->scheme && (is(v, "http") || is(v, "https"))))
		return;
	for (size_t i = 0; i < v.len; i++) /* a blank would make another request of it */
		t->no_room |= v.base[i] <= ' ';
	nghttp2_rcbuf_incref(value);
	*to = value;
}

/* Those of the head, but for pseudo-header fields. */
static void line(struct h2_text *t, const struct h2_text_limits *max, nghttp2_vec name, nghttp2_vec value)
{
	if (buffer_len(t->in) + buffer_len(t->late) > max->head)
		return; /* too large already: the codec says so */
	if (is(name, "cookie")) { /* RFC 9113 section 8.2.3 */
		if (t->late)
			put_literal(t, &t->late, "; ");
		put(t, &t->late, value.base, value.len);
		return;
	}
	if (is(name, "host") && t->authority) {
		nghttp2_vec a = nghttp2_rcbuf_get_buf(t->authority);

		if (a.len == value.len && memcmp(a.base, value.base, value.len) == 0)
			return;
	}
	if (name.len > max->field || value.len > max->field)
		value.len = name.len = 0, t->no_room = true;
	t->has_length |= is(name, "content-length");
	put_line(t, &t->in, name, value);
	if (is(name, "te"))
		put_literal(t, &t->in, "Connection: te\r\n");
}

int h2_text_field(struct h2_text *t, const struct h2_text_limits *max, nghttp2_rcbuf *name, nghttp2_rcbuf *value)
{
	nghttp2_vec n = nghttp2_rcbuf_get_buf(name), v = nghttp2_rcbuf_get_buf(value);

	if (!is_clean(v))
		return -EINVAL;
	if (t->whole) { /* trailers */
		if (buffer_len(t->late) < HTTP1_TRAILER_MAX)
			put_line(t, &t->late, n, v);
		return 0;
	}
	if (n.len && n.base[0] == ':') {
		pseudo(t, n, value);
		return t->no_room ? -EINVAL : 0;
	}
	/* nghttp2 will refuse the stream, when one of them comes late or at the end. */
	if (!t->method)
		return 0;
	if (!t->begun)
		request_line(t);
	line(t, max, n, v);
	return 0;
}

void h2_text_whole(struct h2_text *t, bool has_body)
{
	must(t->method);
	if (!t->begun)
		request_line(t);
	if (t->late) {
		put_literal(t, &t->in, "Cookie: ");
		put_buffer(t, t->late);
		put_literal(t, &t->in, "\r\n");
		buffer_put(t->pool, t->late);
		t->late = NULL;
	}
	t->chunked = has_body && !t->has_length;
	if (t->chunked)
		put_literal(t, &t->in, "Transfer-Encoding: chunked\r\n");
	put_literal(t, &t->in, "\r\n");
	t->whole = true;
}

void h2_text_data(struct h2_text *t, const void *data, size_t len)
{
	char size[CHUNK_LINE];

	if (t->chunked)
		put(t, &t->in, size, (size_t)snprintf(size, sizeof(size), "%zx\r\n", len));
	put(t, &t->in, data, len);
	if (t->chunked)
		put_literal(t, &t->in, "\r\n");
}

void h2_text_end(struct h2_text *t)
{
	put_literal(t, &t->in, "0\r\n");
	if (t->late)
		put_buffer(t, t->late);
	put_literal(t, &t->in, "\r\n");
}

void h2_text_fini(struct h2_text *t)
{
	nghttp2_rcbuf **words[] = { &t->method, &t->path, &t->authority, &t->scheme };

	buffer_put(t->pool, t->in);
	buffer_put(t->pool, t->late);
	t->in = t->late = NULL;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (*words[i])
			nghttp2_rcbuf_decref(*words[i]);
		*words[i] = NULL;
	}
}
