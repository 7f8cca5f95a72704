/*
 * ip - an address of either family in 16 bytes.
 *
 * IPv4 addresses are held in their mapped form (::ffff:a.b.c.d), so that keys,
 * comparisons and maps know one size only. The struct is the system's own.
 */
#ifndef SPANWIRE_BASE_IP_H
#define SPANWIRE_BASE_IP_H

#include <netinet/in.h>
#include <stdbool.h>

#include "base/base.h"

/* Fits every text form. */
#define IP_TEXT_MAX INET6_ADDRSTRLEN

/* "10.0.0.5" or "fd00::5"; -EINVAL otherwise. */
int ip_parse(const char *text, struct in6_addr *out);
/* "10.0.0.0/8"; a missing length means the whole address. LEN counts in the address's own family. */
int ip_parse_prefix(const char *text, struct in6_addr *out, unsigned *len);
/* Fills and returns OUT. */
const char *ip_text(const struct in6_addr *ip, char out[static IP_TEXT_MAX]);
bool ip_is_v4(const struct in6_addr *ip);
/* The same of 16 bytes that stand wherever they like. */
bool ip_bytes_are_v4(const uint8_t ip[static 16]);
bool ip_equal(const struct in6_addr *a, const struct in6_addr *b);
bool ip_is_zero(const struct in6_addr *ip);
/* IP lies in NET/LEN, LEN in the family's own bits; false for different families. */
bool ip_within(const struct in6_addr *ip, const struct in6_addr *net, unsigned len);
/* From the N = 4 or 16 bytes of a packet or netlink attribute; false for another N. */
bool ip_from_bytes(struct in6_addr *out, const void *p, size_t n);
/* The family's own bytes, 4 or 16 of them. */
const uint8_t *ip_bytes(const struct in6_addr *ip, size_t *n);
/* As a number, for order and ranges. */
unsigned __int128 ip_number(const struct in6_addr *ip);
/* "02:00:00:aa:bb:0c"; -EINVAL otherwise. */
int mac_parse(const char *text, uint8_t out[static 6]);
const char *mac_text(const uint8_t mac[static 6], char out[static 18]);

#endif
