/*
 * lines - JSON objects over a stream of bytes, one a line.
 *
 * A line ends with a newline; a carriage return is a blank to JSON and stays one.
 * Empty lines are passed over. A line that is longer than LINE_MAX_BYTES, or is not one JSON
 * object with a string `type`, ends the conversation: whoever speaks so is broken. Whether the
 * bytes come from a stream, a socketpair or a fuzzer is no matter here.
 */
#ifndef SPANWIRE_NET_LINES_H
#define SPANWIRE_NET_LINES_H

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "net/stream.h"

#define LINE_MAX_BYTES (4u << 20)

/*
 * Take the next whole line from B. 1: *MSG is a new reference and *TYPE is borrowed from it; 0:
 * there is no whole line yet; -EINVAL or -EMSGSIZE with a sentence. *SCANNED: where to look for
 * the newline next, 0 at first; it belongs to B, and spares a long line from being searched again
 * with each piece that comes.
 */
int lines_take(struct buf *b, size_t *scanned, json_t **msg, const char **type, struct err *e);

/* Canonical text and a newline at the end of B. Takes MSG. */
void lines_put(struct buf *b, json_t *msg);

/*
 * Write MSG to S (not flushed). Takes MSG. The bytes that it took; 0 when the stream is not open.
 */
size_t lines_send(struct stream *s, json_t *msg);

#endif
