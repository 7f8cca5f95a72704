/*
 * badges - what connections to servers wear: memory in which the kernel's half reads whom they serve.
 *
 * A connection gets a place when it serves its second client, and gives it back
 * when it ends. The places are shared out among the workers, so nothing is
 * locked. Where there is none left, 0, the kernel is told by a call each time
 * (mark_follow()). What is written lasts until the place is given to another.
 */
#ifndef SPANWIRE_ENGINE_CLONE_BADGES_H
#define SPANWIRE_ENGINE_CLONE_BADGES_H

#include <stdint.h>

#include "engine/address.h"
#include "engine/bpf/mark.h"

struct badges {
	struct badge *all;          /* NULL: there are none */
	uint32_t next, end;         /* of this worker's; those from `next` on were never given out */
	uint16_t *returned;
	uint32_t n_returned;
};

/* All places of the map FD, for the life of the process. Takes FD. 0 or -errno. */
int badges_map(struct badge **all, int fd);

/* B has those of one of so many workers. Zero it before; a second call changes nothing. */
void badges_init(struct badges *b, struct badge *all, unsigned worker, unsigned workers);
void badges_fini(struct badges *b);

/* A place; 0: none is left. */
uint16_t badge_take(struct badges *b);
/* Also legal for 0. */
void badge_put(struct badges *b, uint16_t place);
/* Whoever wears it serves CLIENT from now on, whose flow it is. Also legal for 0. */
void badge_write(struct badges *b, uint16_t place, uint64_t flow_id, const union address *client);

#endif
