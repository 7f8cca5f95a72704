/*
 * dns - a DNS query as bytes, and what is said by the bytes that come back (RFC 1035).
 */
#ifndef SPANWIRE_ENGINE_HEALTH_DNS_H
#define SPANWIRE_ENGINE_HEALTH_DNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DNS_MESSAGE_MAX 4096
#define DNS_QUERY_MAX   300
#define DNS_TYPE_A      1
#define DNS_TYPE_AAAA   28
#define DNS_TYPE_ANY    255 /* a question only; whatever is answered is of it */

/* A question for NAME with recursion desired. Its length; -EINVAL: NAME is no host name. */
int dns_query(uint8_t out[static DNS_QUERY_MAX], uint16_t id, const char *name, unsigned type);

struct dns_answer {
	unsigned rcode;
	unsigned records;      /* in the answer section */
	unsigned of_type;      /* of the type that was asked for */
	bool has_address;      /* one of them is ADDRESS */
	bool truncated;
};

/*
 * Does this answer the query of ID for NAME and TYPE? ADDRESS: text of the address that is looked for, or NULL.
 * False: it is no answer to it, or no DNS message at all.
 */
bool dns_read(const uint8_t *p, size_t n, uint16_t id, const char *name, unsigned type, const char *address,
	      struct dns_answer *out);

/* "AAAA"; "?": nobody asks for it. */
const char *dns_type_text(unsigned type);
/* "NXDOMAIN"; NULL: one without a name. */
const char *dns_rcode_text(unsigned rcode);

#endif
