/*
 * listener - a descriptor that the warden bound, and the clients that come by it.
 *
 * It accepts (UDP: receives) for one service on one worker, as soon as the service has a snapshot: until then clients wait
 * in the kernel. Who is accepted is asked after by admission.h, gets the socket options of the service's profile and is
 * handed to the service's protocol. All of this is called on the worker's thread.
 */
#ifndef SPANWIRE_ENGINE_LISTENER_H
#define SPANWIRE_ENGINE_LISTENER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "engine/address.h"
#include "engine/conn.h"
#include "engine/throttle.h"
#include "net/loop.h"

struct snapshot;
struct worker_service;

struct listener {
	struct watch watch;
	struct list link;                 /* in its service */
	struct grave grave;
	struct worker_service *service;
	uint64_t id;                      /* the warden's number */
	union address address;
	unsigned last;                    /* port of a range; 0: one port */
	struct snapshot *snapshot;        /* what is served here by; borrowed from the service */
	struct timer pause;               /* the kernel had no descriptor left: try again then */
	bool udp;
	struct list flows;                /* UDP */
	struct throttled throttled;       /* UDP */
	uint32_t queue_drops;             /* UDP: as the kernel counted them last */
};

/* S is served by FD too, which is taken; LAST as in the struct. */
void listener_open(struct worker_service *s, uint64_t id, int fd, const union address *a, unsigned last, bool udp);
/* Serve by the service's newest snapshot. */
void listener_follow(struct listener *ls);
/* What it accepted is cut, and counted as cut because of it, unless the worker ends. */
void listener_close(struct listener *ls);
/* Cut those whom LS accepted (NULL: all clients of S, whichever accepted them), by TCP; counts WHY. */
void listener_cut_clients(struct worker_service *s, const struct listener *ls, enum conn_cut why);
/* Client C left every list and is about to be freed: what is counted or bound to it. Called by conn.c. */
void listener_client_gone(struct conn *c);

#endif
