/*
 * ask - the ways to ask a server how it is, as what a probe calls.
 */
#ifndef SPANWIRE_ENGINE_HEALTH_ASK_H
#define SPANWIRE_ENGINE_HEALTH_ASK_H

#include <stdbool.h>

struct probe;

struct ask_ops {
	/* Send the question. It may be over at once (probe_end). */
	void (*begin)(struct probe *p);
	/* The time is up: probe_end(), which says why. */
	void (*late)(struct probe *p);
	/* Over: give back what begin() took. */
	void (*stop)(struct probe *p);
};

extern const struct ask_ops ask_stream; /* TCP, HTTP, HTTPS: ask_stream.c */
extern const struct ask_ops ask_udp, ask_dns; /* ask_datagram.c */
extern const struct ask_ops ask_ping;   /* ping.c */

#endif
