/*
 * outlet - the way of plaintext copies from the proxy into the kernel, and the proxy's part of their books.
 *
 * A TAP device of the warden's, with a queue per worker that the proxy writes whole frames into: they go through
 * engine/bpf/plain.bpf.h and no further. Beside it a memory file, as the counters have: per worker and clone
 * target what the proxy counted, and per target the generation that it has now, which the warden writes: a flow of another
 * one copies, and counts, no more.
 *
 *	eligible (here) = sent + dropped (in the kernel) + dropped of flows that are not copied, or no more (here)
 *
 * A write returns when the copy has left or is counted as lost; struct plain_word tells which, per worker.
 */
#ifndef SPANWIRE_ENGINE_CLONE_OUTLET_H
#define SPANWIRE_ENGINE_CLONE_OUTLET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "engine/bpf/abi.h"

struct datapath;
struct netlink;

/* Of one worker and clone target: what is counted here of what the kernel counts as well. */
struct outlet_book {
	struct target_counters c;
	uint64_t flows;               /* that are there now */
};

struct outlet {
	uint8_t *mem;
	size_t bytes;
	unsigned workers;
	int mem_fd;                   /* -1: there is none */
	int *queues;                  /* the warden's; NULL: not opened */
};

/* Memory, by the warden. */
int outlet_new(struct outlet *t, unsigned workers);
/* The warden's memory in the proxy. Takes FD. */
int outlet_map(struct outlet *t, int fd, unsigned workers);
/* Closes the queues as well: the device goes with the last holder. */
void outlet_fini(struct outlet *t);

/* The device with its queues; 0 when it is there. On failure nothing is. */
int outlet_open(struct outlet *t, struct netlink *n, struct datapath *d, struct err *e);

/* ---- what is in the memory ---- */

/* From now on SLOT is of GENERATION; 0: of nobody. ENDED: what its flows say is counted, and copied no more. */
void outlet_set(struct outlet *t, uint32_t slot, uint32_t generation, bool ended);
bool outlet_is_current(const struct outlet *t, uint32_t slot, uint32_t generation);
bool outlet_has_ended(const struct outlet *t, uint32_t slot);
/* Of any worker. */
bool outlet_has_flows(const struct outlet *t, uint32_t slot);
/* The proxy is gone, and with it its flows. */
void outlet_drop_flows(struct outlet *t);
/* The worker's own: it alone writes it (counter_add()). */
struct outlet_book *outlet_book(const struct outlet *t, unsigned worker, uint32_t slot);
/* The sums over all workers. */
void outlet_read(const struct outlet *t, uint32_t slot, struct outlet_book *out);

#endif
