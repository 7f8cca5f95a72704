/*
 * merge - packets of several engines, in the order of time.
 *
 * Each source tells how far it is: nothing older than that comes from it any more. A packet is given out when all
 * sources are past it, or when it has waited long enough: an engine that is silent holds up the others for that long
 * and not for ever. What waits is bounded in bytes; beyond it the oldest is given out at once.
 *
 * Nothing is copied: packets stay in the blocks that they came in, and a block goes with the last of its packets. A source's
 * packets are nearly in order: those that are stand in a row; only the stragglers have to be sorted.
 */
#ifndef SPANWIRE_CONTROLLER_CAPTURE_MERGE_H
#define SPANWIRE_CONTROLLER_CAPTURE_MERGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/packets.h"

#define MERGE_BYTES_MAX (64u << 20)

struct merge;

struct merged {
	uint64_t at_ns;           /* corrected */
	unsigned source;
	struct packets_frame frame; /* its data are the merge's */
};

struct merge *merge_new(void);
void merge_free(struct merge *m);

/* A source that is open holds others up. */
void merge_open(struct merge *m, unsigned source);
void merge_close(struct merge *m, unsigned source);
/* YES: others will come with packets of any age; nothing is given out until it must be, or they are here. */
void merge_hold(struct merge *m, bool yes);
/* Takes BYTES (malloc'ed), LEN of them: the packets that are put from now on lie in it. */
void merge_block(struct merge *m, void *bytes, size_t len);
/* F's data lie in the last block. AT_NS: its corrected stamp. */
void merge_put(struct merge *m, unsigned source, uint64_t at_ns, const struct packets_frame *f);
/* Nothing from SOURCE before UNTIL_NS comes any more. */
void merge_until(struct merge *m, unsigned source, uint64_t until_ns);
/*
 * The next one, borrowed until the next call; NULL: it is not known yet which. What is older than LATE_NS waits for nobody
 * (UINT64_MAX: give out everything).
 */
const struct merged *merge_take(struct merge *m, uint64_t late_ns);

#endif
