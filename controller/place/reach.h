/*
 * reach - what a VIP and the pools behind it ask of an engine's networks, read from the store.
 *
 * Everything is made in the arena that is given.
 */
#ifndef SPANWIRE_CONTROLLER_PLACE_REACH_H
#define SPANWIRE_CONTROLLER_PLACE_REACH_H

#include "base/arena.h"
#include "controller/place/decide.h"
#include "controller/store/store.h"

struct reach_address {
	struct place_address place;
	const char *text;
};

/* The addresses of the VIP with that id: none, one, or one of each family. */
size_t reach_addresses(struct store *s, const struct object *vsvip, const char *vip_id,
		       struct reach_address **out, struct arena *a);
/* Adds the networks that the service's pools name as theirs; none with ign_pool_net_reach. */
void reach_pools(struct store *s, const struct object *vs, const struct place_net **nets, size_t *n,
		 struct arena *a);
/* The VIP of that id in the vsvip's object; NULL: none. */
const json_t *reach_vip(const struct object *vsvip, const char *vip_id);

#endif
