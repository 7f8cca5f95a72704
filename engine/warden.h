/*
 * warden - the privileged half of an engine, and what it owns.
 *
 * It hears the controller (link), binds the ports, holds the VIPs under their
 * lease, loads the programs in the kernel, and keeps a proxy running that does
 * the rest. It never reads a byte that a stranger sent.
 */
#ifndef SPANWIRE_ENGINE_WARDEN_H
#define SPANWIRE_ENGINE_WARDEN_H

#include "base/err.h"
#include "engine/link/link.h"
#include "net/loop.h"

struct warden;

struct warden_config {
	struct link_config link;
	unsigned workers;          /* of the proxy */
	int log_level;
	unsigned recorder_mb;      /* memory for the packets of the last while; 0: none are kept */
	unsigned records_mb;       /* memory for what was asked and answered; 0: none */
};

/* -errno with a sentence when this machine or these arguments do not let it work. C's strings are borrowed. */
int warden_new(const struct warden_config *c, struct loop *l, struct warden **out, struct err *e);
/* Starts the proxy, plays what the disk holds, dials. */
void warden_start(struct warden *w);
/* The clean end: VIPs withdrawn, proxy ended, programs detached, bye. */
void warden_free(struct warden *w);

#endif
