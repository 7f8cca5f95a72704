/*
 * gateway - do the gateways of the routing domains answer? Asked by ping, as vrfcontext.gateway_mon says.
 *
 * A gateway counts as up until it was silent fail_threshold times in a row, and
 * as down until it has answered success_threshold times in a row.
 */
#ifndef SPANWIRE_ENGINE_REACH_GATEWAY_H
#define SPANWIRE_ENGINE_REACH_GATEWAY_H

#include "base/json.h"
#include "net/loop.h"

struct gateways;
struct link;
struct vrfs;

struct gateways_user {
	/* One fell silent, answers again, came or went. */
	void (*changed)(struct gateways_user *u);
};

struct gateways *gateways_new(struct loop *l, const struct vrfs *v, struct gateways_user *u);
void gateways_free(struct gateways *g);
/* The VRF contexts that are held may be others. */
void gateways_follow(struct gateways *g, const struct link *k);
/* [{"vrf": uuid, "ip", "up"}]. New reference. */
json_t *gateways_json(const struct gateways *g);

#endif
