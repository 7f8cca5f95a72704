/*
 * udp - datagrams of clients to servers, and back.
 *
 * A flow is a client's address and port at one listening socket, and the
 * server it was given; it has a connected socket towards that server, so
 * answers find their way, and the kernel tells when nobody listens there. It
 * ends when nothing moved for the profile's time, and moves to another server
 * when its own fell. Per packet, each datagram chooses anew, and a client has
 * a flow for each server that it was sent to.
 *
 * Answers leave by the listening socket, which is bound to the VIP. Where the
 * kernel merges datagrams (GRO) they go on as they are (GSO). What is lost is
 * counted: no room for a flow, no server, a queue that was full.
 *
 * Belongs to the worker's thread. The kernel gives a client's datagrams always
 * to the same worker.
 */
#ifndef SPANWIRE_ENGINE_L4_UDP_H
#define SPANWIRE_ENGINE_L4_UDP_H

#include <stdint.h>

#include "net/loop.h"

struct listener;
struct udp;
struct worker_backend;

#define UDP_FLOWS_MAX 131072 /* per worker */

struct udp *udp_new(void);
/* No flow is left. */
void udp_free(struct udp *u);

/* The `ready` of a listening socket. */
void udp_ready(struct watch *w, uint32_t events);
/* The listening socket is there, or is served by another snapshot. */
void udp_follow(struct listener *ls);
/* A capture wants to know whose the sockets of its flows are. */
void udp_mark(struct listener *ls);
/* All flows of a listening socket, or to a server, end. They are counted in COUNTER, if that is not NULL. */
void udp_cut_listener(struct listener *ls, uint64_t *counter);
void udp_cut_backend(struct worker_backend *b);

#endif
