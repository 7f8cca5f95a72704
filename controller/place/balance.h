/*
 * balance - evens out what the engines of a group carry, at an operator's word.
 *
 * Placement moves nothing without need, so an engine that joins late stays empty. A VIP goes to an engine that carries fewer
 * services, when the difference becomes smaller by it, and nothing of its virtual service is there already. Each move ends the
 * connections of its VIP; BALANCE_MAX of them at once, so that nobody else waits: whoever wants more asks again.
 */
#ifndef SPANWIRE_CONTROLLER_PLACE_BALANCE_H
#define SPANWIRE_CONTROLLER_PLACE_BALANCE_H

#include <stddef.h>

struct fleet;

#define BALANCE_MAX 64

/* How many VIPs have moved. */
size_t balance_group(struct fleet *f, const char *group);

#endif
