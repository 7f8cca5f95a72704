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
 * is neither cloned nor captured. The entry dies with the socket. Both halves
 * include this file: fixed-width types only.
 *
 * A connection that goes from client to client is not marked for each of them, a system call a request: it wears a badge
 * (struct badge), and whom it serves is written there.
 *
 * A client's connection has no mark: the kernel knows it by the address and
 * port that it comes to (struct leg in abi.h). What pairs it with those to the
 * servers is its id, flow_id(), which both halves make of the same words: the
 * mark of a server's socket carries the id of the client whom it was opened
 * for. A later connection from the same address and port has the same id.
 */
#ifndef SPANWIRE_ENGINE_BPF_MARK_H
#define SPANWIRE_ENGINE_BPF_MARK_H

#include <linux/types.h>

enum {
	MARK_CLONE = 1 << 0,       /* copy this connection to `target` */
	MARK_CLIENT_ADDR = 1 << 1, /* the copy carries `client_addr` instead of the engine's address */
	MARK_FOLLOW = 1 << 2,      /* it is known whose it is, from whichever of its packets on; without MARK_CLONE: no copy */
	MARK_MONITOR = 1 << 3,     /* followed, and a health monitor's own; never copied */

	/* Written by the kernel's half: */
	MARK_ACCEPTED = 1 << 16,   /* the SYN was seen and the flow is in the table */
	MARK_FILTERED = 1 << 17,   /* it is of a client who is not wanted */
	MARK_COUNTED = 1 << 18,    /* among the flows that found the table full */
};

/* `service` of a health monitor: its checks are for whoever has the server. */
#define MARK_MONITORS 0xffffffffu

struct sock_mark {
	__u64 flow_id;         /* of the client's connection; a monitor's: whatever tells its checks apart */
	__u32 flags;
	__u32 service;         /* the warden's number of the virtual service */
	__u32 target;          /* number of the clone target, of the range that the warden gave */
	__u32 generation;      /* that came with the range: a range that was given to another is not followed */
	__u8 client_addr[16];  /* IPv4 as ::ffff:a.b.c.d */
	__be16 client_port;
	__u16 idle_s;          /* UDP, which has no end: the flow is forgotten after such a silence; 0: as others */
	__u16 worker;          /* of the proxy, and one more; 0: none of them */
	__u16 badge;           /* place of what the connection wears from now on; 0: nothing */
};
_Static_assert(sizeof(struct sock_mark) == 48, "the proxy and the kernel agree on it");

/*
 * Whom a connection serves. The proxy writes it, in memory that both halves share, before the connection's next bytes; the
 * programs look there with each packet that leaves. Place 0 is nobody's. The turn is another one whenever the place is
 * given to another connection, so that a flow that ended knows that it is no longer its own.
 */
struct badge {
	__u64 flow_id;         /* written last */
	__u8 client_addr[16];
	__be16 client_port;
	__u16 turn;
	__u32 unused;
};
_Static_assert(sizeof(struct badge) == 32, "two of them in a cache line");
#define BADGES_MAX 65536

/* Addresses and ports as in the packets. SEED is the engine's, so that nobody else can make two clients look like one. */
static inline __attribute__((always_inline)) __u64 flow_id(__u64 seed, const __u8 *client, __be16 client_port,
							    const __u8 *vip, __be16 vip_port, __u8 proto)
{
	__u64 words[5], h = seed;

	__builtin_memcpy(words, client, 16);
	__builtin_memcpy(words + 2, vip, 16);
	words[4] = (__u64)proto << 32 | (__u64)client_port << 16 | vip_port;
	for (int i = 0; i < 5; i++) {
		h = (h ^ words[i]) * 0x9fb21c651e98df25ULL;
		h ^= h >> 29;
	}
	h *= 0xd6e8feb86659fd93ULL;
	h ^= h >> 32;
	return h ? h : 1;
}

#endif
