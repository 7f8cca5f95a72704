/*
 * sockets - does the kernel have a socket for a connection? Asked of its table of sockets (NETLINK_SOCK_DIAG).
 */
#ifndef SPANWIRE_ENGINE_REACH_SOCKETS_H
#define SPANWIRE_ENGINE_REACH_SOCKETS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/ip.h"
#include "engine/bpf/abi.h"

/* A descriptor to ask by; -errno. */
int sockets_open(void);
/* A TCP connection, of one that came by IFINDEX or is bound to it; one that only waits for its time to pass is none. */
bool sockets_have(int fd, const struct flow_key *k, uint32_t ifindex);
/*
 * Does a TCP connection run from LOCAL? One that is closed and only waits for its time to pass does not. The kernel walks all its
 * sockets: a matter of milliseconds, for once a second. Asked of no descriptor.
 */
bool sockets_run_from(const struct in6_addr *local);

#endif
