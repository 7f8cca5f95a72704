/*
 * polish - what the profile changes in the fields of an answer, for a client of any version of HTTP:
 * flags of cookies, the scheme and host of redirects, Strict-Transport-Security.
 */
#ifndef SPANWIRE_ENGINE_HTTP_POLISH_H
#define SPANWIRE_ENGINE_HTTP_POLISH_H

#include "engine/http/exchange.h"

#define POLISH_HSTS 80

/* What is asked of each answer, once. */
struct polish {
	bool cookies, redirects;   /* such fields are looked at */
	bool secure, http_only;    /* cookies */
	bool to_https;             /* redirects to us by http */
	const char *xlate;         /* the name that servers know us by; NULL: the client's */
	const char *host;          /* ... and what the client calls us */
	size_t host_len;
	char hsts[POLISH_HSTS];    /* the value; "": none */
	size_t hsts_len;
};

/* A value in pieces: the text before, VALUE from SKIP on, the texts behind. */
struct polished {
	const char *before, *host;
	size_t before_len, host_len;
	uint32_t skip;
	const char *after[2];
};

void polish_init(struct polish *p, const struct exchange *x);
/* Is there anything to look for in the fields of this answer? */
static inline bool polish_wants(const struct polish *p)
{
	return p->cookies || p->redirects || p->hsts_len;
}

/* Does the field leave in another form? DROP: it does not leave at all. */
bool polish_field(const struct polish *p, const struct http1_field *f, const char *in, struct polished *out, bool *drop);
/* The value in one piece. Bytes of it; 0: it does not fit. */
size_t polished_text(const struct polished *v, const struct http1_field *f, const char *in, char *out, size_t size);

/* http_to_https: a request that came in plaintext is sent to the service's port of TLS. False: nothing was done. */
bool polish_to_https(struct exchange *x, const struct http1_head *h);

#endif
