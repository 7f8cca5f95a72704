/*
 * worker_ring - rings in memory that both processes share, by which the proxy's workers tell captures of services.
 *
 * One for each worker and each place that a capture can have, with a single writer and a single reader: nobody waits. What finds no room is
 * lost and counted. Beside a note or a plaintext frame stands for which capture it is meant (its number, which is never
 * used again, and the service): who reads passes over what is left of others. The reader believes nothing that the memory
 * says of itself.
 */
#ifndef SPANWIRE_ENGINE_CAPTURE_WORKER_RING_H
#define SPANWIRE_ENGINE_CAPTURE_WORKER_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "net/packets.h"

#define WORKER_RING_PLACES   16         /* TAPS_MAX */
#define WORKER_RING_BYTES    (4u << 20) /* a ring */
#define WORKER_RING_DATA_MAX 2048

struct worker_ring {
	uint8_t *mem;
	unsigned workers;
	int fd;
};

struct told {
	uint32_t len;             /* bytes of the frame behind it; 0: it is a note */
	uint32_t wire_len;        /* that it has on the wire, when they are more */
	uint32_t service, capture;
	uint16_t worker;
	uint16_t client_port;
	uint8_t client[16];
	uint8_t server[16];       /* zero: the client's own connection */
	uint8_t out;              /* a frame: the engine said it */
	struct packets_note note; /* of a frame: time, flow, leg. Time is CLOCK_MONOTONIC */
};

/* Memory, by the warden; -errno. */
int worker_ring_new(struct worker_ring *c, unsigned workers);
/* The warden's memory in the proxy. Takes FD. */
int worker_ring_map(struct worker_ring *c, int fd, unsigned workers);
void worker_ring_fini(struct worker_ring *c);

/* WORKER's, on its thread: T, and T->len bytes in N slices. False: no room, and it was counted. */
bool worker_ring_put(const struct worker_ring *c, unsigned worker, unsigned place, const struct told *t, const struct iovec *iov, int n);

/* The next one; false: there is none now. DATA has room for WORKER_RING_DATA_MAX. */
bool worker_ring_take(const struct worker_ring *c, unsigned worker, unsigned place, struct told *t, uint8_t *data);
/* What lies there is nobody's. FREE: give the memory back as well. */
void worker_ring_clear(const struct worker_ring *c, unsigned place, bool free);
/* All that found no room there, ever. */
uint64_t worker_ring_lost(const struct worker_ring *c, unsigned place);

#endif
