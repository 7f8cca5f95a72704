/* listen - "ADDR:PORT" or "[ADDR]:PORT" as a listening TCP socket. */
#ifndef SPANWIRE_CONTROLLER_LISTEN_H
#define SPANWIRE_CONTROLLER_LISTEN_H

#include <stddef.h>

#include "base/err.h"

/* Longest "[IPv6]:PORT" and a NUL. */
#define LISTEN_TEXT 64

struct listen_at {
	char host[48]; /* without brackets */
	char text[LISTEN_TEXT]; /* what is bound, with the real port where 0 was asked */
	int port;
};

/* Split SPEC; -EINVAL with a sentence. Only numeric addresses: a name could mean several. */
int listen_parse(const char *spec, struct listen_at *at, struct err *e);
/* Bind and listen, close-on-exec and non-blocking; the descriptor is the caller's. Fills AT. */
int listen_open(const char *spec, struct listen_at *at, struct err *e);

#endif
