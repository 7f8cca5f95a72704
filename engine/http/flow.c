#include "engine/http/flow.h"

#include "base/base.h"

#define PIECES 24 /* of one chunk that leaves */

void flow_init(struct flow *f, const struct http1_head *h, bool chunked, bool trailers)
{
	http1_body_init(&f->body, h);
	f->chunked = chunked;
	f->trailers = chunked && trailers;
	f->last_chunk = false;
	f->bytes = 0;
	f->on_trailer = NULL;
	f->done = h->framing == HTTP1_NO_BODY ||
		  (h->framing == HTTP1_LENGTH && h->content_length == 0);
}

static void chunk(struct flow *f, const char *data, const struct http1_span *pieces, size_t n,
		  size_t total, struct gather *g)
{
	char line[20];
	size_t at = sizeof(line);

	if (total == 0)
		return;
	f->bytes += total;
	if (f->chunked) {
		line[--at] = '\n';
		line[--at] = '\r';
		for (size_t left = total; left; left >>= 4)
			line[--at] = "0123456789abcdef"[left & 15];
		gather_text(g, line + at, sizeof(line) - at);
	}
	for (size_t i = 0; i < n; i++)
		gather_add(g, data + pieces[i].at, pieces[i].len);
	if (f->chunked)
		gather_literal(g, "\r\n");
}

static void last_chunk(struct flow *f, struct gather *g)
{
	if (f->chunked && !f->last_chunk)
		gather_literal(g, "0\r\n");
	f->last_chunk = true;
}

static void trailer(struct flow *f, const char *line, size_t len, const struct http1_field *t,
		    struct gather *g)
{
	if (f->on_trailer) {
		if (!t->hop)
			f->on_trailer(f, line, len);
		return;
	}
	last_chunk(f, g);
	if (f->trailers && !t->hop)
		gather_add(g, line, len);
}

static void end(struct flow *f, struct gather *g)
{
	last_chunk(f, g);
	if (f->chunked)
		gather_literal(g, "\r\n");
	f->done = true;
}

size_t flow_gather(struct flow *f, const char *data, size_t len, struct gather *g)
{
	struct http1_span pieces[PIECES];
	size_t used = 0, n = 0, total = 0;

	while (!f->done) {
		struct http1_part part;
		enum http1_result r = http1_body_parse(&f->body, data + used, len - used, &part);
		size_t from = used;

		used += part.used;
		if (r == HTTP1_DATA) {
			pieces[n++] = (struct http1_span){ (uint32_t)from + part.data.at,
							   part.data.len };
			total += part.data.len;
			if (n < PIECES)
				continue;
		}
		chunk(f, data, pieces, n, total, g);
		n = total = 0;
		if (r == HTTP1_TRAILER)
			trailer(f, data + from + part.field.name_at, part.used - part.field.name_at,
				&part.field, g);
		else if (r == HTTP1_DONE)
			end(f, g);
		else if (r != HTTP1_DATA)
			break;
	}
	return used;
}

bool flow_end(struct flow *f, struct gather *g)
{
	if (f->body.framing != HTTP1_UNTIL_CLOSE)
		return false;
	end(f, g);
	return true;
}
