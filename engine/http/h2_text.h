/*
 * h2_text - what a client says in one stream of HTTP/2, written down in the form of HTTP/1.
 *
 * The one strict codec reads it like any other head, so that a stream can say nothing that a connection of HTTP/1 could not:
 * nothing comes into it that could end a line, or a word of the request line. A body without a length stands in chunks.
 */
#ifndef SPANWIRE_ENGINE_HTTP_H2_TEXT_H
#define SPANWIRE_ENGINE_HTTP_H2_TEXT_H

#include <nghttp2/nghttp2.h>
#include <stdbool.h>

#include "engine/buffer.h"

struct h2_text {
	struct buffer_pool *pool;
	nghttp2_rcbuf *method, *path, *authority;
	nghttp2_rcbuf *scheme;  /* but http(s) */
	struct buffer *in;      /* what was written, for the codec to take */
	struct buffer *late;    /* lines that come later: cookies, or trailers */
	bool begun;             /* the request line is there */
	bool whole;             /* so is the head: what comes are trailers */
	bool has_length, chunked;
	bool no_room;           /* something was too long, or there is no memory: what stands there is not all */
};

/* Bytes: a head that is larger is not written to its end, which the codec will see. Of one field. */
struct h2_text_limits {
	size_t head, field;
};

/* All zero but for POOL is a fresh one. */
void h2_text_fini(struct h2_text *t);

/* One field, also of the trailers. -EINVAL: the stream is to be refused. */
int h2_text_field(struct h2_text *t, const struct h2_text_limits *max, nghttp2_rcbuf *name, nghttp2_rcbuf *value);
/* That was the head; there is a method (nghttp2 sees to it). */
void h2_text_whole(struct h2_text *t, bool has_body);
void h2_text_data(struct h2_text *t, const void *data, size_t len);
/* That was the body, and its trailers. */
void h2_text_end(struct h2_text *t);

#endif
