/*
 * admission - may this client come in, and this request?
 *
 * Asked where a connection was accepted, or a flow of datagrams is about to
 * begin, before a byte is read: first the network security policy, then the
 * limits of the virtual service. What was counted against them (open
 * connections, rates) outlives the configuration and belongs to all workers.
 * The reason of a refusal is counted here.
 */
#ifndef SPANWIRE_ENGINE_ADMISSION_H
#define SPANWIRE_ENGINE_ADMISSION_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/netsec.h"
#include "engine/rate.h"

struct snapshot;
struct worker_service;

/* What is counted of one service; counted itself. */
struct admission {
	atomic_uint refs;
	atomic_uint open;                  /* clients that are in now */
	struct rate connections, requests, bytes;
	struct rate_table *clients;        /* the main thread's: workers have it from the plan */
};

/* What becomes of what is too much. */
enum limit_action { LIMIT_COUNT, LIMIT_RESET, LIMIT_CLOSE, LIMIT_ANSWER };

/* What a snapshot says of it. All zero: no limit. */
struct admission_plan {
	struct admission *shared;             /* a reference */
	struct netsec *netsec;             /* a reference; NULL: none */
	struct rate_table *clients;        /* of `shared`; NULL: each_client is no limit */
	const uint32_t *rule_slots;        /* counters of its rules */
	unsigned open_max;                 /* 0: no limit */
	uint64_t mbps;                     /* megabits a second (engine/throttle.h); 0: no limit */
	struct rate_limit connections, requests, each_client;
	enum limit_action connections_action, requests_action;
	int requests_status;               /* of LIMIT_ANSWER */
	bool punish;                       /* clients that go on above each_client */
};

enum admission_answer { ADMIT, ADMIT_NOT, ADMIT_NOT_CLOSE };

struct admission *admission_new(void);
struct admission *admission_get(struct admission *l);
void admission_put(struct admission *l);

/* ADMIT: the client is in, until admission_left(). Else it is to be reset (closed orderly: ADMIT_NOT_CLOSE), and counted. */
enum admission_answer admission_ask(struct worker_service *ws, const struct snapshot *s, const union address *client,
			    unsigned port);
void admission_left(struct worker_service *ws);
/* One that is in: does the policy of a newer configuration still let it be? Nothing is taken of a rate. */
bool admission_still(struct worker_service *ws, const struct snapshot *s, const union address *client, unsigned port);
/* One more request; false: what is to be done is the plan's requests_action. Counted. */
bool admission_request(struct worker_service *ws, const struct snapshot *s);

#endif
