/*
 * persist - which server a client had, by its address.
 *
 * One table per pool, for all workers of the engine and all services that use the pool. It is
 * one of the few things that workers share: PERSIST_STRIPES parts, each with a lock that is held for one
 * look. At most PERSIST_MAX clients are known; beyond that those go that were seen longest ago,
 * and are counted.
 */
#ifndef SPANWIRE_ENGINE_PERSIST_H
#define SPANWIRE_ENGINE_PERSIST_H

#include <stdint.h>

#include "engine/backend.h"

#define PERSIST_STRIPES 64
#define PERSIST_MAX     262144

struct persist;

/* MAX is a multiple of PERSIST_STRIPES. */
struct persist *persist_new(unsigned max);
void persist_free(struct persist *p);

/* The server that KEY had and when that holds until; NULL: none, or too long ago. A reference; seen again from NOW on. */
struct backend *persist_find(struct persist *p, const uint8_t key[static 16], uint64_t now, uint64_t keep_ns);
/* Takes a reference of B of its own. True: another client was forgotten for it. */
bool persist_set(struct persist *p, const uint8_t key[static 16], struct backend *b, uint64_t now, uint64_t keep_ns);

/* The client's address as a key: the first MASK bits of it count (of an IPv4 address of its 32); 0: all. */
void persist_key(const union address *client, unsigned mask, uint8_t key[static 16]);

#endif
