/*
 * names - what the addresses in a capture are called, for whoever reads the file: the name resolution block of pcapng.
 *
 * A VIP has the name of its service, a server POOL/HOSTNAME, an engine's address ENGINE/INTERFACE. At most 1,024.
 */
#ifndef SPANWIRE_CONTROLLER_CAPTURE_NAMES_H
#define SPANWIRE_CONTROLLER_CAPTURE_NAMES_H

#include "controller/capture/pcapng.h"
#include "controller/store/store.h"

struct names {
	struct pcapng_name *at;
	size_t n;
	struct store *store;      /* borrowed */
};

/* Those of virtual service VS (a uuid; one that is none has no names), as they are now. For names_free(). */
struct names names_of(struct store *s, const char *vs);
void names_free(struct names *n);

#endif
