/*
 * sieve - the filter of a capture, which packets of a virtual service it keeps: debug_ip, capture_filters, capture_pkt_filter, debug_hm and
 * an expression, all of which must let a packet pass.
 *
 * debug_ip is asked of a connection: a client's address lets its packets pass on the client leg, and those of the
 * connections to servers that were opened for it; a server's address those of connections to that server, and the client
 * leg of no one. The others look at the packet alone.
 */
#ifndef SPANWIRE_ENGINE_CAPTURE_SIEVE_H
#define SPANWIRE_ENGINE_CAPTURE_SIEVE_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct capture;
struct ipset;
struct sieve;

struct sieve_packet {
	bool monitor;               /* of a health monitor */
	bool whole;                 /* of an engine's own capture: no service is asked for */
	bool is_client_leg, out;
	struct in6_addr client;     /* whose connection this is, or is for; zero: nobody's */
	const uint8_t *data;        /* a frame */
	uint32_t len, wire_len;
};

/* SERVERS: of the service, for whose sake a monitor's packets are its own. -EINVAL with a sentence, for an expression that is none. Nothing of C is kept. */
int sieve_new(const struct capture *c, const struct ipset *servers, struct sieve **out, struct err *e);
void sieve_free(struct sieve *s);
/* Does it keep connections of CLIENT, or, when SERVER is not zero, those to it that were opened for him? */
bool sieve_takes(const struct sieve *s, const struct in6_addr *client, const struct in6_addr *server);
bool sieve_passes(const struct sieve *s, const struct sieve_packet *p);

#endif
