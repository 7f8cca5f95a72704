/*
 * decide - which engine carries which address: a pure function, without I/O and without a clock.
 *
 * What is placed is a unit: the addresses of one VIP with all virtual services
 * on them, because an address has one owner. The VIPs of one vsvip (a site) go
 * to engines of their own as long as there are enough, and share one rather
 * than going without. An engine can take a unit when it is alive, enabled, of the
 * unit's group and cloud, has room, reaches the networks that the pools name, and
 * has for each address an interface on its network and in its VRF, whose gateways answer.
 *
 * What holds for every answer:
 *   - an owner that can go on goes on: nothing moves without need;
 *   - an owner that the controller did not see yet since its own start goes on:
 *     it may be serving without a controller;
 *   - the term rises by one with each change of owner, and only then;
 *   - where nobody can take a unit it stays with its last owner, who may come
 *     back, and the reason names each engine and what it lacks;
 *   - a unit that an operator sends somewhere goes there if that engine can take it;
 *   - an owner who finds another host answering for his address (contested)
 *     waits, and gives it back to its previous owner when that one is there.
 */
#ifndef SPANWIRE_CONTROLLER_PLACE_DECIDE_H
#define SPANWIRE_CONTROLLER_PLACE_DECIDE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/ip.h"

enum place_life {
	PLACE_DEAD,
	PLACE_UNSEEN,          /* not heard of since the controller began, and it may still come */
	PLACE_ALIVE,
};

enum place_use {               /* SE_STATE_... */
	PLACE_ENABLED,
	PLACE_NO_NEW,          /* keeps what it has */
	PLACE_LEAVE,           /* gives away what others can take */
	PLACE_FORBIDDEN,       /* carries nothing, at any price */
};

struct place_net {
	struct in6_addr addr;  /* any address of it */
	unsigned len;          /* in the family's own bits */
};

struct place_interface {
	const char *name;
	const char *vrf;       /* uuid of its routing domain */
	bool up;
	bool cut_off;          /* the gateways of its domain do not answer, and that counts */
	const struct place_net *nets;
	size_t n_nets;
};

struct place_engine {
	const char *uuid, *name, *group, *cloud;
	enum place_life life;
	enum place_use use;
	const struct place_interface *interfaces;
	size_t n_interfaces;
	unsigned load;         /* virtual services of units outside the snapshot */
};

enum place_algo { PLACE_PACKED, PLACE_DISTRIBUTED };

struct place_address {
	struct in6_addr addr;
	const char *vrf;       /* routing domain; NULL is that of an interface without one */
	/* Networks on which it may be announced; none: any that contains it. */
	const struct place_net *nets;
	size_t n_nets;
};

#define PLACE_NOBODY SIZE_MAX

struct place_unit {
	const char *group, *cloud;
	enum place_algo algo;      /* of the group */
	unsigned max_load;         /* virtual services on one engine of the group */
	unsigned max_spread;       /* engines for the VIPs of one site; 0: any number */
	unsigned weight;           /* virtual services of the unit; the same in a site */
	size_t site;               /* units of a site are neighbours in the snapshot */
	bool enabled;              /* false: it goes nowhere new */
	/* Networks that an engine must be on, each, to reach the servers. */
	const struct place_net *reach;
	size_t n_reach;
	bool leave;                /* an operator wants it to go from its owner */
	size_t wish;               /* and where to; PLACE_NOBODY: wherever */
	const struct place_address *addresses;
	size_t n_addresses;
	size_t owner, previous;    /* indices of engines, or PLACE_NOBODY */
	uint64_t term;             /* of the owner; 0: never placed */
	bool contested;            /* the owner says that another host answers */
};

struct place_snapshot {
	const struct place_engine *engines;
	size_t n_engines;
	const struct place_unit *units;
	size_t n_units;
};

enum place_verdict {
	PLACE_OK,              /* the owner carries it */
	PLACE_WAITS,           /* contested, or its owner is unseen */
	PLACE_NONE,            /* nobody can: the owner, if any, does not */
	PLACE_OFF,             /* not enabled */
};

struct place_decision {
	enum place_verdict verdict;
	size_t owner, previous;
	uint64_t term;
	char reason[768];      /* "" when OK */
	char against[256];     /* why it did not leave, when it was to */
};

/*
 * OUT has n_units elements. An engine's load counts a service once, however many of its VIPs it has. Loads of units that are placed here count for those that come after
 * them.
 */
void place_decide(const struct place_snapshot *s, struct place_decision *out);

/* The interface on which E announces A, and the network's prefix length; PLACE_NOBODY: none. */
size_t place_interface(const struct place_engine *e, const struct place_address *a,
		       unsigned *prefix_len);

#endif
