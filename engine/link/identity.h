/*
 * identity - who this engine is: the name it was given, the uuid, key and certificate that it got
 * when it enrolled.
 *
 * One file, STATE/identity.json, mode 0600, replaced whole: a crash leaves an
 * engine that has joined, or one that has not, and nothing in between.
 */
#ifndef SPANWIRE_ENGINE_LINK_IDENTITY_H
#define SPANWIRE_ENGINE_LINK_IDENTITY_H

#include <stdbool.h>

#include "base/err.h"
#include "net/tls.h"

struct identity {
	char uuid[192];      /* "": has not joined */
	char *key, *certificate, *ca; /* PEM */
};

void identity_fini(struct identity *i);
/*
 * -ENOENT: there is none. -EINVAL: it is damaged, of a newer format, or of an engine with another
 * name.
 */
int identity_load(struct identity *i, const char *path, const char *name, struct err *e);
int identity_save(const struct identity *i, const char *path, const char *name, struct err *e);

/* "swt1.SECRET.FINGERPRINT" without blanks around it. TOKEN takes 160 bytes. */
int token_load(const char *path, char token[static 160], char fingerprint[static TLS_FINGERPRINT],
	       struct err *e);

#endif
