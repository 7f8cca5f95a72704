/*
 * hurts - the flows of copies that have lost a frame, as they are told: the engine's last 256.
 *
 * The kernel lists them (engine/bpf/hurt.bpf.h). Here they get names: the virtual service, the clone server, and the
 * time of day.
 */
#ifndef SPANWIRE_ENGINE_CLONE_HURTS_H
#define SPANWIRE_ENGINE_CLONE_HURTS_H

#include <stdbool.h>

#include "base/json.h"

struct assigned_table;
struct clones;
struct datapath;
struct hurts;

/* All are borrowed. */
struct hurts *hurts_new(struct datapath *d, struct clones *c, struct assigned_table *a);
void hurts_free(struct hurts *h);

/*
 * [{"number", "virtualservice", "clone_server", "leg", "protocol", "local", "local_port", "remote", "remote_port", "client",
 * "client_port", "reason", "frames", "time_us"}] of those that are new or lost more since the last call, or ALL; for a
 * `stats` message. `number` rises from 1; one takes the place of that which is 256 behind it. NULL: none.
 */
json_t *hurts_read(struct hurts *h, bool all);

#endif
