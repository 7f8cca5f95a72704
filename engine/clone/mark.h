/*
 * mark - telling the kernel whose a server socket is, before it is connected.
 *
 * What is written is a struct sock_mark (engine/bpf/mark.h) in the storage of the socket: which clone target gets the copies
 * of the connection, and for which client it was opened. The map is given to a worker once (worker_post_mark_map());
 * without it, in tests, nothing is marked.
 *
 * CLIENT and VIP are the ends of the client's connection. IDLE_S: seconds of silence after which the flow is over; 0: it has
 * an end of its own (TCP).
 */
#ifndef SPANWIRE_ENGINE_CLONE_MARK_H
#define SPANWIRE_ENGINE_CLONE_MARK_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/address.h"

struct snapshot;
struct snapshot_clone;
struct worker;
struct worker_service;

/* Between socket() and connect() of FD, by S. -ENOENT: there is no map, or no clone target; other -errno from the kernel. */
int mark_put(struct worker_service *ws, int fd, const union address *client, const union address *vip,
	     const struct snapshot *s, unsigned idle_s);
/*
 * FD, which is connected, serves CLIENT from now on: a capture wants to know. What is copied of it stays as it was. When it
 * succeeds, the connection wears the badge (engine/clone/badges.h; 0: none), and whom it serves next is read there.
 */
int mark_follow(struct worker_service *ws, int fd, const union address *client, const union address *vip,
		const struct snapshot *s, unsigned idle_s, uint16_t badge);
/* Index of the clone target of the next flow: they are taken in turn, or by the client's flow. */
uint32_t mark_target(struct worker_service *ws, const struct snapshot_clone *clone, uint64_t flow_id);
/* Which flow of a client a connection of ours belongs to: flow_id() with this engine's seed. */
uint64_t mark_flow_id(const struct worker *w, const union address *client, const union address *vip, bool udp);

#endif
