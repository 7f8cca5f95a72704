/*
 * inspect - what an operator asks of the machine that an engine runs on, through the controller.
 *
 *	cpu               load, time of each processor and of our processes, in milliseconds
 *	meminfo           memory of the machine and of our processes, in KiB
 *	interface         data interfaces with addresses and the kernel's counters
 *	interfacesummary  the same without the counters
 *	arptable ndtable  neighbours, IPv4 and IPv6
 *	route             routes, with their tables
 *	ipstat icmpstat   the kernel's counters of IP and ICMP
 *	vnicdb            all interfaces, with the VIPs that are announced on them
 *
 * A look into /proc or one question to the kernel: it holds up the loop for less than a commit. What takes longer is in inquiry.h.
 */
#ifndef SPANWIRE_ENGINE_REACH_INSPECT_H
#define SPANWIRE_ENGINE_REACH_INSPECT_H

#include "base/json.h"

struct netlink;

struct inspect {
	struct netlink *netlink;
	int proxy_pid; /* 0: there is none now */
};

/* New reference; NULL: another question. */
json_t *inspect(const struct inspect *i, const char *what);

#endif
