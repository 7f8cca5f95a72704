/*
 * homes - what placement holds: vsvips, their VIPs, the services on them.
 *
 * A home is one vsvip with the services on it; each of its VIPs is a unit, with an owner and a term
 * of its own.
 */
#ifndef SPANWIRE_CONTROLLER_PLACE_HOMES_H
#define SPANWIRE_CONTROLLER_PLACE_HOMES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/json.h"
#include "base/list.h"
#include "base/table.h"
#include "controller/place/decide.h"

struct engine;
struct fleet;
struct store;

struct home {
	struct table_link link;
	struct list in_all, marked, services, units;
	char *vsvip;
	bool reaches; /* a pool says on which networks its servers are */
};

struct unit {
	struct list in_home;
	struct home *home;
	char *vip_id;  /* "": the vsvip has no VIP, or there is no vsvip */
	char *owner, *previous; /* uuids; "": nobody */
	uint64_t term;
	unsigned weight; /* as counted in the owner's load; 0 beside another VIP of the home */
	struct place_decision last;
	bool decided;
	bool leave;      /* an operator's word, for the next run */
	bool handed;     /* the previous owner is here and was told: that he still answers is no contest */
	char *wish;      /* uuid; "": wherever */
};

struct service {
	struct table_link link;
	struct list in_home;
	struct home *home;
	char *uuid, *name, *tenant, *group, *cloud;
	bool enabled;
	bool odd; /* of another group than the home's first: it goes nowhere */
	char odd_reason[256];
	char *capture;	    /* uuid of the one that runs; "" or NULL: none */
	json_t *assignment; /* NULL: none */
	uint64_t revision;
	struct engine **holders; /* who hold the assignment */
	size_t n_holders;
};

struct placement {
	struct fleet *fleet;
	struct store *store;
	struct table homes, services;
	struct list all_homes, marked;
	bool all;
	bool stuck; /* the last decisions could not be stored */
	bool retry; /* there may be room now for those that found none */
};

#endif
