/*
 * idle - server connections between two exchanges: which are kept, which serve again, which are closed.
 *
 * Each worker keeps its own, per server, the one that rested last in front: it is the least likely to have been closed. A
 * connection serves again under the same TLS, source address and clone revision only; and no other client, where copies
 * carry the client's address or the profile does not multiplex. How many rest, how long, and how often one serves is the
 * pool's profile's to say (snapshot_pool.keep).
 */
#ifndef SPANWIRE_ENGINE_IDLE_H
#define SPANWIRE_ENGINE_IDLE_H

struct conn;
struct snapshot;
struct upstream;
struct worker_backend;

/* C, whose exchange for U was clean, rests from now on, or is closed. */
void idle_keep(struct upstream *u, struct conn *c);
/*
 * One of B's that may serve U; it is B's, busy. NULL: there is none. Unless U may be sent twice (u->twice) the server's end
 * was looked at in this call.
 */
struct conn *idle_take(struct upstream *u, struct worker_backend *b);
/* Close what serves nobody any more under S (NULL: nothing is configured). */
void idle_sweep(struct worker_backend *b, const struct snapshot *s);

#endif
