/*
 * digest - how both ends of the link agree on what an engine holds, in 64 bits.
 *
 * The sum, modulo 2^64, of one number per held object: order does not matter,
 * and one object more or less is one addition. It finds errors, not attackers;
 * those are TLS's business.
 */
#ifndef SPANWIRE_NET_DIGEST_H
#define SPANWIRE_NET_DIGEST_H

#include <stdint.h>

#include "base/json.h"

/* First 8 bytes, big-endian, of SHA-256 over "KIND/UUID/" and the canonical text of OBJECT. */
uint64_t digest_object(const char *kind, const char *uuid, const json_t *object);

#endif
