/*
 * chute - what the proxy's workers tell captures of services, through memory that both processes share.
 *
 * A ring for each worker and each place that a capture can have: one writes, one reads, nobody waits. What finds no room is
 * lost and counted. Beside a note or a plaintext frame stands for which capture it is meant (its number, which is never
 * used again, and the service): who reads passes over what is left of others. The reader believes nothing that the memory
 * says of itself.
 */
#ifndef SPANWIRE_ENGINE_CAPTURE_CHUTE_H
#define SPANWIRE_ENGINE_CAPTURE_CHUTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "net/packets.h"

#define CHUTE_PLACES   16         /* TAPS_MAX */
#define CHUTE_BYTES    (4u << 20) /* a ring */
#define CHUTE_DATA_MAX 2048

struct chute {
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
int chute_new(struct chute *c, unsigned workers);
/* The warden's memory in the proxy. Takes FD. */
int chute_map(struct chute *c, int fd, unsigned workers);
void chute_fini(struct chute *c);

/* WORKER's, on its thread: T, and T->len bytes in N slices. False: no room, and it was counted. */
bool chute_put(const struct chute *c, unsigned worker, unsigned place, const struct told *t, const struct iovec *iov, int n);

/* The next one; false: there is none now. DATA has room for CHUTE_DATA_MAX. */
bool chute_take(const struct chute *c, unsigned worker, unsigned place, struct told *t, uint8_t *data);
/* What lies there is nobody's. FREE: give the memory back as well. */
void chute_clear(const struct chute *c, unsigned place, bool free);
/* All that found no room there, ever. */
uint64_t chute_lost(const struct chute *c, unsigned place);

#endif
