/*
 * recorder - what was: the packets of every service, before anybody asked for them.
 *
 * The kernel writes the first bytes of each packet into memory that is overwritten for ever (engine/bpf/recorder.bpf.h).
 * Here it is said whose share of that memory is whose, and what a share holds is read when it is wanted. All shares are of
 * one size, a power of two of them; when there are more services than shares, each gives up its half that is written
 * last.
 */
#ifndef SPANWIRE_ENGINE_CAPTURE_RECORDER_H
#define SPANWIRE_ENGINE_CAPTURE_RECORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/bpf/datapath.h"
#include "engine/capture/excerpt.h"

struct recorder;

#define RECORDER_CPUS_MAX 1024
#define RECORDER_MB 64 /* per engine, when nobody says otherwise */

/* BYTES: of the kernel's memory; a quarter as much is for the plaintext of WORKERS beside it, at most 256 MB. */
struct recorder *recorder_new(struct datapath *d, unsigned workers, size_t bytes);
void recorder_free(struct recorder *r);

/* Is there memory to record into? */
bool recorder_records(const struct recorder *r);
/* SERVICE (its number in verdicts) is recorded from now on, or no more, and what was is forgotten. -errno: no share. */
int recorder_follow(struct recorder *r, uint32_t service, bool yes);
/*
 * What is said inside TLS is recorded as well, or no more, and what was is forgotten: SERVICE's place and one more, for the
 * proxy (engine/capture/excerpt.h); 0: it has none.
 */
unsigned recorder_follow_plaintext(struct recorder *r, uint32_t service, bool yes);
/* The memory that the proxy shares. */
const struct excerpt *recorder_excerpt(const struct recorder *r);

/* A share as it is now, for recorder_read() on whatever thread. False: SERVICE is not recorded. */
struct recorder_view {
	struct recorder_memory memory;
	struct recorder_share share;
	uint64_t born_ns; /* the share holds nothing of the service that is older */
	uint32_t service; /* nothing else is read, also when the share became another's meanwhile */
	const struct datapath *datapath;
};
bool recorder_view(const struct recorder *r, uint32_t service, struct recorder_view *out);
/*
 * Its packets of SINCE_NS (CLOCK_MONOTONIC) and later, before UNTIL_NS, in the order of time; for the caller to free. What
 * the kernel overwrites meanwhile is not among them. *WHOLE_NS: from then on none is missing.
 */
struct recorder_slot *recorder_read(const struct recorder_view *v, uint64_t since_ns, uint64_t until_ns, size_t *n, uint64_t *whole_ns);

/* Packets that were written into the share of each CPU since it was the service's, and before. */
struct recorder_written {
	uint64_t of_cpu[RECORDER_CPUS_MAX];
};
void recorder_written(const struct recorder_view *v, struct recorder_written *out);
/* So many of those between BEFORE and now found no room until now. */
uint64_t recorder_lost(const struct recorder_view *v, const struct recorder_written *before, const struct recorder_written *now);

#endif
