/*
 * mark - what the proxy says of a server socket, before it connects it.
 *
 * The value of a BPF_MAP_TYPE_SK_STORAGE map whose key is the socket's
 * descriptor. The proxy holds that one map and writes it between socket() and
 * connect():
 *
 *	struct sock_mark m = { .service = ..., .target = first + turn++ % count, ... };
 *	bpf_map_update_elem(maps_fd, &sock, &m, BPF_ANY);
 *
 * so that the SYN is marked already. A socket without a mark is nobody's: it
 * is neither cloned nor captured (health monitors). The entry dies with the
 * socket. Both halves include this file: fixed-width types only.
 */
#ifndef SPANWIRE_ENGINE_BPF_MARK_H
#define SPANWIRE_ENGINE_BPF_MARK_H

#include <linux/types.h>

enum {
	MARK_CLONE = 1 << 0,       /* copy this connection to `target` */
	MARK_CLIENT_ADDR = 1 << 1, /* the copy carries `client_addr` instead of the engine's address */

	/* Written by the kernel's half: */
	MARK_ACCEPTED = 1 << 16,   /* the SYN was seen and the flow is in the table */
};

struct sock_mark {
	__u32 flags;
	__u32 service;         /* the warden's number of the virtual service */
	__u32 target;          /* number of the clone target, of the range that the warden gave */
	__u32 generation;      /* that came with the range: a range that was given to another is not followed */
	__u8 client_addr[16];  /* IPv4 as ::ffff:a.b.c.d */
	__be16 client_port;
	__u16 idle_s;          /* UDP, which has no end: the flow is forgotten after such a silence; 0: as others */
};
_Static_assert(sizeof(struct sock_mark) == 36, "the proxy and the kernel agree on it");

#endif
