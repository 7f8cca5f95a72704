/*
 * ipam - addresses that the controller gives to VIPs, from the static ranges of networks.
 *
 * What is promised: an address is given once. Given means taken in the same
 * transaction as the vsvip that has it, so what does not become durable was
 * never given, and two that ask at once get two. Nothing is given that
 * anybody is known to use: another VIP of the VRF, a server, a clone's
 * receiver, an interface of an engine, a gateway. An address that was freed
 * comes again only after the others: neighbours still remember who had it.
 *
 * Who uses what is an index in memory, filled from the store and kept by its
 * watch, so that giving costs the same among ten objects and ten thousand.
 */
#ifndef SPANWIRE_CONTROLLER_IPAM_H
#define SPANWIRE_CONTROLLER_IPAM_H

#include "base/ip.h"
#include "controller/change.h"

struct ipam;

/* Reads the store and watches it. */
struct ipam *ipam_open(struct store *s);
void ipam_close(struct ipam *i);
/* The one that watches S; NULL: none. */
struct ipam *ipam_of(const struct store *s);

/*
 * The addresses that VSVIP (stored form) asks for, and those that it had and asks for again, are
 * filled in; OLD may be NULL. -EINVAL "No available free IPs ..." with the path of the VIP.
 */
int ipam_fill(struct ipam *i, struct change *c, const char *uuid, const json_t *old, json_t *vsvip,
	      struct err *e);

/*
 * Who has an address is kept in the store, in the space "vip": this key of its VRF -> uuid of the vsvip. rules/vsvip.c
 * writes it.
 */
enum { IPAM_VIP_KEY_MAX = UUID_MAX + 40 };
void ipam_vip_key(const char *vrf, const struct in6_addr *a, char key[static IPAM_VIP_KEY_MAX]);

/* [{"prefix", "total_ip_count", "used_ip_count", "free_ip_count", ...}] a subnet. New reference. */
json_t *ipam_subnets(struct ipam *i, const struct object *network);

#endif
