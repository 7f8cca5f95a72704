/*
 * toll - what the machine does while the engine runs on it, beside the engine's own counters in `stats`.
 *
 *	cpu_busy_ms cpu_idle_ms                    of all processors together
 *	memory_permille disk_permille              in use now; the disk is that of the engine's state
 *	if_rx_bytes if_tx_bytes if_rx_frames if_tx_frames if_rx_dropped    of the data interfaces together
 *
 * Counters begin with the engine. The kernel is asked every few seconds: a look into /proc costs as much as
 * all the rest of `stats`.
 */
#ifndef SPANWIRE_ENGINE_REACH_TOLL_H
#define SPANWIRE_ENGINE_REACH_TOLL_H

#include "base/json.h"
#include "base/machine.h"

#define TOLL_TURNS      5 /* calls of toll_stats() between two looks */
#define TOLL_INTERFACES 64 /* that are told apart */

struct netlink;

struct toll {
	const char *disk;          /* a path */
	unsigned turn;
	bool begun;
	struct machine first, now;
	struct toll_interface {
		int index;
		uint64_t was[5];   /* as the kernel had them last */
	} interfaces[TOLL_INTERFACES];
	uint64_t sums[5];
};

/* Adds the members above to ENGINE, an object. */
void toll_stats(struct toll *t, const struct netlink *n, json_t *engine);

#endif
