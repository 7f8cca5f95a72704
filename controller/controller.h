/*
 * controller - what the parts of the controller share.
 *
 * Everything here belongs to the core: the one event loop of main(). The API
 * thread and the pool reach it through `inbox` only. main.c opens the parts
 * in the order of the members and closes them in the reverse order.
 */
#ifndef SPANWIRE_CONTROLLER_CONTROLLER_H
#define SPANWIRE_CONTROLLER_CONTROLLER_H

#include "net/inbox.h"
#include "net/loop.h"

struct ca;
struct captures;
struct ipam;
struct meter;
struct pool;
struct rest;
struct store;
struct triggers;

/* The release of the contract whose objects and answers we speak; a client that asks for a newer one is refused. */
#define CONTRACT_VERSION "30.2.1"

struct controller {
	const char *data;        /* data folder */
	struct loop *loop;
	struct inbox inbox;
	struct pool *pool;
	struct store *store;
	struct ipam *ipam;
	struct meter *meter;     /* what was counted */
	struct ca *ca;
	struct rest *rest;
	struct captures *captures;
	struct triggers *triggers;
	uint64_t up_since_us;
	bool restarts; /* it ends soon, to start itself anew */
	struct timer restart;
};

/* Ends the loop when what was answered is on its way, and starts the program again as it was started. */
void controller_restart(struct controller *c);

#endif
