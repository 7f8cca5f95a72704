/*
 * plain - the decrypted copy, as the proxy makes it: what is said to a server and by it becomes packets.
 *
 * A server connection of a service whose clone profile wants the plaintext carries a struct plain_flow. It stands
 * above the connection's stream as another one (struct stream_ops): whatever is sent and received there, by HTTP of any
 * version with the client, by a tunnel or by L4, with TLS below or not, is said again as a TCP conversation
 * (engine/clone/synth.h) and written into the outlet (engine/clone/outlet.h). Production never waits: a write returns at once, and
 * what is not taken is counted.
 *
 * One conversation per server connection, with all requests that go over it; with a choice by host or path only those
 * that fit are in it, and it begins with the first of them. A flow that lost a frame is shed: a RST tells the sensor,
 * and what it would have said from then on is counted as dropped_shed. A flow whose target is gone says and counts nothing.
 */
#ifndef SPANWIRE_ENGINE_CLONE_PLAIN_H
#define SPANWIRE_ENGINE_CLONE_PLAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/clone/mask.h"

struct conn;
struct plain;
struct snapshot;
struct outlet;
struct plain_word;
struct worker;

/* Of a clone profile; in the arena of the snapshot. */
struct plain_rules {
	uint16_t port;             /* of the server, as the copy shows it */
	uint16_t mtu;              /* of the way to the sensors, less what is put around copies */
	struct mask_names masks;
	size_t n_hosts, n_paths;   /* 0: any */
	const char *const *hosts;  /* lower case */
	const char *const *paths;
};

/* What is asked of HTTP: others are not copied under such rules. */
static inline bool plain_wants_http(const struct plain_rules *r)
{
	return r->masks.n || r->n_hosts || r->n_paths;
}

/* One per worker, used on its thread. Takes QUEUE; T, and WORDS by worker, are borrowed for ever. */
struct plain *plain_new(struct worker *w, const struct outlet *t, int queue, const struct plain_word *words);
void plain_free(struct plain *p);

/* C, towards a server, is established for the exchange that it has: from now on it may be copied. */
void plain_attach(struct conn *c);
/* The same for a client's connection, whose protocol begins now; nothing when nobody wants it. */
void plain_attach_client(struct conn *c);
/* An exchange of HTTP begins on C: it is copied, or not. Nothing when C has no flow. */
void plain_exchange(struct conn *c, bool copied);
/* The kernel says that the peer broke it. */
void plain_broken(struct conn *c);
/* Before the descriptor is closed. */
void plain_fini(struct conn *c, bool reset);

#endif
