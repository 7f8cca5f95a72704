/*
 * tls - TLS under a connection: a handshake first, then bytes as records.
 *
 * What a connection means (l4, http) does not know of it: tls_serve() stands between accept and
 * proto->accepted(), tls_dial() between connect and hand-over, and stream_tls is a struct stream_ops like
 * another. Epoll knows nothing of bytes that were decrypted and not read: who wants EPOLLIN hears of them all
 * the same.
 *
 * Handshakes that are under way have a deadline and a limit per worker; beyond it the oldest ends, and
 * each end is counted by its cause (tls_* in counters.def). A client that has not sent anything costs no
 * session yet.
 */
#ifndef SPANWIRE_ENGINE_TLS_TLS_H
#define SPANWIRE_ENGINE_TLS_TLS_H

#include <openssl/types.h>

#include "engine/conn.h"

struct hello;
struct record;
struct secure;
struct ssl_session_st; /* SSL_SESSION */
struct snapshot;

#define TLS_SHAKE_MS    10000 /* for a handshake */
#define TLS_SHAKING_MAX 4096  /* handshakes under way, per worker */

struct conn_tls {
	struct conn *conn;
	SSL *ssl;                     /* NULL: the client has sent nothing yet */
	struct secure *secure;        /* a reference */
	struct list shaking;          /* in worker->shaking, the oldest first */
	uint32_t retry;               /* bytes of the record that the kernel did not take */
	uint32_t burst;               /* bytes sent since it was silent */
	uint64_t sent_ns;
	struct hello *hello;          /* client: what it is known by; NULL: nobody asks. Its own */
	bool done;                    /* shaken */
	bool http;                    /* the client speaks HTTP in plain text */
	bool more;                    /* decrypted bytes wait */
	bool parked;                  /* reading waits until something can be written */
	bool ending;                  /* close_notify waits until it can be written */
	bool follows;                 /* another record comes at once */
};

extern const struct stream_ops stream_tls;

/* Serve a client: handshake, then accepted() of the newest snapshot's proto. C->proto is ours meanwhile. */
void tls_serve(struct conn *client);
/*
 * Begin with a server that is connected; NAME: what it is asked for by SNI, or NULL. -ENOMEM. Then tls_shake_on()
 * at each event: 0: done, 1: not yet (what it waits for is wanted), -errno: failed and counted.
 */
int tls_dial(struct conn *server, struct secure *s, const char *name);
int tls_shake_on(struct conn *c);

/* What the client chose by ALPN: "h2", "http/1.1"; "" when nothing. LEN may be NULL. Not terminated. */
const char *conn_alpn(const struct conn *c, unsigned *len);
/* The name that the client asked for by SNI, or NULL. */
const char *conn_sni(const struct conn *c);
/* What was agreed on, into a record. Nothing when the connection is plain. */
void tls_note(const struct conn *c, struct record *rec);
static inline bool conn_is_tls(const struct conn *c)
{
	return c->tls != NULL;
}

/* ---- for conn.c ---- */

/* What of EVENTS the proto should hear. */
uint32_t tls_events(struct conn *c, uint32_t events);
/* EPOLLIN is wanted, or not. */
void tls_wanted_in(struct conn *c, bool yes);
/* Before the descriptor is closed. SAY: with a close_notify. */
void tls_fini(struct conn *c, bool say);

/* ---- for secure.c ---- */

struct secure *conn_secure(const struct conn *c);
/* Protocols as ALPN writes them, in our order; NULL: none. */
const char *conn_alpn_offer(const struct conn *c);
/* 1: the reference to SESSION is kept. */
int tls_session_kept(struct conn *c, struct ssl_session_st *session);

#endif
