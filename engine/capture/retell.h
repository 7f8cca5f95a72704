/*
 * retell - what a worker tells the capture of a service: which request is where, and what is said inside TLS.
 *
 * Notes say for which request a connection is used, so that packets of both legs can be paired; they cost a capture nothing
 * but memory, and without a capture nothing is done. With `plaintext` all that is sent and received on a connection, after
 * and before TLS, is said again as a TCP conversation (engine/clone/synth.h), with 80 as the port of the server, or 8080
 * where the real one is 80, so that nobody takes both for one. A conversation begins with the connection, or with the first
 * request on it after the capture began. HTTP/2 that began before cannot be told from its middle, nobody could read it: of that the
 * heads of requests and answers are told, in the form of HTTP/1, by who jots them down (engine/capture/jot.h).
 */
#ifndef SPANWIRE_ENGINE_CAPTURE_RETELL_H
#define SPANWIRE_ENGINE_CAPTURE_RETELL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct worker_ring;
struct conn;
struct exchange;
struct excerpt_record;

/* The flow's number, which the kernel's side has as well: of a client's connection, and of all that serve it. */
uint64_t retell_flow(const struct conn *client);

/* The way to the warden, of this process; borrowed. */
void retell_worker_ring(const struct worker_ring *c);

/* ---- a connection ---- */

/* C is established, or serves on although a capture began: what is said is told from now on. FROM_MIDDLE: it was used before. */
void retell_attach(struct conn *c, bool from_middle);
/* For conn.h, of a connection with c->retold: RECEIVED bytes at P, or sent of IOV. */
void retell_heard(struct conn *c, const void *p, size_t received);
void retell_said(struct conn *c, const struct iovec *iov, size_t sent);
/* Are only heads told of C, which speaks HTTP/2? */
bool retell_wants_heads(const struct conn *c);
/* M, of C, which wants it; its TEXT is M->len bytes. */
void retell_head(struct conn *c, const struct excerpt_record *m, const char *text);
/* One side says no more. */
void retell_end(struct conn *c, bool ours);
void retell_fini(struct conn *c, bool reset);

/* ---- a request ---- */

/* Its head is there: FRAMED: in frames of HTTP/2. */
void retell_request(struct exchange *x);
/* SERVER is asked for a connection. */
void retell_dialled(struct exchange *x, struct conn *server);
/* It goes to x->upstream.server. */
void retell_sent(struct exchange *x);
void retell_over(struct exchange *x);
/*
 * HTTP/2, where answers share a connection: LEN bytes of the request ID's leave, FROM bytes behind those that CLIENT was sent, or
 * before their end. Asked first: does anybody want to know?
 */
bool retell_tells(const struct conn *client);
void retell_answers(struct conn *client, const char *id, ssize_t from, size_t len);
/* L4: CLIENT has SERVER, now or all the time. */
void retell_pair(struct conn *client, struct conn *server);

#endif
