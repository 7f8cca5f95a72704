/*
 * spare - could a group of engines lose `buffer_se` of them, the fullest ones, and still carry all its virtual services?
 *
 * By number: each engine takes as many as max_vs_per_se, the spare ones none to begin with. Networks, VRFs and gateways are
 * not asked; a move that they forbid is told when it is tried. It is told in the group's runtime, and as an
 * event when it changes: SE_GROUP_HA_ACTIVE, SE_GROUP_HA_COMPROMISED. A group that never could, one with a single
 * engine, is no news.
 */
#ifndef SPANWIRE_CONTROLLER_LINK_SPARE_H
#define SPANWIRE_CONTROLLER_LINK_SPARE_H

#include "base/json.h"

struct fleet;
struct object;

/* {"buffer_se", "num_se_may_fail", "reason"}: the reason is "" where it could. */
json_t *spare_shown(struct fleet *f, const struct object *group);
/* After each placement: tells what has changed. */
void spares_follow(struct fleet *f);

#endif
