/*
 * assignment - which engines hold a virtual service, and what each of them announces of it.
 *
 * It names the engine of each VIP, with its term; whoever has one of them holds the whole. The
 * object is of the kind `assignment` (docs/link.md); it hangs in the graph that the engines follow.
 */
#ifndef SPANWIRE_CONTROLLER_PLACE_ASSIGNMENT_H
#define SPANWIRE_CONTROLLER_PLACE_ASSIGNMENT_H

#include "controller/place/homes.h"

/* Brings S's assignment to what was decided of its VIPs. */
void assignment_follow(struct placement *p, struct service *s);
/* There is none any more, and nobody holds it. */
void assignment_end(struct placement *p, struct service *s);
/* E, which is about to be freed, holds it no more. */
void assignment_without(struct placement *p, struct service *s, const struct engine *e);

#endif
