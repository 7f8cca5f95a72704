/*
 * snat - addresses from which servers are spoken to (snat_ip, snat_ip6_addresses of a virtual service).
 *
 * The first of a family goes with the first VIP, the second with the second ...: who announces the VIP announces it as
 * well. So an address belongs to one VIP of one vsvip; services on that vsvip may share it, others may not, because they may be
 * with another engine, and there would be two answers. No VIP has it.
 */
#ifndef SPANWIRE_CONTROLLER_RULES_SNAT_H
#define SPANWIRE_CONTROLLER_RULES_SNAT_H

#include "base/ip.h"
#include "controller/change.h"

enum { SNATS_MAX = 64 };

/* Of virtual service VS (stored): those of one family, in order; how many. */
size_t snat_addresses(const json_t *vs, bool v6, struct in6_addr out[static SNATS_MAX]);

/* Virtual service UUID becomes NEW: its addresses are taken, those of OLD (NULL: it is new) given back. */
int rule_snat_of_service(struct change *c, const char *uuid, const json_t *old, const json_t *new, struct err *e);
int rule_snat_service_gone(struct change *c, const char *uuid, const json_t *old, struct err *e);
/* Vsvip UUID becomes NEW: no address of it is such a one, and the services on it have one for each VIP. */
int rule_snat_of_vsvip(struct change *c, const char *uuid, const json_t *new, struct err *e);
/* Does somebody speak to servers from A in this VRF? */
bool snat_is_taken(struct store *s, const char *vrf, const struct in6_addr *a);

#endif
