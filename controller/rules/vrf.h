/*
 * vrf - servers are reached, and checked, in one routing domain: that of the virtual services which they serve. -EINVAL
 * when what becomes NEW (stored form) breaks that.
 */
#ifndef SPANWIRE_CONTROLLER_RULES_VRF_H
#define SPANWIRE_CONTROLLER_RULES_VRF_H

#include "controller/change.h"

int rule_vrf_of_service(struct change *c, const char *uuid, const json_t *new, struct err *e);
int rule_vrf_of_pool(struct change *c, const char *uuid, const json_t *new, struct err *e);
int rule_vrf_of_group(struct change *c, const char *uuid, const json_t *new, struct err *e);

#endif
