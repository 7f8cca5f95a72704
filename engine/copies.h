/*
 * copies - the books of a service's copies, one line per clone server, through all the clone sets
 * that it has had.
 *
 * A changed profile is another set, with slots of its own. Whoever watches the counters wants them
 * to go on: what a set counted is added up here by clone server, when its last frames are through.
 */
#ifndef SPANWIRE_ENGINE_COPIES_H
#define SPANWIRE_ENGINE_COPIES_H

#include "base/json.h"

struct clone_set;
struct copies;

struct copies *copies_new(void);
/* Frees the sets that ended, too. */
void copies_free(struct copies *c);

/* S copies no more; it is taken over, and freed when it has counted all. NULL: nothing. */
void copies_end(struct copies *c, struct clone_set *s);

/*
 * [{"ip", "index", counter: value ..., "interface", "mac", "state"}] of a `stats` message, NOW
 * being the set that copies at present or NULL; the last three only of those in it. A clone server
 * keeps its index. NULL: there was never one.
 */
json_t *copies_read(struct copies *c, struct clone_set *now);

#endif
