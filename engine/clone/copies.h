/*
 * copies - the books of a service's copies, one line per clone server, through all the clone sets
 * that it has had.
 *
 * A changed profile is another set, with slots of its own and counters from zero; the old one is
 * retired here, and lives until its last flow is gone. Whoever watches the counters wants them to go
 * on: what all the sets counted is added up by clone server.
 */
#ifndef SPANWIRE_ENGINE_CLONE_COPIES_H
#define SPANWIRE_ENGINE_CLONE_COPIES_H

#include "base/json.h"

struct clone_set;
struct copies;

struct copies *copies_new(void);
/* Frees the sets that are retired, too: packets of their flows are nobody's then. */
void copies_free(struct copies *c);

/* NOW takes the place of OLD, which is taken over. NULL: there was none; copies end. */
void copies_follow(struct copies *c, struct clone_set *old, struct clone_set *now);

/*
 * [{"ip", "index", counter: value ..., "mac", "since": {"time_us", counter: value ...}, "interface",
 * "state"}] of a `stats` message, NOW being the set that copies at present or NULL. The counters are
 * those of all sets, `since` those of NOW alone. What follows is said only of clone servers that are
 * in NOW, and the MAC of those besides that have one in the profile. A clone server keeps its index.
 * NULL: there was never one.
 */
json_t *copies_read(struct copies *c, struct clone_set *now);

#endif
