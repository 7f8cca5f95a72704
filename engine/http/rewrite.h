/*
 * rewrite - what the profile changes in the fields of an answer, for a client of any version of HTTP:
 * flags of cookies, the scheme and host of redirects, Strict-Transport-Security.
 */
#ifndef SPANWIRE_ENGINE_HTTP_REWRITE_H
#define SPANWIRE_ENGINE_HTTP_REWRITE_H

#include "engine/http/exchange.h"

#define REWRITE_HSTS 80

/* What is asked of each answer, once. */
struct rewrite {
	bool cookies, redirects;   /* such fields are looked at */
	bool secure, http_only;    /* cookies */
	bool to_https;             /* redirects to us by http */
	const char *xlate;         /* the name that servers know us by; NULL: the client's */
	const char *host;          /* ... and what the client calls us */
	size_t host_len;
	char hsts[REWRITE_HSTS];    /* the value; "": none */
	size_t hsts_len;
};

/* A value in pieces: the text before, VALUE from SKIP on, the texts behind. */
struct rewritten {
	const char *before, *host;
	size_t before_len, host_len;
	uint32_t skip;
	const char *after[2];
};

void rewrite_init(struct rewrite *p, const struct exchange *x);
/* Is there anything to look for in the fields of this answer? */
static inline bool rewrite_wants(const struct rewrite *p)
{
	return p->cookies || p->redirects || p->hsts_len;
}

/* Does the field leave in another form? DROP: it does not leave at all. */
bool rewrite_field(const struct rewrite *p, const struct http1_field *f, const char *in, struct rewritten *out, bool *drop);
/* The value in one piece. Bytes of it; 0: it does not fit. */
size_t rewritten_text(const struct rewritten *v, const struct http1_field *f, const char *in, char *out, size_t size);

/* http_to_https: a request that came in plaintext is sent to the service's port of TLS. False: nothing was done. */
bool rewrite_to_https(struct exchange *x, const struct http1_head *h);

#endif
