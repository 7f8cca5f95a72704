/*
 * jot - a worker jots down excerpts of what is said inside TLS, for the flight recorder (engine/capture/excerpt.h): the
 * first bytes of each message. The same way go the heads of a client's HTTP/2 that a capture found in its middle
 * (engine/capture/retell.h), which are not hidden: whoever captures plaintext may read it.
 *
 * Of HTTP it is the head of a request or an answer, of whatever version, in the form of HTTP/1, as each side got it; nothing
 * of bodies. What the service's log rules hide (engine/http/redaction.h) is hidden before anything is written. Of a stream that
 * nobody understands here it is how each side begins to speak, when the other one spoke before. A service that is not
 * recorded, and a connection without TLS, costs one comparison.
 */
#ifndef SPANWIRE_ENGINE_CAPTURE_JOT_H
#define SPANWIRE_ENGINE_CAPTURE_JOT_H

#include <stdbool.h>
#include <stddef.h>

#include "engine/capture/excerpt.h"

struct conn;
struct exchange;
struct gather;
struct excerpt;
struct http1_head;
struct redaction;

/* The recorder's memory, of this process; borrowed. */
void jot_excerpt(const struct excerpt *g);

/* ---- heads ---- */

/* The request of X, with the head H at IN, is there. */
void jot_request(const struct exchange *x, const struct http1_head *h, const char *in);
/* It leaves for x->upstream.server as G says, which holds its head and nothing else. */
void jot_sent(const struct exchange *x, const struct http1_head *h, const char *in, const struct gather *g);
/* The server's answer, with the head H at IN, is there. */
void jot_answered(const struct exchange *x, const struct http1_head *h, const char *in);
/* An answer with the head H at IN leaves for the client as G says, which holds its head and nothing else. */
void jot_answer(const struct exchange *x, const struct http1_head *h, const char *in, const struct gather *g);

/* The same for a client of HTTP/2, field by field, each reader in his turn. False: he does not want to know. */
#define JOT_TEXT 1920
enum jot_for { JOT_RECORDER, JOT_CAPTURE, JOT_READERS };
struct jot {
	struct conn *conn;
	enum jot_for reader;
	const struct redaction *redaction;
	struct excerpt_record r;
	bool cut;
	char text[JOT_TEXT];
};
bool jot_answer_begins(struct jot *j, enum jot_for reader, const struct exchange *x, const struct http1_head *h);
void jot_field(struct jot *j, const char *name, size_t name_len, const char *value, size_t len);
void jot_end(struct jot *j, const struct exchange *x, const struct http1_head *h);

/* ---- streams ---- */

/* FROM said N bytes at P, which TO is told next; before that TO spoke, or nobody. */
void jot_stream(struct conn *from, struct conn *to, const char *p, size_t n);

#endif
