/*
 * capture - packets of services, from the kernel's taps to the controller.
 *
 * What runs follows from what the engine holds: an assignment that refers to a `capture`. Each has a thread of its own, so
 * that the warden renews its leases meanwhile: it reads the ring, keeps what passes the sieve, cuts it into frames and
 * stops at its number of packets, exactly. Blocks wait for the link in bounded memory; what finds no room there, or none
 * in the ring, is lost and counted.
 *
 * One with `seconds_before` is of the past: it reads what the recorder has of the service, for `seconds_after` also what it
 * gets, and is over. One with `request_id` has of that only what the two connections of a request carried meanwhile.
 */
#ifndef SPANWIRE_ENGINE_CAPTURE_CAPTURE_H
#define SPANWIRE_ENGINE_CAPTURE_CAPTURE_H

#include <stdbool.h>

#include "net/loop.h"

struct assigned;
struct captures;
struct datapath;
struct link;
struct recorder;
struct records;

/* All borrowed. WORKERS: of the proxy. */
struct captures *captures_new(struct loop *l, struct datapath *d, struct recorder *r, const struct records *requests, struct link *k,
			      unsigned workers);
void captures_free(struct captures *c);

/* Where the proxy's workers put TLS secrets (engine/capture/secrets.h). Stays the captures'. */
int captures_secrets_fd(const struct captures *c);
/* Where they put notes and plaintext (engine/capture/worker_ring.h). */
int captures_worker_ring_fd(const struct captures *c);

/* After a commit: the captures of A begin or end. True: others are wanted of its packets than before. */
bool captures_follow(struct captures *c, struct assigned *a);
/* After a commit, first: captures of the engine itself. True: captures_follow() for all. */
bool captures_follow_engine(struct captures *c);
/* Somebody wants to know the packets of health monitors: their sockets are to be marked. */
bool captures_want_monitors(const struct captures *c);
/* A is dropped. */
void captures_drop(struct captures *c, const struct assigned *a);

#endif
