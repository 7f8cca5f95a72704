/*
 * ports - the listening sockets, which the warden binds and keeps.
 *
 * For each service, address and port there is one socket per worker
 * (SO_REUSEPORT). They are open for as long as the service is to be served,
 * whatever becomes of the proxy: who comes while there is none waits in the
 * kernel. They are bound before their address is there (IP_FREEBIND), so that
 * a VIP that is announced is answered.
 *
 * A range of TCP ports is one socket per worker all the same: the kernel is
 * told to take what comes to the range for it. Answers to datagrams leave by
 * the port that they came to, so a range of UDP ports is a socket per port,
 * each of one worker.
 */
#ifndef SPANWIRE_ENGINE_PORTS_H
#define SPANWIRE_ENGINE_PORTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "engine/address.h"

/* Silence after which the kernel probes a client, unless the service's profile says otherwise. */
#define PORT_KEEPALIVE_S 600

struct ports;

/* One socket, as the proxy is told of it. */
struct port {
	uint64_t id;
	const char *service;      /* uuid */
	union address address;
	unsigned last;            /* port, of a range; else the address's own */
	bool udp;
	int device;               /* as in struct port_want */
	unsigned worker;
	int fd;                   /* stays the table's */
};

struct ports_user {
	void (*opened)(struct ports_user *u, const struct port *p);
	/* Before its descriptor is closed. */
	void (*closed)(struct ports_user *u, const struct port *p);
	/* What comes to P's range is P's group's from now on. A number for unsteer(), or -errno. */
	int (*steer)(struct ports_user *u, const struct port *p);
	void (*unsteer)(struct ports_user *u, const struct port *p, int number);
};

/* What a service listens on; the address carries the (first) port. */
struct port_want {
	union address address;
	unsigned last;            /* 0: one port */
	bool udp;
	int device;               /* only what comes in by this interface; 0: any */
	unsigned idle_s;          /* UDP: a client is gone after such a silence. Not for the socket */
};

#define PORTS_UDP_MAX 4096        /* in one range of UDP */

struct ports *ports_new(unsigned workers, struct ports_user *u);
/* Closes all, without a word. */
void ports_free(struct ports *t);

/*
 * SERVICE listens on exactly these from now on; none: the service is gone. What stays is not touched. Of what cannot be
 * had the rest is opened all the same; the first such is told by the error and its sentence.
 */
int ports_set(struct ports *t, const char *service, const struct port_want *want, size_t n, struct err *e);
void ports_each(struct ports *t, void (*f)(void *arg, const struct port *p), void *arg);

#endif
