/*
 * datapath - the programs in the kernel, as the warden handles them.
 *
 * One entry program per direction on each data interface (lease gate,
 * classification, clone), and one at the port of each cutter. They
 * are loaded once a process; a configuration change is a map write, never a
 * reload.
 *
 * The programs outlive the warden on purpose: they hold the deadlines that
 * silence its VIPs. datapath_attach() replaces what an earlier warden left on
 * an interface in one step, so put every address that may still be there into
 * the map (datapath_vip_set(), closed) first: then there is no unguarded
 * moment. A clean end is datapath_detach() of every interface, after the
 * addresses are gone.
 */
#ifndef SPANWIRE_ENGINE_BPF_DATAPATH_H
#define SPANWIRE_ENGINE_BPF_DATAPATH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/ip.h"
#include "engine/bpf/abi.h"

struct datapath;

struct datapath_config {
	uint32_t flows_max; /* connections in the flow table; 0: FLOWS_MAX */
	size_t recorder_bytes; /* of all CPUs' slots; fewer than a slot for each: nothing is recorded */
};

/* Loads, attaches nothing. C may be NULL. -EPERM without CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON. */
int datapath_new(const struct datapath_config *c, struct datapath **out, struct err *e);
/* Detaches nothing: see above. */
void datapath_free(struct datapath *d);

/* Both directions of a data interface. Also legal when something of ours is there. */
int datapath_attach(struct datapath *d, int ifindex, struct err *e);
/* Only what has our handle; the clsact qdisc stays when somebody else uses it. 0 also when nothing was there. */
int datapath_detach(int ifindex);
/* The port of a cutter. */
int datapath_attach_cutter(struct datapath *d, int ifindex, struct err *e);
/* The TAP device by which plaintext copies come. */
int datapath_attach_outlet(struct datapath *d, int ifindex, struct err *e);
/* What became of workers' writes into it: PLAIN_WORKERS_MAX struct plain_word, to be mapped. Stays the datapath's. */
int datapath_plain_words_fd(const struct datapath *d);

/* ---- VIPs: an address in the map passes only before its deadlines, and that of all ---- */

/* That of all, which is 0 in the beginning: a store, no system call. */
void datapath_lease_set(struct datapath *d, uint64_t until_ns);
int datapath_vip_set(struct datapath *d, uint32_t vrf, const struct in6_addr *vip, int ifindex, uint64_t own_ns,
		     uint64_t carry_ns);
/* -ENOENT when it is not there. Afterwards the address is unguarded: remove it from the interface first. */
int datapath_vip_delete(struct datapath *d, uint32_t vrf, const struct in6_addr *vip);
/* Packets of the interface are of routing domain VRF; 0: main. */
int datapath_domain(struct datapath *d, int ifindex, uint32_t vrf);

/* ---- ranges of ports ---- */

/*
 * What comes to IP, PROTO (IPPROTO_TCP) and FIRST..LAST by DEVICE (0: any interface) goes to the group of listening socket FD. Its number, or -errno:
 * -ENOSPC when RANGES_MAX are there, others when the kernel cannot do it. Ranges must not overlap.
 */
int datapath_range_add(struct datapath *d, int device, const struct in6_addr *ip, uint8_t proto, uint16_t first,
		       uint16_t last, int fd);
/* The same words, and the number. Before its socket is closed. */
void datapath_range_remove(struct datapath *d, int number, int device, const struct in6_addr *ip, uint8_t proto,
			   uint16_t first, uint16_t last);

/* ---- guards: who is denied before anything of his is looked at ---- */

/* What comes to IP, PROTO and FIRST..LAST by DEVICE (0: any) is looked at by guard NUMBER from now on. -errno. */
int datapath_guard_ports(struct datapath *d, int device, const struct in6_addr *ip, uint8_t proto, uint16_t first,
			 uint16_t last, uint32_t number);
void datapath_unguard_ports(struct datapath *d, int device, const struct in6_addr *ip, uint8_t proto, uint16_t first,
			    uint16_t last);
/* Guard NUMBER denies NET/LEN (of 128 bits), counted at HITS; -ENOSPC. */
int datapath_deny(struct datapath *d, uint32_t number, const struct in6_addr *net, unsigned len, uint32_t hits);
void datapath_undeny(struct datapath *d, uint32_t number, const struct in6_addr *net, unsigned len);
/* Denied since it was cleared. */
uint64_t datapath_hits(struct datapath *d, uint32_t hits);
void datapath_hits_clear(struct datapath *d, uint32_t hits);

/* ---- clients' legs: what is wanted of those who come to a service ---- */

/* Of who comes to IP, PROTO and FIRST..LAST by DEVICE (0: any) LEG is wanted from now on. -errno. */
int datapath_leg_set(struct datapath *d, int device, const struct in6_addr *ip, uint8_t proto, uint16_t first,
		     uint16_t last, const struct leg *leg);
/* Nothing any more; flows that are in the table stay. */
void datapath_leg_clear(struct datapath *d, int device, const struct in6_addr *ip, uint8_t proto, uint16_t first,
			uint16_t last);
/* For flow_id(). */
uint64_t datapath_flow_seed(const struct datapath *d);

/* ---- clone targets ---- */

/* Nothing but copies leaves by this interface: what comes in by it is not heard, but for little (deaf.bpf.h). -errno. */
int datapath_own_exit(struct datapath *d, int ifindex, bool own);

/* A packet's copy goes by what was said before, or by T. */
void datapath_target_set(struct datapath *d, uint32_t slot, const struct target *t);
/* Its encapsulation, before a target with TARGET_WRAP; a frame has the old one or the new one. NULL: it has none. */
int datapath_wrap_set(struct datapath *d, uint32_t slot, const struct wrap *w);
/*
 * Which flows are admitted to the targets that name plan NUMBER; before the first of them does. P's lock and the kernel's
 * own members are nobody's matter. -ENOSPC.
 */
int datapath_plan_set(struct datapath *d, uint32_t number, const struct copy_plan *p, const struct plan_client *clients);
void datapath_plan_clear(struct datapath *d, uint32_t number, const struct plan_client *clients, uint32_t n);
/* The hurt flow number I % HURTS_MAX; its `number` is 0 when there is none yet. */
int datapath_hurt_read(struct datapath *d, uint32_t i, struct hurt *out);
/* Sums over CPUs. They never go back: who reuses a slot subtracts what stood there. */
int datapath_target_read(struct datapath *d, uint32_t slot, struct target_counters *out);

/* ---- taps: packets of services, for captures ---- */

/* A ring of BYTES (a power of two of pages) in SLOT, below TAPS_MAX; its descriptor stays the datapath's. -errno. */
int datapath_tap_open(struct datapath *d, uint32_t slot, uint32_t bytes);
/* Nobody reads it any more; and what was lost in it begins with 0. */
void datapath_tap_close(struct datapath *d, uint32_t slot);
/* Packets of SERVICE (MONITORS: and of all health monitors) go where T says, from now on. */
int datapath_tap_set(struct datapath *d, uint32_t service, const struct tap *t, bool monitors);
void datapath_tap_remove(struct datapath *d, uint32_t service, uint32_t slot);
/* All packets of data interfaces that are WANTED (ENGINE_*; 0: none any more) go where T says. */
int datapath_tap_engine(struct datapath *d, const struct tap *t, uint32_t wanted);
/* Packets that found no room in the ring. Legal from any thread. */
uint64_t datapath_tap_lost(const struct datapath *d, uint32_t slot);

/*
 * A finished frame to the target of SLOT now, by the clone stage, as if it had been copied; OUT: as one that left us. What
 * became of it is in the books. -errno when the kernel did not run the program.
 */
int datapath_trial(struct datapath *d, uint32_t slot, bool out, const void *frame, size_t len);

/* ---- flows ---- */

struct datapath_patience {
	uint64_t linger_ns;       /* so long closed by both sides, or */
	uint64_t idle_ns;         /* so long unused, unless the flow has a time of its own */
	/* Has the kernel a TCP socket for it? Asked of what is idle, or closed by a RST. NULL: no. */
	bool (*lives)(void *arg, const struct flow_key *k, uint32_t ifindex);
	void *arg;
};

/*
 * Looks at up to BUDGET entries, going on where the last call ended, and removes connections that are over. The number of
 * entries removed, or -errno.
 */
int datapath_sweep(struct datapath *d, unsigned budget, const struct datapath_patience *p);
/* The last call did not come to the end of the table. */
bool datapath_is_sweeping(const struct datapath *d);
/* A sweep that began after SINCE_NS has been through the whole table, and there was no flow of these slots. */
bool datapath_flows_none(const struct datapath *d, uint32_t first, uint32_t count, uint64_t since_ns);
/* There is a connection that is copied and that this side has closed, and the other has not yet. Looks at all of them. */
bool datapath_flows_closing(struct datapath *d);

/* ---- the recorder's memory (engine/capture/recorder.h) ---- */

struct recorder_memory {
	const struct recorder_slot *slots; /* of one CPU behind those of the other; NULL: none */
	uint32_t cpus, slice;              /* slots of each */
};

struct recorder_memory datapath_recorder(const struct datapath *d);
/* -errno */
int datapath_record(struct datapath *d, uint32_t service, const struct recorder_share *s);
/* Of the share NUMBER, by CPU: at most MAX of them. */
void datapath_recorder_cursors(const struct datapath *d, uint32_t number, struct recorder_cursor *out, size_t max);
void datapath_record_end(struct datapath *d, uint32_t service);

/* The socket storage map that the proxy is given (engine/bpf/mark.h), and that alone. Stays the datapath's. */
int datapath_marks_fd(const struct datapath *d);
/* The same, to be mapped: engine/clone/badges.h. */
int datapath_badges_fd(const struct datapath *d);

/* Sums over CPUs, indexed by enum gate_counter. */
int datapath_counters(struct datapath *d, uint64_t out[static GATE_COUNTERS]);
/* "gate_arp", "packets", "ARP that ...". */
const char *datapath_counter_name(enum gate_counter c);

/* For tests. */
enum datapath_program { DATAPATH_INGRESS, DATAPATH_EGRESS, DATAPATH_CUT, DATAPATH_PLAIN };
int datapath_program_fd(const struct datapath *d, enum datapath_program p);
int datapath_flows_fd(const struct datapath *d);
int datapath_results_fd(const struct datapath *d);

#endif
