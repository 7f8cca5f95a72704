/*
 * silence - is a service to close its ports because its servers are down?
 *
 * A service with remove_listening_port_on_vs_down does, so that clients are refused at once: when every pool that it could
 * use is down, those of its groups and those that stand in included, or fewer pools are up than its min_pools_up.
 */
#ifndef SPANWIRE_ENGINE_CONFIG_SILENCE_H
#define SPANWIRE_ENGINE_CONFIG_SILENCE_H

#include <stdbool.h>

#include "base/json.h"

struct link;
struct silence;

/* K, which holds the objects, is borrowed. */
struct silence *silence_new(const struct link *k);
void silence_free(struct silence *s);

/*
 * What the proxy tells of POOL: `servers` of a `health` message. Borrowed; who updates that list in place has told it.
 * NULL: nobody checks it, and it counts as up.
 */
void silence_health(struct silence *s, const char *pool, json_t *servers);
/* Would virtual service UUID, if it has that word, want no ports now? */
bool silence_of(const struct silence *s, const char *uuid);

#endif
