/*
 * actions - what an operator may ask of placement: POST /api/virtualservice/UUID/VERB, of an engine
 * POST /api/serviceengine/UUID/switchover: all that it carries goes to others, as far as they can take it, and of a group
 * POST /api/serviceenginegroup/UUID/redistribute: its engines carry about as much as each other (balance.h).
 *
 *	migrate       {to_se_ref, vip_id}: the VIP goes to that engine, or to any other one
 *	switchover    {se_uuid, vip_id}: the same, in older words
 *	retryplacement, resync: looked at again; what an engine holds is compared at each acknowledgement anyhow
 *
 * What clients know and nobody does here (scaleout of an address, a reboot ...) is a 400 that says so.
 *
 * 200 when it is done; 400 with a sentence why not, and nothing has moved.
 */
#ifndef SPANWIRE_CONTROLLER_PLACE_ACTIONS_H
#define SPANWIRE_CONTROLLER_PLACE_ACTIONS_H

struct fleet;

void actions_open(struct fleet *f);

#endif
