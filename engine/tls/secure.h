/*
 * secure - the TLS that a service speaks with its clients, or a pool with its servers.
 *
 * Made by the main thread from settings (engine/tls/profile.h), immutable and counted. Each worker
 * makes its contexts for itself when the first connection needs them, so that workers share no
 * lock and no certificate, and a thousand services cost nothing until somebody comes. A connection
 * holds its secure to its end: an edit is for the connections after it.
 *
 * Of several certificates a client gets the one for the name that it asks for (SNI): an exact name
 * before a wildcard, the first that is listed before others; who asks for no name, or one that nobody has, gets the
 * first. A certificate with the same names and another type of key goes with it, and the client's abilities
 * choose among the two.
 *
 * Sessions are resumed by tickets; their keys are the engine's, all workers have them, and they
 * change (struct tickets).
 */
#ifndef SPANWIRE_ENGINE_TLS_SECURE_H
#define SPANWIRE_ENGINE_TLS_SECURE_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/arena.h"
#include "net/tls_context.h"

#define SECURE_DIGEST 32

struct secure_names;

struct secure {
	atomic_uint refs;
	struct arena arena;
	struct tls_settings settings;
	const char *scope;            /* sessions are resumed within it only */
	const char *server_name;      /* clients: what is asked for by SNI; NULL: the server's own name */
	bool sni;                     /* clients: it is asked for at all */
	bool broken;                  /* nobody gets a context: what cannot be secured is not served in plaintext */
	unsigned char digest[SECURE_DIGEST]; /* of all this: equal ones do the same */
	struct secure_names *names;   /* servers: of each identity */
	unsigned n_workers;
	SSL_CTX **contexts;           /* [worker][identity]; each belongs to its worker */
};

struct secure_what {
	struct tls_settings settings; /* borrowed for the call */
	const char *scope, *server_name;
	bool sni, broken;
};

/* -EINVAL: a certificate cannot be read, and *OUT is broken. OLD, which may be NULL: taken again when it is the same. */
int secure_new(const struct secure_what *what, unsigned n_workers, struct secure *old, struct secure **out,
	       struct err *e);
struct secure *secure_get(struct secure *s);
/* NULL is legal. On whatever thread. */
void secure_put(struct secure *s);

/* Of worker number WORKER, on its thread. NULL: it cannot be made; said in the log. */
SSL_CTX *secure_context(struct secure *s, unsigned worker);

/* Which identity serves NAME. */
size_t secure_choose(const struct secure *s, const char *name);

/* ---- keys of tickets ---- */

#define TICKETS 4

/* The first one makes tickets; all of them open some. */
struct tickets {
	unsigned n;
	struct ticket_key {
		unsigned char name[16], cipher[32], mac[32];
	} keys[TICKETS];
};

/* A new first key; the last is forgotten. */
void tickets_rotate(struct tickets *t);

#endif
