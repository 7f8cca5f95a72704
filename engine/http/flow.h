/*
 * flow - a body on its way from one side to the other.
 *
 * It is read by net/http1 and framed anew: a chunked body leaves in chunks of
 * our own making, whatever the chunks were that came, without extensions.
 */
#ifndef SPANWIRE_ENGINE_HTTP_FLOW_H
#define SPANWIRE_ENGINE_HTTP_FLOW_H

#include "engine/http/gather.h"
#include "net/http1.h"

struct flow {
	struct http1_body body;
	bool chunked;      /* leaves in chunks */
	bool trailers;     /* trailers are passed on */
	bool last_chunk;   /* it was put out */
	bool done;         /* all of it was put out */
	uint64_t bytes;    /* of data */
	/* Set after flow_init(): gets the trailer lines in place of the receiver's stream of bytes. */
	void (*on_trailer)(struct flow *f, const char *line, size_t len);
};

/* CHUNKED: the receiver does not learn the length otherwise. */
void flow_init(struct flow *f, const struct http1_head *h, bool chunked, bool trailers);
/*
 * Put into G what stands in the LEN bytes at DATA. Bytes that are done with; the rest is wanted
 * again with more behind it. f->body.error is set when the body cannot be understood.
 */
size_t flow_gather(struct flow *f, const char *data, size_t len, struct gather *g);
/* The sender closed. False: that was too early. */
bool flow_end(struct flow *f, struct gather *g);

#endif
