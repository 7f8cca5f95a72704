/*
 * tls_profile - profiles and certificates of the model as settings of TLS.
 *
 * What services, pools and health monitors refer to becomes a struct tls_settings; its strings are
 * the objects' own, or live in the arena that is given.
 */
#ifndef SPANWIRE_ENGINE_TLS_PROFILE_H
#define SPANWIRE_ENGINE_TLS_PROFILE_H

#include "base/arena.h"
#include "net/tls_context.h"

struct pki_profile;
struct ssl_key_and_certificate;
struct ssl_profile;

/* Where other objects are found: the struct of KIND/UUID, NULL when it is not held. */
struct tls_source {
	const void *(*get)(struct tls_source *s, const char *kind, const char *uuid);
};

/* Versions, ciphers, curves, resumption. P NULL: the library's defaults. */
void tls_profile_ssl(struct tls_settings *t, const struct ssl_profile *p, struct arena *a);
/* Whom to believe. P NULL: everybody. */
void tls_profile_pki(struct tls_settings *t, const struct pki_profile *p, struct arena *a);
/* Certificate with its chain, and key. False: it has no key or no certificate yet (a pending request). */
bool tls_profile_identity(struct tls_identity *id, const struct ssl_key_and_certificate *c, struct tls_source *source,
			  struct arena *a);

#endif
