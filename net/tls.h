/*
 * tls - TLS 1.3 for streams: who we are, and whom we believe.
 *
 * A struct tls is made once from PEM texts and serves any number of streams.
 * Both sides may show a certificate. What the peer showed is looked at after
 * the handshake with tls_peer(), not during it: a peer with a wrong
 * certificate can so be told why in words, and it is up to the caller never to
 * tell it anything else. There is no session resumption that could skip this.
 */
#ifndef SPANWIRE_NET_TLS_H
#define SPANWIRE_NET_TLS_H

#include <openssl/types.h>

#include "net/stream.h"

#define TLS_FINGERPRINT 65 /* SHA-256 in hex, and a NUL */

struct tls_config {
	bool server;
	const char *certificate; /* PEM, chain behind it; NULL: none (clients only) */
	const char *key;         /* PEM */
	const char *ca;          /* PEM of whom we believe; NULL: nobody */
};

int tls_new(const struct tls_config *c, struct tls **out, struct err *e);
void tls_free(struct tls *t);

struct tls_peer {
	bool present;                 /* it showed a certificate */
	bool trusted;                 /* which leads to our CA, is valid now, and for its role */
	char why[128];                /* when it is not trusted: the reason in words */
	char name[256];               /* its CN; "" when it has none */
	char fingerprint[TLS_FINGERPRINT];
	char root_fingerprint[TLS_FINGERPRINT]; /* of the last certificate that it sent */
};

/* Of an open TLS stream. */
void tls_peer(const struct stream *s, struct tls_peer *out);
/*
 * PEM of the last certificate of the chain that the peer sent: its CA. Caller frees; NULL when
 * there is none.
 */
char *tls_peer_root(const struct stream *s);
/* Of the first certificate in PEM. -EINVAL when there is none. */
int tls_fingerprint(const char *pem, char out[static TLS_FINGERPRINT], struct err *e);

/* A new ECDSA P-256 key, and a signing request for CN with it, as PEM. Caller frees both. */
int tls_request(const char *cn, char **key, char **csr, struct err *e);

extern const struct stream_ops tls_ops;
/* For stream.c: begin TLS on a connected stream. */
int tls_begin(struct stream *s, struct tls *t, struct err *e);

#endif
