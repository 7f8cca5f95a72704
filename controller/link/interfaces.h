/*
 * interfaces - the networks of an engine: as it tells them, as its serviceengine object shows them, as placement sees them.
 *
 * The engine says names, addresses and whether a link is up; the operator says in the object which routing domain and
 * network an interface belongs to, and that stays. An interface is cut off when a gateway of its domain does not answer and
 * the group moves services then (host_gateway_monitor).
 */
#ifndef SPANWIRE_CONTROLLER_LINK_INTERFACES_H
#define SPANWIRE_CONTROLLER_LINK_INTERFACES_H

#include "base/json.h"

struct engine;

/* `interfaces` of hello; LOCAL: the address that the session came from, which marks the management interface. Borrowed. */
void interfaces_take(struct engine *e, const json_t *interfaces, const char *local);
/* Which gateways answer it: [{vrf, ip, up}]. Borrowed; one that fell silent or answers again is an event. */
void interfaces_take_gateways(struct engine *e, json_t *gateways);
bool interfaces_gateways_up(const struct engine *e);
/* The object says other routing domains, or gateways fell silent or answer. True: something is different. */
bool interfaces_follow(struct engine *e);

#endif
