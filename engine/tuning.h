/*
 * tuning - what a TCP profile asks of the kernel's sockets.
 *
 * Values are the kernel's own; zero: as the kernel does by itself. What a kernel refuses
 * (an algorithm that it lacks) stays as it was: the connection works all the same.
 */
#ifndef SPANWIRE_ENGINE_TUNING_H
#define SPANWIRE_ENGINE_TUNING_H

#include <stdbool.h>

struct tcp_proxy_profile;

struct tuning {
	bool nodelay;
	unsigned keepalive_s;        /* silence after which the peer is probed; 0: never */
	unsigned mss;                /* largest segment */
	unsigned syn_retries;
	unsigned user_timeout_ms;    /* unacknowledged data for so long: the connection is over */
	unsigned window;             /* the receive window does not grow beyond, bytes */
	const char *congestion;      /* "reno"; NULL: the system's */
};

/* All but nodelay and keepalive_s. */
void tuning_from(struct tuning *t, const struct tcp_proxy_profile *p);
/* Of a listening socket, whose children inherit it; also back to nothing. ROOM: as below. */
void tuning_listener(const struct tuning *t, int fd, unsigned room, bool v6);
/* Of an accepted socket, what a listener cannot give it. */
void tuning_accepted(const struct tuning *t, int fd);
/* Of a socket that is about to connect. ROOM: the longest IP packet of either direction, headers and all; 0: any. */
void tuning_dial(const struct tuning *t, int fd, unsigned room, bool v6);

#endif
