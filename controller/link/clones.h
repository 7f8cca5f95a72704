/*
 * clones - what engines say of copies: which clone servers can be reached, what was copied by the present
 * profile, and the events about it.
 *
 * A clone server that cannot be reached for a few seconds is an event, and one when it can again: not each
 * packet, not each flap. The same of shedding. A profile that changed is an event on each engine that follows it,
 * because the counters of traffic_clone_stats begin anew with it.
 */
#ifndef SPANWIRE_CONTROLLER_LINK_CLONES_H
#define SPANWIRE_CONTROLLER_LINK_CLONES_H

#include "base/json.h"

struct engine;
struct fleet;
struct subresource_call;

/* A `stats` message, before books_take(): marks the lines of its clones with the set that they belong to. */
void clones_take(struct engine *e, json_t *stats);

/* GET virtualservice/UUID/traffic_clone_stats. New reference. */
json_t *view_clones(void *fleet, const struct subresource_call *call, struct err *e);
/* What `runtime` has of them: [{"service_engine", "ip" or "mac", "state", "reason"}]; NULL: it copies nothing. */
json_t *clones_state(struct fleet *f, const struct subresource_call *call);

#endif
