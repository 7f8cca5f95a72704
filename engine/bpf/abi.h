/*
 * abi - what the warden and the programs in the kernel say to each other: keys and values of the maps.
 *
 * Both halves include it: fixed-width types, no holes. Addresses are 16 bytes,
 * IPv4 as ::ffff:a.b.c.d; ports and MAC addresses as on the wire. Times are
 * CLOCK_MONOTONIC nanoseconds.
 */
#ifndef SPANWIRE_ENGINE_BPF_ABI_H
#define SPANWIRE_ENGINE_BPF_ABI_H

#include <linux/bpf.h>
#include <linux/types.h>

#include "engine/bpf/mark.h"

/*
 * A map of the VIPs that this engine knows of, held or not: an address that is not in it is nobody's business. The same
 * address may be another VIP in another routing domain (`vrf`, the number of its table; 0: main).
 */
struct vip_key {
	__u32 vrf;
	__u8 addr[16];
};
_Static_assert(sizeof(struct vip_key) == 20, "no holes");

/*
 * A deadline that has passed is a closed gate, as is the one of all leases (`lease_ns`); 0 is closed from the beginning,
 * VIP_OPEN is open as long as the lease of all.
 * OWN is for answering ARP and neighbour solicitations, CARRY for packets:
 * one engine answers, several may carry one day.
 */
#define VIP_OPEN (~0ull)
struct vip_lease {
	__u64 own_ns;
	__u64 carry_ns;
	__u32 ifindex; /* where the VIP lives; nothing speaks for it on another interface */
	__u32 unused;
};
_Static_assert(sizeof(struct vip_lease) == 24, "no holes");

/* A connection as the engine sees it, one entry for both directions. */
struct flow_key {
	__u32 vrf;
	__u16 proto;
	__u16 unused;
	__u8 local[16];
	__u8 remote[16];
	__be16 local_port;
	__be16 remote_port;
};
_Static_assert(sizeof(struct flow_key) == 44, "no holes");

enum {
	FLOW_CLONE = 1 << 1,
	FLOW_CLIENT_ADDR = 1 << 2, /* `client_addr` goes into the copy */
	FLOW_CLIENT = 1 << 3,      /* it is a client's; without: it is to a server */
	FLOW_MONITOR = 1 << 4,     /* to a server, a health monitor's */
	FLOW_SAME_MAC = 1 << 5,    /* to a server whose MAC address is the clone server's as well */
};

enum { FLOW_IN, FLOW_OUT };        /* to the engine, from it */
enum { CLOSED_FIN = 1, CLOSED_RST }; /* a RST may be made up: its flow is over when its socket is gone */

struct flow {
	__u64 id;         /* flow_id() */
	__u64 seen_ns;    /* last packet, with a grain of a second */
	__u64 closing_ns; /* the last FIN or RST */
	__u32 flags;
	__u32 service;
	__u32 target;
	__u32 generation;
	__u8 client_addr[16];
	__be16 client_port;
	__u16 idle_s;     /* from the mark, or the leg */
	__u8 closed[2];   /* by direction: what was seen, 0: neither. Bytes, because each direction has a CPU of its own */
	__u16 worker;     /* of the proxy, and one more; 0: not known */
	__u32 hurt;       /* number of its entry among the hurt; 0: it is whole */
	__u16 fate;       /* of all its frames: a counter's number in struct target_counters; 0: they are copied */
	__u16 hash;       /* of addresses and ports */
	__u32 ifindex;    /* where it was seen first */
	__u32 badge;      /* what it wears: the place, and above it the turn; 0: nothing */
};
_Static_assert(sizeof(struct flow) == 80, "no holes, and no more than a kernel object of 192 bytes holds");

/*
 * What is wanted of the clients of an address and port: a service that wants nothing of them has none. Their SYN and the
 * answer to it go by this alone, so that a flood makes no flows; a connection becomes one by the client's first packet
 * after the answer. Which of the clone targets it goes to, its id says.
 */
enum {
	LEG_CLONE = 1 << 0,        /* copy them, to one of `count` targets from `first` on */
	LEG_FOLLOW = 1 << 1,       /* it is known whose their packets are, also of connections older than this */
};

struct leg {
	__u64 since_ns;   /* that it is as it is: who began before has his connection not copied */
	__u32 flags;
	__u32 service;
	__u32 first;
	__u32 count;
	__u32 generation;
	__u32 idle_s;     /* UDP, as in the mark */
};
_Static_assert(sizeof(struct leg) == 32, "no holes");

/* Handshakes that began after `since_ns`, while there may be others under way. */
#define BEGUN_MAX 16384
#define HANDSHAKE_NS (130 * 1000000000ULL) /* the longest that the kernel knows: a SYN cookie's two minutes */

enum {
	TARGET_READY = 1 << 0, /* MAC known; not ready: dropped_no_neighbour */
	TARGET_DOWN = 1 << 1,  /* its interface is down or without carrier: dropped_link_down */
	TARGET_CUT = 1 << 2,   /* `via` is a cutter, whose port rewrites and sends to `out` */
	TARGET_WRAP = 1 << 3,  /* encapsulated there, as the map of wraps says */
	TARGET_ENDED = 1 << 4, /* taken away while its flows run on: dropped_ended */
	TARGET_LIMITED = 1 << 5, /* its plan has a limit */
};

/* Where copies go. Slot 0 is never used, so that a zero in a mark is no target. */
struct target {
	__u32 flags;
	__u32 generation; /* of the slot; 0: free */
	__u8 dst_mac[6];
	__u16 unused0;
	__u8 src_mac[6];
	__u16 unused1;
	__u32 via;        /* ifindex that bpf_clone_redirect() is given; 0: dropped_no_interface */
	__u32 out;        /* ifindex that the finished frame leaves by */
	__u32 mtu;        /* of `out`, or of the path beyond: a frame may be this and its Ethernet header long */
	__u32 plan;       /* which flows are admitted; 0: all */
};
_Static_assert(sizeof(struct target) == 40, "no holes");

/*
 * As the map has it: read while it is written. What holds is the half that the last bit of `turn` names; the warden writes
 * the other one, and then `turn`, so a packet finds a target as it was or as it is, and never some of both.
 */
struct target_slot {
	__u64 turn;
	struct target half[2];
};
_Static_assert(sizeof(struct target_slot) == 88, "the map is an array of them, also where the warden has it mapped");

/* What of an encapsulation each frame has its own of, beside lengths and what tells flows apart. */
enum {
	WRAP_V6 = 1 << 0,
	WRAP_UDP = 1 << 1,
	WRAP_SEQUENCE = 1 << 2,
	WRAP_ERSPAN_II = 1 << 3,
	WRAP_ERSPAN_III = 1 << 4,
	WRAP_MARKED = 1 << 5, /* the frame inside gets `marker` as its source MAC address */
};

/* The encapsulation of a target: from the outer IP header up to the Ethernet header of the frame inside. */
struct wrap {
	__u64 room;       /* flags of bpf_skb_adjust_room() */
	__u32 flags;
	__u32 len;
	__u32 sum;        /* of the words of an outer IPv4 header without length and checksum */
	__u8 head[60];    /* what is the frame's own is zero */
	__u8 marker[8];
	__u32 series;     /* of WRAP_SEQUENCE: below TARGETS_MAX, which numbers */
	__u32 unused;
};
_Static_assert(sizeof(struct wrap) == 96, "no holes");
#define WRAP_LEN_MAX 60

/* Which flows are admitted to the targets of a set; its number is that of the first of them. */
struct copy_plan {
	struct bpf_spin_lock lock;
	__u32 sample;       /* of 65536; 0: all */
	__u32 clients;      /* so many networks are wanted, see plan_client; 0: all */
	__u32 unused;
	__u64 bytes_per_s;  /* 0: no limit */
	__u64 frames_per_s;
	/* The kernel's own: what was allowed, in 64ths, until when, and what was spent of it. */
	__u64 filled_ns;
	__u64 allowed_bytes, allowed_frames;
	__u64 spent_bytes, spent_frames;
};
_Static_assert(sizeof(struct copy_plan) == 72, "no holes");

#define PLAN_CLIENTS_MAX 32
#define PLAN_GRAIN_NS    50000000ULL

/* A network of clients, as one plan sees it. */
struct plan_client {
	__u32 prefixlen;  /* 32 for the plan, and the network's */
	__u32 plan;
	__u8 addr[16];
};
_Static_assert(sizeof(struct plan_client) == 24, "no holes");
#define PLAN_CLIENT_BITS 160

/* Of a target: its queue overflowed, and until then new flows do without. */
struct strain {
	__u64 until_ns;
	__u64 pause_ns;   /* the length of the last pause */
};
#define STRAIN_PAUSE_NS     100000000ULL
#define STRAIN_PAUSE_MAX_NS 3000000000ULL
#define STRAIN_FORGET_NS    2000000000ULL

struct doomed {
	__u64 id;
	__u32 fate;
	__u32 unused;
};
#define DOOMED_MAX 16384

/* A flow that was admitted and has lost a frame. The last HURTS_MAX of them, each at its number modulo that. */
struct hurt {
	__u64 at_ns;      /* when it lost the first */
	__u64 frames;     /* that it lost */
	__u32 number;     /* 0: none yet */
	__u32 slot;
	__u32 generation;
	__u32 service;
	__u32 fate;       /* of the first frame that was lost: a counter's number */
	struct flow_key key;
	__u8 client_addr[16];
	__be16 client_port;
	__u16 is_client;  /* it is the client's leg */
};
_Static_assert(sizeof(struct hurt) == 104, "no holes");
#define HURTS_MAX 256

/*
 * skb->mark of a copy. A copy is never looked at again by gate or
 * classification, also not on the device that production uses.
 */
#define COPY_MARK       0x5c1e0000u
#define COPY_MARK_MASK  0xffff0000u
#define COPY_DONE       0x00008000u /* rewritten and counted: leave it alone */
#define COPY_CLIENT     0x00004000u /* the client's address goes into it */
#define COPY_OUT        0x00002000u /* of a packet that left the engine */
#define COPY_DRESSED    0x00001000u /* its MAC addresses are the copy's already */
#define COPY_TARGET     0x00000fffu

/*
 * What the proxy writes into its TAP device (plain.bpf.h). The Ethernet addresses say whose copy it is, and which worker
 * wrote it; they are rewritten. A flow is announced first, by a frame of its own type that goes nowhere: whether it is
 * admitted is said where the worker reads it.
 */
struct plain_address {
	__be16 target;
	__be16 worker;     /* ORed with PLAIN_LAST in the last word to a sensor of a flow that lost a frame */
	__be32 generation; /* of the target */
	__be32 service;
};
_Static_assert(sizeof(struct plain_address) == 12, "two Ethernet addresses");

struct plain_birth {
	struct plain_address address;
	__be16 type;       /* PLAIN_BIRTH */
	__u8 flow_id[8];   /* in the order of the machine */
	__u8 client[16];
	__u8 unused[2];
};
_Static_assert(sizeof(struct plain_birth) == 40, "no holes");

#define PLAIN_BIRTH       0x88b5 /* for experiments within one's own network, says IEEE 802 */
#define PLAIN_LAST        0x8000
#define PLAIN_WORKERS_MAX 256

#define FATE_FILTERED     0xffff /* a flow is not eligible */

/* What became of a worker's last write; it may be mapped. */
struct plain_word {
	__u64 lost;        /* frames of all its writes that were counted as lost */
	__u32 fate;        /* of the last flow that was announced: FATE_... or the number of a counter */
	__u32 unused;
};
_Static_assert(sizeof(struct plain_word) == 16, "a page of words");

/*
 * A range of ports of an address, in pieces: the last bits of the port are not looked at. The same address and port may
 * be another service's in another routing domain; its sockets are bound to an interface, and so is its range.
 */
struct range_key {
	__u32 prefixlen;  /* RANGE_KEY_BITS, less the bits of the port that vary */
	__u32 ifindex;    /* where it comes in; 0: by any */
	__u8 addr[16];
	__u8 proto;
	__u8 unused;
	__be16 port;
};
_Static_assert(sizeof(struct range_key) == 28, "no holes");

/* A network of clients, as one guard sees it. */
struct denial_key {
	__u32 prefixlen;  /* 32 for the guard, and the network's */
	__u32 guard;
	__u8 addr[16];
};
_Static_assert(sizeof(struct denial_key) == 24, "no holes");

/* What is captured of a service, and where to. */
struct tap {
	__u32 slot;       /* of the rings, and one more; 0: none */
	__u32 snap;       /* first bytes of a packet that are kept; 0: all */
};
_Static_assert(sizeof(struct tap) == 8, "no holes");

enum {
	/* Beside FLOW_CLIENT and FLOW_MONITOR: */
	TAP_OUT = 1 << 16,         /* it leaves the engine */
	TAP_LEG = 1 << 17,         /* it is of a service */
	TAP_GATE = 1 << 18,        /* the lease gate dropped it */
	TAP_GUARD = 1 << 19,       /* a guard did */
};

enum { ENGINE_RX = 1 << 0, ENGINE_TX = 1 << 1, ENGINE_DROP = 1 << 2 }; /* what an engine's own capture wants */

/* In a ring; the packet's bytes come behind it. */
struct tap_record {
	__u64 at_ns;
	__u64 flow;
	__u32 flags;
	__u32 ifindex;
	__u32 wire_len;
	__u32 len;        /* of what was kept */
	__u32 gso_size;
	__u16 worker;     /* of the proxy, and one more; 0: not known */
	__be16 client_port;
	__u8 client[16];  /* whose connection it is, or whom it was opened for */
	__u32 service;
	__u32 unused;
};
_Static_assert(sizeof(struct tap_record) == 64, "no holes");

/* What of each CPU's slots a service has, `first` to `first + count`. */
struct recorder_share {
	__u32 first;
	__u32 count;      /* 0: nothing is recorded */
	__u32 number;     /* of its cursor, below RECORDER_SHARES_MAX */
	__u32 unused;
};
_Static_assert(sizeof(struct recorder_share) == 16, "no holes");

/* Where a CPU writes next in a share, and how often it came round. */
struct recorder_cursor {
	__u32 next;
	__u32 rounds;
};
_Static_assert(sizeof(struct recorder_cursor) == 8, "one for each CPU");

#define RECORDER_SNAP       256
#define RECORDER_SHARES_MAX 4096

/* The stamp is written first as zero and last as it is: a reader that finds the same one before and behind has it whole. */
struct recorder_slot {
	struct tap_record r;
	__u8 data[RECORDER_SNAP];
};
_Static_assert(sizeof(struct recorder_slot) == 320, "no holes");

#define TAPS_MAX     16           /* captures at a time */
#define TAP_DATA_MAX 69632        /* of a packet: the largest that the kernel handles as one, and some */
#define DENIAL_KEY_BITS 160
#define DENIALS_MAX     262144
#define GUARD_HITS_MAX  65536
#define RANGE_KEY_BITS 192
#define RANGES_MAX     4096
#define TARGETS_MAX 4096   /* slots; fits COPY_TARGET */
_Static_assert(TARGETS_MAX - 1 <= COPY_TARGET, "a slot's number is in the mark");
#define VIPS_MAX    16384
#define DOMAINS_MAX 4096   /* interfaces */
#define FLOWS_MAX   131072
#define LEGS_MAX    16384
#define FRAGMENTS_MAX 4096 /* datagrams under way */

/* Per CPU, what the clone stage and the rewriter, which runs in its call, tell each other. */
struct copy_result {
	__u8 client[16]; /* with COPY_CLIENT: what it writes into the copy */
	__u32 hash;    /* of the connection */
	__u32 frames;  /* finished: sent, or, behind a cutter, dropped as well; 0: the rewriter did not run, or gave up */
	__u32 gave_up;
	__u32 lost;    /* behind a cutter: so many of them were dropped, and counted */
	__u32 fate;    /* the first of these as which */
	__u32 unused;
	struct target target; /* as it was when the packet became eligible: however it changes, the copy goes by that */
};
_Static_assert(sizeof(struct copy_result) == 80, "a multiple of 8: one for each CPU");

enum gate_counter {
#define GATE_COUNTER(name, unit, help) GATE_##name,
#include "engine/bpf/counters.h"
	GATE_COUNTERS
};

struct target_counters {
#define TARGET_COUNTER(name, unit, help) __u64 name;
#include "engine/bpf/counters.h"
};

#endif
