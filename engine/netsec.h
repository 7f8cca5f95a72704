/*
 * netsec - a networksecuritypolicy, compiled: may this client open a connection here?
 *
 * The first rule in the order of `index` that matches decides; what none
 * matches may come in. Immutable but for the rates of its rules, which belong
 * to all workers. A question costs a binary search, whatever the number of
 * rules and of networks in them; one more for each other demand on ports.
 */
#ifndef SPANWIRE_ENGINE_NETSEC_H
#define SPANWIRE_ENGINE_NETSEC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/ipset.h"
#include "engine/address.h"

struct ip_addr_group;
struct ip_addr_match;
struct netsec;
struct network_security_policy;

enum netsec_verdict {
	NETSEC_ALLOW,
	NETSEC_DENY,
	NETSEC_LIMITED,          /* of a RATE_LIMIT rule, and more than its rate */
};

#define NETSEC_NO_RULE UINT32_MAX

/* A group that a rule names; NULL where there is none. Borrowed until netsec_new() returns. */
typedef const struct ip_addr_group *netsec_group(void *arg, const char *uuid);

/* Whom M means, sealed; NULL: everybody. The caller's to ipset_fini(). */
struct ipset netsec_clients(const struct ip_addr_match *m, netsec_group *group, void *arg);

/* The rates of rules of the same name and rate go on as they are in OLD (may be NULL). */
struct netsec *netsec_new(const struct network_security_policy *p, netsec_group *group, void *arg,
			  const struct netsec *old);
struct netsec *netsec_get(struct netsec *n);
void netsec_put(struct netsec *n);

/*
 * NOW_NS 0: only looked at, nothing is taken of a rate.
 * *RULE: the place of the rule that decided in the order of the rules, or NETSEC_NO_RULE.
 */
enum netsec_verdict netsec_ask(struct netsec *n, const union address *client, unsigned port, uint64_t now_ns,
			       uint32_t *rule);
/*
 * What is denied by the client's address alone: F for each network, LEN of 128 bits, and the place of the rule. Gives
 * what F gave when that was not 0.
 */
int netsec_denied(const struct netsec *n, int (*f)(void *arg, uint32_t rule, const struct in6_addr *net, unsigned len),
		  void *arg);
uint32_t netsec_rules(const struct netsec *n);
/* Name of rule I. Borrowed. */
const char *netsec_rule_name(const struct netsec *n, uint32_t i);

#endif
