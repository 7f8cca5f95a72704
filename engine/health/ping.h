/*
 * ping - echo requests over two raw sockets that all probes share, and whom a reply is for.
 *
 * The proxy may not make raw sockets: it is given one for ICMP and one for ICMPv6.
 */
#ifndef SPANWIRE_ENGINE_HEALTH_PING_H
#define SPANWIRE_ENGINE_HEALTH_PING_H

#include <stdbool.h>

#include "net/loop.h"

struct pinger;

struct pinger *pinger_new(struct loop *l);
/* No probe uses it any more. */
void pinger_free(struct pinger *g);
/* Takes FD. */
void pinger_socket(struct pinger *g, bool v6, int fd);

/* A raw socket that hears nothing but echo replies; -errno. For whoever may. */
int ping_open(bool v6);

#endif
