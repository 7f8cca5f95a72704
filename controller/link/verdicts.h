/*
 * verdicts - what an engine says of the services and servers that it has, and which of that is an event.
 *
 * Kept for each engine in its own words, for views and placement. What comes and goes for hours is told now and then, with
 * how often it changed meanwhile (restraint.h). Servers and pools that fall may save packets (capture/triggers.h).
 */
#ifndef SPANWIRE_CONTROLLER_LINK_VERDICTS_H
#define SPANWIRE_CONTROLLER_LINK_VERDICTS_H

#include <stdbool.h>

#include "base/json.h"

struct engine;

/* {revision, state, reason} of virtual service VS. Borrowed. */
void verdicts_service(struct engine *e, const char *vs, json_t *said);
/* E's interface got a link, or lost it. */
void verdicts_link(struct engine *e, const char *interface, bool up);
/* What a `stats` message that is newer than E's books says that is news. Borrowed. */
void verdicts_stats(struct engine *e, const json_t *stats);
/* Of POOL's SERVERS: all, or, PART, those that changed, each with its place "at". Borrowed; none: nothing is known any more. */
void verdicts_health(struct engine *e, const char *pool, json_t *servers, bool part);

#endif
