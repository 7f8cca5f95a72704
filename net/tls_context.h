/*
 * tls_context - an SSL_CTX made from settings in words, and sessions of it without a stream.
 *
 * net/tls.h is for our own link, where both sides are ours. Here are the peers of others: clients
 * and servers of virtual services, servers that a health monitor asks. What a peer shows is verified
 * during the handshake. One context belongs to one thread; a session keeps its context alive.
 *
 * A health monitor over TLS, in the words of this header:
 *
 *	tls_context_new(&settings, &ctx, &e);            once, when the monitor is made
 *	ssl = tls_client(ctx, fd, "www.example.com");    when the socket is connected
 *	rc = tls_shake(ssl, &e);                         until it is not -EAGAIN
 *	n = tls_put(ssl, data, len, &e); n = tls_get(ssl, buffer, size, &e);
 *	tls_end(ssl, true);                              before the descriptor is closed
 *
 * After -EAGAIN wait for EPOLLOUT when tls_wants_out(ssl), else for EPOLLIN. Descriptors are not blocking;
 * SIGPIPE is ignored.
 */
#ifndef SPANWIRE_NET_TLS_CONTEXT_H
#define SPANWIRE_NET_TLS_CONTEXT_H

#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"

struct tls_identity {
	const char *certificate; /* PEM, chain behind it */
	const char *key;         /* PEM, without pass phrase */
};

/* Everything is borrowed for the call. Zeroed: a client of TLS 1.2 and 1.3 that believes everybody. */
struct tls_settings {
	bool server;
	bool no_tls12, no_tls13;
	const char *ciphers;            /* of TLS 1.2, as OpenSSL writes lists; NULL: its default */
	const char *ciphersuites;       /* of TLS 1.3; NULL: its default */
	const char *groups, *sigalgs;   /* "P-256:X25519"; NULL, "", "auto": the library's choice */
	const char *dhparam;            /* PEM; NULL, "": ciphers with DHE are not offered */
	bool prefer_client_ciphers;
	bool no_resumption, no_close_notify;
	unsigned session_s;             /* how long a session may be resumed; 0: the library's default */
	const struct tls_identity *identities; /* one of each type of key */
	size_t n_identities;

	/* Whom we believe. */
	bool verify;
	const char *const *ca;          /* PEM, one or more certificates each */
	size_t n_ca;
	const char *const *crls;        /* PEM */
	size_t n_crls;
	bool crl_check, crl_whole_chain, crl_may_be_expired;
	bool ignore_errors;             /* verified, and then believed all the same */
	bool ignore_peer_chain;         /* intermediates come from CA alone */
	const char *const *hosts;       /* names or addresses, one of which the certificate must carry */
	size_t n_hosts;
};

/* -EINVAL with a sentence that says which setting cannot be. The caller frees by SSL_CTX_free(). */
int tls_context_new(const struct tls_settings *s, SSL_CTX **out, struct err *e);

/* Is there a cipher with a name like TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256? OpenSSL's name for it, or NULL. */
const char *tls_cipher_name(const char *standard_name);

/* ---- why a handshake failed ---- */

#define TLS_CAUSES(X)                                                         \
	X(VERSION, version, "no version of TLS in common")                    \
	X(CIPHER, cipher, "no cipher, group or signature in common")          \
	X(UNTRUSTED, untrusted, "the peer's certificate was not believed")    \
	X(ALERT, alert, "the peer refused")                                   \
	X(NOT_TLS, not_tls, "what the peer sent is not TLS")                  \
	X(CLOSED, closed, "the peer closed the connection")                   \
	X(OTHER, other, "something else")

enum tls_cause {
#define X(upper, lower, text) TLS_CAUSE_##upper,
	TLS_CAUSES(X)
#undef X
};

/* Of the session that just failed; empties the library's queue of errors. E (may be NULL) gets the sentence. */
enum tls_cause tls_why(SSL *ssl, struct err *e);

/* ---- a session over a descriptor ---- */

/*
 * NAME: what the server is asked for by SNI; NULL, or an address: none. The descriptor stays the
 * caller's. NULL: no memory.
 */
SSL *tls_client(SSL_CTX *ctx, int fd, const char *name);
/* 0: done; -EAGAIN; -EPROTO, -ECONNRESET with a sentence ("its certificate is not trusted: ..."). */
int tls_shake(SSL *ssl, struct err *e);
/* Bytes; 0: the peer sends no more; -EAGAIN; -errno with a sentence. */
ssize_t tls_get(SSL *ssl, void *p, size_t n, struct err *e);
ssize_t tls_put(SSL *ssl, const void *p, size_t n, struct err *e);
bool tls_wants_out(const SSL *ssl);
/* SAY: with a close_notify, as far as the socket takes it. NULL is legal. */
void tls_end(SSL *ssl, bool say);

#endif
